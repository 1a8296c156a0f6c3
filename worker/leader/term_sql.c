#include "worker/leader/term_sql.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void print(char ret_sql[TERM_SQL_MAX], size_t *used, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void print(char ret_sql[TERM_SQL_MAX], size_t *used, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vsnprintf(ret_sql + *used, TERM_SQL_MAX - *used, format, args);
    va_end(args);
    assert(length > 0);
    *used += (size_t)length;
    assert(*used < TERM_SQL_MAX);
}

/* No job is started without a claim: where no run of a term is unfinished none can be alive. */
#define RECORDS_RUNS "true"

/* Of the election's row: the columns of what is stored. */
#define STORED                                                                                     \
    "generation, number, key, coalesce(system_id, '0'), coalesce(timeline, 0), "                   \
    "coalesce(substring(obj_description((SELECT relnamespace FROM pg_class c "                     \
    "WHERE c.oid = e.tableoid), 'pg_namespace') FROM '^pgbaton schema (\\d{1,9})'), '0')"

/* The locks on the key, of the backend whose pid is written behind it. */
#define LOCKS_OF                                                                                   \
    "FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = '%" PRIu64                \
    "'::oid AND objid = '%" PRIu64 "'::oid AND objsubid = 1 AND database = "                       \
    "(SELECT oid FROM pg_database WHERE datname = current_database()) AND pid = "

/*
 * One statement and so one commit. It changes the row only as it was when our
 * epoch was reckoned from it: where another term came in between, the row has
 * its number, and nothing is written. Whether the key is ours is asked when the
 * row is locked, which others may have delayed: a worker that has given up, or
 * died, meanwhile leaves no term behind. (A count is no EXISTS, which the planner
 * could make a join of and ask first.) Parameters: stored epoch, next epoch, pid
 * of the lock session, system, timeline, hash of the jobs.
 */
static void print_opening(const struct term_sql *s, char ret_sql[TERM_SQL_MAX], size_t *used)
{
    const struct config_election *election = &s->config->election;
    uint64_t key = (uint64_t)election->key;

    print(ret_sql, used,
          "PREPARE open_term (bigint, bigint, bigint, bigint, integer, text, integer, text) AS "
          "WITH me AS MATERIALIZED (SELECT name FROM %s.election WHERE name = %s "
          "AND key = '%" PRId64 "' AND generation = $1 AND number = $2 FOR UPDATE), "
          "ours AS MATERIALIZED (SELECT name FROM me WHERE (SELECT count(*) " LOCKS_OF
          "$5 AND me.name IS NOT NULL) > 0), ",
          s->schema, s->name, election->key, key >> 32, key & UINT32_MAX);
    print(ret_sql, used,
          "mine AS (UPDATE %s.election AS e SET generation = $3, number = $4, "
          "incarnation = '%016" PRIx64 "', instance = %s, system_id = $6, timeline = $7, "
          "jobs_hash = $8 FROM ours WHERE e.name = ours.name RETURNING e.name) ",
          s->schema, s->incarnation, s->instance);
    print(ret_sql, used,
          "INSERT INTO %s.term (election, generation, number, incarnation, instance, backend_pid, "
          "backend_start, system_id, timeline, lease_ms, heartbeat_ms, loss_grace_ms, "
          "records_runs) "
          "SELECT name, $3, $4, '%016" PRIx64 "', %s, $5, "
          "(SELECT backend_start FROM pg_stat_get_activity($5)), $6, $7, %" PRId64 ", %" PRId64
          ", %" PRId64 ", " RECORDS_RUNS " FROM mine; ",
          s->schema, s->incarnation, s->instance, election->lease / DUR_MS(1),
          election->heartbeat / DUR_MS(1), election->loss_grace / DUR_MS(1));
}

/* A clock that was set back since makes it no more than nothing. */
#define MS_SINCE(moment)                                                                           \
    "greatest(0, floor(extract(epoch FROM clock_timestamp() - " moment ") * 1000))::bigint"

/*
 * The window is taken over our own row too: it is what superseded the newest of
 * the others. The index of open runs has the few that are unfinished.
 */
