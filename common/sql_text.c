#include "common/sql_text.h"

#include <stdbool.h>
#include <string.h>

/* Behind the end of what begins here with one of these characters; the end of the text where it
 * has no end. */
static const char *behind_quotes(const char *at)
{
    const char *end = strchr(at + 1, *at);

    return end == NULL ? at + strlen(at) : end + 1;
}

static bool is_of_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (unsigned char)c >= 0x80;
}

/* Does the quote that begins here belong to E'...'? The E stands alone: date'...' is none. */
static bool keeps_with_backslash(const char *text, const char *at)
{
    return *at == '\'' && at > text && (at[-1] == 'E' || at[-1] == 'e') &&
           (at - 1 == text || !is_of_name(at[-2]));
}

/* Behind the end of E'...', in which a backslash keeps what follows, a quote for instance; of two
 * quotes, too, the string is not over. */
static const char *behind_escapes(const char *at)
{
    for (at++; *at != '\0'; at++) {
        if ((*at == '\\' && at[1] != '\0') || (*at == '\'' && at[1] == '\'')) {
            at++;
        } else if (*at == '\'') {
            return at + 1;
        }
    }
    return at;
}

/* The same for a comment, in which others may be. */
static const char *behind_comment(const char *at)
{
    unsigned depth = 0;

    do {
        if (strncmp(at, "/*", 2) == 0) {
            depth++;
            at += 2;
        } else if (strncmp(at, "*/", 2) == 0) {
            depth--;
            at += 2;
        } else if (*at != '\0') {
            at++;
        }
    } while (depth > 0 && *at != '\0');
    return at;
}

const char *sql_text_line_comment(const char *text)
{
    for (const char *at = text; *at != '\0';) {
        if (strncmp(at, "--", 2) == 0) {
            return at;
        }
        if (keeps_with_backslash(text, at)) {
            at = behind_escapes(at);
        } else if (*at == '\'' || *at == '"') {
            at = behind_quotes(at);
        } else if (strncmp(at, "/*", 2) == 0) {
            at = behind_comment(at);
        } else {
            at++;
        }
    }
    return NULL;
}
