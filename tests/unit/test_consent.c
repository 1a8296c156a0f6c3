#include <criterion/criterion.h>
#include <string.h>

#include "supervisor/consent.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

Test(consent, step_down)
{
    static const struct {
        const char *title;
        struct step_down_asked asked;
        enum consent answer;
    } cases[] = {
        {"a leader with a heir steps down",
         {.state = ELECTION_LEADER, .has_election = true, .heir_waits = true},
         CONSENT_NOW},
        {"without a heir nobody would lead",
         {.state = ELECTION_LEADER, .has_election = true},
         CONSENT_NO_HEIR},
        {"it does if it is forced",
         {.state = ELECTION_LEADER, .has_election = true, .force = true},
         CONSENT_NOW},
        {"a follower has nothing to give",
         {.state = ELECTION_FOLLOWER, .has_election = true, .heir_waits = true, .force = true},
         CONSENT_NOT_LEADER},
        {"nor has a heir", {.state = ELECTION_HEIR, .has_election = true}, CONSENT_NOT_LEADER},
        {"nor one whose worker is being fenced",
         {.state = ELECTION_FENCING, .has_election = true, .force = true},
         CONSENT_NOT_LEADER},
        {"one order is enough",
         {.state = ELECTION_STANDING_DOWN, .has_election = true, .force = true},
         CONSENT_NOT_TWICE},
        {"a stop comes first",
         {.stopping = true, .state = ELECTION_STANDING_DOWN, .has_election = true},
         CONSENT_NOT_STOPPING},
        {"without an election force changes nothing",
         {.state = ELECTION_LEADER, .heir_waits = true, .force = true},
         CONSENT_NO_ELECTION},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum consent answer = consent_step_down(&cases[i].asked);

        cr_expect_eq(answer, cases[i].answer, "%s: %d", cases[i].title, (int)answer);
        cr_expect_eq(strlen(consent_text(answer)) > 0, answer != CONSENT_NOW, "%s", cases[i].title);
    }
}

Test(consent, reload)
{
    static const struct {
        const char *title;
        struct reload_asked asked;
        enum consent answer;
    } cases[] = {
        {"a reload is done at once", {.needs_room = true, .waiting_most = 2}, CONSENT_NOW},
        {"during another one it comes afterwards",
         {.under_way = true, .needs_room = true, .waiting = 1, .waiting_most = 2},
         CONSENT_LATER},
        {"not for more than can be answered",
         {.under_way = true, .needs_room = true, .waiting = 2, .waiting_most = 2},
         CONSENT_TOO_MANY},
        {"a signal waits for no answer",
         {.under_way = true, .waiting = 2, .waiting_most = 2},
         CONSENT_LATER},
        {"who stops does not begin anew",
         {.stopping = true, .under_way = true, .waiting_most = 2},
         CONSENT_NOT_STOPPING},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_expect_eq(consent_reload(&cases[i].asked), cases[i].answer, "%s", cases[i].title);
    }
}
