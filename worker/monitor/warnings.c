#include "worker/monitor/warnings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/duration.h"
#include "worker/monitor/json_text.h"

enum { HASH8 = 8 }; /* hex digits of a configuration's hash in application_name */

struct warnings {
    json_t *list; /* owned until it is returned */
    bool failed;  /* out of memory */
};

__attribute__((format(printf, 3, 4))) static void warn(struct warnings *w, const char *name,
                                                       const char *format, ...)
{
    char text[768];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_t *warning = json_pack("{s:s, s:o}", "name", name, "text", json_text(text));
    if (json_array_append_new(w->list, warning) == -1) {
        w->failed = true;
    }
}

static void about_election(struct warnings *w, const struct status_view *view)
{
    if (!view->config->election.enabled) {
        warn(w, "no_election", "[election] enabled = no: every such instance runs the jobs");
    } else if (view->config->database.kind == DATABASE_NONE) {
        warn(w, "no_election",
             "dsn = none: there is no election, every such instance runs the jobs");
    }
    if (view->probe.database == DATABASE_UP && view->probe.holder == HOLDER_FOREIGN) {
        warn(w, "foreign_holder",
             "the leader key is held by a program that is not this election's (pid %" PRId32
             ", application_name '%s'): no instance leads",
             view->probe.holder_pid, view->probe.holder_application);
    }
}

/* It steps aside for another, or tries again: that nobody leads then is seen, and why is not. */
static void about_term(struct warnings *w, const struct status_view *view)
{
    const struct board_failure *failure = &view->supervisor.term_failure;

    if (failure->at == 0) {
        return;
    }
    json_t *at = json_moment(failure->at);
    warn(w, "term_failed", "this instance was granted leadership and could not take it at %s: %s",
         json_is_string(at) ? json_string_value(at) : "?", failure->text);
    json_decref(at);
}

static void about_clock(struct warnings *w, const struct status_view *view)
{
    int64_t offset = view->probe.clock_offset_ns;
    dur_ns most = view->config->database.max_clock_skew;

    const char *side = offset > 0 ? "ahead of" : "behind";
    struct duration_text off = duration_text(offset > 0 ? offset : -offset);

    if (view->probe.database != DATABASE_UP || most <= 0 || (offset <= most && offset >= -most)) {
        return;
    }
    if (view->probe.server_clock_wrong) {
        warn(w, "server_clock_wrong",
             "the clock of the database's host was set: this host's is %s it by %s", side, off.is);
    } else {
        warn(w, "clock_wrong",
             "this host's clock is %s the database's by %s, more than max_clock_skew: this "
             "instance does not lead",
             side, off.is);
    }
}

static void about_processes(struct warnings *w, const struct status_view *view)
{
    if (view->supervisor.unkillable > 0) {
        warn(w, "unkillable_processes",
             "%" PRIu32 " processes of a dead worker's jobs refuse to die",
             view->supervisor.unkillable);
    }
    if (view->config->job_count > BOARD_JOBS_MAX) {
        warn(w, "jobs_not_shown", "only the first %d of %zu jobs are shown with their runs",
             BOARD_JOBS_MAX, view->config->job_count);
    }
}

/* An instance of this configuration says these eight digits of its hash. */
static void about_fleet(struct warnings *w, const struct status_view *view)
{
    char ours[HASH8 + 1 + 8];
    unsigned others = 0;
    const char *example = NULL;
    size_t i;
    json_t *instance;

    (void)snprintf(ours, sizeof(ours), "%016" PRIx64, view->supervisor.config_hash);
    json_array_foreach(view->fleet, i, instance)
    {
        const char *hash = json_string_value(json_object_get(instance, "config"));

        if (hash != NULL && strncmp(hash, ours, HASH8) != 0) {
            const char *name = json_string_value(json_object_get(instance, "instance"));

            others++;
            example = example == NULL ? name : example;
        }
    }
    if (others > 0) {
        warn(w, "configurations_differ",
             "%u of %zu instances run another configuration than this one, such as '%s'", others,
             json_array_size(view->fleet), example == NULL ? "?" : example);
    }
}

static const char *label_of(const json_t *instance)
{
    const char *label = json_string_value(json_object_get(instance, "instance"));
    bool cut = json_is_true(json_object_get(instance, "cut"));

    return label == NULL || label[0] == '\0' || cut ? NULL : label;
}

/* The first label that an instance further down has too; NULL: they all differ, as far as we see.
 */
static const char *shared_label(const json_t *fleet)
{
    size_t count = json_array_size(fleet);

    for (size_t i = 0; i < count; i++) {
        const char *label = label_of(json_array_get(fleet, i));

        for (size_t j = i + 1; label != NULL && j < count; j++) {
            const char *other = label_of(json_array_get(fleet, j));

            if (other != NULL && strcmp(label, other) == 0) {
                return label;
            }
        }
    }
    return NULL;
}

static void about_labels(struct warnings *w, const struct status_view *view)
{
    const char *label = shared_label(view->fleet);

    if (label != NULL) {
        warn(w, "label_shared",
             "more than one instance is called '%s' (or one that is gone has left its session): in "
             "the "
             "log and in the history they cannot be told apart; give each its own [pgbaton] "
             "instance",
             label);
    }
}

static void about_jobs(struct warnings *w, const struct status_view *view)
{
    if (view->probe.database == DATABASE_UP && view->probe.jobs_differ != 0) {
        warn(w, "jobs_unserved",
             "the leader%s%s has another set of jobs than this instance: what only this one has is "
             "run by nobody",
             view->probe.leader_instance[0] != '\0' ? " " : "", view->probe.leader_instance);
    }
}

json_t *warnings_list(const struct status_view *view)
{
    struct warnings w = {.list = json_array()};

    about_election(&w, view);
    about_term(&w, view);
    about_clock(&w, view);
    about_processes(&w, view);
    about_fleet(&w, view);
    about_labels(&w, view);
    about_jobs(&w, view);
    if (w.failed) {
        json_decref(w.list);
        return NULL;
    }
    return w.list;
}
