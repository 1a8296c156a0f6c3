#include "common/process_tree.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/offspring.h"

/* What /proc/PID/stat says of a process. */
struct process {
    pid_t pid;
    pid_t parent;
    unsigned long long started; /* in clock ticks of CLOCK_BOOTTIME */
    bool dead;                  /* a zombie, and no thread of it goes on */
    bool visited;               /* by the walk from the root */
};

/* All processes of the machine, ordered by parent. */
struct snapshot {
    struct process *list; /* owned */
    size_t count;
    size_t room;
};

static int pid_set_append(struct pid_set *set, pid_t pid)
{
    if (set->count == set->room) {
        size_t room = set->room == 0 ? 16 : set->room * 2;
        pid_t *pids = realloc(set->pids, room * sizeof(*pids));

        if (pids == NULL) {
            return -ENOMEM;
        }
        set->pids = pids;
        set->room = room;
    }
    set->pids[set->count++] = pid;
    return 0;
}

int pid_set_add(struct pid_set *set, pid_t pid)
{
    return pid_set_has(set, pid) ? 0 : pid_set_append(set, pid);
}

bool pid_set_has(const struct pid_set *set, pid_t pid)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->pids[i] == pid) {
            return true;
        }
    }
    return false;
}

void pid_set_release(struct pid_set *set)
{
    if (set == NULL) {
        return;
    }
    free(set->pids);
    *set = (struct pid_set){0};
}

static int read_file_at(int proc, const char *path, char *ret, size_t size)
{
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd == -1) {
        return -errno;
    }
    do {
        n = read(fd, ret, size - 1);
    } while (n == -1 && errno == EINTR);
    int rc = n == -1 ? -errno : 0;

    (void)close(fd);
    if (rc == 0) {
        ret[n] = '\0';
    }
    return rc;
}

/*
 * PID (COMM) STATE PPID ... : COMM is whatever the process likes, parentheses
 * and line feeds too, so the last parenthesis ends it. A main thread that has
 * ended while others run is a zombie by its state; NUM_THREADS tells.
 */
static bool parse_stat(const char *text, struct process *ret)
{
    const char *after_name = strrchr(text, ')');
    int pid;
    int parent;
    char state;
    long threads;
    unsigned long long started;

    if (after_name == NULL || sscanf(text, "%d (", &pid) != 1 ||
        sscanf(after_name,
               ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %llu",
               &state, &parent, &threads, &started) != 4) {
        return false;
    }
    *ret = (struct process){
        .pid = pid,
        .parent = parent,
        .started = started,
        .dead = (state == 'Z' || state == 'X') && threads <= 1,
    };
    return true;
}

/* One process; -ESRCH: there is none of that number. */
static int read_process(int proc, const char *pid, struct process *ret)
{
    char path[32];
    char text[1024];

    (void)snprintf(path, sizeof(path), "%s/stat", pid);
    int rc = read_file_at(proc, path, text, sizeof(text));

    if (rc == -ENOENT || rc == -ESRCH) {
        return -ESRCH;
    }
    if (rc < 0) {
        return rc;
    }
    return parse_stat(text, ret) ? 0 : -EBADMSG;
}

static int open_proc(void)
{
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd == -1 ? -errno : fd;
}

bool process_tree_available(void)
{
    struct process self;
    int proc = open_proc();

    if (proc < 0) {
        return false;
    }
    /* Not merely readable: the /proc of another pid namespace would name other processes. */
    bool ours =
        read_process(proc, "self", &self) == 0 && self.pid == getpid() && self.parent == getppid();

    (void)close(proc);
    return ours;
}

static int compare_parents(const void *a, const void *b)
{
    const struct process *x = a;
    const struct process *y = b;

    return (x->parent > y->parent) - (x->parent < y->parent);
}

