# rule:   a child that crashed is started again
# source: supervisor/restart.c
# seeds:  500
s/    return RESTART_AT;/    return RESTART_NEVER;/
