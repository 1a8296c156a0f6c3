#include "worker/leader/snapshot.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/offspring.h"

enum { LIST_FIRST = 256 };

static int make_room(struct snapshot_process **list, size_t *room, size_t count)
{
    if (count < *room) {
        return 0;
    }
    size_t more = *room == 0 ? LIST_FIRST : *room * 2;
    struct snapshot_process *larger = reallocarray(*list, more, sizeof(*larger));

    if (larger == NULL) {
        return -ENOMEM;
    }
    *list = larger;
    *room = more;
    return 0;
}

static ssize_t read_stat(int proc, const char *pid, char *buffer, size_t size)
{
    char path[300];
    ssize_t length;

    (void)snprintf(path, sizeof(path), "%s/stat", pid);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }
    length = read(fd, buffer, size - 1);
    (void)close(fd);
    if (length > 0) {
        buffer[length] = '\0';
    }
    return length;
}

/* A process may have any name, with blanks and brackets: what counts is behind the last bracket. */
static bool parse_stat(char *text, struct snapshot_process *ret)
{
    char *rest = strrchr(text, ')');
    char state;
    int parent;
    int group;
    int threads;
    uint64_t start;

    if (rest == NULL ||
        sscanf(rest + 1,
               " %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d "
               "%" SCNu64,
               &state, &parent, &group, &threads, &start) != 5) {
        return false;
    }
    *ret = (struct snapshot_process){
        .pid = (pid_t)strtol(text, NULL, 10),
        .parent = parent,
        .group = group,
        /* A main thread that has ended while others go on looks like a zombie. */
        .dead = (state == 'Z' || state == 'X') && threads <= 1,
        .start = start,
    };
    return true;
}

static int by_pid(const void *left, const void *right)
{
    const struct snapshot_process *a = left;
    const struct snapshot_process *b = right;

    return (a->pid > b->pid) - (a->pid < b->pid);
}

static int by_parent(const void *left, const void *right)
{
    const struct snapshot_process *const *a = left;
    const struct snapshot_process *const *b = right;

    return ((*a)->parent > (*b)->parent) - ((*a)->parent < (*b)->parent);
}

static int by_group(const void *left, const void *right)
{
    const struct snapshot_process *const *a = left;
    const struct snapshot_process *const *b = right;

    return ((*a)->group > (*b)->group) - ((*a)->group < (*b)->group);
}

/* One process, if it is still there. */
static int read_one(int proc, const char *pid, struct snapshot *s)
{
    char text[1024];

    if (read_stat(proc, pid, text, sizeof(text)) <= 0) {
        return 0; /* no process, or gone since */
    }
    int rc = make_room(&s->list, &s->room, s->count);
    if (rc == 0 && parse_stat(text, &s->list[s->count])) {
        s->count++;
    }
    return rc;
}

/* All processes of the machine: where the kernel has no lists of children. */
static int read_all(DIR *proc, struct snapshot *s)
{
    struct dirent *entry;
    int rc = 0;

    while (rc == 0 && (entry = readdir(proc)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0])) {
            rc = read_one(dirfd(proc), entry->d_name, s);
        }
    }
    return rc;
}

static bool has(const struct snapshot *s, pid_t pid)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->list[i].pid == pid) {
            return true;
        }
    }
    return false;
}

static int read_children(int proc, pid_t parent, struct snapshot *s)
{
    struct pid_set children = {.pids = NULL};
    int rc = offspring_of(parent, &children);

    for (size_t i = 0; rc == 0 && i < children.count; i++) {
        char name[16];

        if (!has(s, children.pids[i])) { /* one that moved to us may be in two lists */
            (void)snprintf(name, sizeof(name), "%d", (int)children.pids[i]);
            rc = read_one(proc, name, s);
        }
    }
    pid_set_release(&children);
    return rc;
}

static int read_one_pass(int proc, struct snapshot *s)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->count; i++) { /* grows as it goes */
        rc = read_children(proc, s->list[i].pid, s);
        if (rc == -ESRCH && i > 0) {
            rc = 0; /* it has ended meanwhile: what it had is ours now, or its reaper's */
        }
    }
    return rc;
}

/*
 * This process and everything below it: no other one can belong to a run. What
 * loses its parent between the reading of our list and of its parent's is in
 * neither: so again, until a pass meets nobody new. But not for ever: one that forks
 * as fast as it can is new each time.
 */
static int read_below_us(int proc, struct snapshot *s)
{
    int rc = read_one(proc, "self", s);
    size_t before = 0;

    for (int pass = 0; rc == 0 && pass < PROCESS_TREE_PASSES && s->count > before; pass++) {
        before = s->count;
        rc = read_one_pass(proc, s);
    }
    return rc;
}

