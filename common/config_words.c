#include "common/config_words.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Words are cut out of the text into one buffer, each with its NUL. */
struct splitter {
    const char *at;
    char *out;
    char **words;
    size_t count;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct splitter *s)
{
    while (is_blank(*s->at)) {
        s->at++;
    }
}

/* A quoted stretch; at is behind its opening quote. Returns false where the other one is missing.
 */
static bool take_quoted(struct splitter *s, char quote)
{
    while (*s->at != quote) {
        if (*s->at == '\0') {
            return false;
        }
        if (quote == '"' && *s->at == '\\' && s->at[1] != '\0' && strchr("\\\"$`", s->at[1])) {
            s->at++;
        }
        *s->out++ = *s->at++;
    }
    s->at++;
    return true;
}

static int take_word(struct splitter *s, char *reterr, size_t reterr_size)
{
    s->words[s->count++] = s->out;
    while (*s->at != '\0' && !is_blank(*s->at)) {
        char c = *s->at++;

        if (c == '\'' || c == '"') {
            if (!take_quoted(s, c)) {
                (void)snprintf(reterr, reterr_size,
                               "a %c has no second one that ends the quoted text", c);
                return -EINVAL;
            }
        } else if (c == '\\') {
            if (*s->at == '\0') {
                (void)snprintf(reterr, reterr_size,
                               "a backslash at the end has nothing to keep; write \\\\ for one");
                return -EINVAL;
            }
            *s->out++ = *s->at++;
        } else {
            *s->out++ = c;
        }
    }
    *s->out++ = '\0';
    return 0;
}

int config_words_split(struct config_memory *memory, const char *text, char ***ret_words,
                       size_t *ret_count, char *reterr, size_t reterr_size)
{
    size_t length = strlen(text);
    /* Every other character is a blank at most, so half as many words, and a NULL. */
    char **words = config_memory_take(memory, (length / 2 + 2) * sizeof(*words));
    char *buffer = config_memory_take(memory, length + 1);
    struct splitter s = {.at = text, .out = buffer, .words = words};

    if (words == NULL || buffer == NULL) {
        return -ENOMEM;
    }
    for (skip_blanks(&s); *s.at != '\0'; skip_blanks(&s)) {
        int rc = take_word(&s, reterr, reterr_size);

        if (rc < 0) {
            return rc;
        }
    }
    words[s.count] = NULL;
    *ret_words = words;
    *ret_count = s.count;
    return 0;
}

void config_words_print(const char *word, FILE *to)
{
    if (word[0] != '\0' && strpbrk(word, " \t\r\n'\"\\") == NULL) {
        (void)fputs(word, to);
        return;
    }
    (void)fputc('\'', to);

    /* A ' inside '...' ends it, is written \', and begins it again. */
    for (const char *at = word; *at != '\0'; at++) {
        (void)fprintf(to, *at == '\'' ? "'\\%c'" : "%c", *at);
    }
    (void)fputc('\'', to);
}

static int by_name(const void *a, const void *b)
{
    const char *one = *(char *const *)a;
    const char *other = *(char *const *)b;
    size_t length = strcspn(one, "=");
    size_t other_length = strcspn(other, "=");
    int order = memcmp(one, other, length < other_length ? length : other_length);

    return order != 0 ? order : (length > other_length) - (length < other_length);
}

const char *config_words_repeated_name(struct config_memory *memory, char *const *words,
                                       size_t count)
{
    char **sorted = count < 2 ? NULL : config_memory_take(memory, count * sizeof(*sorted));

    if (sorted == NULL) {
        return NULL; /* too few, or no memory, which is noted */
    }
    memcpy(sorted, words, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_name);
    for (size_t i = 1; i < count; i++) {
        if (by_name(&sorted[i - 1], &sorted[i]) == 0) {
            return sorted[i];
        }
    }
    return NULL;
}

bool config_is_name(const char *text, size_t length_max, char *why, size_t why_size)
{
    size_t length = strlen(text);

    if (length == 0 || length > length_max) {
        (void)snprintf(why, why_size, "1 to %zu bytes, please", length_max);
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bool plain =
            (isalnum((unsigned char)text[i]) && isascii((unsigned char)text[i])) || text[i] == '_';

        if (!plain && (i == 0 || strchr(".:@+-", text[i]) == NULL)) {
            (void)snprintf(
                why, why_size,
                "letters, digits and _.:@+- please, beginning with a letter, a digit or _");
            return false;
        }
    }
    return true;
}

bool config_is_variable(const char *name, size_t length)
{
    if (length == 0 || isdigit((unsigned char)name[0])) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!(isascii((unsigned char)name[i]) && isalnum((unsigned char)name[i])) &&
            name[i] != '_') {
            return false;
        }
    }
    return true;
}
