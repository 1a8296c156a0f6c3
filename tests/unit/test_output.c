#include "tests/support/text.h"
#include <criterion/criterion.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/support/text.h"
#include "worker/leader/output.h"

#include "tests/support/text.h"
static struct outputs all;
#include "tests/support/text.h"
static int log_file;
#include "tests/support/text.h"
static int end;
#include "tests/support/text.h"
static struct output *out;
#include "tests/support/text.h"

#include "tests/support/text.h"
static void up(void)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    all = (struct outputs){.loop = ev_loop_new(0)};
#include "tests/support/text.h"
    log_file = memfd_create("log", MFD_CLOEXEC);
#include "tests/support/text.h"
    log_fd(log_file);
#include "tests/support/text.h"
    out = output_open(&all, "backup", "stdout", &end);
#include "tests/support/text.h"
    cr_assert_not_null(out);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
static void down(void)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    log_fd(2);
#include "tests/support/text.h"
    ev_loop_destroy(all.loop);
#include "tests/support/text.h"
    (void)close(log_file);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
TestSuite(output, .init = up, .fini = down, .timeout = 60);
#include "tests/support/text.h"

#include "tests/support/text.h"
static void job_prints(const char *text)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    cr_assert_eq(write(end, text, strlen(text)), (ssize_t)strlen(text));
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
static void job_closes(void)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    (void)close(end);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
/* As many turns as there is something to do: none of them waits. */
#include "tests/support/text.h"
static void turn(int count)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    for (int i = 0; i < count; i++) {
#include "tests/support/text.h"
        (void)ev_run(all.loop, EVRUN_NOWAIT);
#include "tests/support/text.h"
    }
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
static const char *logged(void)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    static char text[1 << 20];
#include "tests/support/text.h"
    ssize_t length = pread(log_file, text, sizeof(text) - 1, 0);
#include "tests/support/text.h"

#include "tests/support/text.h"
    cr_assert(length >= 0);
#include "tests/support/text.h"
    text[length] = '\0';
#include "tests/support/text.h"
    return text;
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
static unsigned lines(void)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    unsigned count = 0;
#include "tests/support/text.h"

#include "tests/support/text.h"
    for (const char *p = logged(); (p = strchr(p, '\n')) != NULL; p++) {
#include "tests/support/text.h"
        count++;
#include "tests/support/text.h"
    }
#include "tests/support/text.h"
    return count;
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
static bool has_logged(const char *what)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    return strstr(logged(), what) != NULL;
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, a_line_is_an_event_with_the_jobs_name)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    job_prints("one\ntwo\n");
#include "tests/support/text.h"
    turn(2);
#include "tests/support/text.h"
    cr_expect(has_logged("output job=backup stream=stdout text=\"one\"\n"), "%s", logged());
#include "tests/support/text.h"
    cr_expect(has_logged("output job=backup stream=stdout text=\"two\"\n"), "%s", logged());
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    cr_expect_eq(all.count, 0);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, a_line_may_come_in_pieces)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    job_prints("be");
#include "tests/support/text.h"
    turn(2);
#include "tests/support/text.h"
    cr_expect_eq(lines(), 0);
#include "tests/support/text.h"
    job_prints("gun\r\n");
#include "tests/support/text.h"
    turn(2);
#include "tests/support/text.h"
    cr_expect(has_logged("text=\"begun\"\n"), "%s", logged());
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, the_last_line_needs_no_end)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    job_prints("done");
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    cr_expect(has_logged("text=\"done\"\n"), "%s", logged());
#include "tests/support/text.h"
    cr_expect_eq(all.count, 0);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, an_end_before_the_jobs_end_is_kept)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    job_prints("done");
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    turn(3);
#include "tests/support/text.h"
    cr_expect(has_logged("text=\"done\"\n"), "%s", logged());
#include "tests/support/text.h"
    cr_expect_eq(all.count, 1, "the run still knows it");
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    cr_expect_eq(all.count, 0);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, a_long_line_is_cut_between_characters)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char text[3 * OUTPUT_LINE_MAX];
#include "tests/support/text.h"

#include "tests/support/text.h"
    /* An odd byte first, so that a two-byte character lies across each cut. */
#include "tests/support/text.h"
    text[0] = 'x';
#include "tests/support/text.h"
    for (size_t i = 1; i + 2 < sizeof(text); i += 2) {
#include "tests/support/text.h"
        (void)memcpy(text + i, "\xc3\xa4", 2);
#include "tests/support/text.h"
    }
#include "tests/support/text.h"
    text[sizeof(text) - 3] = '\n';
#include "tests/support/text.h"
    text[sizeof(text) - 2] = '\0';
#include "tests/support/text.h"
    job_prints(text);
#include "tests/support/text.h"
    turn(5);
#include "tests/support/text.h"
    cr_expect_eq(lines(), 3, "%u pieces", lines());
