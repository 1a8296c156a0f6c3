#include "supervisor/reload.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/config_private.h"
#include "common/control.h"
#include "common/log.h"
#include "supervisor/consent.h"
#include "supervisor/deeds.h"
#include "supervisor/logfile.h"
#include "supervisor/orders.h"

/* A probe that is not wanted any more holds nothing that matters. */
#define PROBE_END_WITHIN DUR_S(2)

static void answer(struct supervisor *s, int code, const char *text)
{
    struct reload *r = &s->reload;

    for (unsigned i = 0; i < r->answered_now; i++) {
        orders_reply(s, r->requests[i], code, text);
    }
    r->request_count -= r->answered_now;
    memmove(&r->requests[0], &r->requests[r->answered_now],
            r->request_count * sizeof(r->requests[0]));
    r->answered_now = 0;
}

static void refuse(struct supervisor *s, int code, const char *text)
{
    s->reload.failed++;
    log_error("config_refused", "reason=%s", log_text(text).is);
    answer(s, code, text);
}

static const char stays[] = "the old configuration stays in force";

void reload_refusal(const struct config_problems *problems, char *text, size_t size)
{
    enum { MORE_MAX = 64 };
    size_t used = (size_t)snprintf(text, size, "%s", stays);
    size_t left = problems->errors;

    assert(size > sizeof(stays) + MORE_MAX);
    for (size_t i = 0; i < problems->count && left > 0; i++) {
        const struct config_problem *problem = &problems->list[i];
        size_t length = strlen(problem->text) + 1;

        if (problem->warning) {
            continue;
        }
        if (used + length + MORE_MAX >= size) {
            break;
        }
        used += (size_t)snprintf(text + used, size - used, "\n%s", problem->text);
        left--;
    }
    if (left > 0) {
        (void)snprintf(text + used, size - used, "\nand %zu more; `pgbaton check` shows all", left);
    }
}

/* Each problem is a line of the log; the reply has all that fit. */
static void refuse_problems(struct supervisor *s, const struct config_problems *problems)
{
    char text[sizeof(((struct message_reply *)0)->text)];

    for (size_t i = 0; i < problems->count; i++) {
        if (!problems->list[i].warning) {
            log_error("config_problem", "problem=%s", log_text(problems->list[i].text).is);
        }
    }
    reload_refusal(problems, text, sizeof(text));
    s->reload.failed++;
    log_error("config_refused", "reason=\"%s\"", stays);
    answer(s, EXIT_CODE_CONFIG, text);
}

static void log_warnings(const struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        if (problems->list[i].warning) {
            log_warn("config_warning", "problem=%s", log_text(problems->list[i].text).is);
        }
    }
}

int reload_adopt(struct supervisor *s, struct config *next)
{
    int with = config_seal(next, true);
    int without = config_seal(next, false);

    if (with < 0 || without < 0) {
        int rc = with < 0 ? with : without;
        if (with >= 0) {
            (void)close(with);
        }
        if (without >= 0) {
            (void)close(without);
        }
        return rc;
    }
    if (s->config_fd != -1) {
        (void)close(s->config_fd);
        (void)close(s->config_stripped_fd);
    }
    s->config_fd = with;
    s->config_stripped_fd = without;
    s->config = next;
    s->reload.loaded_at = clock_wall();
    s->term_failure = (struct board_failure){.at = 0}; /* it may have been mended by that */
    log_threshold(next->pgbaton.log_level);
    if (!deeds_terms(next).has_probe) {
        log_warn("no_election", "reason=%s effect=%s",
                 next->election.enabled ? "\"dsn = none\"" : "\"[election] enabled = no\"",
                 "\"every instance with this configuration runs the jobs\"");
    }
    if (config_is_anonymous(next)) {
        log_warn("election_unnamed",
                 "effect=\"every service in this database that leaves [election] name and key out "
                 "shares one leader\"");
    }
    return 0;
}

