# rule:   on a server that was promoted, an empty history is no proof that nobody leads
# source: worker/leader/takeover.c
# seeds:  20000
s/if (rules->server.timeline <= 1) {/if (true) {/
