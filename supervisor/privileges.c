#include "supervisor/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const cap_value_t kept[] = {CAP_SETUID, CAP_SETGID, CAP_KILL};
static const cap_value_t probe_as_root[] = {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH};
enum {
    KEPT_COUNT = sizeof(kept) / sizeof(kept[0]),
    PROBE_COUNT = sizeof(probe_as_root) / sizeof(probe_as_root[0]),
};

static bool copy(char *to, size_t size, const char *from)
{
    int length = snprintf(to, size, "%s", from == NULL ? "" : from);

    return length >= 0 && (size_t)length < size;
}

/* Those that only turn away whoever logs in are no shell to hand on. */
static bool is_shell(const char *path)
{
    static const char *const refusals[] = {"nologin", "false", "true", ""};
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    const char *name = slash == NULL ? "" : slash + 1;

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (strcmp(name, refusals[i]) == 0) {
            return false;
        }
    }
    return true;
}

static int find_user(const char *name, struct privileges *p, char *reterr, size_t size)
{
    errno = 0;
    const struct passwd *pw = getpwnam(name);

    if (pw == NULL) {
        (void)snprintf(reterr, size, "[pgbaton] user: there is no user '%s'", name);
        return -ENOENT;
    }
    p->uid = pw->pw_uid;
    p->gid = pw->pw_gid;
    const bool has_home = pw->pw_dir != NULL && pw->pw_dir[0] != '\0';

    if (!copy(p->user, sizeof(p->user), pw->pw_name) ||
        !copy(p->home, sizeof(p->home), has_home ? pw->pw_dir : "/") || /* as login does */
        !copy(p->shell, sizeof(p->shell), is_shell(pw->pw_shell) ? pw->pw_shell : "")) {
        (void)snprintf(reterr, size, "[pgbaton] user: the name, home or shell of '%s' is too long",
                       name);
        return -ENAMETOOLONG;
    }
    return 0;
}

static int find_group(const char *name, struct privileges *p, char *reterr, size_t size)
{
    const struct group *gr = getgrnam(name);

    if (gr == NULL) {
        (void)snprintf(reterr, size, "[pgbaton] group: there is no group '%s'", name);
        return -ENOENT;
    }
    p->gid = gr->gr_gid;
    return 0;
}

int privileges_find(const struct config *cfg, struct privileges *ret_privileges, char *reterr,
                    size_t size)
{
    struct privileges p = {.uid = geteuid(), .gid = getegid()};
    int rc = 0;

    if (cfg->pgbaton.user != NULL) {
        rc = find_user(cfg->pgbaton.user, &p, reterr, size);
    }
    if (rc == 0 && cfg->pgbaton.group != NULL) {
        rc = find_group(cfg->pgbaton.group, &p, reterr, size);
    }
    if (rc < 0) {
        return rc;
    }
    p.change = p.uid != geteuid() || p.gid != getegid();
    if (p.change && geteuid() != 0) {
        (void)snprintf(
            reterr, size,
            "[pgbaton] user, group: only root can become another user; started as uid %u",
            (unsigned)geteuid());
        return -EPERM;
    }
    p.keep_capabilities = p.uid != 0 && config_has_user_jobs(cfg);
    *ret_privileges = p;
    return 0;
}

int privileges_give(const struct privileges *p, const char *path)
{
    if (!p->change) {
        return 0;
    }
    return lchown(path, p->uid, p->gid) == -1 ? -errno : 0;
}

static bool has_capability(cap_value_t value, cap_flag_t flag)
{
    cap_t caps = cap_get_proc();
    cap_flag_value_t has = CAP_CLEAR;

    if (caps != NULL) {
        (void)cap_get_flag(caps, value, flag, &has);
        (void)cap_free(caps);
    }
    return has == CAP_SET;
}

/* Of these capabilities those that we have, permitted and effective; nothing is inheritable. A
 * container may have taken any of them away. 0 or -1 with errno. */
