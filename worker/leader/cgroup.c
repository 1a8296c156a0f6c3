#include "worker/leader/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PREFIX "pgbaton-run-"

struct run_path {
    char is[640];
};

static struct run_path run_path(const struct cgroup *c, uint64_t run, const char *file)
{
    struct run_path path;

    (void)snprintf(path.is, sizeof(path.is), "%s/" PREFIX "%d-%" PRIu64 "%s", c->path,
                   (int)getpid(), run, file);
    return path;
}

/* Where cgroup2 is mounted, with the part of the tree that the mount shows. */
static bool find_mount(char *ret_point, size_t size, char *ret_root, size_t root_size)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    bool found = false;

    while (mounts != NULL && !found && fgets(line, sizeof(line), mounts) != NULL) {
        char root[512];
        char point[512];

        if (strstr(line, " - cgroup2 ") != NULL &&
            sscanf(line, "%*u %*u %*s %511s %511s", root, point) == 2) {
            found = snprintf(ret_point, size, "%s", point) < (int)size &&
                    snprintf(ret_root, root_size, "%s", root) < (int)root_size;
        }
    }
    if (mounts != NULL) {
        (void)fclose(mounts);
    }
    return found;
}

static bool find_own(char *ret_path, size_t size)
{
    FILE *list = fopen("/proc/self/cgroup", "re");
    char line[1024];
    bool found = false;

    while (list != NULL && !found && fgets(line, sizeof(line), list) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) == 0) {
            found = snprintf(ret_path, size, "%s", line + 3) < (int)size;
        }
    }
    if (list != NULL) {
        (void)fclose(list);
    }
    return found;
}

static bool has_file(const char *directory, const char *name, int mode)
{
    char path[640];

    return snprintf(path, sizeof(path), "%s/%s", directory, name) < (int)sizeof(path) &&
           access(path, mode) == 0;
}

static bool is_marked(const char *path)
{
    char value[2];

    return (getxattr(path, "user.delegate", value, sizeof(value)) == 1 && value[0] == '1') ||
           (getxattr(path, "trusted.delegate", value, sizeof(value)) == 1 && value[0] == '1');
}

/*
 * May we divide it? The root of the machine has no cgroup.type. For root
 * everything is writable, which says nothing: it must be marked, or be what a
 * container sees as its root.
 */
static bool is_ours(const char *path, bool root_of_namespace)
{
    struct stat about;

    if (stat(path, &about) == -1 || !has_file(path, "cgroup.type", R_OK) ||
        !has_file(path, "cgroup.kill", F_OK) || !has_file(path, "cgroup.procs", W_OK) ||
        access(path, W_OK | X_OK) == -1) {
        return false;
    }
    return root_of_namespace || is_marked(path) || (geteuid() != 0 && about.st_uid == geteuid());
}

void cgroup_find(struct cgroup *ret_cgroup)
{
    char mount[512];
    char root[512];
    char own[512];
    struct cgroup found = {.path = ""};

    *ret_cgroup = found;
    /* A mount that shows another part of the tree than we are in: the paths do not fit together. */
    if (!find_mount(mount, sizeof(mount), root, sizeof(root)) || strcmp(root, "/") != 0 ||
        !find_own(own, sizeof(own))) {
        return;
    }
    bool at_root = strcmp(own, "/") == 0;
    if (snprintf(found.path, sizeof(found.path), "%s%s", mount, at_root ? "" : own) >=
            (int)sizeof(found.path) ||
        !is_ours(found.path, at_root)) {
        return;
    }
    *ret_cgroup = found;
    cgroup_sweep(ret_cgroup);
}

void cgroup_use(struct cgroup *ret_cgroup, const char *path)
{
    (void)snprintf(ret_cgroup->path, sizeof(ret_cgroup->path), "%s", path);
}

bool cgroup_is_delegated(const struct cgroup *c)
{
    return c->path[0] != '\0';
}

int cgroup_make(const struct cgroup *c, uint64_t run)
{
    if (!cgroup_is_delegated(c)) {
        return -ENOTSUP;
    }
    if (mkdir(run_path(c, run, "").is, 0755) == -1) {
        return -errno;
    }
    int fd = open(run_path(c, run, "/cgroup.procs").is, O_WRONLY | O_CLOEXEC);
    if (fd == -1) {
        int error = errno;

        (void)rmdir(run_path(c, run, "").is);
        return -error;
    }
    return fd;
}

static int kill_in(int directory, const char *path)
{
    int fd = openat(directory, path, O_WRONLY | O_CLOEXEC);
    int rc = 0;

    if (fd == -1) {
        return -errno;
    }
    if (write(fd, "1", 1) == -1) {
        rc = -errno;
    }
    (void)close(fd);
    return rc;
}

int cgroup_kill(const struct cgroup *c, uint64_t run)
{
    return cgroup_is_delegated(c) ? kill_in(AT_FDCWD, run_path(c, run, "/cgroup.kill").is)
                                  : -ENOTSUP;
}

int cgroup_processes(const struct cgroup *c, uint64_t run, struct pid_set *set)
{
    FILE *list;
    int rc = 0;
    int pid;

    if (!cgroup_is_delegated(c)) {
        return -ENOTSUP;
    }
    list = fopen(run_path(c, run, "/cgroup.procs").is, "re");
    if (list == NULL) {
        return -errno;
    }
    while (rc == 0 && fscanf(list, "%d", &pid) == 1) {
        rc = pid > 0 ? pid_set_add(set, pid) : 0; /* 0: of another pid namespace */
    }
    (void)fclose(list);
    return rc;
}

int cgroup_remove(const struct cgroup *c, uint64_t run)
{
    if (!cgroup_is_delegated(c)) {
        return -ENOTSUP;
    }
    return rmdir(run_path(c, run, "").is) == -1 ? -errno : 0;
}

/* The pid of the worker that made a cgroup of that name; 0: none of ours did. */
static pid_t maker_of(const char *name)
{
    int pid;

    return sscanf(name, PREFIX "%d-", &pid) == 1 && pid > 0 ? pid : 0;
}

static void each_made(const struct cgroup *c, void (*visit)(int directory, const char *name))
{
    struct dirent *entry;
    DIR *directory = cgroup_is_delegated(c) ? opendir(c->path) : NULL;

    if (directory == NULL) {
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (maker_of(entry->d_name) > 0) {
            visit(dirfd(directory), entry->d_name);
        }
    }
    (void)closedir(directory);
}

/* Not another worker's, that is about to put a job there. One that something lives in stays. */
static void remove_one(int directory, const char *name)
{
    pid_t maker = maker_of(name);

    if (maker == getpid() || (kill(maker, 0) == -1 && errno == ESRCH)) {
        (void)unlinkat(directory, name, AT_REMOVEDIR);
    }
}

void cgroup_sweep(const struct cgroup *c)
{
    each_made(c, remove_one);
}

static void kill_one(int directory, const char *name)
{
    char path[300];

    if (maker_of(name) == getpid()) {
        (void)snprintf(path, sizeof(path), "%s/cgroup.kill", name);
        (void)kill_in(directory, path);
    }
}

void cgroup_kill_all(const struct cgroup *c)
{
    each_made(c, kill_one);
}
