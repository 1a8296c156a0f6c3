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

#define LEDGER "/ledger.db"

enum { OPEN_MAX_HERE = 256 };

/* What one process has open, beyond 0, 1 and 2, and what kind it is. */
struct open_files {
    unsigned sockets;
    unsigned memory;   /* memfd: configuration, scoreboard */
    unsigned pipes;    /* of jobs' output */
    unsigned programs; /* our own binary */
    unsigned run_dir;  /* the pid file */
    unsigned ledger;   /* a SQLite file, its log, its lock */
    unsigned held;     /* locks of these descriptions, whoever took them: key or seat on SQLite */
    unsigned others;   /* neither these nor the kernel's for an event loop */
    char list[4096];
};

static void count_one(struct open_files *files, const struct instance *i, const char *target)
{
    if (strncmp(target, "socket:", 7) == 0) {
        files->sockets++;
    } else if (strncmp(target, "/memfd:", 7) == 0) {
        files->memory++;
    } else if (strncmp(target, "pipe:", 5) == 0) {
        files->pipes++;
    } else if (strstr(target, i->run_dir) != NULL) {
        files->run_dir++;
    } else if (strstr(target, LEDGER) != NULL) {
        files->ledger++;
    } else if (strcmp(target, pgbaton_path()) == 0) {
        files->programs++;
    } else if (strncmp(target, "anon_inode:", 11) != 0) {
        files->others++;
    }
}

static unsigned locks_held(pid_t pid, const char *fd)
{
    char *path = text_format("/proc/%d/fdinfo/%s", (int)pid, fd);
    char *text = text_read(path);
    unsigned count = (unsigned)text_count(text, "OFDLCK");

    free(text);
    free(path);
    return count;
}

/* Every descriptor from 3 on of a process of that instance. */
static void list_open(const struct instance *i, pid_t pid, struct open_files *ret)
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
        count_one(ret, i, target);
        ret->held += locks_held(pid, entry->d_name);
        size_t used = strlen(ret->list);
        (void)snprintf(ret->list + used, sizeof ret->list - used, "%s -> %s\n", entry->d_name,
                       target);
    }
    if (open != NULL) {
        (void)closedir(open);
    }
}

struct expected {
    const char *role;  /* in its title; "": the supervisor */
    unsigned sockets;  /* exactly */
    unsigned ledger;   /* exactly */
    unsigned held;     /* exactly */
    unsigned memory;   /* at most */
    unsigned pipes;    /* at most */
    unsigned programs; /* at most */
    unsigned run_dir;  /* at most */
    const char *what;
};

/* The processes of an instance in that role. */
struct tree {
    const char *title;
    struct instance *instance;
    unsigned shared; /* sockets that two processes have: the control socket, the lock socket */
    const struct expected *rows;
    size_t count;
};

#define ROWS(list) .rows = list, .count = sizeof list / sizeof list[0]

/* clang-format off */
static const struct expected leading[] = {
    {"",        5, 0, 0, 3, 0, 1, 1, "three channels, the control socket, the lock socket's duplicate"},
    {"probe",   3, 0, 0, 0, 0, 0, 0, "its channel, the one to the monitor, its session"},
    {"worker",  3, 0, 0, 0, 4, 0, 0, "its channel, lock session, ledger session; two pipes a running job"},
    {"monitor", 3, 0, 0, 2, 0, 0, 0, "its channel, the one to the probe, the control socket"},
};
/* clang-format on */

static pid_t process_of(const struct instance *i, const char *role)
{
    return role[0] == '\0' ? i->supervisor.pid : instance_child(i, role);
}

static bool is_right(const struct tree *tree, const struct expected *row, char *ret_why,
                     size_t size)
{
    static struct open_files files;

    list_open(tree->instance, process_of(tree->instance, row->role), &files);
    (void)snprintf(ret_why, size, "the %s's %s should have %s:\n%s%u locks\n", tree->title,
                   row->role[0] == '\0' ? "supervisor" : row->role, row->what, files.list,
                   files.held);
    return files.sockets == row->sockets && files.ledger == row->ledger &&
           files.held == row->held && files.memory <= row->memory && files.pipes <= row->pipes &&
           files.programs <= row->programs && files.run_dir <= row->run_dir && files.others == 0;
}

