/* secret.h, of what a shell or a server reads. */
#include <ctype.h>
#include <string.h>

#include "common/secret.h"

static size_t skip_blanks(const struct secret_command *c, size_t at)
{
    while (at < c->length && shell_text_is_blank(c->text[at])) {
        at++;
    }
    return at;
}

static bool is_quote(char c)
{
    return c == '\'' || c == '"';
}

static bool is_at(const struct secret_command *c, size_t at, const char *word)
{
    size_t length = strlen(word);

    return c->length - at >= length && memcmp(c->text + at, word, length) == 0;
}

static struct secret_quote innermost(const struct secret_command *c)
{
    return c->inner.is != '\0' ? c->inner : c->outer;
}

/* Behind a quoted value these are none of it. */
static bool is_separator(char c)
{
    return c == ';' || c == ',' || c == ')';
}

/* The end of a word that begins in no quotes; they may be in it. */
static size_t word_end(const struct secret_command *c, size_t from)
{
    struct shell_text state = {.quote = '\0'};
    bool ends = from < c->length && is_quote(c->text[from]);
    size_t at = from;

    for (; at < c->length; at++) {
        char letter = c->text[at];

        if (state.quote == '\0' && !state.escaped &&
            (shell_text_is_blank(letter) || (ends && is_separator(letter)))) {
            break;
        }
        shell_text_take(&state, letter);
    }
    return at;
}

/* The same of one within quotes: it ends with them at the latest. Other quotes, and a backslash,
 * keep a blank in it. */
static size_t quoted_end(const struct secret_command *c, size_t from)
{
    struct secret_quote in = innermost(c);
    bool ends = from < c->length && is_quote(c->text[from]);
    char inner = '\0';
    size_t at = from;

    while (at < c->length && c->text[at] != c->outer.is && c->text[at] != in.is) {
        char letter = c->text[at];
        bool kept = letter == '\\' && at + 1 < c->length &&
                    !(c->outer.is == '\'' && c->text[at + 1] == '\'');

        if (kept) {
            letter = c->text[++at];
        }
        if (is_quote(letter)) {
            inner = inner == '\0' ? letter : inner == letter ? '\0' : inner;
        } else if (inner == '\0' && !kept &&
                   ((shell_text_is_blank(letter) && in.has_blank) ||
                    (ends && is_separator(letter)))) {
            break;
        }
        at++;
    }
    return at;
}

/* ''VALUE'' in a literal of SQL. Where one quote ends it, that is the literal's. */
static size_t doubled_end(const struct secret_command *c, size_t from)
{
    size_t at = from + 2;

    while (at < c->length) {
        if (c->text[at] != '\'') {
            at++;
        } else if (is_at(c, at, "''''")) {
            at += 4;
        } else {
            return is_at(c, at, "''") ? at + 2 : at;
        }
    }
    return at;
}

/* $$VALUE$$ or $TAG$VALUE$TAG$; 0: it is none. */
static size_t dollar_end(const struct secret_command *c, size_t from)
{
    size_t tag = from + 1;

    if (from >= c->length || c->text[from] != '$') {
        return 0;
    }
    while (tag < c->length && (isalnum((unsigned char)c->text[tag]) || c->text[tag] == '_')) {
        tag++;
    }
    if (tag == c->length || c->text[tag] != '$') {
        return 0;
    }
    tag += 1 - from; /* its length */
    for (size_t at = from + tag; at + tag <= c->length && c->text[at] != c->outer.is; at++) {
        if (memcmp(c->text + at, c->text + from, tag) == 0) {
            return at + tag;
        }
    }
    return 0;
}

/* What a shell puts in here is no secret, and must stay whole. */
static bool is_expansion(const struct secret_command *c, size_t at)
{
    at += at < c->length && c->text[at] == '"' ? 1 : 0;
    if (at >= c->length || c->text[at] == '`') {
        return at < c->length;
    }
    return c->text[at] == '$' && (c->outer.is != '\'' || is_at(c, at, "$(") || is_at(c, at, "${"));
}

static size_t text_end(const struct secret_command *c, size_t from)
{
    return c->outer.is == '\0' ? word_end(c, from) : quoted_end(c, from);
}

static size_t value_end(const struct secret_command *c, size_t from)
{
    size_t end = dollar_end(c, from);

    if (end != 0) {
        return end;
    }
    if (is_expansion(c, from)) {
        return from;
    }
    if (innermost(c).is == '\'' && is_at(c, from, "''")) {
        return doubled_end(c, from);
    }
    return text_end(c, from);
}

