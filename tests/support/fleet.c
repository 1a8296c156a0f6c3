#include "tests/support/fleet.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/text.h"

struct instance_settings fleet_settings(const struct fleet *f,
                                        const struct instance_settings *settings)
{
    struct instance_settings all =
        settings == NULL ? (struct instance_settings){.dsn = NULL} : *settings;

    all.dsn = all.dsn == NULL ? server_conninfo(&f->pg, SERVER_TLS) : all.dsn;
    all.election = all.election == NULL ? ELECTION_CALM : all.election;
    all.job = all.job == NULL ? f->diary.job : all.job;
    return all;
}

void fleet_make(struct fleet *f, size_t count, const struct instance_settings *settings)
{
    fleet_make_on(f, count, settings, &(struct server_options){.settings = NULL});
}

void fleet_make_on(struct fleet *f, size_t count, const struct instance_settings *settings,
                   const struct server_options *options)
{
    static const char *const names[FLEET_MAX] = {"a", "b", "c", "d"};

    cr_assert(count <= FLEET_MAX);
    f->count = count;
    workdir_make(&f->dir);
    server_start_with(&f->pg, &f->dir, "pg", options);
    diary_make(&f->diary, &f->dir);
    poller_start(&f->poller, &f->pg, LEADER_KEY);

    struct instance_settings all = fleet_settings(f, settings);
    for (size_t i = 0; i < count; i++) {
        instance_make(&f->member[i], &f->dir, names[i], &all);
    }
}

void fleet_add_jobs(struct fleet *f, const struct instance_settings *settings, const char *jobs)
{
    struct instance_settings all = fleet_settings(f, settings);
    char *job = text_format("%s%s", jobs, f->diary.job);

    all.job = job;
    for (size_t i = 0; i < f->count; i++) {
        instance_configure(&f->member[i], &all);
    }
    free(job);
}

void fleet_by_relay(struct fleet *f, size_t member, const struct relay *relay,
                    const struct instance_settings *settings)
{
    struct instance_settings all = fleet_settings(f, settings);

    all.dsn = server_conninfo_at(&f->pg, relay->port);
    instance_configure(&f->member[member], &all);
}

void fleet_begin(struct fleet *f)
{
    for (size_t i = 0; i < f->count; i++) {
        instance_start(&f->member[i], NULL);
        if (i == 0) {
            instance_wait(&f->member[i], "elected", "");
        } else if (i == 1) {
            instance_wait(&f->member[i], "seat_taken", "");
        }
    }
    diary_wait(&f->diary, "a", 10);
}

static bool knows_its_heir(void *instance)
{
    json_t *status = instance_status(instance);
    bool knows = json_is_true(json_object_get(status, "heir_waits"));

    json_decref(status);
    return knows;
}

void fleet_wait_heir_known(struct fleet *f)
{
    cr_assert(wait_until(knows_its_heir, &f->member[0], WAIT_LIMIT),
              "a does not know that b waits:\n%s", text_tail(f->member[0].log));
}

static bool steps_down(void *ctx)
{
    struct instance *leader = ctx;

    if (instance_logged(leader, "step_down", "") > 0) {
        return true;
    }
    program_signal(&leader->supervisor, SIGUSR2);
    return false;
}

void fleet_step_down(struct fleet *f)
{
    cr_assert(wait_until(steps_down, &f->member[0], WAIT_LIMIT), "a does not step down:\n%s",
              text_tail(f->member[0].log));
}

void fleet_check(struct fleet *f)
{
    diary_check(&f->diary);
    poller_check(&f->poller);
    for (size_t i = 0; i < f->count; i++) {
        instance_check_log(&f->member[i]);
    }
}

int leader_pid(PGconn *conn)
{
    char sql[256];

    (void)snprintf(
        sql, sizeof sql,
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND classid = %" PRIu32 " AND objid = %" PRIu32,
        (uint32_t)((uint64_t)LEADER_KEY >> 32), (uint32_t)((uint64_t)LEADER_KEY & UINT32_MAX));
    const char *pid = server_scalar(conn, sql);
    return pid == NULL ? 0 : (int)strtol(pid, NULL, 10);
}
