#include "tests/support/text.h"
/*
#include "tests/support/text.h"
 * One run, with a real process: what is kept of what it prints, whatever its output is.
#include "tests/support/text.h"
 */
#include "tests/support/text.h"
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
#include "tests/support/text.h"
#include "worker/leader/run.h"

#include "tests/support/text.h"
static struct run_world world;
#include "tests/support/text.h"
static struct config cfg;
#include "tests/support/text.h"
static struct config_job job;
#include "tests/support/text.h"
static struct account *account;
#include "tests/support/text.h"
static char *words[4];
#include "tests/support/text.h"
static char directory[] = "/tmp/pgbaton-run-XXXXXX";
#include "tests/support/text.h"
static char file[64];
#include "tests/support/text.h"
static int log_file;
#include "tests/support/text.h"

#include "tests/support/text.h"
static void up(void)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char reason[256];
#include "tests/support/text.h"

#include "tests/support/text.h"
    log_file = memfd_create("log", MFD_CLOEXEC);
#include "tests/support/text.h"
    log_fd(log_file);
#include "tests/support/text.h"
    cr_assert_not_null(mkdtemp(directory));
#include "tests/support/text.h"
    (void)snprintf(file, sizeof(file), "%s/out", directory);
#include "tests/support/text.h"
    cr_assert_eq(setenv("FILE", file, 1), 0);
#include "tests/support/text.h"
    account = account_find(NULL, reason, sizeof(reason));
#include "tests/support/text.h"
    cr_assert_not_null(account, "%s", reason);
#include "tests/support/text.h"
    cfg = (struct config){.pgbaton = {.instance = "test"},
#include "tests/support/text.h"
                          .election = {.name = "main"},
#include "tests/support/text.h"
                          .runs = {.output_limit = 16}};
#include "tests/support/text.h"
    job = (struct config_job){.name = "a", .umask = -1, .nice = INT_MIN, .words = words};
#include "tests/support/text.h"
    world = (struct run_world){.config = &cfg, .outputs = {.loop = ev_loop_new(0)}};
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
static void down(void)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char command[128];
#include "tests/support/text.h"

#include "tests/support/text.h"
    log_fd(2);
#include "tests/support/text.h"
    account_free(account);
#include "tests/support/text.h"
    ev_loop_destroy(world.outputs.loop);
#include "tests/support/text.h"
    (void)close(log_file);
#include "tests/support/text.h"
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
#include "tests/support/text.h"
    cr_expect_eq(system(command), 0);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
TestSuite(run, .init = up, .fini = down, .timeout = 60);
#include "tests/support/text.h"

#include "tests/support/text.h"
static bool yes(void *ctx)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    (void)ctx;
#include "tests/support/text.h"
    return true;
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
/* To its end; its output is read as the worker does. */
#include "tests/support/text.h"
static struct run *whole_run(const char *script)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char reason[RUN_REASON_MAX] = "";
#include "tests/support/text.h"
    struct run_order order = {
#include "tests/support/text.h"
        .job = &job, .account = account, .epoch = "1.7", .number = 1, .may_start = yes};
#include "tests/support/text.h"

#include "tests/support/text.h"
    words[0] = (char[]){"/bin/sh"};
#include "tests/support/text.h"
    words[1] = (char[]){"-c"};
#include "tests/support/text.h"
    words[2] = (char *)(uintptr_t)script;
#include "tests/support/text.h"

#include "tests/support/text.h"
    struct run *run = run_start(&world, &order, NULL, reason, sizeof(reason));
#include "tests/support/text.h"

#include "tests/support/text.h"
    cr_assert_not_null(run, "%s", reason);
#include "tests/support/text.h"
    cr_assert_eq(waitpid(run->pid, &run->status, 0), run->pid);
#include "tests/support/text.h"
    run_reaped(&world, run, NULL);
#include "tests/support/text.h"
    output_flush(run->standard_output);
#include "tests/support/text.h"
    output_flush(run->standard_error);
#include "tests/support/text.h"
    return run;
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
static void write_file(const char *text)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    FILE *to = fopen(file, "w");
#include "tests/support/text.h"

#include "tests/support/text.h"
    cr_assert_not_null(to);
#include "tests/support/text.h"
    (void)fputs(text, to);
#include "tests/support/text.h"
    cr_assert_eq(fclose(to), 0);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
