/*
 * restart.h - PURE: when does a child that ended start again?
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_RESTART_H
#define PGBATON_SUPERVISOR_RESTART_H

#include "common/backoff.h"
#include "common/clock.h"
#include "common/random.h"

#define RESTART_WAIT_LEAST DUR_MS(100)
#define RESTART_WAIT_MOST DUR_S(30)
/* A child that lived this long has shown that it can: what came before is forgotten. */
#define RESTART_HEALTHY_AFTER DUR_S(60)

enum restart_verdict {
    RESTART_AT,        /* at *ret_when */
    RESTART_ON_RELOAD, /* it would fail the same way again with this configuration */
    RESTART_NEVER,     /* another build is at the far end: the instance must be restarted */
    RESTART_VERDICT_COUNT,
};

struct restart {
    struct backoff wait;
};

void restart_init(struct restart *r);

/*
 * restart_decide - a child ended with this status (of waitpid) after living for
 * uptime. *ret_when is set for RESTART_AT only.
 */
enum restart_verdict restart_decide(struct restart *r, int wait_status, dur_ns uptime, mono_ns now,
                                    struct prng *random, mono_ns *ret_when);

/* restart_failed - it could not even be started: when to try again. */
mono_ns restart_failed(struct restart *r, mono_ns now, struct prng *random);

/* restart_verdict_name - "restart", "wait_for_reload", "give_up". */
const char *restart_verdict_name(enum restart_verdict verdict);

#endif
