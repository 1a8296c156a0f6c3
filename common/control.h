/*
 * control.h - the control socket: how the command-line tool talks to a daemon.
 *
 * A UNIX stream socket, run_dir/control.sock. One request and one reply a
 * connection, each one JSON object on one line of at most CONTROL_LINE_MAX
 * bytes (replies may be longer: read to the end of the stream).
 *
 *   {"command":"status"} -> the JSON of `pgbaton status --json`
 *       ("fleet":false beside it: without asking the database who else is there)
 *   {"command":"stop"} | {"command":"reload"} |
 *   {"command":"step-down","for_ms":30000,"force":false}
 *       -> {"code":0,"text":"..."}: code is the exit code of the tool
 *
 * The daemon's own user and root may command (SO_PEERCRED); everybody who can
 * connect may ask for the status.
 */
#ifndef PGBATON_COMMON_CONTROL_H
#define PGBATON_COMMON_CONTROL_H

enum { CONTROL_LINE_MAX = 4096 };
#define CONTROL_SOCKET_NAME "control.sock"

/* Exit codes of the commands (sysexits, CONTRACT.md). */
enum exit_code {
    EXIT_CODE_DONE = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 64,
    EXIT_CODE_UNAVAILABLE = 69, /* daemon or database not reachable */
    EXIT_CODE_NOT_YET = 75,     /* lock not available in time */
    EXIT_CODE_NOT_PERMITTED = 77,
    EXIT_CODE_CONFIG = 78,
};

#endif
