-- Trips (收集归类、代为办理): an agent collects errands for one department and takes them there in one journey; and what waits
-- for a department's answer.

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
COMMENT ON TABLE department_waits IS 'What waits for a department: one row from each entry of the ledger that puts an errand with it or says that it answers later. The last one counts.';
COMMENT ON COLUMN department_waits.remind_on IS 'The day from which the department is reminded; counted by the sweep, which knows the calendar.';
COMMENT ON COLUMN department_waits.reminded_at IS 'When it was reminded, or found to wait no more.';

CREATE FUNCTION department_waits_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO department_waits (county_id, errand_id, seq, since)
  VALUES (NEW.county_id, NEW.errand_id, NEW.seq, (NEW.at AT TIME ZONE 'Asia/Shanghai')::date);
  RETURN NULL;
END $$;
CREATE TRIGGER department_waits_begin AFTER INSERT ON errand_ledger FOR EACH ROW
  WHEN (NEW.to_state = 'forwarded' AND NEW.step IN ('forward', 'later', 'resume')) EXECUTE FUNCTION department_waits_begin();
COMMENT ON FUNCTION department_waits_begin IS 'Whatever puts an errand with a department begins a wait, in the statement that writes its entry.';
