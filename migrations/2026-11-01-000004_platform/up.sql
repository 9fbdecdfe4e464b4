-- Hot tables name their county without a foreign key: every insert would lock the same county row (FOR KEY SHARE, a multixact).
-- Counties are never deleted.
CREATE TABLE idempotency_keys (
  county_id integer NOT NULL,
  caller_id uuid NOT NULL,
  operation text NOT NULL,
  key text NOT NULL,
  request_digest bytea NOT NULL,
  status smallint NOT NULL,
  location text,
  etag text,
  body bytea NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, caller_id, operation, key)
);
-- Rows arrive in the order of time: a BRIN index finds the old ones and costs an insert nothing.
CREATE INDEX idempotency_keys_age ON idempotency_keys USING brin (created_at);
COMMENT ON TABLE idempotency_keys IS 'Answers to repeat, byte for byte, for 7 days. Written in the transaction that they answer for; only successes.';
COMMENT ON COLUMN idempotency_keys.body IS 'Sealed: answers hold personal data.';

CREATE FUNCTION idempotency_gate(lock bigint, county integer, caller uuid, name text, k text)
RETURNS TABLE (locked boolean, request_digest bytea, status smallint, location text, etag text, body bytea)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  locked := pg_try_advisory_xact_lock(lock);
  SELECT i.request_digest, i.status, i.location, i.etag, i.body
    INTO request_digest, status, location, etag, body
    FROM idempotency_keys i
   WHERE i.county_id = county AND i.caller_id = caller AND i.operation = name AND i.key = k;
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION idempotency_gate IS 'Takes the lock of a key and only then looks for its answer. A volatile function gives the second step a new snapshot; in one plain statement an answer committed between the two would be missed.';

CREATE TABLE changes (
  county_id integer NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  seq bigint GENERATED ALWAYS AS IDENTITY,
  entity text NOT NULL,
  entity_id uuid NOT NULL,
  unit_id uuid,
  resident_id uuid,
  staff_id uuid,
  gone boolean NOT NULL DEFAULT false,
  at timestamptz NOT NULL,
  PRIMARY KEY (county_id, xid, seq)
);
CREATE INDEX changes_age ON changes USING brin (at);
REVOKE UPDATE ON changes FROM lianxin_service;
COMMENT ON TABLE changes IS 'What phones must learn of. Readers take what lies below pg_snapshot_xmin, in (xid, seq) order: the only order in which a late commit cannot be skipped.';
COMMENT ON COLUMN changes.unit_id IS 'Who must learn of it: the staff of this unit and those above, this resident, this member of staff.';
COMMENT ON COLUMN changes.gone IS 'The entity is deleted or no longer visible: a tombstone.';

CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  county_id integer NOT NULL,
  kind text NOT NULL,
  payload jsonb NOT NULL,
  run_at timestamptz NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  pushed_until timestamptz,
  leased_until timestamptz,
  last_error text,
  dead_at timestamptz
);
CREATE INDEX outbox_due ON outbox (run_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_dead ON outbox (county_id, id) WHERE dead_at IS NOT NULL;
COMMENT ON TABLE outbox IS 'Jobs that are not done yet; written in the transaction that wants them, deleted in the transaction that did them. Redis makes them prompt, this table makes them certain.';
COMMENT ON COLUMN outbox.pushed_until IS 'On the Redis stream until then at most; later the relay pushes it again.';
COMMENT ON COLUMN outbox.leased_until IS 'A worker is at it until then at most.';
COMMENT ON COLUMN outbox.dead_at IS 'Given up after the last attempt; waits for a person to replay it.';
