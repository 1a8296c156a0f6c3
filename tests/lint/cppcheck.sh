#!/bin/sh
# cppcheck over the sources that are given; what is suppressed is a matter of taste, or wrong here.
set -eu

exec cppcheck --quiet --std=c11 --language=c --error-exitcode=1 --inline-suppr -j 2 -I . \
    -D_GNU_SOURCE '-DPGBATON_VERSION="lint"' \
    --enable=warning,performance,portability \
    --suppress=missingIncludeSystem --suppress=unknownMacro \
    --suppress=normalCheckLevelMaxBranches "$@"