static int set_capabilities(const cap_value_t *values, int count)
{
    cap_t caps = cap_init();
    int rc = caps == NULL ? -1 : 0;

    for (int i = 0; rc == 0 && i < count; i++) {
        if (has_capability(values[i], CAP_PERMITTED) &&
            (cap_set_flag(caps, CAP_PERMITTED, 1, &values[i], CAP_SET) == -1 ||
             cap_set_flag(caps, CAP_EFFECTIVE, 1, &values[i], CAP_SET) == -1)) {
            rc = -1;
        }
    }
    if (rc == 0) {
        rc = cap_set_proc(caps);
    }
    int saved = errno;
    (void)cap_free(caps);
    errno = saved;
    return rc;
}

/* libpq looks for certificates and passwords in HOME, and a file in root's that may not be looked
 * for ends its attempt at TLS. */
static int set_environment(const struct privileges *p)
{
    if (setenv("HOME", p->home, 1) == -1 || setenv("USER", p->user, 1) == -1 ||
        setenv("LOGNAME", p->user, 1) == -1) {
        return -errno;
    }
    if (p->shell[0] == '\0' ? unsetenv("SHELL") == -1 : setenv("SHELL", p->shell, 1) == -1) {
        return -errno;
    }
    return 0;
}

int privileges_drop(const struct privileges *p)
{
    const bool other_user = p->uid != geteuid() && p->user[0] != '\0';

    if (!p->change) {
        return 0;
    }
    if (p->keep_capabilities && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1) {
        return -errno;
    }
    if (p->user[0] != '\0' ? initgroups(p->user, p->gid) == -1 : setgroups(1, &p->gid) == -1) {
        return -errno;
    }
    if (setresgid(p->gid, p->gid, p->gid) == -1 || setresuid(p->uid, p->uid, p->uid) == -1) {
        return -errno;
    }
    if (p->keep_capabilities && set_capabilities(kept, KEPT_COUNT) == -1) {
        return -errno;
    }
    return other_user ? set_environment(p) : 0;
}

/* Not even an exec as root gains anything after this. */
static int drop_bounding_set(void)
{
    if (!has_capability(CAP_SETPCAP, CAP_EFFECTIVE)) {
        return 0; /* then the set cannot be left behind by an exec either: no_new_privs */
    }
    for (cap_value_t value = 0; cap_get_bound(value) != -1; value++) {
        if (cap_drop_bound(value) == -1) {
            return -1;
        }
    }
    return 0;
}

int privileges_of_child(enum child_slot slot)
{
    switch (slot) {
    case SLOT_WORKER: /* its jobs may be other users' */
        return 0;
    case SLOT_KEEPER: /* CMD is what the entrypoint would be without us */
        return geteuid() == 0 ? 0 : set_capabilities(NULL, 0);
    case SLOT_PROBE: /* as root it must still read its files in other users' directories */
        return geteuid() == 0 ? set_capabilities(probe_as_root, PROBE_COUNT)
                              : set_capabilities(NULL, 0);
    case SLOT_MONITOR:
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 || drop_bounding_set() == -1) {
            return -1;
        }
        return set_capabilities(NULL, 0);
    case CHILD_SLOT_COUNT:
        break;
    }
    errno = EINVAL;
    return -1;
}

/* RLIMIT_NICE counts from 20 for 0 to 40 for -20. */
static bool limit_lets(int nice)
{
    enum { AT_ZERO = 20 };
    struct rlimit limit;

    return getrlimit(RLIMIT_NICE, &limit) == 0 && limit.rlim_cur >= (rlim_t)(AT_ZERO - nice);
}

bool privileges_can_set_nice(const struct config *cfg, int nice)
{
    if (nice >= 0 || limit_lets(nice)) {
        return true;
    }
    if (cfg->pgbaton.user != NULL) {
        const struct passwd *pw = getpwnam(cfg->pgbaton.user);

        if (pw != NULL && pw->pw_uid != geteuid()) {
            return false;
        }
    }
    return has_capability(CAP_SYS_NICE, CAP_EFFECTIVE);
}

bool privileges_can_switch(void)
{
    return has_capability(CAP_SETUID, CAP_EFFECTIVE) && has_capability(CAP_SETGID, CAP_EFFECTIVE) &&
           has_capability(CAP_KILL, CAP_EFFECTIVE);
}
