/*
 * secret.h - PURE: where a text has a password: of a conninfo (password=VALUE), of a URI
 * (://USER:VALUE@), of the parameters of one (?password=VALUE), and behind words that end in
 * passwd=, token= or secret=; of a command more. Whoever prints text from outside leaves these
 * places out. To show too little is the harmless mistake.
 */
#ifndef PGBATON_COMMON_SECRET_H
#define PGBATON_COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/shell_text.h"

/* A stretch of the text that must not be shown: [start, end). */
struct secret {
    size_t start;
    size_t end;
};

/* What the text is. */
enum secret_place {
    SECRET_IN_WORDS, /* a sentence: what is meant ends at white space */
    SECRET_IN_VALUE, /* one dsn and nothing else: a URI goes on to the end, blanks or not */
};

/* secret_next - the first at or behind from; {length, length}: there is none. */
struct secret secret_next(const char *text, size_t length, size_t from, enum secret_place place);

/* A quote that is open. */
struct secret_quote {
    char is;        /* NUL: none */
    bool has_blank; /* since it began */
};

/* What a shell or a server reads, looked through once from its beginning to its end: all but text
 * and length is zero then. */
struct secret_command {
    const char *text;
    size_t length;
    size_t at;
    size_t from; /* before this there is no further secret */
    struct shell_text state;
    struct secret_quote outer; /* in which it is */
    struct secret_quote inner; /* in that one, as in 'psql "password=x"' */
};

/* secret_next_in_command - the next one, as in a sentence; but quotes count, and are left in pairs,
 * what a shell puts in ($x, `x`) is none, statements say PASSWORD 'VALUE', and options may stand
 * before the word (--token VALUE). */
struct secret secret_next_in_command(struct secret_command *c);

/* secret_name_length - of a name of a secret that ends in this word, without the rest of it; 0:
 * there is none at this place. */
size_t secret_name_length(const char *text, size_t length, size_t at);

/* secret_is_password - may blanks stand around the = behind it? */
bool secret_is_password(const char *text, size_t length, size_t at);

#endif
