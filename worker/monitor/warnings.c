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

static void about_clock(struct warnings *w, const struct status_view *view)
{
    int64_t offset = view->probe.clock_offset_ns;
    dur_ns most = view->config->database.max_clock_skew;

    if (view->probe.database == DATABASE_UP && most > 0 && (offset > most || offset < -most)) {
        warn(w, "clock_wrong",
             "this host's clock is %s the database's by %s, more than max_clock_skew: this "
             "instance does not lead",
             offset > 0 ? "ahead of" : "behind", duration_text(offset > 0 ? offset : -offset).is);
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

json_t *warnings_list(const struct status_view *view)
{
    struct warnings w = {.list = json_array()};

    about_election(&w, view);
    about_clock(&w, view);
    about_processes(&w, view);
    about_fleet(&w, view);
    if (w.failed) {
        json_decref(w.list);
        return NULL;
    }
    return w.list;
}
