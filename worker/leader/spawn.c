#include "worker/leader/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STACK_BYTES = 64 * 1024, /* the child calls nothing deep */
    KERNEL_SIGNALS = 64,
    EXIT_NOT_STARTED = 127, /* never seen outside: the caller waits for it at once */
};

/* What is handed to the child: prepared by the parent, in memory that both share. */
struct launch {
    const struct spawn *what;
    char **paths; /* what to try to execute, in turn; owned */
    pid_t parent; /* 0: no child, become it here */
    struct spawn_failure *failure;
};

/* What rt_sigaction(2) of the kernel takes: all zero is the default disposition. */
struct kernel_sigaction {
    void (*handler)(int number);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/*
 * A child never returns from these: it is replaced. The address sanitizer would
 * take what their frames leave behind on the stack for an error of the next child.
 */
#define IN_CHILD __attribute__((no_sanitize("address")))

/* ---- Between clone and exec: system calls only. errno is the parent's, which stands still. ----
 */

IN_CHILD static int fail(struct launch *launch, enum spawn_step step)
{
    launch->failure->step = step;
    launch->failure->error = errno;
    return -1;
}

/*
 * The library's wrappers keep two signals to themselves; a job inherits none of it.
 * Ignoring a signal forgets one that is pending: it was sent to the worker's group
 * while we were in there (the keys of a terminal do), and would be our end now.
 * None of those comes later than our own group.
 */
IN_CHILD static void reset_signals(void)
{
    struct kernel_sigaction ignored = {.handler = SIG_IGN};
    struct kernel_sigaction as_default = {.handler = SIG_DFL};
    uint64_t none = 0;
    uint64_t pending = ~none;

    (void)syscall(SYS_rt_sigpending, &pending, sizeof(pending));
    for (long number = 1; number <= KERNEL_SIGNALS; number++) {
        if ((pending >> (number - 1) & 1U) != 0) {
            (void)syscall(SYS_rt_sigaction, number, &ignored, NULL, sizeof(none));
        }
        (void)syscall(SYS_rt_sigaction, number, &as_default, NULL, sizeof(none));
    }
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

/* Nothing that the daemon may do is handed on: neither ambient, nor for files that would take it.
 */
IN_CHILD static void give_up_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capget, &header, sets) == 0) {
        sets[0].inheritable = 0;
        sets[1].inheritable = 0;
        (void)syscall(SYS_capset, &header, sets);
    }
}

/*
 * Bare system calls: the library's setuid() would tell the other threads, whose
 * list it would find in the parent's memory.
 */
IN_CHILD static int change_user(struct launch *launch)
{
    const struct account *account = launch->what->account;

    give_up_capabilities();
    if (!account->change) {
        return 0;
    }
    if (syscall(SYS_setgroups, account->group_count, account->groups) == -1 ||
        syscall(SYS_setresgid, account->gid, account->gid, account->gid) == -1 ||
        syscall(SYS_setresuid, account->uid, account->uid, account->uid) == -1) {
        return fail(launch, SPAWN_USER);
    }
    return 0;
}

/* After the change of user, which clears it; then a look whether it came too late. */
IN_CHILD static int die_with_parent(struct launch *launch)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1) {
        return fail(launch, SPAWN_DEATH_SIGNAL);
    }
    if (syscall(SYS_getppid) != launch->parent) {
        errno = ESRCH;
        return fail(launch, SPAWN_DEATH_SIGNAL);
    }
    return 0;
}

IN_CHILD static int place_descriptor(struct launch *launch, int fd, int null_fd, int number)
{
    return dup2(fd != -1 ? fd : null_fd, number) == -1 ? fail(launch, SPAWN_OUTPUT) : 0;
}

IN_CHILD static int set_descriptors(struct launch *launch)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null_fd == -1 || dup2(null_fd, STDIN_FILENO) == -1) {
        return fail(launch, SPAWN_INPUT);
    }
    if (place_descriptor(launch, launch->what->output_fd, null_fd, STDOUT_FILENO) < 0 ||
        place_descriptor(launch, launch->what->error_fd, null_fd, STDERR_FILENO) < 0) {
        return -1;
    }
    return 0;
}

