#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/leader/spawn.h"

extern char **environ;

/* exec takes words that it promises not to write to, but does not say so. */
#define WORDS(...) ((char *const *)(const char *const[]){__VA_ARGS__, NULL})

static struct account *own;

static void find_own(void)
{
    char reason[200];

    own = account_find(NULL, reason, sizeof(reason));
    cr_assert_not_null(own, "%s", reason);
}

static void free_own(void)
{
    account_free(own);
}

TestSuite(spawn, .init = find_own, .fini = free_own, .timeout = 60);

static struct spawn made(char *const *words)
{
    return (struct spawn){
        .words = words,
        .environment = environ,
        .account = own,
        .umask = -1,
        .nice = INT_MIN,
        .output_fd = -1,
        .error_fd = -1,
        .cgroup_fd = -1,
    };
}

/* Runs it to its end; what it printed goes to text. Returns its status. */
static int run(struct spawn what, char *text, size_t size)
{
    struct spawn_failure failure;
    int ends[2];
    int status;
    pid_t pid = 0;
    size_t used = 0;
    ssize_t count;

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    what.output_fd = ends[1];
    what.error_fd = ends[1];
    cr_assert_eq(spawn_start(&what, &pid, &failure), 0, "step %d: %s", (int)failure.step,
                 strerror(failure.error));
    (void)close(ends[1]);
    while ((count = read(ends[0], text + used, size - 1 - used)) > 0) {
        used += (size_t)count;
    }
    text[used] = '\0';
    (void)close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static int run_shell(const char *script, char *text, size_t size)
{
    char *const *words = WORDS("/bin/sh", "-c", script);

    return run(made(words), text, size);
}

Test(spawn, hands_on_its_exit_code_and_output)
{
    char text[100];
    int status = run_shell("echo one; echo two >&2; exit 3", text, sizeof(text));

    cr_expect_str_eq(text, "one\ntwo\n");
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

Test(spawn, a_job_has_only_its_three_descriptors)
{
    char text[1000];
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec, on purpose */

    cr_assert(leak > 2);
    char *const *list = WORDS("ls", "/proc/self/fd");
    char *const *input = WORDS("readlink", "/proc/self/fd/0");
    (void)run(made(list), text, sizeof(text));
    cr_expect_str_eq(text, "0\n1\n2\n3\n", "and the one that lists them: %s", text);
    (void)run(made(input), text, sizeof(text));
    cr_expect_str_eq(text, "/dev/null\n");
    (void)close(leak);
}

Test(spawn, a_job_leads_a_process_group_of_its_own)
{
    char text[100];
    int pid;
    int group;

    (void)run_shell("set -- $(cat /proc/$$/stat); echo $1 $5", text, sizeof(text));
    cr_assert_eq(sscanf(text, "%d %d", &pid, &group), 2, "%s", text);
    cr_expect_eq(pid, group);
}

Test(spawn, signals_are_as_after_a_login)
{
    char text[4000];
    sigset_t some;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGRTMIN, SIG_IGN);
    (void)sigemptyset(&some);
    (void)sigaddset(&some, SIGTERM);
    (void)sigaddset(&some, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &some, NULL);
    char *const *words = WORDS("cat", "/proc/self/status");
    (void)run(made(words), text, sizeof(text));
    cr_expect_not_null(strstr(text, "\nSigPnd:\t0000000000000000\n"), "%s", text);
    cr_expect_not_null(strstr(text, "\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
                                    "SigCgt:\t0000000000000000\n"),
                       "%s", text);
    (void)sigprocmask(SIG_BLOCK, NULL, &some);
    cr_expect(sigismember(&some, SIGTERM), "the mask of the worker itself stays");
}

static pid_t test_pid;
static volatile sig_atomic_t ran_elsewhere;

static void on_signal(int number)
{
    (void)number;
    if (getpid() != test_pid) {
        ran_elsewhere = 1; /* the child has our memory */
    }
}

static void send_without_end(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGUSR1, SIG_IGN);
    for (;;) {
        (void)kill(0, SIGUSR1);
    }
}

/* A child is in our group, until it has one of its own. */
Test(spawn, no_handler_of_the_worker_runs_in_the_child)
{
    char text[100];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    cr_assert(getpgrp() == getpid() || setpgid(0, 0) == 0);
    test_pid = getpid();
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    pid_t sender = fork();
    if (sender == 0) {
        send_without_end();
    }
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(run_shell("exit 0", text, sizeof(text)), 0);
    }
    cr_expect_eq(kill(sender, SIGKILL), 0);
    cr_expect_eq(waitpid(sender, NULL, 0), sender);
    cr_expect_eq(ran_elsewhere, 0);
}