static int put_in_order(struct snapshot *s)
{
    s->by_parent = calloc(s->count + 1, sizeof(*s->by_parent));
    s->by_group = calloc(s->count + 1, sizeof(*s->by_group));
    if (s->by_parent == NULL || s->by_group == NULL || s->count == 0) {
        return -ENOMEM;
    }
    qsort(s->list, s->count, sizeof(*s->list), by_pid);
    for (size_t i = 0; i < s->count; i++) {
        s->by_parent[i] = &s->list[i];
        s->by_group[i] = &s->list[i];
    }
    qsort(s->by_parent, s->count, sizeof(*s->by_parent), by_parent);
    qsort(s->by_group, s->count, sizeof(*s->by_group), by_group);
    return 0;
}

int snapshot_take(struct snapshot *ret_snapshot)
{
    struct snapshot s = {.list = NULL};
    int rc;
    DIR *proc = opendir("/proc");

    if (proc == NULL) {
        return -errno;
    }
    rc = offspring_is_listed() ? read_below_us(dirfd(proc), &s) : read_all(proc, &s);
    (void)closedir(proc);
    if (rc == 0) {
        rc = put_in_order(&s);
    }
    if (rc < 0) {
        snapshot_release(&s);
        return rc;
    }
    *ret_snapshot = s;
    return 0;
}

void snapshot_release(struct snapshot *s)
{
    free(s->list);
    free(s->by_parent);
    free(s->by_group);
    *s = (struct snapshot){.list = NULL};
}

const struct snapshot_process *snapshot_find(const struct snapshot *s, pid_t pid)
{
    struct snapshot_process key = {.pid = pid};

    return s->count == 0 ? NULL : bsearch(&key, s->list, s->count, sizeof(key), by_pid);
}

void family_release(struct family *f)
{
    free(f->members);
    *f = (struct family){.members = NULL};
}

static bool is_member(const struct family *f, pid_t pid)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->members[i].pid == pid) {
            return true;
        }
    }
    return false;
}

static void forget_gone(struct family *f, const struct snapshot *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->count; i++) {
        const struct snapshot_process *now = snapshot_find(s, f->members[i].pid);

        if (now != NULL && now->start == f->members[i].start && !now->dead) {
            f->members[kept++] = *now;
        }
    }
    f->count = kept;
}

typedef int order(const void *left, const void *right);

/* Where those that are equal to key by that order begin. */
static size_t first_of(const struct snapshot_process **list, size_t count,
                       const struct snapshot_process *key, order *compare)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(&list[middle], &key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int add_member(struct family *f, const struct snapshot_process *process)
{
    if (process->dead || is_member(f, process->pid)) {
        return 0;
    }
    if (make_room(&f->members, &f->room, f->count) < 0) {
        return -ENOMEM;
    }
    f->members[f->count++] = *process;
    return 0;
}

/* Walks up; with pids that were used again between two reads it could run in a circle. */
static bool is_below_us(const struct snapshot *s, const struct snapshot_process *process)
{
    pid_t self = getpid();

    for (size_t steps = 0; process != NULL && steps <= s->count; steps++) {
        if (process->parent == self) {
            return true;
        }
        process = snapshot_find(s, process->parent);
    }
    return false;
}

static int add_group(struct family *f, const struct snapshot *s, pid_t group)
{
    struct snapshot_process key = {.group = group};

    for (size_t i = first_of(s->by_group, s->count, &key, by_group);
         i < s->count && s->by_group[i]->group == group; i++) {
        if (is_below_us(s, s->by_group[i]) && add_member(f, s->by_group[i]) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int add_children(struct family *f, const struct snapshot *s, pid_t parent)
{
    struct snapshot_process key = {.parent = parent};

    for (size_t i = first_of(s->by_parent, s->count, &key, by_parent);
         i < s->count && s->by_parent[i]->parent == parent; i++) {
        if (add_member(f, s->by_parent[i]) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

/* The number of a group is used again when its leader was reaped and its last member is gone. */
static bool group_is_alive(const struct family *f, pid_t main, pid_t group)
{
    bool alive = main != 0;

    for (size_t i = 0; i < f->count; i++) {
        alive = alive || f->members[i].group == group;
    }
    return alive;
}

static int add_inside(struct family *f, const struct snapshot *s, const struct pid_set *inside)
{
    for (size_t i = 0; i < inside->count; i++) {
        const struct snapshot_process *process = snapshot_find(s, inside->pids[i]);

        if (process != NULL && is_below_us(s, process) && add_member(f, process) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

int family_update(struct family *f, const struct snapshot *s, pid_t main, pid_t group,
                  const struct pid_set *inside)
{
    const struct snapshot_process *first = main != 0 ? snapshot_find(s, main) : NULL;

    forget_gone(f, s);
    if (first != NULL && first->parent == getpid() && add_member(f, first) < 0) {
        return -ENOMEM;
    }
    if (group_is_alive(f, main, group) && add_group(f, s, group) < 0) {
        return -ENOMEM;
    }
    if (add_inside(f, s, inside) < 0) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < f->count; i++) { /* grows as it goes: children, then theirs */
        if (add_children(f, s, f->members[i].pid) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}
