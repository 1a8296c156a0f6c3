/*
 * message.h - every message that crosses a channel, in one table.
 *
 * All ends are the same program on one machine, so a payload is a plain struct:
 * no byte order, no text. The monitor is started by exec and may be another
 * build for a moment, so MESSAGE_VERSION travels in each header.
 *
 * Moments (mono_ns) are on CLOCK_BOOTTIME, which all processes of a machine share.
 */
#ifndef PGBATON_COMMON_MESSAGE_H
#define PGBATON_COMMON_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/identity.h"

enum { MESSAGE_VERSION = 1 };

/* Who is at the far end of a channel: a set of bits, so that a row can name several. */
enum message_sender {
    FROM_SUPERVISOR = 1,
    FROM_PROBE = 2,
    FROM_WORKER = 4,
    FROM_MONITOR = 8,
    FROM_KEEPER = 16,
    FROM_CHILD = FROM_PROBE | FROM_WORKER | FROM_MONITOR | FROM_KEEPER,
};

/* Why leadership, a campaign or the seat ended: closed list, the word of the log and of
 * pgbaton.term. */
enum end_reason {
    END_NONE,
    END_STOP,            /* the instance is asked to stop */
    END_STEP_DOWN,       /* somebody asked for it */
    END_RELOAD,          /* the configuration elects anew */
    END_SESSION_ENDED,   /* the lock session is gone */
    END_LEASE_EXPIRED,   /* no heartbeat acknowledged in time */
    END_WITNESS,         /* the database says that another session holds the key */
    END_CLOCK,           /* our clock is off by more than max_clock_skew */
    END_SEAT_LOST,       /* the heir's seat went away during the campaign */
    END_CONNECT_FAILED,  /* the worker cannot connect */
    END_REFUSED,         /* the session cannot be used (pooler, standby, version, settings) */
    END_NOT_GRANTED,     /* mode = poll: somebody else was faster */
    END_TERM_FAILED,     /* the key was granted, but the term cannot be opened */
    END_INTERNAL,        /* anything unexpected on a session */
    END_WORKER_DIED,     /* the process of the worker ended */
    END_WORKER_HUNG,     /* the worker did not renew by its deadline */
    END_SUPERVISOR_DIED, /* the worker has nobody above it any more */
    END_REASON_COUNT,
};
const char *end_reason_name(enum end_reason reason);

enum database_state { DATABASE_UNKNOWN, DATABASE_UP, DATABASE_DOWN };
enum holder_kind {
    HOLDER_UNKNOWN, /* could not look */
    HOLDER_NOBODY,
    HOLDER_OURS,    /* this instance's worker */
    HOLDER_PGBATON, /* another instance of this election */
    HOLDER_FOREIGN, /* another program */
};
enum witness_verdict { WITNESS_UNKNOWN, WITNESS_CONFIRMS, WITNESS_DENIES };

