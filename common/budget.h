/*
 * budget.h - PURE: do the numbers of an election add up? (DESIGN.md section 4)
 *
 * margin and kill_margin are no keys: the one is what the deadline stays below
 * the server's lease, the other is what killing may take before it.
 */
#ifndef PGBATON_COMMON_BUDGET_H
#define PGBATON_COMMON_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"

#define BUDGET_KILL_MARGIN DUR_MS(250)
#define BUDGET_HEARTBEAT_MAX DUR_S(1)

struct budget {
    dur_ns lease;
    dur_ns heartbeat;
    dur_ns stop_grace;
    dur_ns loss_grace;
    dur_ns takeover_delay;
};

/* budget_margin - max(500 ms, lease / 20). */
dur_ns budget_margin(dur_ns lease);

enum budget_verdict {
    BUDGET_HOLDS,
    BUDGET_LEASE_SHORT, /* heartbeat * 3 + stop_grace + margin > lease */
    BUDGET_DELAY_SHORT, /* heartbeat + loss_grace + kill_margin > takeover_delay, and it is not 0 */
    BUDGET_DELAY_LONG,  /* takeover_delay > lease */
    BUDGET_GRACE_SHORT, /* kill_margin >= stop_grace */
    BUDGET_HEARTBEAT_LONG, /* heartbeat > 1s */
};
/* budget_check - the first rule that does not hold; text says it of the first of budget_keys(),
 * with the numbers and what would be right. */
enum budget_verdict budget_check(const struct budget *b, char *ret_text, size_t size);

/* budget_keys - the keys that a broken rule speaks of, NULL at the end; the first one is the one
 * that has to give. */
const char *const *budget_keys(enum budget_verdict verdict);

#endif
