#include "worker/leader/hook.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/log.h"
#include "worker/leader/environment.h"

enum { VARIABLES = 10 };

struct hook_run {
    struct hook_run *next;
    struct run *run;
    enum hook hook;
    dur_ns grace;
    mono_ns limit_at; /* then TERM, or, after that, KILL */
    bool told;
    char job[JOB_NAME_MAX];
    char of[RUN_ID_MAX]; /* the run whose end it is for */
};

static void on_due(void *ctx);

int hooks_init(struct hooks *hooks, struct ev_loop *loop, struct run_world *world)
{
    *hooks = (struct hooks){.world = world, .limit = HOOK_LIMIT};
    return timer_init(&hooks->timer, loop, on_due, hooks);
}

void hooks_release(struct hooks *hooks)
{
    assert(hooks->count == 0);
    timer_release(&hooks->timer);
}

static void arm(struct hooks *hooks)
{
    mono_ns soonest = MONO_NEVER;

    for (struct hook_run *h = hooks->first; h != NULL; h = h->next) {
        soonest = h->limit_at < soonest ? h->limit_at : soonest;
    }
    timer_arm(&hooks->timer, soonest);
}

/* ---- The start. ---- */

struct variables {
    char *list[VARIABLES + 1]; /* owned, NULL-terminated */
    size_t count;
    bool failed;
};

static void set(struct variables *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void set(struct variables *v, const char *format, ...)
{
    va_list args;

    assert(v->count < VARIABLES);
    va_start(args, format);
    if (vasprintf(&v->list[v->count], format, args) == -1) {
        v->list[v->count] = NULL;
        v->failed = true;
    } else {
        v->count++;
    }
    va_end(args);
}

static const char *text_or_none(const char *text)
{
    return text == NULL ? "" : text;
}

static void describe(struct variables *v, const struct hook_call *call, enum hook hook)
{
    char code[16] = "";

    if (call->code >= 0) {
        (void)snprintf(code, sizeof(code), "%d", call->code);
    }
    set(v, "PGBATON_HOOK=%s", hook_name(hook));
    set(v, "PGBATON_RUN_ID=%s", call->run_id);
    set(v, "PGBATON_ATTEMPT=%u", call->attempt);
    set(v, "PGBATON_OUTCOME=%s", outcome_name(call->outcome));
    set(v, "PGBATON_EXIT_CODE=%s", code);
    set(v, "PGBATON_REASON=%s", text_or_none(call->reason));
    set(v, "PGBATON_RESULT=%s", text_or_none(call->result));
    set(v, "PGBATON_FAILURES=%u", call->failures);
    set(v, "PGBATON_STARTED_AT=%s", call->started_at == 0 ? "" : instant_text(call->started_at).is);
    set(v, "PGBATON_ENDED_AT=%s", instant_text(call->ended_at).is);
}

static const char *command_of(const struct config_job *job, enum hook hook)
{
    switch (hook) {
    case HOOK_NONE:
        break;
    case HOOK_FAILURE:
        return job->on_failure;
    case HOOK_RECOVERY:
        return job->on_recovery;
    case HOOK_SUCCESS:
        return job->on_success;
    }
    return NULL;
}

/* The job, but for what it does: the shell and this text. The words are to be freed. */
static char **become_hook(struct config_job *job, const char *command)
{
    size_t count = 0;

    while (job->shell[count] != NULL) {
        count++;
    }

    char **words = calloc(count + 2, sizeof(*words));

    if (words != NULL) {
        memcpy(words, job->shell, count * sizeof(*words));
        words[count] =
            (char *)(uintptr_t)command; /* execve() takes words that it does not change */
        job->action = ACTION_COMMAND;
        job->command = command;
        job->words = words;
        job->output = OUTPUT_LOG;
    }
    return words;
}

static struct run *start(struct hooks *hooks, const struct hook_call *call, enum hook hook,
                         const struct variables *v, char *reterr, size_t size)
{
    struct config_job job = *call->job;
    char **words = v->failed ? NULL : become_hook(&job, command_of(call->job, hook));
    const struct run_order order = {
        .job = &job,
        .account = call->account,
        .epoch = call->epoch,
        .id = call->run_id,
        .number = ++*call->number,
        .attempt = call->attempt,
        .scheduled_at = call->scheduled_at,
        .may_start = call->may_start,
        .ctx = call->ctx,
        .more = v->list,
    };
    struct run *run = NULL;

    if (words == NULL) {
        (void)snprintf(reterr, size, "out of memory");
    } else {
        run = run_start(hooks->world, &order, NULL, reterr, size);
    }
    free(words);
    return run;
}

static void add(struct hooks *hooks, struct hook_run *h, const struct hook_call *call)
{
    /* The job's timeout is not the hook's: it may be what the hook has to tell about. */
    h->grace = call->job->grace;
    h->limit_at = clock_now() + hooks->limit;
    (void)snprintf(h->job, sizeof(h->job), "%s", call->job->name);
    (void)snprintf(h->of, sizeof(h->of), "%s", call->run_id);
    h->next = hooks->first;
    hooks->first = h;
    hooks->count++;
    log_info("hook_started", "job=%s hook=%s run=%s pid=%d", log_text(h->job).is,
             hook_name(h->hook), call->run_id, (int)h->run->pid);
}

static bool run_hook(struct hooks *hooks, const struct hook_call *call, enum hook hook)
{
    struct hook_run *h = calloc(1, sizeof(*h));
    struct variables v = {.count = 0};
    char reason[RUN_REASON_MAX] = "out of memory";

    if (h != NULL) {
        reason[0] = '\0';
        describe(&v, call, hook);
        h->hook = hook;
        h->run = start(hooks, call, hook, &v, reason, sizeof(reason));
    }
    for (size_t i = 0; i < v.count; i++) {
        free(v.list[i]);
    }
    if (h != NULL && h->run != NULL) {
        add(hooks, h, call);
        return true;
    }
    free(h);
    if (reason[0] != '\0') { /* "": the term is over */
        log_warn("hook_failed_to_start", "job=%s hook=%s run=%s reason=%s",
                 log_text(call->job->name).is, hook_name(hook), call->run_id, log_text(reason).is);
    }
    return false;
}

unsigned hooks_run(struct hooks *hooks, const struct hook_call *call)
{
    static const enum hook all[] = {HOOK_FAILURE, HOOK_RECOVERY, HOOK_SUCCESS};
    unsigned started = 0;

    assert(call->account != NULL);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if ((call->hooks & all[i]) != 0 && command_of(call->job, all[i]) != NULL) {
            started += run_hook(hooks, call, all[i]) ? 1 : 0;
        }
    }
    arm(hooks);
    return started;
}

