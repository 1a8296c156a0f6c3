/*
 * job.h - what the files of the jobs share; nobody else includes it. jobs.c
 * carries decisions out, jobs_configure.c has the table of jobs, jobs_ticks.c
 * what becomes of a tick, jobs_ends.c what is written of its end, jobs_stop.c the ends of
 * processes, jobs_load.c what the terms before have left, jobs_requests.c what people ask for,
 * jobs_ledger.c what is asked of the ledger, one question after the other, and jobs_answers.c what
 * becomes of its answers.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_JOB_H
#define PGBATON_WORKER_LEADER_JOB_H

#include "common/backoff.h"
#include "common/timer.h"
#include "worker/leader/hook.h"
#include "worker/leader/jobs.h"
#include "worker/leader/left_over.h"
#include "worker/leader/question.h"
#include "worker/leader/run.h"
#include "worker/leader/scheduler.h"

enum {
    PID_BUCKETS = 1024,    /* of the table of runs by pid */
    DECISIONS_A_TURN = 32, /* then the loop has its turn: heartbeats go before starts */
    DEAD_HELPERS_MAX = 4,
    UNKILLABLE_KILLS = 6, /* SIGKILLs to a single run, in 1.5 s: then it is an error, too */
};

#define SWEEP_AGAIN_LEAST DUR_MS(5)
#define SWEEP_AGAIN_MOST DUR_MS(200)
#define LINGER_AGAIN_LEAST DUR_MS(10)
#define LINGER_AGAIN_MOST DUR_MS(200) /* a look reads a file for each process of the machine */
#define UNKILLABLE_AFTER DUR_S(1)     /* then it is an error that names a process */
#define ACCOUNT_AGAIN DUR_S(30) /* an account that was not found is looked up again after this */

#define PRUNE_MORE_AFTER DUR_MS(100) /* a full batch went: a flood of old rows must go faster */
#define PRUNE_AFTER DUR_S(5)         /* a term has begun: it has other things to do first */
/* Results are written together with what comes in this time (DESIGN.md section 6). */
#define LEDGER_WRITE_WITHIN DUR_MS(50)
/* Of outputs, but for a single run's: ticks wait for the answer, and after SCHEDULER_LATE the
 * ledger counts as away. */
#define LEDGER_WRITE_BYTES_MAX (4UL * 1024 * 1024)
/* At the end of a term that ends in peace, a ledger that has failed for so long is left alone. */
#define LEDGER_GIVE_UP_AFTER DUR_S(2)
#define LEDGER_AGAIN_LEAST DUR_MS(200)
#define LEDGER_AGAIN_MOST DUR_S(30)

/* A run, from its tick on. Its memory is its own until it has ended or was dropped. */
struct tick {
    struct scheduler_run plan;
    struct job *job;
    char id[RUN_ID_MAX];
    bool promotes;    /* its row is there: the claim takes it over */
    bool claimed;     /* the ledger has granted it in this term */
    unsigned changes; /* of the ledger, not written yet, that tell of it by address */
    struct run *run;  /* NULL: no process */
    bool lingers;     /* reaped, and waits for the end of its family */
    bool unreported;  /* started, and the ledger has not been told */
    struct tick *next_unreported;
    struct tick *last_unreported;
};

struct job {
    struct scheduler_job plan;
    const struct config_job
        *definition; /* NULL: no longer configured; kept until its runs have ended */
    uint64_t hash;
    uint64_t schedule_hash;
    bool rescheduled;              /* by the configuration that was taken last */
    const struct account *account; /* NULL: could not be looked up; tried again at the start */
    unsigned row;                  /* on the scoreboard */
    unsigned failures;             /* in a row, over terms */
    unsigned closed;               /* rows of it, since those that are too many were last pruned */
    bool listed;                   /* in the configuration that is being taken */
    struct job **children;         /* jobs that start after it; owned; NULL: none */
    unsigned child_count;
    struct board_job board; /* name too */
};

/* What the worker asked for. Only rises until on_idle. */
enum jobs_ending { ENDING_NOT, ENDING_DRAIN, ENDING_TERMINATE, ENDING_KILL };

