/*
 * config.h - the configuration: one typed, immutable struct.
 *
 * FILE and its includes, the environment and -o are read into entries (text,
 * each with where it came from); the entries are checked against one table,
 * common/config_table.c, that lists every key with type, default, range, reload
 * rule and help; the result is a struct config that never changes. A reload
 * makes a new one. The entries also travel, sealed in a memfd, to the children,
 * which build the same struct from them.
 *
 * Runs in: every process and every command.
 */
#ifndef PGBATON_COMMON_CONFIG_H
#define PGBATON_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/identity.h"
#include "common/log.h"
#include "common/schedule.h"

/* Where a value came from: "pgbaton.ini" and 12; "environment" or "-o" and 0; "default" and 0. */
struct origin {
    const char *file;
    unsigned line;
    unsigned swallowed_at; /* of a value that a shell would see the end of here; 0: nowhere */
};

enum database_kind { DATABASE_POSTGRES, DATABASE_SQLITE, DATABASE_NONE };
enum election_mode { MODE_HEIR, MODE_POLL };
enum job_action { ACTION_COMMAND, ACTION_EXEC, ACTION_SQL };
enum job_output { OUTPUT_LOG, OUTPUT_NONE, OUTPUT_FILE };
enum job_overlap { OVERLAP_SKIP, OVERLAP_QUEUE, OVERLAP_REPLACE, OVERLAP_ALLOW };
enum job_missed { MISSED_ONCE, MISSED_SKIP, MISSED_ALL };
enum job_interrupt { INTERRUPT_SKIP, INTERRUPT_RERUN };
enum job_record { RECORD_ALL, RECORD_FAILURES };
enum day_match { DAY_MATCH_OR, DAY_MATCH_AND };

/* Strings are owned by the config; one that is not set is NULL unless said otherwise. */
struct config_pgbaton {
    const char *instance; /* never NULL: HOSTNAME:PID of the supervisor where not set */
    const char *run_dir;  /* NULL: rundir_choose() finds the first default that works */
    const char *user;
    const char *group;
    enum log_level log_level;
    const char *log_file; /* NULL: stderr */
    dur_ns stop_timeout;
};

struct config_database {
    enum database_kind kind;
    const char *dsn; /* as libpq takes it; for SQLite the path without "sqlite:" */
    const char *password_file;
    const char *schema;
    dur_ns connect_timeout;
    bool create_schema;
    dur_ns max_clock_skew;
};

struct config_election {
    bool enabled;
    const char *name;
    int64_t key; /* the 64 bits of the leader key; the seat is their two halves */
    enum election_mode mode;
    dur_ns lease;
    dur_ns heartbeat;
    dur_ns stop_grace;
    dur_ns loss_grace;
    dur_ns takeover_delay;
    dur_ns retry_interval;
    unsigned retry_jitter; /* percent */
    dur_ns backoff_max;
};

/* What [jobs] says of all of them together. */
struct config_runs {
    int max_running;      /* runs at the same time, services not counted */
    dur_ns history;       /* a run is kept for so long after its end, */
    int history_runs;     /* and so many of a job at most */
    int64_t output_limit; /* bytes kept of what a run prints, half of them from its end; 0: none */
};

struct config_job {
    const char *name;
    struct origin origin;     /* of its section header */
    struct schedule schedule; /* its parent is a string of its own, its zone one of the config's */
    const char *schedule_text;
    const char *zone;
    dur_ns jitter;
    enum day_match day_match;
    enum job_action action;
    const char *command; /* ACTION_COMMAND: the text; ACTION_EXEC: the words as written; ACTION_SQL:
                            the statements */
    char **words;        /* what to exec, NULL-terminated: for command: shell words and the text */
    char **shell;        /* its words, NULL-terminated: what runs command, and hooks */
    dur_ns timeout;      /* 0: none */
    dur_ns grace;
    const char *user;
    const char *directory;
    int umask;          /* -1: as the daemon's */
    int nice;           /* INT_MIN: as the daemon's */
    char **environment; /* NAME=VALUE, NULL-terminated; may be NULL */
    const char *environment_file;
    bool clean_environment;
    bool pass_database;
    enum job_output output;
    const char *output_file; /* OUTPUT_FILE only */
    enum job_overlap overlap;
    enum job_missed missed;
    dur_ns missed_window;
    int missed_max;
    enum job_interrupt on_interrupt;
    int retries;
    dur_ns retry_delay;
    struct exit_codes success_codes; /* that mean success */
    const char *mutex;
    const char *sql_role; /* ACTION_SQL only, as the next */
    bool sql_transaction;
    const char *on_failure; /* texts for the shell; NULL: none */
    const char *on_recovery;
    const char *on_success;
    bool critical;
    enum job_record record;
    bool enabled;
    uint64_t hash; /* of the whole definition: a changed one is another job */
};

