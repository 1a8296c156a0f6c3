#include "tests/support/instance.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/text.h"

enum { WORDS_MAX = 32, BELOW_MAX = 256 };

const char *pgbaton_path(void)
{
    static char path[PATH_MAX];
    const char *given = getenv("PGBATON");

    cr_assert_not_null(realpath(given != NULL ? given : "build/pgbaton", path),
                       "there is no build/pgbaton");
    return path;
}

static const char *or_nothing(const char *text)
{
    return text == NULL ? "" : text;
}

void instance_configure(struct instance *i, const struct instance_settings *settings)
{
    char *dsn = settings->dsn == NULL ? NULL : text_format("dsn = %s\n", settings->dsn);
    char *text = text_format("[pgbaton]\ninstance = %s\nrun_dir = %s\n%s\n"
                             "[database]\n%s%s\n"
                             "[election]\n%s\n"
                             "[jobs]\n%s\n"
                             "%s\n",
                             i->name, i->run_dir, or_nothing(settings->pgbaton), or_nothing(dsn),
                             or_nothing(settings->database), or_nothing(settings->election),
                             or_nothing(settings->jobs), or_nothing(settings->job));

    text_write(i->ini, text);
    free(text);
    free(dsn);
}

void instance_make(struct instance *i, const struct workdir *w, const char *name,
                   const struct instance_settings *settings)
{
    *i = (struct instance){.supervisor = {.line = -1}};
    (void)snprintf(i->name, sizeof i->name, "%s", name);
    (void)snprintf(i->dir, sizeof i->dir, "%s/%s", w->path, name);
    (void)snprintf(i->ini, sizeof i->ini, "%s/pgbaton.ini", i->dir);
    (void)snprintf(i->run_dir, sizeof i->run_dir, "%s/run", i->dir);
    (void)snprintf(i->log, sizeof i->log, "%s/log", i->dir);
    cr_assert_eq(mkdir(i->dir, 0755), 0);
    instance_configure(i, settings);
}

/*
 * The binary that this instance's user can execute: another user may have no way to the source
 * tree (below a home directory of root, say), so it gets a copy in the test's directory.
 */
static const char *binary_of(const struct instance *i)
{
    static char copy[192];
    const char *argv[] = {"install", "-m", "755", pgbaton_path(), copy, NULL};
    struct program_spec spec = {.argv = argv};

    if (i->user == NULL) {
        return pgbaton_path();
    }
    (void)snprintf(copy, sizeof copy, "%s/pgbaton", i->dir);
    if (access(copy, X_OK) != 0) {
        cr_assert_eq(program_run(&spec), 0, "cannot copy %s", pgbaton_path());
    }
    return copy;
}

/* before: words that come before the program's, and run it. */
static void start(struct instance *i, const char *const *before, const char *const *words)
{
    const char *const run[] = {binary_of(i), "run", "-c", i->ini, NULL};
    const char *const *const parts[] = {before, i->entrypoint, run, words};
    const char *argv[WORDS_MAX] = {NULL};
    size_t count = 0;
    struct program_spec spec = {.argv = argv,
                                .environment = i->environment,
                                .output = i->log,
                                .errors = i->log,
                                .user = i->user,
                                .network = i->network};

    for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
        for (const char *const *w = parts[part]; w != NULL && *w != NULL; w++) {
            cr_assert(count < WORDS_MAX - 1);
            argv[count++] = *w;
        }
    }
    if (i->user != NULL && geteuid() == 0) {
        const struct passwd *account = getpwnam(i->user);
        cr_assert_not_null(account);
        cr_assert_eq(chown(i->dir, account->pw_uid, account->pw_gid), 0);
    }
    program_start(&i->supervisor, &spec);
}

void instance_start(struct instance *i, const char *const *words)
{
    start(i, NULL, words);
}

/* Is the mount of /proc one that no other mount namespace follows? */
static bool proc_is_private(void)
{
    char *mounts = text_read("/proc/self/mountinfo");
    bool private = false;

    for (char *line = strtok(mounts, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strstr(line, " /proc ") != NULL) { /* the last one is the one that is seen */
            private = strstr(line, " shared:") == NULL;
        }
    }
    free(mounts);
    return private;
}

/*
 * unshare(1) makes the namespace; what it runs there is PID 1. In a chroot it
 * cannot make the root private, which is no mount there; where /proc is that
 * already, nothing has to be made so.
 */