struct dead_helper {
    pid_t pid;
    int status;
};

/* One user that jobs name, looked up once for each configuration. */
struct known_account {
    struct known_account *next;
    const char *user;        /* NULL: the daemon's own */
    struct account *account; /* NULL: there was none then, for that reason */
    mono_ns looked_at;
    char reason[256];
};

/* A mutex that jobs name; kept for the life of the worker, since runs may hold it over a reload. */
struct named_mutex {
    struct named_mutex *next;
    struct scheduler_mutex plan;
    char name[JOB_NAME_MAX];
};

/* A change that the ledger is to be told, with all that it points to. */
struct change {
    struct ledger_change is;
    struct tick *tick; /* to be told when it is written; NULL: nobody */
    char id[RUN_ID_MAX];
    char parent[RUN_ID_MAX];
    char job[JOB_NAME_MAX];
    char reason[256];
    bool follows;   /* from the run whose end is the change before it, or before others that do */
    unsigned hooks; /* to be run once it is written; then job, attempt and failures are set */
    unsigned attempt;
    unsigned failures;
    wall_ns scheduled_at;
    char *result; /* owned, as the two below; NULL: none */
    char *head;
    char *tail;
};

/* What a claim says by address: its tick may be forgotten before the answer. */
struct claim_names {
    char id[RUN_ID_MAX];
    char job[JOB_NAME_MAX];
};

/* The same of a change of a job: more of them may be asked for before the answer. */
struct job_name {
    char is[JOB_NAME_MAX];
};

struct job_change {
    struct ledger_job_change is;
    uint64_t after; /* so many changes were asked for before it: it is written with the last one */
    struct job_name job;
};

struct answer {
    struct ledger_request_answer is;
    char run_id[RUN_ID_MAX];
    char text[256];
};

/* What is asked of the ledger: one question at a time, and what waits to be asked. */
struct asking {
    struct ledger *ledger; /* NULL: none */
    bool ready;
    bool loaded;                       /* the state of the jobs, in this term */
    enum question question;            /* the one that is not answered yet */
    struct question_patience patience; /* with it */
    enum question before;              /* so that neither claims nor writes starve the others */
    bool load_wanted;
    bool requests_wanted;

    struct tick **claims; /* owned; the first claims_asked of them are in the question */
    size_t claim_count;
    size_t claim_room;
    size_t claims_asked;
    struct ledger_claim *claim_batch; /* owned; LEDGER_BATCH_MAX */
    struct claim_names *claim_names;  /* owned; as many */

    struct change **changes; /* owned, and what they point to; changes_asked as above */
    size_t change_count;
    size_t change_room;
    size_t changes_asked;
    uint64_t changes_written; /* all that ever were */
    struct job_change *job_changes;
    size_t job_change_count;
    size_t job_change_room;
    size_t job_changes_asked;
    size_t tick_changes; /* those of them that say what a job's last tick is */
    struct answer *answers;
    size_t answer_count;
    size_t answer_room;
    size_t answers_asked;
    struct ledger_change *change_batch; /* owned, as the two below: what the ledger is shown */
    struct ledger_job_change *job_batch;
    struct job_name *job_names; /* owned; as many as job_batch has room for */
    size_t job_batch_room;
    struct ledger_request_answer *answer_batch;

    struct tick *unreported; /* first of those that have started */
    struct tick *last_unreported;

    dur_ns database_ahead; /* of our wall clock, as of the last answer */
    mono_ns write_at;      /* changes are gathered until then */
    mono_ns claims_at;     /* no claim before: the database's clock is behind. 0: at once */
    bool clock_said;       /* that it is */
    mono_ns again_at;      /* after a failure: nothing is asked before */
    mono_ns requests_at;   /* look for requests though nobody called */
    mono_ns prune_at;
    mono_ns prune_aged_at;
    bool prunes_aged; /* the question that was last asked about old rows: of all jobs, or */
    size_t prune_row; /* of one job: the row where the next look begins, */
    char pruned[JOB_NAME_MAX]; /* and its name, which a reload does not move */
    struct backoff backoff;
    bool failed;       /* one failed, it was said, and nothing has proved yet that it works again */
    mono_ns failed_at; /* when it did */
    enum question failed_question;
    bool prune_failed; /* as failed, of those without which the rest works */
    bool requests_failed;
};

