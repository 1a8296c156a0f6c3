#include "tests/support/observer.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/text.h"
#include "tests/support/wait.h"

/* $1: the diary, $2: what to do. One echo is one write(2), so lines never mix. */
static const char diary_script[] = "say() { echo \"$PGBATON_INSTANCE $PGBATON_EPOCH $1\"; }\n"
                                   "exec >>\"$1\"\n"
                                   "case $2 in\n"
                                   "service)\n"
                                   "    setsid /bin/sh \"$0\" \"$1\" stray &\n"
                                   "    while :; do say service; sleep 0.03; done ;;\n"
                                   "stray)\n"
                                   "    trap '' TERM HUP INT\n"
                                   "    while :; do say stray; sleep 0.03; done ;;\n"
                                   "tick)\n"
                                   "    say start; sleep 0.05; say end ;;\n"
                                   "esac\n";

void diary_make(struct diary *d, const struct workdir *w)
{
    (void)snprintf(d->file, sizeof d->file, "%s/diary", w->path);
    (void)snprintf(d->script, sizeof d->script, "%s/diary.sh", w->path);
    (void)snprintf(d->job, sizeof d->job,
                   "[job service]\nschedule = always\nexec = /bin/sh %s %s service\n"
                   "[job tick]\nschedule = every 200ms\nexec = /bin/sh %s %s tick\n",
                   d->script, d->file, d->script, d->file);
    text_write(d->script, diary_script);
    text_write(d->file, "");
}

size_t diary_lines(const struct diary *d, const char *instance)
{
    char *text = text_read(d->file);
    size_t count = 0;

    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        size_t name = strlen(instance);
        count += name == 0 || (strncmp(line, instance, name) == 0 && line[name] == ' ');
        line += length + (line[length] == '\n');
    }
    free(text);
    return count;
}

struct wanted_lines {
    const struct diary *diary;
    const char *instance;
    size_t more_than;
};

static bool has_lines(void *ctx)
{
    const struct wanted_lines *w = ctx;

    return diary_lines(w->diary, w->instance) > w->more_than;
}

void diary_wait(const struct diary *d, const char *instance, size_t more_than)
{
    struct wanted_lines wanted = {.diary = d, .instance = instance, .more_than = more_than};

    cr_assert(wait_until(has_lines, &wanted, WAIT_LIMIT), "'%s' does not write into the diary:\n%s",
              instance, text_tail(d->file));
}

void diary_wait_for(const struct diary *d, const char *instance, dur_ns length)
{
    for (mono_ns until = clock_now() + length; clock_now() < until;) {
        diary_wait(d, instance, diary_lines(d, instance) + 10);
    }
}

struct entry {
    char instance[64];
    uint64_t generation;
    uint64_t number;
};

/* The next whole line; false at the end. A last line without its end is not there yet. */
static bool diary_next(const char **at, struct entry *ret)
{
    const char *end = strchr(*at, '\n');

    if (end == NULL) {
        return false;
    }
    cr_assert_eq(
        sscanf(*at, "%63s %" SCNu64 ".%" SCNu64, ret->instance, &ret->generation, &ret->number), 3,
        "not a line of the diary: %.*s", (int)(end - *at), *at);
    *at = end + 1;
    return true;
}

static int compare_epochs(const struct entry *a, const struct entry *b)
{
    if (a->generation != b->generation) {
        return a->generation < b->generation ? -1 : 1;
    }
    return a->number == b->number ? 0 : a->number < b->number ? -1 : 1;
}

static size_t diary_walk(const struct diary *d, bool checked)
{
    char *text = text_read(d->file);
    const char *at = text;
    struct entry last = {.number = 0};
    struct entry now;
    size_t terms = 0;

    while (diary_next(&at, &now)) {
        int order = terms == 0 ? -1 : compare_epochs(&last, &now);

        if (checked) {
            cr_assert(order <= 0,
                      "two leaders: term %" PRIu64 ".%" PRIu64 " of %s still wrote after %" PRIu64
                      ".%" PRIu64 " of %s had begun",
                      now.generation, now.number, now.instance, last.generation, last.number,
                      last.instance);
            cr_assert(order != 0 || strcmp(last.instance, now.instance) == 0,
                      "term %" PRIu64 ".%" PRIu64 " belongs to %s and to %s", now.generation,
                      now.number, last.instance, now.instance);
        }
        terms += order < 0;
        last = order < 0 ? now : last;
    }
    free(text);
    return terms;
}

size_t diary_terms(const struct diary *d)
{
    return diary_walk(d, false);
}

void diary_check(const struct diary *d)
{
    (void)diary_walk(d, true);
}

struct poller_view {
    atomic_uint looks;
    atomic_uint most; /* holders at one time */
};

/* In the poller's process: nothing of criterion here. A server that is down is looked for again. */
static _Noreturn void poll_locks(const struct server *s, int64_t key, int line,
                                 struct poller_view *view)
{
    struct pollfd end = {.fd = line, .events = POLLIN};
    char conninfo[256];
    char sql[256];
    PGconn *conn = NULL;

    (void)snprintf(conninfo, sizeof conninfo,
                   "host=%s port=%u user=postgres dbname=" SERVER_DATABASE
                   " application_name=poller",
                   s->dir, s->port);
    (void)snprintf(
        sql, sizeof sql,
        "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND objsubid = 1 AND classid = %" PRIu32 " AND objid = %" PRIu32,
        (uint32_t)((uint64_t)key >> 32), (uint32_t)((uint64_t)key & UINT32_MAX));
    while (poll(&end, 1, 5) == 0) {
        if (conn == NULL || PQstatus(conn) != CONNECTION_OK) {
            PQfinish(conn);
            conn = PQconnectdb(conninfo);
            continue;
        }
        const char *holders = server_scalar(conn, sql);
        if (holders != NULL) {
            unsigned count = (unsigned)strtoul(holders, NULL, 10);
            atomic_fetch_add(&view->looks, 1);
            if (count > atomic_load(&view->most)) {
                atomic_store(&view->most, count);
            }
        }
    }
    _exit(0);
}

void poller_start(struct poller *p, const struct server *s, int64_t key)
{
    int line[2];

    p->view =
        mmap(NULL, sizeof *p->view, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(p->view, MAP_FAILED);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
    (void)fflush(NULL);
    p->pid = fork();
    cr_assert(p->pid >= 0);
    if (p->pid == 0) {
        (void)dup2(line[1], 3);
        (void)close_range(4, ~0U, 0);
        poll_locks(s, key, 3, p->view);
    }
    (void)close(line[1]);
    p->line = line[0];
}

void poller_check(struct poller *p)
{
    (void)close(p->line);
    (void)waitpid(p->pid, NULL, 0);
    cr_assert(atomic_load(&p->view->looks) > 0, "the poller never could look into pg_locks");
    cr_assert(atomic_load(&p->view->most) <= 1, "%u sessions held the leader key at one time",
              atomic_load(&p->view->most));
    (void)munmap(p->view, sizeof *p->view);
}