/* The payloads. Strings end with NUL; a receiver makes sure of it (message_check does). */
struct message_none { /* for messages that say it all by their type */
    uint64_t reserved;
};
struct message_config { /* with a sealed memfd: config_unseal() */
    uint64_t hash;
    uint64_t incarnation; /* of this instance: random, drawn by the supervisor at start */
    uint64_t reload;      /* 0: the first one; else counts reloads */
    uint64_t elections;   /* counts those reloads that elect anew */
};
struct message_last_words {
    char text[REASON_MAX];
};
struct message_seek {
    mono_ns not_before; /* the probe seeks from then on */
};
struct message_leave {
    uint32_t reason; /* enum end_reason */
    uint32_t reserved;
};
struct message_lead { /* to the probe: our worker leads; be its witness */
    struct epoch epoch;
    struct server_identity server;
    int32_t lock_pid; /* backend of the lock session; 0: nothing to witness */
    uint32_t reserved;
};
struct message_fenced { /* to the probe: stamp the term of our dead worker as fenced */
    struct epoch epoch;
    uint32_t reason; /* enum end_reason */
    uint32_t reserved;
};
struct message_unblock { /* who blocks this ledger backend? End them if the lease before is over */
    int32_t ledger_pid;
    uint32_t reserved;
};
struct message_seat { /* the seat is ours (or, in mode = poll, the key looks free) */
    struct server_address address;
    struct server_identity server;
    uint64_t elections; /* as the configuration said that it was taken under */
    struct epoch seen;  /* the latest that was ever seen in this election; 0.0: none */
    dur_ns slice;       /* how long one wait in the lock queue may last */
    uint32_t poll;      /* 1: no seat: try once */
    uint32_t reserved;
};
struct message_seat_lost {
    uint32_t reason; /* enum end_reason */
    uint32_t reserved;
    char text[REASON_MAX];
};
struct message_fleet {    /* what the probe saw in the database; sent when it changes */
    uint32_t database;    /* enum database_state */
    uint32_t holder;      /* enum holder_kind */
    uint32_t heir_waits;  /* 1: another instance holds the seat */
    uint32_t witness;     /* enum witness_verdict about the epoch below */
    struct epoch epoch;   /* the term that the probe was told of with LEAD */
    uint32_t clock_wrong; /* 1: our clock is off by more than max_clock_skew */
    uint32_t reserved;
};
struct message_campaign {
    uint64_t turn; /* the supervisor's number for this campaign: answers carry it */
    struct server_address address;
    struct server_identity server;
    struct epoch seen; /* the latest that this instance has seen; 0.0: none */
    dur_ns slice;
    uint32_t poll; /* 1: try once, do not wait */
    uint32_t reserved;
};
struct message_stand_down {
    uint64_t turn;
    mono_ns drain_until; /* jobs may run until then; TERM after it */
    mono_ns over_by;     /* every job is dead, the term stamped and the key given up by then */
    uint32_t reason;     /* enum end_reason */
    uint32_t reserved;
};
struct message_turn { /* SLICE_ANSWERED */
    uint64_t turn;
};
struct message_elected { /* with a duplicate of the lock socket or file; none for dsn = none */
    uint64_t turn;
    struct epoch epoch;
    struct server_identity server;
    mono_ns deadline; /* D; MONO_NEVER where there is no lease */
    int32_t lock_pid;
    uint32_t reserved;
};
/* How the schedule goes on; all zero from children that have none. */
struct message_progress {
    wall_ns next_due;   /* the instant of what is to be done next; WALL_NEVER: nothing */
    uint64_t decisions; /* that were carried out; only grows */
    uint32_t leads;     /* 1: jobs run */
    uint32_t waits;     /* 1: for a ledger that is down: it is not the schedule's fault */
};
struct message_alive {
    struct message_progress progress;
};
struct message_renewed {
    uint64_t turn;
    mono_ns deadline;
    struct message_progress progress;
};
struct message_ended { /* CAMPAIGN_FAILED, LOST, RELEASED: no job of this turn runs, no key held */
    uint64_t turn;
    struct epoch epoch; /* 0.0: no term was opened */
    uint32_t reason;    /* enum end_reason */
    uint32_t reserved;
    char text[REASON_MAX];
};
struct message_blocked { /* the term's opening waits for other transactions */
    uint64_t turn;
    int32_t ledger_pid;
    uint32_t reserved;
};
struct message_log { /* with a descriptor of the log file, anew */
    uint64_t reserved;
};
enum command { COMMAND_STOP, COMMAND_RELOAD, COMMAND_STEP_DOWN };
struct message_command { /* monitor -> supervisor */
    uint64_t request;    /* the monitor's number for it; the reply carries it */
    uint32_t command;    /* enum command */
    uint32_t force;
    dur_ns length; /* STEP_DOWN: how long to stay a follower */
    uint32_t by_uid;
    uint32_t reserved;
};
struct message_reply {
    uint64_t request;
    int32_t code; /* exit code of the command-line tool: 0 done, 1 failed, 77, 78 … */
    uint32_t reserved;
    char text[1024]; /* one or more sentences for people; newlines allowed */
};
struct message_critical { /* a critical service cannot be kept up */
    char job[JOB_NAME_MAX];
};
struct message_signal { /* to the keeper: pass this signal on to CMD */
    int32_t number;
    uint32_t reserved;
};
struct message_service_ended { /* from the keeper */
    int32_t code;              /* what the instance exits with: CMD's code, or 128 + signal */
    uint32_t reserved;
};
/* What people ask of a job, by the words of the command line and of the table of requests. */
enum job_order { JOB_TRIGGER, JOB_CANCEL, JOB_PAUSE, JOB_RESUME, JOB_ORDER_COUNT };
const char *job_order_name(enum job_order order);
enum { RUN_NAME_MAX = 80 }; /* the id of a run, with its NUL */

