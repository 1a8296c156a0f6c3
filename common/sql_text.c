#include "common/sql_text.h"

#include <string.h>

/* Behind the end of what begins here with one of these characters; the end of the text where it
 * has no end. */
static const char *behind_quotes(const char *at)
{
    const char *end = strchr(at + 1, *at);

    return end == NULL ? at + strlen(at) : end + 1;
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
        if (*at == '\'' || *at == '"') {
            at = behind_quotes(at);
        } else if (strncmp(at, "/*", 2) == 0) {
            at = behind_comment(at);
        } else {
            at++;
        }
    }
    return NULL;
}
