#!/bin/bash
# Run once by the PostgreSQL image, when its volume is still empty: one role and its databases for each of the two.
set -euo pipefail

# The passwords go in as psql variables: quoted by psql, on no command line.
psql --set ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
\getenv relay_password POSTGRES_RELAY_PASSWORD
\getenv temporal_password POSTGRES_TEMPORAL_PASSWORD
-- CREATEROLE: the migrations make relay_app and relay_system. It may not bypass row-level security.
CREATE ROLE relay LOGIN NOSUPERUSER NOBYPASSRLS CREATEROLE PASSWORD :'relay_password';
CREATE DATABASE relay OWNER relay;
CREATE ROLE temporal LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'temporal_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE relay, temporal, temporal_visibility FROM PUBLIC;
SQL
