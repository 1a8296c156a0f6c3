/*
 * `pgbaton next`: what it prints, and its exit code.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/control.h"
#include "tests/unit/command_fixture.h"

/* clang-format off */
static const struct {
    const char *title;
    const char *words[10];
    int code;
    const char *out;
    const char *err; /* part of it; "": nothing */
} cases[] = {
    {"instants one a line", {"0 3 * * *", "--from", "2026-01-01 00:00", "-n", "2"}, EXIT_CODE_DONE,
        "2026-01-01T03:00:00Z\n2026-01-02T03:00:00Z\n", ""},
    {"in a zone, with its offset", {"--zone=Europe/Berlin", "30 2 * * *", "--from=2026-03-28 12:00", "-n2"}, EXIT_CODE_DONE,
        "2026-03-29T03:00:00+02:00\n2026-03-30T02:30:00+02:00\n", ""},
    {"from a time with an offset", {"@daily", "--from", "2026-01-01T01:00:00+02:00", "-n", "1"}, EXIT_CODE_DONE,
        "2026-01-01T00:00:00Z\n", ""},
    {"the zone's own time where none is given", {"@daily", "--zone", "America/New_York", "--from", "2026-01-01 23:59:59", "-n", "1"}, EXIT_CODE_DONE,
        "2026-01-02T00:00:00-05:00\n", ""},
    {"words need no quotes where they are plain", {"every", "90s", "--from", "1970-01-01 00:00", "-n", "2"}, EXIT_CODE_DONE,
        "1970-01-01T00:01:30Z\n1970-01-01T00:03:00Z\n", ""},
    {"five without a number", {"every 1s", "--from", "1970-01-01 00:00"}, EXIT_CODE_DONE,
        "1970-01-01T00:00:01Z\n1970-01-01T00:00:02Z\n1970-01-01T00:00:03Z\n1970-01-01T00:00:04Z\n1970-01-01T00:00:05Z\n", ""},
    {"of the job whose name is given", {"H H * * *", "--job", "backup", "--from", "2026-01-01 00:00", "-n", "1"}, EXIT_CODE_DONE,
        "2026-01-01T16:05:00Z\n", ""},
    {"a note where the name matters and is not given", {"H 4 * * *", "--from", "2026-01-01 00:00", "-n", "1"}, EXIT_CODE_DONE,
        NULL, "H and ~ are made from the job's name; these are of one without a name: give it --job NAME"},
    {"h is H", {"0 h * * *", "--from", "2026-01-01 00:00", "-n", "1"}, EXIT_CODE_DONE,
        NULL, "give it --job NAME"},
    {"in the first field too, and in a list", {"h,30 4 * * *", "--from", "2026-01-01 00:00", "-n", "1"}, EXIT_CODE_DONE,
        NULL, "give it --job NAME"},
    {"no note for a day with an h in it", {"0 4 * * THU", "--from", "2026-01-01 12:00", "-n", "1"}, EXIT_CODE_DONE,
        "2026-01-08T04:00:00Z\n", ""},
    {"in whatever letters", {"0 4 * mar thu", "--from", "2026-01-01 12:00", "-n", "1"}, EXIT_CODE_DONE,
        "2026-03-05T04:00:00Z\n", ""},
    {"as JSON", {"--json", "0 3 * * *", "--from", "2026-01-01 00:00", "-n", "2"}, EXIT_CODE_DONE,
        "[\"2026-01-01T03:00:00Z\",\"2026-01-02T03:00:00Z\"]\n", ""},
    {"fewer where there are no more", {"at 2026-12-24T18:00", "--from", "2026-01-01 00:00"}, EXIT_CODE_DONE,
        "2026-12-24T18:00:00Z\n", ""},
    {"none that is left", {"at 2026-12-24T18:00", "--from", "2027-01-01 00:00"}, EXIT_CODE_FAILED,
        "", "'at 2026-12-24T18:00' has no instant after that time"},
    {"no clock starts a service", {"always"}, EXIT_CODE_FAILED,
        "", "'always' is not started by a clock: it runs for as long as an instance leads"},
    {"nor what comes with leadership", {"@elected"}, EXIT_CODE_FAILED,
        "", "it runs each time an instance becomes the leader"},
    {"nor a chain", {"after", "backup", "any"}, EXIT_CODE_FAILED,
        "", "it runs when the other job has ended"},
    {"and says so in JSON", {"--json", "manual"}, EXIT_CODE_FAILED,
        "[]\n", "'manual' is not started by a clock"},
    {"no schedule", {"-n", "3"}, EXIT_CODE_USAGE, "", "a schedule is missing"},
    {"a bad one", {"61 * * * *"}, EXIT_CODE_USAGE, "", "minute '61': 61 is not one of 0 to 59"},
    {"one that is not understood to its end", {"after foo all"}, EXIT_CODE_USAGE, "", "'after foo all': behind the job's name 'all' is not understood"},
    {"a bad zone", {"@daily", "--zone", "Europe/Berln"}, EXIT_CODE_USAGE, "", "'Europe/Berln' is no time zone"},
    {"a bad time", {"@daily", "--from", "noon"}, EXIT_CODE_USAGE, "", "'noon' is not a time such as"},
    {"a bad number", {"@daily", "-n", "0"}, EXIT_CODE_USAGE, "", "-n takes a number from 1 to 100000"},
    {"no value", {"@daily", "--zone"}, EXIT_CODE_USAGE, "", "each need a value"},
    {"what it does not know", {"@daily", "--count", "3"}, EXIT_CODE_USAGE, "", "does not know '--count'"},
};
/* clang-format on */

Test(next, says)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *out = NULL;
        char *err = NULL;
        int code = command_fixture_run(command_next, cases[i].words, &out, &err);

        cr_expect_eq(code, cases[i].code, "%s: %d %s", cases[i].title, code, err);
        cr_expect(cases[i].out == NULL || strcmp(out, cases[i].out) == 0, "%s: %s", cases[i].title,
                  out);
        cr_expect(cases[i].err[0] == '\0' ? err[0] == '\0' : strstr(err, cases[i].err) != NULL,
                  "%s: %s", cases[i].title, err);
        free(out);
        free(err);
    }
}
