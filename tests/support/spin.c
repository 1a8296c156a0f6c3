#include "tests/support/spin.h"

#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#if defined(__x86_64__)
#define COUNTER rip
static const long jump_to_itself = 0xfeeb;
static const long jump_mask = 0xffff;
#define CAN_SPIN 1
#elif defined(__aarch64__)
#define COUNTER pc
static const long jump_to_itself = 0x14000000;
static const long jump_mask = 0xffffffff;
#define CAN_SPIN 1
#endif

#ifdef CAN_SPIN

/* The page becomes a copy of that process's own: whoever shares its program code runs on. */
static bool put_jump(pid_t pid)
{
    struct user_regs_struct registers;
    struct iovec into = {.iov_base = &registers, .iov_len = sizeof registers};

    if (ptrace(PTRACE_GETREGSET, pid, (void *)(uintptr_t)NT_PRSTATUS, &into) == -1) {
        return false;
    }
    void *at = (void *)(uintptr_t)registers.COUNTER;
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, pid, at, NULL);
    if (errno != 0) {
        return false;
    }
    word = (word & ~jump_mask) | jump_to_itself;
    return ptrace(PTRACE_POKETEXT, pid, at, (void *)word) == 0;
}

bool process_spin(pid_t pid)
{
    int status;

    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == -1) {
        return false;
    }
    bool done = ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 &&
                waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status) && put_jump(pid);
    return ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0 && done;
}

#else

bool process_spin(pid_t pid)
{
    (void)pid;
    return false;
}

#endif
