/*
 * A DBA, or an accident, ends or cancels one of our sessions: each of them, at
 * each stage. Never two leaders, and somebody leads (again). DESIGN.md section 4.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(sessions, .timeout = 180);

static struct fleet fleet;
static PGconn *dba;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* The diary's stray process ignores TERM: a stop need not wait for it. */
static const struct instance_settings quick = {.jobs = "grace = 300ms\n"};

#define ROWS(list) (sizeof(list) / sizeof((list)[0]))

typedef void deed(PGconn *conn, int pid);

static void finish(void)
{
    PQfinish(dba);
    fleet_check(&fleet);
}

/* Seen on the socket, or by the witness where that looks first; no lease has to pass for it. */
static void loses_at_once(struct instance *i)
{
    cr_assert(wait_until(instance_term_ended, i, WAIT_LIMIT), "%s", text_tail(i->log));
    cr_expect_eq(instance_logged(i, "lost", "reason=lease_expired"), 0, "%s", text_tail(i->log));
}

struct search {
    int (*find)(void);
    int found;
};

static bool is_found(void *ctx)
{
    struct search *s = ctx;

    s->found = s->find();
    return s->found > 0;
}

/* What was cancelled just before may end its session, and come back with another one. */
static int find_session(int (*find)(void), const char *title)
{
    struct search search = {.find = find};

    cr_assert(wait_until(is_found, &search, WAIT_LIMIT), "%s: there is none", title);
    return search.found;
}

/* ---- followers and the heir ---- */

/* a leads, one waits, one follows, and each has its sessions. */
static bool is_settled(void *ctx)
{
    (void)ctx;
    return backend_count(dba, "pgbaton leader % a") == 1 &&
           backend_count(dba, "pgbaton heir %") == 1 &&
           backend_count(dba, "pgbaton follower %") == 1 &&
           backend_count(dba, "pgbaton ledger %") == 2 && backend_waiting(dba) != 0;
}

static int follower_probe(void)
{
    return backend_of(dba, "pgbaton follower %");
}

static int heir_probe(void)
{
    return backend_of(dba, "pgbaton heir %");
}

static int heir_lock(void)
{
    return backend_waiting(dba);
}

static int heir_ledger(void)
{
    int pid = backend_of(dba, "pgbaton ledger % b");

    return pid != 0 ? pid : backend_of(dba, "pgbaton ledger % c");
}

/* clang-format off */
static const struct {
    const char *title;
    int (*find)(void);
    deed *happens;
    bool ends; /* the session */
} before_the_grant[] = {
    {"the follower's probe is cancelled",  follower_probe, backend_cancel,    false},
    {"the follower's probe is ended",      follower_probe, backend_terminate, true},
    {"the heir's probe is cancelled",      heir_probe,     backend_cancel,    false},
    {"the heir's probe is ended",          heir_probe,     backend_terminate, true},
    {"the heir's lock session is ended",   heir_lock,      backend_terminate, true},
    {"the heir's ledger is cancelled",     heir_ledger,    backend_cancel,    false},
    {"the heir's ledger is ended",         heir_ledger,    backend_terminate, true},
};
/* clang-format on */

Test(sessions, of_followers_and_the_heir_may_end_and_another_waits_while_the_leader_leads_on)
{
    fleet_make(&fleet, 3, &quick);
    fleet_begin(&fleet);
    dba = server_connect(&fleet.pg, "dba");

    for (size_t i = 0; i < ROWS(before_the_grant); i++) {
        cr_assert(wait_until(is_settled, NULL, WAIT_LIMIT), "before '%s':\n%s\n%s",
                  before_the_grant[i].title, text_tail(B->log), text_tail(fleet.member[2].log));
        int pid = find_session(before_the_grant[i].find, before_the_grant[i].title);
        before_the_grant[i].happens(dba, pid);
        if (before_the_grant[i].ends) {
            backend_wait_gone(dba, pid);
        }
    }
    cr_assert(wait_until(is_settled, NULL, WAIT_LIMIT), "%s\n%s", text_tail(B->log),
              text_tail(fleet.member[2].log));
    cr_expect_eq(diary_terms(&fleet.diary), 1, "a led on");

    program_kill_tree(&A->supervisor);
    struct instance *next = instances_wait_leader(B, 2);
    diary_wait(&fleet.diary, next->name, 10);
    finish();
}

struct cancelled {
    int pid;
};

/* A slice may just be over: then there is nothing to cancel, and the next one is. */
static bool is_closed_when_cancelled(void *ctx)
{
    const struct cancelled *c = ctx;

    if (backend_waiting(dba) == c->pid) {
        backend_cancel(dba, c->pid);
    }
    return backend_of(dba, "pgbaton lock % b") != c->pid;
}

