DROP TRIGGER department_waits_begin ON errand_ledger;
DROP TRIGGER department_answered ON errand_ledger;
DROP TABLE department_waits, trip_errands, trips;
DROP FUNCTION department_waits_begin, department_answered, trips_follow;
DROP TABLE errand_originals;
DROP FUNCTION errand_originals_follow;
DELETE FROM changes WHERE entity IN ('trip', 'original');

CREATE TABLE errand_originals (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  errand_id uuid NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  state text NOT NULL CHECK (state IN ('held', 'with_department', 'returned')),
  with_id uuid,
  passed_to uuid,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, errand_id) REFERENCES errands,
  FOREIGN KEY (county_id, with_id) REFERENCES staff,
  FOREIGN KEY (county_id, passed_to) REFERENCES staff,
  CONSTRAINT errand_originals_held CHECK ((state = 'held') = (with_id IS NOT NULL)),
  CONSTRAINT errand_originals_passed CHECK (passed_to IS NULL OR state = 'held')
);
CREATE INDEX errand_originals_errand ON errand_originals (county_id, errand_id);
CREATE INDEX errand_originals_held_by ON errand_originals (county_id, with_id) WHERE with_id IS NOT NULL;
REVOKE DELETE, TRUNCATE ON errand_originals FROM lianxin_service;
COMMENT ON TABLE errand_originals IS 'Originals in our hands (证件交接). Every hand-over and return is an entry of the ledger, acknowledged by the other side.';
COMMENT ON COLUMN errand_originals.passed_to IS 'Who has been handed it and has not acknowledged it yet; until then with_id has it.';


ALTER TABLE errands DROP COLUMN asked;
DROP INDEX errands_department;
CREATE INDEX errands_department ON errands (county_id, department_id, created_at, id) WHERE state IN ('forwarded', 'decided', 'delivered', 'archived');
