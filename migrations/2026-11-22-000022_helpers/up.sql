-- Helpers (服务人员): who comes when a resident orders help, what they can do, where and when.

CREATE TABLE skills (
  county_id integer NOT NULL REFERENCES counties,
  key text NOT NULL CHECK (key ~ '^[a-z][a-z0-9_]{0,31}$'),
  name_zh text NOT NULL CHECK (name_zh <> ''),
  name_en text NOT NULL CHECK (name_en <> ''),
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'retired')),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, key)
);
REVOKE DELETE, TRUNCATE ON skills FROM lianxin_service;
COMMENT ON TABLE skills IS 'What a county asks of helpers (技能), dialects included. A retired one is granted to nobody any more; who has it keeps it.';

CREATE TABLE helpers (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('specialist', 'cadre', 'volunteer', 'care_staff')),
  staff_id uuid,
  resident_id uuid,
  unit_id uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('applied', 'active', 'stopped', 'refused')),
  skills text[] NOT NULL DEFAULT '{}' CHECK (cardinality(skills) <= 50),
  claimed text[] NOT NULL DEFAULT '{}' CHECK (cardinality(claimed) <= 50),
  words bytea,
  lng double precision CHECK (lng BETWEEN -180 AND 180),
  lat double precision CHECK (lat BETWEEN -90 AND 90),
  radius_m integer CHECK (radius_m BETWEEN 0 AND 50000),
  max_load smallint CHECK (max_load BETWEEN 1 AND 20),
  away_from timestamptz,
  away_until timestamptz,
  decided_by uuid,
  decided_at timestamptz,
  reason bytea,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, staff_id) REFERENCES staff,
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, decided_by) REFERENCES staff,
  CONSTRAINT helpers_staff UNIQUE (county_id, staff_id),
  -- Deferrable, so that it is checked when a statement ends: two that change places in one.
  CONSTRAINT helpers_resident UNIQUE (county_id, resident_id) DEFERRABLE,
  CONSTRAINT helpers_one_person CHECK (num_nonnulls(staff_id, resident_id) = 1),
  CONSTRAINT helpers_kind CHECK ((kind IN ('specialist', 'cadre')) = (staff_id IS NOT NULL)),
  CONSTRAINT helpers_applied CHECK (state IN ('active', 'stopped') OR resident_id IS NOT NULL),
  CONSTRAINT helpers_point CHECK ((lng IS NULL) = (lat IS NULL)),
  CONSTRAINT helpers_radius CHECK (radius_m IS NULL OR lng IS NOT NULL),
  CONSTRAINT helpers_away CHECK (away_until IS NULL OR away_from < away_until),
  -- Staff are away by their absences, which their deputies go by too.
  CONSTRAINT helpers_away_resident CHECK (away_from IS NULL OR resident_id IS NOT NULL)
);
CREATE INDEX helpers_unit ON helpers (county_id, unit_id, id);
REVOKE DELETE, TRUNCATE ON helpers FROM lianxin_service;
COMMENT ON TABLE helpers IS 'Helpers (服务人员): specialists and cadres by their posts, volunteers (志愿者) and care staff (护理员) by approval. One per person.';
COMMENT ON COLUMN helpers.unit_id IS 'The home unit: they serve it and what lies below it. Of staff: the unit of their oldest post that has not ended.';
COMMENT ON COLUMN helpers.skills IS 'Granted by staff; claimed: what an applicant says about themselves.';
COMMENT ON COLUMN helpers.words IS 'Sealed; what the applicant wrote.';
COMMENT ON COLUMN helpers.lng IS 'Where they start from (WGS 84), given by themselves and shown to nobody else; only distances are.';
COMMENT ON COLUMN helpers.radius_m IS 'They also serve what lies within this distance of their point.';
COMMENT ON COLUMN helpers.max_load IS 'Orders held at a time; none: the county''s setting.';
COMMENT ON COLUMN helpers.away_until IS 'None while away_from is set: until they say that they are back.';
COMMENT ON COLUMN helpers.decided_by IS 'Who approved, refused, stopped or resumed; none: the state follows from a post or from a record that was closed.';
COMMENT ON COLUMN helpers.reason IS 'Sealed; why they were refused or stopped.';

