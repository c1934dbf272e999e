#!/bin/sh
# Brings Temporal's two databases to the schema of this version of its server. Safe to repeat, also for an upgrade:
# a schema that is there already keeps its version and gets only what is newer.
set -eu

SCHEMA=/etc/temporal/schema/postgresql/v12

sql_tool() { # database, then what to do with it; the password comes as SQL_PASSWORD
    database=$1
    shift
    temporal-sql-tool --plugin postgres12 --ep postgres --port 5432 --user temporal --db "$database" "$@"
}

sql_tool temporal setup-schema -v 0.0
sql_tool temporal update-schema -d "$SCHEMA/temporal/versioned"
sql_tool temporal_visibility setup-schema -v 0.0
sql_tool temporal_visibility update-schema -d "$SCHEMA/visibility/versioned"