#include "tests/support/text.h"
    cr_expect_not(has_logged("\\x"), "a character was cut");
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, a_job_that_prints_without_end_has_its_share_of_a_turn)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char text[4000];
#include "tests/support/text.h"

#include "tests/support/text.h"
    (void)memset(text, '\n', sizeof(text) - 1);
#include "tests/support/text.h"
    text[sizeof(text) - 1] = '\0';
#include "tests/support/text.h"
    job_prints(text);
#include "tests/support/text.h"
    unsigned before = 0;
#include "tests/support/text.h"
    for (int i = 0; i < 200; i++) {
#include "tests/support/text.h"
        turn(1);
#include "tests/support/text.h"
        cr_assert(lines() - before <= OUTPUT_LINES_A_TURN, "%u in one turn", lines() - before);
#include "tests/support/text.h"
        before = lines();
#include "tests/support/text.h"
    }
#include "tests/support/text.h"
    cr_expect_eq(lines(), sizeof(text) - 1, "nothing is lost");
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, a_pipe_that_a_grandchild_holds_is_let_go_and_read_on)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    job_prints("before ");
#include "tests/support/text.h"
    turn(1);
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    cr_expect(has_logged("text=\"before \"\n"), "%s", logged());
#include "tests/support/text.h"
    cr_expect_eq(all.count, 1);
#include "tests/support/text.h"
    job_prints("after\n");
#include "tests/support/text.h"
    turn(2);
#include "tests/support/text.h"
    cr_expect(has_logged("text=\"after\"\n"), "%s", logged());
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    turn(2);
#include "tests/support/text.h"
    cr_expect_eq(all.count, 0, "freed at its end");
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, a_line_that_just_fits_is_one_line)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char text[OUTPUT_LINE_MAX + 2];
#include "tests/support/text.h"

#include "tests/support/text.h"
    (void)memset(text, 'x', OUTPUT_LINE_MAX);
#include "tests/support/text.h"
    (void)snprintf(text + OUTPUT_LINE_MAX, 2, "\n");
#include "tests/support/text.h"
    job_prints(text);
#include "tests/support/text.h"
    turn(3);
#include "tests/support/text.h"
    cr_expect_eq(lines(), 1, "%u", lines());
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, the_end_of_a_job_does_not_hold_up_the_loop)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char text[3 * OUTPUT_LAST_LINES + 1];
#include "tests/support/text.h"

#include "tests/support/text.h"
    (void)memset(text, '\n', sizeof(text) - 1);
#include "tests/support/text.h"
    text[sizeof(text) - 1] = '\0';
#include "tests/support/text.h"
    job_prints(text);
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    output_flush(out);
#include "tests/support/text.h"
    cr_expect_eq(lines(), OUTPUT_LAST_LINES);
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    cr_expect_eq(lines(), OUTPUT_LAST_LINES, "flushed once, not twice");
#include "tests/support/text.h"
    turn(3 * OUTPUT_LAST_LINES / OUTPUT_LINES_A_TURN + 10);
#include "tests/support/text.h"
    cr_expect_eq(lines(), 3 * OUTPUT_LAST_LINES, "nothing is lost");
#include "tests/support/text.h"
    cr_expect_eq(all.count, 0);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
/* Its buffer was full of lines that had not had their turn: an assertion ended the worker. */
#include "tests/support/text.h"
Test(output, a_stream_is_closed_in_the_middle_of_a_flood)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char text[3 * OUTPUT_BUFFER + 1];
#include "tests/support/text.h"

#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    (void)memset(text, '\n', sizeof(text) - 1);
#include "tests/support/text.h"
    text[sizeof(text) - 1] = '\0';
#include "tests/support/text.h"
    job_prints(text);
#include "tests/support/text.h"
    turn(1);
#include "tests/support/text.h"
    outputs_close(&all);
#include "tests/support/text.h"
    cr_expect_eq(lines(), sizeof(text) - 1, "nothing is lost");
#include "tests/support/text.h"
    cr_expect_eq(all.count, 0);
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, the_end_closes_what_was_let_go)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    job_prints("last words");
#include "tests/support/text.h"
    outputs_close(&all);
#include "tests/support/text.h"
    cr_expect(has_logged("text=\"last words\"\n"), "%s", logged());
#include "tests/support/text.h"
    cr_expect_eq(all.count, 0);
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
/* ---- What is kept of it. ---- */
#include "tests/support/text.h"

#include "tests/support/text.h"
static struct excerpt kept;
#include "tests/support/text.h"

#include "tests/support/text.h"
static void expect_kept(const char *title, const char *head, const char *tail, uint64_t total)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    size_t head_count;
#include "tests/support/text.h"
    size_t tail_count;
#include "tests/support/text.h"

#include "tests/support/text.h"
    excerpt_settle(&kept);
#include "tests/support/text.h"
    const char *has_head = excerpt_head(&kept, &head_count);
#include "tests/support/text.h"
    const char *has_tail = excerpt_tail(&kept, &tail_count);
#include "tests/support/text.h"