Test(spawn, limits_and_oom_score_are_left_as_they_are)
{
    static const char *const files[] = {"/proc/self/limits", "/proc/self/oom_score_adj"};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *const *words = WORDS("cat", files[i]);
        char text[4000];
        char ours[4000];
        FILE *file = fopen(files[i], "r");

        cr_assert_not_null(file);
        ours[fread(ours, 1, sizeof(ours) - 1, file)] = '\0';
        (void)fclose(file);
        (void)run(made(words), text, sizeof(text));
        cr_expect_str_eq(text, ours, "%s", files[i]);
    }
}

Test(spawn, umask_nice_and_directory_are_set)
{
    char text[100];
    char *const *words = WORDS("sh", "-c", "umask; nice; pwd");
    struct spawn what = made(words);

    what.umask = 027;
    what.nice = 7;
    what.directory = "/usr";
    (void)run(what, text, sizeof(text));
    cr_expect_str_eq(text, "0027\n7\n/usr\n");
}

Test(spawn, words_are_looked_for_in_the_path_of_the_job)
{
    char text[100];
    char *const *words = WORDS("sh", "-c", "echo found");
    char *const *with = WORDS("PATH=/nonexistent:/bin:/usr/bin");
    char *const *without = WORDS("PATH=/nonexistent");
    struct spawn what = made(words);
    struct spawn_failure failure = {.error = 0};
    pid_t pid = 77;

    what.environment = with;
    (void)run(what, text, sizeof(text));
    cr_expect_str_eq(text, "found\n");
    what.environment = without;
    cr_expect_eq(spawn_start(&what, &pid, &failure), -ENOENT);
    cr_expect_eq(failure.step, SPAWN_EXECUTE);
    cr_expect_eq(pid, 77, "an output was touched");
}

Test(spawn, a_failed_start_says_which_step_and_leaves_no_process)
{
    char *const *words = WORDS("/bin/true");
    char *const *absent = WORDS("/nonexistent/program");
    char *const *data = WORDS("/etc/passwd");
    char *const *unset = WORDS("no-such-program-anywhere");
    /* clang-format off */
    const struct {
        const char *title;
        char *const *words;
        const char *directory;
        int result;
        const char *text;
    } cases[] = {
        {"a directory that is not there", words, "/nonexistent", -ENOENT,
            "cannot change to directory '/nonexistent': No such file or directory"},
        {"a directory that is a file", words, "/etc/passwd", -ENOTDIR,
            "cannot change to directory '/etc/passwd': Not a directory"},
        {"a program that is not there", absent, NULL, -ENOENT,
            "cannot execute '/nonexistent/program': No such file or directory"},
        {"a program that is none", data, NULL, -EACCES,
            "cannot execute '/etc/passwd': Permission denied"},
        {"a word that no PATH has", unset, NULL, -ENOENT,
            "cannot execute 'no-such-program-anywhere': No such file or directory"},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct spawn what = made(cases[i].words);
        struct spawn_failure failure = {.error = 0};
        char text[600];
        pid_t pid = 77;

        what.directory = cases[i].directory;
        cr_expect_eq(spawn_start(&what, &pid, &failure), cases[i].result, "%s", cases[i].title);
        spawn_explain(&what, &failure, text, sizeof(text));
        cr_expect_str_eq(text, cases[i].text, "%s: %s", cases[i].title, text);
        cr_expect_eq(pid, 77, "%s: an output was touched", cases[i].title);
        cr_expect(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "%s: a process is left",
                  cases[i].title);
    }
}

Test(spawn, an_unknown_user_is_named)
{
    char reason[200];

    cr_expect_null(account_find("no-such-user-here", reason, sizeof(reason)));
    cr_expect_str_eq(reason, "cannot find user 'no-such-user-here': there is no such user");
}

Test(spawn, another_user_has_its_groups_and_the_death_signal)
{
    char reason[200];
    char text[400];
    char *const *words = WORDS("sh", "-c", "id -u; id -g; grep CapEff /proc/self/status");
    struct spawn what = made(words);
    struct account *nobody;

    if (geteuid() != 0) {
        cr_skip_test("only root can become another user");
    }
    nobody = account_find("nobody", reason, sizeof(reason));
    cr_assert_not_null(nobody, "%s", reason);
    what.account = nobody;
    (void)run(what, text, sizeof(text));
    cr_expect_str_eq(text, "65534\n65534\nCapEff:\t0000000000000000\n");
    cr_expect_eq(prctl(PR_GET_DUMPABLE), 1, "the child shared our memory: /proc/self is root's");
    account_free(nobody);
}

