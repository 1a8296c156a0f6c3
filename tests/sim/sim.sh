#!/bin/sh
# Runs the simulator on all processors at once.
#
#   usage: sim.sh PROGRAM [FIRST-SEED [RUNS]]
set -u

program=$1
first=${2:-1}
runs=${3:-20000}
jobs=$(nproc 2>/dev/null || echo 1)
[ "$runs" -ge "$jobs" ] || jobs=1
each=$((runs / jobs))
failed=0
waiting=

job=0
while [ $job -lt "$jobs" ]; do
    count=$each
    [ $job -lt $((jobs - 1)) ] || count=$((runs - each * job))
    "$program" $((first + each * job)) "$count" &
    waiting="$waiting $!"
    job=$((job + 1))
done
for pid in $waiting; do
    wait "$pid" || failed=1
done
exit $failed
