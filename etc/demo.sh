#!/bin/sh
# `make demo`: a private PostgreSQL and three instances of pgbaton. Shows who leads, kills the leader, shows the
# takeover and its time, lets the next one release gracefully, and cleans up. Needs no terminal.
#
# Exits with 0 when every step happened, with 1 and a sentence when one did not.
set -u

pgbaton=$(realpath "${PGBATON:-build/pgbaton}") || exit 1
limit=30 # seconds for each step: far more than any of them takes
dir=$(mktemp -d "${TMPDIR:-/tmp}/pgbaton-demo.XXXXXX") || exit 1
instances=
server=

# Becomes a command, as somebody whom a PostgreSQL server accepts: it refuses root. Only in a subshell.
as_server() {
    if [ "$(id -u)" = 0 ]; then
        exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    else
        exec "$@"
    fi
}

clean_up() {
    for pid in $instances; do
        kill -TERM "$pid" 2>/dev/null
    done
    for pid in $instances; do
        wait "$pid" 2>/dev/null
    done
    if [ -n "$server" ]; then
        kill -INT "$server" 2>/dev/null # fast shutdown
        wait "$server" 2>/dev/null
    fi
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

say() {
    printf '\n== %s\n' "$*"
}

fail() {
    printf '\ndemo: %s\n' "$*" >&2
    for name in a b c; do
        [ ! -e "$dir/$name.log" ] || { echo "--- the last lines of $name's log" >&2; tail -n 5 "$dir/$name.log" >&2; }
    done
    exit 1
}

# until_so WHAT COMMAND...: repeats the command until it succeeds, but not for longer than the limit.
until_so() {
    what=$1 tries=$((limit * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "$what did not happen within $limit s"
        sleep 0.05
    done
}

logged() { # NAME EVENT
    grep -q " $2 " "$dir/$1.log"
}

# Of the server; its socket is all that it listens on, so no port can be taken by others.
port=5432
sql() {
    psql -h "$dir/server" -p "$port" -U postgres "$@" postgres
}

start_server() {
    bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    [ -n "$bin" ] || bin=$(pg_config --bindir) || fail "no PostgreSQL server is installed: run 'sh etc/deps.sh'"
    chmod 755 "$dir"
    mkdir -m 777 "$dir/server"
    (as_server "$bin/initdb" -D "$dir/server/data" -A trust -U postgres -N) >"$dir/initdb.log" 2>&1 ||
        fail "initdb failed: $(tail -n 2 "$dir/initdb.log")"
    as_server "$bin/postgres" -D "$dir/server/data" -p "$port" -c listen_addresses= \
        -c unix_socket_directories="$dir/server" -c fsync=off >"$dir/server.log" 2>&1 &
    server=$!
    until_so "the start of the server" sql -c 'SELECT 1'
}

configure() { # NAME
    cat >"$dir/$1.ini" <<END
[pgbaton]
instance = $1
run_dir = $dir/$1

[database]
dsn = host=$dir/server port=$port user=postgres dbname=postgres

[election]
retry_interval = 500ms

[job hello]
schedule = every 500ms
command = echo "hello from \$PGBATON_INSTANCE, epoch \$PGBATON_EPOCH"
END
}

start_instance() { # NAME: the pid is in pid_NAME
    configure "$1"
    "$pgbaton" run -c "$dir/$1.ini" >"$dir/$1.log" 2>&1 &
    eval "pid_$1=$!"
    instances="$instances $!"
}

status() { # NAME WORD...
    name=$1
    shift
    "$pgbaton" status -c "$dir/$name.ini" "$@"
}

# The JSON of `status` has "heir_waits": true once the leader has seen that somebody waits.
heir_waits() {
    status a --json | grep -q '"heir_waits": *true'
}

# The pids of the processes below the supervisor, from the table of `status`.
children() { # NAME
    status "$1" | awk '$1 == "probe" || $1 == "worker" || $1 == "monitor" { print $2 }'
}

# Milliseconds from the moment $1 (seconds with fraction) to the time stamp of the line of an event.
since() { # MOMENT NAME EVENT
    at=$(grep " $3 " "$dir/$2.log" | head -n 1 | cut -d ' ' -f 1)
    echo "$(date -d "$at" +%s.%N) $1" | awk '{printf "%.0f", ($1 - $2) * 1000}'
}

show_jobs() { # NAME
    until_so "a job on $1" grep -q 'job=hello.*hello from' "$dir/$1.log"
    grep 'job=hello.*hello from' "$dir/$1.log" | head -n 2
}

say "a private PostgreSQL"
start_server
echo "ready, in $dir"

say "three instances"
start_instance a
until_so "the election of a" logged a elected
start_instance b
until_so "that b becomes the heir" logged b seat_taken
start_instance c
until_so "that c looks" logged c database_up
until_so "that a sees its heir" heir_waits
status a | sed -n '/^instance/,/^lease/p'
sql -c "SELECT application_name AS session FROM pg_stat_activity WHERE application_name LIKE 'pgbaton %' ORDER BY 1"
show_jobs a

say "the leader is killed: SIGKILL to all of its processes"
doomed="$pid_a $(children a)"
killed=$(date +%s.%N)
# At one blow: stopped first, none of them has the time to notice that another one is gone, and to tidy up.
# shellcheck disable=SC2086 # several words
kill -STOP $doomed
# shellcheck disable=SC2086
kill -KILL $doomed
until_so "the takeover by b" logged b elected
echo "b leads $(since "$killed" b elected) ms later"
until_so "the wait after an unclean end" logged b takeover_wait
echo "its jobs begin after takeover_delay, since a could not say that its own had ended"
show_jobs b

say "the next leader is asked to stop: SIGTERM"
until_so "that c becomes the heir" logged c seat_taken
stopped=$(date +%s.%N)
kill -TERM "$pid_b"
wait "$pid_b" || fail "b ended with code $?"
until_so "the takeover by c" logged c elected
echo "b has released and exited with 0; c led $(since "$stopped" c elected) ms after the signal"
show_jobs c

say "the history, in the database"
sql -c "SELECT generation || '.' || number AS epoch, instance, ended_as, end_reason FROM pgbaton.term
        ORDER BY generation, number"

say "cleaning up"
kill -TERM "$pid_c"
wait "$pid_c" || fail "c ended with code $?"
instances=
echo "done"