static char why[8192];

static bool all_are_right(void *ctx)
{
    const struct tree *tree = ctx;

    for (size_t i = 0; i < tree->count; i++) {
        if (!is_right(tree, &tree->rows[i], why, sizeof why)) {
            return false;
        }
    }
    return true;
}

/* Every socket of the tree belongs to one process, but for the lock socket and the control socket.
 */
static unsigned shared_sockets(const struct tree *tree)
{
    static char all[4 * 4096];
    static struct open_files files;
    unsigned shared = 0;

    all[0] = '\0';
    for (size_t i = 0; i < tree->count; i++) {
        list_open(tree->instance, process_of(tree->instance, tree->rows[i].role), &files);
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

static bool so_many_are_shared(void *ctx)
{
    const struct tree *tree = ctx;

    return shared_sockets(tree) == tree->shared;
}

static void check_tree(struct tree tree, const char *when)
{
    cr_expect(wait_until(all_are_right, &tree, DUR_S(15)), "%s: %s", when, why);
    cr_expect(wait_until(so_many_are_shared, &tree, DUR_S(15)),
              "%s: %u sockets of the %s are open in two processes", when, shared_sockets(&tree),
              tree.title);
}

static void check_all(const char *when)
{
    check_tree((struct tree){.title = "leader", .instance = A, .shared = 2, ROWS(leading)}, when);
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
        list_open(A, below[i], &files);
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

/* ---- of each role, with the service that runs beside it ---- */

#define B (&fleet.member[1])
#define C (&fleet.member[2])

/* clang-format off */
static const struct expected serving[] = {
    {"",        6, 0, 0, 3, 0, 1, 1, "four channels, the control socket, the lock socket's duplicate"},
    {"probe",   3, 0, 0, 0, 0, 0, 0, "its channel, the one to the monitor, its session"},
    {"worker",  3, 0, 0, 0, 4, 0, 0, "its channel, lock session, ledger session; two pipes a running job"},
    {"monitor", 3, 0, 0, 2, 0, 0, 0, "its channel, the one to the probe, the control socket"},
    {"keeper",  1, 0, 0, 0, 0, 0, 0, "its channel"},
};
static const struct expected waiting[] = {
    {"",        5, 0, 0, 3, 0, 1, 1, "four channels, the control socket"},
    {"probe",   3, 0, 0, 0, 0, 0, 0, "its channel, the one to the monitor, its session with the seat"},
    {"worker",  3, 0, 0, 0, 0, 0, 0, "its channel, lock session, ledger session"},
    {"monitor", 3, 0, 0, 2, 0, 0, 0, "its channel, the one to the probe, the control socket"},
    {"keeper",  1, 0, 0, 0, 0, 0, 0, "its channel"},
};
static const struct expected following[] = {
    {"",        5, 0, 0, 3, 0, 1, 1, "four channels, the control socket"},
    {"probe",   3, 0, 0, 0, 0, 0, 0, "its channel, the one to the monitor, its session"},
    {"worker",  1, 0, 0, 0, 0, 0, 0, "its channel"},
    {"monitor", 3, 0, 0, 2, 0, 0, 0, "its channel, the one to the probe, the control socket"},
    {"keeper",  1, 0, 0, 0, 0, 0, 0, "its channel"},
};
static const struct expected leading_on_sqlite[] = {
    {"",            4, 1, 1, 3, 0, 1, 1, "three channels, the control socket; the lock's duplicate"},
    {"probe",       2, 1, 0, 0, 0, 0, 0, "its channel, the one to the monitor; the lock's file, to look"},
    {"worker",      1, 4, 1, 0, 4, 0, 0, "its channel; the lock, the file, its log and index; two pipes a job"},
    {"monitor",     3, 0, 0, 2, 0, 0, 0, "its channel, the one to the probe, the control socket"},
};
static const struct expected waiting_on_sqlite[] = {
    {"",            4, 0, 0, 3, 0, 1, 1, "three channels, the control socket"},
    {"probe",       2, 1, 1, 0, 0, 0, 0, "its channel, the one to the monitor; the seat's lock"},
    {"worker",      1, 1, 0, 0, 0, 0, 0, "its channel; the lock"},
    {"lock waiter", 0, 1, 0, 0, 0, 0, 0, "the lock"},
    {"monitor",     3, 0, 0, 2, 0, 0, 0, "its channel, the one to the probe, the control socket"},
};
static const struct expected following_on_sqlite[] = {
    {"",            4, 0, 0, 3, 0, 1, 1, "three channels, the control socket"},
    {"probe",       2, 1, 0, 0, 0, 0, 0, "its channel, the one to the monitor; the lock's file, to look"},
    {"worker",      1, 0, 0, 0, 0, 0, 0, "its channel"},
    {"monitor",     3, 0, 0, 2, 0, 0, 0, "its channel, the one to the probe, the control socket"},
};
/* clang-format on */

static void expect_nothing_inherited(const struct instance *i, pid_t parent, const char *what)
{
    static struct open_files files;
    pid_t child = 0;

    cr_expect_eq(processes_below(parent, &child, 1), 1, "%s: there is no %s", i->name, what);
    list_open(i, child, &files);
    cr_expect(process_lives(child), "%s of %s", what, i->name);
    cr_expect_str_eq(files.list, "", "the %s of %s has more than 0, 1 and 2", what, i->name);
}

static void begin_roles(const char *const *words)
{
    instance_start(A, words);
    instance_wait(A, "elected", "");
    instance_wait(A, "job_started", "job=sleeper");
    instance_start(B, words);
    instance_wait(B, "seat_taken", "");
    instance_start(C, words);
    (void)instance_wait_child(C, "monitor", 0);
}

Test(descriptors, of_leader_heir_and_follower_and_of_their_services_are_what_they_need)
{
    static const char *const service[] = {"--", "/bin/sleep", "1000", NULL};
    struct tree trees[] = {
        {.title = "leader", .instance = A, .shared = 2, ROWS(serving)},
        {.title = "heir", .instance = B, .shared = 1, ROWS(waiting)},
        {.title = "follower", .instance = C, .shared = 1, ROWS(following)},
    };

    fleet_make(&fleet, 3, &(struct instance_settings){.job = sleeping_job});
    begin_roles(service);
    for (size_t i = 0; i < 3; i++) {
        struct instance *one = trees[i].instance;

        expect_nothing_inherited(one, instance_wait_child(one, "keeper", 0), "service");
        check_tree(trees[i], "with a service");
    }
    check_job("of a leader with a service");
}

Test(descriptors, of_leader_heir_and_follower_on_sqlite_are_what_they_need)
{
    static const char *const names[] = {"a", "b", "c"};
    struct tree trees[] = {
        {.title = "leader", .instance = A, .shared = 1, ROWS(leading_on_sqlite)},
        {.title = "heir", .instance = B, .shared = 1, ROWS(waiting_on_sqlite)},
        {.title = "follower", .instance = C, .shared = 1, ROWS(following_on_sqlite)},
    };

    workdir_make(&fleet.dir);
    char *dsn = text_format("sqlite:%s" LEDGER, fleet.dir.path);
    for (size_t i = 0; i < 3; i++) {
        instance_make(&fleet.member[i], &fleet.dir, names[i],
                      &(struct instance_settings){
                          .dsn = dsn, .election = ELECTION_CALM, .job = sleeping_job});
    }
    free(dsn);
    begin_roles(NULL);
    (void)instance_wait_child(B, "lock waiter", 0);
    for (size_t i = 0; i < 3; i++) {
        check_tree(trees[i], "on SQLite");
    }
    check_job("on SQLite");
}
