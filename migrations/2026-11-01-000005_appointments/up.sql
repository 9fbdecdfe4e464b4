CREATE TABLE matters (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  description text,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'withdrawn')),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  CONSTRAINT matters_name UNIQUE (county_id, name)
);
REVOKE DELETE, TRUNCATE ON matters FROM lianxin_service;
COMMENT ON TABLE matters IS 'The catalogue (事项): what can be done at a centre.';

CREATE TABLE windows (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  unit_id uuid NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  CONSTRAINT windows_name UNIQUE (county_id, unit_id, name)
);
COMMENT ON TABLE windows IS 'Service windows (窗口) of a unit''s centre.';

CREATE TABLE window_matters (
  county_id integer NOT NULL,
  window_id uuid NOT NULL,
  matter_id uuid NOT NULL,
  PRIMARY KEY (county_id, window_id, matter_id),
  FOREIGN KEY (county_id, window_id) REFERENCES windows,
  FOREIGN KEY (county_id, matter_id) REFERENCES matters
);
CREATE INDEX window_matters_matter ON window_matters (county_id, matter_id);
COMMENT ON TABLE window_matters IS 'Which matters a window serves.';

CREATE TABLE opening_rules (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  window_id uuid NOT NULL,
  weekdays smallint NOT NULL CHECK (weekdays BETWEEN 1 AND 127),
  opens_at time NOT NULL,
  closes_at time NOT NULL,
  slot_minutes smallint NOT NULL CHECK (slot_minutes BETWEEN 5 AND 480),
  capacity_public smallint NOT NULL CHECK (capacity_public BETWEEN 0 AND 1000),
  capacity_proxy smallint NOT NULL CHECK (capacity_proxy BETWEEN 0 AND 1000),
  capacity_desk smallint NOT NULL CHECK (capacity_desk BETWEEN 0 AND 1000),
  valid_from date NOT NULL,
  valid_until date,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, window_id) REFERENCES windows,
  CONSTRAINT opening_rules_hours CHECK (opens_at + slot_minutes * interval '1 minute' <= closes_at AND closes_at > opens_at),
  CONSTRAINT opening_rules_validity CHECK (valid_until IS NULL OR valid_until >= valid_from)
);
CREATE INDEX opening_rules_window ON opening_rules (county_id, window_id);
COMMENT ON TABLE opening_rules IS 'Recurring opening hours; free slots are computed from them and the calendar, never stored.';
COMMENT ON COLUMN opening_rules.weekdays IS 'Bit 0 is Monday, bit 6 is Sunday. A make-up workday follows Monday''s rules, a statutory holiday none.';

CREATE TABLE slot_usage (
  county_id integer NOT NULL,
  window_id uuid NOT NULL,
  starts_at timestamptz NOT NULL,
  channel text NOT NULL CHECK (channel IN ('public', 'proxy', 'desk')),
  taken smallint NOT NULL,
  capacity smallint NOT NULL,
  PRIMARY KEY (county_id, window_id, starts_at, channel),
  FOREIGN KEY (county_id, window_id) REFERENCES windows,
  CONSTRAINT slot_usage_never_overbooked CHECK (taken BETWEEN 0 AND capacity)
) WITH (fillfactor = 70);
COMMENT ON TABLE slot_usage IS 'How many places of a slot are taken. A row appears with the first booking; the CHECK makes overbooking impossible.';

CREATE TABLE appointments (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  unit_id uuid NOT NULL,
  window_id uuid NOT NULL,
  matter_id uuid NOT NULL,
  resident_id uuid NOT NULL,
  booked_by uuid,
  channel text NOT NULL CHECK (channel IN ('public', 'proxy', 'desk')),
  on_date date NOT NULL,
  starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
  state text NOT NULL CHECK (state IN ('booked', 'cancelled')),
  cancelled_at timestamptz,
  cancel_reason text,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  -- Every booking hangs on the usage row that it was counted in (and through it on window, unit and county).
  FOREIGN KEY (county_id, window_id, starts_at, channel) REFERENCES slot_usage,
  -- No foreign key to matters: everybody who books the same matter would lock the same row (FOR KEY SHARE, a multixact).
  -- Matters are withdrawn, never deleted, and the statement before reads the matter.
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, booked_by) REFERENCES staff,
  CONSTRAINT appointments_cancelled CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL))
);
CREATE UNIQUE INDEX appointments_one_a_day ON appointments (county_id, resident_id, matter_id, on_date) WHERE state = 'booked';
CREATE INDEX appointments_unit_day ON appointments (county_id, unit_id, starts_at, id);
CREATE INDEX appointments_resident ON appointments (county_id, resident_id, starts_at, id);
COMMENT ON TABLE appointments IS 'Appointments (预约). on_date is the local day (UTC+8) of starts_at.';
COMMENT ON COLUMN appointments.booked_by IS 'The member of staff who booked for the resident (代约人); beside the resident, never instead.';
