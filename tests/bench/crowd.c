#include "tests/bench/crowd.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/observer.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"

void crowd_make(struct crowd *c)
{
    c->count = 0;
    workdir_make(&c->dir);
    server_start(&c->pg, &c->dir, "pg", "max_connections = 400\n");
    c->watch = server_connect(&c->pg, "watch");
    stamps_make(&c->stamps, &c->dir);
}

char *crowd_jobs(const struct crowd *c, bool work)
{
    return text_format("[job first]\nschedule = @elected\nexec = %s %s\n%s", c->stamps.command,
                       c->stamps.file,
                       work ? "[job work]\nschedule = always\nexec = sleep 1000\n" : "");
}

void crowd_grow(struct crowd *c, size_t count, const struct instance_settings *settings)
{
    struct instance_settings all = *settings;

    cr_assert(count <= CROWD_MAX);
    if (all.dsn == NULL) {
        all.dsn = server_conninfo(&c->pg, SERVER_TLS);
    }
    for (; c->count < count; c->count++) {
        char name[16];

        (void)snprintf(name, sizeof name, "m%zu", c->count);
        instance_make(&c->member[c->count], &c->dir, name, &all);
        instance_start(&c->member[c->count], NULL);
    }
}

static struct instance *called(struct crowd *c, const char *name)
{
    for (size_t i = 0; name != NULL && i < c->count; i++) {
        if (strcmp(c->member[i].name, name) == 0) {
            return &c->member[i];
        }
    }
    return NULL;
}

/* The instance whose lock session has the key, while another one waits for it with a ledger that
 * is ready, and as many probes as there are instances have nothing to ask. */
static const char settled_sql[] =
    "WITH s AS (SELECT pid, state, application_name AS name FROM pg_stat_activity),"
    " k AS (SELECT pid, granted FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    " AND classid = %" PRIu32 " AND objid = %" PRIu32 ")"
    " SELECT substring(name FROM '[^ ]+$') FROM s JOIN k USING (pid) WHERE k.granted"
    " AND EXISTS (SELECT FROM k WHERE NOT granted)"
    " AND 2 = (SELECT count(*) FROM s WHERE name LIKE 'pgbaton ledger %%' AND state = 'idle')"
    " AND %zu = (SELECT count(*) FROM s WHERE name ~ '^pgbaton (follower|heir|leader) '"
    " AND state = 'idle')";

struct search {
    struct crowd *crowd;
    const char *sql;
    struct instance *found;
};

static bool is_found(void *ctx)
{
    struct search *s = ctx;

    s->found = called(s->crowd, server_scalar(s->crowd->watch, s->sql));
    return s->found != NULL;
}

struct instance *crowd_settled(struct crowd *c)
{
    uint64_t key = (uint64_t)LEADER_KEY;
    char *sql =
        text_format(settled_sql, (uint32_t)(key >> 32), (uint32_t)(key & UINT32_MAX), c->count);
    struct search search = {.crowd = c, .sql = sql};

    cr_assert(wait_until(is_found, &search, 2 * WAIT_LIMIT), "nobody leads with an heir");
    free(sql);
    return search.found;
}

struct instance *crowd_role(struct crowd *c, const char *role)
{
    char *sql = text_format("SELECT substring(application_name FROM '[^ ]+$') FROM pg_stat_activity"
                            " WHERE application_name LIKE 'pgbaton %s %%' LIMIT 1",
                            role);
    struct search search = {.crowd = c, .sql = sql};

    cr_assert(wait_until(is_found, &search, WAIT_LIMIT), "there is no %s", role);
    free(sql);
    return search.found;
}

size_t instance_processes(const struct instance *i, pid_t ret_pids[CROWD_PROCESSES_MAX])
{
    pid_t below[CROWD_PROCESSES_MAX];
    size_t count = processes_below(i->supervisor.guard, below, CROWD_PROCESSES_MAX);
    size_t ours = 0;

    for (size_t n = 0; n < count; n++) {
        if (strncmp(process_title(below[n]), "pgbaton: ", 9) == 0) {
            ret_pids[ours++] = below[n];
        }
    }
    return ours;
}

long long process_number(pid_t pid, const char *file, const char *name)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    char *text = text_read(path);
    const char *at = strstr(text, name);

    cr_assert_not_null(at, "%s has no %s", path, name);
    long long number = strtoll(at + strlen(name), NULL, 10);
    free(text);
    return number;
}
