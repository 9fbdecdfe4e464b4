-- Ratings (好差评): one for every appointment, errand and order that was finished, by the one who was served.

CREATE TABLE ratings (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  about_kind text NOT NULL CHECK (about_kind IN ('appointment', 'errand', 'order')),
  about_id uuid NOT NULL,
  resident_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  served_by uuid[] NOT NULL,
  grade smallint NOT NULL CHECK (grade BETWEEN 1 AND 5),
  reasons text[] NOT NULL CHECK (cardinality(reasons) <= 10),
  given_how text NOT NULL CHECK (given_how IN ('resident', 'proxy', 'agent')),
  given_by uuid NOT NULL,
  on_date date NOT NULL,
  entries smallint NOT NULL DEFAULT 1 CHECK (entries > 0),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  CONSTRAINT ratings_once UNIQUE (county_id, about_kind, about_id),
  -- Nobody writes down what is said about themselves.
  CONSTRAINT ratings_not_by_the_rated CHECK (NOT given_by = ANY (served_by))
);
CREATE INDEX ratings_unit ON ratings (county_id, unit_id, on_date);
CREATE INDEX ratings_created ON ratings (county_id, created_at, id);
CREATE INDEX ratings_resident ON ratings (county_id, resident_id, created_at, id);
CREATE INDEX ratings_given_by ON ratings (county_id, given_by, created_at, id);
REVOKE DELETE, TRUNCATE ON ratings FROM lianxin_service;
COMMENT ON TABLE ratings IS 'Ratings (好差评), as they are now: 5 非常满意 to 1 非常不满意. Those rated and their colleagues only ever see totals of past months.';
COMMENT ON COLUMN ratings.unit_id IS 'Whose service it was.';
COMMENT ON COLUMN ratings.served_by IS 'Members of staff and helpers who served; they see nothing of it.';
COMMENT ON COLUMN ratings.given_how IS 'resident: by the one who was served; proxy: by somebody who acts for them; agent: written down by staff for somebody without a phone.';
COMMENT ON COLUMN ratings.given_by IS 'Resident or member of staff.';
COMMENT ON COLUMN ratings.on_date IS 'The local day on which it was given: its month is where it counts.';
COMMENT ON COLUMN ratings.entries IS 'How often it was said: 1, and one more for each change.';

CREATE TABLE rating_entries (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  rating_id uuid NOT NULL,
  seq smallint NOT NULL CHECK (seq > 0),
  grade smallint NOT NULL CHECK (grade BETWEEN 1 AND 5),
  reasons text[] NOT NULL,
  words bytea,
  given_how text NOT NULL CHECK (given_how IN ('resident', 'proxy', 'agent')),
  given_by uuid NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, rating_id) REFERENCES ratings,
  CONSTRAINT rating_entries_seq UNIQUE (county_id, rating_id, seq)
);
REVOKE UPDATE, DELETE, TRUNCATE ON rating_entries FROM lianxin_service;
-- Words are erased with the record of whoever said them, and sealed again under a new key.
GRANT UPDATE (words) ON rating_entries TO lianxin_service;
COMMENT ON TABLE rating_entries IS 'What was said, every time: append-only but for the words, which can be erased.';
COMMENT ON COLUMN rating_entries.words IS 'Sealed.';
