/*
 * exit_codes.h - PURE: a set of exit codes, such as those that mean success: 0,3,75-78.
 */
#ifndef PGBATON_COMMON_EXIT_CODES_H
#define PGBATON_COMMON_EXIT_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_CODE_MAX = 255 };

/* Bit N % 64 of word N / 64. */
struct exit_codes {
    uint64_t bits[4];
};

/* Every second code alone: 128 of at most three digits and a comma. */
enum { EXIT_CODES_TEXT_MAX = 512 };

/* exit_codes_parse - a list of codes and ranges of them; blanks may stand around each. Returns 0,
 * or -EINVAL with what is wrong in reterr. */
int exit_codes_parse(const char *text, struct exit_codes *ret_codes, char *reterr,
                     size_t reterr_size);

/* exit_codes_has - false for what is no exit code. */
bool exit_codes_has(const struct exit_codes *codes, int code);

/* exit_codes_text - the shortest list that exit_codes_parse reads back; equal sets have equal
 * texts. text has EXIT_CODES_TEXT_MAX bytes. */
const char *exit_codes_text(const struct exit_codes *codes, char *text);

#endif