static void print_look(const struct term_sql *s, char ret_sql[TERM_SQL_MAX], size_t *used)
{
    print(ret_sql, used,
          "PREPARE look_at_terms (bigint, bigint) AS "
          "WITH u AS MATERIALIZED (SELECT generation, number FROM %s.run WHERE election = %s "
          "AND outcome IN ('claimed', 'running') AND incarnation <> '%016" PRIx64 "') "
          "SELECT coalesce(system_id, '0'), coalesce(timeline, 0), coalesce(ended_as, ''), "
          "lease_ms, heartbeat_ms, loss_grace_ms, " MS_SINCE(
              "superseded_at") ", "
                               "CASE WHEN records_runs THEN (SELECT count(*) FROM u WHERE "
                               "u.generation = w.generation "
                               "AND u.number = w.number) ELSE 1 END, generation, "
                               "records_runs, " MS_SINCE("started_at") " FROM (",
          s->schema, s->name, s->incarnation);
    print(ret_sql, used,
          "SELECT t.*, lead(started_at) OVER (ORDER BY generation, number) AS superseded_at "
          "FROM (SELECT * FROM %s.term WHERE election = %s AND (generation, number) <= ($1, $2) "
          "ORDER BY generation DESC, number DESC LIMIT %d) t) w "
          "WHERE (generation, number) < ($1, $2) ORDER BY generation DESC, number DESC; ",
          s->schema, s->name, TERM_SQL_LOOKED_MAX + 1);
}

void term_sql_prepare(const struct term_sql *s, char ret_sql[TERM_SQL_MAX])
{
    size_t used = 0;

    /* An attempt that failed may have left one of them: they are not undone with a transaction. */
    print(ret_sql, &used, "DEALLOCATE ALL; SET plan_cache_mode = force_generic_plan; ");
    print_opening(s, ret_sql, &used);
    print_look(s, ret_sql, &used);
    /* For an epoch that cannot be: all is planned and warm, no row is locked or written. */
    print(ret_sql, &used,
          "EXECUTE open_term (-1, -1, 0, 0, 0, '', 0, ''); EXECUTE look_at_terms (-1, -1); "
          "SELECT " STORED " FROM %s.election e WHERE name = %s",
          s->schema, s->name);
}

void term_sql_read(const struct term_sql *s, int lock_pid, char ret_sql[TERM_SQL_MAX])
{
    uint64_t key = (uint64_t)s->config->election.key;
    size_t used = 0;

    print(ret_sql, &used,
          "INSERT INTO %s.election (name, key) VALUES (%s, '%" PRId64 "') "
          "ON CONFLICT (name) DO NOTHING; "
          "SELECT " STORED ", (SELECT count(*) " LOCKS_OF "%d) FROM %s.election e WHERE name = %s",
          s->schema, s->name, s->config->election.key, key >> 32, key & UINT32_MAX, lock_pid,
          s->schema, s->name);
}

void term_sql_open(struct epoch stored, struct epoch next, int lock_pid,
                   struct server_identity server, uint64_t jobs_hash, char ret_sql[TERM_SQL_MAX])
{
    size_t used = 0;

    print(ret_sql, &used,
          "EXECUTE open_term (%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %d, '%" PRIu64
          "', %" PRIu32 ", '%016" PRIx64 "')",
          stored.generation, stored.number, next.generation, next.number, lock_pid,
          server.system_id, server.timeline, jobs_hash);
}

void term_sql_look(struct epoch epoch, char ret_sql[TERM_SQL_MAX])
{
    size_t used = 0;

    print(ret_sql, &used, "EXECUTE look_at_terms (%" PRIu64 ", %" PRIu64 ")", epoch.generation,
          epoch.number);
}

void term_sql_mark(const struct term_sql *s, struct epoch epoch, char ret_sql[TERM_SQL_MAX])
{
    size_t used = 0;

    print(ret_sql, &used,
          "UPDATE %s.term SET ended_at = clock_timestamp(), ended_as = 'lost', "
          "end_reason = 'superseded' WHERE election = %s AND ended_at IS NULL "
          "AND (generation, number) < (%" PRIu64 ", %" PRIu64 ")",
          s->schema, s->name, epoch.generation, epoch.number);
}

void term_sql_jobs(const struct term_sql *s, struct epoch epoch, uint64_t jobs_hash,
                   char ret_sql[TERM_SQL_MAX])
{
    size_t used = 0;

    print(ret_sql, &used,
          "UPDATE %s.election SET jobs_hash = '%016" PRIx64 "' WHERE name = %s "
          "AND generation = %" PRIu64 " AND number = %" PRIu64 " AND incarnation = '%016" PRIx64
          "'",
          s->schema, jobs_hash, s->name, epoch.generation, epoch.number, s->incarnation);
}