void reload_children_wanted(struct supervisor *s)
{
    mono_ns now = clock_now();

    s->children[SLOT_WORKER].wanted = true;
    s->children[SLOT_MONITOR].wanted = true;
    s->children[SLOT_PROBE].wanted = deeds_terms(s->config).has_probe;
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        struct child_row *row = &s->children[slot];

        if (row->wanted && row->state == CHILD_DOWN) {
            if (row->deadline == MONO_NEVER) { /* new, or it waited for this reload */
                restart_init(&row->restart);
                row->deadline = now;
            }
        } else if (!row->wanted && row->slot == SLOT_PROBE && row->state != CHILD_DOWN) {
            deeds_send(s, row->slot, MESSAGE_STOP, NULL, -1);
            child_end(row, now + PROBE_END_WITHIN);
        }
    }
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

struct changes {
    unsigned count;
};

/* So many tell the story; a file that was written anew would bury the log under its jobs. */
enum { CHANGES_LOGGED = 50 };

static void log_change(void *ctx, const char *text)
{
    struct changes *changes = ctx;

    if (changes->count++ < CHANGES_LOGGED) {
        log_info("config_changed", "change=%s", log_text(text).is);
    }
}

static void log_changes(const struct config *old, const struct config *next)
{
    struct changes changes = {0};

    config_changes(old, next, log_change, &changes);
    if (changes.count > CHANGES_LOGGED) {
        log_info("config_changed", "more=%u", changes.count - CHANGES_LOGGED);
    }
}

/* What the probe says of the election before is not believed; the epochs that were seen are
 * remembered for as long as it is the same one, also where its database moved. */
static void note_election(struct supervisor *s, const struct config *old, const struct config *next)
{
    char reason[REASON_MAX];

    if (config_diff(old, next, true, reason, sizeof(reason)) >= CHANGE_ELECTION) {
        s->reload.elections++;
    }
    if (!config_is_same_election(old, next)) {
        s->seen = (struct epoch){0};
    }
}

static int take_log(struct reload *r)
{
    int fd = r->log_fd;

    r->log_fd = -1;
    return fd;
}

/* Before anything is given up: a log that cannot be written is a bad configuration. False: next is
 * refused. */
static bool open_log(struct supervisor *s, const struct config *next)
{
    const char *path = next->pgbaton.log_file;
    struct config_problems problems = {0};

    if (is_same_text(s->config->pgbaton.log_file, path)) {
        return true;
    }
    int fd = logfile_prepare(path);
    if (fd >= 0) {
        s->reload.log_fd = fd;
        return true;
    }
    config_problem_add(&problems, false,
                       config_setting_of(next, SECTION_PGBATON, "log_file")->origin, "pgbaton",
                       "log_file", "'%.200s' cannot be opened: %s", path, logfile_error(fd));
    refuse_problems(s, &problems);
    config_problems_release(&problems);
    return false;
}

/* The configuration is taken by everybody. Takes next over. */
static void put_in_force(struct supervisor *s, struct config *next)
{
    char text[128];
    struct config *old = s->config;
    int log_fd = take_log(&s->reload);
    int rc = reload_adopt(s, next);

    if (rc < 0) {
        logfile_forget(log_fd);
        config_free(next);
        (void)snprintf(text, sizeof(text),
                       "cannot hand the configuration out: %s; the old one stays in force",
                       strerror(-rc));
        refuse(s, EXIT_CODE_FAILED, text);
        return;
    }
    s->reload.done++;
    log_changes(old, next);
    note_election(s, old, next);
    config_free(old);
    if (log_fd != -1) {
        logfile_adopt(s, log_fd);
    }
    struct election_terms terms = deeds_terms(s->config);
    election_configure(&s->election, &terms);
    shutdown_configure(&s->shutdown, s->config->pgbaton.stop_timeout);
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        if (s->children[slot].state == CHILD_READY) { /* the others get it when they say HELLO */
            deeds_send_config(s, (enum child_slot)slot);
        }
    }
    reload_children_wanted(s);
}

static void log_reloaded(struct supervisor *s, const char *how)
{
    log_info("config_reloaded", "hash=%016llx jobs=%zu reload=%u change=%s",
             (unsigned long long)s->config->hash, s->config->job_count, s->reload.done, how);
}

static void run(struct supervisor *s);

/* One that was asked for meanwhile comes now. */
static void run_again(struct supervisor *s)
{
    if (s->reload.again) {
        s->reload.again = false;
        run(s);
    }
}

