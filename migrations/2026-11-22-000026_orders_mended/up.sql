-- What was left of orders, helpers and ratings: whose word a beginning rests on, decisions that stay, what the rated do not see.

-- Orders
ALTER TABLE orders DROP CONSTRAINT orders_started_how_check;
ALTER TABLE orders ADD CONSTRAINT orders_started_how_check CHECK (started_how IN ('code', 'without_phone', 'own_word'));
COMMENT ON COLUMN orders.started_how IS 'code: the resident''s one-time code; without_phone: another agent wrote it down; own_word: only whoever holds it says so, which supervisors see.';
CREATE INDEX order_moves_returns ON order_moves (county_id, from_holder, at) WHERE step = 'return';
-- What ran out before time saw to it again: somebody is asked anew from now on.
UPDATE orders SET due_at = updated_at + interval '1 day' WHERE state = 'expired' AND due_at IS NULL;

-- Helpers
CREATE FUNCTION township_of(county integer, unit uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT CASE u.level WHEN 'village' THEN u.parent_id ELSE u.id END FROM units u WHERE u.county_id = county AND u.id = unit
$$;
COMMENT ON FUNCTION township_of IS 'The township of a village; a unit above the villages itself.';
CREATE OR REPLACE FUNCTION helper_serves(county integer, helper uuid, unit uuid, point_lng double precision, point_lat double precision)
RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM helpers h
    WHERE h.county_id = county AND h.id = helper AND (
      unit_within(county, unit, h.unit_id)
      OR EXISTS (SELECT FROM helper_units f WHERE f.county_id = county AND f.helper_id = h.id AND f.granted AND unit_within(county, unit, f.unit_id))
      OR EXISTS (
        SELECT FROM staff_posts p WHERE p.county_id = county AND p.staff_id = h.staff_id AND p.ended_at IS NULL
          AND p.role IN ('specialist', 'village_cadre') AND unit_within(county, unit, p.unit_id))
      OR coalesce(distance_m(h.lng, h.lat, point_lng, point_lat) <= h.radius_m, false)
         AND unit_within(county, unit, township_of(county, h.unit_id))))
$$;
COMMENT ON COLUMN helpers.radius_m IS 'They also serve what lies within this distance of their point, in the township of their home unit: beyond it somebody has to grant them a unit.';

CREATE TABLE helper_decisions (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  helper_id uuid NOT NULL,
  decision text NOT NULL CHECK (decision IN ('approve', 'refuse', 'stop', 'resume')),
  decided_by uuid NOT NULL,
  decided_at timestamptz NOT NULL,
  reason bytea,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, helper_id) REFERENCES helpers,
  FOREIGN KEY (county_id, decided_by) REFERENCES staff
);
CREATE INDEX helper_decisions_helper ON helper_decisions (county_id, helper_id, decided_at, id);
REVOKE UPDATE, DELETE, TRUNCATE ON helper_decisions FROM lianxin_service;
GRANT UPDATE (reason) ON helper_decisions TO lianxin_service;
COMMENT ON TABLE helper_decisions IS 'Every decision about a helper, append-only: whoever applies again does not wipe out why they were stopped.';
COMMENT ON COLUMN helper_decisions.reason IS 'Sealed; none once the record has been closed.';
INSERT INTO helper_decisions (county_id, id, helper_id, decision, decided_by, decided_at)
SELECT h.county_id, gen_random_uuid(), h.id, CASE h.state WHEN 'active' THEN 'approve' WHEN 'refused' THEN 'refuse' ELSE 'stop' END, h.decided_by, h.decided_at
FROM helpers h WHERE h.decided_by IS NOT NULL AND h.decided_at IS NOT NULL AND h.state <> 'applied';

-- The change feed of helpers in one place: also of what a post or a move of the home unit does to them.
CREATE FUNCTION helpers_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND (OLD.unit_id, OLD.resident_id) IS DISTINCT FROM (NEW.unit_id, NEW.resident_id) THEN
    INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, gone, at)
    VALUES (NEW.county_id, 'helper', NEW.id, CASE WHEN OLD.unit_id <> NEW.unit_id THEN OLD.unit_id END,
      CASE WHEN OLD.resident_id <> NEW.resident_id THEN OLD.resident_id END, true, NEW.updated_at);
  END IF;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at)
  VALUES (NEW.county_id, 'helper', NEW.id, NEW.unit_id, NEW.resident_id, NEW.staff_id, NEW.updated_at);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION helpers_change IS 'What phones must learn of a helper, whoever changes it: with each version, home unit and record; the former ones lose sight of it.';
CREATE TRIGGER helpers_change_insert AFTER INSERT ON helpers FOR EACH ROW EXECUTE FUNCTION helpers_change();
CREATE TRIGGER helpers_change_update AFTER UPDATE ON helpers FOR EACH ROW
  WHEN ((OLD.version, OLD.unit_id, OLD.resident_id) IS DISTINCT FROM (NEW.version, NEW.unit_id, NEW.resident_id)) EXECUTE FUNCTION helpers_change();

-- Ratings
ALTER TABLE todos ADD COLUMN hidden_from uuid[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN todos.hidden_from IS 'Members of staff who do not see it though it is of their unit, because it is about them.';
CREATE INDEX ratings_served_by ON ratings USING gin (served_by);

CREATE FUNCTION tells_the_rated(county integer, reader uuid, entity text, entity_id uuid, what text, actor uuid, moment timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
  -- No parameter is named like a column of ratings: the column would win.
  SELECT CASE entity
    WHEN 'rating' THEN EXISTS (SELECT FROM ratings r WHERE r.county_id = county AND r.id = entity_id AND r.served_by @> ARRAY[reader])
    WHEN 'resident' THEN what = 'reveal' AND actor <> reader AND EXISTS (
      SELECT FROM ratings r WHERE r.county_id = county AND r.resident_id = entity_id AND r.served_by @> ARRAY[reader] AND moment >= r.created_at
        AND EXISTS (SELECT FROM rating_entries e WHERE e.county_id = county AND e.rating_id = r.id AND e.grade <= 2))
    ELSE false END
$$;
COMMENT ON FUNCTION tells_the_rated IS 'Whether an entry of the audit log would tell somebody who rated them: entries of ratings of what they did, and looks by others at a resident since a bad one.';

CREATE TABLE rating_rounds (
  county_id integer NOT NULL REFERENCES counties,
  on_date date NOT NULL,
  asked_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, on_date)
);
REVOKE UPDATE, DELETE, TRUNCATE ON rating_rounds FROM lianxin_service;
COMMENT ON TABLE rating_rounds IS 'Days on which everybody has been asked to rate what was done the day before.';
CREATE INDEX appointments_finished ON appointments (county_id, finished_at) WHERE state = 'done';
CREATE INDEX errand_ledger_delivered ON errand_ledger (county_id, at) WHERE to_state = 'delivered';
CREATE INDEX orders_confirmed ON orders (county_id, ended_at) WHERE state = 'confirmed';
