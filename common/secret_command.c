/* secret.h, of what a shell or a server reads. */
#include <string.h>

#include "common/secret.h"
#include "common/shell_text.h"

/* A place in a command, and what is open there. */
struct place {
    const char *text;
    size_t length;
    size_t at;
    char quote;    /* in which it is; NUL: in none */
    size_t opened; /* where that one began, behind the quote */
};

static size_t skip_blanks(const struct place *p, size_t at)
{
    while (at < p->length && shell_text_is_blank(p->text[at])) {
        at++;
    }
    return at;
}

static bool is_quote(char c)
{
    return c == '\'' || c == '"';
}

/* The quote in quotes in which it is, as in 'psql "password=x"'; without one, as it was. */
static struct place innermost(struct place p)
{
    char inner = '\0';
    size_t opened = p.opened;

    for (size_t i = p.opened; i < p.at; i++) {
        char c = p.text[i];

        if (is_quote(c) && (inner == '\0' || inner == c)) {
            inner = inner == '\0' ? c : '\0';
            opened = i + 1;
        }
    }
    if (inner != '\0') {
        p.quote = inner;
        p.opened = opened;
    }
    return p;
}

/* Does what is quoted begin with the word that is here: '--password=a b'? */
static bool is_first_word(const struct place *p)
{
    for (size_t i = p->opened; i < p->at; i++) {
        if (shell_text_is_blank(p->text[i])) {
            return false;
        }
    }
    return true;
}

/* The end of a word that begins in no quotes; they may be in it. Behind a quoted value a ; is none
 * of it. */
static size_t word_end(const struct place *p, size_t from)
{
    struct shell_text state = {.in_word = true};
    bool ends = from < p->length && is_quote(p->text[from]);
    size_t at = from;

    for (; at < p->length; at++) {
        char c = p->text[at];

        if (state.quote == '\0' && !state.escaped &&
            (shell_text_is_blank(c) || (ends && c == ';'))) {
            break;
        }
        shell_text_take(&state, c);
    }
    return at;
}

/* The same of one within quotes: it ends with them at the latest. Other quotes, and a backslash,
 * keep a blank in it. */
static size_t quoted_end(const struct place *p, size_t from)
{
    struct place in = innermost(*p);
    bool whole = is_first_word(&in);
    char inner = '\0';
    size_t at = from;

    while (at < p->length && p->text[at] != p->quote && p->text[at] != in.quote) {
        char c = p->text[at];
        bool kept =
            c == '\\' && at + 1 < p->length && !(p->quote == '\'' && p->text[at + 1] == '\'');

        if (kept) {
            c = p->text[++at];
        }
        if (is_quote(c)) {
            inner = inner == '\0' ? c : inner == c ? '\0' : inner;
        } else if (shell_text_is_blank(c) && !kept && !whole && inner == '\0') {
            break;
        }
        at++;
    }
    return at;
}

static size_t value_end(const struct place *p, size_t from)
{
    return p->quote == '\0' ? word_end(p, from) : quoted_end(p, from);
}

/* Where the value of this name begins; 0: it has none. */
static size_t value_start(const struct place *p)
{
    size_t name = secret_name_length(p->text, p->length, p->at);
    bool spaced = secret_is_password(p->text, p->length, p->at);
    size_t behind = p->at + name;
    size_t sign = spaced ? skip_blanks(p, behind) : behind;

    if (name == 0 || sign == p->length) {
        return 0;
    }
    if (p->text[sign] != '=') { /* a statement's: PASSWORD 'VALUE' */
        return sign > behind && p->text[sign] == '\'' && p->quote != '\'' ? sign : 0;
    }

    size_t next = skip_blanks(p, sign + 1);
    /* "PGPASSWORD= psql" sets it to nothing. */
    bool apart = spaced && (sign > behind || p->quote != '\0' ||
                            (next < p->length && is_quote(p->text[next])));

    return apart ? next : sign + 1;
}

static bool named_value(const struct place *p, struct secret *ret)
{
    size_t start = value_start(p);

    if (start == 0) {
        return false;
    }
    *ret = (struct secret){.start = start, .end = value_end(p, start)};
    return ret->end > ret->start;
}

/* Has the rest of an address a password of its own? */
static bool has_name(const struct place *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (secret_name_length(p->text, p->length, i) > 0) {
            return true;
        }
    }
    return false;
}

/* ://USER:VALUE@, up to the last @ of the word. Of a quote that begins or ends inside nothing is
 * shown, so that they stay in pairs. */
static bool uri_value(const struct place *p, struct secret *ret)
{
    static const char mark[] = "://";
    const size_t from = p->at + sizeof(mark) - 1;
    struct shell_text state = {.quote = p->quote, .in_word = true};
    size_t start = 0;
    size_t sign = 0;

    if (p->length - p->at < sizeof(mark) || strncmp(p->text + p->at, mark, sizeof(mark) - 1) != 0) {
        return false;
    }

    size_t end = value_end(p, from);

    for (size_t i = from; i < end; i++) {
        char before = state.quote;
        bool own = before == p->quote;

        shell_text_take(&state, p->text[i]);
        if (p->text[i] == ':' && start == 0) {
            start = own ? i + 1 : from;
        }
        if (p->text[i] == '@' && start != 0) {
            sign = own ? i : end;
        }
    }
    if (sign < start || sign == 0) {
        return false;
    }
    *ret = (struct secret){.start = start, .end = has_name(p, start, sign) ? end : sign};
    return true;
}

struct secret secret_next_in_command(const char *text, size_t length, size_t from)
{
    struct place p = {.text = text, .length = length};
    struct shell_text state = {.quote = '\0'};
    struct secret found;

    for (; p.at < length; p.at++) {
        if (p.at >= from && (named_value(&p, &found) || uri_value(&p, &found))) {
            return found;
        }
        shell_text_take(&state, text[p.at]);
        state.in_comment = false; /* a # may be a letter here */
        if (state.quote != p.quote) {
            p.quote = state.quote;
            p.opened = p.at + 1;
        }
    }
    return (struct secret){.start = length, .end = length};
}
