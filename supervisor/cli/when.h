/*
 * when.h - a moment as people write it behind a command.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_WHEN_H
#define PGBATON_SUPERVISOR_CLI_WHEN_H

#include <stddef.h>

#include "common/clock.h"

/* when_parse - as instant_parse() takes it, in the zone of that name; NULL: UTC. 0, or -EINVAL with
 * what would be right in reterr. */
int when_parse(const char *text, const char *zone, wall_ns *ret_at, char *reterr, size_t size);

/* when_parse_since - the same, or a length such as 2h: so long before now. */
int when_parse_since(const char *text, const char *zone, wall_ns *ret_at, char *reterr,
                     size_t size);

#endif
