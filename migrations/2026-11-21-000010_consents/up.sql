CREATE TABLE consent_texts (
  county_id integer NOT NULL REFERENCES counties,
  purpose text NOT NULL CHECK (purpose IN ('id_number', 'health', 'position', 'under_14')),
  version bigint NOT NULL CHECK (version > 0),
  id uuid NOT NULL,
  zh text NOT NULL CHECK (zh <> ''),
  en text NOT NULL CHECK (en <> ''),
  effective_from timestamptz NOT NULL,
  published_by uuid,
  published_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, purpose, version),
  FOREIGN KEY (county_id, published_by) REFERENCES staff,
  CONSTRAINT consent_texts_id UNIQUE (county_id, id)
);
REVOKE UPDATE, DELETE, TRUNCATE ON consent_texts FROM lianxin_service;
COMMENT ON TABLE consent_texts IS 'What residents are asked to agree to, per purpose (个人信息保护法 art. 17, 29, 31), with its history: append-only. In effect is the text with the latest effective_from that has come; of equal ones the highest version.';
COMMENT ON COLUMN consent_texts.version IS 'Counts per purpose; two who publish at once meet at the primary key.';

ALTER TABLE residents ADD COLUMN closed_at timestamptz;
ALTER TABLE residents DROP CONSTRAINT residents_reached;
ALTER TABLE residents ADD CONSTRAINT residents_reached CHECK (wechat_openid IS NOT NULL OR registered_by IS NOT NULL OR closed_at IS NOT NULL);
ALTER TABLE residents ADD CONSTRAINT residents_closed CHECK (closed_at IS NULL OR num_nonnulls(name, id_number, phone, wechat_openid) = 0);
CREATE INDEX residents_closed_at ON residents (county_id, closed_at) WHERE closed_at IS NOT NULL;
COMMENT ON COLUMN residents.closed_at IS 'Closed at the person''s request (个人信息保护法 art. 47): erased, found by nobody; appointments of the past still hang on the row.';

CREATE TABLE consents (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  resident_id uuid NOT NULL,
  purpose text NOT NULL,
  version bigint NOT NULL,
  answer text NOT NULL CHECK (answer IN ('given', 'refused', 'withdrawn')),
  how text NOT NULL CHECK (how IN ('in_mini_program', 'signed', 'spoken', 'by_guardian')),
  by_resident uuid,
  by_staff uuid,
  at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, purpose, version) REFERENCES consent_texts,
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, by_resident) REFERENCES residents,
  FOREIGN KEY (county_id, by_staff) REFERENCES staff,
  CONSTRAINT consents_by CHECK (num_nonnulls(by_resident, by_staff) = 1),
  -- Only a guardian agrees for a child (art. 31); withdrawing must be easy (art. 15).
  CONSTRAINT consents_guardian CHECK (purpose <> 'under_14' OR answer <> 'given' OR how = 'by_guardian')
);
CREATE INDEX consents_latest ON consents (county_id, resident_id, purpose, at, seq);
REVOKE UPDATE, TRUNCATE ON consents FROM lianxin_service;
COMMENT ON TABLE consents IS 'What residents answered, per purpose: a ledger; the latest entry counts. The service cannot change an entry, and can delete it only once the record is closed (retention: settings privacy.consent_years).';
COMMENT ON COLUMN consents.seq IS 'Order of entries of the same moment; entries of one resident are written under the lock of their record.';
COMMENT ON COLUMN consents.by_staff IS 'Who recorded what they heard or saw; otherwise by_resident answered on a phone.';

CREATE FUNCTION consents_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM residents r WHERE r.county_id = OLD.county_id AND r.id = OLD.resident_id AND r.closed_at IS NOT NULL) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the consents of a record are kept while it is open' USING ERRCODE = 'insufficient_privilege';
END $$;
COMMENT ON FUNCTION consents_are_kept IS 'Retention may cut the ledger of a closed record; nothing may cut that of an open one.';
CREATE TRIGGER consents_are_kept BEFORE DELETE ON consents FOR EACH ROW EXECUTE FUNCTION consents_are_kept();

CREATE TABLE data_requests (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  resident_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('export', 'correct', 'close')),
  state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'running', 'ready', 'done', 'refused', 'expired')),
  words bytea,
  asked_by uuid,
  decided_by uuid,
  reason bytea,
  due_at timestamptz NOT NULL,
  archive bytea,
  counts jsonb,
  kept jsonb,
  asked_at timestamptz NOT NULL,
  ready_at timestamptz,
  expires_at timestamptz,
  ended_at timestamptz,
  version bigint NOT NULL DEFAULT 1,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, asked_by) REFERENCES staff,
  FOREIGN KEY (county_id, decided_by) REFERENCES staff,
  CONSTRAINT data_requests_archive CHECK ((state = 'ready') = (archive IS NOT NULL)),
  CONSTRAINT data_requests_ready CHECK (state NOT IN ('ready', 'expired') OR (kind = 'export' AND expires_at IS NOT NULL)),
  CONSTRAINT data_requests_ended CHECK ((state IN ('done', 'refused', 'expired')) = (ended_at IS NOT NULL))
);
CREATE UNIQUE INDEX data_requests_one ON data_requests (county_id, resident_id, kind) WHERE state IN ('requested', 'running');
CREATE INDEX data_requests_resident ON data_requests (county_id, resident_id, asked_at, id);
CREATE INDEX data_requests_expiry ON data_requests (expires_at) WHERE state = 'ready';
REVOKE DELETE, TRUNCATE ON data_requests FROM lianxin_service;
COMMENT ON TABLE data_requests IS 'What residents ask about their own data (个人信息保护法 art. 44-50): a copy, a correction, closing the record. At most one waits per kind and resident.';
COMMENT ON COLUMN data_requests.words IS 'Sealed: what the person asks for.';
COMMENT ON COLUMN data_requests.reason IS 'Sealed: why it was decided so, told to the person (art. 50).';
COMMENT ON COLUMN data_requests.archive IS 'Sealed: the copy, JSON; gone once it has expired.';
COMMENT ON COLUMN data_requests.asked_by IS 'The member of staff who wrote it down at the desk; none: asked by the resident on a phone.';
COMMENT ON COLUMN data_requests.counts IS 'How many things of each room were copied or erased.';
COMMENT ON COLUMN data_requests.kept IS 'What the law keeps of a closed record, and until when.';
