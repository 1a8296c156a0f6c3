/*
 * ledger_rule.h - a rule of the ledger as a test of every kind of it, and what
 * such rules are told with.
 */
#ifndef PGBATON_TESTS_SUPPORT_LEDGER_RULE_H
#define PGBATON_TESTS_SUPPORT_LEDGER_RULE_H

#include <criterion/criterion.h>

#include "tests/support/ledger_fixture.h"

/* LEDGER_RULE(name) { ... f ... } - a test for each kind of ledger that keeps anything. */
#define LEDGER_RULE(name)                                                                          \
    static void name(struct ledger_fixture *f);                                                    \
    Test(ledger_postgres, name)                                                                    \
    {                                                                                              \
        ledger_try(&ledger_backend_postgres, name);                                                \
    }                                                                                              \
    Test(ledger_sqlite, name)                                                                      \
    {                                                                                              \
        ledger_try(&ledger_backend_sqlite, name);                                                  \
    }                                                                                              \
    static void name(struct ledger_fixture *f)

/* Two terms, and whose they are. */
static const struct epoch ledger_first = {1, 1};
static const struct epoch ledger_second = {1, 2};
enum { LEDGER_OURS = 0xa1, LEDGER_THEIRS = 0xb2 };

/* ledger_try - the rule with a fresh ledger of that kind. */
void ledger_try(const struct ledger_backend *backend, void (*rule)(struct ledger_fixture *f));

/* a_past - an hour ago, with microseconds. */
wall_ns a_past(void);
/* a_tick - a new one, which advances its job; an_update, an_insert - changes; all to be completed.
 */
struct ledger_claim a_tick(const char *id, const char *job, wall_ns at);
struct ledger_change an_update(const char *id, enum outcome outcome);
struct ledger_change an_insert(const char *id, const char *job, wall_ns at, enum outcome outcome);

/* One of them, which must succeed: the claim with that verdict. */
void ledger_user_claim_one(struct ledger_user *u, const struct ledger_claim *claim,
                           enum ledger_verdict verdict);
void ledger_user_change_one(struct ledger_user *u, const struct ledger_change *change);

#endif
