/*
 * secret.h - PURE: where a text has a password: of a conninfo (password=VALUE), of a URI
 * (://USER:VALUE@), of the parameters of one (?password=VALUE). Whoever prints text from outside
 * leaves these places out. To show too little is the harmless mistake.
 */
#ifndef PGBATON_COMMON_SECRET_H
#define PGBATON_COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

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

#endif
