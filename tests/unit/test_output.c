#include <criterion/criterion.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/leader/output.h"

static struct outputs all;
static int log_file;
static int end;
static struct output *out;

static void up(void)
{
    all = (struct outputs){.loop = ev_loop_new(0)};
    log_file = memfd_create("log", MFD_CLOEXEC);
    log_fd(log_file);
    out = output_open(&all, "backup", "stdout", &end);
    cr_assert_not_null(out);
}

static void down(void)
{
    log_fd(2);
    ev_loop_destroy(all.loop);
    (void)close(log_file);
}

TestSuite(output, .init = up, .fini = down, .timeout = 60);

static void job_prints(const char *text)
{
    cr_assert_eq(write(end, text, strlen(text)), (ssize_t)strlen(text));
}

static void job_closes(void)
{
    (void)close(end);
}

/* As many turns as there is something to do: none of them waits. */
static void turn(int count)
{
    for (int i = 0; i < count; i++) {
        (void)ev_run(all.loop, EVRUN_NOWAIT);
    }
}

static const char *logged(void)
{
    static char text[1 << 20];
    ssize_t length = pread(log_file, text, sizeof(text) - 1, 0);

    cr_assert(length >= 0);
    text[length] = '\0';
    return text;
}

static unsigned lines(void)
{
    unsigned count = 0;

    for (const char *p = logged(); (p = strchr(p, '\n')) != NULL; p++) {
        count++;
    }
    return count;
}

static bool has_logged(const char *what)
{
    return strstr(logged(), what) != NULL;
}

Test(output, a_line_is_an_event_with_the_jobs_name)
{
    job_prints("one\ntwo\n");
    turn(2);
    cr_expect(has_logged("output job=backup stream=stdout text=\"one\"\n"), "%s", logged());
    cr_expect(has_logged("output job=backup stream=stdout text=\"two\"\n"), "%s", logged());
    job_closes();
    output_let_go(out);
    cr_expect_eq(all.count, 0);
}

Test(output, a_line_may_come_in_pieces)
{
    job_prints("be");
    turn(2);
    cr_expect_eq(lines(), 0);
    job_prints("gun\r\n");
    turn(2);
    cr_expect(has_logged("text=\"begun\"\n"), "%s", logged());
    job_closes();
    output_let_go(out);
}

Test(output, the_last_line_needs_no_end)
{
    job_prints("done");
    job_closes();
    output_let_go(out);
    cr_expect(has_logged("text=\"done\"\n"), "%s", logged());
    cr_expect_eq(all.count, 0);
}

Test(output, an_end_before_the_jobs_end_is_kept)
{
    job_prints("done");
    job_closes();
    turn(3);
    cr_expect(has_logged("text=\"done\"\n"), "%s", logged());
    cr_expect_eq(all.count, 1, "the run still knows it");
    output_let_go(out);
    cr_expect_eq(all.count, 0);
}

Test(output, a_long_line_is_cut_between_characters)
{
    char text[3 * OUTPUT_LINE_MAX];

    /* An odd byte first, so that a two-byte character lies across each cut. */
    text[0] = 'x';
    for (size_t i = 1; i + 2 < sizeof(text); i += 2) {
        (void)memcpy(text + i, "\xc3\xa4", 2);
    }
    text[sizeof(text) - 3] = '\n';
    text[sizeof(text) - 2] = '\0';
    job_prints(text);
    turn(5);
    cr_expect_eq(lines(), 3, "%u pieces", lines());
    cr_expect_not(has_logged("\\x"), "a character was cut");
    job_closes();
    output_let_go(out);
}