static int snapshot_add(struct snapshot *s, const struct process *p)
{
    if (s->count == s->room) {
        size_t room = s->room == 0 ? 256 : s->room * 2;
        struct process *list = realloc(s->list, room * sizeof(*list));

        if (list == NULL) {
            return -ENOMEM;
        }
        s->list = list;
        s->room = room;
    }
    s->list[s->count++] = *p;
    return 0;
}

static int snapshot_read(DIR *dir, struct snapshot *s)
{
    struct dirent *entry;
    int rc = 0;

    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        struct process p;

        if (entry->d_name[0] < '1' || entry->d_name[0] > '9') {
            continue;
        }
        /* One that cannot be read has ended since, or is hidden from us: nothing of ours. */
        if (read_process(dirfd(dir), entry->d_name, &p) == 0) {
            rc = snapshot_add(s, &p);
        }
    }
    return rc;
}

static int snapshot_take(struct snapshot *ret)
{
    struct snapshot s = {0};
    DIR *dir = opendir("/proc");

    if (dir == NULL) {
        return -errno;
    }
    int rc = snapshot_read(dir, &s);

    (void)closedir(dir);
    if (rc < 0) {
        free(s.list);
        return rc;
    }
    if (s.count > 0) {
        qsort(s.list, s.count, sizeof(*s.list), compare_parents);
    }
    *ret = s;
    return 0;
}

/* Where the children of that process begin in the list. */
static size_t first_child(const struct snapshot *s, pid_t parent)
{
    size_t low = 0;
    size_t high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->list[middle].parent < parent) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Appends the living children of parent, but those in keep. */
static int add_children(struct snapshot *s, pid_t parent, const struct pid_set *keep, bool dead_too,
                        struct pid_set *found)
{
    for (size_t i = first_child(s, parent); i < s->count && s->list[i].parent == parent; i++) {
        struct process *p = &s->list[i];

        /* The list is no snapshot of one instant: with reused pids it could run in a circle. */
        if (p->visited || (p->dead && !dead_too) || (keep != NULL && pid_set_has(keep, p->pid))) {
            continue;
        }
        p->visited = true;
        int rc = pid_set_append(found, p->pid);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* The same by a look at all of /proc, for a kernel that has no lists of children. */
static int find_below_by_scan(pid_t root, const struct pid_set *keep, bool dead_too,
                              struct pid_set *found)
{
    struct snapshot s = {0};
    int rc = snapshot_take(&s);

    if (rc < 0) {
        return rc;
    }
    rc = add_children(&s, root, keep, dead_too, found);
    for (size_t i = 0; rc == 0 && i < found->count; i++) {
        rc = add_children(&s, found->pids[i], keep, dead_too, found);
    }
    free(s.list);
    return rc;
}

/* Appends those of the children that count. */
static int add_listed(int proc, const struct pid_set *children, const struct pid_set *keep,
                      bool dead_too, struct pid_set *found)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < children->count; i++) {
        pid_t pid = children->pids[i];
        struct process p;
        char name[16];

        (void)snprintf(name, sizeof(name), "%d", (int)pid);
        if ((keep != NULL && pid_set_has(keep, pid)) || read_process(proc, name, &p) < 0 ||
            (p.dead && !dead_too)) {
            continue;
        }
        rc = pid_set_add(found, pid);
    }
    return rc;
}

/* From root down, once. */
static int find_in_one_pass(int proc, pid_t root, const struct pid_set *keep, bool dead_too,
                            struct pid_set *found)
{
    pid_t parent = root;
    int rc = 0;

    for (size_t next = 0;; next++) {
        struct pid_set children = {0};

        rc = offspring_of(parent, &children);
        if (rc == -ESRCH && parent != root) {
            rc = 0; /* it has ended meanwhile: what it had is its reaper's now */
        }
        if (rc == 0) {
            rc = add_listed(proc, &children, keep, dead_too, found);
        }
        pid_set_release(&children);
        if (rc < 0 || next == found->count) {
            return rc;
        }
        parent = found->pids[next];
    }
}

