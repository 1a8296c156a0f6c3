/* What a run prints, from its process to `pgbaton output`: its first and its last bytes are kept,
 * what is between them is counted. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/stage.h"
#include "tests/support/text.h"

TestSuite(output, .timeout = 120);

enum { LIMIT = 1024, LINES = 300, LINE = 9, PRINTED = 2 * LINES * LINE };

#define LINES_OUT "seq -f 'out %04g' 300"
#define LINES_ERR "seq -f 'err %04g' 300 >&2"

/* "talk" goes on with the other stream when all of the first one has been read: else which of the
 * two pipes is read first would be chance. The pattern does not match itself. */
static const char sections[] =
    "[job talk]\nschedule = manual\n"
    "command = " LINES_OUT "; until grep -q 'out 030[0]' DIR/a/log; do sleep 0.05; done; " LINES_ERR
    "\n"
    "[job filed]\nschedule = manual\noutput = DIR/filed\n"
    "command = " LINES_OUT "; " LINES_ERR "; exit 3\n"
    "[job silent]\nschedule = manual\noutput = none\n"
    "command = " LINES_OUT "; " LINES_ERR "\n"
    "[job short]\nschedule = manual\ncommand = echo one; echo two\n";

static struct outcome told;

static void trigger(struct stage *s, const char *job, int code)
{
    instance_command(&s->a, &told, "trigger", job, "--wait", NULL);
    cr_expect_eq(told.code, code, "%s: %d %s%s", job, told.code, told.out, told.err);
}

static char *run_of(const struct stage *s, const char *job)
{
    char *sql = text_format("SELECT id FROM run WHERE job = '%s'", job);
    char *id = text_format("%s", stage_rows(s, sql));

    free(sql);
    return id;
}

/* What `pgbaton output` prints of that job's run. */
static void expect_output(struct stage *s, const char *job, const char *wanted)
{
    char *id = run_of(s, job);

    instance_command(&s->a, &told, "output", id, NULL);
    cr_expect_eq(told.code, 0, "%s: %s", job, told.err);
    cr_expect_str_eq(told.out, wanted, "%s prints\n%s\nand not\n%s", job, told.out, wanted);
    free(id);
}

static char *all_lines(void)
{
    char *text = malloc(PRINTED + 1);

    cr_assert_not_null(text);
    for (int i = 0; i < 2 * LINES; i++) {
        (void)snprintf(text + i * LINE, LINE + 1, "%s %04d\n", i < LINES ? "out" : "err",
                       i % LINES + 1);
    }
    return text;
}

/* The half of the limit from the beginning, the mark, the half from the end. The first half ends
 * within a line. */
static char *head_mark_tail(void)
{
    char *all = all_lines();
    char *text = text_format("%.*s\n[... %d bytes left out ...]\n%s", LIMIT / 2, all,
                             PRINTED - LIMIT, all + PRINTED - LIMIT / 2);

    free(all);
    return text;
}

/* `history --json` has the size of all that was printed. */
static void expect_size(struct stage *s, const char *job, json_int_t size)
{
    instance_command(&s->a, &told, "history", "--job", job, "--json", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    json_t *list = json_loads(told.out, 0, NULL);
    json_t *run = json_array_get(list, 0);

    cr_expect_eq(json_array_size(list), 1, "%s", told.out);
    cr_expect_eq(json_integer_value(json_object_get(run, "output_bytes")), size, "%s: %s", job,
                 told.out);
    json_decref(list);
}

static void expect_kept(struct stage *s, const char *job, const char *wanted)
{
    char *sql = text_format("SELECT length(output_head), length(output_tail), output_bytes"
                            " FROM run WHERE job = '%s'",
                            job);

    stage_expect(s, job, sql, wanted);
    free(sql);
}

STAGE_RULE(output, of_what_a_run_prints_the_first_and_the_last_bytes_are_kept)
{
    char *wanted = head_mark_tail();

    stage_set(s, "output_limit = 1KiB\n", sections);
    stage_touch(s, "filed"); /* what was in its file before is none of its output */
    stage_start(&s->a);
    trigger(s, "talk", 0);
    trigger(s, "filed", 1);
    trigger(s, "silent", 0);
    trigger(s, "short", 0);

    expect_kept(s, "talk", "512 512 5400");
    expect_output(s, "talk", wanted);
    expect_size(s, "talk", PRINTED);
    expect_kept(s, "filed", "512 512 5400");
    expect_output(s, "filed", wanted);
    expect_size(s, "filed", PRINTED);
    expect_output(s, "short", "one\ntwo\n");
    expect_size(s, "short", 8);

    expect_output(s, "silent", "");
    cr_expect_not_null(strstr(told.err, "nothing was kept"), "%s", told.err);
    expect_size(s, "silent", 0);
    stage_expect(s, "silent",
                 "SELECT count(*) FROM run WHERE job = 'silent' AND"
                 " (output_head IS NOT NULL OR output_tail IS NOT NULL)",
                 "0");
    cr_expect_eq(instance_logged(&s->a, "output", "job=silent"), 0);
    instance_stop(&s->a);
    free(wanted);
}
