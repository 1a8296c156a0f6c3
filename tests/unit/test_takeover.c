#include "worker/leader/takeover.h"

#include <criterion/criterion.h>

#include "common/array.h"

#define SYSTEM(id, line)                                                                           \
    {                                                                                              \
        .system_id = (id), .timeline = (line)                                                      \
    }

/* clang-format off */
static const struct {
    const char *title;
    struct epoch stored;
    struct server_identity stored_server;
    struct server_identity now;
    struct epoch next;
} epochs[] = {
    {"the first term of a fresh cluster is 1.1",
        {0, 0}, SYSTEM(0, 0), SYSTEM(7, 1), {1, 1}},
    {"a first term starts at its timeline, as a standby that lost it must not repeat it",
        {0, 0}, SYSTEM(0, 0), SYSTEM(7, 5), {5, 1}},
    {"the next term on the same server counts on",
        {1, 7}, SYSTEM(7, 1), SYSTEM(7, 1), {1, 8}},
    {"a promotion raises the generation",
        {1, 7}, SYSTEM(7, 1), SYSTEM(7, 2), {2, 8}},
    {"three promotions raise it by three",
        {1, 7}, SYSTEM(7, 1), SYSTEM(7, 4), {4, 8}},
    {"another system raises it beyond what was promoted after the dump, though its timeline starts over",
        {4, 7}, SYSTEM(7, 4), SYSTEM(8, 1), {1004, 8}},
    {"a standby of another system that lost its first term does not repeat it",
        {4, 7}, SYSTEM(7, 4), SYSTEM(8, 2), {1005, 8}},
    {"another system counts with all of its timelines",
        {1, 7}, SYSTEM(7, 1), SYSTEM(8, 9), {1009, 8}},
    {"older files put back never repeat an epoch",
        {4, 7}, SYSTEM(7, 4), SYSTEM(7, 2), {5, 8}},
    {"without a server (a file) only the number rises",
        {1, 7}, SYSTEM(0, 0), SYSTEM(0, 0), {1, 8}},
    {"the first term without a server is 1.1",
        {0, 0}, SYSTEM(0, 0), SYSTEM(0, 0), {1, 1}},
};
/* clang-format on */

Test(takeover, epochs_only_grow)
{
    for (size_t i = 0; i < ARRAY_LEN(epochs); i++) {
        struct epoch got = takeover_epoch(epochs[i].stored, epochs[i].stored_server, epochs[i].now);

        cr_expect(epoch_equal(got, epochs[i].next), "%s: %s", epochs[i].title, epoch_text(got).is);
    }
}

/* clang-format off */
static const struct {
    const char *title;
    struct epoch next;
    struct epoch seen;
    struct epoch beyond;
} sights[] = {
    {"who has seen nothing counts on",                           {1, 8}, {0, 0}, {1, 8}},
    {"who has seen the one before, too",                         {1, 8}, {1, 7}, {1, 8}},
    {"an older copy of the same files repeats no epoch",         {1, 4}, {1, 7}, {2, 8}},
    {"nor does the very one that was seen come again",           {2, 4}, {2, 4}, {3, 5}},
    {"nor a second standby on the same timeline",                {2, 4}, {2, 9}, {3, 10}},
    {"nor a database whose tables were dropped",                 {1, 1}, {4, 90}, {5, 91}},
    {"a higher generation is later, whatever the number",        {3, 2}, {2, 90}, {3, 2}},
    {"what nobody counted up to was never a term",               {1, 8}, {1, UINT64_MAX}, {1, 8}},
};
/* clang-format on */

Test(takeover, an_epoch_that_was_seen_is_never_repeated_whatever_the_server_has_lost)
{
    for (size_t i = 0; i < ARRAY_LEN(sights); i++) {
        struct epoch got = takeover_beyond(sights[i].next, sights[i].seen);

        cr_expect(epoch_equal(got, sights[i].beyond), "%s: %s", sights[i].title,
                  epoch_text(got).is);
    }
}

static const struct takeover_rules usual = {
    .takeover_delay = DUR_S(2),
    .kill_margin = DUR_MS(250),
    .lease = DUR_S(15),
    .server = SYSTEM(7, 1),
};
static const struct takeover_rules promoted = {
    .takeover_delay = DUR_S(2),
    .kill_margin = DUR_MS(250),
    .lease = DUR_S(15),
    .server = SYSTEM(7, 2),
};
static const struct takeover_rules bereft = {
    .takeover_delay = DUR_S(2),
    .kill_margin = DUR_MS(250),
    .lease = DUR_S(15),
    .server = SYSTEM(7, 1),
    .tail_lost = true,
};
static const struct takeover_rules opted_out = {
    .takeover_delay = 0,
    .kill_margin = DUR_MS(250),
    .lease = DUR_S(15),
    .server = SYSTEM(7, 1),
};

#define TERM(id, line, clean, lease_s, grace_ms, ago_ms)                                           \
    {                                                                                              \
        .server = SYSTEM(id, line), .ended_cleanly = (clean), .lease = DUR_S(lease_s),             \
        .heartbeat = DUR_S(1), .loss_grace = DUR_MS(grace_ms), .superseded_ago = DUR_MS(ago_ms),   \
        .unfinished_runs = 1, .opened_ago = DUR_S(3600)                                            \
    }
