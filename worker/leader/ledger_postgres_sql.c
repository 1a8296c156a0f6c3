/*
 * The statements of the ledger. Election and incarnation are written into them;
 * the epoch is $1 of each (generation and number), since they are prepared while
 * the heir waits, when it is not known yet.
 *
 * `me` is the election's row, taken FOR SHARE where the term is still ours: the
 * opening of the next term updates that row, and so waits for us or refuses us.
 *
 * Each row is found by its key. While we lead they are planned each time: a plan that was made
 * while the tables were empty, as on the first day, takes a table for so small
 * that it looks at every row of the election for each id, and is kept until the
 * server happens to look at the table anew. And the planner is told to use
 * nothing but the indexes, whatever it has heard of the tables. Nor does it know
 * which election it is about until it has our list: so it cannot begin with all
 * rows of the election, and look for each of them in the list.
 */
#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/database/schema.h"
#include "worker/leader/ledger_postgres_private.h"

enum { SCHEMA_MAX = 160 };
/* How long an answer waits for whoever asked, and a request for a leader. */
#define ANSWERS_KEPT "interval '1 day'"
#define REQUESTS_KEPT "interval '7 days'"

/* What stands for $S, $E, $I, $L: schema, election, incarnation, label. */
struct gaps {
    char schema[SCHEMA_MAX];
    char *election;
    char incarnation[24];
    char *instance;
    char skew[24]; /* $K: max_clock_skew in microseconds */
    char keep[24]; /* $H: history in microseconds */
    char runs[24]; /* $M: history_runs */
    char rows[8];  /* $P: LEDGER_PRUNE_MAX */
};

/* clang-format off */
#define MICROS(moment) "(extract(epoch FROM " moment ") * 1000000)::bigint"
#define MOMENT(micros) "(timestamptz 'epoch' + " micros " * interval '1 microsecond')"
#define OPEN "('queued', 'claimed', 'running', 'retrying')"
/* Of a row that is found by its id. As it is spelled, the planner cannot take it for the condition of
 * the index of open runs: in that one it would look at every open run for each id. */
#define OUTCOME_OF_ONE "coalesce(r.outcome, '')"

#define ME \
    "me AS MATERIALIZED (SELECT name FROM $S.election WHERE name = $E AND generation = ($1)[1] " \
    "AND number = ($1)[2] AND incarnation = $I FOR SHARE)"
/* The clock is looked at when the row is ours, however long that took. */
#define NOW "now AS MATERIALIZED (SELECT name, " MICROS("clock_timestamp()") " AS at FROM me)"

static const char load_sql[] =
    "PREPARE ledger_load (bigint[]) AS "
    "SELECT (SELECT count(*) FROM $S.election WHERE name = $E AND generation = ($1)[1] "
        "AND number = ($1)[2] AND incarnation = $I) AS me, "
        "0 AS kind, '' AS id, '' AS job, " MICROS("clock_timestamp()") " AS at, 0 AS attempt, "
        "'' AS outcome, '' AS origin, NULL::bigint AS due, NULL::bigint AS started, "
        "0::bigint AS generation, 0::bigint AS number, false AS flag, '' AS text, 0 AS failures "
    "UNION ALL SELECT 1, 1, '', job, " MICROS("last_tick") ", 0, '', '', NULL, NULL, 0, 0, paused, "
        "coalesce(schedule_hash, ''), failures FROM $S.job_state WHERE election = $E "
    "UNION ALL SELECT 1, 2, id, job, " MICROS("scheduled_at") ", attempt, outcome, origin, "
        MICROS("due_at") ", " MICROS("started_at") ", coalesce(generation, 0), "
        "coalesce(number, 0), coalesce(incarnation = $I, false), coalesce(reason, ''), 0 "
        "FROM $S.run WHERE election = $E AND outcome IN " OPEN " "
    "ORDER BY kind, at, job, attempt; ";

