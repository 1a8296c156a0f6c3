/* Trial 6: what each process of the tree has open, also after restarts. A sibling that inherits the
 * lock socket's duplicate, or another's channel, keeps it open: the key would be freed by the lease
 * instead of at once. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(descriptors, .timeout = 120);

static struct fleet fleet;

#define A (&fleet.member[0])

enum { OPEN_MAX_HERE = 256 };

/* What one process has open, beyond 0, 1 and 2, and what kind it is. */
struct open_files {
    unsigned sockets;
    unsigned memory;   /* memfd: configuration, scoreboard */
    unsigned pipes;    /* of jobs' output */
    unsigned programs; /* our own binary */
    unsigned run_dir;  /* the pid file */
    unsigned others;   /* neither these nor the kernel's for an event loop */
    char list[4096];
};

static void count_one(struct open_files *files, const char *target)
{
    if (strncmp(target, "socket:", 7) == 0) {
        files->sockets++;
    } else if (strncmp(target, "/memfd:", 7) == 0) {
        files->memory++;
    } else if (strncmp(target, "pipe:", 5) == 0) {
        files->pipes++;
    } else if (strstr(target, A->run_dir) != NULL) {
        files->run_dir++;
    } else if (strcmp(target, pgbaton_path()) == 0) {
        files->programs++;
    } else if (strncmp(target, "anon_inode:", 11) != 0) {
        files->others++;
    }
}

/* Calls each with the target of every descriptor from 3 on. */
static void list_open(pid_t pid, struct open_files *ret)
{
    char path[64];
    struct dirent *entry;

    *ret = (struct open_files){.sockets = 0};
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *open = opendir(path);
    while (open != NULL && (entry = readdir(open)) != NULL) {
        char target[256] = "";

        if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) <= STDERR_FILENO ||
            readlinkat(dirfd(open), entry->d_name, target, sizeof target - 1) < 0) {
            continue;
        }
        count_one(ret, target);
        size_t used = strlen(ret->list);
        (void)snprintf(ret->list + used, sizeof ret->list - used, "%s -> %s\n", entry->d_name,
                       target);
    }
    if (open != NULL) {
        (void)closedir(open);
    }
}

/* clang-format off */
static const struct expected {
    const char *role;    /* in its title; "": the supervisor */
    unsigned sockets;    /* exactly */
    unsigned memory;     /* at most */
    unsigned pipes;      /* at most */
    unsigned programs;   /* at most */
    unsigned run_dir;    /* at most */
    const char *what;
} leading[] = {
    {"",        5, 3, 0, 1, 1, "three channels, the control socket, the lock socket's duplicate"},
    {"probe",   3, 0, 0, 0, 0, "its channel, the one to the monitor, its session"},
    {"worker",  3, 0, 4, 0, 0, "its channel, lock session, ledger session; two pipes a running job"},
    {"monitor", 3, 2, 0, 0, 0, "its channel, the one to the probe, the control socket"},
};
/* clang-format on */

static bool is_right(const struct expected *row, char *ret_why, size_t size)
{
    static struct open_files files;
    pid_t pid = row->role[0] == '\0' ? A->supervisor.pid : instance_child(A, row->role);

    list_open(pid, &files);
    (void)snprintf(ret_why, size, "%s should have %s:\n%s",
                   row->role[0] == '\0' ? "supervisor" : row->role, row->what, files.list);
    return files.sockets == row->sockets && files.memory <= row->memory &&
           files.pipes <= row->pipes && files.programs <= row->programs &&
           files.run_dir <= row->run_dir && files.others == 0;
}

static char why[8192];

static bool all_are_right(void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < sizeof leading / sizeof leading[0]; i++) {
        if (!is_right(&leading[i], why, sizeof why)) {
            return false;
        }
    }
    return true;
}

/* Every socket of the tree belongs to one process, but for the lock socket and the control socket.
 */
