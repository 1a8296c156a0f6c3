/*
 * links.h - real cables: network namespaces, each with one link to ours.
 *
 * The test itself moves into a new, empty network first, in which its server
 * then runs: nothing of the machine's own network is touched, and the kernel
 * takes everything away when the test and its helpers have ended.
 */
#ifndef PGBATON_TESTS_SUPPORT_LINKS_H
#define PGBATON_TESTS_SUPPORT_LINKS_H

#include <stdbool.h>
#include <sys/types.h>

struct link {
    char network[64]; /* the file of the namespace: for struct instance */
    char near[16];    /* the device on our side */
    char address[32]; /* of our side of it: where that namespace finds a server */
    pid_t holder;     /* the process that the namespace lives by */
    int line;         /* its end of file ends the holder */
};

/* links_enter - a network of our own. Skips the test, with the reason, where that is not allowed.
 */
void links_enter(void);

/* link_make - a namespace and a cable to it; number: 1 to 250, another one for each. */
void link_make(struct link *l, unsigned number);

/* link_set - pull the cable out on the far side, or put it in again. */
void link_set(const struct link *l, bool up);

void link_release(struct link *l);

#endif
