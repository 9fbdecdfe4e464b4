DROP TABLE outbox;
DROP TABLE changes;
DROP FUNCTION idempotency_gate;
DROP TABLE idempotency_keys;
