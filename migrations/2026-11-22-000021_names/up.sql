-- Errands are found by the exact name of whom they are for, and their lists read no more than a page, however many are over.

ALTER TABLE residents
  ADD COLUMN name_index bytea,
  -- What is erased is not found any more. A name of before has no index until `lianxin keys reseal` gives it one.
  ADD CONSTRAINT residents_name_indexed CHECK (name IS NOT NULL OR name_index IS NULL);
CREATE INDEX residents_name ON residents (county_id, name_index) WHERE name_index IS NOT NULL;
COMMENT ON COLUMN residents.name_index IS 'Blind index of the name in one form (NFKC, without whitespace); namesakes share it.';

-- One resident's are few enough to be sorted; by unit, what namesakes have elsewhere is skipped.
DROP INDEX errands_resident;
CREATE INDEX errands_resident ON errands (county_id, resident_id, unit_id, created_at, id);
CREATE INDEX errands_state ON errands (county_id, unit_id, state, created_at, id);
CREATE INDEX errands_running_unit ON errands (county_id, unit_id, created_at, id) WHERE due_on IS NOT NULL;
CREATE INDEX errands_of_matter ON errands (county_id, unit_id, matter_id, created_at, id);
CREATE INDEX errands_held ON errands (county_id, unit_id, holder_id, created_at, id);
CREATE INDEX errands_department_state ON errands (county_id, department_id, state, created_at, id) WHERE state IN ('forwarded', 'suspended', 'decided', 'delivered', 'archived');

-- Whatever does not begin as a draft was made up (`lianxin generate`): no phone has to learn of it.
DROP TRIGGER errands_follow_insert ON errands;
CREATE TRIGGER errands_follow_insert AFTER INSERT ON errands FOR EACH ROW WHEN (NEW.state = 'draft') EXECUTE FUNCTION errands_follow();

COMMENT ON COLUMN errands.calendar_digest IS 'What the dates were computed by: the calendar, and the settings of the lamp.';
