UPDATE todos SET state = 'dropped', done_at = now(), version = version + 1, updated_at = now() WHERE about = 'visit' AND kind = 'decide' AND state IN ('open', 'taken');
DROP FUNCTION covered_by;
CREATE OR REPLACE FUNCTION visit_conflicts_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE visits SET version = version + 1 WHERE county_id = NEW.county_id AND id = NEW.visit_id;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
  SELECT v.county_id, 'visit', v.id, v.unit_id, v.staff_id, coalesce(NEW.settled_at, NEW.recorded_at) FROM visits v WHERE v.county_id = NEW.county_id AND v.id = NEW.visit_id;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visit_conflicts_follow IS 'The change feed of a visit that another version came of, or whose other version was settled.';
CREATE OR REPLACE FUNCTION visits_amended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  made visits;
  counted text;
BEGIN
  SELECT coalesce(v.amended_outcome, v.outcome) INTO counted FROM visits v WHERE v.county_id = NEW.county_id AND v.id = NEW.visit_id FOR NO KEY UPDATE;
  UPDATE visits SET amended_outcome = coalesce(NEW.outcome, amended_outcome), version = version + 1
   WHERE county_id = NEW.county_id AND id = NEW.visit_id RETURNING * INTO made;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
  VALUES (made.county_id, 'visit', made.id, made.unit_id, made.staff_id, NEW.at);
  IF NEW.outcome = 'seen' AND counted <> 'seen' THEN
    PERFORM visit_tasks_resolve(made.county_id, made.household_id, made.id, made.on_date, NEW.at);
  ELSIF NEW.outcome <> 'seen' AND counted = 'seen' THEN
    PERFORM visit_tasks_reopen(made.county_id, made.household_id, made.id, NEW.at);
  END IF;
  RETURN NULL;
END $$;
DROP TRIGGER visit_conflicts_agreed ON visit_conflicts;
DROP TRIGGER visits_agreed ON visits;
DROP FUNCTION positions_still_agreed;
DROP FUNCTION household_refuses;
ALTER TABLE visits DROP COLUMN amended_place;
DROP TRIGGER household_members_first ON household_members;
DROP FUNCTION household_members_first;
ALTER TABLE household_members DROP COLUMN first;
ALTER TABLE households DROP COLUMN closed_on;
DROP INDEX visit_conflicts_household;
DROP INDEX visit_tasks_late;