/* From the monitor to the supervisor, and on to the worker: where there is no table of requests. */
struct message_job_command {
    uint64_t request;
    uint64_t monitor; /* its generation, filled in by the supervisor; the answer carries it */
    uint32_t order;   /* enum job_order */
    uint32_t by_uid;
    char job[JOB_NAME_MAX]; /* "": all jobs (pause, resume) */
};
struct message_job_answer { /* from the worker, and on to the monitor */
    uint64_t request;
    uint64_t monitor;
    int32_t code; /* exit code of the command-line tool: 0 done, 1 refused */
    uint32_t reserved;
    char run[RUN_NAME_MAX]; /* id of the run that was made; "": none */
    char text[1024];
};

/* The channel of monitor and probe is a new pair for each new process of either, so its generation
 * is always 0: channel_pair(0, FROM_PROBE, FROM_MONITOR, ...), one end to each with PEER. */
enum query_kind {
    QUERY_FLEET,    /* the probes' sessions */
    QUERY_JOBS,     /* of each job: its last run, what is open, whether it is paused */
    QUERY_HISTORY,  /* runs, newest first: .job or "", since .at or 0, .word an outcome or "" */
    QUERY_TERMS,    /* terms, newest first, since .at or 0 */
    QUERY_WHY,      /* every attempt of the tick of .job that is nearest to .at; 0: the last one */
    QUERY_RUN,      /* the run with the id .word */
    QUERY_OUTPUT,   /* the same, with what it printed */
    QUERY_REQUEST,  /* put this request in the table: .order, .job, .word says who asks */
    QUERY_ANSWER,   /* of the request .id */
    QUERY_WITHDRAW, /* close the request .id if nobody has answered it; the answer says which */
    QUERY_KIND_COUNT,
};
enum { QUERY_LIMIT_MAX = 10000, QUERY_WORD_MAX = 192 };
struct message_query { /* monitor -> probe, on the channel of their own */
    uint64_t request;
    uint32_t kind;  /* enum query_kind */
    uint32_t limit; /* HISTORY, TERMS: rows; from 1 to QUERY_LIMIT_MAX */
    wall_ns at;
    int64_t id;
    uint32_t order; /* enum job_order */
    uint32_t reserved;
    char job[JOB_NAME_MAX];
    char word[QUERY_WORD_MAX];
};
enum query_result {
    QUERY_KNOWN,     /* with a memfd */
    QUERY_NO_LEDGER, /* nothing is recorded here */
    QUERY_DOWN,      /* the database does not answer */
    QUERY_FAILED,    /* it answered with an error */
    QUERY_RESULT_COUNT,
};
/*
 * With a memfd that holds size bytes: a JSON array of objects, one a row. FLEET: what the probes'
 * sessions say, [{"instance":"web1:42","role":"leader","config":"1a2b3c4d","pid":4711,
 * "since":"2026-..."}, ...]; role and config (HASH8) as in application_name, pid and since of the
 * session. The others: the columns of worker/probe/history.c.
 */
struct message_query_reply {
    uint64_t request;
    uint64_t size;
    uint32_t result; /* enum query_result; without a descriptor for all but QUERY_KNOWN */
    uint32_t reserved;
    char text[REASON_MAX]; /* why not */
};

