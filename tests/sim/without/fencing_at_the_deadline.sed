# rule:   a worker that has not renewed by D is killed by the supervisor
# source: supervisor/election.c
# seeds:  3000
/^static void leader(/,/^}/ s/if (is_overdue(e, e->deadline)) {/if (false) {/
/lease_is_over = / s/e->lock_kept \&\& is_overdue(e, e->lease_deadline)/false/
/^static mono_ns wake_at/,/^}/ s/mono_ns at = e->deadline;/mono_ns at = e->state == ELECTION_LEADER ? MONO_NEVER : e->deadline;/
