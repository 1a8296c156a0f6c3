# rule:   jobs wait one lease after any change of timeline or system
# source: worker/leader/takeover.c
# seeds:  20000
s/if (history_changed_after(rules, term, newer)) {/if (false) {/