struct config {
    struct config_pgbaton pgbaton;
    struct config_database database;
    struct config_election election;
    bool jobs_enabled;
    struct config_runs runs;
    struct config_job *jobs; /* in the order of the file */
    size_t job_count;
    uint64_t hash;                  /* of what one fleet shares: not [pgbaton], not the dsn */
    struct config_private *private; /* the entries and the memory of all strings */
};

/* One problem; problems are collected, not stopped at. */
struct config_problem {
    bool warning;
    unsigned line;  /* 0: of no line */
    char file[256]; /* or "environment", "-o", "default"; cut where it is longer */
    char text[640]; /* "pgbaton.ini:12: [election] lease: '5 parsecs' is not a duration such as
                       500ms" */
};
struct config_problems {
    struct config_problem *list; /* owned */
    size_t count;
    size_t errors; /* how many of them are no warnings */
};
void config_problems_release(struct config_problems *p);
void config_problems_print(const struct config_problems *p,
                           FILE *to); /* one a line; warnings say "warning: " after FILE:LINE: */

/* What the command line and the environment say about the configuration. */
struct config_sources {
    const char *file;             /* NULL: $PGBATON_CONFIG, else /etc/pgbaton/pgbaton.ini */
    const char *const *overrides; /* the arguments of -o, NULL-terminated; may be NULL */
    char **environment;           /* environ */
    bool never_wait;              /* the file is no pipe either: who reads it has more to do */
};

/*
 * config_read - read, merge, check.
 * Returns 0 and *ret_config (config_free), problems may hold warnings; or
 * -EINVAL with the errors in problems; or another negative errno (-ENOMEM).
 * An unreadable file is a problem too. ret_problems is always set.
 */
int config_read(const struct config_sources *sources, struct config **ret_config,
                struct config_problems *ret_problems);
void config_free(struct config *cfg);

/*
 * config_without_jobs - another configuration that says the same of all but the
 * jobs, of which it has none: for what must go on with the present one through a
 * reload. 0 with *ret_config (config_free), or -ENOMEM.
 */
int config_without_jobs(const struct config *cfg, struct config **ret_config);

/*
 * config_read_daemon - only what a command needs to find a daemon that runs:
 * [pgbaton], and nothing else of *ret_config may be used. A daemon goes on when
 * its file has become bad, so what is wrong there does not matter, unless
 * run_dir may be in what could not be read, or a word of the command line is
 * wrong: -EINVAL with problems, as from config_read.
 */
int config_read_daemon(const struct config_sources *sources, struct config **ret_config,
                       struct config_problems *ret_problems);

/*
 * config_seal - the entries as a sealed memfd, to hand to a child. with_secrets
 * false: without anything that the monitor must not know (dsn, password_file,
 * commands, environments). Returns a descriptor or a negative errno.
 * config_unseal - build the struct from such a memfd (read with pread: children
 * share the offset). fd stays the caller's. 0, or a negative errno.
 */
int config_seal(const struct config *cfg, bool with_secrets);
int config_unseal(int fd, struct config **ret_config);

/* How a changed setting takes effect. Ordered: a reload does the most it must. */
enum config_change {
    CHANGE_NOTHING,
    CHANGE_LIVE,     /* children take it from the next CONFIG message */
    CHANGE_ELECTION, /* release gracefully, elect anew */
    CHANGE_RESTART,  /* cannot be changed while running: the reload is refused */
};
/* config_is_same_election - by name and kind of database. Wherever it is kept: a database that
 * moved to another host holds the same one. */
bool config_is_same_election(const struct config *a, const struct config *b);

/*
 * config_diff - what must happen for next to take the place of now. On
 * CHANGE_RESTART, reason says which key, its old and its new value, and that a
 * restart would do it. A job that is the first to name a user, while the
 * daemon runs without the privileges for it, is CHANGE_RESTART (can_switch_user false).
 */
enum config_change config_diff(const struct config *now, const struct config *next,
                               bool can_switch_user, char *ret_reason, size_t size);

/*
 * config_changes - calls each with one line for every setting that has changed ("[election] lease
 * is now 20s; was 15s"), and for every job that is new, gone or changed. No secret is in them.
 */
void config_changes(const struct config *now, const struct config *next,
                    void (*each)(void *ctx, const char *text), void *ctx);

/* config_print - check --print: the effective configuration as an INI file with
 * the origin of each value that is not a default; secrets masked. */
void config_print(const struct config *cfg, FILE *to);

/* config_keys_print - every key with default, range and help, for --help and the manual. */
void config_keys_print(FILE *to);

const struct config_job *config_job_find(const struct config *cfg, const char *name);

/* config_has_user_jobs - does any enabled job name a user? */
bool config_has_user_jobs(const struct config *cfg);

/* config_is_anonymous - an election in PostgreSQL that neither name nor key tells from others. */
bool config_is_anonymous(const struct config *cfg);

/* config_jobs_hash - of the set of names of the jobs, in whatever order; 0: there are none. */
uint64_t config_jobs_hash(const struct config *cfg);

#endif
