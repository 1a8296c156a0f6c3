#include "tests/bench/stamps.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/instance.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"

void stamps_make(struct stamps *s, const struct workdir *w)
{
    (void)snprintf(s->file, sizeof s->file, "%s/stamps", w->path);
    (void)snprintf(s->command, sizeof s->command, "%s", pgbaton_path());
    char *name = strrchr(s->command, '/');
    (void)snprintf(name, sizeof s->command - (size_t)(name - s->command), "/tests/stamp");
}

size_t stamps_count(const struct stamps *s)
{
    char *text = text_read(s->file);
    size_t lines = text_count(text, "\n");

    free(text);
    return lines;
}

struct wanted {
    const struct stamps *stamps;
    size_t before;
};

static bool there_are_more(void *ctx)
{
    const struct wanted *w = ctx;

    return stamps_count(w->stamps) > w->before;
}

mono_ns stamps_wait(const struct stamps *s, size_t before)
{
    struct wanted wanted = {.stamps = s, .before = before};

    cr_assert(wait_until(there_are_more, &wanted, WAIT_LIMIT), "no job ran");
    char *text = text_read(s->file);
    char *line = text;

    while (before-- > 0) {
        line = strchr(line, '\n') + 1;
    }
    mono_ns at = (mono_ns)strtoll(line, NULL, 10);
    free(text);
    return at;
}
