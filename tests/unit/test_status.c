#include "worker/monitor/status.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "supervisor/cli/status_text.h"
#include "supervisor/cli/table.h"

/* Each test lives at this moment. */
#define NOW DUR_S(5000)
#define WALL ((wall_ns)1795497600 * 1000 * 1000 * 1000) /* 2026-11-24T05:20:00Z */

static struct config_job job_list[2];
static struct config config;
static struct board_job rows[2];

/* A leader with everything in order. */
static struct status_view leader(void)
{
    struct status_view view = {
        .config = &config, .jobs = rows, .job_count = 2, .now = NOW, .wall = WALL};

    job_list[0] = (struct config_job){.name = "tick", .schedule_text = "every 1s", .enabled = true};
    job_list[1] = (struct config_job){.name = "off", .schedule_text = "manual"};
    config = (struct config){
        .database = {.kind = DATABASE_POSTGRES, .max_clock_skew = DUR_S(2)},
        .election = {.enabled = true, .name = "main", .lease = DUR_S(15)},
        .jobs = job_list,
        .job_count = 2,
    };
    rows[0] = (struct board_job){
        .name = "tick",
        .running = 1,
        .pid = 77,
        .last_outcome = OUTCOME_FAILED,
        .last_code = 3,
        .last_started_at = WALL,
        .last_ended_at = WALL + DUR_MS(250),
        .next_at = WALL + DUR_S(1),
        .runs = 9,
        .failures = 2,
    };
    rows[1] = (struct board_job){.name = "off", .next_at = WALL_NEVER};
    view.supervisor = (struct board_supervisor){
        .role = ROLE_LEADER,
        .pid = 4242,
        .incarnation = 0xabcdef,
        .epoch = {1, 7},
        .deadline = NOW + DUR_MS(13400),
        .started_at = WALL - DUR_S(60),
        .role_since = WALL - DUR_S(30),
        .config_hash = 0x1a2b3c4d00000000,
        .config_loaded_at = WALL - DUR_S(60),
        .containment = "process groups",
        .instance = "web1:4242",
        .children = {[SLOT_PROBE] =
                         {.pid = 11, .generation = 3, .restarts = 2, .started_at = NOW - DUR_S(5)}},
    };
    view.probe = (struct board_probe){
        .database = DATABASE_UP,
        .holder = HOLDER_OURS,
        .holder_pid = 900,
        .clock_offset_ns = -DUR_US(1500),
        .address = {.host = "db", .port = "5432"},
        .server_version = "15.18",
        .leader_epoch = {1, 7},
        .leader_instance = "web1:4242",
    };
    view.worker = (struct board_worker){.heartbeat_ns = DUR_US(400)};
    return view;
}

static struct status_view follower(void)
{
    struct status_view view = leader();

    view.supervisor.role = ROLE_FOLLOWER;
    view.supervisor.epoch = (struct epoch){0, 0};
    view.supervisor.deadline = 0;
    view.probe.holder = HOLDER_PGBATON;
    (void)strcpy(view.probe.leader_instance, "web2:1");
    return view;
}

/* The value at "leader.epoch" or "jobs.0.name" as compact JSON; the caller frees it. */
static char *look(const struct status_view *view, const char *path)
{
    json_t *document = status_document(view);
    const json_t *at = document;
    char copy[64];
    char *rest = copy;
    char *step;

    cr_assert(document != NULL);
    (void)snprintf(copy, sizeof(copy), "%s", path);
    while ((step = strsep(&rest, ".")) != NULL) {
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(step)) : json_object_get(at, step);
        cr_assert(at != NULL, "nothing at %s", path);
    }
    char *text = json_dumps(at, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    json_decref(document);
    return text;
}

static void expect_at(const struct status_view *view, const char *path, const char *expected,
                      const char *title)
{
    char *got = look(view, path);

    cr_expect_str_eq(got, expected, "%s: %s is %s", title, path, got);
    free(got);
}

