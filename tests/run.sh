#!/bin/sh
# Runs criterion test programs one after the other and sums them up in one closing line:
#
#     N passed, N failed, N skipped
#
#   usage: run.sh PROGRAM... [--ARGUMENT...]     arguments go to every program
#
# Exits with 1 when a test failed, when a program ended badly, and when nothing ran at all.
set -u

# criterion leaks a little of its own.
export LSAN_OPTIONS="${LSAN_OPTIONS:-suppressions=$(dirname "$0")/lsan.supp:print_suppressions=0}"

programs=
while [ $# -gt 0 ]; do
    case $1 in
    -*) break ;;
    *) programs="$programs $1" ;;
    esac
    shift
done

# Most tests wait most of the time.
jobs=$((2 * $(nproc 2>/dev/null || echo 1)))

results=$(mktemp)
trap 'rm -f "$results"' EXIT
passed=0 failed=0 skipped=0

# count PATTERN: how many lines of the results match.
count() {
    grep -c "$1" "$results" || :
}

for program in $programs; do
    : >"$results"
    echo "$program"
    "$program" --tap="$results" --jobs "$jobs" "$@"
    code=$?
    bad=$(count '^not ok')
    skip=$(count '^ok.*# SKIP')
    good=$(($(count '^ok') - skip))
    # What an argument such as --filter leaves out is no skipped test.
    [ $# -eq 0 ] || skip=$((skip - $(count '^ok.*# SKIP test was skipped')))
    sed -n '/# SKIP test was skipped/d; s/^ok - \(.*[^ ]\)  *# SKIP /skipped: \1: /p' "$results"
    # A program that died, or could not start, has no line for it.
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "$program ended with code $code" >&2
        bad=1
    fi
    passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + skip))
done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