static unsigned shared_sockets(void)
{
    static char all[4 * 4096];
    static struct open_files files;
    unsigned shared = 0;

    all[0] = '\0';
    for (size_t i = 0; i < sizeof leading / sizeof leading[0]; i++) {
        pid_t pid =
            leading[i].role[0] == '\0' ? A->supervisor.pid : instance_child(A, leading[i].role);
        list_open(pid, &files);
        for (char *line = strtok(files.list, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            const char *socket = strstr(line, "socket:");
            if (socket != NULL) {
                shared += strstr(all, socket) != NULL;
                (void)strncat(all, socket, sizeof all - strlen(all) - 1);
            }
        }
    }
    return shared;
}

static bool two_are_shared(void *ctx)
{
    (void)ctx;
    return shared_sockets() == 2;
}

static void check_all(const char *when)
{
    cr_expect(wait_until(all_are_right, NULL, DUR_S(15)), "%s: %s", when, why);
    cr_expect(wait_until(two_are_shared, NULL, DUR_S(15)),
              "%s: %u sockets are open in two processes", when, shared_sockets());
}

/* sleep(1) opens nothing, so what its process has open is what it was given. */
static const char sleeping_job[] = "[job sleeper]\nschedule = always\nexec = /bin/sleep 1000\n";

static void check_job(const char *when)
{
    static struct open_files files;
    pid_t below[16];
    size_t count = processes_below(instance_child(A, "worker"), below, 16);

    cr_expect_eq(count, 1);
    for (size_t i = 0; i < count; i++) {
        list_open(below[i], &files);
        cr_expect_str_eq(files.list, "", "%s: the job has more than 0, 1 and 2", when);
    }
}

static bool has_job(void *ctx)
{
    pid_t below[16];

    (void)ctx;
    return processes_below(instance_child(A, "worker"), below, 16) > 0;
}

static void restart_child(const char *role)
{
    char when[64];
    pid_t before = instance_wait_child(A, role, 0);

    instance_mark(A);
    cr_assert_eq(kill(before, SIGKILL), 0);
    (void)instance_wait_child(A, role, before);
    if (strcmp(role, "worker") == 0) {
        instance_wait(A, "elected", "");
    }
    instance_mark(A);
    (void)snprintf(when, sizeof when, "after a restart of the %s", role);
    check_all(when);
}

Test(descriptors, are_exactly_what_each_process_is_meant_to_have)
{
    fleet_make(&fleet, 1,
               &(struct instance_settings){.job = sleeping_job,
                                           .election = ELECTION_CALM "takeover_delay = 0\n"});
    instance_start(A, NULL);
    instance_wait(A, "job_started", "");
    check_all("at first");
    check_job("at first");

    restart_child("probe");
    restart_child("monitor");
    restart_child("worker");
    restart_child("probe");
    cr_expect(wait_until(has_job, NULL, WAIT_LIMIT));
    check_job("after all restarts");
    instance_stop(A);
}

/* The monitor parses what comes from outside: it has no secret to lose. */
Test(descriptors, of_the_monitor_hold_no_secret)
{
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);
    pid_t monitor = instance_wait_child(A, "monitor", 0);

    for (int fd = 0; fd < OPEN_MAX_HERE; fd++) {
        char path[64];
        char target[256] = "";
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)monitor, fd);
        if (readlink(path, target, sizeof target - 1) < 0 || strncmp(target, "/memfd:", 7) != 0) {
            continue;
        }
        char *command = text_format("! grep -q -a -F '" SERVER_PASSWORD "' %s", path);
        cr_expect_eq(system(command), 0, "the password is in descriptor %d", fd);
        free(command);
    }
    char *command = text_format(
        "! tr '\\0' '\\n' < /proc/%d/environ | grep -q -F '" SERVER_PASSWORD "'", (int)monitor);
    cr_expect_eq(system(command), 0, "the password is in its environment");
    free(command);
    fleet_check(&fleet);
}
