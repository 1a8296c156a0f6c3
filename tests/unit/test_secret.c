/* What a secret looks like is in the tests of those who leave it out: test_log, test_config_diff.
 */
#include "common/secret.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

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