/*
 * What loses its parent between the reading of two lists is in neither: so again,
 * until a pass meets nobody new. But not for ever: one that forks as fast as it
 * can is new each time, and whoever kills in passes must not wait for its end.
 */
static int find_below_by_lists(int proc, pid_t root, const struct pid_set *keep, bool dead_too,
                               unsigned passes, struct pid_set *found)
{
    size_t before;
    int rc;

    do {
        before = found->count;
        rc = find_in_one_pass(proc, root, keep, dead_too, found);
    } while (rc == 0 && found->count > before && --passes > 0);
    return rc;
}

/*
 * Everything below root but what is in keep, or below it: children before
 * grandchildren. By the kernel's lists of children, so that it costs what our
 * own tree costs and not what the machine's does: it stands between a death and
 * the next leader. After an error ret_set, empty before, has those that were found.
 */
static int find_below(pid_t root, const struct pid_set *keep, bool dead_too, unsigned passes,
                      struct pid_set *ret_set)
{
    int proc = open_proc();

    if (proc < 0) {
        return proc;
    }
    int rc = offspring_is_listed()
                 ? find_below_by_lists(proc, root, keep, dead_too, passes, ret_set)
                 : find_below_by_scan(root, keep, dead_too, ret_set);

    (void)close(proc);
    return rc;
}

static int find_all_below(pid_t root, bool dead_too, unsigned passes, struct pid_set *ret_set)
{
    struct pid_set found = {0};
    int rc = find_below(root, NULL, dead_too, passes, &found);

    if (rc < 0) {
        pid_set_release(&found);
        return rc;
    }
    *ret_set = found;
    return 0;
}

int process_descendants(pid_t root, struct pid_set *ret_set)
{
    return find_all_below(root, true, PROCESS_TREE_PASSES, ret_set);
}

int process_living_below(pid_t root, struct pid_set *ret_set)
{
    return find_all_below(root, false, 1, ret_set);
}

/* As read_process(), for who asks of a single one. */
static int read_one(pid_t pid, struct process *ret)
{
    char name[16];
    int proc = open_proc();

    if (proc < 0) {
        return proc;
    }
    (void)snprintf(name, sizeof(name), "%d", (int)pid);
    int rc = read_process(proc, name, ret);
    (void)close(proc);
    return rc;
}

bool process_is_younger(pid_t pid, mono_ns than)
{
    dur_ns tick = DUR_S(1) / sysconf(_SC_CLK_TCK);
    struct process p;

    return read_one(pid, &p) == 0 && p.started > (unsigned long long)(than / tick);
}

/* Does this process count as ours? 0; -ESRCH (gone); -ECHILD (below somebody else); other negative
 * errno. tree NULL: everybody's does. */
static int check_parent(pid_t pid, const struct pid_set *tree)
{
    struct process p;
    int rc = read_one(pid, &p);

    if (rc < 0) {
        return rc;
    }
    if (p.dead) {
        return -ESRCH;
    }
    return tree == NULL || p.parent == getpid() || pid_set_has(tree, p.parent) ? 0 : -ECHILD;
}

/* As process_signal(), but with -ECHILD of check_parent(). */
static int signal_checked(pid_t pid, int signal_number, const struct pid_set *tree)
{
    assert(pid > 0);
    assert(pid != getpid());

    int fd = pidfd_open(pid, 0);

    if (fd == -1) {
        return -errno;
    }
    /* With the pidfd open, what is signalled is what was checked, or nothing: a number is not
     * given away again before its process is gone, and then the pidfd leads nowhere. */
    int rc = check_parent(pid, tree);

    if (rc == 0 && pidfd_send_signal(fd, signal_number, NULL, 0) == -1) {
        rc = -errno;
    }
    (void)close(fd);
    return rc;
}

int process_signal(pid_t pid, int signal_number, const struct pid_set *tree)
{
    int rc = signal_checked(pid, signal_number, tree);

    return rc == -ECHILD ? -ESRCH : rc;
}

