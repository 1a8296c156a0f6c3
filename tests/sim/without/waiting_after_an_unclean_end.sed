# rule:   jobs wait takeover_delay after a term that did not end cleanly
# source: worker/leader/takeover.c
# seeds:  500
s/!term->ended_cleanly \&\& term->unfinished_runs > 0 \&\& rules->takeover_delay > 0/false/
