# rule:   a promotion raises the generation of the epoch
# source: worker/leader/takeover.c
# seeds:  2000
s/next.generation += now.timeline - stored_server.timeline;/next.generation += 0;/
