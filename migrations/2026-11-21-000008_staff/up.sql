-- For exclusion constraints that compare numbers and UUIDs beside ranges.
CREATE EXTENSION IF NOT EXISTS btree_gist;

ALTER TABLE staff DROP CONSTRAINT staff_state_check;
ALTER TABLE staff
  ALTER COLUMN password_hash DROP NOT NULL,
  ADD CONSTRAINT staff_state CHECK (state IN ('active', 'disabled', 'dismissed')),
  ADD COLUMN phone text,
  ADD COLUMN one_time_until timestamptz,
  ADD COLUMN last_login_at timestamptz,
  ADD COLUMN active_since timestamptz,
  ADD COLUMN totp_secret bytea,
  ADD COLUMN totp_confirmed_at timestamptz,
  ADD COLUMN totp_last_step bigint,
  ADD COLUMN wechat_openid bytea,
  ADD COLUMN wechat_openid_index bytea;
UPDATE staff SET active_since = created_at;
ALTER TABLE staff
  ALTER COLUMN active_since SET NOT NULL,
  ADD CONSTRAINT staff_one_time CHECK (one_time_until IS NULL OR password_hash IS NOT NULL),
  ADD CONSTRAINT staff_totp CHECK (totp_secret IS NOT NULL OR (totp_confirmed_at IS NULL AND totp_last_step IS NULL)),
  ADD CONSTRAINT staff_wechat_pair CHECK ((wechat_openid IS NULL) = (wechat_openid_index IS NULL)),
  ADD CONSTRAINT staff_wechat UNIQUE (county_id, wechat_openid_index);
CREATE INDEX staff_stale ON staff (county_id, active_since) WHERE state = 'active';
COMMENT ON TABLE staff IS 'Officials and cadres. Their names and service phones are on the public duty board (干群连心卡) and therefore not sealed; totp_secret and wechat_openid are.';
COMMENT ON COLUMN staff.password_hash IS 'argon2id, PHC string; none: an administrator has not opened the account yet.';
COMMENT ON COLUMN staff.one_time_until IS 'The password is a one-time one, good until then, and must be replaced at the login.';
COMMENT ON COLUMN staff.active_since IS 'When the account was made or enabled again: the days without a login count from here, or from the last login.';
COMMENT ON COLUMN staff.totp_last_step IS 'The 30 s step of the last code used: a code is good once.';

ALTER TABLE staff_posts
  ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(),
  ADD COLUMN deputy_id uuid,
  ADD COLUMN since timestamptz,
  ADD COLUMN ended_at timestamptz;
UPDATE staff_posts p SET since = s.created_at FROM staff s WHERE s.county_id = p.county_id AND s.id = p.staff_id;
ALTER TABLE staff_posts DROP CONSTRAINT staff_posts_pkey;
ALTER TABLE staff_posts
  ALTER COLUMN id DROP DEFAULT,
  ALTER COLUMN since SET NOT NULL,
  ADD PRIMARY KEY (county_id, id),
  ADD FOREIGN KEY (county_id, deputy_id) REFERENCES staff,
  ADD CONSTRAINT staff_posts_other CHECK (deputy_id <> staff_id),
  ADD CONSTRAINT staff_posts_ended CHECK (ended_at IS NULL OR deputy_id IS NULL);
CREATE UNIQUE INDEX staff_posts_once ON staff_posts (county_id, staff_id, role, unit_id) WHERE ended_at IS NULL;
CREATE INDEX staff_posts_deputy ON staff_posts (county_id, deputy_id) WHERE deputy_id IS NOT NULL;
COMMENT ON TABLE staff_posts IS 'What a member of staff may act as, and where; ended ones stay as history.';
COMMENT ON COLUMN staff_posts.deputy_id IS 'AB 岗: who gets what the holder would get while the holder is absent. Deputies never go in a circle.';

CREATE TABLE staff_absences (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  staff_id uuid NOT NULL,
  from_on date NOT NULL,
  until_on date NOT NULL,
  reason bytea,
  created_by uuid NOT NULL,
  created_at timestamptz NOT NULL,
  cancelled_at timestamptz,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, staff_id) REFERENCES staff,
  FOREIGN KEY (county_id, created_by) REFERENCES staff,
  CONSTRAINT staff_absences_days CHECK (from_on <= until_on),
  CONSTRAINT staff_absences_overlap EXCLUDE USING gist
    (county_id WITH =, staff_id WITH =, daterange(from_on, until_on, '[]') WITH &&) WHERE (cancelled_at IS NULL)
);
COMMENT ON TABLE staff_absences IS 'When a member of staff is away; the deputies of their posts cover them. Local days, both inclusive.';
COMMENT ON COLUMN staff_absences.reason IS 'Sealed: may tell of an illness.';

CREATE FUNCTION staff_present(county integer, member uuid, on_day date) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM staff s WHERE s.county_id = county AND s.id = member AND s.state = 'active')
     AND NOT EXISTS (
       SELECT FROM staff_absences a WHERE a.county_id = county AND a.staff_id = member AND a.cancelled_at IS NULL
          AND on_day BETWEEN a.from_on AND a.until_on)
$$;
COMMENT ON FUNCTION staff_present IS 'Whether a member of staff can act on a day: active and not away. Defined once.';

ALTER TABLE sessions
  ADD COLUMN by_password boolean NOT NULL DEFAULT false,
  ADD COLUMN covers_id uuid,
  ADD COLUMN covers_until timestamptz,
  ADD FOREIGN KEY (county_id, covers_id) REFERENCES staff,
  ADD CONSTRAINT sessions_cover CHECK ((covers_id IS NULL) = (covers_until IS NULL)),
  ADD CONSTRAINT sessions_cover_life CHECK (expires_at <= covers_until);
ALTER TABLE sessions DROP CONSTRAINT sessions_ended_because;
ALTER TABLE sessions ADD CONSTRAINT sessions_ended_because CHECK (ended_because IN
  ('logout', 'refresh_reused', 'dismissed', 'disabled', 'password', 'merged', 'closed', 'device', 'cover_ended', 'post_ended'));
CREATE INDEX sessions_covering ON sessions (county_id) WHERE covers_id IS NOT NULL AND ended_at IS NULL;
DROP INDEX sessions_staff;
CREATE INDEX sessions_staff ON sessions (county_id, staff_id, rotated_at) WHERE staff_id IS NOT NULL;
CREATE INDEX sessions_resident ON sessions (county_id, resident_id) WHERE resident_id IS NOT NULL;
COMMENT ON COLUMN sessions.covers_id IS 'The absent colleague in whose post (role and unit) the deputy acts; never longer than covers_until.';
COMMENT ON COLUMN sessions.by_password IS 'Logged in by password: only then may a WeChat account be bound.';
