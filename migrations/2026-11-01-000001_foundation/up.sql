-- Two roles: the owner runs migrations, members of lianxin_service run the program.
-- Append-only tables later take UPDATE and DELETE away from the service again.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lianxin_service') THEN
    CREATE ROLE lianxin_service NOLOGIN;
  END IF;
END $$;
GRANT USAGE ON SCHEMA public TO lianxin_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO lianxin_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO lianxin_service;

CREATE TABLE counties (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key text NOT NULL UNIQUE CHECK (key ~ '^[a-z0-9_-]{2,32}$'),
  name text NOT NULL,
  wechat_appid text UNIQUE,
  wechat_secret bytea,
  booking_days_ahead smallint NOT NULL DEFAULT 7 CHECK (booking_days_ahead BETWEEN 0 AND 90),
  cancel_minutes_before smallint NOT NULL DEFAULT 120 CHECK (cancel_minutes_before BETWEEN 0 AND 10080),
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT counties_wechat_pair CHECK ((wechat_appid IS NULL) = (wechat_secret IS NULL))
);
COMMENT ON TABLE counties IS 'Tenants. county_id comes first in every key and index, so that one county can become one shard.';
COMMENT ON COLUMN counties.key IS 'Immutable short name in tokens and public URLs; at first the six-digit division code.';
COMMENT ON COLUMN counties.booking_days_ahead IS 'Days after today that can be booked online; 0 is today only.';
COMMENT ON COLUMN counties.cancel_minutes_before IS 'A resident may cancel online until this many minutes before the start.';
COMMENT ON COLUMN counties.wechat_secret IS 'Sealed (AES-256-GCM) secret of the mini-program.';

REVOKE DELETE ON counties FROM lianxin_service;

CREATE TABLE signing_keys (
  kid text PRIMARY KEY,
  public_key bytea NOT NULL,
  private_key bytea NOT NULL,
  created_at timestamptz NOT NULL,
  signs_from timestamptz NOT NULL,
  retired_at timestamptz
);
COMMENT ON TABLE signing_keys IS 'Ed25519 keys of access tokens; global. A retired key still verifies until the last token it signed has expired.';
COMMENT ON COLUMN signing_keys.private_key IS 'Sealed PKCS#8.';
