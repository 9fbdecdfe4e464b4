-- Visits (走访): what specialists and cadres say of coming to a household, once for each visit, with the id that the phone gave it.

CREATE TABLE visits (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  household_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  staff_id uuid NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('seen', 'not_found', 'declined')),
  amended_outcome text CHECK (amended_outcome IN ('seen', 'not_found', 'declined')),
  place text NOT NULL CHECK (place IN ('home', 'elsewhere')),
  device_at timestamptz NOT NULL,
  sent_at timestamptz NOT NULL,
  skew_seconds bigint NOT NULL,
  occurred_at timestamptz NOT NULL,
  on_date date NOT NULL,
  recorded_at timestamptz NOT NULL,
  coordinate_system text CHECK (coordinate_system IN ('wgs84', 'gcj02')),
  raw_lng double precision,
  raw_lat double precision,
  lng double precision CHECK (lng BETWEEN -180 AND 180),
  lat double precision CHECK (lat BETWEEN -90 AND 90),
  accuracy_m double precision CHECK (accuracy_m BETWEEN 0 AND 100000),
  mocked boolean NOT NULL,
  no_position_reason text CHECK (no_position_reason IN ('denied', 'off', 'no_signal', 'not_wished')),
  distance_m double precision CHECK (distance_m >= 0),
  flags text[] NOT NULL CHECK (flags <@ '{far,vague,mocked,clock_off,late}'),
  left_out text[] NOT NULL CHECK (left_out <@ '{position_off,position_without_consent,position_withdrawn,photos_off}'),
  photos uuid[] NOT NULL CHECK (cardinality(photos) <= 9),
  said bytea,
  version bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, household_id) REFERENCES households,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, staff_id) REFERENCES staff,
  CONSTRAINT visits_past CHECK (occurred_at <= recorded_at AND device_at <= sent_at),
  CONSTRAINT visits_point CHECK (num_nulls(lng, lat, raw_lng, raw_lat, accuracy_m, coordinate_system) IN (0, 6) AND (lng IS NOT NULL OR NOT mocked)),
  CONSTRAINT visits_distance CHECK (distance_m IS NULL OR lng IS NOT NULL)
);
-- Lists and numbers of a unit, of a household, of whoever made them; each newest first.
CREATE INDEX visits_unit ON visits (county_id, unit_id, occurred_at, id);
CREATE INDEX visits_household ON visits (county_id, household_id, occurred_at, id);
CREATE INDEX visits_staff ON visits (county_id, staff_id, occurred_at, id);
REVOKE UPDATE, DELETE, TRUNCATE ON visits FROM lianxin_service;
-- What is said stays. What counts by amendments, and what the law wants erased, may change.
GRANT UPDATE (amended_outcome, coordinate_system, raw_lng, raw_lat, lng, lat, accuracy_m, mocked, distance_m, flags, left_out, said, version) ON visits TO lianxin_service;
COMMENT ON TABLE visits IS 'Visits to households (入户走访), append-only: one row for each, whatever is repeated. The id is the phone''s own.';
COMMENT ON COLUMN visits.household_id IS 'Stays when the household turns out to be another one: household_ids leads there.';
COMMENT ON COLUMN visits.unit_id IS 'The village that the household belonged to.';
COMMENT ON COLUMN visits.amended_outcome IS 'What counts instead, by the last amendment that says so.';
COMMENT ON COLUMN visits.device_at IS 'When it happened by the phone''s clock, as it was sent.';
COMMENT ON COLUMN visits.sent_at IS 'The phone''s clock when it sent this.';
COMMENT ON COLUMN visits.skew_seconds IS 'How much later the server''s clock was than the phone''s.';
COMMENT ON COLUMN visits.occurred_at IS 'device_at + skew: when it happened by the server''s clock.';
COMMENT ON COLUMN visits.on_date IS 'The local day of occurred_at.';
COMMENT ON COLUMN visits.coordinate_system IS 'What the phone measured in: raw_lng and raw_lat, as it said them; lng and lat are WGS 84.';
COMMENT ON COLUMN visits.mocked IS 'The phone said that an app had made the position up.';
COMMENT ON COLUMN visits.distance_m IS 'Metres to the home point as it was then; none without either of them.';
COMMENT ON COLUMN visits.flags IS 'What was found out; nothing is refused for it.';
COMMENT ON COLUMN visits.left_out IS 'What was sent and is not kept, because the county wants none of it or nobody has agreed, or was kept until somebody took their consent back.';
COMMENT ON COLUMN visits.photos IS 'The phone''s own ids of photos that arrive later.';
COMMENT ON COLUMN visits.said IS 'Sealed: what the phone said, but for the position, which goes when a consent is taken back. What comes again is compared with it. None once erased.';

