COMMENT ON COLUMN errands.calendar_digest IS 'The calendar that due_on was computed by.';
DROP TRIGGER errands_follow_insert ON errands;
CREATE TRIGGER errands_follow_insert AFTER INSERT ON errands FOR EACH ROW EXECUTE FUNCTION errands_follow();
DROP INDEX errands_department_state;
DROP INDEX errands_held;
DROP INDEX errands_running_unit;
DROP INDEX errands_state;
ALTER TABLE residents DROP CONSTRAINT residents_name_indexed, DROP COLUMN name_index;
