#!/bin/sh
# cppcheck over the sources that are given. Suppressed is what it gets wrong: a compound literal in a
# conditional is no syntax error, and what stands behind a call that does not return is not reached.
set -eu

exec cppcheck --quiet --std=c11 --language=c --error-exitcode=1 --inline-suppr -j 2 -I . \
    -D_GNU_SOURCE '-DPGBATON_VERSION="lint"' \
    --enable=warning,performance,portability \
    --suppress=missingIncludeSystem --suppress=unknownMacro \
    --suppress=internalAstError --suppress=nullPointerRedundantCheck "$@"