void reload_carry_on(struct supervisor *s)
{
    struct reload *r = &s->reload;
    struct config *next = r->next;
    uint32_t done_before = r->done;

    r->under_way = false;
    r->next = NULL;
    if (next != NULL) {
        put_in_force(s, next);
        if (r->done != done_before) {
            log_reloaded(s, "election");
            answer(s, EXIT_CODE_DONE,
                   r->led ? "reloaded: leadership was given up, the election starts anew"
                          : "reloaded: the election starts anew");
        }
    }
    deeds_happened(s, ELECTION_CONFIGURED);
    run_again(s);
}

static void begin_anew(struct supervisor *s, struct config *next)
{
    s->reload.under_way = true;
    s->reload.next = next;
    s->reload.led = s->election.state == ELECTION_LEADER;
    log_info("config_waits", "until=%s role=%s", "\"the term is released\"",
             election_state_name(s->election.state));
    deeds_election(s, &(struct election_event){.type = ELECTION_ELECT_ANEW, .reason = END_RELOAD});
}

static void take_next(struct supervisor *s, struct config *next)
{
    char reason[512] = "";
    enum config_change change =
        config_diff(s->config, next, privileges_can_switch(), reason, sizeof(reason));
    uint32_t done_before = s->reload.done;

    if (change < CHANGE_ELECTION &&
        deeds_terms(s->config).candidate != deeds_terms(next).candidate) {
        change = CHANGE_ELECTION;
    }
    if ((change == CHANGE_LIVE || change == CHANGE_ELECTION) && !open_log(s, next)) {
        config_free(next);
        return;
    }
    switch (change) {
    case CHANGE_NOTHING:
        config_free(next);
        reload_children_wanted(
            s); /* one that waits for a reload tries again: a file may have changed */
        s->reload.done++;
        log_reloaded(s, "nothing");
        answer(s, EXIT_CODE_DONE, "reloaded: nothing has changed");
        return;
    case CHANGE_LIVE:
        put_in_force(s, next);
        if (s->reload.done != done_before) {
            log_reloaded(s, "live");
            answer(s, EXIT_CODE_DONE, "reloaded: the new configuration is in force");
        }
        return;
    case CHANGE_ELECTION:
        begin_anew(s, next);
        return;
    case CHANGE_RESTART:
        config_free(next);
        refuse(s, EXIT_CODE_CONFIG, reason);
        return;
    }
}

static void run(struct supervisor *s)
{
    struct config_problems problems;
    struct config *next = NULL;

    s->reload.answered_now = s->reload.request_count;
    int rc = config_read(&s->sources, &next, &problems);
    if (rc < 0 && problems.errors > 0) {
        refuse_problems(s, &problems);
    } else if (rc < 0) {
        refuse(s, EXIT_CODE_FAILED, strerror(-rc));
    } else {
        log_warnings(&problems);
        take_next(s, next);
    }
    config_problems_release(&problems);
}

static void refuse_to_look(struct supervisor *s, uint64_t request, enum consent consent)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "not reloaded: %s", consent_text(consent));
    log_warn("config_refused", "reason=%s", log_text(consent_text(consent)).is);
    if (request != 0) {
        orders_reply(s, request, consent == CONSENT_TOO_MANY ? EXIT_CODE_NOT_YET : EXIT_CODE_FAILED,
                     text);
    }
}

void reload_ask(struct supervisor *s, uint64_t request)
{
    struct reload *r = &s->reload;

    enum consent consent = consent_reload(&(struct reload_asked){
        .stopping = supervisor_is_stopping(s),
        .under_way = r->under_way,
        .needs_room = request != 0,
        .waiting = r->request_count,
        .waiting_most = RELOAD_REQUESTS_MAX,
    });

    if (consent != CONSENT_NOW && consent != CONSENT_LATER) {
        refuse_to_look(s, request, consent);
        return;
    }
    if (request != 0) {
        r->requests[r->request_count++] = request;
    }
    if (consent == CONSENT_LATER) {
        r->again = true;
        return;
    }
    run(s);
}

void reload_refuse_all(struct supervisor *s)
{
    struct reload *r = &s->reload;

    r->answered_now = r->request_count;
    answer(s, EXIT_CODE_FAILED, "not reloaded: this instance is stopping");
    config_free(r->next);
    r->next = NULL;
    logfile_forget(take_log(r));
    r->under_way = false;
    r->again = false;
}
