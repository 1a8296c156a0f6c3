#include "tests/support/program.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/wait.h"

enum {
    GUARD_LINE = 3, /* the descriptors of a guard */
    GUARD_CHILDREN = 4,
    TREE_MAX = 4096,
    END_PATIENCE_MS = 10000, /* for end_signal */
};

/* What a guard says: first the pid, then, once, the status. Then end of file: all are gone. */
struct guard_word {
    pid_t pid;
    int status;
};

static bool stat_of(pid_t pid, char *ret_state, pid_t *ret_parent)
{
    char path[64];
    char line[512] = "";
    int parent = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *from = fopen(path, "re");
    if (from == NULL) {
        return false;
    }
    bool got = fgets(line, sizeof line, from) != NULL;
    (void)fclose(from);
    const char *rest = strrchr(line, ')'); /* the name before it may hold anything */
    if (!got || rest == NULL || sscanf(rest, ") %c %d", ret_state, &parent) != 2) {
        return false;
    }
    *ret_parent = parent;
    return true;
}

bool process_lives(pid_t pid)
{
    char state = 'Z';
    pid_t parent;

    return stat_of(pid, &state, &parent) && state != 'Z' && state != 'X';
}

struct parentage {
    pid_t pid;
    pid_t parent;
};

/* Those that live, or those that are dead and not taken. */
static size_t all_processes(bool zombies, struct parentage *ret_list, size_t room)
{
    DIR *proc = opendir("/proc");
    size_t count = 0;
    struct dirent *entry;

    while (proc != NULL && (entry = readdir(proc)) != NULL && count < room) {
        char state = 'Z';
        pid_t parent;

        if (!isdigit((unsigned char)entry->d_name[0])) {
            continue;
        }
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (stat_of(pid, &state, &parent) && state != 'X' && zombies == (state == 'Z')) {
            ret_list[count++] = (struct parentage){.pid = pid, .parent = parent};
        }
    }
    if (proc != NULL) {
        (void)closedir(proc);
    }
    return count;
}

size_t processes_below(pid_t root, pid_t *ret_pids, size_t room)
{
    static struct parentage all[TREE_MAX];
    size_t total = all_processes(false, all, TREE_MAX);
    size_t count = 0;
    size_t done = 0;
    pid_t above = root;

    for (;;) {
        for (size_t i = 0; i < total && count < room; i++) {
            if (all[i].parent == above) {
                ret_pids[count++] = all[i].pid;
            }
        }
        if (done == count) {
            return count;
        }
        above = ret_pids[done++];
    }
}

size_t zombies_below(pid_t root)
{
    static struct parentage zombies[TREE_MAX];
    static pid_t living[TREE_MAX + 1];
    size_t total = all_processes(true, zombies, TREE_MAX);
    size_t count = 0;

    living[0] = root;
    size_t parents = 1 + processes_below(root, living + 1, TREE_MAX);
    for (size_t i = 0; i < total; i++) {
        for (size_t n = 0; n < parents; n++) {
            count += zombies[i].parent == living[n];
        }
    }
    return count;
}

const char *process_title(pid_t pid)
{
    static char title[512];
    char path[64];

    title[0] = '\0';
    (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, title, sizeof title - 1);
        (void)close(fd);
        for (ssize_t i = 0; i < got; i++) {
            title[i] = title[i] == '\0' ? ' ' : title[i];
        }
        title[got > 0 ? got : 0] = '\0';
    }
    return title;
}

/* In the guard and below it, nothing of criterion may be called: a failure is an exit code. */
static void become(const char *user)
{
    if (user == NULL || geteuid() != 0) {
        return;
    }
    const struct passwd *account = getpwnam(user);
    if (account == NULL || initgroups(user, account->pw_gid) != 0 || setgid(account->pw_gid) != 0 ||
        setuid(account->pw_uid) != 0) {
        _exit(126);
    }
}

static void redirect(const char *path, int to)
{
    int fd = path == NULL ? open("/dev/null", O_RDWR | O_CLOEXEC)
                          : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0 || dup2(fd, to) < 0) {
        _exit(126);
    }
}

static void enter_network(const char *path)
{
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);

    if (path != NULL && (fd < 0 || setns(fd, CLONE_NEWNET) != 0)) {
        _exit(126);
    }
}

static _Noreturn void run_program(const struct program_spec *spec)
{
    sigset_t none;

    redirect(NULL, STDIN_FILENO);
    redirect(spec->output, STDOUT_FILENO);
    redirect(spec->errors, STDERR_FILENO);
    (void)close_range(GUARD_LINE, ~0U, 0);
    (void)setpgid(0, 0);
    enter_network(spec->network);
    become(spec->user);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    for (const char *const *word = spec->environment; word != NULL && *word != NULL; word++) {
        (void)putenv((char *)(uintptr_t)*word);
    }
    (void)execvp(spec->argv[0], (char *const *)(uintptr_t)spec->argv);
    _exit(127);
}

static void signal_below(int signal_number)
{
    static pid_t below[TREE_MAX];
    size_t count = processes_below(getpid(), below, TREE_MAX);

    for (size_t i = 0; i < count; i++) {
        (void)kill(below[i], signal_number);
    }
}

/* Several deaths may be one signal: what counts is guard_reap(). */
static void guard_forget_signal(void)
{
    struct signalfd_siginfo info;

    if (read(GUARD_CHILDREN, &info, sizeof info) < 0) {
        _exit(1);
    }
}