/* One that recorded its runs, of which one is unfinished. */
#define OPEN_TERM(ago_ms)                                                                          \
    {                                                                                              \
        .server = SYSTEM(7, 1), .lease = DUR_S(15), .heartbeat = DUR_S(1),                         \
        .loss_grace = DUR_MS(500), .superseded_ago = DUR_MS(ago_ms), .opened_ago = DUR_S(3600),    \
        .unfinished_runs = 1, .runs_recorded = true                                                \
    }
/* On the server that was promoted: opened that long ago. */
#define YOUNG_TERM(ago_ms)                                                                         \
    {                                                                                              \
        .server = SYSTEM(7, 2), .ended_cleanly = true, .lease = DUR_S(15), .heartbeat = DUR_S(1),  \
        .loss_grace = DUR_MS(500), .opened_ago = DUR_MS(ago_ms)                                    \
    }
#define RISEN_TERM(epoch_generation, ago_ms)                                                       \
    {                                                                                              \
        .generation = (epoch_generation), .server = SYSTEM(7, 1), .ended_cleanly = true,           \
        .lease = DUR_S(15), .heartbeat = DUR_S(1), .loss_grace = DUR_MS(500),                      \
        .superseded_ago = DUR_MS(ago_ms), .opened_ago = DUR_S(3600)                                \
    }
/* An unclean end with nothing that ran. */
#define IDLE_TERM(line, ago_ms)                                                                    \
    {                                                                                              \
        .server = SYSTEM(7, line), .lease = DUR_S(15), .heartbeat = DUR_S(1),                      \
        .loss_grace = DUR_MS(500), .superseded_ago = DUR_MS(ago_ms), .opened_ago = DUR_S(3600)     \
    }

/* clang-format off */
static const struct {
    const char *title;
    const struct takeover_rules *rules;
    size_t count;
    struct takeover_term terms[3];
    dur_ns wait;
    enum takeover_reason reason;
} waits[] = {
    {"nobody before: nothing to wait for",
        &usual, 0, {TERM(7, 1, true, 15, 500, 0)}, 0, TAKEOVER_CLEAN},
    {"nobody before on a server that was promoted: the first term may be lost, and its jobs run",
        &promoted, 0, {TERM(7, 1, true, 15, 500, 0)}, DUR_S(15), TAKEOVER_HISTORY},
    {"terms that the server has lost may have jobs that run",
        &bereft, 1, {TERM(7, 1, true, 15, 500, 0)}, DUR_S(15), TAKEOVER_HISTORY},
    {"not at all after a clean end",
        &usual, 1, {TERM(7, 1, true, 15, 500, 0)}, 0, TAKEOVER_CLEAN},
    {"takeover_delay after an unclean end",
        &usual, 1, {TERM(7, 1, false, 15, 500, 0)}, DUR_S(2), TAKEOVER_UNCLEAN},
    {"at least what the one before needs to kill its jobs",
        &usual, 1, {TERM(7, 1, false, 15, 4000, 0)}, DUR_MS(5250), TAKEOVER_UNCLEAN},
    {"not at all where no run of another incarnation is unfinished",
        &usual, 1, {IDLE_TERM(1, 0)}, 0, TAKEOVER_CLEAN},
    {"but for the runs of the term before that one, if it did not wait for them itself",
        &usual, 2, {IDLE_TERM(1, 0), TERM(7, 1, false, 15, 500, 300)}, DUR_MS(1700), TAKEOVER_UNCLEAN},
    {"a change of the timeline may have lost runs: a lease, though none is seen unfinished",
        &usual, 1, {IDLE_TERM(2, 0)}, DUR_S(15), TAKEOVER_HISTORY},
    {"and so may terms that the server has lost",
        &bereft, 1, {IDLE_TERM(1, 0)}, DUR_S(15), TAKEOVER_HISTORY},
    {"takeover_delay = 0 opts out of it",
        &opted_out, 1, {TERM(7, 1, false, 15, 4000, 0)}, 0, TAKEOVER_CLEAN},
    {"one full lease after a change of the timeline, though the end was clean",
        &usual, 1, {TERM(7, 2, true, 15, 500, 0)}, DUR_S(15), TAKEOVER_HISTORY},
    {"one full lease on another system",
        &usual, 1, {TERM(8, 1, false, 15, 500, 0)}, DUR_S(15), TAKEOVER_HISTORY},
    {"and nobody opts out of that",
        &opted_out, 1, {TERM(8, 1, true, 15, 500, 0)}, DUR_S(15), TAKEOVER_HISTORY},
    {"it is the lease of the one before, where that is longer",
        &usual, 1, {TERM(7, 2, true, 60, 500, 0)}, DUR_S(60), TAKEOVER_HISTORY},
    {"and ours, where that is longer: the lost tail may hide one like ours",
        &usual, 1, {TERM(7, 2, true, 5, 500, 0)}, DUR_S(15), TAKEOVER_HISTORY},
    {"a term that was released while it waited has waited for nobody",
        &usual, 2, {TERM(7, 1, true, 15, 500, 0), TERM(7, 1, false, 15, 500, 300)},
        DUR_MS(1700), TAKEOVER_UNCLEAN},
    {"one that was superseded long ago counts no more",
        &usual, 2, {TERM(7, 1, true, 15, 500, 0), TERM(7, 1, false, 15, 500, 2000)},
        0, TAKEOVER_CLEAN},
    {"but one whose runs are unfinished has been waited for by nobody, though a clock was set forward",
        &usual, 2, {IDLE_TERM(1, 0), OPEN_TERM(60000)}, DUR_S(2), TAKEOVER_UNCLEAN},
    {"whoever follows one that waited for a first term that may be lost waits for the rest",
        &promoted, 1, {YOUNG_TERM(4000)}, DUR_S(11), TAKEOVER_HISTORY},
    {"the whole of it where the clock was set back",
        &promoted, 1, {YOUNG_TERM(-9000)}, DUR_S(15), TAKEOVER_HISTORY},
    {"not when the lease is over",
        &promoted, 1, {YOUNG_TERM(15000)}, 0, TAKEOVER_CLEAN},
    {"nor for a first term on a server that was never promoted",
        &usual, 1, {TERM(7, 1, true, 15, 500, 0)}, 0, TAKEOVER_CLEAN},
    {"a generation that rose on one server says that its leader had seen terms which are lost",
        &usual, 2, {RISEN_TERM(3, 0), RISEN_TERM(1, 4000)}, DUR_S(11), TAKEOVER_HISTORY},
    {"which is over after a lease too",
        &usual, 2, {RISEN_TERM(3, 0), RISEN_TERM(1, 15000)}, 0, TAKEOVER_CLEAN},
    {"one that did not rise says nothing",
        &usual, 2, {RISEN_TERM(3, 0), RISEN_TERM(3, 4000)}, 0, TAKEOVER_CLEAN},
    {"the longest of them counts",
        &usual, 3,
        {TERM(7, 1, false, 15, 500, 0), TERM(7, 2, true, 15, 500, 5000), TERM(7, 1, false, 15, 500, 99)},
        DUR_S(10), TAKEOVER_HISTORY},
    {"a database clock that was set back shortens nothing",
        &usual, 1, {TERM(7, 1, false, 15, 500, -9000)}, DUR_S(2), TAKEOVER_UNCLEAN},
};
/* clang-format on */

