#!/bin/sh
# Who may include what: common/ includes common/; supervisor/ and worker/ include themselves and
# common/, never each other; only supervisor/main.c joins them. A command that lives under worker/
# because it needs the database includes supervisor/cli/commands.h, to be joined. Nothing includes
# tests/, one file knows inih, and what knows SQLite says so in its name.
set -u

bad=0

# forbid WHY ERE FILE...: no line of these files may match. /dev/null: grep names even a single file.
forbid() {
    why=$1 pattern=$2
    shift 2
    if grep -nE "$pattern" /dev/null "$@" 2>/dev/null; then
        echo "includes: $why" >&2
        bad=1
    fi
}

include='^[[:space:]]*#[[:space:]]*include[[:space:]]*'
sources=$(find common supervisor worker -name '*.[ch]')
inih_users=$(grep -lE "$include<ini\.h>" $sources | wc -l)

forbid "common/ includes only common/" "$include\"(supervisor|worker|tests)/" $(find common -name '*.[ch]')
forbid "supervisor/ does not include worker/" "$include\"worker/" \
    $(find supervisor -name '*.[ch]' ! -path supervisor/main.c)
forbid "worker/ does not include supervisor/" \
    "$include\"supervisor/([^c]|c[^l]|cl[^i]|cli[^/]|cli/([^c]|c[^o]|co[^m]|com[^m]|comm[^a]))" \
    $(find worker -name '*.[ch]')
forbid "nothing includes tests/" "$include\"tests/" $sources
forbid "our own headers are named from the top" "$include\"[^/\"]*\"" $sources
forbid "libpq is the database's, not the supervisor's nor common's" "$include<(libpq-fe|postgres_ext)\.h>" \
    $(find common supervisor -name '*.[ch]' ! -path 'supervisor/cli/*')
forbid "SQLite is known to the files that are named after it, and to those that say its version" \
    "$include(<sqlite3\.h>|\"[^\"]*/sqlite_statement\.h\")" \
    $(find common supervisor worker -name '*.[ch]' ! -name '*sqlite*' ! -path worker/database/library.c)
if [ "$inih_users" -gt 1 ]; then
    echo "includes: one file knows inih, not $inih_users" >&2
    bad=1
fi
exit "$bad"
