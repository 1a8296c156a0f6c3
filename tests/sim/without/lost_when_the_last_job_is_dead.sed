# rule:   "lost" is not said, and the key is not closed, before the last job is dead
# source: worker/leader/turn.c
# seeds:  500
/^static void lose(/,/^}/ s/if (!t->jobs_began) {/if (true) {/