/* Whether it was granted in that moment cannot be told. */
Test(sessions, a_slice_that_is_cancelled_closes_the_lock_session)
{
    fleet_make(&fleet, 2, &quick);
    fleet_begin(&fleet);
    dba = server_connect(&fleet.pg, "dba");
    struct cancelled slice = {.pid = backend_wait_waiting(dba)};

    cr_expect(wait_until(is_closed_when_cancelled, &slice, WAIT_LIMIT));

    instance_wait(B, "campaign_failed", "");
    cr_expect_neq(backend_wait_waiting(dba), slice.pid, "it waits again, with another session");
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    instance_stop(A);
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 5);
    finish();
}

/* ---- granted, and the term is not open ---- */

static int granted_lock(void)
{
    return leader_pid(dba);
}

static int granted_ledger(void)
{
    const char *pid =
        server_scalar(dba, "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                           "application_name LIKE 'pgbaton ledger %' LIMIT 1");

    return pid == NULL ? 0 : (int)strtol(pid, NULL, 10);
}

/* clang-format off */
static const struct {
    const char *title;
    int (*find)(void);
    deed *happens;
    const char *event; /* what its instance says; NULL: nothing happens to it */
    const char *text;
} before_the_term[] = {
    {"its lock session is cancelled", granted_lock,   backend_cancel,    NULL,              ""},
    {"its lock session is ended",     granted_lock,   backend_terminate, "campaign_failed", "reason=session_ended"},
    {"its ledger is cancelled",       granted_ledger, backend_cancel,    "term_failed",     "cancel"},
    {"its ledger is ended",           granted_ledger, backend_terminate, "term_failed",     "ledger's connection"},
    {"its probe is ended",            heir_probe,     backend_terminate, "seat_lost",       ""},
};
/* clang-format on */

static bool opening_is_blocked(void *ctx)
{
    (void)ctx;
    return granted_lock() != 0 && granted_ledger() != 0 && heir_probe() != 0;
}

static size_t logged_by_all(const char *event, const char *text)
{
    return instance_logged(A, event, text) + instance_logged(B, event, text);
}

static bool row_is_logged(void *row)
{
    size_t i = *(const size_t *)row;

    if (before_the_term[i].event == NULL ||
        logged_by_all(before_the_term[i].event, before_the_term[i].text) > 0) {
        return true;
    }
    int pid = before_the_term[i].happens == backend_cancel ? before_the_term[i].find() : 0;
    if (pid > 0) { /* between two waits for the row a cancel is for nobody */
        backend_cancel(dba, pid);
    }
    return false;
}

Test(sessions, of_one_whose_term_is_not_open_yet_may_end_and_somebody_leads)
{
    fleet_make(&fleet, 2, &quick);
    fleet_begin(&fleet);
    dba = server_connect(&fleet.pg, "dba");
    PGconn *holder = server_connect(&fleet.pg, "holder");

    for (size_t i = 0; i < ROWS(before_the_term); i++) {
        struct instance *leader = instances_wait_leader(fleet.member, 2);

        (void)backend_wait_waiting(dba);
        election_row_hold(holder); /* as a superuser, whom nobody may end */
        backend_terminate(dba, leader_pid(dba));
        loses_at_once(leader);
        cr_assert(wait_until(opening_is_blocked, NULL, WAIT_LIMIT), "before '%s'",
                  before_the_term[i].title);
        instance_mark(A);
        instance_mark(B);
        before_the_term[i].happens(dba,
                                   find_session(before_the_term[i].find, before_the_term[i].title));
        cr_expect(wait_until(row_is_logged, &i, WAIT_LIMIT), "%s:\n%s\n%s",
                  before_the_term[i].title, text_tail(A->log), text_tail(B->log));
        cr_expect_eq(logged_by_all("elected", ""), 0, "%s", before_the_term[i].title);
        server_do(holder, "ROLLBACK");
        leader = instances_wait_leader(fleet.member, 2);
        diary_wait(&fleet.diary, leader->name, diary_lines(&fleet.diary, leader->name));
        instance_mark(A);
        instance_mark(B);
    }
    PQfinish(holder);
    finish();
}

/* ---- the term is open ---- */

static int leader_probe(void)
{
    return backend_of(dba, "pgbaton leader %");
}

static int leader_ledger(void)
{
    char like[64];
    const char *name =
        server_scalar(dba, "SELECT split_part(application_name, ' ', 5) FROM pg_stat_activity "
                           "WHERE application_name LIKE 'pgbaton leader %'");

    if (name == NULL) {
        return 0;
    }
    char *text = text_format("pgbaton ledger %% %s", name);
    (void)snprintf(like, sizeof like, "%s", text);
    free(text);
    return backend_of(dba, like);
}

/* clang-format off */
static const struct {
    const char *title;
    int (*find)(void);
    deed *happens;
    bool ends;
} of_a_leader[] = {
    {"its lock session is cancelled", granted_lock,  backend_cancel,    false},
    {"its ledger is cancelled",       leader_ledger, backend_cancel,    false},
    {"its ledger is ended",           leader_ledger, backend_terminate, true},
    {"its witness is cancelled",      leader_probe,  backend_cancel,    false},
    {"its witness is ended",          leader_probe,  backend_terminate, true},
};
/* clang-format on */

static bool leader_is_whole(void *ctx)
{
    (void)ctx;
    return leader_probe() != 0 && leader_ledger() != 0;
}

/* Only the lock session is the term: with all others it goes on. */
static void nothing_else_ends_the_term(struct instance *leader)
{
    int lock = leader_pid(dba);

    for (size_t i = 0; i < ROWS(of_a_leader); i++) {
        cr_assert(wait_until(leader_is_whole, NULL, WAIT_LIMIT), "before '%s':\n%s",
                  of_a_leader[i].title, text_tail(leader->log));
        int pid = find_session(of_a_leader[i].find, of_a_leader[i].title);
        of_a_leader[i].happens(dba, pid);
        if (of_a_leader[i].ends) {
            backend_wait_gone(dba, pid);
        }
    }
    cr_assert(wait_until(leader_is_whole, NULL, WAIT_LIMIT), "%s", text_tail(leader->log));
    cr_expect_eq(leader_pid(dba), lock, "it holds the key with the same session");
    cr_expect(instance_leads(leader), "%s", text_tail(leader->log));
}

Test(sessions, beside_the_lock_session_may_end_and_the_leader_leads_on)
{
    fleet_make(&fleet, 2, &quick);
    fleet_begin(&fleet);
    dba = server_connect(&fleet.pg, "dba");

    nothing_else_ends_the_term(A);

    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    /* And the new ledger can write the end of the term. */
    instance_stop(A);
    instance_wait(B, "elected", "reason=clean");
    finish();
}

/* Longer than all that is done in it. */
static const struct instance_settings long_wait = {
    .election = ELECTION_CALM "takeover_delay = 30s\n",
};

Test(sessions, of_a_leader_whose_jobs_wait_may_end_too)
{
    fleet_make(&fleet, 2, &long_wait);
    fleet_begin(&fleet);
    dba = server_connect(&fleet.pg, "dba");
    (void)backend_wait_waiting(dba);

    backend_terminate(dba, leader_pid(dba));
    loses_at_once(A);
    instance_wait(B, "takeover_wait", "");
    nothing_else_ends_the_term(B);
    (void)backend_wait_waiting(dba);
    instance_mark(A);
    backend_terminate(dba, leader_pid(dba));

    loses_at_once(B);
    instance_wait(A, "elected", "reason=clean"); /* the runs of the term before were its own */
    cr_expect_eq(diary_lines(&fleet.diary, "b"), 0, "its jobs waited");
    finish();
}

/* Once it has the time that it was promised, it says so. */
static const char slow_to_stop[] = "trap 'sleep 2; echo done >>\"$1\"; exit 0' TERM\n"
                                   "echo begun >>\"$1\"\n"
                                   "while :; do sleep 0.1; done\n";

static bool says(const char *file, const char *word)
{
    char *text = text_read(file);
    bool said = strstr(text, word) != NULL;

    free(text);
    return said;
}

static bool has_begun(void *file)
{
    return says(file, "begun");
}

static bool is_done(void *file)
{
    return says(file, "done");
}

/* The next term is announced at once, and so the old leader's witness denies its term while its
 * jobs are ending: no reason to call its worker hung. */
Test(sessions, the_jobs_of_a_lost_term_have_their_loss_grace_though_the_next_one_is_open)
{
    fleet_make(&fleet, 2, NULL);
    char *script = text_format("%s/slow.sh", fleet.dir.path);
    char *file = text_format("%s/slow", fleet.dir.path);
    char *job = text_format("[job slow]\nschedule = always\nexec = /bin/sh %s %s\n", script, file);
    struct instance_settings settings = {
        .election = ELECTION_CALM "loss_grace = 8s\ntakeover_delay = 15s\n", .job = job};
    text_write(script, slow_to_stop);
    settings = fleet_settings(&fleet, &settings);
    instance_configure(A, &settings);
    instance_configure(B, &settings);
    dba = server_connect(&fleet.pg, "dba");
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    cr_assert(wait_until(has_begun, file, WAIT_LIMIT));
    instance_start(B, NULL);
    (void)backend_wait_waiting(dba);

    backend_terminate(dba, leader_pid(dba));

    instance_wait(B, "takeover_wait", "");
    cr_expect(wait_until(is_done, file, WAIT_LIMIT), "%s", text_tail(A->log));
    instance_wait(A, "lost", "reason=session_ended");
    free(job);
    free(file);
    free(script);
    finish();
}
