#!/bin/sh
# The PURE files: what decides, apart from what touches the world. Their objects may call each
# other, and functions of libc that only look at what they are given: no I/O, no clock, no process,
# no allocation, and no writable data of their own.
#
#   usage: purity.sh BUILD
set -u

build=$1
# Those whose header says so in its first line, and a few that need no such words.
pure="$(grep -lE '^ \* [a-z_]+\.h - PURE:' $(find common supervisor worker -name '*.h') | sed 's/\.h$//')
common/identity common/log_text common/message"

harmless='mem(cpy|cmp|move|set|r?chr)|str(n?cmp|n?casecmp|len|n?len|n?chr|rchr|spn|cspn|pbrk|str)|strto(l|ll|ul|ull|imax|umax)
v?snprintf|memrchr|strpbrk|__v?snprintf_chk|__(mem|str)[a-z]*_chk|__isoc23_strto[a-z]*
__assert_fail|__assert|__stack_chk_fail|__errno_location|__ctype_(b|tolower|toupper)_loc|isdigit|isspace|isalpha|isalnum|tolower
__(asan|ubsan|gcov)_.*|_GLOBAL_OFFSET_TABLE_'
harmless=$(printf '%s' "$harmless" | tr '\n' '|')

bad=0
objects=
for name in $pure; do
    # A file that was split has one header for its parts: scheduler.c, scheduler_runs.c, ...
    for part in "$name.c" "${name}"_*.c; do
        if [ "$part" = "$name.c" ] || [ ! -e "${part%.c}.h" ]; then
            [ ! -e "$part" ] || objects="$objects $build/${part%.c}.o"
        fi
    done
done
ours=$(nm --defined-only -g $objects | awk 'NF == 3 { print $3 }' | sort -u | tr '\n' '|')

for object in $objects; do
    impure=$(nm -u "$object" | awk '{ print $2 }' | grep -vxE "(${ours}${harmless})")
    if [ -n "$impure" ]; then
        echo "purity: $object calls" $impure >&2
        bad=1
    fi
    # Tables of constants are in .rodata or .data.rel.ro; these could change.
    data=$(size -A "$object" | awk '$1 ~ /^\.(data|bss|data\.rel|data\.rel\.local)$/ && $2 > 0 { print $1 }')
    if [ -n "$data" ]; then
        echo "purity: $object has writable data in" $data >&2
        bad=1
    fi
done
exit "$bad"
