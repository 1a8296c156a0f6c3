/*
 * board.h - the supervisor's section of the scoreboard.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_BOARD_H
#define PGBATON_SUPERVISOR_BOARD_H

#include "supervisor/supervisor.h"

/* board_show - put it on the board, if it is not what the board says already. */
void board_show(struct supervisor *s);

#endif