/* clang-format off */
/*        type              payload        who may send it */
#define MESSAGE_TABLE(ROW)                                              \
    ROW(HELLO,              none,          FROM_CHILD)                  \
    ROW(ALIVE,              alive,         FROM_CHILD)                  \
    ROW(LAST_WORDS,         last_words,    FROM_CHILD)                  \
    ROW(CONFIG,             config,        FROM_SUPERVISOR)             \
    ROW(PEER,               none,          FROM_SUPERVISOR)             \
    ROW(LOG,                log,           FROM_SUPERVISOR)             \
    ROW(STOP,               none,          FROM_SUPERVISOR)             \
    ROW(SEEK,               seek,          FROM_SUPERVISOR)             \
    ROW(LEAVE,              leave,         FROM_SUPERVISOR)             \
    ROW(LEAD,               lead,          FROM_SUPERVISOR)             \
    ROW(FENCED,             fenced,        FROM_SUPERVISOR)             \
    ROW(UNBLOCK,            unblock,       FROM_SUPERVISOR)             \
    ROW(SEAT_TAKEN,         seat,          FROM_PROBE)                  \
    ROW(SEAT_LOST,          seat_lost,     FROM_PROBE)                  \
    ROW(FLEET,              fleet,         FROM_PROBE)                  \
    ROW(FENCE_RECORDED,     fenced,        FROM_PROBE)                  \
    ROW(CAMPAIGN,           campaign,      FROM_SUPERVISOR)             \
    ROW(STAND_DOWN,         stand_down,    FROM_SUPERVISOR)             \
    ROW(SLICE_ANSWERED,     turn,          FROM_WORKER)                 \
    ROW(CAMPAIGN_FAILED,    ended,         FROM_WORKER)                 \
    ROW(OPENING_BLOCKED,    blocked,       FROM_WORKER)                 \
    ROW(ELECTED,            elected,       FROM_WORKER)                 \
    ROW(RENEWED,            renewed,       FROM_WORKER)                 \
    ROW(LOST,               ended,         FROM_WORKER)                 \
    ROW(RELEASED,           ended,         FROM_WORKER)                 \
    ROW(COMMAND,            command,       FROM_MONITOR)                \
    ROW(REPLY,              reply,         FROM_SUPERVISOR)             \
    ROW(SIGNAL,             signal,        FROM_SUPERVISOR)             \
    ROW(SERVICE_ENDED,      service_ended, FROM_KEEPER)                 \
    ROW(CRITICAL,           critical,      FROM_WORKER)                 \
    ROW(QUERY,              query,         FROM_MONITOR)                \
    ROW(QUERY_REPLY,        query_reply,   FROM_PROBE)                  \
    ROW(REQUESTS,           none,          FROM_PROBE | FROM_SUPERVISOR) \
    ROW(JOB_COMMAND,        job_command,   FROM_MONITOR | FROM_SUPERVISOR) \
    ROW(JOB_ANSWER,         job_answer,    FROM_WORKER | FROM_SUPERVISOR)

enum message_type {
#define ROW(type, payload, senders) MESSAGE_##type,
    MESSAGE_TABLE(ROW)
#undef ROW
    MESSAGE_TYPE_COUNT,
};
/* clang-format on */

struct message_header {
    uint32_t version;
    uint32_t type;       /* enum message_type */
    uint64_t generation; /* of the child; stamped by channel_send() */
};

struct message {
    struct message_header header;
    union {
        struct message_none none;
        struct message_alive alive;
        struct message_config config;
        struct message_last_words last_words;
        struct message_seek seek;
        struct message_leave leave;
        struct message_lead lead;
        struct message_fenced fenced;
        struct message_unblock unblock;
        struct message_seat seat;
        struct message_seat_lost seat_lost;
        struct message_fleet fleet;
        struct message_campaign campaign;
        struct message_stand_down stand_down;
        struct message_turn turn;
        struct message_elected elected;
        struct message_renewed renewed;
        struct message_ended ended;
        struct message_blocked blocked;
        struct message_log log;
        struct message_command command;
        struct message_reply reply;
        struct message_signal signal;
        struct message_service_ended service_ended;
        struct message_critical critical;
        struct message_query query;
        struct message_query_reply query_reply;
        struct message_job_command job_command;
        struct message_job_answer job_answer;
    } u;
};

/* message_name - "SEAT_TAKEN"; "unknown" for a number that is none. */
const char *message_name(uint32_t type);

/* message_size - the exact number of bytes of that type. */
size_t message_size(enum message_type type);

/*
 * message_check - may these length bytes, from this sender, be believed?
 *
 * Returns 0; -EPROTO (another version); -EBADMSG (unknown type, wrong length,
 * a text without its NUL); -EPERM (this sender may not send this type). On
 * anything but 0 the caller must not look at m->u.
 */
int message_check(const struct message *m, size_t length, enum message_sender sender);

#endif
