# rule:   the supervisor holds a copy of the lock's socket
# source: tests/sim/supervisor.c
# seeds:  500
s/    s->lock = note->conn;/    network_close(note->conn);/
