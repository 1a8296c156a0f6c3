/*
 * How long from the start of an instance, with nobody leading, until its first
 * job runs? The floor: a bare client connects, commits, spawns the same command.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/bench/crowd.h"
#include "tests/bench/floor.h"
#include "tests/bench/table.h"

enum { TRIALS = 30 };

static dur_ns one_start(struct crowd *c)
{
    struct instance *only = &c->member[0];
    size_t before = stamps_count(&c->stamps);
    mono_ns at = clock_now();

    instance_start(only, NULL);
    dur_ns took = stamps_wait(&c->stamps, before) - at;
    program_kill_tree(&only->supervisor);
    return took;
}

Test(bench, start, .timeout = 300)
{
    static struct crowd c;
    static struct series took, floor_took;

    crowd_make(&c);
    floor_table(c.watch);
    char *jobs = crowd_jobs(&c, false);
    struct instance_settings settings = {.election = "takeover_delay = 0\n", .job = jobs};
    crowd_grow(&c, 1, &settings);
    free(jobs);
    (void)stamps_wait(&c.stamps, 0); /* the tables are made now */
    program_kill_tree(&c.member[0].supervisor);
    for (size_t i = 0; i < TRIALS; i++) {
        series_add(&took, one_start(&c));
        series_add(&floor_took, floor_start(&c.pg, &c.stamps));
    }
    table_floor("floor: a bare client connects by TLS, commits, its command runs", &floor_took);
    table_times("start with nobody leading → first job runs", &took, &floor_took, 5);
}
