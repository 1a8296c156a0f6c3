/*
 * spin.h - make a process of the test's spin: it lives, burns its processor's time,
 * and answers nothing any more. It is not stopped: for the kernel it is in the best of
 * health. Only SIGKILL helps.
 */
#ifndef PGBATON_TESTS_SUPPORT_SPIN_H
#define PGBATON_TESTS_SUPPORT_SPIN_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * process_spin - the next instruction of that process becomes a jump to itself.
 * False where that cannot be done here: another processor, or no right to trace.
 */
bool process_spin(pid_t pid);

#endif
