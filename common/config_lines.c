#include "common/config_lines.h"

#include <assert.h>
#include <string.h>

#include "common/shell_text.h"

/* A stretch of the text, without the line feed. */
struct piece {
    const char *from;
    size_t length;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

void config_lines_init(struct config_lines *lines, const char *text, size_t length)
{
    *lines = (struct config_lines){.at = text, .end = text + length, .line = 1};
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        lines->at += 3; /* the mark that some editors put before UTF-8 */
    }
}

static struct piece look(const struct config_lines *lines)
{
    size_t left = (size_t)(lines->end - lines->at);
    const char *feed = memchr(lines->at, '\n', left);

    return (struct piece){lines->at, feed == NULL ? left : (size_t)(feed - lines->at)};
}

static void pass(struct config_lines *lines, struct piece p)
{
    lines->at = p.from + p.length;
    if (lines->at < lines->end) {
        lines->at++; /* the line feed */
    }
    lines->line++;
}

static struct piece trimmed(struct piece p)
{
    while (p.length > 0 && is_blank(p.from[p.length - 1])) {
        p.length--;
    }
    while (p.length > 0 && is_blank(*p.from)) {
        p.from++;
        p.length--;
    }
    return p;
}

static bool is_comment(struct piece p)
{
    return p.length > 0 && (*p.from == '#' || *p.from == ';');
}

static const char *refusal(struct piece p, size_t room)
{
    if (p.length > room) {
        return "is too long: a line, and a value with its continued lines, has at most 64 KiB";
    }
    if (memchr(p.from, '\0', p.length) != NULL) {
        return "has a NUL byte in it; a configuration is text";
    }
    return NULL;
}

static void follow(struct shell_text *state, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        shell_text_take(state, text[i]);
    }
}

/* Adds the indented lines that follow to a value. Returns NULL, or why one cannot be. */
static const char *join(struct config_lines *lines, char *buffer, size_t used, size_t room)
{
    struct shell_text shell = {.quote = '\0'};
    unsigned comment_at = 0; /* a line that a shell would pass over, alone */

    follow(&shell, buffer, used);
    while (lines->at < lines->end) {
        struct piece p = look(lines);
        struct piece text = trimmed(p);

        if (!is_comment(p) && (text.length == 0 || !is_blank(*p.from))) {
            return NULL;
        }
        if (!is_comment(p)) {
            const char *reason = refusal(text, room - used - 1);

            if (reason != NULL) {
                return reason;
            }
            lines->swallowed_at = comment_at;
            if (comment_at == 0 && *text.from == '#' && shell.quote == '\0' && !shell.escaped) {
                comment_at = lines->line;
            }
            follow(&shell, " ", 1);
            follow(&shell, text.from, text.length);
            buffer[used++] = ' ';
            memcpy(buffer + used, text.from, text.length);
            used += text.length;
            buffer[used] = '\0';
        }
        pass(lines, p);
    }
    return NULL;
}

static enum config_line refused(struct config_lines *lines, const char *reason,
                                const char **ret_reason)
{
    lines->passing = true;
    *ret_reason = reason;
    return CONFIG_LINE_BAD;
}

/* A line that is not empty, no comment, and not indented. */
static enum config_line take(struct config_lines *lines, struct piece p, char *buffer, size_t room,
                             const char **ret_reason)
{
    const char *reason = refusal(p, room);
    struct piece text = trimmed(p);

    pass(lines, p);
    if (reason != NULL) {
        return refused(lines, reason, ret_reason);
    }
    memcpy(buffer, text.from, text.length);
    buffer[text.length] = '\0';
    lines->passing = false;
    lines->swallowed_at = 0;
    if (*text.from == '[') {
        return CONFIG_LINE_HEADER;
    }
    reason = join(lines, buffer, text.length, room);
    return reason == NULL ? CONFIG_LINE_SETTING : refused(lines, reason, ret_reason);
}

enum config_line config_lines_next(struct config_lines *lines, char *buffer, size_t size,
                                   unsigned *ret_line, const char **ret_reason)
{
    assert(size >= 4);

    while (lines->at < lines->end) {
        struct piece p = look(lines);

        *ret_line = lines->line;
        if (is_comment(p)) {
            pass(lines, p);
        } else if (trimmed(p).length == 0) {
            lines->passing = false;
            pass(lines, p);
        } else if (is_blank(*p.from)) {
            pass(lines, p);
            if (!lines->passing) {
                return refused(lines,
                               "an indented line continues a value, and there is none above it; "
                               "begin the line at its start",
                               ret_reason);
            }
        } else {
            return take(lines, p, buffer, size - 3, ret_reason);
        }
    }
    return CONFIG_LINE_END;
}
