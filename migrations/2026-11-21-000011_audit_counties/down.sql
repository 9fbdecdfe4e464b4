DROP TRIGGER audit_log_born_unsealed ON audit_log;
DROP TRIGGER audit_log_sealed_once ON audit_log;
DROP FUNCTION audit_log_sealed_once;
REVOKE UPDATE (batch_id) ON audit_log FROM lianxin_service;
DROP INDEX audit_log_action, audit_log_kind, audit_log_actor, audit_log_at, audit_log_sealed, audit_log_unsealed;
ALTER TABLE audit_log DROP CONSTRAINT audit_log_batch, DROP COLUMN batch_id;
DROP TABLE audit_batches;
ALTER TABLE counties DROP CONSTRAINT counties_suspended, DROP COLUMN version, DROP COLUMN suspended_because,
  DROP COLUMN suspended_at, DROP COLUMN state;
