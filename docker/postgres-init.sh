#!/bin/sh
# Run once by the postgres image, on an empty data folder: the three roles and the database.
# By hand on another server the same: README, "Operating it".
set -eu
: "${LIANXIN_OWNER_PASSWORD:?the password of lianxin_owner, who migrates}"
: "${LIANXIN_APP_PASSWORD:?the password of lianxin_app, whom server and worker log in as}"

# The passwords go through psql's variables, which quote them, and through the environment, which ps does not show.
# The delimiter is quoted: the shell changes nothing in the SQL.
psql -v ON_ERROR_STOP=1 --no-psqlrc --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv owner_password LIANXIN_OWNER_PASSWORD
\getenv app_password LIANXIN_APP_PASSWORD
CREATE ROLE lianxin_owner LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE ROLE lianxin_service NOLOGIN;
CREATE ROLE lianxin_app LOGIN PASSWORD :'app_password' IN ROLE lianxin_service;
CREATE DATABASE lianxin OWNER lianxin_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
REVOKE ALL ON DATABASE lianxin FROM PUBLIC;
GRANT CONNECT ON DATABASE lianxin TO lianxin_service;
SQL
