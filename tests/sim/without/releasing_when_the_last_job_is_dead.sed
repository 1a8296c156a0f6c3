# rule:   the key is given up only when no job runs
# source: worker/leader/turn.c
# seeds:  500
/^static void drain(/,/^}/ s/if (!t->jobs_began) {/if (true) {/