/* ---- The end. ---- */

bool hooks_reaped(struct hooks *hooks, pid_t pid, int status)
{
    struct hook_run **link = &hooks->first;

    while (*link != NULL && (*link)->run->pid != pid) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        return false;
    }

    struct hook_run *h = *link;

    *link = h->next;
    hooks->count--;
    h->run->status = status;
    run_reaped(hooks->world, h->run, NULL);
    output_flush(h->run->standard_output);
    output_flush(h->run->standard_error);

    int code = run_code(h->run);

    log_event(code == 0 ? LEVEL_INFO : LEVEL_WARN, "hook_ended",
              "job=%s hook=%s run=%s pid=%d code=%d%s seconds=%.3f", log_text(h->job).is,
              hook_name(h->hook), h->of, (int)pid, code, h->told ? " reason=timeout" : "",
              (double)(clock_now() - h->run->started_at) / (double)DUR_S(1));
    run_free(hooks->world, h->run);
    free(h);
    arm(hooks);
    return true;
}

/* TERM, and KILL when its grace is over; after that again and again: it may be born anew. */
static void end_late_one(struct hooks *hooks, struct hook_run *h, const struct snapshot *now)
{
    run_signal(hooks->world, h->run, h->told ? SIGKILL : SIGTERM, now);
    h->limit_at = clock_now() + (h->told ? DUR_S(1) : h->grace);
    h->told = true;
}

static void on_due(void *ctx)
{
    struct hooks *hooks = ctx;
    struct snapshot snapshot;
    mono_ns now = clock_now();
    bool seen = snapshot_take(&snapshot) == 0;

    for (struct hook_run *h = hooks->first; h != NULL; h = h->next) {
        if (h->limit_at <= now) {
            end_late_one(hooks, h, seen ? &snapshot : NULL);
        }
    }
    if (seen) {
        snapshot_release(&snapshot);
    }
    arm(hooks);
}

void hooks_signal(struct hooks *hooks, int signal_number, const struct snapshot *now)
{
    for (struct hook_run *h = hooks->first; h != NULL; h = h->next) {
        run_signal(hooks->world, h->run, signal_number, now);
    }
}

unsigned hooks_running(const struct hooks *hooks)
{
    return hooks->count;
}
