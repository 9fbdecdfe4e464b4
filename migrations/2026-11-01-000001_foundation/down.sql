DROP TABLE signing_keys;
DROP TABLE counties;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT, INSERT, UPDATE, DELETE ON TABLES FROM lianxin_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE USAGE, SELECT ON SEQUENCES FROM lianxin_service;
REVOKE USAGE ON SCHEMA public FROM lianxin_service;
-- The role stays: it belongs to the cluster, and other databases may use it.
