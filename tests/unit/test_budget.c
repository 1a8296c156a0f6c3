#include "common/budget.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"

#define DEFAULTS                                                                                   \
    .lease = DUR_S(15), .heartbeat = DUR_S(1), .stop_grace = DUR_S(3), .loss_grace = DUR_MS(500),  \
    .takeover_delay = DUR_S(2)

/* clang-format off */
static const struct {
    const char *title;
    struct budget budget;
    enum budget_verdict verdict;
    const char *text;
} cases[] = {
    {"the defaults hold", {DEFAULTS}, BUDGET_HOLDS, ""},
    {"a lease that just holds",
        {.lease = DUR_MS(4300), .heartbeat = DUR_MS(250), .stop_grace = DUR_MS(3050), .loss_grace = DUR_MS(500), .takeover_delay = DUR_S(2)},
        BUDGET_HOLDS, ""},
    {"a millisecond less does not, and the least that would is named",
        {.lease = DUR_MS(4299), .heartbeat = DUR_MS(250), .stop_grace = DUR_MS(3050), .loss_grace = DUR_MS(500), .takeover_delay = DUR_S(2)},
        BUDGET_LEASE_SHORT,
        "4299ms is too short: heartbeat * 3 + stop_grace + margin (250ms * 3 + 3050ms + 500ms) must fit "
        "into it; make lease at least 4300ms, or heartbeat or stop_grace shorter"},
    {"the margin grows with a long lease",
        {.lease = DUR_S(60), .heartbeat = DUR_S(1), .stop_grace = DUR_MS(54001), .loss_grace = 0, .takeover_delay = DUR_S(2)},
        BUDGET_LEASE_SHORT, "(1s * 3 + 54001ms + 3s)"},
    {"no wait at all is a choice",
        {.lease = DUR_S(15), .heartbeat = DUR_S(1), .stop_grace = DUR_S(3), .loss_grace = DUR_S(9), .takeover_delay = 0},
        BUDGET_HOLDS, ""},
    {"a wait that just holds",
        {.lease = DUR_S(15), .heartbeat = DUR_S(1), .stop_grace = DUR_S(3), .loss_grace = DUR_MS(750), .takeover_delay = DUR_S(2)},
        BUDGET_HOLDS, ""},
    {"a wait that is too short",
        {.lease = DUR_S(15), .heartbeat = DUR_S(1), .stop_grace = DUR_S(3), .loss_grace = DUR_MS(751), .takeover_delay = DUR_S(2)},
        BUDGET_DELAY_SHORT,
        "2s is too short: heartbeat + loss_grace + kill_margin (1s + 751ms + 250ms) must "
        "fit into it; make it at least 2001ms (0 = never wait)"},
    {"a wait as long as the lease",
        {.lease = DUR_S(15), .heartbeat = DUR_S(1), .stop_grace = DUR_S(3), .loss_grace = 0, .takeover_delay = DUR_S(15)},
        BUDGET_HOLDS, ""},
    {"a wait that is longer",
        {.lease = DUR_S(15), .heartbeat = DUR_S(1), .stop_grace = DUR_S(3), .loss_grace = 0, .takeover_delay = DUR_MS(15001)},
        BUDGET_DELAY_LONG, "make it at most 15s"},
    {"jobs are asked before they are killed",
        {.lease = DUR_S(15), .heartbeat = DUR_S(1), .stop_grace = DUR_MS(250), .loss_grace = 0, .takeover_delay = DUR_S(2)},
        BUDGET_GRACE_SHORT, "make it at least 251ms"},
    {"just asked",
        {.lease = DUR_S(15), .heartbeat = DUR_S(1), .stop_grace = DUR_MS(251), .loss_grace = 0, .takeover_delay = DUR_S(2)},
        BUDGET_HOLDS, ""},
    {"a heartbeat a second at least",
        {.lease = DUR_S(60), .heartbeat = DUR_MS(1001), .stop_grace = DUR_S(3), .loss_grace = 0, .takeover_delay = DUR_S(2)},
        BUDGET_HEARTBEAT_LONG, "1001ms is too long: make it at most 1s"},
};
/* clang-format on */

Test(budget, check)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[300] = "";

        cr_expect(budget_check(&cases[i].budget, text, sizeof(text)) == cases[i].verdict, "%s: %s",
                  cases[i].title, text);
        cr_expect_not_null(strstr(text, cases[i].text), "%s: %s", cases[i].title, text);
        cr_expect((text[0] == '\0') == (cases[i].verdict == BUDGET_HOLDS), "%s", cases[i].title);
    }
}

Test(budget, margin)
{
    cr_expect_eq(budget_margin(DUR_S(2)), DUR_MS(500));
    cr_expect_eq(budget_margin(DUR_S(10)), DUR_MS(500));
    cr_expect_eq(budget_margin(DUR_S(15)), DUR_MS(750));
}

/* What the message says would be right, is. */
Test(budget, the_lease_that_is_named_holds)
{
    for (dur_ns grace = DUR_MS(300); grace < DUR_S(3000); grace = grace * 2 + DUR_MS(13)) {
        struct budget b = {.lease = DUR_S(1), .heartbeat = DUR_S(1), .stop_grace = grace};
        char text[300];
        long long needed_ms = 0;

        cr_assert(budget_check(&b, text, sizeof(text)) == BUDGET_LEASE_SHORT);
        const char *at = strstr(text, "at least ");
        char unit[8] = "";

        cr_assert_eq(sscanf(at, "at least %lld%7[a-z]", &needed_ms, unit), 2);
        needed_ms *= strcmp(unit, "ms") == 0 ? 1 : strcmp(unit, "s") == 0 ? 1000 : 60000;
        b.lease = DUR_MS(needed_ms);
        cr_expect(budget_check(&b, text, sizeof(text)) == BUDGET_HOLDS, "%s", text);
    }
}
