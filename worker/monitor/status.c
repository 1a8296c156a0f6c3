#include "worker/monitor/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/identity.h"
#include "worker/monitor/jobs_view.h"
#include "worker/monitor/json_text.h"
#include "worker/monitor/warnings.h"

bool status_leads(const struct status_view *view)
{
    return view->supervisor.role == ROLE_LEADER && view->now < view->supervisor.deadline;
}

static bool elects(const struct status_view *view)
{
    return view->config->election.enabled && view->config->database.kind != DATABASE_NONE;
}

static bool has_lease(const struct status_view *view)
{
    return view->config->election.enabled && view->config->database.kind == DATABASE_POSTGRES;
}

/* Seconds with milliseconds: what is finer is noise in a status. */
static json_t *seconds(dur_ns length)
{
    int64_t ms = length / DUR_MS(1);

    return json_real((double)ms / 1000.0);
}

static json_t *milliseconds(dur_ns length)
{
    int64_t us = length / DUR_US(1);

    return json_real((double)us / 1000.0);
}

static json_t *epoch_or_null(struct epoch epoch)
{
    if (epoch.generation == 0 && epoch.number == 0) {
        return json_null();
    }
    return json_string(epoch_text(epoch).is);
}

static json_t *pid_or_null(int32_t pid)
{
    return pid > 0 ? json_integer(pid) : json_null();
}

/* "" is how the scoreboard says that it does not know. */
static json_t *text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? json_null() : json_text(text);
}

static json_t *hex(uint64_t number)
{
    char text[17];

    (void)snprintf(text, sizeof(text), "%016" PRIx64, number);
    return json_string(text);
}

static const char *holder_name(enum holder_kind holder)
{
    switch (holder) {
    case HOLDER_UNKNOWN:
        return "unknown";
    case HOLDER_NOBODY:
        return "nobody";
    case HOLDER_OURS:
        return "ours";
    case HOLDER_PGBATON:
        return "pgbaton";
    case HOLDER_FOREIGN:
        return "foreign";
    }
    return "unknown"; /* a number from a scoreboard that another build wrote */
}

static const char *database_state_name(enum database_state state)
{
    switch (state) {
    case DATABASE_UNKNOWN:
        return "unknown";
    case DATABASE_UP:
        return "up";
    case DATABASE_DOWN:
        return "down";
    }
    return "unknown";
}

static const char *database_kind_name(enum database_kind kind)
{
    switch (kind) {
    case DATABASE_POSTGRES:
        return "postgres";
    case DATABASE_SQLITE:
        return "sqlite";
    case DATABASE_NONE:
        return "none";
    }
    return "unknown";
}

/* Who leads: by itself, if it is this instance, else by the probe's last look. */
static json_t *leader(const struct status_view *view)
{
    const struct board_probe *probe = &view->probe;
    struct json_making made = {.object = json_object()};
    enum holder_kind seen = probe->database == DATABASE_UP ? probe->holder : HOLDER_UNKNOWN;
    enum holder_kind holder = status_leads(view) ? HOLDER_OURS : seen;
    bool seen_it = holder == seen && holder != HOLDER_UNKNOWN;
    const char *instance = "";
    struct epoch epoch = {0, 0};

    if (status_leads(view)) {
        instance = view->supervisor.instance;
        epoch = view->supervisor.epoch;
    } else if (holder == HOLDER_OURS || holder == HOLDER_PGBATON) {
        instance = probe->leader_instance;
        epoch = probe->leader_epoch;
    }
    json_put(&made, "kind", json_string(holder_name(holder)));
    json_put(&made, "instance", text_or_null(instance));
    json_put(&made, "epoch", epoch_or_null(epoch));
    json_put(&made, "pid", pid_or_null(seen_it ? probe->holder_pid : 0));
    json_put(&made, "application",
             text_or_null(holder == HOLDER_FOREIGN ? probe->holder_application : ""));
    return json_made(&made);
}

/* Is there a term of ours, so that epoch and deadline mean something? */
static bool holds_term(enum board_role role)
{
    return role == ROLE_LEADER || role == ROLE_STANDING_DOWN || role == ROLE_FENCING;
}

/* A length until a moment; null once it has passed. */
static json_t *until(mono_ns at, mono_ns now)
{
    return at == MONO_NEVER || at <= now ? json_null() : seconds(at - now);
}

