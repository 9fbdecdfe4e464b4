DROP TRIGGER department_waits_begin ON errand_ledger;
DROP TABLE department_waits, trip_errands, trips;
DROP FUNCTION department_waits_begin, trips_follow;
DELETE FROM changes WHERE entity = 'trip';