/*
 * New rows: $2 to $6. Rows that become claimed: $7, $8. Jobs whose last tick is
 * later now: $9 to $11; that goes on over ticks that others have taken, but not
 * over what is ahead of the clock.
 */
static const char claim_sql[] =
    "PREPARE ledger_claim (bigint[], text[], text[], bigint[], integer[], text[], text[], bigint[], text[], "
        "bigint[], text[]) AS "
    "WITH " ME ", " NOW ", "
    "fresh AS (INSERT INTO $S.run (election, id, job, scheduled_at, attempt, outcome, origin, "
        "generation, number, incarnation, instance) "
        "SELECT $E, c.id, c.job, " MOMENT("c.at") ", c.attempt, 'claimed', c.origin, ($1)[1], ($1)[2], $I, $L "
        "FROM now, unnest($2, $3, $4, $5, $6) AS c (id, job, at, attempt, origin) "
        "WHERE c.at <= now.at + $K ON CONFLICT DO NOTHING RETURNING id), "
    "promoted AS (UPDATE $S.run r SET outcome = 'claimed', generation = ($1)[1], number = ($1)[2], "
        "incarnation = $I, instance = $L FROM now, unnest($7, $8) AS c (id, at) "
        "WHERE r.election = now.name AND r.id = c.id AND " OUTCOME_OF_ONE " IN ('queued', 'retrying') "
        "AND c.at <= now.at + $K RETURNING r.id), "
    "advanced AS (INSERT INTO $S.job_state AS s (election, job, last_tick, schedule_hash) "
        "SELECT DISTINCT ON (c.job) $E, c.job, " MOMENT("c.at") ", c.hash "
        "FROM now, unnest($9, $10, $11) AS c (job, at, hash) WHERE c.at <= now.at + $K "
        "ORDER BY c.job, c.at DESC "
        "ON CONFLICT (election, job) DO UPDATE "
        "SET last_tick = excluded.last_tick, schedule_hash = excluded.schedule_hash "
        "WHERE s.last_tick IS NULL OR s.last_tick < excluded.last_tick) "
    "SELECT (SELECT count(*) FROM me), (SELECT at FROM now), g.id FROM (SELECT 1) AS one "
        "LEFT JOIN (SELECT id FROM fresh UNION ALL SELECT id FROM promoted) AS g ON true; ";

/* A statement of its own, so that it sees what an earlier attempt, whose answer was lost, has
 * committed while the claim waited for it. */
static const char claimed_sql[] =
    "PREPARE ledger_claimed (bigint[], text[]) AS "
    "WITH c AS MATERIALIZED (SELECT $E::text AS name, id FROM unnest($2) AS c (id)) "
    "SELECT r.id FROM c JOIN $S.run r ON r.election = c.name AND r.id = c.id "
        "WHERE " OUTCOME_OF_ONE " = 'claimed' AND r.generation = ($1)[1] AND r.number = ($1)[2] "
        "AND r.incarnation = $I; ";

/*
 * Changes: $2 to $20, of which the kind says what becomes of them. Jobs: $21 to
 * $28; those that are there are updated, the others inserted. Answers: $29 to
 * $32. What is not known (null) of a run stays as it was, but its reason is
 * always the one for what it has become. One that was started never waits again:
 * who says so does not know it yet, and the run would be started twice.
 */
