#include "common/secret.h"

#include <string.h>

#include "common/array.h"

/* The first is libpq's, which may have blanks before and behind its =. */
static const char *const names[] = {"password", "passwd", "token", "secret"};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t skip_spaces(const char *text, size_t length, size_t at)
{
    while (at < length && is_space(text[at])) {
        at++;
    }
    return at;
}

static bool starts_with(const char *text, size_t length, size_t at, const char *lower_word)
{
    size_t n = strlen(lower_word);

    if (length - at < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (lower(text[at + i]) != lower_word[i]) {
            return false;
        }
    }
    return true;
}

/* Is the name that goes on here one of a URI's parameters: ?password, &sslpassword? */
static bool is_parameter(const char *text, size_t at)
{
    while (at > 0 && lower(text[at - 1]) >= 'a' && lower(text[at - 1]) <= 'z') {
        at--;
    }
    return at > 0 && (text[at - 1] == '?' || text[at - 1] == '&');
}

size_t secret_name_length(const char *text, size_t length, size_t at)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (starts_with(text, length, at, names[i])) {
            return strlen(names[i]);
        }
    }
    return 0;
}

bool secret_is_password(const char *text, size_t length, size_t at)
{
    return starts_with(text, length, at, names[0]);
}

/* password=VALUE at this place? The value ends like one of libpq's: at the closing quote or at
 * white space, where a backslash keeps the next character; a parameter of a URI also at the next
 * one. */
static bool password_value(const char *text, size_t length, size_t at, struct secret *ret)
{
    size_t name = secret_name_length(text, length, at);
    size_t start = at;
    char quote = '\0';

    if (name == 0) {
        return false;
    }
    bool spaced = secret_is_password(text, length, at);
    at = spaced ? skip_spaces(text, length, at + name) : at + name;
    if (at == length || text[at] != '=') {
        return false;
    }
    /* Only now: it goes back over the whole name, and each letter of a text could begin one. */
    bool parameter = is_parameter(text, start);
    at = spaced ? skip_spaces(text, length, at + 1) : at + 1;
    if (at < length && (text[at] == '\'' || text[at] == '"')) {
        quote = text[at++];
    }
    ret->start = at;
    while (at < length && (quote != '\0' ? text[at] != quote : !is_space(text[at])) &&
           !(parameter && quote == '\0' && text[at] == '&')) {
        at += text[at] == '\\' && at + 1 < length ? 2 : 1;
    }
    ret->end = at;
    return true;
}

/* What stands behind the colon, if there is one (not 0). */
static bool is_port(const char *text, size_t colon, size_t end)
{
    for (size_t i = colon == 0 ? end : colon + 1; i < end; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
    }
    return true;
}

/*
 * ://USER:VALUE@ at this place? The value is taken up to the last @: a password with an unescaped
 * @, / or ? in it is no valid URI, but it is what people write. So that @ may be part of another
 * password, a parameter's: then all up to the end of that one. Of
 * USER@HOST:PORT/ what comes behind is none.
 */
static bool uri_password(const char *text, size_t length, size_t at, enum secret_place place,
                         struct secret *ret)
{
    struct secret inner;
    size_t colon = 0;
    size_t sign = 0;
    bool user_alone = false;

    if (!starts_with(text, length, at, "://")) {
        return false;
    }
    for (size_t i = at + strlen("://");
         i < length && (place == SECRET_IN_VALUE || !is_space(text[i])); i++) {
        if (text[i] == '/' && user_alone && is_port(text, colon, i)) {
            break;
        }
        user_alone = user_alone || (text[i] == '@' && colon == 0);
        if (text[i] == ':' && colon == 0) {
            colon = i;
        }
        if (text[i] == '@') {
            sign = i;
        }
    }
    if (colon == 0 || sign < colon) {
        return false;
    }
    *ret = (struct secret){.start = colon + 1, .end = sign};
    for (size_t i = colon; i < sign; i++) {
        if (password_value(text, length, i, &inner) && inner.end > ret->end) {
            ret->end = inner.end;
        }
    }
    return true;
}

struct secret secret_next(const char *text, size_t length, size_t from, enum secret_place place)
{
    struct secret found;

    for (size_t at = from; at < length; at++) {
        if (password_value(text, length, at, &found) ||
            uri_password(text, length, at, place, &found)) {
            return found;
        }
    }
    return (struct secret){.start = length, .end = length};
}
