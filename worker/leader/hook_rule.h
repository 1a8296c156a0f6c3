/*
 * hook_rule.h - PURE: which hooks follow from the end of a run.
 */
#ifndef PGBATON_WORKER_LEADER_HOOK_RULE_H
#define PGBATON_WORKER_LEADER_HOOK_RULE_H

#include <stdbool.h>

#include "common/outcome.h"

/* A set of them. */
enum hook {
    HOOK_NONE = 0,
    HOOK_FAILURE = 1,  /* on_failure */
    HOOK_RECOVERY = 2, /* on_recovery */
    HOOK_SUCCESS = 4,  /* on_success */
};

struct hook_facts {
    enum outcome outcome;
    bool is_retried;          /* another attempt follows: this end is none yet */
    unsigned failures_before; /* attempts that failed in a row before this one */
    unsigned failed_attempts; /* how many of these belong to this very run */
};

/*
 * hook_rule - FAILED and TIMED_OUT are failures, once no retry is left. A success is a recovery
 * where an earlier run had failed: one that only needed a retry was never said to have failed.
 * What was cancelled, interrupted, skipped or missed is neither.
 */
unsigned hook_rule(const struct hook_facts *facts);

/* hook_name - "on_failure", ... of a single one. */
const char *hook_name(enum hook hook);

#endif
