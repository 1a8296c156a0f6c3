/*
 * environment.h - what a job finds in its environment (CONTRACT.md).
 *
 * The daemon's own environment less its secrets, or cron's bare one; then the
 * job's environment_file, its environment, and the PGBATON_ names, each
 * overriding what came before.
 *
 * Runs in: worker, `pgbaton exec`. Never logs.
 */
#ifndef PGBATON_WORKER_LEADER_ENVIRONMENT_H
#define PGBATON_WORKER_LEADER_ENVIRONMENT_H

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/identity.h"
#include "worker/leader/account.h"

enum { ENVIRONMENT_FILE_MAX = 1024 * 1024 }; /* bytes; a larger environment_file is refused */

/* What is particular to one run. */
struct environment_run {
    const char *run_id;
    const char *epoch; /* "1.7"; "" outside a term */
    wall_ns scheduled_at;
    unsigned attempt;
    char *const *more; /* NAME=VALUE, NULL-terminated: counts before all the others; NULL: none */
};

/*
 * environment_build - a NULL-terminated list of NAME=VALUE, to be freed with
 * environment_free(). inherited is the daemon's own (environ).
 *
 * environment_file is read now: NAME=VALUE lines, empty lines and lines that
 * begin with # left out; one pair of quotes around a value is taken off.
 *
 * Returns NULL with the reason in reterr (the file cannot be read, a line of
 * it is no NAME=VALUE, out of memory).
 */
char **environment_build(const struct config *cfg, const struct config_job *job,
                         const struct account *account, const struct environment_run *run,
                         char *const *inherited, char *reterr, size_t size);
void environment_free(char **environment);

struct instant_text {
    char is[40];
};
/* instant_text - RFC 3339 in UTC; the fraction only where there is one. Use at once: .is */
struct instant_text instant_text(wall_ns at);

#endif
