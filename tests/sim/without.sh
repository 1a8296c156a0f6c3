#!/bin/sh
# A checker that cannot fail proves nothing: builds the simulator again and again, each time with one
# rule of the program switched off (tests/sim/without/NAME.sed), and expects that a run fails.
#
#   usage: without.sh BUILD OBJECT...        the compiler's command comes in $COMPILE
#
# Prints for each rule the seed that found it missing; exits with 1 if one was not found.
set -u

build=$1
shift
mkdir -p "$build"
passed=0 failed=0

header() {
    sed -n "s/^# $1: *//p" "$2"
}

# Everything but the source that is changed, and that one changed.
build_without() {
    rule=$1 source=$2 name=$3
    shift 3
    sed -f "$rule" "$source" >"$build/$name.c"
    if cmp -s "$source" "$build/$name.c"; then
        echo "$rule changes nothing in $source" >&2
        return 1
    fi
    objects=
    for object; do
        case $object in
        */"${source%.c}.o" | */"$(echo "${source%.c}.o" | sed 's,^tests/,tests/objects/,')") ;;
        *) objects="$objects $object" ;;
        esac
    done
    # shellcheck disable=SC2086
    $COMPILE -w "$build/$name.c" $objects -o "$build/$name"
}

for rule in tests/sim/without/*.sed; do
    name=$(basename "$rule" .sed)
    seeds=$(header seeds "$rule")
    if ! build_without "$rule" "$(header source "$rule")" "$name" "$@"; then
        failed=$((failed + 1))
        continue
    fi
    found=$("$build/$name" 1 "$seeds" 2>&1 | sed -n 's/^FAILED //p' | tail -n 1)
    if [ -n "$found" ]; then
        passed=$((passed + 1))
        echo "without $name: $found"
    else
        failed=$((failed + 1))
        echo "without $name: $seeds seeds have not found it" >&2
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
