/*
 * What an instance costs while nothing happens, in a minute, with the default
 * configuration: time of the processor, wake-ups, and messages to the server.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/crowd.h"
#include "tests/bench/table.h"
#include "tests/bench/wiretap.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"

#define SETTLING DUR_S(15)
#define MINUTE DUR_S(60)

enum { ROLES = 3 };

static const char *const roles[ROLES] = {"follower", "heir", "leader"};

/* What the processes of an instance have used so far. */
struct usage {
    long long run_ns; /* the scheduler's own account: clock ticks are too coarse */
    long long wakeups;
};

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

static struct usage usage_of(const struct instance *i)
{
    pid_t pids[CROWD_PROCESSES_MAX];
    size_t count = instance_processes(i, pids);
    struct usage sum = {0};

    cr_assert(count >= 4, "%s has %zu processes", i->name, count);
    for (size_t n = 0; n < count; n++) {
        sum.run_ns += process_number(pids[n], "schedstat", "");
        sum.wakeups += process_number(pids[n], "status", "\nvoluntary_ctxt_switches:");
    }
    return sum;
}

Test(bench, idle, .timeout = 300)
{
    static const double cpu_marks[ROLES] = {20, 60, 60};
    static const double wakeup_marks[ROLES] = {60, 0, 0};
    static struct crowd c;
    struct instance *role[ROLES];
    struct usage before[ROLES];
    struct usage after[ROLES];
    char what[80];

    crowd_make(&c);
    char *jobs = crowd_jobs(&c, false);
    crowd_grow(&c, ROLES, &(struct instance_settings){.job = jobs});
    free(jobs);
    (void)crowd_settled(&c);
    (void)wait_never(never, NULL, SETTLING);
    for (size_t i = 0; i < ROLES; i++) {
        role[i] = crowd_role(&c, roles[i]);
        before[i] = usage_of(role[i]);
    }
    (void)wait_never(never, NULL, MINUTE);
    for (size_t i = 0; i < ROLES; i++) {
        after[i] = usage_of(role[i]);
        cr_assert_eq(crowd_role(&c, roles[i]), role[i], "it was no quiet minute");
    }
    for (size_t i = 0; i < ROLES; i++) {
        (void)snprintf(what, sizeof what, "processor time a minute, %s", roles[i]);
        table_amount(what, (double)(after[i].run_ns - before[i].run_ns) / DUR_MS(1), cpu_marks[i],
                     "ms");
    }
    for (size_t i = 0; i < ROLES; i++) {
        (void)snprintf(what, sizeof what, "wake-ups a minute of the whole tree, %s", roles[i]);
        table_amount(what, (double)(after[i].wakeups - before[i].wakeups), wakeup_marks[i], "");
    }
}

Test(bench, messages, .timeout = 300)
{
    static const double marks[ROLES] = {15, 165, 90};
    static struct crowd c;
    static struct wiretap tap[ROLES];
    uint64_t before[ROLES];
    char what[80];

    crowd_make(&c);
    char *jobs = crowd_jobs(&c, false);
    for (size_t i = 0; i < ROLES; i++) {
        wiretap_start(&tap[i], c.pg.port);
        char *dsn = text_format("host=127.0.0.1 port=%u user=postgres dbname=" SERVER_DATABASE
                                " sslmode=disable",
                                tap[i].port);
        crowd_grow(&c, i + 1, &(struct instance_settings){.dsn = dsn, .job = jobs});
        free(dsn);
    }
    free(jobs);
    (void)crowd_settled(&c);
    (void)wait_never(never, NULL, SETTLING);
    for (size_t i = 0; i < ROLES; i++) {
        before[i] = *tap[crowd_role(&c, roles[i]) - c.member].said;
    }
    (void)wait_never(never, NULL, MINUTE);
    for (size_t i = 0; i < ROLES; i++) {
        uint64_t said = *tap[crowd_role(&c, roles[i]) - c.member].said - before[i];
        (void)snprintf(what, sizeof what, "messages to the server a minute, %s", roles[i]);
        table_amount(what, (double)said, marks[i], "");
    }
    for (size_t i = 0; i < ROLES; i++) {
        wiretap_stop(&tap[i]);
    }
}