/* clang-format off */
static const struct {
    const char *path;
    const char *expected;
} of_a_leader[] = {
    {"instance",                "\"web1:4242\""},
    {"incarnation",             "\"0000000000abcdef\""},
    {"pid",                     "4242"},
    {"started_at",              "\"2026-11-24T05:19:00.000Z\""},
    {"role",                    "\"leader\""},
    {"role_since",              "\"2026-11-24T05:19:30.000Z\""},
    {"leads",                   "true"},
    {"stopping",                "false"},
    {"resting_seconds",         "null"},
    {"election",                "\"main\""},
    {"epoch",                   "\"1.7\""},
    {"leader.kind",             "\"ours\""},
    {"leader.instance",         "\"web1:4242\""},
    {"leader.epoch",            "\"1.7\""},
    {"leader.pid",              "900"},
    {"leader.application",      "null"},
    {"lease.seconds",           "15.0"},
    {"lease.left_seconds",      "13.4"},
    {"lease.heartbeat_ms",      "0.4"},
    {"lease_note",              "null"},
    {"takeover_seconds",        "null"},
    {"database.kind",           "\"postgres\""},
    {"database.state",          "\"up\""},
    {"database.reason",         "null"},
    {"database.address",        "\"db:5432\""},
    {"database.version",        "\"15.18\""},
    {"database.clock_offset_ms", "-1.5"},
    {"children",                "[{\"name\":\"probe\",\"pid\":11,\"restarts\":2,\"uptime_seconds\":5.0}]"},
    {"containment",             "\"process groups\""},
    {"fleet",                   "null"},
    {"jobs.0.name",             "\"tick\""},
    {"jobs.0.schedule",         "\"every 1s\""},
    {"jobs.0.running",          "1"},
    {"jobs.0.pid",              "77"},
    {"jobs.0.last.started_at",  "\"2026-11-24T05:20:00.000Z\""},
    {"jobs.0.last.ended_at",    "\"2026-11-24T05:20:00.250Z\""},
    {"jobs.0.last.outcome",     "\"failed\""},
    {"jobs.0.last.code",        "3"},
    {"jobs.0.next",             "\"2026-11-24T05:20:01.000Z\""},
    {"jobs.1.enabled",          "false"},
    {"jobs.1.last",             "null"},
    {"jobs.1.next",             "null"},
    {"warnings",                "[]"},
    {"config.hash",             "\"1a2b3c4d00000000\""},
};
/* clang-format on */

Test(status, of_a_leader)
{
    struct status_view view = leader();

    for (size_t i = 0; i < ARRAY_LEN(of_a_leader); i++) {
        expect_at(&view, of_a_leader[i].path, of_a_leader[i].expected, "a leader");
    }
}

Test(status, a_job_that_is_paused_says_so)
{
    struct status_view view = leader();

    rows[0].paused = BOARD_PAUSED;
    expect_at(&view, "jobs.0.paused_by", "\"job\"", "paused");
    rows[0].paused = BOARD_ALL_PAUSED;
    expect_at(&view, "jobs.0.paused_by", "\"all\"", "all are");
}

Test(status, a_leader_past_its_deadline_does_not_lead)
{
    struct status_view view = leader();

    view.now = view.supervisor.deadline;
    expect_at(&view, "leads", "false", "at D");
    expect_at(&view, "lease.left_seconds", "0.0", "at D");
}

Test(status, of_a_follower)
{
    struct status_view view = follower();

    expect_at(&view, "leads", "false", "follower");
    expect_at(&view, "epoch", "null", "follower");
    expect_at(&view, "lease.left_seconds", "null", "follower");
    expect_at(&view, "leader.kind", "\"pgbaton\"", "follower");
    expect_at(&view, "leader.instance", "\"web2:1\"", "follower");
    expect_at(&view, "leader.pid", "900", "follower");
    expect_at(&view, "jobs.0.next", "null", "the leader's scheduler knows, not ours");
}

Test(status, what_was_seen_before_the_database_went_away_is_not_shown)
{
    struct status_view view = follower();

    view.probe.database = DATABASE_DOWN;
    (void)strcpy(view.probe.reason, "connection refused");
    expect_at(&view, "leader.kind", "\"unknown\"", "down");
    expect_at(&view, "leader.instance", "null", "down");
    expect_at(&view, "leader.pid", "null", "down");
    expect_at(&view, "database.state", "\"down\"", "down");
    expect_at(&view, "database.reason", "\"connection refused\"", "down");
    expect_at(&view, "database.clock_offset_ms", "null", "down");
}

Test(status, a_leader_that_rests_says_for_how_long)
{
    struct status_view view = follower();

    view.supervisor.rest_until = NOW + DUR_MS(2500);
    expect_at(&view, "resting_seconds", "2.5", "resting");
    view.supervisor.rest_until = NOW;
    expect_at(&view, "resting_seconds", "null", "rested");
}

Test(status, a_lock_file_has_no_lease)
{
    struct status_view view = leader();
    char *note;

    config.database.kind = DATABASE_SQLITE;
    view.supervisor.deadline = MONO_NEVER;
    expect_at(&view, "lease", "null", "sqlite");
    expect_at(&view, "leads", "true", "sqlite");
    note = look(&view, "lease_note");
    cr_expect(strstr(note, "as long as it is stopped") != NULL, "%s", note);
    free(note);
}

