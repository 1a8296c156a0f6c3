/*
 * privileges.h - become the daemon's user, and leave each child only what it needs.
 *
 * Started as root with [pgbaton] user, everything is done as that user, in its
 * environment: HOME, USER, LOGNAME and SHELL are its own, as systemd's User= has
 * it, for libpq, the jobs and CMD. Where a job names a user of its own, CAP_SETUID, CAP_SETGID and
 * CAP_KILL are kept by the supervisor and the worker, and by nobody else.
 *
 * Runs in: supervisor, and its children before their own code.
 */
#ifndef PGBATON_SUPERVISOR_PRIVILEGES_H
#define PGBATON_SUPERVISOR_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/config.h"
#include "common/scoreboard.h"

enum { PRIVILEGES_NAME_MAX = 256, PRIVILEGES_PATH_MAX = 4096 }; /* with the end of the text */

/* Whom to become. */
struct privileges {
    bool change; /* false: stay who we are */
    bool keep_capabilities;
    uid_t uid;
    gid_t gid;
    char user[PRIVILEGES_NAME_MAX];  /* "": only the group changes */
    char home[PRIVILEGES_PATH_MAX];  /* of that user, as the next */
    char shell[PRIVILEGES_PATH_MAX]; /* "": it has none to log in with */
};

/*
 * privileges_find - whom the configuration names. 0; -EPERM (somebody else,
 * and we are not root), -ENOENT (no such user or group), -ENAMETOOLONG (what is known of the user),
 * with the reason in reterr.
 */
int privileges_find(const struct config *cfg, struct privileges *ret_privileges, char *reterr,
                    size_t size);

/* privileges_give - make path, which we made, the daemon user's. 0 or a negative errno. */
int privileges_give(const struct privileges *p, const char *path);

/* privileges_drop - become that user, for good. Where it is another one the environment changes,
 * and environ may move. 0 or a negative errno. */
int privileges_drop(const struct privileges *p);

/* privileges_of_child - in a new child: drop what this role does not need. 0, or -1 with errno. */
int privileges_of_child(enum child_slot slot);

/*
 * privileges_can_set_nice - could a job get that nice value from a daemon with this configuration
 * that is started by whoever asks? Below 0 is not for the user that the daemon becomes.
 */
bool privileges_can_set_nice(const struct config *cfg, int nice);

/* privileges_can_switch - can a job run as another user? (config_diff asks) */
bool privileges_can_switch(void);

#endif