/* What only a process of its own gets, and what must be done while we are still privileged. */
IN_CHILD static int set_apart(struct launch *launch)
{
    if (launch->what->cgroup_fd != -1) {
        ssize_t entered = write(launch->what->cgroup_fd, "0", 1);

        (void)entered; /* outside of it a run is only harder to kill: no reason not to start it */
    }
    if (setpgid(0, 0) == -1) {
        return fail(launch, SPAWN_GROUP);
    }
    return set_descriptors(launch);
}

/* As a shell does: what is not there, or may not be executed, is passed over for the next. */
IN_CHILD static int execute(struct launch *launch)
{
    int worst = ENOENT;

    for (char **path = launch->paths; *path != NULL; path++) {
        (void)execve(*path, launch->what->words, launch->what->environment);
        if (errno == EACCES) {
            worst = EACCES;
        } else if (errno != ENOENT && errno != ENOTDIR) {
            return fail(launch, SPAWN_EXECUTE);
        }
    }
    errno = worst;
    return fail(launch, SPAWN_EXECUTE);
}

IN_CHILD static int become(struct launch *launch)
{
    const struct spawn *what = launch->what;

    if (launch->parent != 0 && set_apart(launch) < 0) {
        return -1;
    }
    if (what->nice != INT_MIN && setpriority(PRIO_PROCESS, 0, what->nice) == -1) {
        return fail(launch, SPAWN_NICE);
    }
    if (change_user(launch) < 0) {
        return -1;
    }
    if (launch->parent != 0 && die_with_parent(launch) < 0) {
        return -1;
    }
    if (what->umask != -1) {
        (void)umask((mode_t)what->umask);
    }
    if (what->directory != NULL && chdir(what->directory) == -1) {
        return fail(launch, SPAWN_DIRECTORY);
    }
    for (unsigned i = 0; i < what->handed_count; i++) {
        if (dup2(what->handed[i], STDERR_FILENO + 1 + (int)i) == -1) {
            return fail(launch, SPAWN_DESCRIPTORS);
        }
    }
    if (syscall(SYS_close_range, 3U + what->handed_count, ~0U,
                launch->parent != 0 ? 0U : CLOSE_RANGE_CLOEXEC) == -1) {
        return fail(launch, SPAWN_DESCRIPTORS);
    }
    reset_signals();
    return execute(launch);
}

IN_CHILD static int child_main(void *launch)
{
    (void)become(launch);
    (void)syscall(SYS_exit_group, EXIT_NOT_STARTED); /* nothing of the library's may run here */
    return EXIT_NOT_STARTED;
}

/* ---- The parent. ---- */

static const char *path_of(char *const *environment)
{
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, "PATH=", 5) == 0) {
            return *environment + 5;
        }
    }
    return "/usr/bin:/bin";
}

static void free_paths(char **paths)
{
    for (char **path = paths; path != NULL && *path != NULL; path++) {
        free(*path);
    }
    free(paths);
}

/* An empty entry of PATH is the present directory, as everywhere. */
static char *joined(const char *directory, size_t length, const char *word)
{
    char *path;

    if (length == 0) {
        return strdup(word);
    }
    return asprintf(&path, "%.*s/%s", (int)length, directory, word) == -1 ? NULL : path;
}

/* Every file that words[0] may mean, so that the child only has to try. */
static char **find_paths(const char *word, const char *search)
{
    size_t room = 2; /* the one after the last colon, and NULL */
    size_t count = 0;

    for (const char *p = search; *p != '\0'; p++) {
        room += *p == ':';
    }
    char **paths = calloc(room, sizeof(*paths));
    if (paths == NULL) {
        return NULL;
    }
    if (strchr(word, '/') != NULL) {
        search = "";
    }
    for (;;) {
        size_t length = strcspn(search, ":");

        paths[count] = joined(search, length, word);
        if (paths[count++] == NULL) {
            free_paths(paths);
            return NULL;
        }
        if (search[length] == '\0') {
            return paths;
        }
        search += length + 1;
    }
}

static int prepare(struct launch *launch)
{
    const char *program = launch->what->program;

    /* A program has a / in it, so that PATH is not asked. */
    launch->paths = find_paths(program != NULL ? program : launch->what->words[0],
                               path_of(launch->what->environment));
    if (launch->paths == NULL) {
        *launch->failure = (struct spawn_failure){.step = SPAWN_PREPARE, .error = ENOMEM};
        return -ENOMEM;
    }
    return 0;
}

