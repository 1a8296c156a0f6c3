/*
 * ask.h - one question to the daemon, from the connection to the document.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_ASK_H
#define PGBATON_SUPERVISOR_CLI_ASK_H

#include <jansson.h>
#include <stdbool.h>

#include "common/config.h"
#include "supervisor/cli/commands.h"

/* More than the monitor waits for the database. */
#define ASK_WITHIN DUR_S(12)

/*
 * ask_daemon - request is taken over; NULL: out of memory. An exit code: EXIT_CODE_DONE and
 * *ret_document, a new reference; or what the daemon, or the way to it, gave as a reason, which is
 * printed unless quiet.
 */
int ask_daemon(const struct config *cfg, json_t *request, bool quiet, json_t **ret_document);

/* ask_print_json - on one line; an exit code: a full disk, a closed pipe. Borrowed. */
int ask_print_json(const json_t *document);

/* ask_flush - the same for what was printed otherwise. */
int ask_flush(void);

#endif
