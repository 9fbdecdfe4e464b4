-- Custody of originals (证件交接), trips (收集归类、代为办理): an agent collects errands for one department and takes them there in one
-- journey; and what waits for a department's answer.

-- Nothing has written it before: the table as it is needed.
DROP TABLE errand_originals;
CREATE TABLE errand_originals (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  errand_id uuid NOT NULL,
  name bytea,
  state text NOT NULL CHECK (state IN ('held', 'with_department', 'handed_back', 'returned')),
  with_id uuid,
  passed_to uuid,
  taken_how text CHECK (taken_how IN ('in_mini_program', 'signed')),
  returned_how text CHECK (returned_how IN ('in_mini_program', 'signed')),
  seq integer NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, errand_id) REFERENCES errands,
  FOREIGN KEY (county_id, with_id) REFERENCES staff,
  FOREIGN KEY (county_id, passed_to) REFERENCES staff,
  -- No movement without its entry, and no entry that tells of two.
  FOREIGN KEY (county_id, errand_id, seq) REFERENCES errand_ledger,
  CONSTRAINT errand_originals_told UNIQUE (county_id, errand_id, seq),
  -- Until the resident has it back, somebody answers for it.
  CONSTRAINT errand_originals_answerable CHECK ((state = 'returned') = (with_id IS NULL)),
  CONSTRAINT errand_originals_acknowledged CHECK ((state = 'returned') = (returned_how IS NOT NULL)),
  CONSTRAINT errand_originals_passed CHECK (passed_to IS NULL OR state = 'held' AND passed_to <> with_id)
);
CREATE INDEX errand_originals_errand ON errand_originals (county_id, errand_id, created_at, id);
CREATE INDEX errand_originals_with ON errand_originals (county_id, with_id) WHERE with_id IS NOT NULL;
CREATE INDEX errand_originals_passed_to ON errand_originals (county_id, passed_to) WHERE passed_to IS NOT NULL;
REVOKE DELETE, TRUNCATE ON errand_originals FROM lianxin_service;
COMMENT ON TABLE errand_originals IS 'Originals in our hands (证件交接). Every movement is an entry of the ledger; the hand-over and the return are acknowledged by the resident, what goes from one of us to another by whoever receives it.';
COMMENT ON COLUMN errand_originals.name IS 'Sealed; what it is. None after an erasure.';
COMMENT ON COLUMN errand_originals.with_id IS 'Who has it in hand and answers for it; while it is with the department: who brought it there; while handed_back: who says that the resident has it.';
COMMENT ON COLUMN errand_originals.passed_to IS 'Who has been handed it and has not acknowledged it yet; until then with_id has it.';
COMMENT ON COLUMN errand_originals.taken_how IS 'How the resident acknowledged that it was handed over; returned_how: that it came back.';
COMMENT ON COLUMN errand_originals.seq IS 'The entry of the ledger that tells of its last movement.';

CREATE FUNCTION errand_originals_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at)
  SELECT NEW.county_id, 'original', NEW.id, e.unit_id, e.resident_id, NEW.with_id, NEW.updated_at FROM errands e
   WHERE e.county_id = NEW.county_id AND e.id = NEW.errand_id;
  IF NEW.passed_to IS NOT NULL THEN
    INSERT INTO changes (county_id, entity, entity_id, staff_id, at) VALUES (NEW.county_id, 'original', NEW.id, NEW.passed_to, NEW.updated_at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION errand_originals_follow IS 'The change feed of every movement, in its own transaction.';
CREATE TRIGGER errand_originals_follow AFTER INSERT OR UPDATE ON errand_originals FOR EACH ROW EXECUTE FUNCTION errand_originals_follow();

CREATE TABLE trips (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  number text NOT NULL CHECK (number ~ '^T[0-9]{6}-[0-9]{6}$'),
  agent_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  department_id uuid NOT NULL,
  on_date date NOT NULL,
  state text NOT NULL CHECK (state IN ('planned', 'under_way', 'done', 'cancelled')),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  CONSTRAINT trips_number UNIQUE (county_id, number),
  FOREIGN KEY (county_id, agent_id) REFERENCES staff,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, department_id) REFERENCES departments
);
CREATE INDEX trips_agent ON trips (county_id, agent_id, on_date) WHERE state IN ('planned', 'under_way');
CREATE INDEX trips_page ON trips (county_id, created_at, id);
REVOKE DELETE, TRUNCATE ON trips FROM lianxin_service;
COMMENT ON TABLE trips IS 'Trips (收集归类、代为办理): errands for one department, taken there by one agent in one journey.';
COMMENT ON COLUMN trips.agent_id IS 'Who makes the trip; unit_id: the unit of their post when it was planned.';

