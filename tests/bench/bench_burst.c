/*
 * How long until the last of a thousand jobs has started that are all due at one
 * instant? And how many ticks a second are claimed, run and completed for as long
 * as one likes? The floor of both: a bare loop of posix_spawn() with the same
 * commands.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/bench/crowd.h"
#include "tests/bench/spawner.h"
#include "tests/bench/table.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"

enum { BURST = 1000, TRIALS = 5, SUSTAINED_S = 10 };

/* That far ahead there is time to take a configuration, and to claim. */
#define AHEAD DUR_S(5)

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

/* So many jobs with that schedule, and the one that says that there is a leader. */
static char *make_jobs(const struct crowd *c, size_t count, const char *schedule)
{
    char *text = NULL;
    size_t size;
    char *first = crowd_jobs(c, false);
    FILE *to = open_memstream(&text, &size);

    cr_assert_not_null(to);
    (void)fputs(first, to);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(to, "[job j%zu]\nschedule = %s\nexec = %s %s\n", i, schedule,
                      c->stamps.command, c->stamps.file);
    }
    cr_assert_eq(fclose(to), 0);
    free(first);
    return text;
}

static void reconfigure(struct crowd *c, size_t count, const char *schedule)
{
    struct instance *only = &c->member[0];
    char *jobs = make_jobs(c, count, schedule);
    const struct instance_settings settings = {
        .dsn = server_conninfo(&c->pg, SERVER_TLS),
        .jobs = "max_running = 2000\noverlap = allow\n",
        .job = jobs,
    };

    if (c->count == 0) {
        crowd_grow(c, 1, &settings);
    } else {
        instance_configure(only, &settings);
        instance_mark(only);
        program_signal(&only->supervisor, SIGHUP);
        instance_wait(only, "config_reloaded", "");
    }
    free(jobs);
}

static wall_ns soon(void)
{
    return (clock_wall() + AHEAD) / DUR_S(1) * DUR_S(1);
}

/* From the instant until the last one after the first `before` ran. */
static dur_ns last_after(const struct stamps *stamps, size_t before, wall_ns instant)
{
    size_t count;

    stamps_wait_count(stamps, before + BURST);
    wall_ns *at = stamps_read(stamps, before, &count);
    dur_ns took = at[count - 1] - instant;
    cr_assert_eq(count, (size_t)BURST);
    cr_assert_geq(at[0], instant, "one was started before its instant");
    free(at);
    return took;
}

static dur_ns one_burst(struct crowd *c)
{
    size_t before = stamps_count(&c->stamps);
    wall_ns instant = soon();
    time_t second = (time_t)(instant / DUR_S(1));
    char schedule[64];

    (void)strftime(schedule, sizeof schedule, "at %Y-%m-%dT%H:%M:%S", gmtime(&second));
    reconfigure(c, BURST, schedule);
    cr_assert_lt(clock_wall(), instant - DUR_S(1), "this machine is too slow for that");
    return last_after(&c->stamps, before, instant);
}

static dur_ns one_bare_burst(const struct stamps *stamps)
{
    size_t before = stamps_count(stamps);
    wall_ns instant = soon();
    pid_t spawner = spawner_burst(stamps, BURST, instant);

    spawner_wait(spawner);
    return last_after(stamps, before, instant);
}

static void prepare(struct crowd *c, struct stamps *ret_bare)
{
    crowd_make(c);
    stamps_beside(ret_bare, &c->dir, "bare");
    reconfigure(c, 0, "manual");
    (void)stamps_wait(&c->stamps, 0); /* it leads */
}

Test(bench, burst, .timeout = 300)
{
    static struct crowd c;
    static struct series took, bare;
    struct stamps bare_stamps;

    prepare(&c, &bare_stamps);
    for (size_t i = 0; i < TRIALS; i++) {
        series_add(&bare, one_bare_burst(&bare_stamps));
        series_add(&took, one_burst(&c));
    }
    table_floor("floor: 1,000 × posix_spawn() → the last one runs", &bare);
    table_times("1,000 jobs due at one instant → the last one runs", &took, &bare, 1.3);
}

/* Commands a second that were begun and ended, of a bare loop. */
static double bare_rate(const struct stamps *stamps)
{
    static struct series took;

    for (size_t i = 0; i < TRIALS; i++) {
        wall_ns begin = clock_wall();

        spawner_wait(spawner_burst(stamps, BURST, begin));
        series_add(&took, clock_wall() - begin);
    }
    return BURST * 1000 / series_median_ms(&took);
}

static double completed(PGconn *watch)
{
    return strtod(server_scalar(watch, "SELECT count(*) FROM pgbaton.run"
                                       " WHERE job <> 'first' AND outcome = 'succeeded'"),
                  NULL);
}

/* As many as a bare loop could start are due each second: more than can be reached. */
Test(bench, sustained, .timeout = 300)
{
    static struct crowd c;
    struct stamps bare_stamps;

    prepare(&c, &bare_stamps);
    double bare = bare_rate(&bare_stamps);
    size_t offered = (size_t)bare;
    size_t before = stamps_count(&c.stamps);
    reconfigure(&c, offered, "every 1s");
    stamps_wait_count(&c.stamps, before + 2 * offered);
    double first = completed(c.watch);
    mono_ns begin = clock_now();
    (void)wait_never(never, NULL, DUR_S(SUSTAINED_S));
    double last = completed(c.watch);
    double seconds = (double)(clock_now() - begin) / (double)DUR_S(1);
    table_rate("floor: posix_spawn() and waitpid()", bare, 0);
    table_rate_beside("ticks claimed, run and completed", (last - first) / seconds, bare, 0.8);
}