#include "tests/support/text.h"
    cr_expect(text_is(has_head, head_count, head), "%s: '%.*s'", title, (int)head_count, has_head);
#include "tests/support/text.h"
    cr_expect(text_is(has_tail, tail_count, tail), "%s: '%.*s'", title, (int)tail_count, has_tail);
#include "tests/support/text.h"
    cr_expect_eq(excerpt_total(&kept), total, "%s", title);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, what_is_printed_is_kept_in_the_order_of_its_arrival)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    int other_end;
#include "tests/support/text.h"
    struct output *other = output_open(&all, "backup", "stderr", &other_end);
#include "tests/support/text.h"

#include "tests/support/text.h"
    cr_assert_not_null(other);
#include "tests/support/text.h"
    excerpt_init(&kept, 32);
#include "tests/support/text.h"
    output_keep(out, &kept);
#include "tests/support/text.h"
    output_keep(other, &kept);
#include "tests/support/text.h"
    job_prints("one\n");
#include "tests/support/text.h"
    turn(2);
#include "tests/support/text.h"
    cr_assert_eq(write(other_end, "two", 3), 3);
#include "tests/support/text.h"
    turn(2);
#include "tests/support/text.h"
    job_prints("three\nlast");
#include "tests/support/text.h"
    output_flush(other);
#include "tests/support/text.h"
    output_flush(out);
#include "tests/support/text.h"
    expect_kept("all of it", "one\ntwothree\nlas", "t", 17);
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    (void)close(other_end);
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    output_let_go(other);
#include "tests/support/text.h"
    excerpt_release(&kept);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, the_end_is_kept_though_the_log_is_not_through_yet)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char text[3 * OUTPUT_LAST_LINES + 5];
#include "tests/support/text.h"

#include "tests/support/text.h"
    (void)memset(text, '\n', sizeof(text) - 1);
#include "tests/support/text.h"
    (void)memcpy(text + sizeof(text) - 5, "end\n", 5);
#include "tests/support/text.h"
    excerpt_init(&kept, 8);
#include "tests/support/text.h"
    output_keep(out, &kept);
#include "tests/support/text.h"
    job_prints(text);
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    output_flush(out);
#include "tests/support/text.h"
    cr_expect_eq(lines(), OUTPUT_LAST_LINES);
#include "tests/support/text.h"
    expect_kept("flushed", "\n\n\n\n", "end\n", sizeof(text) - 1);
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    turn(3 * OUTPUT_LAST_LINES / OUTPUT_LINES_A_TURN + 10);
#include "tests/support/text.h"
    cr_expect(has_logged("text=\"end\"\n"));
#include "tests/support/text.h"
    cr_expect_eq(lines(), 3 * OUTPUT_LAST_LINES + 1, "nothing is lost");
#include "tests/support/text.h"
    cr_expect_eq(all.count, 0);
#include "tests/support/text.h"
    excerpt_release(&kept);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, a_run_that_ends_between_two_turns_has_its_end_kept)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    char text[2 * OUTPUT_BUFFER + 5];
#include "tests/support/text.h"

#include "tests/support/text.h"
    (void)memset(text, '\n', sizeof(text) - 1);
#include "tests/support/text.h"
    (void)memcpy(text + sizeof(text) - 5, "end\n", 5);
#include "tests/support/text.h"
    excerpt_init(&kept, 8);
#include "tests/support/text.h"
    output_keep(out, &kept);
#include "tests/support/text.h"
    job_prints(text);
#include "tests/support/text.h"
    turn(1); /* its lines wait for their turns */
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    output_flush(out);
#include "tests/support/text.h"
    expect_kept("flushed", "\n\n\n\n", "end\n", sizeof(text) - 1);
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    excerpt_release(&kept); /* with the run */
#include "tests/support/text.h"
    turn(2 * OUTPUT_BUFFER / OUTPUT_LINES_A_TURN + 10);
#include "tests/support/text.h"
    cr_expect(has_logged("text=\"end\"\n"));
#include "tests/support/text.h"
    cr_expect_eq(all.count, 0);
#include "tests/support/text.h"
}
#include "tests/support/text.h"

#include "tests/support/text.h"
Test(output, what_comes_after_the_run_is_logged_and_not_kept)
#include "tests/support/text.h"
{
#include "tests/support/text.h"
    excerpt_init(&kept, 100);
#include "tests/support/text.h"
    output_keep(out, &kept);
#include "tests/support/text.h"
    job_prints("before\n");
#include "tests/support/text.h"
    output_let_go(out);
#include "tests/support/text.h"
    job_prints("after\n");
#include "tests/support/text.h"
    turn(2);
#include "tests/support/text.h"
    cr_expect(has_logged("text=\"after\"\n"));
#include "tests/support/text.h"
    expect_kept("until the end", "before\n", "", 7);
#include "tests/support/text.h"
    job_closes();
#include "tests/support/text.h"
    turn(2);
#include "tests/support/text.h"
    excerpt_release(&kept);
#include "tests/support/text.h"
}
