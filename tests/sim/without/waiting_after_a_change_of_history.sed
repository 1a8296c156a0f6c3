# rule:   jobs wait one lease after any change of timeline or system
# source: worker/leader/takeover.c
# seeds:  20000
s/    if (!same_history(term->server, rules->server)) {/    if (false \&\& !same_history(term->server, rules->server)) {/
