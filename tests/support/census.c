#include "tests/support/census.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/text.h"
#include "tests/support/wait.h"

/* $1: the file, $2: the mark of this test's jobs. The third grep is for those that ended between
 * the first and the second: nothing can be read of them, so nothing is missing there either. */
static const char census_script[] =
    "of() { grep -lsaF \"COUNTED_IN=$1\" $2; }\n"
    "all=$(of \"$2\" '/proc/[0-9]*/environ')\n"
    "others=$(grep -LsaF \"PGBATON_EPOCH=$PGBATON_EPOCH\" $all)\n"
    "[ -z \"$others\" ] || for one in $(of \"$2\" \"$others\"); do\n"
    "    echo \"left ${one%/environ} $(tr '\\0' ' ' <${one%environ}cmdline) of\" \\\n"
    "        $(tr '\\0' '\\n' <$one | grep -a -e ^PGBATON_EPOCH -e ^PGBATON_JOB) >>\"$1\"\n"
    "done\n"
    "echo \"taken $PGBATON_EPOCH\" >>\"$1\"\n";

void census_make(struct census *c, const struct workdir *w)
{
    (void)snprintf(c->file, sizeof c->file, "%s/census", w->path);
    (void)snprintf(c->script, sizeof c->script, "%s/census.sh", w->path);
    (void)snprintf(c->jobs, sizeof c->jobs, "environment = COUNTED_IN=%s\n", w->path);
    (void)snprintf(c->job, sizeof c->job,
                   "[job census]\nschedule = @elected\nexec = /bin/sh %s %s %s\n", c->script,
                   c->file, w->path);
    text_write(c->script, census_script);
    text_write(c->file, "");
}

struct wanted_terms {
    const struct census *census;
    size_t terms;
};

static bool were_taken(void *ctx)
{
    const struct wanted_terms *w = ctx;
    char *text = text_read(w->census->file);
    bool taken = text_count(text, "taken ") >= w->terms;

    free(text);
    return taken;
}

void census_check(const struct census *c, size_t terms)
{
    struct wanted_terms wanted = {.census = c, .terms = terms};

    cr_assert(wait_until(were_taken, &wanted, WAIT_LIMIT), "%zu terms have not looked:\n%s", terms,
              text_tail(c->file));
    char *text = text_read(c->file);
    cr_assert_eq(text_count(text, "left "), 0, "something of an earlier term was alive:\n%s", text);
    free(text);
}