/* The number that was given to the newest process (the last field of proc(5)'s loadavg). */
static int newest_pid(pid_t *ret_pid)
{
    char text[128];
    int proc = open_proc();

    if (proc < 0) {
        return proc;
    }
    int rc = read_file_at(proc, "loadavg", text, sizeof(text));

    (void)close(proc);
    if (rc < 0) {
        return rc;
    }
    const char *last = strrchr(text, ' ');
    long pid = last == NULL ? 0 : strtol(last, NULL, 10);

    if (pid <= 0) {
        return -EBADMSG;
    }
    *ret_pid = (pid_t)pid;
    return 0;
}

static void count_seen(pid_t pid, int rc, struct process_sweep *sweep)
{
    /* One that has ended or moved under our eyes counts too: it may have left a child that this
     * pass did not meet, so there has to be another one. */
    bool refuses = rc < 0 && rc != -ECHILD && rc != -ESRCH;

    sweep->seen++;
    if (sweep->example == 0 || (refuses && sweep->refused == 0)) {
        sweep->example = pid; /* rather one that refuses than one that is about to die */
    }
    sweep->refused += refuses;
}

enum { CHASES_MAX = 1000 }; /* bounds one pass where the machine forks without a pause */

/*
 * What was born since the list was begun is not in it: a process that forks
 * and exits all the time would never be met. So the new numbers are gone
 * through, one by one, until none has come meanwhile.
 */
static int chase_newborn(pid_t from, const struct pid_set *keep, struct pid_set *tree,
                         struct process_sweep *sweep)
{
    pid_t to = from;

    for (int i = 0; i < CHASES_MAX; i++) {
        int rc = newest_pid(&to);

        if (rc < 0 || to <= from) { /* or the numbers started over: the next pass has them all */
            return rc;
        }
        for (pid_t pid = from + 1; pid <= to; pid++) {
            /* Where the numbers have started over, ours is one like any other. */
            if (pid == getpid() || (keep != NULL && pid_set_has(keep, pid))) {
                continue;
            }
            rc = signal_checked(pid, SIGKILL, tree);
            if (rc == 0 || rc == -EPERM) {
                count_seen(pid, rc, sweep);
                rc = pid_set_append(tree, pid);
            }
            if (rc == -ENOMEM) {
                return rc;
            }
        }
        from = to;
    }
    return 0;
}

static int sweep_once(const struct pid_set *keep, struct process_sweep *sweep)
{
    struct pid_set found = {0};
    pid_t newest = 0;
    /* Where the system hides that number (subset=pid of proc(5), other kernels) there is no chase:
     * of what is missed, offspring_left() tells, and another pass follows. */
    bool may_chase = newest_pid(&newest) == 0;
    int rc = find_below(getpid(), keep, false, 1, &found);

    for (size_t i = 0; i < found.count; i++) { /* also after an error: rather these than none */
        count_seen(found.pids[i], signal_checked(found.pids[i], SIGKILL, &found), sweep);
    }
    if (rc == 0 && may_chase) {
        rc = chase_newborn(newest, keep, &found, sweep);
    }
    pid_set_release(&found);
    return rc;
}

int process_sweep_children(const struct pid_set *keep, struct process_sweep *ret_sweep)
{
    static const struct pid_set nobody;
    struct process_sweep sweep = {0};
    int rc = 0;

    /* Whatever lives below us and is not kept is a child of ours, or below one. */
    if (offspring_left(keep != NULL ? keep : &nobody) != 0) {
        rc = sweep_once(keep, &sweep);
    } else {
        *ret_sweep = sweep;
        return 0;
    }
    /* "None is left" is believed the second time: at the instant where the numbers start over, or
     * of a fork that is half done, a pass can miss one. */
    if (rc == 0 && sweep.seen == 0) {
        rc = sweep_once(keep, &sweep);
    }
    if (rc == 0) {
        *ret_sweep = sweep;
    }
    return rc;
}