CREATE TABLE visit_amendments (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  visit_id uuid NOT NULL,
  outcome text CHECK (outcome IN ('seen', 'not_found', 'declined')),
  place text CHECK (place IN ('home', 'elsewhere')),
  note bytea,
  conflict_id uuid,
  by_id uuid NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, visit_id) REFERENCES visits,
  FOREIGN KEY (county_id, by_id) REFERENCES staff
);
CREATE INDEX visit_amendments_visit ON visit_amendments (county_id, visit_id, at, id);
REVOKE UPDATE, DELETE, TRUNCATE ON visit_amendments FROM lianxin_service;
GRANT UPDATE (note) ON visit_amendments TO lianxin_service;
COMMENT ON TABLE visit_amendments IS 'What is to be added to a visit, or is right instead: further entries, never a change.';
COMMENT ON COLUMN visit_amendments.note IS 'Sealed; none once erased.';
COMMENT ON COLUMN visit_amendments.conflict_id IS 'The other version that it was taken from.';

CREATE TABLE visit_conflicts (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  visit_id uuid NOT NULL,
  household_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  staff_id uuid NOT NULL,
  occurred_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL,
  coordinate_system text CHECK (coordinate_system IN ('wgs84', 'gcj02')),
  raw_lng double precision,
  raw_lat double precision,
  accuracy_m double precision,
  mocked boolean NOT NULL,
  left_out text[] NOT NULL,
  said bytea,
  settled_at timestamptz,
  settled_by uuid,
  settled_how text CHECK (settled_how IN ('keep', 'amend')),
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, visit_id) REFERENCES visits,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, staff_id) REFERENCES staff,
  FOREIGN KEY (county_id, settled_by) REFERENCES staff,
  CONSTRAINT visit_conflicts_settled CHECK ((settled_at IS NULL) = (settled_by IS NULL) AND (settled_at IS NULL) = (settled_how IS NULL))
);
CREATE INDEX visit_conflicts_visit ON visit_conflicts (county_id, visit_id, recorded_at, id);
REVOKE UPDATE, DELETE, TRUNCATE ON visit_conflicts FROM lianxin_service;
GRANT UPDATE (coordinate_system, raw_lng, raw_lat, accuracy_m, mocked, left_out, said, settled_at, settled_by, settled_how) ON visit_conflicts TO lianxin_service;
COMMENT ON TABLE visit_conflicts IS 'What else came under the id of a visit: other words, or somebody else. The visit stays as it was until a person settles it.';
COMMENT ON COLUMN visit_conflicts.household_id IS 'The household that the other version names; it need not exist.';
COMMENT ON COLUMN visit_conflicts.unit_id IS 'Whose staff see this version: the household''s unit, or that of whoever sent it.';
COMMENT ON COLUMN visit_conflicts.said IS 'Sealed: what came, but for the position; none once erased.';
COMMENT ON COLUMN visit_conflicts.left_out IS 'As of a visit.';

CREATE TABLE visit_photos (
  county_id integer NOT NULL,
  visit_id uuid NOT NULL,
  photo_id uuid NOT NULL,
  attachment_id uuid NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (county_id, visit_id, photo_id),
  FOREIGN KEY (county_id, visit_id) REFERENCES visits
);
REVOKE UPDATE, DELETE, TRUNCATE ON visit_photos FROM lianxin_service;
COMMENT ON TABLE visit_photos IS 'Photos of a visit that have arrived: which attachment is which of those that it named.';
COMMENT ON COLUMN visit_photos.photo_id IS 'The phone''s own id, one of visits.photos.';

CREATE TABLE visit_findings (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  visit_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  resident_id uuid,
  kind text NOT NULL CHECK (kind IN ('note', 'concern')),
  words bytea,
  by_id uuid NOT NULL,
  at timestamptz NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, visit_id) REFERENCES visits,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, by_id) REFERENCES staff
);
CREATE INDEX visit_findings_unit ON visit_findings (county_id, unit_id, at, id);
CREATE INDEX visit_findings_visit ON visit_findings (county_id, visit_id, at, id);
CREATE INDEX visit_findings_resident ON visit_findings (county_id, resident_id, at, id) WHERE resident_id IS NOT NULL;
REVOKE UPDATE, DELETE, TRUNCATE ON visit_findings FROM lianxin_service;
GRANT UPDATE (resident_id, words, version) ON visit_findings TO lianxin_service;
COMMENT ON TABLE visit_findings IS 'What a visit found (民情登记): a note, or a concern (诉求) that something is made of.';
COMMENT ON COLUMN visit_findings.resident_id IS 'Whom it concerns, if it is somebody who is registered.';
COMMENT ON COLUMN visit_findings.words IS 'Sealed; none once erased.';

