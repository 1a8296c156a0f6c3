# rule:   a holder that is seen unchanged for two leases is ended
# source: worker/probe/stuck.c
# seeds:  2000
s/if (now - watch->since < 2 \* lease) {/if (true) {/
