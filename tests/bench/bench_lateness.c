/*
 * How late does a job start that is due every second? From the instant to the
 * first instruction of its command. The floor: a bare timer that spawns the same
 * command at the same time, in the middle between two of these instants.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/bench/crowd.h"
#include "tests/bench/spawner.h"
#include "tests/bench/table.h"
#include "tests/support/text.h"

enum { SECONDS = 60 };

/* Each beside a second of its own: one that is late by more than that is not taken for the next. */
static void add_lateness(struct series *s, const struct stamps *stamps, size_t skip, dur_ns phase)
{
    size_t count;
    wall_ns *at = stamps_read(stamps, skip, &count);
    wall_ns second = (at[0] - phase) / DUR_S(1) * DUR_S(1) + phase;

    for (size_t i = 0; i < count; i++, second += DUR_S(1)) {
        cr_assert_geq(at[i], second, "a second was left out");
        series_add(s, at[i] - second);
    }
    free(at);
}

static void compare(const char *what, const struct series *took, const struct series *bare,
                    unsigned percent, double mark)
{
    table_above(what, series_part_ms(took, percent), series_part_ms(bare, percent), mark);
}

Test(bench, lateness, .timeout = 300)
{
    static struct crowd c;
    static struct series took, bare;
    struct stamps bare_stamps;

    crowd_make(&c);
    stamps_beside(&bare_stamps, &c.dir, "bare");
    char *job = text_format("[job tick]\nschedule = every 1s\nexec = %s %s\n", c.stamps.command,
                            c.stamps.file);
    crowd_grow(&c, 1, &(struct instance_settings){.job = job});
    free(job);
    (void)stamps_wait(&c.stamps, 1); /* the second: all that happens once has happened */
    size_t before = stamps_count(&c.stamps);
    pid_t spawner = spawner_seconds(&bare_stamps, SECONDS, DUR_MS(500));
    spawner_wait(spawner);
    add_lateness(&took, &c.stamps, before, 0);
    add_lateness(&bare, &bare_stamps, 0, DUR_MS(500));
    cr_assert_geq(took.count, (size_t)SECONDS - 1, "%zu ticks in %d s", took.count, SECONDS);
    table_floor("floor: a bare timer spawns a command each second", &bare);
    compare("lateness of a job due every second, p50", &took, &bare, 50, 2);
    compare("the same, p99", &took, &bare, 99, 10);
}
