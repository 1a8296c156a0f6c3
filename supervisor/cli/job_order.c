/*
 * `pgbaton trigger`, `cancel`, `pause` and `resume`: what is asked of the leader, whichever
 * instance is asked, and what it answered.
 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/array.h"
#include "common/control.h"
#include "common/duration.h"
#include "common/message.h"
#include "common/outcome.h"
#include "common/utf8.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/run_text.h"
#include "supervisor/cli/table.h"
#include "supervisor/cli/when.h"
#include "supervisor/cli/words.h"

#define ANSWER_WITHIN DUR_S(30)
#define LOOK_FIRST DUR_MS(20)
#define LOOK_MOST DUR_MS(500)
/* A run may take hours: who waits for it does not ask twice a second all the time. */
#define LOOK_MOST_RUN DUR_S(2)
/* A daemon that is started again is away for a moment. */
#define AWAY_MOST DUR_S(60)

struct order {
    enum job_order what;
    const struct config *cfg;
    const char *job; /* NULL: all */
    bool wait;
    bool json;
    bool limited;
    dur_ns within; /* for the answer, and with --wait for the outcome */
    mono_ns over_at;
    dur_ns pause; /* until the next look */
};

/* ---- waiting ---- */

/* The signals that would end us: taken while nothing is outstanding. */
static void end_signals(sigset_t *ret_set)
{
    (void)sigemptyset(ret_set);
    (void)sigaddset(ret_set, SIGINT);
    (void)sigaddset(ret_set, SIGTERM);
    (void)sigaddset(ret_set, SIGHUP);
}

/* Until the next look, a little longer each time. The signal that came instead, or 0. */
static int pause_for(struct order *order, dur_ns most)
{
    struct timespec length = {.tv_sec = order->pause / DUR_S(1),
                              .tv_nsec = order->pause % DUR_S(1)};
    sigset_t set;

    end_signals(&set);
    order->pause = order->pause * 3 / 2 < most ? order->pause * 3 / 2 : most;
    int number = sigtimedwait(&set, NULL, &length);
    return number > 0 ? number : 0;
}

static bool is_over(const struct order *order)
{
    return clock_now() >= order->over_at;
}

/* ---- the request ---- */

static int ask_request(const struct order *order, json_t **ret_reply)
{
    json_t *request = json_pack("{s:s}", "command", job_order_name(order->what));

    if (order->job != NULL) {
        (void)json_object_set_new(request, "job", json_string(order->job));
    }
    if (order->wait) {
        (void)json_object_set_new(request, "wait", json_true());
    }
    return ask_daemon(order->cfg, request, false, ret_reply);
}

static int ask_answer(const struct order *order, json_int_t id, bool withdraw, json_t **ret_answer)
{
    json_t *request =
        json_pack("{s:s, s:I, s:b}", "command", "answer", "request", id, "withdraw", withdraw);

    return ask_daemon(order->cfg, request, true, ret_answer);
}

/* Nobody has answered: what nobody waits for is not to be done later. */
static int withdraw(const struct order *order, json_int_t id, const char *leader,
                    json_t **ret_answer)
{
    json_t *answer = NULL;

    if (ask_answer(order, id, true, &answer) == EXIT_CODE_DONE) {
        bool withdrawn = json_is_true(json_object_get(answer, "withdrawn"));

        json_decref(answer);
        answer = NULL;
        if (!withdrawn && ask_answer(order, id, false, &answer) == EXIT_CODE_DONE) {
            *ret_answer = answer; /* in the last moment */
            return EXIT_CODE_DONE;
        }
        if (withdrawn) {
            (void)fputs("pgbaton: no answer: ", stderr);
            print_safe(stderr, leader == NULL ? "nobody leads" : leader);
            (void)fputs(leader == NULL ? "; " : " leads, and did not answer; ", stderr);
            (void)fputs("the request was withdrawn, and nothing was done\n", stderr);
            return EXIT_CODE_UNAVAILABLE;
        }
    }
    (void)fprintf(stderr,
                  "pgbaton: no answer, and request %lld could not be withdrawn: a leader may still "
                  "do it\n",
                  (long long)id);
    return EXIT_CODE_UNAVAILABLE;
}

