# rule:   the generation rises by more, after a restore, than the old cluster can have been promoted since
# source: worker/leader/takeover.c
# seeds:  20000
s/GENERATIONS_OF_A_SYSTEM + timelines - 1/timelines/
