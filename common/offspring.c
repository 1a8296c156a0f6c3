#include "common/offspring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

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