/* The answer to that request; *ret_answer is a new reference. */
static int await_answer(struct order *order, json_int_t id, const char *leader, json_t **ret_answer)
{
    for (;;) {
        json_t *answer = NULL;
        int code = ask_answer(order, id, false, &answer);

        if (code == EXIT_CODE_DONE && json_is_true(json_object_get(answer, "answered"))) {
            *ret_answer = answer;
            return EXIT_CODE_DONE;
        }
        json_decref(answer);
        int number = pause_for(order, LOOK_MOST);
        if (number > 0 || is_over(order)) {
            code = withdraw(order, id, leader, ret_answer);
            return number > 0 && code != EXIT_CODE_DONE ? 128 + number : code;
        }
    }
}

/* ---- the outcome of a run ---- */

static bool follows(const json_t *run, const char *id)
{
    const char *parent = run_text(run, "parent");
    const char *origin = run_text(run, "origin");

    return parent != NULL && origin != NULL && strcmp(parent, id) == 0 &&
           (strcmp(origin, run_origin_name(ORIGIN_RETRY)) == 0 ||
            strcmp(origin, run_origin_name(ORIGIN_RERUN)) == 0);
}

/*
 * The next attempt of the same tick, where there is one: *ret_found, and its id in id. An exit
 * code, of the question: where that is not EXIT_CODE_DONE it is not known whether this was the last
 * one.
 */
static int find_next_attempt(const struct order *order, const json_t *run, bool quiet, char *id,
                             size_t size, bool *ret_found)
{
    const char *tick = run_text(run, "scheduled_at");
    char ignored[256];
    wall_ns at = 0;
    json_t *document = NULL;
    size_t i;
    json_t *other;

    *ret_found = false;
    if (tick == NULL || when_parse(tick, NULL, &at, ignored, sizeof(ignored)) < 0) {
        return EXIT_CODE_DONE;
    }
    json_t *request = json_pack("{s:s, s:s, s:I}", "command", "why", "job", order->job, "at",
                                (json_int_t)(at / DUR_US(1)));
    int code = ask_daemon(order->cfg, request, quiet, &document);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    json_array_foreach(json_object_get(document, "runs"), i, other)
    {
        const char *next = run_text(other, "run");

        if (!*ret_found && next != NULL && follows(other, id)) {
            (void)snprintf(id, size, "%s", next);
            *ret_found = true;
        }
    }
    json_decref(document);
    return EXIT_CODE_DONE;
}

static int say_left(const char *id, int code, const char *why)
{
    (void)fprintf(stderr, "pgbaton: %s; the run goes on: `pgbaton output %s` has what it prints\n",
                  why, id);
    return code;
}

static int say_outcome(const struct order *order, const json_t *run)
{
    const char *outcome = run_text(run, "outcome");
    const char *reason = run_text(run, "reason");
    bool succeeded = outcome != NULL && strcmp(outcome, "succeeded") == 0;

    if (order->json) {
        (void)ask_print_json(run);
    } else {
        FILE *to = succeeded ? stdout : stderr;

        print_safe(to, outcome == NULL ? "no outcome" : outcome);
        if (run_length(run, "duration_seconds").is[0] != '\0') {
            (void)fprintf(to, " after %s", run_length(run, "duration_seconds").is);
        }
        if (reason != NULL && reason[0] != '\0') {
            (void)fputs(": ", to);
            print_safe(to, reason);
        }
        (void)fputc('\n', to);
    }
    return succeeded ? ask_flush() : EXIT_CODE_FAILED;
}

/* Is a run of it that succeeded kept? The daemon has the job's definition, we have not. An exit
 * code, of the question. */
