#include <criterion/criterion.h>
#include <string.h>

#include "worker/probe/fleet.h"

static const char *const sessions[] = {
    "pgbaton leader 1a2b3c4d main web1:42",
    "pgbaton lock 1a2b3c4d main web1:42", /* no probe: not an instance */
    "pgbaton follower 99999999 main two words",
    "pgbaton follower 1a2b3c4d mainly web2:42", /* of another election */
    "pgbaton follower",                         /* cut off, or made up */
    "pgbaton heir 1a2b3c4d main ",
};
enum { SESSIONS = sizeof(sessions) / sizeof(sessions[0]) };

static PGresult *rows_of(const char *const *names, int count)
{
    static char column[] = "column";
    static char pid[] = "4711";
    static char since[] = "2026-11-24T04:00:00Z";
    PGresAttDesc columns[3] = {{.name = column}, {.name = column}, {.name = column}};
    PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    cr_assert(PQsetResultAttrs(rows, 3, columns) == 1);
    for (int i = 0; i < count; i++) {
        (void)PQsetvalue(rows, i, 0, (char *)names[i], (int)strlen(names[i]));
        (void)PQsetvalue(rows, i, 1, pid, (int)strlen(pid));
        (void)PQsetvalue(rows, i, 2, since, (int)strlen(since));
    }
    return rows;
}

static const char *member(const json_t *instances, size_t i, const char *name)
{
    return json_string_value(json_object_get(json_array_get(instances, i), name));
}

Test(fleet, is_what_the_probes_of_this_election_say)
{
    struct config cfg = {.election = {.name = "main"}};
    PGresult *rows = rows_of(sessions, SESSIONS);
    json_t *instances = fleet_instances(&cfg, rows);

    cr_assert_eq(json_array_size(instances), 3);
    cr_expect_str_eq(member(instances, 0, "instance"), "web1:42");
    cr_expect_str_eq(member(instances, 0, "role"), "leader");
    cr_expect_str_eq(member(instances, 0, "config"), "1a2b3c4d");
    cr_expect_str_eq(member(instances, 0, "since"), "2026-11-24T04:00:00Z");
    cr_expect_str_eq(member(instances, 1, "instance"), "two words");
    cr_expect_str_eq(member(instances, 2, "instance"), "");
    cr_expect(json_is_false(json_object_get(json_array_get(instances, 0), "cut")));
    json_decref(instances);
    PQclear(rows);
}

Test(fleet, whose_election_name_was_cut_by_the_server_is_recognised_by_what_is_left)
{
    struct config cfg = {.election = {.name = "an-election-whose-name-leaves-no-room-to-spare"}};
    char name[64];
    const char *names[] = {name};

    (void)snprintf(name, sizeof(name), "pgbaton follower 1a2b3c4d %s", cfg.election.name);
    cr_assert_eq(strlen(name), 63);
    PGresult *rows = rows_of(names, 1);
    json_t *instances = fleet_instances(&cfg, rows);
    cr_expect_eq(json_array_size(instances), 1);
    cr_expect(json_is_true(json_object_get(json_array_get(instances, 0), "cut")));
    json_decref(instances);
    PQclear(rows);
}
