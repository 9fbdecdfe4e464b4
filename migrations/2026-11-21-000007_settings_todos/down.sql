DROP TABLE todos;
ALTER TABLE counties
  ADD COLUMN booking_days_ahead smallint NOT NULL DEFAULT 7 CHECK (booking_days_ahead BETWEEN 0 AND 90),
  ADD COLUMN cancel_minutes_before smallint NOT NULL DEFAULT 120 CHECK (cancel_minutes_before BETWEEN 0 AND 10080);
DROP TABLE settings;
ALTER TABLE sessions DROP CONSTRAINT sessions_ended_because;
UPDATE sessions SET ended_because = 'logout' WHERE ended_because NOT IN ('logout', 'refresh_reused', 'dismissed');
ALTER TABLE sessions ADD CONSTRAINT sessions_ended_because_check CHECK (ended_because IN ('logout', 'refresh_reused', 'dismissed'));