CREATE TABLE helper_units (
  county_id integer NOT NULL,
  helper_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  granted boolean NOT NULL,
  PRIMARY KEY (county_id, helper_id, unit_id),
  FOREIGN KEY (county_id, helper_id) REFERENCES helpers,
  FOREIGN KEY (county_id, unit_id) REFERENCES units
);
CREATE INDEX helper_units_unit ON helper_units (county_id, unit_id);
COMMENT ON TABLE helper_units IS 'Units that a helper serves beside the home unit, what lies below them included.';
COMMENT ON COLUMN helper_units.granted IS 'False: the helper has asked for it, and nobody has decided yet.';

CREATE TABLE helper_hours (
  county_id integer NOT NULL,
  helper_id uuid NOT NULL,
  no smallint NOT NULL CHECK (no >= 0),
  weekdays smallint NOT NULL CHECK (weekdays BETWEEN 1 AND 127),
  from_time time NOT NULL,
  until_time time NOT NULL,
  PRIMARY KEY (county_id, helper_id, no),
  FOREIGN KEY (county_id, helper_id) REFERENCES helpers,
  CONSTRAINT helper_hours_order CHECK (from_time < until_time OR until_time = '00:00')
);
COMMENT ON TABLE helper_hours IS 'When a helper can be asked, local time; a helper without any: always.';
COMMENT ON COLUMN helper_hours.weekdays IS 'Bit 0 is Monday, bit 6 Sunday.';
COMMENT ON COLUMN helper_hours.until_time IS 'Exclusive; 00:00 is the end of the day.';

CREATE FUNCTION distance_m(lng1 double precision, lat1 double precision, lng2 double precision, lat2 double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT 2 * 6371008.8 * asin(least(1, sqrt(
    sin(radians(lat2 - lat1) / 2) ^ 2 + cos(radians(lat1)) * cos(radians(lat2)) * sin(radians(lng2 - lng1) / 2) ^ 2)))
$$;
COMMENT ON FUNCTION distance_m IS 'Metres between two points (WGS 84) on a sphere of the Earth''s mean radius (haversine): 0.5 % off at most.';

CREATE FUNCTION helper_serves(county integer, helper uuid, unit uuid, point_lng double precision, point_lat double precision)
RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM helpers h
    WHERE h.county_id = county AND h.id = helper AND (
      unit_within(county, unit, h.unit_id)
      OR EXISTS (SELECT FROM helper_units f WHERE f.county_id = county AND f.helper_id = h.id AND f.granted AND unit_within(county, unit, f.unit_id))
      OR EXISTS (
        SELECT FROM staff_posts p WHERE p.county_id = county AND p.staff_id = h.staff_id AND p.ended_at IS NULL
          AND p.role IN ('specialist', 'village_cadre') AND unit_within(county, unit, p.unit_id))
      OR coalesce(distance_m(h.lng, h.lat, point_lng, point_lat) <= h.radius_m, false)))
$$;
COMMENT ON FUNCTION helper_serves IS 'Whether a helper serves a place: a unit and, if there is one, a point (WGS 84). Defined once.';

CREATE FUNCTION helper_free(county integer, helper uuid, moment timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM helpers h
    WHERE h.county_id = county AND h.id = helper AND h.state = 'active'
      AND (h.away_from IS NULL OR moment < h.away_from OR moment >= h.away_until)
      AND (h.staff_id IS NULL OR staff_present(county, h.staff_id, (moment AT TIME ZONE 'Asia/Shanghai')::date))
      AND (NOT EXISTS (SELECT FROM helper_hours n WHERE n.county_id = county AND n.helper_id = h.id)
        OR EXISTS (
          SELECT FROM helper_hours n WHERE n.county_id = county AND n.helper_id = h.id
            AND (n.weekdays >> (extract(isodow FROM moment AT TIME ZONE 'Asia/Shanghai')::integer - 1)) & 1 = 1
            AND (moment AT TIME ZONE 'Asia/Shanghai')::time >= n.from_time
            AND (n.until_time = '00:00' OR (moment AT TIME ZONE 'Asia/Shanghai')::time < n.until_time))))
$$;
COMMENT ON FUNCTION helper_free IS 'Whether a helper can be asked at a moment: active, not away, in one of their hours. How much they hold is not looked at. Defined once.';