static const char *const *namespace_words(void)
{
    static const char *const words[][9] = {
        {"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", NULL},
        {"unshare", "--pid", "--fork", "--kill-child", "--propagation", "unchanged", "--mount-proc",
         NULL},
    };
    const size_t count = proc_is_private() ? 2 : 1;

    for (size_t i = 0; i < count; i++) {
        const char *probe[12] = {NULL};
        size_t length = 0;

        while (words[i][length] != NULL) {
            probe[length] = words[i][length];
            length++;
        }
        probe[length] = "true";
        if (program_run(&(struct program_spec){.argv = probe}) == 0) {
            return words[i];
        }
    }
    return NULL;
}

bool instance_start_as_pid_1(struct instance *i, const char *const *words)
{
    const char *const *before = namespace_words();

    if (before != NULL) {
        start(i, before, words);
    }
    return before != NULL;
}

void instance_mark(struct instance *i)
{
    struct stat about;

    i->mark = stat(i->log, &about) == 0 ? (size_t)about.st_size : 0;
}

/* The event (NULL: any) of a line "TIME level role: event pairs", and whether the line holds the
 * text. */
static bool line_is(const char *line, size_t length, const char *event, const char *text)
{
    char copy[8192];
    char said[64];

    (void)snprintf(copy, sizeof copy, "%.*s",
                   (int)(length < sizeof copy ? length : sizeof copy - 1), line);
    if (event == NULL) {
        return strstr(copy, text) != NULL;
    }
    if (sscanf(copy, "%*s %*s %*s %63s", said) != 1 || strcmp(said, event) != 0) {
        return false;
    }
    return strstr(copy, text) != NULL;
}

static size_t count_lines(const char *log, const char *event, const char *text)
{
    size_t count = 0;

    for (const char *line = log; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        count += line_is(line, length, event, text);
        line += length + (line[length] == '\n');
    }
    return count;
}

size_t instance_logged(const struct instance *i, const char *event, const char *text)
{
    char *log = text_read(i->log);
    size_t count = strlen(log) < i->mark ? 0 : count_lines(log + i->mark, event, text);

    free(log);
    return count;
}

/* "2026-11-23T16:20:00.123Z ..." */
static wall_ns time_of_line(const char *line)
{
    struct tm day = {.tm_year = 0};
    const char *rest = strptime(line, "%Y-%m-%dT%H:%M:%S.", &day);

    cr_assert_not_null(rest, "no time in front of: %.80s", line);
    return DUR_S(timegm(&day)) + DUR_MS(strtol(rest, NULL, 10));
}

wall_ns instance_time_of(const struct instance *i, const char *event, const char *text)
{
    char *log = text_read(i->log);
    wall_ns at = 0;

    for (const char *line = strlen(log) < i->mark ? "" : log + i->mark; *line != '\0' && at == 0;) {
        size_t length = strcspn(line, "\n");
        at = line_is(line, length, event, text) ? time_of_line(line) : 0;
        line += length + (line[length] == '\n');
    }
    free(log);
    return at;
}

struct wanted {
    struct instance *instance;
    const char *event;
    const char *text;
};

static bool was_logged(void *ctx)
{
    const struct wanted *w = ctx;

    return instance_logged(w->instance, w->event, w->text) > 0;
}

void instance_wait(struct instance *i, const char *event, const char *text)
{
    struct wanted wanted = {.instance = i, .event = event, .text = text};

    cr_assert(wait_until(was_logged, &wanted, WAIT_LIMIT), "%s: no '%s' with '%s' in its log:\n%s",
              i->name, event, text, text_tail(i->log));
}

void instance_wait_text(struct instance *i, const char *text)
{
    instance_wait(i, NULL, text);
}

bool instance_leads(const struct instance *i)
{
    char *log = text_read(i->log);
    bool leads = false;

    for (const char *line = log; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (line_is(line, length, "elected", "")) {
            leads = true;
        } else if (line_is(line, length, "released", "") || line_is(line, length, "lost", "") ||
                   line_is(line, length, "fenced", "")) {
            leads = false;
        }
        line += length + (line[length] == '\n');
    }
    free(log);
    return leads && (i->supervisor.line < 0 || process_lives(i->supervisor.pid));
}

bool instance_term_ended(void *instance)
{
    const struct instance *i = instance;

    return instance_logged(i, "lost", "") + instance_logged(i, "fenced", "") +
               instance_logged(i, "released", "") >
           0;
}

struct fleet {
    struct instance *list;
    size_t count;
    struct instance *leader;
};

static bool one_leads(void *ctx)
{
    struct fleet *f = ctx;
    size_t leaders = 0;

    for (size_t n = 0; n < f->count; n++) {
        if (process_lives(f->list[n].supervisor.pid) && instance_leads(&f->list[n])) {
            f->leader = &f->list[n];
            leaders++;
        }
    }
    return leaders == 1;
}

struct instance *instances_wait_leader(struct instance *list, size_t count)
{
    struct fleet fleet = {.list = list, .count = count};

