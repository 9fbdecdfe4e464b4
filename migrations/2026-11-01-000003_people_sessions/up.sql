CREATE TABLE staff (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  username text NOT NULL CHECK (username ~ '^[a-z0-9][a-z0-9._-]{1,31}$'),
  display_name text NOT NULL CHECK (display_name <> ''),
  password_hash text NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'dismissed')),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  CONSTRAINT staff_username UNIQUE (county_id, username)
);
COMMENT ON TABLE staff IS 'Officials and cadres. Their names are on the public duty board (干群连心卡) and therefore not sealed.';
COMMENT ON COLUMN staff.password_hash IS 'argon2id, PHC string.';

CREATE TABLE staff_posts (
  county_id integer NOT NULL,
  staff_id uuid NOT NULL,
  role text NOT NULL CHECK (role IN ('specialist', 'village_cadre', 'township_staff', 'department_staff', 'supervisor', 'county_admin')),
  unit_id uuid NOT NULL,
  PRIMARY KEY (county_id, staff_id, role, unit_id),
  FOREIGN KEY (county_id, staff_id) REFERENCES staff,
  FOREIGN KEY (county_id, unit_id) REFERENCES units
);
CREATE INDEX staff_posts_unit ON staff_posts (county_id, unit_id);
COMMENT ON TABLE staff_posts IS 'What a member of staff may act as, and where.';

CREATE TABLE residents (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  unit_id uuid,
  name bytea,
  id_number bytea,
  id_number_index bytea,
  phone bytea,
  phone_index bytea,
  wechat_openid bytea,
  wechat_openid_index bytea,
  identity_level text NOT NULL CHECK (identity_level IN ('none', 'phone', 'officer')),
  identity_seen text CHECK (identity_seen IN ('id_card', 'household_register', 'social_security_card', 'known_in_person')),
  registered_by uuid,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, registered_by) REFERENCES staff,
  CONSTRAINT residents_id_number UNIQUE (county_id, id_number_index),
  CONSTRAINT residents_wechat UNIQUE (county_id, wechat_openid_index),
  -- A number counts, for finding and for being the only one, once an officer has seen it.
  CONSTRAINT residents_id_number_checked CHECK ((id_number IS NOT NULL AND identity_level = 'officer') = (id_number_index IS NOT NULL)),
  CONSTRAINT residents_phone_pair CHECK ((phone IS NULL) = (phone_index IS NULL)),
  CONSTRAINT residents_wechat_pair CHECK ((wechat_openid IS NULL) = (wechat_openid_index IS NULL)),
  CONSTRAINT residents_reached CHECK (wechat_openid IS NOT NULL OR registered_by IS NOT NULL)
);
CREATE INDEX residents_phone ON residents (county_id, phone_index) WHERE phone_index IS NOT NULL;
CREATE INDEX residents_unit ON residents (county_id, unit_id, id);
COMMENT ON TABLE residents IS 'Residents (群众). name, id_number, phone and wechat_openid are sealed: key version, nonce, AES-256-GCM ciphertext.';
COMMENT ON COLUMN residents.id_number_index IS 'Blind index: key version and HMAC-SHA-256 of the normalised value under the county''s key.';
COMMENT ON COLUMN residents.identity_level IS 'none: nobody checked; phone: WeChat proved the phone; officer: a member of staff saw identity_seen.';

CREATE TABLE sessions (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  resident_id uuid,
  staff_id uuid,
  role text NOT NULL,
  unit_id uuid,
  device text,
  refresh_hash bytea NOT NULL,
  previous_hash bytea,
  rotated_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  ended_at timestamptz,
  ended_because text CHECK (ended_because IN ('logout', 'refresh_reused', 'dismissed')),
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, staff_id) REFERENCES staff,
  CONSTRAINT sessions_one_subject CHECK (num_nonnulls(resident_id, staff_id) = 1)
);
CREATE INDEX sessions_staff ON sessions (county_id, staff_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);
COMMENT ON TABLE sessions IS 'The record of logins. Redis serves a copy that is never older than a few seconds.';
COMMENT ON COLUMN sessions.refresh_hash IS 'SHA-256 of the refresh token that may be used now; previous_hash stays good for 60 s after rotated_at.';

CREATE TABLE audit_log (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  at timestamptz NOT NULL,
  actor_id uuid NOT NULL,
  actor_role text NOT NULL,
  action text NOT NULL,
  entity text NOT NULL,
  entity_id uuid NOT NULL,
  fields text[] NOT NULL DEFAULT '{}',
  reason text,
  request_id uuid,
  PRIMARY KEY (county_id, id)
);
CREATE INDEX audit_log_entity ON audit_log (county_id, entity, entity_id, at);
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM lianxin_service;
COMMENT ON TABLE audit_log IS 'Who looked at whose data, and why. Append-only: the service role has no UPDATE or DELETE. Kept at least six months.';
