/*
 * The first and the last bytes of something long, against a slow and simple account of it.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/random.h"
#include "worker/leader/excerpt.h"

/* What must be there after all of text. */
static void expect_ends(struct excerpt *e, size_t limit, const char *text, size_t length,
                        const char *title)
{
    size_t head_max = limit - limit / 2;
    size_t head_is = length < head_max ? length : head_max;
    size_t tail_is = length - head_is < limit / 2 ? length - head_is : limit / 2;
    size_t head_count;
    size_t tail_count;

    excerpt_settle(e);
    const char *head = excerpt_head(e, &head_count);
    const char *tail = excerpt_tail(e, &tail_count);

    cr_assert_eq(head_count, head_is, "%s: head of %zu, limit %zu: %zu", title, length, limit,
                 head_count);
    cr_assert_eq(tail_count, tail_is, "%s: tail of %zu, limit %zu: %zu", title, length, limit,
                 tail_count);
    cr_assert(head_is == 0 || memcmp(head, text, head_is) == 0, "%s", title);
    cr_assert(tail_is == 0 || memcmp(tail, text + length - tail_is, tail_is) == 0, "%s", title);
    cr_assert_eq(excerpt_total(e), length, "%s", title);
}

/* clang-format off */
static const struct {
    const char *title;
    size_t limit;
    const char *pieces[8];
} cases[] = {
    {"nothing",                       10, {NULL}},
    {"less than the head",            10, {"ab", "c", NULL}},
    {"just the head",                 10, {"abcde", NULL}},
    {"a piece over the boundary",     10, {"abc", "defg", NULL}},
    {"all of the limit",              10, {"abcde", "fghij", NULL}},
    {"one more",                      10, {"abcdefghij", "k", NULL}},
    {"the ring goes round",           10, {"abcdef", "ghi", "jkl", "mnop", "q", NULL}},
    {"a piece longer than the ring",  10, {"abcdefg", "hijklmnopqrstuvwxyz", NULL}},
    {"all in one piece",              10, {"abcdefghijklmnopqrstuvwxyz", NULL}},
    {"an odd limit",                  7,  {"abcd", "efg", "hi", NULL}},
    {"one byte",                      1,  {"a", "b", NULL}},
    {"two bytes",                     2,  {"a", "b", "c", NULL}},
    {"no limit, nothing kept",        0,  {"abc", NULL}},
    {"empty pieces",                  4,  {"", "abcdef", "", NULL}},
};
/* clang-format on */

Test(excerpt, cases)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct excerpt e;
        char all[128] = "";

        excerpt_init(&e, cases[i].limit);
        for (const char *const *piece = cases[i].pieces; *piece != NULL; piece++) {
            excerpt_add(&e, *piece, strlen(*piece));
            (void)strcat(all, *piece);
        }
        expect_ends(&e, cases[i].limit, all, strlen(all), cases[i].title);
        excerpt_release(&e);
    }
}

/* Sizes at which memory grows and the ring goes round, and looks in between. */
Test(excerpt, many_pieces_of_any_size)
{
    enum { ALL = 60000 };
    struct prng random;
    char *text = malloc(ALL);

    cr_assert_not_null(text);
    prng_seed(&random, 7);
    for (size_t i = 0; i < ALL; i++) {
        text[i] = (char)prng_below(&random, 256);
    }
    for (unsigned round = 0; round < 200; round++) {
        size_t limit = prng_below(&random, 9000);
        size_t length = 0;
        char title[32];
        struct excerpt e;

        (void)snprintf(title, sizeof(title), "round %u", round);
        excerpt_init(&e, limit);
        while (length < ALL / 2) {
            size_t piece = prng_below(&random, round % 2 == 0 ? 40 : 5000);

            excerpt_add(&e, text + length, piece);
            length += piece;
            if (prng_below(&random, 10) == 0) {
                expect_ends(&e, limit, text, length, title);
            }
        }
        expect_ends(&e, limit, text, length, title);
        excerpt_release(&e);
    }
    free(text);
}

Test(excerpt, memory_is_taken_for_what_is_there)
{
    struct excerpt e;

    excerpt_init(&e, 16 * 1024 * 1024);
    cr_expect_eq(e.head_room + e.tail_room, 0);
    excerpt_add(&e, "a line\n", 7);
    cr_expect_leq(e.head_room, 512);
    cr_expect_eq(e.tail_room, 0);
    excerpt_release(&e);
}

Test(excerpt, what_is_skipped_is_counted)
{
    struct excerpt e;
    size_t count;

    excerpt_init(&e, 6);
    excerpt_add(&e, "abc", 3);
    excerpt_skip(&e, 1000);
    excerpt_add(&e, "xyz", 3);
    excerpt_settle(&e);
    cr_expect_eq(excerpt_total(&e), 1006);
    cr_expect(memcmp(excerpt_head(&e, &count), "abc", 3) == 0 && count == 3);
    cr_expect(memcmp(excerpt_tail(&e, &count), "xyz", 3) == 0 && count == 3);
    excerpt_release(&e);
}