    cr_assert(wait_until(one_leads, &fleet, WAIT_LIMIT), "nobody leads:\n%s",
              text_tail(list[0].log));
    return fleet.leader;
}

void instance_check_log(const struct instance *i)
{
    /* The last one: a text of libpq that was not made one line. */
    static const char *const bugs[] = {"Assertion", "Sanitizer", "runtime error:", "\\n\""};
    char *log = text_read(i->log);

    for (size_t n = 0; n < sizeof bugs / sizeof bugs[0]; n++) {
        cr_expect_null(strstr(log, bugs[n]), "%s:\n%s", i->name, log);
    }
    free(log);
}

int instance_wait_exit(struct instance *i)
{
    int code = program_wait(&i->supervisor, WAIT_LIMIT);

    cr_assert(code >= 0, "%s does not end:\n%s", i->name, text_tail(i->log));
    instance_check_log(i);
    return code;
}

void instance_stop(struct instance *i)
{
    program_signal(&i->supervisor, SIGTERM);
    cr_assert_eq(instance_wait_exit(i), 0, "%s:\n%s", i->name, text_tail(i->log));
    cr_assert(program_wait_all(&i->supervisor, WAIT_LIMIT), "%s left a process over", i->name);
}

pid_t instance_child(const struct instance *i, const char *role)
{
    pid_t below[BELOW_MAX];
    size_t count = processes_below(i->supervisor.guard, below, BELOW_MAX);

    for (size_t n = 0; n < count; n++) {
        const char *title = process_title(below[n]);
        if (strncmp(title, "pgbaton: ", 9) == 0 && strstr(title, role) != NULL) {
            return below[n];
        }
    }
    return 0;
}

struct wanted_child {
    struct instance *instance;
    const char *role;
    pid_t before;
    pid_t found;
};

static bool child_is_there(void *ctx)
{
    struct wanted_child *w = ctx;

    w->found = instance_child(w->instance, w->role);
    return w->found != 0 && w->found != w->before;
}

pid_t instance_wait_child(struct instance *i, const char *role, pid_t before)
{
    struct wanted_child wanted = {.instance = i, .role = role, .before = before};

    cr_assert(wait_until(child_is_there, &wanted, WAIT_LIMIT), "%s has no %s:\n%s", i->name, role,
              text_tail(i->log));
    return wanted.found;
}

static void take_output(const char *path, char *ret_text, size_t size)
{
    char *text = text_read(path);

    (void)snprintf(ret_text, size, "%s", text);
    free(text);
    (void)unlink(path);
}

static void run_command(const char *dir, struct outcome *ret, const char *const *argv,
                        const char *const *environment, const char *user)
{
    char out[160];
    char err[160];
    static unsigned number;

    number++;
    (void)snprintf(out, sizeof out, "%s/out.%d.%u", dir, (int)getpid(), number);
    (void)snprintf(err, sizeof err, "%s/err.%d.%u", dir, (int)getpid(), number);
    struct program_spec spec = {
        .argv = argv, .environment = environment, .output = out, .errors = err, .user = user};

    ret->code = program_run(&spec);
    take_output(out, ret->out, sizeof ret->out);
    take_output(err, ret->err, sizeof ret->err);
}

void instance_command(const struct instance *i, struct outcome *ret, const char *command, ...)
{
    const char *argv[WORDS_MAX] = {binary_of(i), command, "-c", i->ini};
    size_t count = 4;
    const char *word;
    va_list args;

    va_start(args, command);
    while ((word = va_arg(args, const char *)) != NULL && count < WORDS_MAX - 1) {
        argv[count++] = word;
    }
    va_end(args);
    run_command(i->dir, ret, argv, NULL, i->user);
}

json_t *instance_status(const struct instance *i)
{
    static struct outcome told;

    instance_command(i, &told, "status", "--json", NULL);
    return told.code == 0 ? json_loads(told.out, 0, NULL) : NULL;
}

bool instance_is_warned(const struct instance *i, const char *name)
{
    json_t *status = instance_status(i);
    bool found = false;
    size_t at;
    json_t *warning;

    json_array_foreach(json_object_get(status, "warnings"), at, warning)
    {
        const char *is = json_string_value(json_object_get(warning, "name"));

        found = found || (is != NULL && strcmp(is, name) == 0);
    }
    json_decref(status);
    return found;
}

void pgbaton_command(const struct workdir *w, struct outcome *ret, const char *const *words,
                     const char *const *environment)
{
    const char *argv[WORDS_MAX] = {pgbaton_path()};
    size_t count = 1;

    while (*words != NULL && count < WORDS_MAX - 1) {
        argv[count++] = *words++;
    }
    run_command(w->path, ret, argv, environment, NULL);
}