static const char write_sql[] =
    "PREPARE ledger_write (bigint[], "
        "text[], text[], text[], text[], text[], bigint[], bigint[], bigint[], integer[], text[], "
        "text[], bigint[], bigint[], bigint[], integer[], text[], bytea[], bytea[], bigint[], "
        "text[], boolean[], bigint[], text[], boolean[], boolean[], boolean[], integer[], "
        "bigint[], boolean[], text[], text[]) AS "
    "WITH " ME ", "
    "c AS MATERIALIZED (SELECT me.name, c.* FROM me, unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
        "$13, $14, $15, $16, $17, $18, $19, $20) AS c (kind, id, outcome, reason, job, at, last_at, "
        "count, attempt, origin, parent, due, started, ended, code, result, head, tail, bytes)), "
    "inserted AS (INSERT INTO $S.run (election, id, job, scheduled_at, attempt, last_at, count, "
        "outcome, reason, origin, parent, generation, number, incarnation, instance, due_at, "
        "started_at, ended_at, code, result, output_head, output_tail, output_bytes) "
        "SELECT $E, id, job, " MOMENT("at") ", attempt, " MOMENT("last_at") ", count, outcome, "
        "reason, origin, parent, ($1)[1], ($1)[2], $I, $L, " MOMENT("due") ", " MOMENT("started") ", "
        MOMENT("ended") ", code, result, head, tail, bytes FROM c WHERE kind = 'i' "
        "ON CONFLICT DO NOTHING), "
    "updated AS (UPDATE $S.run r SET outcome = c.outcome, reason = c.reason, "
        "due_at = coalesce(" MOMENT("c.due") ", r.due_at), "
        "started_at = coalesce(" MOMENT("c.started") ", r.started_at), "
        "ended_at = coalesce(" MOMENT("c.ended") ", r.ended_at), "
        "code = coalesce(c.code, r.code), result = coalesce(c.result, r.result), "
        "output_head = coalesce(c.head, r.output_head), "
        "output_tail = coalesce(c.tail, r.output_tail), "
        "output_bytes = coalesce(c.bytes, r.output_bytes) "
        "FROM c WHERE c.kind = 'u' AND r.election = c.name AND r.id = c.id "
        "AND " OUTCOME_OF_ONE " IN " OPEN " "
        "AND NOT (c.outcome = 'queued' AND r.started_at IS NOT NULL)), "
    "deleted AS (DELETE FROM $S.run r USING c WHERE c.kind = 'd' AND r.election = c.name "
        "AND r.id = c.id AND " OUTCOME_OF_ONE " IN " OPEN "), "
    "j AS MATERIALIZED (SELECT me.name, j.* FROM me, unnest($21, $22, $23, $24, $25, $26, $27, $28) "
        "AS j (job, sets_tick, tick, hash, sets_paused, paused, sets_failures, failures)), "
    "kept AS (UPDATE $S.job_state s SET "
        "last_tick = CASE WHEN j.sets_tick THEN " MOMENT("j.tick") " "
            "ELSE greatest(s.last_tick, " MOMENT("j.tick") ") END, "
        "schedule_hash = coalesce(j.hash, s.schedule_hash), "
        "paused = CASE WHEN j.sets_paused THEN j.paused ELSE s.paused END, "
        "failures = CASE WHEN j.sets_failures THEN j.failures ELSE s.failures END "
        "FROM j WHERE s.election = j.name AND s.job = j.job), "
    "begun AS (INSERT INTO $S.job_state (election, job, last_tick, schedule_hash, paused, failures) "
        "SELECT $E, job, " MOMENT("tick") ", hash, paused, failures FROM j ON CONFLICT DO NOTHING), "
    "answered AS (UPDATE $S.request q SET answered_at = clock_timestamp(), done = a.done, "
        "run_id = a.run_id, answer = a.answer "
        "FROM me, unnest($29, $30, $31, $32) AS a (id, done, run_id, answer) "
        "WHERE q.id = a.id AND q.election = $E AND q.answered_at IS NULL) "
    "SELECT count(*) FROM me; ";

static const char requests_sql[] =
    "PREPARE ledger_requests AS "
    "SELECT id, kind, job, coalesce(requested_by, ''), " MICROS("requested_at") " "
        "FROM $S.request WHERE election = $E AND answered_at IS NULL "
        "AND kind IN ('trigger', 'cancel', 'pause', 'resume') ORDER BY id LIMIT 1000; ";

