DROP INDEX errands_open;
CREATE INDEX errands_open ON errands (county_id, unit_id, due_on, id) WHERE state NOT IN ('draft', 'delivered', 'archived', 'not_accepted', 'withdrawn', 'decided');
DROP INDEX errands_running_unit;
CREATE INDEX errands_running_unit ON errands (county_id, unit_id, created_at, id) WHERE due_on IS NOT NULL;

CREATE OR REPLACE FUNCTION visits_amended() RETURNS trigger LANGUAGE plpgsql AS $$
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
DROP FUNCTION visit_tasks_reopen;
COMMENT ON COLUMN visit_tasks.dropped_at IS 'The category changed, or the household was closed or merged.';
DROP TRIGGER staff_posts_households ON staff_posts;
DROP FUNCTION staff_posts_households;
ALTER TABLE household_imports ADD COLUMN file_name text NOT NULL DEFAULT '';
ALTER TABLE household_imports ALTER COLUMN file_name DROP DEFAULT;
ALTER TABLE visit_partners DROP COLUMN planned_until;
COMMENT ON COLUMN visit_partners.until_on IS 'Exclusive; none: until further notice.';