/* A statement's: PASSWORD 'VALUE', E'VALUE', $$VALUE$$, and those as a quote has them. */
static bool is_literal(const struct secret_command *c, size_t at)
{
    if (c->text[at] == '\'') {
        return innermost(c).is != '\'' || is_at(c, at, "''");
    }
    return is_at(c, at, "E'") || is_at(c, at, "e'") || is_at(c, at, "\\$") ||
           dollar_end(c, at) != 0;
}

/* --token VALUE: may this be one? Else it is another option, or the shell's. */
static bool is_argument(const struct secret_command *c, size_t at)
{
    return c->at >= 2 && is_at(c, c->at - 2, "--") && strchr("-|&;<>()#", c->text[at]) == NULL;
}

/* Where the value of this name begins; 0: it has none. */
static size_t value_start(const struct secret_command *c)
{
    size_t name = secret_name_length(c->text, c->length, c->at);

    if (name == 0) {
        return 0;
    }

    bool spaced = secret_is_password(c->text, c->length, c->at);
    size_t behind = c->at + name;
    size_t word = skip_blanks(c, behind);
    size_t sign = spaced ? word : behind;

    if (word == c->length) {
        return 0;
    }
    if (c->text[sign] != '=') {
        bool apart = word > behind;

        return apart && (is_argument(c, word) || (spaced && is_literal(c, word))) ? word : 0;
    }

    size_t next = skip_blanks(c, sign + 1);
    /* "PGPASSWORD= psql" sets it to nothing. */
    bool apart = spaced && (sign > behind || c->outer.is != '\0' ||
                            (next < c->length && is_quote(c->text[next])));

    return apart ? next : sign + 1;
}

static bool named_value(const struct secret_command *c, struct secret *ret)
{
    size_t start = value_start(c);

    if (start == 0) {
        return false;
    }
    *ret = (struct secret){.start = start, .end = value_end(c, start)};
    return ret->end > ret->start;
}

/* Has the rest of an address a password of its own? */
static bool has_name(const struct secret_command *c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (secret_name_length(c->text, c->length, i) > 0) {
            return true;
        }
    }
    return false;
}

/* ://USER:VALUE@, up to the last @ before the first /, or of the word. Of a quote that begins or
 * ends inside nothing is shown, so that they stay in pairs. */
static bool uri_value(const struct secret_command *c, struct secret *ret)
{
    static const char mark[] = "://";
    const size_t from = c->at + sizeof(mark) - 1;
    struct shell_text state = {.quote = c->outer.is};
    struct secret_command authority = *c;
    size_t start = 0;
    size_t sign = 0;

    if (!is_at(c, c->at, mark)) {
        return false;
    }

    const char *slash = memchr(c->text + from, '/', c->length - from);

    authority.length = slash == NULL ? c->length : (size_t)(slash - c->text);
    size_t end = text_end(&authority, from);

    for (size_t i = from; i < end; i++) {
        bool own = state.quote == c->outer.is;

        shell_text_take(&state, c->text[i]);
        if (c->text[i] == ':' && start == 0) {
            start = own ? i + 1 : from;
        }
        if (c->text[i] == '@' && start != 0) {
            sign = own ? i : text_end(c, from);
        }
    }
    if (sign < start || sign == 0 || is_expansion(c, start)) {
        return false;
    }
    *ret =
        (struct secret){.start = start, .end = has_name(c, start, sign) ? text_end(c, from) : sign};
    return true;
}

/* Keeps account of the quotes, beyond the letter that is here. */
static void pass(struct secret_command *c)
{
    char letter = c->text[c->at++];

    shell_text_take(&c->state, letter);
    if (c->state.quote != c->outer.is) {
        c->outer = (struct secret_quote){.is = c->state.quote};
        c->inner = (struct secret_quote){.is = '\0'};
        return;
    }
    c->outer.has_blank = c->outer.has_blank || shell_text_is_blank(letter);
    c->inner.has_blank = c->inner.has_blank || shell_text_is_blank(letter);
    if (c->outer.is != '\0' && is_quote(letter) && (c->inner.is == '\0' || c->inner.is == letter)) {
        c->inner = (struct secret_quote){.is = c->inner.is == '\0' ? letter : '\0'};
    }
}

struct secret secret_next_in_command(struct secret_command *c)
{
    struct secret found;

    for (; c->at < c->length; pass(c)) {
        if (c->at >= c->from && (named_value(c, &found) || uri_value(c, &found))) {
            c->from = found.end;
            return found;
        }
    }
    return (struct secret){.start = c->length, .end = c->length};
}