static int find_whether_kept(const struct order *order, bool quiet, bool *ret_kept)
{
    json_t *request = json_pack("{s:s, s:s}", "command", "why", "job", order->job);
    json_t *document = NULL;
    int code = ask_daemon(order->cfg, request, quiet, &document);

    if (code == EXIT_CODE_DONE) {
        const char *record = run_text(json_object_get(document, "policy"), "record");

        *ret_kept = record == NULL || strcmp(record, "failures") != 0;
        json_decref(document);
    }
    return code;
}

/* Its row is gone: with record = failures that is how a success looks. */
static int say_gone(const struct order *order, const char *id, bool successes_are_kept)
{
    if (successes_are_kept) {
        (void)fputs("pgbaton: the run is not on record any more: how it ended is not known\n",
                    stderr);
        return EXIT_CODE_FAILED;
    }
    json_t *run = json_pack("{s:s, s:s, s:s}", "run", id, "job", order->job, "outcome",
                            outcome_name(OUTCOME_SUCCEEDED));
    int code = run == NULL ? EXIT_CODE_FAILED : say_outcome(order, run);
    json_decref(run);
    return code;
}

/*
 * One look: is it over, and how did it end? An exit code, of the questions: where that is not
 * EXIT_CODE_DONE nothing is known of the run, and nothing may be made of that.
 */
static int look_at_run(const struct order *order, bool quiet, char *id, size_t size, bool *ret_over,
                       int *ret_outcome)
{
    json_t *document = NULL;
    json_t *request = json_pack("{s:s, s:s}", "command", "run", "run", id);
    int code = ask_daemon(order->cfg, request, quiet, &document);

    *ret_over = false;
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    const json_t *run = json_object_get(document, "run");
    if (!json_is_object(run)) { /* it was there */
        bool kept = true;

        code = find_whether_kept(order, quiet, &kept);
        if (code == EXIT_CODE_DONE) {
            *ret_outcome = say_gone(order, id, kept);
            *ret_over = true;
        }
    } else if (!run_is_open(run)) {
        bool goes_on = false;

        code = find_next_attempt(order, run, quiet, id, size, &goes_on);
        if (code == EXIT_CODE_DONE && !goes_on) {
            *ret_outcome = say_outcome(order, run);
            *ret_over = true;
        }
    }
    json_decref(document);
    return code;
}

/* What may pass: the daemon is away, or its database, or the ledger cannot be read just now. */
static bool may_pass(int code)
{
    return code == EXIT_CODE_UNAVAILABLE || code == EXIT_CODE_FAILED;
}

static int await_outcome(struct order *order, const char *first)
{
    char id[RUN_NAME_MAX];
    mono_ns answered_at = clock_now();

    (void)snprintf(id, sizeof(id), "%s", first);
    order->pause = LOOK_FIRST;
    order->over_at = order->limited ? clock_now() + order->within : MONO_NEVER;
    for (;;) {
        bool last = clock_now() - answered_at >= AWAY_MOST;
        bool over;
        int outcome;
        int code = look_at_run(order, !last, id, sizeof(id), &over, &outcome);

        if (code == EXIT_CODE_DONE && over) {
            return outcome;
        }
        if (code == EXIT_CODE_DONE) {
            answered_at = clock_now();
        } else if (last || !may_pass(code)) { /* 1 would be a run that failed */
            return say_left(id, may_pass(code) ? EXIT_CODE_UNAVAILABLE : code,
                            "the daemon, or its database, does not answer");
        }
        int number = pause_for(order, LOOK_MOST_RUN);

        if (number > 0) {
            return say_left(id, 128 + number, "not waiting any longer");
        }
        if (is_over(order)) {
            return say_left(id, EXIT_CODE_NOT_YET, "it has not ended in time");
        }
    }
}

/* ---- all of it ---- */

