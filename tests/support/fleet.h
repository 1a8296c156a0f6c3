/*
 * fleet.h - a server, some instances and the two observers: what most tests
 * of the election begin with.
 */
#ifndef PGBATON_TESTS_SUPPORT_FLEET_H
#define PGBATON_TESTS_SUPPORT_FLEET_H

#include "tests/support/instance.h"
#include "tests/support/observer.h"
#include "tests/support/relay.h"
#include "tests/support/server.h"
#include "tests/support/workdir.h"

enum { FLEET_MAX = 4 };

struct fleet {
    struct workdir dir;
    struct server pg;
    struct diary diary;
    struct poller poller;
    struct instance member[FLEET_MAX]; /* called a, b, c, d */
    size_t count;
};

/*
 * fleet_make - the server is up, the instances are configured and not started.
 * What the settings leave out is: the dsn by TLS, ELECTION_CALM, the jobs of the
 * diary. NULL: all of that.
 */
void fleet_make(struct fleet *f, size_t count, const struct instance_settings *settings);

/* fleet_make_on - the same, with a server of those options. */
void fleet_make_on(struct fleet *f, size_t count, const struct instance_settings *settings,
                   const struct server_options *options);

/* fleet_settings - what fleet_make made of those settings: to change some of it for
 * instance_configure. */
struct instance_settings fleet_settings(const struct fleet *f,
                                        const struct instance_settings *settings);

/* fleet_add_jobs - before any is started: these sections too, beside what the settings say and the
 * jobs of the diary. */
void fleet_add_jobs(struct fleet *f, const struct instance_settings *settings, const char *jobs);
/* fleet_by_relay - that member, not started yet, reaches the server through the relay; settings as
 * for fleet_make, without the dsn. */
void fleet_by_relay(struct fleet *f, size_t member, const struct relay *relay,
                    const struct instance_settings *settings);

/* fleet_begin - start them so that a leads and writes, b is the heir, the rest follow. */
void fleet_begin(struct fleet *f);

/* fleet_wait_heir_known - until the leader a has seen that somebody waits: its probe looks now and
 * then. */
void fleet_wait_heir_known(struct fleet *f);

/* fleet_step_down - USR2 to a, until it obeys: its supervisor hears of the heir a moment later than
 * status does. */
void fleet_step_down(struct fleet *f);

/* fleet_check - the observers saw nothing wrong, nobody asserted. At the end of a test. */
void fleet_check(struct fleet *f);

/* leader_pid - of the present holder of the leader key: the pid of its backend, 0: nobody. */
int leader_pid(PGconn *conn);

#endif
