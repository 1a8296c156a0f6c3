/*
 * check_budget.h - what `pgbaton check` says about time and connections.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_CHECK_BUDGET_H
#define PGBATON_SUPERVISOR_CLI_CHECK_BUDGET_H

#include <stdio.h>

#include "common/config.h"

/* check_budget_connections - sessions of a fleet of so many at most: one a follower, three for heir
 * and leader, one for each job of sql that may run at the same time. */
unsigned check_budget_connections(const struct config *cfg, unsigned fleet);

/* check_budget_silent - the longest from a leader that is not heard any more to the next one's
 * jobs.
 */
dur_ns check_budget_silent(const struct config_election *e);

/* check_budget_print - lease, deadline, what happens when, takeover times, connections. */
void check_budget_print(const struct config *cfg, unsigned fleet, FILE *to);

#endif