CREATE TABLE visit_cases (
  county_id integer NOT NULL,
  finding_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('errand', 'order', 'todo')),
  case_id uuid NOT NULL,
  by_id uuid NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (county_id, finding_id, kind, case_id),
  -- A case has come of one finding.
  CONSTRAINT visit_cases_one UNIQUE (county_id, kind, case_id),
  FOREIGN KEY (county_id, finding_id) REFERENCES visit_findings,
  FOREIGN KEY (county_id, by_id) REFERENCES staff
);
REVOKE UPDATE, DELETE, TRUNCATE ON visit_cases FROM lianxin_service;
COMMENT ON TABLE visit_cases IS 'Errands, orders and todos that were made of findings: found from either end.';

-- What follows from visits, for all that one statement writes at once: the change feed, and the tasks that they resolve.
CREATE FUNCTION visits_follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  made record;
BEGIN
  -- Nobody is told of what was made up whole (`lianxin generate`): it says nothing.
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
  SELECT n.county_id, 'visit', n.id, n.unit_id, n.staff_id, n.recorded_at FROM new_visits n WHERE n.said IS NOT NULL;
  FOR made IN SELECT n.* FROM new_visits n WHERE n.said IS NOT NULL AND n.outcome = 'seen' ORDER BY n.household_id, n.occurred_at, n.id LOOP
    PERFORM visit_tasks_resolve(made.county_id, made.household_id, made.id, made.on_date, made.recorded_at);
  END LOOP;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visits_follow IS 'The change feed of visits and the tasks that they resolve, in their own transaction.';
CREATE TRIGGER visits_follow AFTER INSERT ON visits REFERENCING NEW TABLE AS new_visits FOR EACH STATEMENT EXECUTE FUNCTION visits_follow();

CREATE FUNCTION visits_touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
  SELECT v.county_id, 'visit', v.id, v.unit_id, v.staff_id, NEW.at FROM visits v WHERE v.county_id = NEW.county_id AND v.id = NEW.visit_id;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visits_touched IS 'The change feed of what comes to a visit later.';
CREATE TRIGGER visits_touched AFTER INSERT ON visit_photos FOR EACH ROW EXECUTE FUNCTION visits_touched();

CREATE FUNCTION visits_amended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  made visits;
BEGIN
  UPDATE visits SET amended_outcome = coalesce(NEW.outcome, amended_outcome), version = version + 1
   WHERE county_id = NEW.county_id AND id = NEW.visit_id RETURNING * INTO made;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
  VALUES (made.county_id, 'visit', made.id, made.unit_id, made.staff_id, NEW.at);
  -- Somebody was seen after all.
  IF NEW.outcome = 'seen' AND made.outcome <> 'seen' THEN
    PERFORM visit_tasks_resolve(made.county_id, made.household_id, made.id, made.on_date, NEW.at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visits_amended IS 'What follows from an amendment: what counts, the change feed, and the task that it resolves.';
CREATE TRIGGER visits_amended AFTER INSERT ON visit_amendments FOR EACH ROW EXECUTE FUNCTION visits_amended();

-- Whoever must settle it learns of it, wherever the other version came from.
CREATE FUNCTION visit_conflicts_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE visits SET version = version + 1 WHERE county_id = NEW.county_id AND id = NEW.visit_id;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
  SELECT v.county_id, 'visit', v.id, v.unit_id, v.staff_id, coalesce(NEW.settled_at, NEW.recorded_at) FROM visits v WHERE v.county_id = NEW.county_id AND v.id = NEW.visit_id;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visit_conflicts_follow IS 'The change feed of a visit that another version came of, or whose other version was settled.';
CREATE TRIGGER visit_conflicts_follow AFTER INSERT OR UPDATE OF settled_at ON visit_conflicts FOR EACH ROW EXECUTE FUNCTION visit_conflicts_follow();

CREATE FUNCTION visit_findings_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at) VALUES (NEW.county_id, 'finding', NEW.id, NEW.unit_id, NEW.by_id, NEW.at);
  RETURN NULL;
END $$;
CREATE TRIGGER visit_findings_change AFTER INSERT ON visit_findings FOR EACH ROW EXECUTE FUNCTION visit_findings_change();
CREATE FUNCTION visit_cases_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE visit_findings SET version = version + 1 WHERE county_id = NEW.county_id AND id = NEW.finding_id;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
  SELECT f.county_id, 'finding', f.id, f.unit_id, f.by_id, NEW.at FROM visit_findings f WHERE f.county_id = NEW.county_id AND f.id = NEW.finding_id;
  RETURN NULL;
END $$;
CREATE TRIGGER visit_cases_change AFTER INSERT ON visit_cases FOR EACH ROW EXECUTE FUNCTION visit_cases_change();
COMMENT ON FUNCTION visit_findings_change IS 'The change feed of findings.';
COMMENT ON FUNCTION visit_cases_change IS 'The change feed of a finding that something was made of.';