/*
 * No handler may run in the child: it would be the worker's, on the worker's memory.
 * A change of user makes that memory undumpable, ours too: /proc/self would be root's
 * from then on, and where /proc hides what is foreign the supervisor could not find us.
 */
static pid_t clone_quietly(struct launch *launch)
{
    /* Ours stands still until the child is replaced: what it needs of it is as good as a mapping of
     * its own, and costs nothing. */
    alignas(max_align_t) char stack[STACK_BYTES];
    bool dumpable = prctl(PR_GET_DUMPABLE) == 1;
    sigset_t all;
    sigset_t before;
    pid_t pid;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid = clone(child_main, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, launch);
    int error = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (dumpable) {
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    }
    errno = error;
    return pid;
}

int spawn_start(const struct spawn *what, pid_t *ret_pid, struct spawn_failure *reterr)
{
    struct spawn_failure failure = {.step = SPAWN_PREPARE};
    struct launch launch = {.what = what, .parent = getpid(), .failure = &failure};
    pid_t pid = -1;

    assert(what->output_fd == -1 || what->output_fd > STDERR_FILENO);
    assert(what->error_fd == -1 || what->error_fd > STDERR_FILENO);
    assert(what->words[0] != NULL);
    assert(what->handed_count <= SPAWN_HANDED_MAX);
    for (unsigned i = 0; i < what->handed_count; i++) {
        assert(what->handed[i] > STDERR_FILENO + SPAWN_HANDED_MAX);
    }
    assert(what->account != NULL);

    if (prepare(&launch) == 0) {
        pid = clone_quietly(&launch);
        if (pid == -1) {
            failure = (struct spawn_failure){.step = SPAWN_FORK, .error = errno};
        } else if (failure.error != 0) {
            while (waitpid(pid, NULL, 0) == -1 && errno == EINTR) { /* it is gone already */
            }
        }
        free_paths(launch.paths);
    }
    if (failure.error != 0) {
        *reterr = failure;
        return -failure.error;
    }
    *ret_pid = pid;
    return 0;
}

int spawn_here(const struct spawn *what, struct spawn_failure *reterr)
{
    struct spawn_failure failure = {.step = SPAWN_PREPARE};
    struct launch launch = {.what = what, .failure = &failure};

    if (prepare(&launch) == 0) {
        (void)become(&launch);
        free_paths(launch.paths);
    }
    *reterr = failure;
    return -failure.error;
}

static void explain_step(const struct spawn *what, enum spawn_step step, char *ret, size_t size)
{
    switch (step) {
    case SPAWN_PREPARE:
        (void)snprintf(ret, size, "cannot prepare the start");
        return;
    case SPAWN_FORK:
        (void)snprintf(ret, size, "cannot make a process");
        return;
    case SPAWN_GROUP:
        (void)snprintf(ret, size, "cannot make a process group");
        return;
    case SPAWN_NICE:
        (void)snprintf(ret, size, "cannot set nice %d", what->nice);
        return;
    case SPAWN_INPUT:
        (void)snprintf(ret, size, "cannot open /dev/null");
        return;
    case SPAWN_OUTPUT:
        (void)snprintf(ret, size, "cannot connect its output");
        return;
    case SPAWN_USER:
        (void)snprintf(ret, size, "cannot change to user '%s'", what->account->name);
        return;
    case SPAWN_DEATH_SIGNAL:
        (void)snprintf(ret, size, "cannot tie it to the life of the worker");
        return;
    case SPAWN_DIRECTORY:
        (void)snprintf(ret, size, "cannot change to directory '%s'", what->directory);
        return;
    case SPAWN_DESCRIPTORS:
        (void)snprintf(ret, size, "cannot close the daemon's descriptors");
        return;
    case SPAWN_EXECUTE:
        (void)snprintf(ret, size, "cannot execute '%s'", what->words[0]);
        return;
    }
}

void spawn_explain(const struct spawn *what, const struct spawn_failure *failure, char *ret_text,
                   size_t size)
{
    char step[512];

    explain_step(what, failure->step, step, sizeof(step));
    (void)snprintf(ret_text, size, "%s: %s", step, strerror(failure->error));
}