/* clang-format off */
enum change { NO_ELECTION, NO_DATABASE, UNKILLABLE, FOREIGN, CLOCK, SERVER_CLOCK, JOBS, TERM };
static const struct {
    const char *title;
    enum change change;
    const char *name;
} warned[] = {
    {"without an election every instance runs the jobs", NO_ELECTION, "\"no_election\""},
    {"without a database every instance runs the jobs",  NO_DATABASE, "\"no_election\""},
    {"processes that refuse to die are warned about",    UNKILLABLE,  "\"unkillable_processes\""},
    {"a foreign holder is warned about",                 FOREIGN,     "\"foreign_holder\""},
    {"a wrong clock is warned about",                    CLOCK,       "\"clock_wrong\""},
    {"a leader with other jobs is warned about",         JOBS,        "\"jobs_unserved\""},
    {"a wrong clock of the server is another matter",    SERVER_CLOCK, "\"server_clock_wrong\""},
    {"that it could not lead is warned about",           TERM,        "\"term_failed\""},
};
/* clang-format on */

static struct status_view changed(enum change change)
{
    struct status_view view = follower();

    switch (change) {
    case NO_ELECTION:
        config.election.enabled = false;
        break;
    case NO_DATABASE:
        config.database.kind = DATABASE_NONE;
        break;
    case UNKILLABLE:
        view.supervisor.unkillable = 2;
        break;
    case FOREIGN:
        view.probe.holder = HOLDER_FOREIGN;
        break;
    case SERVER_CLOCK:
        view.probe.server_clock_wrong = 1;
        view.probe.clock_offset_ns = DUR_S(60);
        break;
    case CLOCK:
        view.probe.clock_offset_ns = -DUR_S(3);
        break;
    case JOBS:
        view.probe.jobs_differ = 1;
        break;
    case TERM:
        view.supervisor.term_failure =
            (struct board_failure){.at = DUR_S(1700000000), .text = "read-only"};
        break;
    }
    return view;
}

Test(status, warnings)
{
    for (size_t i = 0; i < ARRAY_LEN(warned); i++) {
        struct status_view view = changed(warned[i].change);

        expect_at(&view, "warnings.0.name", warned[i].name, warned[i].title);
    }
}

Test(status, a_fleet_of_two_configurations_is_warned_about)
{
    struct status_view view = leader();

    view.fleet = json_loads("[{\"instance\":\"web1:4242\",\"config\":\"1a2b3c4d\"},"
                            "{\"instance\":\"web2:1\",\"config\":\"ffffffff\"},{},7]",
                            0, NULL);
    expect_at(&view, "fleet.1.instance", "\"web2:1\"", "fleet");
    expect_at(&view, "warnings.0.name", "\"configurations_differ\"", "fleet");
    json_decref(view.fleet);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *fleet;
    const char *name; /* of the warning; NULL: there is none */
} labelled[] = {
    {"two of one name", "[{\"instance\":\"web\"},{\"instance\":\"db\"},{\"instance\":\"web\"}]", "\"label_shared\""},
    {"names of their own", "[{\"instance\":\"web1\"},{\"instance\":\"web2\"},{},{},7]", NULL},
    {"what the server has cut may go on differently",
        "[{\"instance\":\"web\",\"cut\":true},{\"instance\":\"web\",\"cut\":true}]", NULL},
};
/* clang-format on */

Test(status, one_label_for_two_instances_is_warned_about)
{
    for (size_t i = 0; i < ARRAY_LEN(labelled); i++) {
        struct status_view view = leader();

        view.fleet = json_loads(labelled[i].fleet, 0, NULL);
        if (labelled[i].name != NULL) {
            expect_at(&view, "warnings.0.name", labelled[i].name, labelled[i].title);
        } else {
            expect_at(&view, "warnings", "[]", labelled[i].title);
        }
        json_decref(view.fleet);
    }
}

Test(status, a_cgroup_of_the_worker_is_part_of_the_containment)
{
    struct status_view view = leader();

    (void)strcpy(view.supervisor.containment, "systemd unit");
    (void)strcpy(view.worker.containment, "process groups and subreaper");
    expect_at(&view, "containment", "\"systemd unit\"", "without");
    (void)strcpy(view.worker.containment, "cgroup v2 /a/b");
    expect_at(&view, "containment", "\"systemd unit, cgroup v2 /a/b\"", "with");
}

