#!/bin/sh
# Dagster reads its password from the environment only; it comes from the file, so that no image and no
# compose file holds it. The file is made by the service `prepare`.
set -eu
secret="${MEDALLION_DATA_DIR}/secrets/postgres_dagster"
if [ -r "$secret" ]; then
  DAGSTER_PG_PASSWORD="$(cat "$secret")"
  export DAGSTER_PG_PASSWORD
fi
exec "$@"
