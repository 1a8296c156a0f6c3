/* The statements of the ledger in SQLite. ?1 is the election's name wherever there is one. */
#include "worker/leader/ledger_sqlite_private.h"

#define OPEN "outcome IN ('queued', 'claimed', 'running', 'retrying')"

/* clang-format off */
static const char *const texts[SQL_COUNT] = {
    [SQL_BEGIN_READING] = "BEGIN",
    /* The one lock that a writer needs is taken now, or not at all. */
    [SQL_BEGIN_WRITING] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",

    [SQL_ELECTION] = "SELECT generation, number, incarnation FROM election WHERE name = ?1",
    [SQL_TERM_IS] =
        "INSERT INTO election (name, generation, number, incarnation, instance)"
        " VALUES (?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT (name) DO UPDATE SET generation = excluded.generation,"
        " number = excluded.number, incarnation = excluded.incarnation,"
        " instance = excluded.instance",

    [SQL_CLAIM_NEW] =
        "INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, origin, generation,"
        " number, incarnation, instance, created_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, 'claimed', ?6, ?7, ?8, ?9, ?10, ?11)"
        " ON CONFLICT DO NOTHING",
    [SQL_CLAIM_PROMOTED] =
        "UPDATE run SET outcome = 'claimed', generation = ?3, number = ?4,"
        " incarnation = ?5, instance = ?6"
        " WHERE election = ?1 AND id = ?2 AND outcome IN ('queued', 'retrying')",
    [SQL_CLAIM_IS_OURS] =
        "SELECT 1 FROM run WHERE election = ?1 AND id = ?2 AND outcome = 'claimed'"
        " AND generation = ?3 AND number = ?4 AND incarnation = ?5"
        " AND (?6 OR (job = ?7 AND scheduled_at = ?8 AND attempt = ?9))",
    [SQL_TICK_WAS] =
        "INSERT INTO job_state (election, job, last_tick, schedule_hash) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (election, job) DO UPDATE"
        " SET last_tick = excluded.last_tick, schedule_hash = excluded.schedule_hash"
        " WHERE last_tick IS NULL OR last_tick < excluded.last_tick",

    [SQL_JOB_STATES] =
        "SELECT job, paused, last_tick, schedule_hash, failures FROM job_state"
        " WHERE election = ?1 ORDER BY job",
    [SQL_OPEN_RUNS] =
        "SELECT id, job, scheduled_at, attempt, outcome, origin, due_at, started_at, generation,"
        " number, incarnation, reason FROM run"
        " WHERE election = ?1 AND " OPEN " ORDER BY scheduled_at, job, attempt",

    /* ?2 to ?12 are the same as of an update. */
    [SQL_INSERT] =
        "INSERT INTO run (election, id, outcome, reason, due_at, started_at, ended_at, code,"
        " result, output_head, output_tail, output_bytes, job, scheduled_at, attempt, last_at,"
        " count, origin, parent, generation, number, incarnation, instance, created_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,"
        " ?19, ?20, ?21, ?22, ?23, ?24)"
        " ON CONFLICT DO NOTHING",
    /* What is not known now stays as it was; the reason is the outcome's, and goes with it. What was
     * started never waits again. */
    [SQL_UPDATE] =
        "UPDATE run SET outcome = ?3, reason = ?4, due_at = coalesce(?5, due_at),"
        " started_at = coalesce(?6, started_at), ended_at = coalesce(?7, ended_at),"
        " code = coalesce(?8, code), result = coalesce(?9, result),"
        " output_head = coalesce(?10, output_head), output_tail = coalesce(?11, output_tail),"
        " output_bytes = coalesce(?12, output_bytes)"
        " WHERE election = ?1 AND id = ?2 AND " OPEN
        " AND NOT (?3 = 'queued' AND started_at IS NOT NULL)",
    [SQL_DELETE] = "DELETE FROM run WHERE election = ?1 AND id = ?2 AND " OPEN,
    [SQL_JOB_IS] =
        "INSERT INTO job_state (election, job, paused, failures, last_tick, schedule_hash)"
        " VALUES (?1, ?2, coalesce(?3, 0), coalesce(?4, 0), ?6, ?7)"
        " ON CONFLICT (election, job) DO UPDATE"
        " SET paused = coalesce(?3, paused), failures = coalesce(?4, failures),"
        " last_tick = CASE WHEN ?5 THEN excluded.last_tick ELSE last_tick END,"
        " schedule_hash = CASE WHEN ?5 THEN excluded.schedule_hash ELSE schedule_hash END",
    [SQL_ANSWER] =
        "UPDATE request SET answered_at = ?3, done = ?4, run_id = ?5, answer = ?6"
        " WHERE election = ?1 AND id = ?2 AND answered_at IS NULL",

    [SQL_REQUESTS] =
        "SELECT id, kind, job, requested_at, requested_by FROM request"
        " WHERE election = ?1 AND answered_at IS NULL"
        " AND kind IN ('trigger', 'cancel', 'pause', 'resume') ORDER BY id LIMIT ?2",

    /* Nothing ends before it was due: the index leads to what may be old enough. */
    [SQL_PRUNE_AGED] =
        "DELETE FROM run WHERE rowid IN (SELECT rowid FROM run"
        " WHERE election = ?1 AND scheduled_at < ?2"
        " AND coalesce(ended_at, last_at, scheduled_at) < ?2 AND NOT " OPEN
        " ORDER BY scheduled_at LIMIT ?3)",
    [SQL_PRUNE_FIRST_BEYOND] =
        "SELECT scheduled_at, attempt FROM run WHERE election = ?1 AND job = ?2"
        " ORDER BY scheduled_at DESC, attempt DESC LIMIT 1 OFFSET ?3",
    [SQL_PRUNE_BEYOND] =
        "DELETE FROM run WHERE rowid IN (SELECT rowid FROM run"
        " WHERE election = ?1 AND job = ?2 AND (scheduled_at, attempt) <= (?3, ?4) AND NOT " OPEN
        " ORDER BY scheduled_at LIMIT ?5)",
    [SQL_PRUNE_REQUESTS] =
        "DELETE FROM request WHERE id IN (SELECT id FROM request"
        " WHERE election = ?1 AND (answered_at < ?2 OR requested_at < ?3) ORDER BY id LIMIT ?4)",
};
/* clang-format on */

struct statement ledger_sqlite_say(struct ledger_sqlite *s, enum ledger_sql which)
{
    struct statement statement = statement_of(s->file.db, &s->kept[which], texts[which]);

    if (sqlite3_bind_parameter_count(statement.handle) > 0) { /* of none: 0 */
        statement_text(&statement, 1, s->ledger.options.config->election.name);
    }
    return statement;
}