/* clang-format off */
#include "tests/support/text.h"
static const struct {
#include "tests/support/text.h"
    const char *title;
#include "tests/support/text.h"
    enum job_output output;
#include "tests/support/text.h"
    const char *path;      /* NULL: the file of the test */
#include "tests/support/text.h"
    const char *before;    /* what is in it; NULL: there is none */
#include "tests/support/text.h"
    const char *script;
#include "tests/support/text.h"
    const char *head;
#include "tests/support/text.h"
    const char *tail;
#include "tests/support/text.h"
    uint64_t total;
#include "tests/support/text.h"
} cases[] = {
#include "tests/support/text.h"
    {"to the log", OUTPUT_LOG, NULL, NULL, "echo one; echo two >&2", "one\ntwo\n", "", 8},
#include "tests/support/text.h"
    {"more than the limit, to the log", OUTPUT_LOG, NULL, NULL, "echo begin; seq 1000; echo end", "begin\n1\n", "000\nend\n", 3903},
#include "tests/support/text.h"
    {"nowhere", OUTPUT_NONE, NULL, NULL, "echo one; echo two >&2", "", "", 0},
#include "tests/support/text.h"
    {"to a new file", OUTPUT_FILE, NULL, NULL, "echo one; echo two >&2", "one\ntwo\n", "", 8},
#include "tests/support/text.h"
    {"to a file that has something", OUTPUT_FILE, NULL, "of the run before\n", "echo one", "one\n", "", 4},
#include "tests/support/text.h"
    {"nothing to a file that has something", OUTPUT_FILE, NULL, "of the run before\n", ":", "", "", 0},
#include "tests/support/text.h"
    {"more than the limit, to a file", OUTPUT_FILE, NULL, "before\n", "echo begin; seq 1000; echo end", "begin\n1\n", "000\nend\n", 3903},
#include "tests/support/text.h"
    {"all of the limit, to a file", OUTPUT_FILE, NULL, "before\n", "printf 0123456789abcdef", "01234567", "89abcdef", 16},
#include "tests/support/text.h"
    {"to a file that is moved away", OUTPUT_FILE, NULL, "before\n", "echo one; mv $FILE $FILE.1; echo other >$FILE; echo two", "one\ntwo\n", "", 8},
#include "tests/support/text.h"
    {"to a file that is cut", OUTPUT_FILE, NULL, "before\n", "echo one; : >$FILE; echo two", "two\n", "", 4},
#include "tests/support/text.h"
    {"to what is no file", OUTPUT_FILE, "/dev/null", NULL, "echo one", "", "", 0},
#include "tests/support/text.h"
};
#include "tests/support/text.h"
/* clang-format on */
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(run, what_it_prints_is_kept)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
#include "tests/support/text.h"
        size_t head_count;
#include "tests/support/text.h"
        size_t tail_count;
#include "tests/support/text.h"

#include "tests/support/text.h"
        (void)remove(file);
#include "tests/support/text.h"
        if (cases[i].before != NULL) {
#include "tests/support/text.h"
            write_file(cases[i].before);
#include "tests/support/text.h"
        }
#include "tests/support/text.h"
        job.output = cases[i].output;
#include "tests/support/text.h"
        job.output_file = cases[i].path == NULL ? file : cases[i].path;
#include "tests/support/text.h"

#include "tests/support/text.h"
        struct run *run = whole_run(cases[i].script);
#include "tests/support/text.h"
        const struct excerpt *e = run_excerpt(run);
#include "tests/support/text.h"

#include "tests/support/text.h"
        cr_expect_eq(run_code(run), 0, "%s", cases[i].title);
#include "tests/support/text.h"
        cr_expect_eq(excerpt_total(e), cases[i].total, "%s: %d", cases[i].title,
#include "tests/support/text.h"
                     (int)excerpt_total(e));
#include "tests/support/text.h"
        const char *head = excerpt_head(e, &head_count);
#include "tests/support/text.h"
        const char *tail = excerpt_tail(e, &tail_count);
#include "tests/support/text.h"
        cr_expect(text_is(head, head_count, cases[i].head), "%s: '%.*s'", cases[i].title,
#include "tests/support/text.h"
                  (int)head_count, head);
#include "tests/support/text.h"
        cr_expect(text_is(tail, tail_count, cases[i].tail), "%s: '%.*s'", cases[i].title,
#include "tests/support/text.h"
                  (int)tail_count, tail);
#include "tests/support/text.h"
        cr_expect_eq(run_excerpt(run), e, "%s: it stays", cases[i].title);
#include "tests/support/text.h"
        run_free(&world, run);
#include "tests/support/text.h"
    }
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(run, with_no_limit_nothing_is_kept)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    static const enum job_output outputs[] = {OUTPUT_LOG, OUTPUT_FILE};
#include "tests/support/text.h"

#include "tests/support/text.h"
    cfg.runs.output_limit = 0;
#include "tests/support/text.h"
    job.output_file = file;
#include "tests/support/text.h"
    for (size_t i = 0; i < ARRAY_LEN(outputs); i++) {
#include "tests/support/text.h"
        size_t count;
#include "tests/support/text.h"

#include "tests/support/text.h"
        job.output = outputs[i];
#include "tests/support/text.h"

#include "tests/support/text.h"
        struct run *run = whole_run("echo one");
#include "tests/support/text.h"

#include "tests/support/text.h"
        (void)excerpt_head(run_excerpt(run), &count);
#include "tests/support/text.h"
        cr_expect_eq(count, 0);
#include "tests/support/text.h"
        cr_expect_eq(run->file, -1);
#include "tests/support/text.h"
        run_free(&world, run);
#include "tests/support/text.h"
    }
#include "tests/support/text.h"
}
