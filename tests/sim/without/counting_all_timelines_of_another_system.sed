# rule:   another system raises the generation by all of its timelines
# source: worker/leader/takeover.c
# seeds:  20000
s/next.generation += now.timeline > 0 ? now.timeline : 1;/next.generation += 1;/
