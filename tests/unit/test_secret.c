/* What a secret looks like is in the tests of those who leave it out: test_log, test_config_diff.
 */
#include "common/secret.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

enum { LETTERS = 4 * 1024 * 1024 };

/* Each text that is logged is looked through: looked at again from each of its letters, one of this
 * length would take hours. */
static void expect_no_secret(const char *word)
{
    size_t length = strlen(word);
    char *text = malloc(LETTERS);

    cr_assert_not_null(text);
    for (size_t i = 0; i < LETTERS; i++) {
        text[i] = word[i % length];
    }
    struct secret found = secret_next(text, LETTERS, 0, SECRET_IN_WORDS);
    cr_expect_eq(found.start, LETTERS);
    cr_expect_eq(found.end, LETTERS);
    free(text);
}

Test(secret, a_long_word_is_looked_through_once, .timeout = 30)
{
    expect_no_secret("a");
    expect_no_secret("password");
}

Test(secret, of_a_parameter_the_whole_name_counts)
{
    static const char uri[] = "h?sslpassword=abc&x";
    static const char words[] = "sslpassword=abc&x";
    struct secret found = secret_next(uri, strlen(uri), 0, SECRET_IN_WORDS);

    cr_expect_eq(found.end, strlen("h?sslpassword=abc"));
    found = secret_next(words, strlen(words), 0, SECRET_IN_WORDS);
    cr_expect_eq(found.end, strlen(words));
}

/* Looked for from the beginning, or from the beginning of its quote, each of them would take as
 * long as all of them. The longest value has 64 KiB; of this one that would be hours. */
static void expect_many(const char *head, const char *secret)
{
    size_t length = strlen(secret);
    size_t before = strlen(head);
    size_t count = LETTERS / 4 / length;
    char *text = malloc(before + count * length);
    size_t found = 0;

    cr_assert_not_null(text);
    memcpy(text, head, before);
    for (size_t i = 0; i < count * length; i++) {
        text[before + i] = secret[i % length];
    }

    struct secret_command command = {.text = text, .length = before + count * length};

    while (secret_next_in_command(&command).start < command.length) {
        found++;
    }
    cr_expect_eq(found, strchr(secret, 'x') == NULL ? 0 : count, "%s%s: %zu", head, secret, found);
    free(text);
}

Test(secret, a_command_is_looked_through_once_for_all_of_them, .timeout = 30)
{
    static const char *const heads[] = {"", "\"a ", "\"a 'a "};

    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        expect_many(heads[i], "password=x ");
        expect_many(heads[i], "--token x ");
        expect_many(heads[i], "://");
        expect_many(heads[i], "a://u:x@h/ ");
        expect_many(heads[i], "://u@h:1/");
    }
}
