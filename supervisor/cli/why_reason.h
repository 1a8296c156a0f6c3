/*
 * why_reason.h - the reason that the ledger has for a run that was not started, in a sentence, by
 * the job's policy.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_WHY_REASON_H
#define PGBATON_SUPERVISOR_CLI_WHY_REASON_H

#include <jansson.h>

#include "common/duration.h"
#include "common/outcome.h"
#include "supervisor/cli/paragraph.h"

/* why_reason_explain - one sentence or more. policy: of the job as this instance has it; null: it
 * has none. */
void why_reason_explain(struct paragraph *p, enum outcome outcome, const char *reason,
                        const json_t *policy);

/* why_reason_length - one of the policy's, as the configuration takes it: "1d"; "?" where the job
 * is none of this configuration. */
struct duration_text why_reason_length(const json_t *policy, const char *key);

#endif