-- Specialists and cadres are helpers as long as they hold a post. Whoever changes posts holds the member's row, so that two at once cannot miss each other.
CREATE FUNCTION helpers_follow_posts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  post record;
  moment timestamptz := coalesce(NEW.ended_at, NEW.since);
BEGIN
  -- Whoever decides about the helper meanwhile comes before or after.
  PERFORM FROM helpers WHERE county_id = NEW.county_id AND staff_id = NEW.staff_id FOR NO KEY UPDATE;
  SELECT p.role, p.unit_id INTO post FROM staff_posts p
  WHERE p.county_id = NEW.county_id AND p.staff_id = NEW.staff_id AND p.ended_at IS NULL AND p.role IN ('specialist', 'village_cadre')
  ORDER BY p.since, p.id LIMIT 1;
  IF NOT FOUND THEN
    -- Where they lived and what they were granted here is of no use to another unit.
    DELETE FROM helper_units u USING helpers h WHERE h.county_id = NEW.county_id AND h.staff_id = NEW.staff_id AND u.county_id = h.county_id AND u.helper_id = h.id;
    DELETE FROM helper_hours n USING helpers h WHERE h.county_id = NEW.county_id AND h.staff_id = NEW.staff_id AND n.county_id = h.county_id AND n.helper_id = h.id;
    UPDATE helpers SET lng = NULL, lat = NULL, radius_m = NULL, max_load = NULL, version = version + 1, updated_at = moment
    WHERE county_id = NEW.county_id AND staff_id = NEW.staff_id;
    UPDATE helpers SET state = 'stopped', decided_by = NULL, decided_at = moment, reason = NULL, version = version + 1, updated_at = moment
    WHERE county_id = NEW.county_id AND staff_id = NEW.staff_id AND state = 'active';
    RETURN NULL;
  END IF;
  INSERT INTO helpers AS h (county_id, id, kind, staff_id, unit_id, state, decided_at, created_at, updated_at)
  VALUES (NEW.county_id, NEW.staff_id, CASE post.role WHEN 'specialist' THEN 'specialist' ELSE 'cadre' END,
    NEW.staff_id, post.unit_id, 'active', moment, moment, moment)
  ON CONFLICT (county_id, staff_id) DO UPDATE SET
    kind = excluded.kind, unit_id = excluded.unit_id, version = h.version + 1, updated_at = excluded.updated_at,
    -- Whom somebody has stopped, a new post does not bring back.
    state = CASE WHEN h.state = 'stopped' AND h.decided_by IS NULL THEN 'active' ELSE h.state END
  WHERE h.kind <> excluded.kind OR h.unit_id <> excluded.unit_id OR (h.state = 'stopped' AND h.decided_by IS NULL);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION helpers_follow_posts IS 'A post begins: its holder is a helper of that unit. The last one ends: a helper no more.';
CREATE TRIGGER helpers_follow_insert AFTER INSERT ON staff_posts FOR EACH ROW
  WHEN (NEW.role IN ('specialist', 'village_cadre') AND NEW.ended_at IS NULL) EXECUTE FUNCTION helpers_follow_posts();
CREATE TRIGGER helpers_follow_update AFTER UPDATE OF ended_at, unit_id, role ON staff_posts FOR EACH ROW
  WHEN ((NEW.role IN ('specialist', 'village_cadre') OR OLD.role IN ('specialist', 'village_cadre'))
    AND (OLD.ended_at, OLD.unit_id, OLD.role) IS DISTINCT FROM (NEW.ended_at, NEW.unit_id, NEW.role))
  EXECUTE FUNCTION helpers_follow_posts();

INSERT INTO helpers (county_id, id, kind, staff_id, unit_id, state, decided_at, created_at, updated_at)
SELECT DISTINCT ON (p.county_id, p.staff_id) p.county_id, p.staff_id, CASE p.role WHEN 'specialist' THEN 'specialist' ELSE 'cadre' END,
  p.staff_id, p.unit_id, 'active', p.since, p.since, p.since
FROM staff_posts p WHERE p.ended_at IS NULL AND p.role IN ('specialist', 'village_cadre')
ORDER BY p.county_id, p.staff_id, p.since, p.id;
