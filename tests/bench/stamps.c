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
    stamps_beside(s, w, "stamps");
}

void stamps_beside(struct stamps *s, const struct workdir *w, const char *name_of_file)
{
    (void)snprintf(s->file, sizeof s->file, "%s/%s", w->path, name_of_file);
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

void stamps_wait_count(const struct stamps *s, size_t count)
{
    struct wanted wanted = {.stamps = s, .before = count - 1};

    cr_assert(wait_until(there_are_more, &wanted, WAIT_LIMIT), "%zu of %zu jobs ran",
              stamps_count(s), count);
}

static int by_moment(const void *a, const void *b)
{
    wall_ns x = *(const wall_ns *)a;
    wall_ns y = *(const wall_ns *)b;

    return (x > y) - (x < y);
}

wall_ns *stamps_read(const struct stamps *s, size_t skip, size_t *ret_count)
{
    char *text = text_read(s->file);
    wall_ns *stamps = calloc(text_count(text, "\n") + 1, sizeof *stamps);
    wall_ns ahead = clock_wall() - clock_now();
    size_t line = 0;

    cr_assert_not_null(stamps);
    *ret_count = 0;
    for (char *at = text; *at != '\0'; at = strchr(at, '\n') + 1, line++) {
        if (line >= skip) {
            stamps[(*ret_count)++] = strtoll(at, NULL, 10) + ahead;
        }
    }
    free(text);
    qsort(stamps, *ret_count, sizeof *stamps, by_moment);
    return stamps;
}
