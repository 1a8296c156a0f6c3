#include "common/child.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/log.h"

/* The supervisor's end and the child's, and what the child is given. */
static struct channel ours;
static struct child child;

static void set_up(void)
{
    child = (struct child){.name = "probe", .supervisor = getpid()};
    cr_assert_eq(channel_pair(3, FROM_SUPERVISOR, FROM_PROBE, &ours, &child.up), 0);
}

TestSuite(child, .init = set_up, .timeout = 60);

/* Runs body in a child; returns its exit code, or 1000 and the signal. */
static int exit_code_of(void (*body)(void))
{
    int status;

    (void)fflush(NULL);
    pid_t pid = fork();

    cr_assert_neq(pid, -1);
    if (pid == 0) {
        body();
        _exit(0);
    }
    channel_close(&child.up);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Each fact of a child is checked in it; the number of the first that fails is its exit code. */
#define DEMAND(number, fact)                                                                       \
    do {                                                                                           \
        if (!(fact)) {                                                                             \
            _exit(number);                                                                         \
        }                                                                                          \
    } while (0)

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;

    while ((entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    return count - 1; /* not the one that looks */
}

static void closes_all_but_its_own(void)
{
    int keep[2];
    int log = dup(STDERR_FILENO);

    for (int i = 0; i < 50; i++) {
        DEMAND(10, dup(STDERR_FILENO) != -1);
    }
    keep[0] = fcntl(STDERR_FILENO, F_DUPFD, 200); /* far above, and given in the wrong order */
    keep[1] = dup(STDERR_FILENO);
    log_fd(log);
    child.supervisor = getppid();
    child_enter(&child, keep, 2);

    DEMAND(11, fcntl(STDIN_FILENO, F_GETFD) != -1 && fcntl(STDERR_FILENO, F_GETFD) != -1);
    DEMAND(12, fcntl(keep[0], F_GETFD) != -1 && fcntl(keep[1], F_GETFD) != -1);
    DEMAND(13, fcntl(child.up.fd, F_GETFD) != -1 && fcntl(log, F_GETFD) != -1);
    DEMAND(14, fcntl(ours.fd, F_GETFD) == -1);
    /* 0, 1, 2, two kept, channel, log, signalfd; the rest is libev's, which has one or two. */
    int own = count_fds();

    DEMAND(15, own >= 9 && own <= 10);
    DEMAND(16, fcntl(child.signal_fd, F_GETFD) & FD_CLOEXEC);
}

Test(child, closes_all_descriptors_but_its_own)
{
    cr_expect_eq(exit_code_of(closes_all_but_its_own), 0);
}

static void on_inherited(int number)
{
    (void)number;
    _exit(99);
}

static void signals_are_its_own(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    struct signalfd_siginfo info;
    struct sigaction action;

    for (size_t i = 0; i < ARRAY_LEN(handled); i++) {
        (void)signal(handled[i], on_inherited);
    }
    child.supervisor = getppid();
    child_enter(&child, NULL, 0);
    for (size_t i = 0; i < ARRAY_LEN(handled); i++) {
        (void)raise(handled[i]); /* none of them ends the process */
    }
    for (int i = 0; i < 3; i++) {
        DEMAND(11, read(child.signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info));
        DEMAND(12,
               info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT || info.ssi_signo == SIGQUIT);
    }
    DEMAND(13, read(child.signal_fd, &info, sizeof(info)) == -1 && errno == EAGAIN);
    DEMAND(14, sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    DEMAND(15, sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
}

Test(child, reads_its_signals_and_dies_of_none)
{
    cr_expect_eq(exit_code_of(signals_are_its_own), 0);
}

static void knows_its_parent(void)
{
    int death_signal = 0;
    char name[16] = "";

    child.supervisor = getppid();
    child_enter(&child, NULL, 0);
    DEMAND(11, prctl(PR_GET_PDEATHSIG, &death_signal) == 0 && death_signal == SIGTERM);
    DEMAND(12, prctl(PR_GET_NAME, name) == 0 && strcmp(name, "pgbaton-probe") == 0);
    DEMAND(13, child.loop != NULL && !ev_is_default_loop(child.loop));
}

Test(child, asks_for_the_death_signal_of_its_parent)
{
    cr_expect_eq(exit_code_of(knows_its_parent), 0);
}

static void has_another_parent(void)
{
    child.supervisor = getppid() + 1;
    child_enter(&child, NULL, 0);
    _exit(99);
}

Test(child, ends_when_its_parent_is_gone_already)
{
    cr_expect_eq(exit_code_of(has_another_parent), CHILD_EXIT_ASKED);
}

static void says_hello(void)
{
    struct config *cfg;
    struct message first;

    child_hello(&child, &cfg, &first);
    _exit(99);
}

/* What the supervisor read of the child, before its end of file. */
static struct message first_heard(void)
{
    struct message m = {.header = {.type = MESSAGE_TYPE_COUNT}};
    int fd;

    cr_assert_eq(channel_receive(&ours, &m, &fd), 1);
    return m;
}

Test(child, hello_is_the_first_thing_it_says)
{
    cr_assert_eq(channel_send(&ours, MESSAGE_STOP, NULL, -1), 0);
    cr_expect_eq(exit_code_of(says_hello), CHILD_EXIT_ASKED, "stopped while it was starting");
    cr_expect_eq(first_heard().header.type, MESSAGE_HELLO);
}

static void says_hello_to_nobody(void)
{
    channel_close(&ours);
    says_hello();
}

Test(child, end_of_file_instead_of_a_configuration_is_the_end)
{
    int fd = ours.fd;

    /* The supervisor's end must be closed everywhere before the child reads. */
    ours.fd = -1;
    close(fd);
    cr_expect_eq(exit_code_of(says_hello_to_nobody), CHILD_EXIT_ASKED);
}

Test(child, something_else_than_a_configuration_is_another_build)
{
    cr_assert_eq(channel_send(&ours, MESSAGE_SEEK, NULL, -1), 0);
    cr_expect_eq(exit_code_of(says_hello), CHILD_EXIT_PROTOCOL);
    cr_expect_eq(first_heard().header.type, MESSAGE_HELLO);
    struct message words = first_heard();

    cr_expect_eq(words.header.type, MESSAGE_LAST_WORDS);
    cr_expect_not_null(strstr(words.u.last_words.text, "SEEK"), "%s", words.u.last_words.text);
}

Test(child, a_configuration_without_its_descriptor_is_another_build)
{
    cr_assert_eq(channel_send(&ours, MESSAGE_CONFIG, NULL, -1), 0);
    cr_expect_eq(exit_code_of(says_hello), CHILD_EXIT_PROTOCOL);
}

Test(child, a_configuration_that_cannot_be_read_is_another_build)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    cr_assert_eq(channel_send(&ours, MESSAGE_CONFIG, NULL, null), 0);
    cr_expect_eq(exit_code_of(says_hello), CHILD_EXIT_PROTOCOL);
    close(null);
}

Test(child, a_message_of_another_generation_is_another_build)
{
    ours.generation++;
    cr_assert_eq(channel_send(&ours, MESSAGE_STOP, NULL, -1), 0);
    cr_expect_eq(exit_code_of(says_hello), CHILD_EXIT_PROTOCOL);
}

Test(child, silence_is_waited_for_and_then_a_failure)
{
    mono_ns before = clock_now();

    cr_expect_eq(exit_code_of(says_hello), CHILD_EXIT_FAILED);
    cr_expect_geq(clock_now() - before, HELLO_LIMIT);
}

static void dies(void)
{
    char long_reason[2 * REASON_MAX];

    memset(long_reason, 'x', sizeof(long_reason) - 1);
    long_reason[sizeof(long_reason) - 1] = '\0';
    child_die(&child, CHILD_EXIT_CONFIG, "%d %s", 42, long_reason);
}

Test(child, last_words_reach_the_supervisor)
{
    cr_expect_eq(exit_code_of(dies), CHILD_EXIT_CONFIG);
    struct message words = first_heard();

    cr_expect_eq(words.header.type, MESSAGE_LAST_WORDS);
    cr_expect_eq(strncmp(words.u.last_words.text, "42 xxx", 6), 0);
    cr_expect_eq(strlen(words.u.last_words.text), REASON_MAX - 1);
}

/* As the kernel lays them out: the arguments, and the environment right behind them. */
Test(child, a_title_takes_the_place_of_arguments_and_environment)
{
    char block[] = "pgbaton\0run\0HOME=/nowhere\0PGPASSWORD=s3cret";
    char *argv[] = {block, block + 8, NULL};
    char *environment[] = {block + 12, block + 26, NULL};
    char **environ_before = environ;

    environ = environment;
    child_title_init(2, argv);
    child_title("leader worker (%s, epoch %s)", "main", "1.7");

    cr_expect_str_eq(block, "pgbaton: leader worker (main, epoch 1.7)");
    cr_expect_str_eq(argv[0], "pgbaton", "the arguments can still be read");
    cr_expect_str_eq(argv[1], "run");
    cr_expect_str_eq(getenv("HOME"), "/nowhere");
    cr_expect_str_eq(getenv("PGPASSWORD"), "s3cret");

    child_title("probe");
    cr_expect_str_eq(block, "pgbaton: probe");
    for (size_t i = strlen(block); i < sizeof(block); i++) {
        cr_expect_eq(block[i], '\0', "something of before is left");
    }
    child_title("%0200d", 7);
    cr_expect_eq(strlen(block), sizeof(block) - 1, "cut to the room there is");

    for (size_t i = 0; i < 2; i++) {
        free(argv[i]);
        free(environ[i]);
    }
    free(environ);
    environ = environ_before;
}

Test(child, a_new_log_takes_the_place_of_the_old_one)
{
    int first = dup(STDERR_FILENO);
    int second = dup(STDERR_FILENO);

    child_take_log(first);
    cr_expect_eq(log_fd_get(), first);
    cr_expect_neq(fcntl(STDERR_FILENO, F_GETFD), -1, "stderr is never closed");
    child_take_log(second);
    cr_expect_eq(log_fd_get(), second);
    cr_expect_eq(fcntl(first, F_GETFD), -1);
    child_take_log(STDERR_FILENO);
}

Test(child, all_children_of_a_supervisor_say_alive_at_the_same_moments)
{
    const struct child one = {.supervisor = 4711};
    const struct child other = {.supervisor = 4711, .seed = 7};
    mono_ns now = DUR_S(1000) + 123;
    mono_ns at = child_alive_at(&one, now);

    cr_expect_gt(at, now);
    cr_expect_leq(at, now + ALIVE_INTERVAL);
    cr_expect_eq(child_alive_at(&other, now + 1), at);
    cr_expect_eq(child_alive_at(&other, at - 1), at);
    cr_expect_eq(child_alive_at(&one, at), at + ALIVE_INTERVAL, "and on and on");
}
