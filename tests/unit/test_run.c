/*
 * One run, with a real process: what is kept of what it prints, whatever its output is.
 */
#include <criterion/criterion.h>
#include <ev.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/log.h"
#include "worker/leader/run.h"

static struct run_world world;
static struct config cfg;
static struct config_job job;
static struct account *account;
static char *words[4];
static char directory[] = "/tmp/pgbaton-run-XXXXXX";
static char file[64];
static int log_file;

static void up(void)
{
    char reason[256];

    log_file = memfd_create("log", MFD_CLOEXEC);
    log_fd(log_file);
    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(file, sizeof(file), "%s/out", directory);
    cr_assert_eq(setenv("FILE", file, 1), 0);
    account = account_find(NULL, reason, sizeof(reason));
    cr_assert_not_null(account, "%s", reason);
    cfg = (struct config){.pgbaton = {.instance = "test"},
                          .election = {.name = "main"},
                          .runs = {.output_limit = 16}};
    job = (struct config_job){.name = "a", .umask = -1, .nice = INT_MIN, .words = words};
    world = (struct run_world){.config = &cfg, .outputs = {.loop = ev_loop_new(0)}};
}

static void down(void)
{
    char command[128];

    log_fd(2);
    account_free(account);
    ev_loop_destroy(world.outputs.loop);
    (void)close(log_file);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    cr_expect_eq(system(command), 0);
}

TestSuite(run, .init = up, .fini = down, .timeout = 60);

static bool yes(void *ctx)
{
    (void)ctx;
    return true;
}

/* To its end; its output is read as the worker does. */
static struct run *whole_run(const char *script)
{
    char reason[RUN_REASON_MAX] = "";
    struct run_order order = {
        .job = &job, .account = account, .epoch = "1.7", .number = 1, .may_start = yes};

    words[0] = (char[]){"/bin/sh"};
    words[1] = (char[]){"-c"};
    words[2] = (char *)(uintptr_t)script;

    struct run *run = run_start(&world, &order, NULL, reason, sizeof(reason));

    cr_assert_not_null(run, "%s", reason);
    cr_assert_eq(waitpid(run->pid, &run->status, 0), run->pid);
    run_reaped(&world, run, NULL);
    output_flush(run->standard_output);
    output_flush(run->standard_error);
    return run;
}

static void write_file(const char *text)
{
    FILE *to = fopen(file, "w");

    cr_assert_not_null(to);
    (void)fputs(text, to);
    cr_assert_eq(fclose(to), 0);
}

/* clang-format off */
static const struct {
    const char *title;
    enum job_output output;
    const char *path;      /* NULL: the file of the test */
    const char *before;    /* what is in it; NULL: there is none */
    const char *script;
    const char *head;
    const char *tail;
    uint64_t total;
} cases[] = {
    {"to the log", OUTPUT_LOG, NULL, NULL, "echo one; echo two >&2", "one\ntwo\n", "", 8},
    {"more than the limit, to the log", OUTPUT_LOG, NULL, NULL, "echo begin; seq 1000; echo end", "begin\n1\n", "000\nend\n", 3903},
    {"nowhere", OUTPUT_NONE, NULL, NULL, "echo one; echo two >&2", "", "", 0},
    {"to a new file", OUTPUT_FILE, NULL, NULL, "echo one; echo two >&2", "one\ntwo\n", "", 8},
    {"to a file that has something", OUTPUT_FILE, NULL, "of the run before\n", "echo one", "one\n", "", 4},
    {"nothing to a file that has something", OUTPUT_FILE, NULL, "of the run before\n", ":", "", "", 0},
    {"more than the limit, to a file", OUTPUT_FILE, NULL, "before\n", "echo begin; seq 1000; echo end", "begin\n1\n", "000\nend\n", 3903},
    {"all of the limit, to a file", OUTPUT_FILE, NULL, "before\n", "printf 0123456789abcdef", "01234567", "89abcdef", 16},
    {"to a file that is moved away", OUTPUT_FILE, NULL, "before\n", "echo one; mv $FILE $FILE.1; echo other >$FILE; echo two", "one\ntwo\n", "", 8},
    {"to a file that is cut", OUTPUT_FILE, NULL, "before\n", "echo one; : >$FILE; echo two", "two\n", "", 4},
    {"to what is no file", OUTPUT_FILE, "/dev/null", NULL, "echo one", "", "", 0},
};
/* clang-format on */

Test(run, what_it_prints_is_kept)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t head_count;
        size_t tail_count;

        (void)remove(file);
        if (cases[i].before != NULL) {
            write_file(cases[i].before);
        }
        job.output = cases[i].output;
        job.output_file = cases[i].path == NULL ? file : cases[i].path;

        struct run *run = whole_run(cases[i].script);
        const struct excerpt *e = run_excerpt(run);

        cr_expect_eq(run_code(run), 0, "%s", cases[i].title);
        cr_expect_eq(excerpt_total(e), cases[i].total, "%s: %d", cases[i].title,
                     (int)excerpt_total(e));
        const char *head = excerpt_head(e, &head_count);
        const char *tail = excerpt_tail(e, &tail_count);
        cr_expect(head_count == strlen(cases[i].head) &&
                      memcmp(head, cases[i].head, head_count) == 0,
                  "%s: '%.*s'", cases[i].title, (int)head_count, head);
        cr_expect(tail_count == strlen(cases[i].tail) &&
                      memcmp(tail, cases[i].tail, tail_count) == 0,
                  "%s: '%.*s'", cases[i].title, (int)tail_count, tail);
        cr_expect_eq(run_excerpt(run), e, "%s: it stays", cases[i].title);
        run_free(&world, run);
    }
}

Test(run, with_no_limit_nothing_is_kept)
{
    static const enum job_output outputs[] = {OUTPUT_LOG, OUTPUT_FILE};

    cfg.runs.output_limit = 0;
    job.output_file = file;
    for (size_t i = 0; i < ARRAY_LEN(outputs); i++) {
        size_t count;

        job.output = outputs[i];

        struct run *run = whole_run("echo one");

        (void)excerpt_head(run_excerpt(run), &count);
        cr_expect_eq(count, 0);
        cr_expect_eq(run->file, -1);
        run_free(&world, run);
    }
}
