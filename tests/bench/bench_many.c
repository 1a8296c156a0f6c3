/*
 * What do 10,000 jobs cost of which one is due each second: the worker's memory,
 * the time of a reload, and how late a tick is meanwhile?
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/crowd.h"
#include "tests/bench/table.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"

enum { JOBS = 10000, HOURLY = 3600, RELOADS = 5, PER_MINUTE = 60, HOURS = 24 };

#define SETTLING DUR_S(10)
#define BETWEEN DUR_S(3)

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

/* One for each second of an hour; the rest once a year. The service, if there is one, stamps when
 * it is started: so does a leader that has taken this configuration. */
static char *make_jobs(const struct crowd *c, const struct stamps *services, size_t service)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cr_assert_not_null(to);
    for (int i = 0; i < JOBS; i++) {
        (void)fprintf(to, "[job j%d]\nexec = %s %s\n", i, c->stamps.command, c->stamps.file);
        if (i < HOURLY) {
            (void)fprintf(to, "schedule = %d %d * * * *\n", i % PER_MINUTE, i / PER_MINUTE);
        } else {
            (void)fprintf(to, "schedule = %d %d 1 1 *\n", i % PER_MINUTE, i % HOURS);
        }
    }
    if (service > 0) {
        (void)fprintf(to,
                      "[job service-%zu]\nschedule = always\ncommand = %s %s; exec sleep 1000\n",
                      service, services->command, services->file);
    }
    cr_assert_eq(fclose(to), 0);
    return text;
}

static void one_reload(struct crowd *c, const struct stamps *services, size_t number,
                       struct series *logged, struct series *taken)
{
    struct instance *only = &c->member[0];
    char *jobs = make_jobs(c, services, number);
    const struct instance_settings settings = {.dsn = server_conninfo(&c->pg, SERVER_TLS),
                                               .job = jobs};
    size_t before = stamps_count(services);

    instance_configure(only, &settings);
    free(jobs);
    instance_mark(only);
    mono_ns at = clock_now();
    wall_ns wall = clock_wall();
    program_signal(&only->supervisor, SIGHUP);
    series_add(taken, stamps_wait(services, before) - at);
    instance_wait(only, "config_reloaded", "");
    series_add(logged, instance_time_of(only, "config_reloaded", "") - wall);
    (void)wait_never(never, NULL, BETWEEN);
}

static void report_ticks(const struct crowd *c, size_t skip)
{
    static struct series late;
    size_t count;
    wall_ns *at = stamps_read(&c->stamps, skip, &count);
    wall_ns second = at[0] / DUR_S(1) * DUR_S(1);

    for (size_t i = 0; i < count; i++, second += DUR_S(1)) {
        cr_assert_geq(at[i], second, "a second was left out");
        series_add(&late, at[i] - second);
    }
    table_amount("the latest tick of all that time", series_worst_ms(&late), 100, "ms");
    free(at);
}

static double worker_mib(const struct instance *i)
{
    pid_t worker = instance_child(i, "leader worker");

    cr_assert(worker > 0);
    return (double)process_number(worker, "smaps_rollup", "\nPss:") / 1024;
}

Test(bench, many, .timeout = 300)
{
    static struct crowd c;
    static struct series logged, taken;
    struct stamps services;

    crowd_make(&c);
    stamps_beside(&services, &c.dir, "services");
    char *jobs = make_jobs(&c, &services, 0);
    crowd_grow(&c, 1, &(struct instance_settings){.job = jobs});
    free(jobs);
    (void)stamps_wait(&c.stamps, 1);
    (void)wait_never(never, NULL, SETTLING);
    table_amount("10,000 jobs, one due each second: PSS of the leader's worker",
                 worker_mib(&c.member[0]), 40, "MiB");
    size_t skip = stamps_count(&c.stamps);
    for (size_t i = 1; i <= RELOADS; i++) {
        one_reload(&c, &services, i, &logged, &taken);
    }
    table_amount("HUP → the reload is logged", series_median_ms(&logged), 250, "ms");
    table_amount("HUP → a service that it adds runs", series_median_ms(&taken), 250, "ms");
    report_ticks(&c, skip);
    table_amount("the worker's PSS after five reloads", worker_mib(&c.member[0]), 40, "MiB");
}
