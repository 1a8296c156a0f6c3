/*
 * client.h - a command's side of the control socket (common/control.h).
 *
 * Everything has a limit: a daemon that hangs makes a command fail, not wait.
 * What goes wrong is printed on stderr, once, with what to do about it.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_CLIENT_H
#define PGBATON_SUPERVISOR_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/clock.h"
#include "common/config.h"

#define CLIENT_CONNECT_WITHIN DUR_S(2)
#define CLIENT_REPLY_WITHIN DUR_S(10)

struct client {
    int fd;     /* -1: not connected */
    int daemon; /* pidfd of the supervisor; -1: it cannot be watched from here */
    pid_t pid;  /* of the supervisor; 0: unknown (another pid namespace) */
    bool quiet; /* print nothing */
    char path[256];
};

/*
 * client_open - connect to the daemon of this configuration; client_connect -
 * to the socket at that path. An exit code: EXIT_CODE_DONE, or
 * EXIT_CODE_UNAVAILABLE or EXIT_CODE_NOT_PERMITTED, with the reason printed.
 */
int client_open(struct client *client, const struct config *cfg, bool quiet);
int client_connect(struct client *client, const char *path, bool quiet);

/*
 * client_ask - send this request (borrowed) and read the reply to its end. An
 * exit code, as above; on EXIT_CODE_DONE *ret_reply is a new reference to a JSON object.
 */
int client_ask(struct client *client, json_t *request, dur_ns within, json_t **ret_reply);

/* client_wait_gone - wait until the supervisor has ended. False: it has not within that time, or it
 * cannot be watched. */
bool client_wait_gone(const struct client *client, dur_ns within);

/* client_close - safe to repeat. */
void client_close(struct client *client);

#endif