static json_t *lease(const struct status_view *view)
{
    const struct board_supervisor *s = &view->supervisor;
    struct json_making made = {.object = json_object()};
    bool running = holds_term(s->role) && s->deadline != MONO_NEVER && s->deadline > 0;
    bool beating = s->role == ROLE_LEADER && view->worker.heartbeat_ns > 0;
    dur_ns left = s->deadline > view->now ? s->deadline - view->now : 0;

    json_put(&made, "seconds", seconds(view->config->election.lease));
    json_put(&made, "left_seconds", running ? seconds(left) : json_null());
    json_put(&made, "heartbeat_ms",
             beating ? milliseconds(view->worker.heartbeat_ns) : json_null());
    return json_made(&made);
}

static const char *lease_note(const struct status_view *view)
{
    if (!elects(view)) {
        return "there is no lease here: there is no election";
    }
    if (view->config->database.kind == DATABASE_SQLITE) {
        return "there is no lease here: a stopped instance holds the lock for as long as it is "
               "stopped";
    }
    return NULL;
}

/* "HOST:PORT"; "" where it is not known. */
static void address_text(const struct server_address *address, char *ret_text, size_t size)
{
    if (address->host[0] == '\0') {
        ret_text[0] = '\0';
    } else {
        (void)snprintf(ret_text, size, "%s%s%s", address->host, address->port[0] == '\0' ? "" : ":",
                       address->port);
    }
}

static json_t *database(const struct status_view *view)
{
    static const struct board_probe nothing = {.database = DATABASE_UNKNOWN};
    const struct board_probe *probe = elects(view) ? &view->probe : &nothing;
    struct json_making made = {.object = json_object()};
    bool up = probe->database == DATABASE_UP;
    bool has_clock = up && view->config->database.kind == DATABASE_POSTGRES;
    char where[sizeof(probe->address.host) + sizeof(probe->address.port) + 1];

    address_text(&probe->address, where, sizeof(where));
    json_put(&made, "kind", json_string(database_kind_name(view->config->database.kind)));
    json_put(&made, "state",
             json_string(elects(view) ? database_state_name(probe->database) : "unused"));
    json_put(&made, "reason", text_or_null(up ? "" : probe->reason));
    json_put(&made, "address", text_or_null(where));
    json_put(&made, "version", text_or_null(probe->server_version));
    json_put(&made, "clock_offset_ms",
             has_clock ? milliseconds(probe->clock_offset_ns) : json_null());
    return json_made(&made);
}

static json_t *child(const char *name, const struct board_child *c, mono_ns now)
{
    struct json_making made = {.object = json_object()};

    json_put(&made, "name", json_string(name));
    json_put(&made, "pid", pid_or_null(c->pid));
    json_put(&made, "restarts", json_integer(c->restarts));
    json_put(&made, "uptime_seconds", c->pid > 0 ? seconds(now - c->started_at) : json_null());
    return json_made(&made);
}

