/*
 * jobs_fixture.h - a worker with nothing but jobs: real processes on a real loop.
 *
 * What a job finds: $DIR, a directory of the test's own, and $WAIT, which waits as long as the
 * test lives: for what a job starts beside itself, so that nothing is left when a test is killed.
 */
#ifndef PGBATON_TESTS_UNIT_JOBS_FIXTURE_H
#define PGBATON_TESTS_UNIT_JOBS_FIXTURE_H

#include <ev.h>

#include "worker/leader/jobs.h"

/* Far above what a loaded machine needs: a test waits for a fact, never for this. */
#define WORLD_LIMIT DUR_S(60)

enum { WORLD_JOBS = 8 };

struct world {
    struct ev_loop *loop;
    struct jobs *jobs;
    struct ledger *ledger; /* of the term; NULL: none yet */
    struct scoreboard *board;
    int board_fd;
    ev_io signals;
    ev_timer pulse; /* so that a fact is looked at again and again */
    int log_file;
    bool may_start;
    unsigned idle;
    unsigned started; /* how often on_started was called */
    pid_t helper;
    int helper_status;
    bool helper_ended;
    char directory[64];
    struct config cfg;
    struct config_job job_list[WORLD_JOBS];
};
extern struct world world;

static const struct schedule always = {.kind = SCHEDULE_ALWAYS};
static const struct schedule elected = {.kind = SCHEDULE_ELECTED};
static const struct schedule released = {.kind = SCHEDULE_RELEASED};
static const struct schedule often = {.kind = SCHEDULE_EVERY, .every = DUR_MS(50)};

/* As .init and .fini of a suite. */
void world_up(void);
void world_down(void);

/* One more job of the configuration; the caller changes what is particular about it. */
struct config_job *world_add(const char *name, struct schedule schedule, const char *script);

/* Epoch 1.7 begins with these jobs; another term begins with what is configured. */
void world_begin(void);
void world_begin_term(struct epoch epoch);
void world_forget_ledger(void); /* when it is over; world_down() does it too */

/* What was logged until now; does it contain this text? */
const char *world_log(void);
bool world_has_logged(const void *what);

/* Was on_started called? */
bool world_has_started(const void *ctx);
/* Was on_idle called? Is there a file of this name in $DIR? */
bool world_is_idle(const void *ctx);
bool world_has_file(const void *name);
void world_make_file(const char *name);

/* The loop runs until it is so. */
void world_wait_for(const char *title, bool (*fact)(const void *ctx), const void *ctx);
void world_wait_for_log(const char *text);
void world_wait_for_file(const char *name);

/* How many processes below this one live. */
unsigned world_descendants(void);
void world_expect_nothing_left(void);

/* The term ends, and nothing is left. */
void world_drain(dur_ns until, dur_ns over);
void world_kill_all(void);

#endif
