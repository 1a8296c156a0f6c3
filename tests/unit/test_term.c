/* The term of a file, driven as the worker drives it; that of the database needs a server. */
#include "worker/leader/term.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/config_fixture.h"
#include "worker/database/lock_file.h"
#include "worker/database/sqlite_file.h"

TestSuite(term, .init = config_fixture_up, .fini = config_fixture_down, .timeout = 60);

static const char settings[] = "[database]\ndsn = sqlite:ledger\n"
                               "[election]\nlease = 15s\ntakeover_delay = 2s\n";

/* Who was before. */
static const struct lock_term unclean = {
    .epoch = {.generation = 1, .number = 7},
    .incarnation = 7,
    .lease = DUR_S(15),
    .instance = "a",
};
static const struct lock_term clean = {
    .epoch = {.generation = 1, .number = 7},
    .incarnation = 7,
    .lease = DUR_S(15),
    .ended = true,
    .ended_as = "released",
    .instance = "a",
};

static struct {
    struct ev_loop *loop;
    struct config *cfg;
    struct term *term;
    struct epoch opened;
    struct takeover takeover;
    char failed[REASON_MAX];
    unsigned events;
} world;

static void on_opened(void *ctx, struct epoch epoch)
{
    (void)ctx;
    world.opened = epoch;
    world.events++;
}

static void on_failed(void *ctx, const char *text)
{
    (void)ctx;
    (void)snprintf(world.failed, sizeof(world.failed), "%s", text);
    world.events++;
}

static void on_blocked(void *ctx, int ledger_pid)
{
    (void)ctx;
    (void)ledger_pid;
}

static void on_looked(void *ctx, struct takeover takeover)
{
    (void)ctx;
    world.takeover = takeover;
    world.events++;
}

static void on_stamped(void *ctx)
{
    (void)ctx;
    world.events++;
}

static void begin_after(const struct lock_term *previous)
{
    const struct term_events events = {
        .on_opened = on_opened,
        .on_failed = on_failed,
        .on_blocked = on_blocked,
        .on_looked = on_looked,
        .on_stamped = on_stamped,
    };
    struct term_options options = {.incarnation = 42};

    world.loop = ev_loop_new(EVFLAG_AUTO);
    world.cfg = config_fixture_config(settings);
    options.config = world.cfg;
    if (previous != NULL) {
        cr_assert_eq(lock_term_write(world.cfg->database.dsn, previous), 0);
    }
    world.term = term_open(world.loop, &options, &events);
    cr_assert_not_null(world.term);
    term_begin(world.term, 0, options.server);
}

static void run_until(unsigned events)
{
    while (world.events < events) {
        (void)ev_run(world.loop, EVRUN_ONCE);
    }
}

static struct lock_term in_file(void)
{
    struct lock_term term = {.epoch = {0}};

    cr_assert_eq(lock_term_read(world.cfg->database.dsn, &term), 0);
    return term;
}

static void end(void)
{
    term_close(world.term);
    config_free(world.cfg);
    ev_loop_destroy(world.loop);
}

Test(term, of_a_file_is_opened_looked_at_and_stamped)
{
    begin_after(&clean);
    run_until(2);
    cr_expect_eq(world.opened.number, 8);
    cr_expect_not(in_file().ended);
    cr_expect_eq(world.takeover.wait, 0);
    term_stamp(world.term, "released", "stop", true);
    run_until(3);
    cr_expect(in_file().ended);
    end();
}

/* The file has room for one term: ours took the place of one whose jobs may still be dying. */
Test(term, that_is_given_up_within_its_wait_hides_no_unclean_end)
{
    begin_after(&unclean);
    run_until(2);
    cr_expect_eq(world.takeover.wait, DUR_S(2));
    term_stamp(world.term, "released", "stop", true);
    run_until(3);
    cr_expect_not(in_file().ended);
    end();
}

/* The key is gone, so the file may be the next leader's by now. */
Test(term, of_a_key_that_is_gone_is_not_written_over_that_of_another)
{
    struct lock_term other = unclean;

    begin_after(NULL);
    run_until(2);
    other.epoch.number = 9;
    cr_assert_eq(lock_term_write(world.cfg->database.dsn, &other), 0);
    term_stamp(world.term, "released", "session_ended", false);
    run_until(3);
    cr_expect_eq(in_file().epoch.number, 9);
    end();
}

Test(term, an_epoch_that_nobody_counted_up_to_opens_nothing_and_breaks_nothing)
{
    struct lock_term last = clean;

    last.epoch.number = UINT64_MAX;
    begin_after(&last);
    run_until(1);
    cr_expect_neq(strstr(world.failed, "no epoch to count on from"), NULL, "%s", world.failed);
    cr_expect_eq(in_file().epoch.number, UINT64_MAX, "what is there stays for whoever looks");
    end();
}

/* PATH.term was deleted, or is an old copy: the ledger refuses what it has seen, so that a term
 * which repeated it would have none. */
Test(term, of_a_file_comes_after_what_the_ledger_has_seen)
{
    static const char row[] = "INSERT INTO election (name, generation, number, incarnation,"
                              " instance) VALUES ('main', 1, 9, '', '')";
    const struct lock_term *const files[] = {NULL, &clean};
    char text[SQLITE_FILE_TEXT_MAX];
    struct sqlite_file file;

    cr_assert_eq(sqlite_file_open("ledger", SQLITE_FILE_CREATE, &file, text, sizeof(text)), 0);
    cr_assert_eq(sqlite3_exec(file.db, row, NULL, NULL, NULL), SQLITE_OK);
    sqlite_file_close(&file);
    for (unsigned i = 0; i < 2; i++) {
        begin_after(files[i]);
        run_until(1);
        cr_expect_eq(world.opened.generation, 1);
        cr_expect_eq(world.opened.number, 10);
        end();
        world.events = 0;
        (void)unlink("ledger.term");
    }
}
