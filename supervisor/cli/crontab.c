#include "supervisor/cli/crontab.h"

#include <stdio.h>
#include <string.h>

enum { FIELDS = 5 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char *skip_blanks(char *at)
{
    while (is_blank(*at)) {
        at++;
    }
    return at;
}

static char *skip_word(char *at)
{
    while (*at != '\0' && !is_blank(*at)) {
        at++;
    }
    return at;
}

static void cut_blanks_at_end(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && (is_blank(text[length - 1]) || text[length - 1] == '\r')) {
        text[--length] = '\0';
    }
}

/* A text in quotes ends at the second one; *ret_end is behind it. NULL: it is none, or has no end.
 */
static char *unquote(char *at, char **ret_end)
{
    char *end = *at == '"' || *at == '\'' ? strchr(at + 1, *at) : NULL;

    if (end == NULL) {
        return NULL;
    }
    *end = '\0';
    *ret_end = end + 1;
    return at + 1;
}

/* NAME = VALUE, either of them in quotes; blanks around the sign do not count. */
static bool read_variable(char *line, struct crontab_line *ret_line)
{
    size_t length = strcspn(line, "= \t");
    char *sign = skip_blanks(line + length);
    char *value;
    char *end;
    char *unquoted;

    if (line[0] == '"' || line[0] == '\'') {
        const char *quote = strchr(line + 1, line[0]);

        if (quote == NULL) {
            return false;
        }
        length = (size_t)(quote - line) + 1;
        sign = skip_blanks(line + length);
    }
    if (*sign != '=' || length == 0) {
        return false;
    }
    value = skip_blanks(sign + 1);
    line[length] = '\0';
    cut_blanks_at_end(value);

    unquoted = unquote(value, &end);
    if (unquoted != NULL && *end != '\0') { /* more behind the quotes: they belong to the value */
        end[-1] = *value;
        unquoted = NULL;
    }
    *ret_line = (struct crontab_line){
        .kind = CRONTAB_VARIABLE,
        .name = unquote(line, &end),
        .text = unquoted == NULL ? value : unquoted,
    };
    if (ret_line->name == NULL) {
        ret_line->name = line;
    }
    return true;
}

static struct crontab_line wrong(const char *why)
{
    return (struct crontab_line){.kind = CRONTAB_WRONG, .text = why};
}

/* Ends the word, and returns what follows it. */
static char *end_word(char *at)
{
    char *end = skip_word(at);

    if (*end == '\0') {
        return end;
    }
    *end = '\0';
    return skip_blanks(end + 1);
}

static struct crontab_line read_entry(char *line, bool has_user)
{
    struct crontab_line entry = {.kind = CRONTAB_ENTRY, .schedule = line};
    char *at = line;

    for (int i = 0; i < (*line == '@' ? 1 : FIELDS) - 1; i++) {
        at = skip_blanks(skip_word(at));
    }
    if (*at == '\0') {
        return wrong("it is neither NAME=VALUE nor five fields and a command");
    }
    at = end_word(at);
    if (has_user) {
        entry.user = at;
        at = end_word(at);
    }
    cut_blanks_at_end(at);
    if (*at == '\0') {
        return wrong(has_user ? "a user and a command are missing behind the five fields"
                              : "a command is missing behind the five fields");
    }
    entry.text = at;
    return entry;
}

struct crontab_line crontab_read(char *line, bool has_user)
{
    struct crontab_line read;
    char *at = skip_blanks(line);

    cut_blanks_at_end(at);
    if (*at == '\0') {
        return (struct crontab_line){.kind = CRONTAB_EMPTY};
    }
    if (*at == '#') {
        return (struct crontab_line){.kind = CRONTAB_COMMENT, .text = at + 1};
    }
    if (read_variable(at, &read)) {
        return read;
    }
    if (*at == '-') { /* some crons: do not log it */
        at++;
    }
    return read_entry(at, has_user);
}

bool crontab_is_of_system(const char *path)
{
    static const char below[] = "/etc/cron.d/";

    return strcmp(path, "/etc/crontab") == 0 || strncmp(path, below, sizeof(below) - 1) == 0;
}

char *crontab_split_input(char *command)
{
    char *input = NULL;
    char *to = command;

    for (const char *at = command; *at != '\0'; at++) {
        if (*at == '\\' && at[1] == '%') {
            *to++ = *++at;
        } else if (*at == '%' && input == NULL) {
            *to++ = '\0';
            input = to;
        } else {
            *to++ = *at;
            if (*at == '%') {
                to[-1] = '\n';
            }
        }
    }
    *to = '\0';
    return input;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

/* What stands in front of the program that is meant: "cd /srv &&", "test -x /x ||". */
static const char *skip_preamble(const char *command)
{
    static const char *const words[] = {"cd", "test", "[", ".", "export", "set", "umask", "(", "{"};
    const char *at = command;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i]);

        if (strncmp(at, words[i], length) == 0 && is_blank(at[length])) {
            const char *next = strpbrk(at, "&|;");

            if (next == NULL) {
                return at;
            }
            at = next + strspn(next, "&|; \t({");
            i = (size_t)-1; /* there may be another one */
        }
    }
    return at;
}

/* The first word that is no A=b. */
static const char *program_word(const char *at)
{
    for (;;) {
        const char *word = at + strspn(at, " \t");
        size_t length = strcspn(word, " \t");

        if (memchr(word, '=', length) == NULL || word[length] == '\0') {
            return word;
        }
        at = word + length;
    }
}

void crontab_name(const char *command, char *ret_name, size_t size)
{
    const char *word = program_word(skip_preamble(command));
    const char *end = word + strcspn(word, " \t;|&<>()\"'");
    const char *slash = memrchr(word, '/', (size_t)(end - word));
    size_t used = 0;

    for (const char *at = slash == NULL ? word : slash + 1; at < end && used + 1 < size; at++) {
        bool first = used == 0;

        if (is_name_byte(*at) && !(first && (*at == '.' || *at == '-'))) {
            ret_name[used++] = *at;
        }
    }
    ret_name[used] = '\0';
}
