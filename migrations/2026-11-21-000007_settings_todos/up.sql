CREATE TABLE settings (
  county_id integer NOT NULL REFERENCES counties,
  key text NOT NULL,
  version bigint NOT NULL CHECK (version > 0),
  value jsonb NOT NULL,
  effective_from timestamptz NOT NULL,
  set_by uuid,
  set_at timestamptz NOT NULL,
  reason text,
  PRIMARY KEY (county_id, key, version),
  FOREIGN KEY (county_id, set_by) REFERENCES staff
);
REVOKE UPDATE, DELETE, TRUNCATE ON settings FROM lianxin_service;
COMMENT ON TABLE settings IS 'What a county decides otherwise than the default, with its history: append-only. In effect is the entry with the latest effective_from that has come; of equal ones the highest version.';
COMMENT ON COLUMN settings.version IS 'Counts per setting; two who set it at once meet at the primary key.';

INSERT INTO settings (county_id, key, version, value, effective_from, set_at)
  SELECT id, 'booking.days_ahead', 1, to_jsonb(booking_days_ahead), created_at, created_at FROM counties WHERE booking_days_ahead <> 7
  UNION ALL
  SELECT id, 'booking.cancel_minutes_before', 1, to_jsonb(cancel_minutes_before), created_at, created_at FROM counties WHERE cancel_minutes_before <> 120;
ALTER TABLE counties DROP COLUMN booking_days_ahead, DROP COLUMN cancel_minutes_before;

ALTER TABLE sessions DROP CONSTRAINT sessions_ended_because_check;
ALTER TABLE sessions ADD CONSTRAINT sessions_ended_because CHECK (ended_because IN
  ('logout', 'refresh_reused', 'dismissed', 'disabled', 'password', 'merged', 'closed', 'device', 'cover_ended'));

CREATE TABLE todos (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('call', 'visit', 'slip', 'decide', 'failure')),
  unit_id uuid,
  resident_id uuid,
  about text,
  about_id uuid,
  title_zh text NOT NULL CHECK (title_zh <> ''),
  title_en text NOT NULL CHECK (title_en <> ''),
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'taken', 'done', 'dropped')),
  holder_id uuid,
  due_at timestamptz,
  note bytea,
  done_by uuid,
  done_at timestamptz,
  version bigint NOT NULL DEFAULT 1,
  created_by uuid,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, holder_id) REFERENCES staff,
  FOREIGN KEY (county_id, done_by) REFERENCES staff,
  FOREIGN KEY (county_id, created_by) REFERENCES staff,
  CONSTRAINT todos_about CHECK ((about IS NULL) = (about_id IS NULL)),
  CONSTRAINT todos_taken CHECK (state <> 'taken' OR holder_id IS NOT NULL),
  CONSTRAINT todos_done CHECK ((state IN ('done', 'dropped')) = (done_at IS NOT NULL))
);
CREATE UNIQUE INDEX todos_once ON todos (county_id, kind, about, about_id) WHERE state IN ('open', 'taken') AND about IS NOT NULL;
CREATE INDEX todos_waiting ON todos (county_id, created_at, id) WHERE state IN ('open', 'taken');
CREATE INDEX todos_state ON todos (county_id, state, created_at, id);
CREATE INDEX todos_holder ON todos (county_id, holder_id, created_at, id) WHERE state IN ('open', 'taken');
CREATE INDEX todos_resident ON todos (county_id, resident_id) WHERE resident_id IS NOT NULL;
COMMENT ON TABLE todos IS 'What waits for a human (待办): call this person, print that slip, look at this failure.';
COMMENT ON COLUMN todos.about IS 'The thing that it is about, by entity and id; at most one that is not done per kind and thing.';
COMMENT ON COLUMN todos.unit_id IS 'Whose staff see it; none: the county''s administrators.';
COMMENT ON COLUMN todos.note IS 'Sealed: what was found out or done.';
