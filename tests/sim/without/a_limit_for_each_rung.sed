# rule:   a shutdown does not wait for ever for what hangs
# source: supervisor/shutdown.c
# seeds:  5000
/^static void climb(/,/^}/ s/(is_done(s, now) || now >= s->deadline)/is_done(s, now)/
