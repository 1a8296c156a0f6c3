# rule:   another system raises the generation by all of its timelines
# source: worker/leader/takeover.c
# seeds:  20000
s/next.generation += GENERATIONS_OF_A_SYSTEM + timelines - 1;/next.generation += GENERATIONS_OF_A_SYSTEM;/
