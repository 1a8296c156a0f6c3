/*
 * observer.h - the two that watch every election from outside.
 *
 * The diary: jobs of the leader write a line into one file many times a second;
 * O_APPEND puts all lines of all instances in one order. Once a term has written,
 * no term before it may write again: that is what "no overlap" means.
 *
 * The poller: a process with a session of its own that looks into pg_locks
 * every few milliseconds and never may see two holders of the leader key.
 */
#ifndef PGBATON_TESTS_SUPPORT_OBSERVER_H
#define PGBATON_TESTS_SUPPORT_OBSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/server.h"
#include "tests/support/workdir.h"

#define LEADER_KEY INT64_C(0x12345678ABCDEF00)

struct diary {
    char file[128];
    char script[128];
    char job[1024]; /* sections for the INI file: an `always` service with a grandchild in a session
                       of its own that ignores TERM, and a job every 200 ms */
};

void diary_make(struct diary *d, const struct workdir *w);

/* diary_lines - how many lines that instance has written ("" for any); diary_wait - until there are
 * more than that. */
size_t diary_lines(const struct diary *d, const char *instance);
void diary_wait(const struct diary *d, const char *instance, size_t more_than);

/* diary_wait_for - the instance writes on, without a pause, for that long at the least. */
void diary_wait_for(const struct diary *d, const char *instance, dur_ns length);

/* diary_terms - how many different terms have written. */
size_t diary_terms(const struct diary *d);

/* diary_check - ends the test if two terms overlap, or an epoch belongs to two instances, or goes
 * back. */
void diary_check(const struct diary *d);

struct poller {
    struct poller_view *view; /* shared with the process */
    pid_t pid;
    int line; /* its end of file ends the poller */
};

void poller_start(struct poller *p, const struct server *s, int64_t key);

/* poller_check - ends the test if two held the key at one time, or it could never look. Stops the
 * poller. */
void poller_check(struct poller *p);

#endif