Test(takeover, waits_by_the_numbers_of_the_terms_before)
{
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        struct takeover got = takeover_decide(waits[i].rules, waits[i].terms, waits[i].count);

        cr_expect(got.wait == waits[i].wait, "%s: %lld ms", waits[i].title,
                  (long long)(got.wait / DUR_MS(1)));
        cr_expect(got.reason == waits[i].reason, "%s: %s", waits[i].title,
                  takeover_reason_name(got.reason));
    }
}

/* clang-format off */
static const struct {
    const char *text;
    bool readable;
    uint64_t number;
} numbers[] = {
    {"0",                    true,  0},
    {"7380012345678901234",  true,  UINT64_C(7380012345678901234)},
    {"9223372036854775807",  true,  INT64_MAX},
    {"9223372036854775808",  false, 0},
    {"99999999999999999999", false, 0},
    {"-1",                   false, 0},
    {" 1",                   false, 0},
    {"1x",                   false, 0},
    {"",                     false, 0},
};
/* clang-format on */

Test(takeover, reads_from_the_database_only_numbers_that_it_can_count_with)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uint64_t got = 0;

        cr_expect_eq(takeover_read_number(numbers[i].text, &got), numbers[i].readable, "'%s'",
                     numbers[i].text);
        cr_expect(got == numbers[i].number, "'%s'", numbers[i].text);
    }
}

/* Somebody may have written anything there; a wait must neither overflow nor vanish for it. */
Test(takeover, a_length_that_no_lease_can_have_is_the_longest_lease)
{
    cr_expect_eq(takeover_read_length("15000"), DUR_S(15));
    cr_expect_eq(takeover_read_length("0"), 0);
    cr_expect_eq(takeover_read_length("3600000"), DUR_S(3600));
    cr_expect_eq(takeover_read_length("3600001"), DUR_S(3600));
    cr_expect_eq(takeover_read_length("9223372036854775807"), DUR_S(3600));
    cr_expect_eq(takeover_read_length("-5"), DUR_S(3600));
    cr_expect_eq(takeover_read_length("soon"), DUR_S(3600));
}

Test(takeover, nothing_follows_an_epoch_that_nobody_counted_up_to)
{
    cr_expect(takeover_can_follow((struct epoch){0, 0}));
    cr_expect(takeover_can_follow((struct epoch){UINT32_MAX, UINT32_MAX}));
    cr_expect_not(takeover_can_follow((struct epoch){1, INT64_MAX}));
    cr_expect_not(takeover_can_follow((struct epoch){INT64_MAX, 1}));
    cr_expect_not(takeover_can_follow((struct epoch){1, UINT64_MAX}), "the next one would be 1.0");
}
