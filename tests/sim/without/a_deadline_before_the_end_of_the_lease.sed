# rule:   D is earlier than the moment at which the server gives the key away
# source: worker/database/lease.c
# seeds:  2000
s/l->deadline = sent_at + l->terms.lease - l->terms.margin;/l->deadline = sent_at + 2 * l->terms.lease;/
