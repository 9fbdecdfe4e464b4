ALTER TABLE counties
  ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
  ADD COLUMN suspended_at timestamptz,
  ADD COLUMN suspended_because text,
  ADD COLUMN version bigint NOT NULL DEFAULT 1,
  ADD CONSTRAINT counties_suspended CHECK ((state = 'suspended') = (suspended_at IS NOT NULL AND suspended_because IS NOT NULL));
COMMENT ON COLUMN counties.state IS 'suspended: nobody logs in, sessions are refused but not ended, public reads are 404, jobs wait.';
COMMENT ON COLUMN counties.suspended_because IS 'For the operator of the installation; never answered to anybody, nor written to the audit log, which the county reads.';

CREATE TABLE audit_batches (
  county_id integer NOT NULL REFERENCES counties,
  id bigint NOT NULL CHECK (id > 0),
  rows bigint NOT NULL CHECK (rows > 0),
  first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL CHECK (last_at >= first_at),
  previous bytea NOT NULL CHECK (length(previous) = 32),
  digest bytea NOT NULL CHECK (length(digest) = 32),
  key_version smallint NOT NULL,
  signature bytea NOT NULL CHECK (length(signature) = 32),
  sealed_at timestamptz NOT NULL,
  pruned_at timestamptz,
  PRIMARY KEY (county_id, id)
);
REVOKE UPDATE, DELETE, TRUNCATE ON audit_batches FROM lianxin_service;
COMMENT ON TABLE audit_batches IS 'Seals over the audit log, a chain per county, because counties keep their logs for different times and may part. Append-only.';
COMMENT ON COLUMN audit_batches.id IS 'Counts from 1 without gaps within the county.';
COMMENT ON COLUMN audit_batches.previous IS 'Digest of the batch before; 32 zero bytes for the first.';
COMMENT ON COLUMN audit_batches.digest IS 'SHA-256 over previous, county, id, number of rows, and each row in order of (at, id): the byte form is defined in src/audit/seal.rs.';
COMMENT ON COLUMN audit_batches.signature IS 'HMAC-SHA-256 over digest and sealed_at under the master key named by key_version.';
COMMENT ON COLUMN audit_batches.pruned_at IS 'When the owner deleted its rows because they were kept long enough; number and digest stay.';

ALTER TABLE audit_log ADD COLUMN batch_id bigint,
  ADD CONSTRAINT audit_log_batch FOREIGN KEY (county_id, batch_id) REFERENCES audit_batches;
COMMENT ON COLUMN audit_log.batch_id IS 'The batch that seals the row; none until the next pass. What commits late is found later, because it is looked for by this column and not by time.';
CREATE INDEX audit_log_unsealed ON audit_log (county_id, at, id) WHERE batch_id IS NULL;
CREATE INDEX audit_log_sealed ON audit_log (county_id, batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX audit_log_at ON audit_log (county_id, at, id);
CREATE INDEX audit_log_action ON audit_log (county_id, action, at, id);
CREATE INDEX audit_log_kind ON audit_log (county_id, entity, at, id);
CREATE INDEX audit_log_actor ON audit_log (county_id, actor_id, at, id);
GRANT UPDATE (batch_id) ON audit_log TO lianxin_service;

CREATE FUNCTION audit_log_sealed_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'an audit entry is sealed once, by the pass that seals' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER audit_log_sealed_once BEFORE UPDATE OF batch_id ON audit_log FOR EACH ROW
  WHEN (OLD.batch_id IS NOT NULL AND NEW.batch_id IS DISTINCT FROM OLD.batch_id) EXECUTE FUNCTION audit_log_sealed_once();
CREATE TRIGGER audit_log_born_unsealed BEFORE INSERT ON audit_log FOR EACH ROW
  WHEN (NEW.batch_id IS NOT NULL) EXECUTE FUNCTION audit_log_sealed_once();