struct jobs {
    struct ev_loop *loop;
    struct scoreboard *board; /* may be NULL */
    struct jobs_events events;
    struct timer mono_timer;
    struct timer wall_timer;
    struct scheduler scheduler;
    struct run_world world;
    struct epoch epoch;
    wall_ns unknown_until; /* ticks until then may have been run without a trace */
    bool told_started;     /* of this term */
    bool clock_doubted;    /* that was said, and since then the database has not agreed with ours */
    uint64_t decisions;    /* that were carried out */
    uint64_t run_number;   /* of the last run; unique in the life of the worker */
    uint64_t process_number; /* of the last process; unique in the life of the worker */
    struct prng random;

    /* The table of jobs, all owned; the arrays have room for count. */
    struct job **list;
    struct scheduler_job **plans;
    struct heap_item **ticks;
    struct heap_item **alarms;
    size_t count;
    struct job **by_name; /* the same, sorted */
    struct known_account *accounts;
    struct named_mutex *mutexes;

    struct heap_item **starts; /* memory of the scheduler's heaps of runs; owned */
    struct heap_item **run_alarms;
    size_t run_room;

    struct asking asking;
    struct hooks hooks;
    struct run *by_pid[PID_BUCKETS];
    unsigned running;
    unsigned lingering;
    mono_ns linger_at; /* look then whether families are gone */
    dur_ns linger_wait;

    enum jobs_ending ending;
    mono_ns over_by; /* ENDING_DRAIN: what is not written by then stays unwritten */
    bool swept; /* nothing of a job was alive when it was last looked at, and none started since */
    bool sweeping; /* killing every descendant until none is left */
    mono_ns sweep_at;
    mono_ns sweep_since;
    dur_ns sweep_wait;
    bool unkillable_said;

    struct pid_set helpers;
    struct dead_helper dead_helpers[DEAD_HELPERS_MAX];
    unsigned dead_helper_count;

    struct snapshot snapshot; /* of this turn; taken when it is first needed */
    bool snapshot_taken;
    char containment[640];
};

/* jobs.c */
void jobs_arm(struct jobs *jobs);       /* set the timers for whatever comes next */
void jobs_turn_soon(struct jobs *jobs); /* the next turn of the loop looks at everything */
void jobs_show(struct jobs *jobs, struct job *job);      /* put its row on the scoreboard */
const struct snapshot *jobs_snapshot(struct jobs *jobs); /* NULL: /proc could not be read */
void jobs_forget_snapshot(struct jobs *jobs);
/* A worker that has no memory for its table of jobs cannot go on; it is fenced and started again.
 */
void *jobs_must_have(void *memory);
/* array has room for one more than count; grown where it has not. */
void *jobs_grow(void *array, size_t count, size_t *room, size_t size);

/* jobs_ticks.c */
struct tick *jobs_make_tick(struct jobs *jobs, struct job *job, const char *id,
                            const struct scheduler_about *about);
void jobs_drop_tick(struct jobs *jobs, struct tick *tick);
/* The database's clock is behind this tick: 1 if that is to be said. What has no instant of its own
 * gets another one. */
size_t jobs_is_ahead(const struct jobs *jobs, struct tick *tick);
void jobs_new_id(struct jobs *jobs, char ret_id[RUN_ID_MAX]);
void jobs_carry_out_tick(struct jobs *jobs, const struct scheduler_decision *decision);
void jobs_carry_out_leave(struct jobs *jobs, const struct scheduler_decision *decision);
void jobs_carry_out_record(struct jobs *jobs, const struct scheduler_decision *decision);
void jobs_carry_out_start(struct jobs *jobs, struct tick *tick);
void jobs_carry_out_wait(struct jobs *jobs, struct tick *tick, const char *reason);
void jobs_carry_out_promote(struct jobs *jobs, struct tick *tick);
void jobs_carry_out_drop(struct jobs *jobs, struct tick *tick, enum outcome outcome,
                         const char *reason);