CREATE TABLE trip_errands (
  county_id integer NOT NULL,
  trip_id uuid NOT NULL,
  errand_id uuid NOT NULL,
  open boolean NOT NULL DEFAULT true,
  result text NOT NULL DEFAULT 'none' CHECK (result IN ('none', 'accepted', 'refused', 'later', 'not_handed_in')),
  seq integer,
  PRIMARY KEY (county_id, trip_id, errand_id),
  FOREIGN KEY (county_id, trip_id) REFERENCES trips,
  FOREIGN KEY (county_id, errand_id) REFERENCES errands,
  FOREIGN KEY (county_id, errand_id, seq) REFERENCES errand_ledger,
  CONSTRAINT trip_errands_answered CHECK (NOT open OR result = 'none'),
  CONSTRAINT trip_errands_told CHECK (result IN ('none', 'not_handed_in') OR seq IS NOT NULL)
);
-- An errand is on one open trip at most.
CREATE UNIQUE INDEX trip_errands_once ON trip_errands (county_id, errand_id) WHERE open;
REVOKE DELETE, TRUNCATE ON trip_errands FROM lianxin_service;
COMMENT ON TABLE trip_errands IS 'The errands of a trip, and what came of each.';
COMMENT ON COLUMN trip_errands.open IS 'Planned or on the way, without a result.';
COMMENT ON COLUMN trip_errands.seq IS 'The entry of the ledger that tells of the result; the words lie with it.';

CREATE FUNCTION trips_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at) VALUES (NEW.county_id, 'trip', NEW.id, NEW.unit_id, NEW.agent_id, NEW.updated_at);
  IF TG_OP = 'UPDATE' AND OLD.agent_id <> NEW.agent_id THEN
    INSERT INTO changes (county_id, entity, entity_id, staff_id, gone, at) VALUES (NEW.county_id, 'trip', NEW.id, OLD.agent_id, true, NEW.updated_at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION trips_follow IS 'The change feed of every trip, in its own transaction.';
CREATE TRIGGER trips_follow AFTER INSERT OR UPDATE ON trips FOR EACH ROW EXECUTE FUNCTION trips_follow();

CREATE TABLE department_waits (
  county_id integer NOT NULL,
  errand_id uuid NOT NULL,
  seq integer NOT NULL,
  since date NOT NULL,
  remind_on date,
  reminded_at timestamptz,
  PRIMARY KEY (county_id, errand_id, seq),
  FOREIGN KEY (county_id, errand_id, seq) REFERENCES errand_ledger
);
CREATE INDEX department_waits_new ON department_waits (county_id) WHERE remind_on IS NULL;
CREATE INDEX department_waits_due ON department_waits (remind_on) WHERE reminded_at IS NULL;
REVOKE TRUNCATE ON department_waits FROM lianxin_service;
COMMENT ON TABLE department_waits IS 'What waits for a department: one row from each entry of the ledger that puts an errand with it, says that it answers later, or reminds it. The last one counts.';
COMMENT ON COLUMN department_waits.remind_on IS 'The day from which the department is reminded; counted by the sweep, which knows the calendar.';
COMMENT ON COLUMN department_waits.reminded_at IS 'When it was reminded, or found to wait no more.';

CREATE FUNCTION department_waits_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Only of the newest entry: what was made up whole (`lianxin generate`) has been answered since.
  INSERT INTO department_waits (county_id, errand_id, seq, since)
  SELECT NEW.county_id, NEW.errand_id, NEW.seq, (NEW.at AT TIME ZONE 'Asia/Shanghai')::date FROM errands e
   WHERE e.county_id = NEW.county_id AND e.id = NEW.errand_id AND e.entries = NEW.seq;
  RETURN NULL;
END $$;
CREATE TRIGGER department_waits_begin AFTER INSERT ON errand_ledger FOR EACH ROW
  WHEN (NEW.to_state = 'forwarded' AND NEW.step IN ('forward', 'later', 'resume', 'remind') AND NOT NEW.facts ? 'escalated') EXECUTE FUNCTION department_waits_begin();
COMMENT ON FUNCTION department_waits_begin IS 'Whatever puts an errand with a department begins a wait, in the statement that writes its entry.';

CREATE FUNCTION department_answered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  WITH settled AS (
    UPDATE todos SET state = 'dropped', done_at = NEW.at, version = version + 1, updated_at = NEW.at
     WHERE county_id = NEW.county_id AND about IN ('errand_of_department', 'errand_unanswered') AND about_id = NEW.errand_id
       AND state IN ('open', 'taken') RETURNING id, unit_id, holder_id)
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
  SELECT NEW.county_id, 'todo', id, unit_id, holder_id, NEW.at FROM settled;
  RETURN NULL;
END $$;
CREATE TRIGGER department_answered AFTER INSERT ON errand_ledger FOR EACH ROW
  WHEN (NEW.from_state = 'forwarded' AND (NEW.to_state <> 'forwarded' OR NEW.step = 'later')) EXECUTE FUNCTION department_answered();
COMMENT ON FUNCTION department_answered IS 'Whoever was to remind a department, or was reminded, need not any more: it has answered, or the errand is no longer with it.';

-- What was asked for and has not been brought yet; what stands still with a department stays in its sight.
ALTER TABLE errands ADD COLUMN asked text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN errands.asked IS 'Keys of the materials that were asked for last (一次性告知), until they are there.';
DROP INDEX errands_department;
CREATE INDEX errands_department ON errands (county_id, department_id, created_at, id) WHERE state IN ('forwarded', 'suspended', 'decided', 'delivered', 'archived');
