#!/bin/sh
# What `make run` does: one instance in the foreground, with the example configuration and the first
# directory of build/run/1, build/run/2, ... that no other instance lives in. Started again in a
# second terminal it is a follower of the first.
set -eu

program=${PGBATON:-build/pgbaton}
n=1

# A live instance holds a lock on pgbaton.pid, whatever the file says.
while [ -e "build/run/$n/pgbaton.pid" ] && ! flock -n "build/run/$n/pgbaton.pid" true; do
    n=$((n + 1))
done
mkdir -p build/run
echo "run.sh: in another terminal: $program status -c etc/pgbaton.ini -o pgbaton.run_dir=build/run/$n" >&2
exec "$program" run -c etc/pgbaton.ini -o "pgbaton.run_dir=build/run/$n"