void jobs_carry_out_hand_over(struct jobs *jobs, struct tick *tick);
void jobs_end_run(struct jobs *jobs, struct tick *tick);

/* jobs_ends.c */
void jobs_write_end(struct jobs *jobs, struct tick *tick, enum outcome outcome, const char *reason);
/* The retry that was waited for is not made: that the attempt before it failed was the end.
 * change is the one that closes its row. */
void jobs_write_untried(struct jobs *jobs, struct tick *tick, struct change *change);

/* The end of a run is written: its hooks have their turn. */
void jobs_run_hooks(struct jobs *jobs, const struct change *change);
/* A run of another leader's: what follows from it. */
void jobs_follow_interrupted(struct jobs *jobs, struct job *job, const struct ledger_open_run *run);

/* jobs_configure.c */
struct job *jobs_find(const struct jobs *jobs, const char *name); /* NULL: none */
const struct account *jobs_account(struct jobs *jobs, const char *user, char *reterr, size_t size);
void jobs_forget_accounts(struct known_account *accounts);
void jobs_free_job(struct job *job);

/* jobs_load.c */
void jobs_begin_history(struct jobs *jobs, struct job *job, wall_ns now);
void jobs_take_state(struct jobs *jobs, const struct ledger_state *state);

/* jobs_requests.c */
const char *jobs_request_name(enum ledger_request_kind kind);
void jobs_take_requests(struct jobs *jobs, const struct ledger_request *requests, size_t count);

/* jobs_gather.c */
void jobs_ask_load(struct jobs *jobs);
/* Of each job there may be more rows than are kept: another leader's, or by another limit. */
void jobs_ask_prunes(struct jobs *jobs);
void jobs_ask_claim(struct jobs *jobs, struct tick *tick);
struct change *jobs_ask_change(struct jobs *jobs, enum ledger_change_kind kind, const char *id,
                               enum outcome outcome, const char *reason);
void jobs_ask_job_change(struct jobs *jobs, const char *job,
                         const struct ledger_job_change *change);
void jobs_ask_answer(struct jobs *jobs, int64_t request, bool done, const char *run_id,
                     const char *text);
/* The run has, or will have, its row by this change, and is promoted when that is written. */
void jobs_await(struct jobs *jobs, struct tick *tick, struct change *change);
void jobs_report_start(struct jobs *jobs, struct tick *tick);
void jobs_forget_report(struct jobs *jobs, struct tick *tick); /* true end comes instead */
void jobs_forget_tick(struct jobs *jobs, struct tick *tick);   /* no claim or change tells of it */
void jobs_free_change(struct change *change);
bool jobs_says_tick(const struct job_change *change); /* it sets, or advances, the last tick */
void jobs_forget_questions(struct jobs *jobs);

/* jobs_ledger.c */
void jobs_ask_now(struct jobs *jobs); /* ask what is due; when a turn of the loop has ended */
mono_ns jobs_ask_next(const struct jobs *jobs); /* when there may be something to ask */
/* jobs_claims_wait - is there a tick whose claim is not answered? */
bool jobs_claims_wait(const struct jobs *jobs);
bool jobs_asked_all(const struct jobs *jobs); /* nothing waits to be written, or to be answered */
bool jobs_has_to_write(const struct asking *a);
mono_ns jobs_gives_up_asking_at(const struct jobs *jobs); /* MONO_NEVER: it has not failed */

/* jobs_answers.c */
void jobs_mind_silence(struct jobs *jobs, mono_ns now); /* is a question unanswered for too long? */

/* jobs_stop.c */
void jobs_carry_out_term(struct jobs *jobs, struct tick *tick);
void jobs_carry_out_kill(struct jobs *jobs, struct tick *tick);
void jobs_take_dead(struct jobs *jobs, pid_t helper); /* waitpid until there is no more */
void jobs_look_at_lingering(struct jobs *jobs, mono_ns now);
void jobs_sweep_start(struct jobs *jobs, mono_ns now);
void jobs_sweep_step(struct jobs *jobs, mono_ns now);

#endif
