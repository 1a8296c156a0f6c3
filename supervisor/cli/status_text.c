#include "supervisor/cli/status_text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "supervisor/cli/table.h"

enum { FACT_MAX = 2048 };

void status_text_safe(FILE *to, const char *text)
{
    print_safe(to, text == NULL ? "" : text);
}

void status_text_length(double seconds, char *ret_text, size_t size)
{
    bool in_tenths = seconds < 59.95; /* "60.0s" would be 1m00s */
    long long whole = in_tenths ? 0 : seconds < 60 ? 60 : (long long)seconds;

    if (in_tenths) {
        (void)snprintf(ret_text, size, "%.1fs", seconds > 0 ? seconds : 0.0);
    } else if (whole < 3600) {
        (void)snprintf(ret_text, size, "%lldm%02llds", whole / 60, whole % 60);
    } else if (whole < 86400) {
        (void)snprintf(ret_text, size, "%lldh%02lldm", whole / 3600, whole / 60 % 60);
    } else {
        (void)snprintf(ret_text, size, "%lldd%02lldh", whole / 86400, whole / 3600 % 24);
    }
}

/* Text of a key; NULL where it has none. */
static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static const char *text_or(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = text_of(object, key);
    return text == NULL ? otherwise : text;
}

static bool number_of(const json_t *object, const char *key, double *ret_number)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_number(value)) {
        return false;
    }
    *ret_number = json_number_value(value);
    return true;
}

static long long integer_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* One line being put together: what does not fit is cut. */
struct line {
    char text[FACT_MAX];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void say(struct line *line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line->text + line->length, sizeof(line->text) - line->length, format, args);
    va_end(args);
    line->length += n > 0 ? (size_t)n : 0;
    if (line->length > sizeof(line->text) - 1) {
        line->length = sizeof(line->text) - 1;
    }
}

static void fact(FILE *to, const char *label, const struct line *line)
{
    (void)fprintf(to, "%-12s", label);
    print_safe(to, line->text);
    (void)fputc('\n', to);
}

/* ", WORD 13.4s" where the document has that many seconds. */
static void say_length(struct line *line, const json_t *object, const char *key, const char *format)
{
    double seconds;
    char text[32];

    if (number_of(object, key, &seconds)) {
        status_text_length(seconds, text, sizeof(text));
        say(line, "%s %s", format, text);
    }
}

static void print_instance(FILE *to, const json_t *document)
{
    struct line line = {.length = 0};

    say(&line, "%s, pid %lld, version %s", text_or(document, "instance", "?"),
        integer_of(document, "pid"), text_or(document, "version", "?"));
    fact(to, "instance", &line);
}

static void print_role(FILE *to, const json_t *document)
{
    const char *epoch = text_of(document, "epoch");
    struct line line = {.length = 0};

    say(&line, "%s since %s", text_or(document, "role", "?"), text_or(document, "role_since", "?"));
    if (epoch != NULL) {
        say(&line, ", epoch %s", epoch);
    }
    say_length(&line, document, "takeover_seconds", ", jobs start in");
    say_length(&line, document, "resting_seconds", ", seeks no leadership for");
    if (json_is_true(json_object_get(document, "stopping"))) {
        say(&line, ", stopping");
    }
    fact(to, "role", &line);
}

static void print_leader(FILE *to, const json_t *document)
{
    const json_t *leader = json_object_get(document, "leader");
    const char *kind = text_or(leader, "kind", "unknown");
    struct line line = {.length = 0};

    if (strcmp(kind, "ours") == 0) {
        say(&line, "this instance");
    } else if (strcmp(kind, "pgbaton") == 0) {
        say(&line, "%s, epoch %s", text_or(leader, "instance", "another instance"),
            text_or(leader, "epoch", "unknown"));
    } else if (strcmp(kind, "foreign") == 0) {
        say(&line, "another program: %s", text_or(leader, "application", "it gives no name"));
    } else {
        say(&line, "%s", kind);
    }
    if (integer_of(leader, "pid") > 0) {
        say(&line, ", database session %lld", integer_of(leader, "pid"));
    }
    fact(to, "leader", &line);
}

static void print_lease(FILE *to, const json_t *document)
{
    const json_t *lease = json_object_get(document, "lease");
    const char *note = text_of(document, "lease_note");
    struct line line = {.length = 0};
    double heartbeat;

    if (note != NULL) {
        say(&line, "%s", note);
    }
    say_length(&line, lease, "seconds", "of");
    say_length(&line, lease, "left_seconds", ", left");
    if (number_of(lease, "heartbeat_ms", &heartbeat)) {
        say(&line, ", heartbeat answered in %.1fms", heartbeat);
    }
    fact(to, "lease", &line);
}

static void print_database(FILE *to, const json_t *document)
{
    const json_t *database = json_object_get(document, "database");
    const char *version = text_of(database, "version");
    const char *address = text_of(database, "address");
    const char *reason = text_of(database, "reason");
    struct line line = {.length = 0};
    double offset;

    say(&line, "%s", text_or(database, "kind", "?"));
    if (version != NULL) {
        say(&line, " %s", version);
    }
    if (address != NULL) {
        say(&line, " at %s", address);
    }
    say(&line, ": %s", text_or(database, "state", "unknown"));
    if (reason != NULL) {
        say(&line, ", %s", reason);
    }
    if (number_of(database, "clock_offset_ms", &offset)) {
        say(&line, ", our clock %+.1fms", offset);
    }
    fact(to, "database", &line);
}

