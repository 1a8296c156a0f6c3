#include "tests/support/text.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *text_read(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *from = fopen(path, "re");
    FILE *to = open_memstream(&text, &size);
    char part[8192];
    size_t got;

    cr_assert_not_null(to);
    while (from != NULL && (got = fread(part, 1, sizeof part, from)) > 0) {
        (void)fwrite(part, 1, got, to);
    }
    if (from != NULL) {
        (void)fclose(from);
    }
    cr_assert_eq(fclose(to), 0);
    return text;
}

static void text_put(const char *path, const char *text, const char *mode)
{
    FILE *to = fopen(path, mode);

    cr_assert_not_null(to, "%s cannot be written", path);
    cr_assert(fputs(text, to) >= 0);
    cr_assert_eq(fclose(to), 0);
}

void text_write(const char *path, const char *text)
{
    text_put(path, text, "we");
}

void text_append(const char *path, const char *text)
{
    text_put(path, text, "ae");
}

char *text_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    cr_assert(length >= 0);
    return text;
}

const char *text_tail(const char *path)
{
    static char tail[3000];
    char *text = text_read(path);
    size_t length = strlen(text);
    size_t skipped = length < sizeof tail ? 0 : length - (sizeof tail - 1);

    (void)snprintf(tail, sizeof tail, "%s", text + skipped);
    free(text);
    return tail;
}

size_t text_count(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + strlen(part), part)) {
        count++;
    }
    return count;
}

bool text_is(const char *bytes, size_t count, const char *text)
{
    return count == strlen(text) && (count == 0 || memcmp(bytes, text, count) == 0);
}