Test(status, a_row_of_another_job_is_not_shown_as_this_ones)
{
    struct status_view view = leader();

    (void)strcpy(rows[0].name, "else");
    expect_at(&view, "jobs.0.runs", "0", "around a reload");
    view.job_count = 0;
    expect_at(&view, "jobs.1.name", "\"off\"", "no rows at all");
}

Test(status, text_from_outside_need_not_be_utf8)
{
    struct status_view view = follower();

    view.probe.holder = HOLDER_FOREIGN;
    (void)strcpy(view.probe.holder_application, "caf\xe9");
    expect_at(&view, "leader.application", "\"caf?\"", "latin1");
    view.probe.database = 99;
    view.probe.holder = 99;
    view.supervisor.role = ROLE_FOLLOWER;
    expect_at(&view, "database.state", "\"unknown\"", "a number from elsewhere");
}

/* clang-format off */
static const struct {
    double seconds;
    const char *expected;
} lengths[] = {
    {-1, "0.0s"}, {0, "0.0s"}, {13.44, "13.4s"}, {59.9, "59.9s"}, {59.94, "59.9s"}, {59.96, "1m00s"}, {60, "1m00s"}, {723, "12m03s"},
    {3600, "1h00m"}, {11520, "3h12m"}, {457200, "5d07h"},
};
/* clang-format on */

Test(status_text, lengths)
{
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        char text[32];

        status_text_length(lengths[i].seconds, text, sizeof(text));
        cr_expect_str_eq(text, lengths[i].expected);
    }
}

/* All that is printed of a document; the caller frees it. */
static char *printed(const json_t *document)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    cr_assert(to != NULL);
    status_text_print(to, document);
    (void)fclose(to);
    return text;
}

Test(status_text, tells_who_leads_and_what_runs)
{
    static const char *const told[] = {"web1:4242",  "leader since",
                                       "epoch 1.7",  "this instance",
                                       "left 13.4s", "postgres 15.18 at db:5432: up",
                                       "probe",      "every 1s",
                                       "failed (3)", "disabled"};
    struct status_view view = leader();
    json_t *document = status_document(&view);
    char *text = printed(document);

    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        cr_expect(strstr(text, told[i]) != NULL, "'%s' is missing in:\n%s", told[i], text);
    }
    free(text);
    json_decref(document);
}

Test(status_text, a_follower_says_whose_runs_it_shows)
{
    struct status_view view = leader();
    json_t *document = status_document(&view);

    for (int leads = 0; leads < 2; leads++) {
        cr_assert_eq(json_object_set_new(document, "leads", json_boolean(leads)), 0);
        char *text = printed(document);

        cr_expect_eq(strstr(text, "of this instance's own terms") == NULL, leads, "%s", text);
        free(text);
    }
    json_decref(document);
}

Test(status_text, never_hands_control_characters_to_a_terminal)
{
    struct status_view view = follower();

    (void)strcpy(view.probe.leader_instance, "\033]0;owned\a\xc2\x9b"
                                             "31m\n");
    job_list[0].name = "a\033[2J";
    json_t *document = status_document(&view);
    char *text = printed(document);

    cr_expect(strchr(text, '\033') == NULL && strchr(text, '\a') == NULL, "%s", text);
    cr_expect(strstr(text, "\xc2\x9b") == NULL, "%s", text);
    cr_expect(strstr(text, "\\x1b]0;owned\\x07\\xc2\\x9b31m\\x0a") != NULL, "%s", text);
    free(text);
    json_decref(document);
}

Test(status_text, a_document_of_another_version_is_no_crash)
{
    static const char *const odd[] = {
        "{}", "{\"leader\":7,\"lease\":\"x\",\"jobs\":{},\"children\":[1],\"fleet\":[null]}",
        "{\"jobs\":[{}],\"warnings\":[1],\"database\":[],\"config\":null}"};

    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        json_t *document = json_loads(odd[i], 0, NULL);
        char *text = printed(document);

        cr_expect(strlen(text) > 0);
        free(text);
        json_decref(document);
    }
}

Test(table, columns_are_as_wide_as_their_widest_cell)
{
    struct table table = {.columns = 2};
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    table_add(&table, "A");
    table_add(&table, "B");
    table_add(&table, "gr\xc3\xbc\xc3\x9f"
                      "e");
    table_add(&table, NULL);
    table_add(&table, "\t");
    table_addf(&table, "%d", 7);
    table_print(&table, to);
    (void)fclose(to);
    cr_expect_str_eq(text, "  A      B\n  gr\xc3\xbc\xc3\x9f"
                           "e  -\n  \\x09   7\n");
    free(text);
    table_release(&table);
}
