#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/orphaned.h"
#include "worker/leader/snapshot.h"

TestSuite(snapshot, .timeout = 60);

enum { ROOM = 16 };

/* A machine that stands still. Processes by pid. */
static struct snapshot_process machine[ROOM];
static const struct snapshot_process *by_parent[ROOM];
static const struct snapshot_process *by_group[ROOM];

static struct snapshot made(const struct snapshot_process *list, size_t count)
{
    struct snapshot s = {
        .list = machine, .by_parent = by_parent, .by_group = by_group, .count = count};

    cr_assert(count <= ROOM);
    (void)memcpy(machine, list, count * sizeof(*list));
    for (size_t i = 0; i < count; i++) { /* ordered by insertion */
        size_t p = i;
        size_t g = i;

        for (; p > 0 && by_parent[p - 1]->parent > machine[i].parent; p--) {
            by_parent[p] = by_parent[p - 1];
        }
        for (; g > 0 && by_group[g - 1]->group > machine[i].group; g--) {
            by_group[g] = by_group[g - 1];
        }
        by_parent[p] = &machine[i];
        by_group[g] = &machine[i];
    }
    return s;
}

static bool has(const struct family *f, pid_t pid)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->members[i].pid == pid) {
            return true;
        }
    }
    return false;
}

static const struct pid_set nobody;

/* pids above those that this machine hands out, so that ours is the only real one */
enum { MAIN = 5000001, CHILD, GRANDCHILD, ORPHAN, OTHER, FOREIGN, ZOMBIE, FOREIGN_PARENT };

Test(snapshot, a_family_is_the_group_and_all_below_it)
{
    const struct snapshot_process list[] = {
        {.pid = MAIN, .parent = getpid(), .group = MAIN, .start = 1},
        {.pid = CHILD, .parent = MAIN, .group = CHILD, .start = 2}, /* setsid */
        {.pid = GRANDCHILD, .parent = CHILD, .group = CHILD, .start = 3},
        {.pid = ORPHAN, .parent = getpid(), .group = MAIN, .start = 4},
        {.pid = OTHER, .parent = getpid(), .group = OTHER, .start = 5},
        {.pid = FOREIGN, .parent = FOREIGN_PARENT, .group = MAIN, .start = 6},
        {.pid = ZOMBIE, .parent = MAIN, .group = MAIN, .start = 7, .dead = true},
        {.pid = FOREIGN_PARENT, .parent = 1, .group = FOREIGN_PARENT, .start = 8},
    };
    struct snapshot s = made(list, sizeof(list) / sizeof(list[0]));
    struct family f = {.members = NULL};

    cr_assert_eq(family_update(&f, &s, MAIN, MAIN, &nobody), 0);
    cr_expect_eq(f.count, 4);
    cr_expect(has(&f, MAIN));
    cr_expect(has(&f, CHILD));
    cr_expect(has(&f, GRANDCHILD), "in another session, but below it");
    cr_expect(has(&f, ORPHAN), "its parent is gone, its group is not");
    cr_expect_not(has(&f, OTHER), "another run");
    cr_expect_not(has(&f, FOREIGN), "not below us, whatever its group");
    family_release(&f);
}

Test(snapshot, a_member_stays_one_when_its_parents_are_gone)
{
    const struct snapshot_process before[] = {
        {.pid = MAIN, .parent = getpid(), .group = MAIN, .start = 1},
        {.pid = CHILD, .parent = MAIN, .group = CHILD, .start = 2},
    };
    const struct snapshot_process after[] = {
        {.pid = CHILD, .parent = getpid(), .group = CHILD, .start = 2},
        {.pid = GRANDCHILD, .parent = CHILD, .group = GRANDCHILD, .start = 3},
    };
    struct family f = {.members = NULL};
    struct snapshot s = made(before, 2);

    cr_assert_eq(family_update(&f, &s, MAIN, MAIN, &nobody), 0);
    s = made(after, 2);
    cr_assert_eq(family_update(&f, &s, 0, MAIN, &nobody), 0);
    cr_expect_eq(f.count, 2);
    cr_expect(has(&f, CHILD));
    cr_expect(has(&f, GRANDCHILD));
    family_release(&f);
}

Test(snapshot, what_is_in_its_cgroup_belongs_to_it)
{
    const struct snapshot_process list[] = {
        {.pid = MAIN, .parent = getpid(), .group = MAIN, .start = 1},
        {.pid = CHILD, .parent = OTHER, .group = CHILD, .start = 2},
        {.pid = ORPHAN, .parent = getpid(), .group = ORPHAN, .start = 3},
        {.pid = OTHER, .parent = getpid(), .group = OTHER, .start = 4},
        {.pid = FOREIGN, .parent = 1, .group = FOREIGN, .start = 5},
    };
    static pid_t pids[] = {ORPHAN, FOREIGN, ZOMBIE};
    const struct pid_set inside = {.pids = pids, .count = 3, .room = 3};
    struct snapshot s = made(list, sizeof(list) / sizeof(list[0]));
    struct family f = {.members = NULL};

    cr_assert_eq(family_update(&f, &s, MAIN, MAIN, &inside), 0);
    cr_expect_eq(f.count, 2);
    cr_expect(has(&f, ORPHAN), "in a session of its own, its parent gone");
    cr_expect_not(has(&f, FOREIGN), "not below us");
    family_release(&f);
}

Test(snapshot, a_number_that_is_used_again_is_no_member)
{
    const struct snapshot_process before[] = {
        {.pid = MAIN, .parent = getpid(), .group = MAIN, .start = 1},
    };
    const struct snapshot_process after[] = {
        {.pid = MAIN, .parent = getpid(), .group = MAIN, .start = 99},
        {.pid = CHILD, .parent = MAIN, .group = MAIN, .start = 100},
    };
    struct family f = {.members = NULL};
    struct snapshot s = made(before, 1);

    cr_assert_eq(family_update(&f, &s, MAIN, MAIN, &nobody), 0);
    cr_assert_eq(f.count, 1);
    s = made(after, 2);
    cr_assert_eq(family_update(&f, &s, 0, MAIN, &nobody), 0);
    cr_expect_eq(f.count, 0, "another run has that pid, and that group, now");
    family_release(&f);
}

Test(snapshot, the_machine_as_it_is)
{
    struct snapshot s;
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)pause();
        _exit(0);
    }
    cr_assert_eq(snapshot_take(&s), 0);
    const struct snapshot_process *child = snapshot_find(&s, pid);
    const struct snapshot_process *self = snapshot_find(&s, getpid());
    cr_assert_not_null(child);
    cr_assert_not_null(self);
    cr_expect_eq(child->parent, getpid());
    cr_expect_eq(child->group, getpgid(pid));
    cr_expect(child->start >= self->start);
    cr_expect_not(child->dead);
    cr_expect_eq(kill(pid, SIGKILL), 0);
    siginfo_t info;
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    snapshot_release(&s);
    cr_assert_eq(snapshot_take(&s), 0);
    cr_assert_not_null(snapshot_find(&s, pid));
    cr_expect(snapshot_find(&s, pid)->dead);
    snapshot_release(&s);
    cr_expect_eq(waitpid(pid, NULL, 0), pid);
}

Test(snapshot, one_that_loses_its_parent_meanwhile_is_in_it)
{
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (int i = 0; i < ORPHANED_TRIES; i++) {
        struct snapshot s;
        pid_t pid = orphaned_make();

        cr_assert_eq(snapshot_take(&s), 0);
        cr_assert_not_null(snapshot_find(&s, pid), "try %d", i);
        snapshot_release(&s);
        orphaned_end(pid);
    }
}