/* Gives this process, of a test of its own, to another user with no more than these. */
static void become(uid_t uid, const cap_value_t *values, int count)
{
    cap_t caps = cap_init();

    cr_assert_eq(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
    cr_assert_eq(setgroups(0, NULL), 0);
    cr_assert_eq(setresgid(uid, uid, uid), 0);
    cr_assert_eq(setresuid(uid, uid, uid), 0);
    for (int flag = CAP_EFFECTIVE; count > 0 && flag <= CAP_INHERITABLE; flag++) {
        cr_assert_eq(cap_set_flag(caps, (cap_flag_t)flag, count, values, CAP_SET), 0);
    }
    cr_assert_eq(cap_set_proc(caps), 0);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, values[i], 0, 0), 0);
    }
    (void)cap_free(caps);
}

enum { DAEMON_UID = 65533 };

Test(spawn, a_daemon_that_is_not_root_becomes_another_user_and_hands_on_no_capability)
{
    static const cap_value_t kept[] = {CAP_SETUID, CAP_SETGID, CAP_KILL};
    static const char *const users[] = {"nobody", NULL};
    static const char *const ids[] = {"65534 65534", "65533 65533"};

    if (geteuid() != 0) {
        cr_skip_test("only root can become another user");
    }
    become(DAEMON_UID, kept, 3);
    for (size_t i = 0; i < 2; i++) {
        char reason[200];
        char text[600];
        char expected[600];
        char *const *words = WORDS("sh", "-c",
                                   "echo $(id -u) $(id -g); grep -E 'Cap(Inh|Prm|Eff|Amb)|Groups' "
                                   "/proc/self/status");
        struct spawn what = made(words);
        struct account *account = account_find(users[i], reason, sizeof(reason));

        cr_assert_not_null(account, "%s", reason);
        what.account = account;
        (void)run(what, text, sizeof(text));
        (void)snprintf(expected, sizeof(expected),
                       "%s\nGroups:\t%s \nCapInh:\t%s\nCapPrm:\t%s\nCapEff:\t%s\nCapAmb:\t%s\n",
                       ids[i], users[i] != NULL ? "65534" : "", "0000000000000000",
                       "0000000000000000", "0000000000000000", "0000000000000000");
        cr_expect_str_eq(text, expected, "%s", text);
        account_free(account);
    }
}

Test(spawn, without_the_capability_the_user_is_named)
{
    char reason[200];
    char *const *words = WORDS("true");
    struct spawn what = made(words);
    struct spawn_failure failure = {.error = 0};
    pid_t pid = 77;

    if (geteuid() != 0) {
        cr_skip_test("only root can become another user");
    }
    become(DAEMON_UID, NULL, 0);
    struct account *nobody = account_find("nobody", reason, sizeof(reason));
    cr_assert_not_null(nobody, "%s", reason);
    what.account = nobody;
    cr_expect_eq(spawn_start(&what, &pid, &failure), -EPERM);
    spawn_explain(&what, &failure, reason, sizeof(reason));
    cr_expect_str_eq(reason, "cannot change to user 'nobody': Operation not permitted");
    cr_expect_eq(pid, 77, "an output was touched");
    account_free(nobody);
}

/* The parent is a child of ours that is killed; its job must not outlive it. */
Test(spawn, a_job_dies_with_its_worker)
{
    char reason[200];
    struct account *user = account_find(geteuid() == 0 ? "nobody" : NULL, reason, sizeof(reason));
    int ends[2];
    int said[2];
    char byte;

    cr_assert_not_null(user, "%s", reason);
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(said, O_CLOEXEC), 0);
    pid_t worker = fork();
    if (worker == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        char *const *words = WORDS("sleep", "1000");
        struct spawn what = made(words);
        struct spawn_failure failure;
        pid_t pid;

        what.account = user;
        what.output_fd = ends[1];
        (void)close(ends[0]);
        int rc = spawn_start(&what, &pid, &failure);
        (void)write(said[1], rc == 0 ? "y" : "n", 1);
        (void)close(ends[1]);
        (void)pause();
        _exit(0);
    }
    (void)close(ends[1]);
    cr_assert_eq(read(said[0], &byte, 1), 1);
    cr_assert_eq(byte, 'y');
    cr_assert_eq(kill(worker, SIGKILL), 0);
    cr_expect_eq(read(ends[0], &byte, 1), 0, "the end of the pipe: nobody holds it any more");
    cr_expect_eq(waitpid(worker, NULL, 0), worker);
    account_free(user);
}