/* $2: the job. Its oldest rows first; what is open stays, however old. */
static const char prune_sql[] =
    "PREPARE ledger_prune (bigint[], text[]) AS "
    "WITH " ME ", "
    "beyond AS MATERIALIZED (SELECT scheduled_at, attempt FROM $S.run WHERE election = $E "
        "AND job = ($2)[1] ORDER BY scheduled_at DESC, attempt DESC OFFSET $M LIMIT 1), "
    "surplus AS MATERIALIZED (SELECT r.id FROM $S.run r WHERE r.election = $E "
        "AND r.job = ($2)[1] AND r.scheduled_at <= (SELECT scheduled_at FROM beyond) "
        "AND (r.scheduled_at < (SELECT scheduled_at FROM beyond) "
            "OR r.attempt <= (SELECT attempt FROM beyond)) "
        "AND r.outcome NOT IN " OPEN " ORDER BY r.scheduled_at, r.attempt LIMIT $P), "
    "gone AS (DELETE FROM $S.run r USING surplus, me WHERE r.election = me.name "
        "AND r.id = surplus.id RETURNING 1) "
    "SELECT (SELECT count(*) FROM me), (SELECT count(*) FROM gone); ";

/* Of all jobs, those that nobody has in a configuration any more too. */
static const char prune_aged_sql[] =
    "PREPARE ledger_prune_aged (bigint[]) AS "
    "WITH " ME ", "
    "limits AS MATERIALIZED (SELECT clock_timestamp() - $H * interval '1 microsecond' AS at FROM me), "
    "aged AS MATERIALIZED (SELECT r.id FROM $S.run r WHERE r.election = $E "
        "AND r.scheduled_at < (SELECT at FROM limits) AND r.outcome NOT IN " OPEN " "
        "AND coalesce(r.ended_at, r.last_at, r.scheduled_at) < (SELECT at FROM limits) "
        "ORDER BY r.scheduled_at LIMIT $P), "
    "gone AS (DELETE FROM $S.run r USING aged, me WHERE r.election = me.name AND r.id = aged.id "
        "RETURNING 1), "
    "asked AS (DELETE FROM $S.request q USING me WHERE q.election = $E "
        "AND (q.answered_at < clock_timestamp() - " ANSWERS_KEPT " "
        "OR q.requested_at < clock_timestamp() - " REQUESTS_KEPT ")) "
    "SELECT (SELECT count(*) FROM me), (SELECT count(*) FROM gone); ";

/* The settings are for the session; the opening of a term has its plan by then. */
static const char settings_sql[] =
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; "
    "SET enable_mergejoin = off; ";
/* In a term: what others have prepared in this session is over, the term is open and was looked at. */
static const char in_term_sql[] = "DEALLOCATE ALL; SET plan_cache_mode = force_custom_plan; ";
/* Before it: for an epoch that cannot be. Nothing is claimed, written or deleted, but the caches are
 * warm. The opening is still to be made by the plan that it has. */
static const char warm_up_sql[] =
    "SET plan_cache_mode = force_custom_plan; "
    "EXECUTE ledger_load ('{-1, -1}'); "
    "EXECUTE ledger_claim ('{-1, -1}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'); "
    "EXECUTE ledger_claimed ('{-1, -1}', '{}'); "
    "EXECUTE ledger_write ('{-1, -1}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', "
        "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', "
        "'{}', '{}', '{}', '{}', '{}', '{}'); "
    "EXECUTE ledger_requests; "
    "SET plan_cache_mode = force_generic_plan";
/* clang-format on */

static const char *value_of(const struct gaps *gaps, char letter)
{
    switch (letter) {
    case 'S':
        return gaps->schema;
    case 'E':
        return gaps->election;
    case 'I':
        return gaps->incarnation;
    case 'L':
        return gaps->instance;
    case 'K':
        return gaps->skew;
    case 'H':
        return gaps->keep;
    case 'M':
        return gaps->runs;
    case 'P':
        return gaps->rows;
    default:
        return NULL;
    }
}