/* What was done, and by whom. */
static int say_answer(const struct order *order, const json_t *answer)
{
    bool done = json_is_true(json_object_get(answer, "done"));
    const char *text = run_text(answer, "text");
    const char *run = run_text(answer, "run");
    const char *leader = run_text(answer, "leader");

    /* With --wait there is a run's outcome to come, where there is a run. */
    if (order->json && !(order->wait && done && run != NULL)) {
        json_t *said = json_pack(
            "{s:b, s:O?, s:O?, s:O?}", "done", (int)done, "run", json_object_get(answer, "run"),
            "text", json_object_get(answer, "text"), "leader", json_object_get(answer, "leader"));

        (void)ask_print_json(said);
        json_decref(said);
    }
    if (!done) {
        (void)fputs("pgbaton: ", stderr);
        print_sentences(stderr, text == NULL ? "refused" : text);
    } else if (!order->json && run != NULL) {
        print_safe(stdout, run);
        (void)fputc('\n', stdout);
    } else if (!order->json) {
        print_sentences(stdout, text == NULL ? "done" : text);
        if (leader != NULL) {
            (void)fputs("by the leader, ", stdout);
            print_safe(stdout, leader);
            (void)fputc('\n', stdout);
        }
    }
    int code = ask_flush();
    return done ? code : EXIT_CODE_FAILED;
}

static int carry_out(struct order *order)
{
    json_t *reply = NULL;
    json_t *answer = NULL;
    sigset_t set;

    end_signals(&set);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    order->pause = LOOK_FIRST;
    order->over_at = clock_now() + order->within;
    int code = ask_request(order, &reply);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (json_is_integer(json_object_get(reply, "request"))) {
        code = await_answer(order, json_integer_value(json_object_get(reply, "request")),
                            run_text(reply, "leader"), &answer);
    } else {
        answer = json_incref(reply);
    }
    if (code == EXIT_CODE_DONE) {
        code = say_answer(order, answer);
    }
    if (code == EXIT_CODE_DONE && order->wait && run_text(answer, "run") != NULL) {
        code = await_outcome(order, run_text(answer, "run"));
    }
    json_decref(reply);
    json_decref(answer);
    return code;
}

static bool may_be_job(const char *name)
{
    size_t length;

    if (name[0] == '\0' || strlen(name) >= JOB_NAME_MAX) {
        return false;
    }
    for (; *name != '\0'; name += length) {
        length = utf8_length(name);
        if (length == 0) {
            return false;
        }
    }
    return true;
}

static int command(struct command_line *line, enum job_order what, bool all)
{
    const char *name = job_order_name(what);
    const char *timeout = NULL;
    struct order order = {.what = what, .within = ANSWER_WITHIN, .json = line->json};
    const struct word_option options[] = {
        {"--timeout", &timeout, NULL},
        {"--wait", NULL, &order.wait},
    };
    const struct words words = {
        .command = name,
        .options = options,
        .option_count = what == JOB_TRIGGER ? 2 : 1,
        .operands = &order.job,
        .operand_count = 1,
    };
    int code = words_read(line, &words);

    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (order.job == NULL && !all) {
        return usage_error(name, "wants the name of a job", NULL);
    }
    /* What cannot be the name of one must not come to mean all of them. */
    if (order.job != NULL && !may_be_job(order.job)) {
        return usage_error(name, "there is no job", order.job);
    }
    order.limited = timeout != NULL;
    if (order.limited && (duration_parse(timeout, &order.within) < 0 || order.within <= 0)) {
        return usage_error(
            name, "--timeout takes a duration, one number and one unit such as 90m, not", timeout);
    }
    struct config *cfg = cli_load_daemon(line);
    if (cfg == NULL) {
        return EXIT_CODE_CONFIG;
    }
    order.cfg = cfg;
    code = carry_out(&order);
    config_free(cfg);
    return code;
}

int command_trigger(struct command_line *line)
{
    return command(line, JOB_TRIGGER, false);
}

int command_cancel(struct command_line *line)
{
    return command(line, JOB_CANCEL, false);
}

int command_pause(struct command_line *line)
{
    return command(line, JOB_PAUSE, true);
}

int command_resume(struct command_line *line)
{
    return command(line, JOB_RESUME, true);
}
