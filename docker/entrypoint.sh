#!/bin/sh
# Makes a new cluster when there is none, and becomes its server. Arguments go to the server.
set -eu

data=/var/lib/taximeter/data

if [ ! -s "$data/PG_VERSION" ]; then
  initdb -D "$data" -U supabase_admin -A trust -E UTF8 --locale=C.UTF-8 -N > /dev/null
  echo 'host all all all trust' >> "$data/pg_hba.conf"
  cat >> "$data/postgresql.conf" <<'CONF'
listen_addresses = '*'
unix_socket_directories = '/tmp'
max_connections = 200
wal_level = logical
timezone = 'UTC'
log_timezone = 'UTC'
row_security = on
password_encryption = 'scram-sha-256'
log_line_prefix = '%m [%p] %q%u@%d '
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.host = '127.0.0.1'
cron.log_statement = off
# Nothing waits for the disk, because the data is thrown away; commits stay synchronous, as they
# are in the embedded cluster.
fsync = off
full_page_writes = off
synchronous_commit = on
CONF
fi

exec postgres -D "$data" "$@"