/* Takes all that are dead; says the program's status; false when no child is left. */
static bool guard_reap(pid_t program)
{
    struct guard_word word = {.pid = program};
    pid_t dead;

    while ((dead = waitpid(-1, &word.status, WNOHANG)) > 0) {
        if (dead == program) {
            (void)send(GUARD_LINE, &word, sizeof word, MSG_NOSIGNAL);
        }
    }
    return dead == 0;
}

static void guard_end_politely(pid_t program, int end_signal)
{
    struct pollfd children = {.fd = GUARD_CHILDREN, .events = POLLIN};

    (void)kill(program, end_signal);
    while (process_lives(program) && poll(&children, 1, END_PATIENCE_MS) > 0) {
        guard_forget_signal();
        (void)guard_reap(program);
    }
}

static _Noreturn void guard_kill_all(pid_t program)
{
    struct pollfd children = {.fd = GUARD_CHILDREN, .events = POLLIN};

    signal_below(SIGSTOP);
    signal_below(SIGSTOP); /* what was forked between the look and the signal */
    while (guard_reap(program)) {
        signal_below(SIGKILL);
        if (poll(&children, 1, 50) > 0) {
            guard_forget_signal();
        }
    }
    _exit(0);
}

static _Noreturn void guard(const struct program_spec *spec)
{
    sigset_t children;

    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)prctl(PR_SET_NAME, "test-guard");
    (void)sigemptyset(&children);
    (void)sigaddset(&children, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &children, NULL);
    if (signalfd(-1, &children, SFD_CLOEXEC) != GUARD_CHILDREN) {
        _exit(1);
    }
    pid_t pid = fork();
    if (pid == 0) {
        run_program(spec);
    }
    struct guard_word word = {.pid = pid};
    (void)send(GUARD_LINE, &word, sizeof word, MSG_NOSIGNAL);

    struct pollfd watched[] = {{.fd = GUARD_LINE, .events = POLLIN},
                               {.fd = GUARD_CHILDREN, .events = POLLIN}};
    for (;;) {
        (void)poll(watched, 2, -1);
        if (watched[1].revents != 0) {
            guard_forget_signal();
        }
        if (!guard_reap(pid)) {
            _exit(0);
        }
        if (watched[0].revents != 0) {
            char order = 0;
            if (recv(GUARD_LINE, &order, 1, MSG_DONTWAIT) != 1 && spec->end_signal != 0) {
                guard_end_politely(pid, spec->end_signal);
            }
            guard_kill_all(pid);
        }
    }
}

void program_start(struct program *p, const struct program_spec *spec)
{
    struct guard_word word;
    int line[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line), 0);
    (void)fflush(NULL);
    *p = (struct program){.line = line[0]};
    p->guard = fork();
    cr_assert(p->guard >= 0);
    if (p->guard == 0) {
        int end = line[1];
        if (end != GUARD_LINE && dup2(end, GUARD_LINE) < 0) {
            _exit(1);
        }
        (void)close_range(GUARD_LINE + 1, ~0U, 0);
        guard(spec);
    }
    (void)close(line[1]);
    cr_assert_eq(recv(p->line, &word, sizeof word, 0), (ssize_t)sizeof word);
    p->pid = word.pid;
    cr_assert(p->pid > 0);
}

void program_signal(const struct program *p, int signal_number)
{
    cr_assert(p->pid > 0);
    cr_assert_eq(kill(p->pid, signal_number), 0, "no process %d to signal", (int)p->pid);
}

void program_signal_tree(const struct program *p, int signal_number)
{
    static pid_t below[TREE_MAX];
    size_t count = processes_below(p->guard, below, TREE_MAX);

    for (size_t i = 0; i < count; i++) {
        (void)kill(below[i], signal_number);
    }
}

/* One word of the guard: 1, 0 at its end of file, -1 at the limit. */
static int listen_to_guard(struct program *p, mono_ns limit)
{
    struct pollfd from = {.fd = p->line, .events = POLLIN};
    struct guard_word word;
    mono_ns left = limit - clock_now();

    if (p->line < 0) {
        return 0;
    }
    if (poll(&from, 1, left > 0 ? (int)(left / DUR_MS(1)) + 1 : 0) <= 0) {
        return -1;
    }
    if (recv(p->line, &word, sizeof word, 0) == (ssize_t)sizeof word) {
        p->ended = true;
        p->status = word.status;
        return 1;
    }
    (void)close(p->line);
    p->line = -1;
    (void)waitpid(p->guard, NULL, 0);
    return 0;
}

int program_wait(struct program *p, dur_ns within)
{
    mono_ns limit = clock_now() + within;

    while (!p->ended) {
        if (listen_to_guard(p, limit) != 1 && !p->ended) {
            return -1;
        }
    }
    return WIFEXITED(p->status) ? WEXITSTATUS(p->status) : 128 + WTERMSIG(p->status);
}

bool program_wait_all(struct program *p, dur_ns within)
{
    mono_ns limit = clock_now() + within;
    int heard;

    while ((heard = listen_to_guard(p, limit)) == 1) {
    }
    return heard == 0;
}

void program_kill_tree(struct program *p)
{
    if (p->line >= 0) {
        (void)send(p->line, "k", 1, MSG_NOSIGNAL);
        cr_assert(program_wait_all(p, WAIT_LIMIT), "process %d cannot be killed", (int)p->pid);
    }
}

int program_run(const struct program_spec *spec)
{
    struct program p;

    program_start(&p, spec);
    int code = program_wait(&p, WAIT_LIMIT);
    if (code < 0) {
        program_kill_tree(&p);
        cr_assert_fail("%s did not end", spec->argv[0]);
    }
    if (p.line >= 0) {
        (void)close(p.line); /* what it may have left running is killed */
        (void)waitpid(p.guard, NULL, 0);
    }
    return code;
}