static json_t *children(const struct status_view *view)
{
    static const char *const names[CHILD_SLOT_COUNT] = {
        [SLOT_PROBE] = "probe",
        [SLOT_WORKER] = "worker",
        [SLOT_MONITOR] = "monitor",
        [SLOT_KEEPER] = "keeper",
    };
    json_t *list = json_array();

    for (int i = 0; i < CHILD_SLOT_COUNT; i++) {
        const struct board_child *c = &view->supervisor.children[i];

        if (c->pid == 0 && c->generation == 0) {
            continue; /* this instance has no such child */
        }
        if (json_array_append_new(list, child(names[i], c, view->now)) == -1) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *last_run(const struct board_job *row)
{
    struct json_making made = {.object = json_object()};
    bool over = row->last_ended_at >= row->last_started_at;
    bool judged = over && row->last_outcome != OUTCOME_NONE;

    json_put(&made, "started_at", json_moment(row->last_started_at));
    json_put(&made, "ended_at", over ? json_moment(row->last_ended_at) : json_null());
    json_put(&made, "outcome", judged ? json_string(outcome_name(row->last_outcome)) : json_null());
    json_put(&made, "code", judged ? json_integer(row->last_code) : json_null());
    return json_made(&made);
}

/* The rows are in the order of the configuration; around a reload they may for a moment not be. */
static const struct board_job *row_of(const struct status_view *view, size_t i)
{
    static const struct board_job empty = {.next_at = WALL_NEVER};
    const char *name = view->config->jobs[i].name;

    if (i < view->job_count && strncmp(view->jobs[i].name, name, JOB_NAME_MAX) == 0) {
        return &view->jobs[i];
    }
    return &empty;
}

static json_t *job(const struct config_job *config, const struct board_job *row, bool scheduled)
{
    struct json_making made = {.object = json_object()};

    json_put(&made, "name", json_text(config->name));
    json_put(&made, "schedule", json_text(config->schedule_text));
    json_put(&made, "enabled", json_boolean(config->enabled));
    json_put(&made, "running", json_integer(row->running));
    json_put(&made, "pid", pid_or_null(row->running > 0 ? row->pid : 0));
    json_put(&made, "last", row->last_started_at == 0 ? json_null() : last_run(row));
    json_put(&made, "paused_by", scheduled ? jobs_view_pause(row->paused) : json_null());
    json_put(&made, "next", scheduled ? json_moment(row->next_at) : json_null());
    json_put(&made, "runs", json_integer((json_int_t)row->runs));
    json_put(&made, "failures", json_integer((json_int_t)row->failures));
    json_put(&made, "skips", json_integer((json_int_t)row->skips));
    return json_made(&made);
}

static json_t *jobs(const struct status_view *view)
{
    json_t *list = json_array();
    bool scheduled = status_leads(view);

    for (size_t i = 0; i < view->config->job_count; i++) {
        json_t *made = job(&view->config->jobs[i], row_of(view, i), scheduled);

        if (json_array_append_new(list, made) == -1) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *loaded_config(const struct board_supervisor *s)
{
    struct json_making made = {.object = json_object()};

    json_put(&made, "hash", hex(s->config_hash));
    json_put(&made, "loaded_at", json_moment(s->config_loaded_at));
    json_put(&made, "reloads", json_integer(s->reloads));
    json_put(&made, "failed", json_integer(s->reloads_failed));
    return json_made(&made);
}

/* What outlives us is said by the supervisor, what the worker can end at once by the worker. */
static json_t *containment(const struct status_view *view)
{
    static const char cgroup[] = "cgroup";
    const char *worker = view->worker.containment;
    char text[sizeof(view->worker.containment) + sizeof(view->supervisor.containment) + 4];

    if (strncmp(worker, cgroup, sizeof(cgroup) - 1) != 0) {
        return text_or_null(view->supervisor.containment);
    }
    (void)snprintf(text, sizeof(text), "%s, %s", view->supervisor.containment, worker);
    return json_text(text);
}

/* Who this is, and what it is doing. */
static void put_instance(struct json_making *making, const struct status_view *view)
{
    const struct board_supervisor *s = &view->supervisor;

    json_put(making, "instance", json_text(s->instance));
    json_put(making, "incarnation", hex(s->incarnation));
    json_put(making, "pid", pid_or_null(s->pid));
    json_put(making, "version", json_string(PGBATON_VERSION));
    json_put(making, "started_at", json_moment(s->started_at));
    json_put(making, "stopping", json_boolean(s->stopping != 0));
    json_put(making, "role", json_string(board_role_name(s->role)));
    json_put(making, "role_since", json_moment(s->role_since));
    json_put(making, "leads", json_boolean(status_leads(view)));
    json_put(making, "resting_seconds", until(s->rest_until, view->now));
}

static void put_election(struct json_making *making, const struct status_view *view)
{
    const struct board_supervisor *s = &view->supervisor;
    struct epoch none = {0, 0};
    mono_ns takeover = s->role == ROLE_LEADER ? view->worker.takeover_until : 0;
    const char *name = elects(view) ? view->config->election.name : NULL;

    json_put(making, "election", json_text(name));
    json_put(making, "leader", leader(view));
    json_put(making, "epoch", epoch_or_null(holds_term(s->role) ? s->epoch : none));
    json_put(making, "lease", has_lease(view) ? lease(view) : json_null());
    json_put(making, "lease_note", json_text(lease_note(view)));
    json_put(making, "takeover_seconds", until(takeover, view->now));
    json_put(making, "seat_held", json_boolean(view->probe.seat_held != 0));
    json_put(making, "heir_waits", json_boolean(view->probe.heir_waits != 0));
    json_put(making, "elections", json_integer((json_int_t)s->elections));
}

json_t *status_document(const struct status_view *view)
{
    struct json_making made = {.object = json_object()};

    put_instance(&made, view);
    put_election(&made, view);
    json_put(&made, "database", database(view));
    json_put(&made, "children", children(view));
    json_put(&made, "containment", containment(view));
    json_put(&made, "fleet", view->fleet == NULL ? json_null() : json_incref(view->fleet));
    json_put(&made, "jobs", jobs(view));
    json_put(&made, "warnings", warnings_list(view));
    json_put(&made, "config", loaded_config(&view->supervisor));
    return json_made(&made);
}