Test(output, a_job_that_prints_without_end_has_its_share_of_a_turn)
{
    char text[4000];

    (void)memset(text, '\n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    job_prints(text);
    unsigned before = 0;
    for (int i = 0; i < 200; i++) {
        turn(1);
        cr_assert(lines() - before <= OUTPUT_LINES_A_TURN, "%u in one turn", lines() - before);
        before = lines();
    }
    cr_expect_eq(lines(), sizeof(text) - 1, "nothing is lost");
    job_closes();
    output_let_go(out);
}

Test(output, a_pipe_that_a_grandchild_holds_is_let_go_and_read_on)
{
    job_prints("before ");
    turn(1);
    output_let_go(out);
    cr_expect(has_logged("text=\"before \"\n"), "%s", logged());
    cr_expect_eq(all.count, 1);
    job_prints("after\n");
    turn(2);
    cr_expect(has_logged("text=\"after\"\n"), "%s", logged());
    job_closes();
    turn(2);
    cr_expect_eq(all.count, 0, "freed at its end");
}

Test(output, a_line_that_just_fits_is_one_line)
{
    char text[OUTPUT_LINE_MAX + 2];

    (void)memset(text, 'x', OUTPUT_LINE_MAX);
    (void)snprintf(text + OUTPUT_LINE_MAX, 2, "\n");
    job_prints(text);
    turn(3);
    cr_expect_eq(lines(), 1, "%u", lines());
    job_closes();
    output_let_go(out);
}

Test(output, the_end_of_a_job_does_not_hold_up_the_loop)
{
    char text[3 * OUTPUT_LAST_LINES + 1];

    (void)memset(text, '\n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    job_prints(text);
    job_closes();
    output_flush(out);
    cr_expect_eq(lines(), OUTPUT_LAST_LINES);
    output_let_go(out);
    cr_expect_eq(lines(), OUTPUT_LAST_LINES, "flushed once, not twice");
    turn(3 * OUTPUT_LAST_LINES / OUTPUT_LINES_A_TURN + 10);
    cr_expect_eq(lines(), 3 * OUTPUT_LAST_LINES, "nothing is lost");
    cr_expect_eq(all.count, 0);
}

/* Its buffer was full of lines that had not had their turn: an assertion ended the worker. */
Test(output, a_stream_is_closed_in_the_middle_of_a_flood)
{
    char text[3 * OUTPUT_BUFFER + 1];

    output_let_go(out);
    (void)memset(text, '\n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    job_prints(text);
    turn(1);
    outputs_close(&all);
    cr_expect_eq(lines(), sizeof(text) - 1, "nothing is lost");
    cr_expect_eq(all.count, 0);
    job_closes();
}

Test(output, the_end_closes_what_was_let_go)
{
    output_let_go(out);
    job_prints("last words");
    outputs_close(&all);
    cr_expect(has_logged("text=\"last words\"\n"), "%s", logged());
    cr_expect_eq(all.count, 0);
    job_closes();
}

/* ---- What is kept of it. ---- */

static struct excerpt kept;

static void expect_kept(const char *title, const char *head, const char *tail, uint64_t total)
{
    size_t head_count;
    size_t tail_count;

    excerpt_settle(&kept);
    const char *has_head = excerpt_head(&kept, &head_count);
    const char *has_tail = excerpt_tail(&kept, &tail_count);

    cr_expect(head_count == strlen(head) && memcmp(has_head, head, head_count) == 0, "%s: '%.*s'",
              title, (int)head_count, has_head);
    cr_expect(tail_count == strlen(tail) && memcmp(has_tail, tail, tail_count) == 0, "%s: '%.*s'",
              title, (int)tail_count, has_tail);
    cr_expect_eq(excerpt_total(&kept), total, "%s", title);
}

Test(output, what_is_printed_is_kept_in_the_order_of_its_arrival)
{
    int other_end;
    struct output *other = output_open(&all, "backup", "stderr", &other_end);

    cr_assert_not_null(other);
    excerpt_init(&kept, 32);
    output_keep(out, &kept);
    output_keep(other, &kept);
    job_prints("one\n");
    turn(2);
    cr_assert_eq(write(other_end, "two", 3), 3);
    turn(2);
    job_prints("three\nlast");
    output_flush(other);
    output_flush(out);
    expect_kept("all of it", "one\ntwothree\nlas", "t", 17);
    job_closes();
    (void)close(other_end);
    output_let_go(out);
    output_let_go(other);
    excerpt_release(&kept);
}

Test(output, the_end_is_kept_though_the_log_is_not_through_yet)
{
    char text[3 * OUTPUT_LAST_LINES + 5];

    (void)memset(text, '\n', sizeof(text) - 1);
    (void)memcpy(text + sizeof(text) - 5, "end\n", 5);
    excerpt_init(&kept, 8);
    output_keep(out, &kept);
    job_prints(text);
    job_closes();
    output_flush(out);
    cr_expect_eq(lines(), OUTPUT_LAST_LINES);
    expect_kept("flushed", "\n\n\n\n", "end\n", sizeof(text) - 1);
    output_let_go(out);
    turn(3 * OUTPUT_LAST_LINES / OUTPUT_LINES_A_TURN + 10);
    cr_expect(has_logged("text=\"end\"\n"));
    cr_expect_eq(lines(), 3 * OUTPUT_LAST_LINES + 1, "nothing is lost");
    cr_expect_eq(all.count, 0);
    excerpt_release(&kept);
}

Test(output, a_run_that_ends_between_two_turns_has_its_end_kept)
{
    char text[2 * OUTPUT_BUFFER + 5];

    (void)memset(text, '\n', sizeof(text) - 1);
    (void)memcpy(text + sizeof(text) - 5, "end\n", 5);
    excerpt_init(&kept, 8);
    output_keep(out, &kept);
    job_prints(text);
    turn(1); /* its lines wait for their turns */
    job_closes();
    output_flush(out);
    expect_kept("flushed", "\n\n\n\n", "end\n", sizeof(text) - 1);
    output_let_go(out);
    excerpt_release(&kept); /* with the run */
    turn(2 * OUTPUT_BUFFER / OUTPUT_LINES_A_TURN + 10);
    cr_expect(has_logged("text=\"end\"\n"));
    cr_expect_eq(all.count, 0);
}

Test(output, what_comes_after_the_run_is_logged_and_not_kept)
{
    excerpt_init(&kept, 100);
    output_keep(out, &kept);
    job_prints("before\n");
    output_let_go(out);
    job_prints("after\n");
    turn(2);
    cr_expect(has_logged("text=\"after\"\n"));
    expect_kept("until the end", "before\n", "", 7);
    job_closes();
    turn(2);
    excerpt_release(&kept);
}
