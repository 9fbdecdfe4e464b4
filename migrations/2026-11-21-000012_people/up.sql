ALTER TABLE residents
  ADD COLUMN merged_into uuid,
  ADD COLUMN id_number_claim bytea,
  ADD FOREIGN KEY (county_id, merged_into) REFERENCES residents,
  DROP CONSTRAINT residents_reached,
  ADD CONSTRAINT residents_reached CHECK (wechat_openid IS NOT NULL OR registered_by IS NOT NULL
    OR merged_into IS NOT NULL OR closed_at IS NOT NULL),
  ADD CONSTRAINT residents_merged CHECK (merged_into IS NULL OR
    (name IS NULL AND id_number IS NULL AND phone IS NULL AND wechat_openid IS NULL AND id_number_claim IS NULL AND merged_into <> id));
CREATE INDEX residents_merged_into ON residents (county_id, merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX residents_id_number_claim ON residents (county_id, id_number_claim) WHERE id_number_claim IS NOT NULL;
COMMENT ON COLUMN residents.merged_into IS 'This record turned out to be that one; its id leads there. Never a chain: a later merge moves all of them.';
COMMENT ON COLUMN residents.id_number_claim IS 'Blind index of a number that nobody has checked: duplicates are found by it, people are not.';

CREATE TABLE resident_merges (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  from_id uuid NOT NULL,
  into_id uuid NOT NULL,
  snapshot bytea NOT NULL,
  moved jsonb NOT NULL,
  reason text NOT NULL,
  merged_by uuid NOT NULL,
  merged_by_role text NOT NULL,
  merged_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, from_id) REFERENCES residents,
  FOREIGN KEY (county_id, into_id) REFERENCES residents
);
CREATE INDEX resident_merges_into ON resident_merges (county_id, into_id);
REVOKE TRUNCATE ON resident_merges FROM lianxin_service;
COMMENT ON TABLE resident_merges IS 'Which record was merged into which, by whom and why, with what the vanished one said.';
COMMENT ON COLUMN resident_merges.snapshot IS 'Sealed JSON: name, masked ID number, phone, identity of the vanished record.';
COMMENT ON COLUMN resident_merges.moved IS 'How many things of which room went over.';

CREATE TABLE one_time_codes (
  county_id integer NOT NULL,
  purpose text NOT NULL,
  subject_id uuid NOT NULL,
  index bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, purpose, subject_id),
  CONSTRAINT one_time_codes_index UNIQUE (county_id, purpose, index)
);
CREATE INDEX one_time_codes_expiry ON one_time_codes (expires_at);
COMMENT ON TABLE one_time_codes IS 'Codes that one person shows and another types. Only the newest of a subject is good, and only once.';
COMMENT ON COLUMN one_time_codes.index IS 'Keyed hash of the code.';

CREATE TABLE proxies (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  resident_id uuid NOT NULL,
  proxy_id uuid,
  relation text NOT NULL CHECK (relation IN ('spouse', 'child', 'parent', 'grandchild', 'relative', 'neighbour', 'carer', 'guardian')),
  may text[] NOT NULL CHECK (cardinality(may) > 0 AND may <@ ARRAY['book', 'order', 'errand']),
  valid_until date NOT NULL,
  given_how text NOT NULL CHECK (given_how IN ('in_mini_program', 'signed', 'spoken', 'by_law')),
  given_by uuid,
  state text NOT NULL CHECK (state IN ('invited', 'active', 'ended')),
  accepted_at timestamptz,
  ended_at timestamptz,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, proxy_id) REFERENCES residents,
  FOREIGN KEY (county_id, given_by) REFERENCES staff,
  CONSTRAINT proxies_of_another CHECK (proxy_id <> resident_id),
  CONSTRAINT proxies_accepted CHECK (state <> 'active' OR (proxy_id IS NOT NULL AND accepted_at IS NOT NULL)),
  CONSTRAINT proxies_ended CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
  CONSTRAINT proxies_guardian CHECK ((relation = 'guardian') = (given_how = 'by_law'))
);
CREATE UNIQUE INDEX proxies_once ON proxies (county_id, resident_id, proxy_id) WHERE state = 'active';
CREATE INDEX proxies_resident ON proxies (county_id, resident_id, created_at, id);
CREATE INDEX proxies_proxy ON proxies (county_id, proxy_id, created_at, id) WHERE proxy_id IS NOT NULL;
COMMENT ON TABLE proxies IS 'Relatives, carers and guardians who may act for a resident (代约人、监护人), for what and until when.';
COMMENT ON COLUMN proxies.given_by IS 'The member of staff who recorded what the resident signed or said; none when the resident did it in the mini-program.';
COMMENT ON COLUMN proxies.valid_until IS 'Last day, local time; a guardian''s is the day before the 14th birthday.';

CREATE FUNCTION acts_for(county integer, resident uuid, proxy uuid, what text, today date) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM proxies p WHERE p.county_id = county AND p.resident_id = resident AND p.proxy_id = proxy
    AND p.state = 'active' AND what = ANY (p.may) AND p.valid_until >= today)
$$;
COMMENT ON FUNCTION acts_for IS 'Whether somebody may do something for a resident today: defined once.';

ALTER TABLE appointments ADD COLUMN booked_by_resident uuid, ADD FOREIGN KEY (county_id, booked_by_resident) REFERENCES residents;
CREATE INDEX appointments_booked_by_resident ON appointments (county_id, booked_by_resident) WHERE booked_by_resident IS NOT NULL;
COMMENT ON COLUMN appointments.booked_by_resident IS 'The relative or carer who booked for the resident (代约人); beside the resident, never instead.';

ALTER TABLE matters ADD COLUMN identity_level text NOT NULL DEFAULT 'none' CHECK (identity_level IN ('none', 'phone', 'officer'));
COMMENT ON COLUMN matters.identity_level IS 'How sure we must be who a resident is before the matter can be booked online.';
