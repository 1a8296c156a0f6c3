#include "common/offspring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Children belong to the thread that made them, or got them. */
static int thread_has_others(int tasks, const char *thread, const struct pid_set *keep)
{
    char path[300];
    int found = 0;
    int pid;

    (void)snprintf(path, sizeof(path), "%s/children", thread);
    int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    FILE *list = fd == -1 ? NULL : fdopen(fd, "r");

    if (list == NULL) {
        return -errno;
    }
    while (found == 0 && fscanf(list, "%d", &pid) == 1) {
        found = !pid_set_has(keep, pid);
    }
    (void)fclose(list);
    return found;
}

static int look_at_threads(const struct pid_set *keep)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int rc = 0;

    if (tasks == NULL) {
        return -errno;
    }
    while (rc == 0 && (entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.') {
            rc = thread_has_others(dirfd(tasks), entry->d_name, keep);
        }
    }
    (void)closedir(tasks);
    return rc;
}

int offspring_left(const struct pid_set *keep)
{
    siginfo_t info;

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 && errno == ECHILD) {
        return 0;
    }
    /* Without anybody to keep, that there is a child says it all. */
    return keep->count == 0 ? 1 : look_at_threads(keep);
}

bool offspring_is_listed(void)
{
    return access("/proc/thread-self/children", R_OK) == 0;
}

static int list_of_thread(int tasks, const char *thread, struct pid_set *set)
{
    char path[300];
    int rc = 0;
    int pid;

    (void)snprintf(path, sizeof(path), "%s/children", thread);
    int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    FILE *list = fd == -1 ? NULL : fdopen(fd, "r");

    if (list == NULL) {
        rc = fd == -1 && errno == ENOENT ? 0 : -errno; /* a thread that has ended has none */
        if (fd != -1) {
            (void)close(fd);
        }
        return rc;
    }
    while (rc == 0 && fscanf(list, "%d", &pid) == 1) {
        rc = pid_set_add(set, pid);
    }
    (void)fclose(list);
    return rc;
}

static int list_of_threads(pid_t parent, struct pid_set *set)
{
    char path[64];
    struct dirent *entry;
    int rc = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)parent);
    DIR *tasks = opendir(path);
    if (tasks == NULL) {
        return errno == ENOENT ? -ESRCH : -errno;
    }
    while (rc == 0 && (entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.') {
            rc = list_of_thread(dirfd(tasks), entry->d_name, set);
        }
    }
    (void)closedir(tasks);
    return rc;
}

int offspring_of(pid_t parent, struct pid_set *ret_children)
{
    struct pid_set set = {0};
    int rc = list_of_threads(parent, &set);

    if (rc == 0 && parent != getpid()) {
        rc = list_of_threads(parent, &set);
    }
    if (rc < 0) {
        pid_set_release(&set);
        return rc;
    }
    *ret_children = set;
    return 0;
}
