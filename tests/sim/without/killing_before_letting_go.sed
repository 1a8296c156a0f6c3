# rule:   the lock's second copy is closed only when nothing of the dead worker runs any more
# source: supervisor/election_fencing.c
# seeds:  500
/^void election_fencing_of_dead/,/^}/ s/    sweep(e, out);/    swept(e, out);/
s/^static void sweep(struct election/static void swept(struct election *e, struct election_actions *out);\n&/