static void fill_in(FILE *to, const char *sql, const struct gaps *gaps)
{
    for (const char *c = sql; *c != '\0'; c++) {
        const char *value = *c == '$' ? value_of(gaps, c[1]) : NULL;

        if (value != NULL) {
            (void)fputs(value, to);
            c++;
        } else {
            (void)fputc(*c, to);
        }
    }
}

static char *write_all(const struct gaps *gaps, bool in_term)
{
    const char *const parts[] = {
        in_term ? in_term_sql : "",
        settings_sql,
        load_sql,
        claim_sql,
        claimed_sql,
        write_sql,
        requests_sql,
        prune_sql,
        prune_aged_sql,
        in_term ? "" : warm_up_sql,
    };
    char *sql = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&sql, &size);

    if (to == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        fill_in(to, parts[i], gaps);
    }
    if (fclose(to) != 0) {
        free(sql);
        return NULL;
    }
    return sql;
}

/* Where a limit is 0 there is none: as good as for ever. */
static void write_limits(struct gaps *gaps, const struct ledger_limits *limits)
{
    dur_ns keep = limits->history > 0 ? limits->history : INT64_MAX;
    int count = limits->history_runs > 0 ? limits->history_runs : INT_MAX;

    (void)snprintf(gaps->keep, sizeof(gaps->keep), "%" PRId64, keep / LEDGER_RESOLUTION);
    (void)snprintf(gaps->runs, sizeof(gaps->runs), "%d", count);
    (void)snprintf(gaps->rows, sizeof(gaps->rows), "%d", (int)LEDGER_PRUNE_MAX);
}

char *ledger_postgres_prepare_sql(const struct ledger_postgres *p, PGconn *connection)
{
    const struct config *cfg = p->ledger.options.config;
    const char *election = cfg->election.name;
    const char *instance = cfg->pgbaton.instance;
    struct gaps gaps = {
        .election = PQescapeLiteral(connection, election, strlen(election)),
        .instance = PQescapeLiteral(connection, instance, strlen(instance)),
    };
    char *sql = NULL;

    (void)snprintf(gaps.incarnation, sizeof(gaps.incarnation), "'%016" PRIx64 "'",
                   p->ledger.options.incarnation);
    (void)snprintf(gaps.skew, sizeof(gaps.skew), "%" PRId64,
                   p->ledger.limits.max_clock_skew / LEDGER_RESOLUTION);
    write_limits(&gaps, &p->ledger.limits);
    if (gaps.election != NULL && gaps.instance != NULL &&
        schema_quote(cfg, gaps.schema, sizeof(gaps.schema)) == 0) {
        sql = write_all(&gaps, p->begun);
    }
    PQfreemem(gaps.election);
    PQfreemem(gaps.instance);
    return sql;
}

void ledger_postgres_simple_sql(const struct ledger_postgres *p,
                                char ret_sql[LEDGER_SIMPLE_SQL_MAX])
{
    const struct epoch epoch = p->ledger.epoch;

    if (p->matter == MATTER_REQUESTS) {
        (void)snprintf(ret_sql, LEDGER_SIMPLE_SQL_MAX, "EXECUTE ledger_requests");
        return;
    }
    assert(p->matter == MATTER_LOAD);
    (void)snprintf(ret_sql, LEDGER_SIMPLE_SQL_MAX,
                   "SET plan_cache_mode = force_custom_plan; "
                   "EXECUTE ledger_load ('{%" PRIu64 ", %" PRIu64 "}')",
                   epoch.generation, epoch.number);
}

const char *ledger_postgres_statement(enum ledger_matter matter)
{
    static const char *const names[MATTER_COUNT] = {
        [MATTER_CLAIM] = "ledger_claim",           [MATTER_CLAIMED] = "ledger_claimed",
        [MATTER_WRITE] = "ledger_write",           [MATTER_PRUNE] = "ledger_prune",
        [MATTER_PRUNE_AGED] = "ledger_prune_aged",
    };

    assert(names[matter] != NULL);
    return names[matter];
}
