DELETE FROM sessions WHERE covers_id IS NOT NULL;
ALTER TABLE sessions DROP CONSTRAINT sessions_ended_because;
UPDATE sessions SET ended_because = 'dismissed' WHERE ended_because = 'post_ended';
ALTER TABLE sessions ADD CONSTRAINT sessions_ended_because CHECK (ended_because IN
  ('logout', 'refresh_reused', 'dismissed', 'disabled', 'password', 'merged', 'closed', 'device', 'cover_ended'));
DROP INDEX sessions_resident;
DROP INDEX sessions_staff;
CREATE INDEX sessions_staff ON sessions (county_id, staff_id) WHERE ended_at IS NULL;
ALTER TABLE sessions DROP COLUMN covers_until, DROP COLUMN covers_id, DROP COLUMN by_password;
DROP FUNCTION staff_present;
DROP TABLE staff_absences;
DELETE FROM staff_posts WHERE ended_at IS NOT NULL;
DROP INDEX staff_posts_once;
ALTER TABLE staff_posts DROP CONSTRAINT staff_posts_pkey;
ALTER TABLE staff_posts
  DROP COLUMN id, DROP COLUMN deputy_id, DROP COLUMN since, DROP COLUMN ended_at,
  ADD PRIMARY KEY (county_id, staff_id, role, unit_id);
COMMENT ON TABLE staff_posts IS 'What a member of staff may act as, and where.';
DROP INDEX staff_stale;
UPDATE staff SET state = 'dismissed' WHERE state = 'disabled';
-- No password fits this: those who have none yet cannot log in before an administrator sets one.
UPDATE staff SET password_hash = '' WHERE password_hash IS NULL;
ALTER TABLE staff
  DROP CONSTRAINT staff_state,
  ADD CONSTRAINT staff_state_check CHECK (state IN ('active', 'dismissed')),
  DROP COLUMN phone, DROP COLUMN one_time_until, DROP COLUMN last_login_at, DROP COLUMN active_since,
  DROP COLUMN totp_secret, DROP COLUMN totp_confirmed_at, DROP COLUMN totp_last_step,
  DROP COLUMN wechat_openid, DROP COLUMN wechat_openid_index,
  ALTER COLUMN password_hash SET NOT NULL;
DROP EXTENSION btree_gist;
COMMENT ON TABLE staff IS 'Officials and cadres. Their names are on the public duty board (干群连心卡) and therefore not sealed.';
COMMENT ON COLUMN staff.password_hash IS 'argon2id, PHC string.';