static void print_config(FILE *to, const json_t *document)
{
    const json_t *config = json_object_get(document, "config");
    struct line line = {.length = 0};

    say(&line, "%.8s, loaded %s", text_or(config, "hash", "?"), text_or(config, "loaded_at", "?"));
    if (integer_of(config, "reloads") > 0 || integer_of(config, "failed") > 0) {
        say(&line, ", %lld reloads, %lld failed", integer_of(config, "reloads"),
            integer_of(config, "failed"));
    }
    fact(to, "config", &line);
}

static void print_containment(FILE *to, const json_t *document)
{
    struct line line = {.length = 0};

    say(&line, "%s", text_or(document, "containment", "unknown"));
    fact(to, "containment", &line);
}

static void add_integer(struct table *table, const json_t *object, const char *key)
{
    if (json_is_integer(json_object_get(object, key))) {
        table_addf(table, "%lld", integer_of(object, key));
    } else {
        table_add(table, NULL);
    }
}

static void print_children(FILE *to, const json_t *document)
{
    struct table table = {.columns = 4};
    struct line uptime;
    size_t i;
    json_t *child;

    table_add(&table, "CHILD");
    table_add(&table, "PID");
    table_add(&table, "RESTARTS");
    table_add(&table, "UP FOR");
    json_array_foreach(json_object_get(document, "children"), i, child)
    {
        uptime = (struct line){.length = 0};
        say_length(&uptime, child, "uptime_seconds", "");
        table_add(&table, text_of(child, "name"));
        add_integer(&table, child, "pid");
        add_integer(&table, child, "restarts");
        table_add(&table, uptime.length == 0 ? NULL : uptime.text + 1);
    }
    (void)fputc('\n', to);
    table_print(&table, to);
    table_release(&table);
}

static void print_fleet(FILE *to, const json_t *document)
{
    const json_t *fleet = json_object_get(document, "fleet");
    struct table table = {.columns = 4};
    size_t i;
    json_t *instance;

    if (!json_is_array(fleet)) {
        if (json_is_object(json_object_get(document, "lease"))) { /* or there is no list of it */
            (void)fputs("\n  the fleet is unknown: the database was not asked, or did not answer\n",
                        to);
        }
        return;
    }
    table_add(&table, "INSTANCE");
    table_add(&table, "ROLE");
    table_add(&table, "CONFIG");
    table_add(&table, "CONNECTED SINCE");
    json_array_foreach(fleet, i, instance)
    {
        table_add(&table, text_of(instance, "instance"));
        table_add(&table, text_of(instance, "role"));
        table_add(&table, text_of(instance, "config"));
        table_add(&table, text_of(instance, "since"));
    }
    (void)fputc('\n', to);
    table_print(&table, to);
    table_release(&table);
}

static void add_job(struct table *table, const json_t *job)
{
    const json_t *last = json_object_get(job, "last");
    const char *outcome = text_of(last, "outcome");
    const char *next = text_of(job, "next");
    const char *paused_by = text_of(job, "paused_by");

    table_add(table, text_of(job, "name"));
    table_add(table, text_of(job, "schedule"));
    add_integer(table, job, "running");
    add_integer(table, job, "runs");
    table_add(table, text_of(last, "started_at"));
    if (outcome != NULL && integer_of(last, "code") != 0) {
        table_addf(table, "%s (%lld)", outcome, integer_of(last, "code"));
    } else {
        table_add(table, outcome);
    }
    if (json_is_false(json_object_get(job, "enabled"))) {
        table_add(table, "disabled");
    } else if (paused_by != NULL) {
        table_addf(table, "paused%s", paused_by[0] == 'a' ? " (all jobs)" : "");
    } else {
        table_add(table, next);
    }
}

static void print_jobs(FILE *to, const json_t *document)
{
    static const char *const heading[] = {"JOB",  "SCHEDULE", "RUNNING", "RUNS",
                                          "LAST", "OUTCOME",  "NEXT"};
    const json_t *jobs = json_object_get(document, "jobs");
    struct table table = {.columns = sizeof(heading) / sizeof(heading[0])};
    size_t i;
    json_t *job;

    bool has_run = false;

    if (json_array_size(jobs) == 0) {
        return;
    }
    for (size_t column = 0; column < table.columns; column++) {
        table_add(&table, heading[column]);
    }
    json_array_foreach(jobs, i, job)
    {
        add_job(&table, job);
        has_run = has_run || integer_of(job, "runs") > 0;
    }
    (void)fputc('\n', to);
    table_print(&table, to);
    table_release(&table);
    if (has_run && !json_is_true(json_object_get(document, "leads"))) {
        (void)fputs("\n  runs of this instance's own terms; `pgbaton jobs` has those of all\n", to);
    }
}

static void print_warnings(FILE *to, const json_t *document)
{
    const json_t *warnings = json_object_get(document, "warnings");
    size_t i;
    json_t *warning;

    if (json_array_size(warnings) > 0) {
        (void)fputc('\n', to);
    }
    json_array_foreach(warnings, i, warning)
    {
        (void)fputs("warning: ", to);
        print_safe(to, text_or(warning, "text", "?"));
        (void)fputc('\n', to);
    }
}

void status_text_print(FILE *to, const json_t *document)
{
    print_instance(to, document);
    print_role(to, document);
    print_leader(to, document);
    print_lease(to, document);
    print_database(to, document);
    print_config(to, document);
    print_containment(to, document);
    print_children(to, document);
    print_fleet(to, document);
    print_jobs(to, document);
    print_warnings(to, document);
}
