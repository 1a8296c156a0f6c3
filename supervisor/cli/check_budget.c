#include "supervisor/cli/check_budget.h"

#include "common/budget.h"
#include "common/duration.h"

enum { SESSIONS_FOLLOWER = 1, SESSIONS_CANDIDATE = 3 }; /* probe; probe, lock, ledger */

/* One for each run of statements at the same time, all of them on the leader. */
static unsigned sql_runs(const struct config *cfg)
{
    unsigned most = (unsigned)cfg->runs.max_running;
    unsigned jobs = 0;

    for (size_t i = 0; cfg->jobs_enabled && i < cfg->job_count; i++) {
        const struct config_job *job = &cfg->jobs[i];

        if (job->enabled && job->action == ACTION_SQL) {
            jobs = job->overlap == OVERLAP_ALLOW ? most : jobs + 1;
        }
        if (jobs >= most) {
            return most;
        }
    }
    return jobs;
}

unsigned check_budget_connections(const struct config *cfg, unsigned fleet)
{
    bool elects = cfg->database.kind == DATABASE_POSTGRES && cfg->election.enabled;
    unsigned candidates = cfg->election.mode == MODE_HEIR ? 2 : 1;

    if (!elects) {
        return 0;
    }
    if (candidates > fleet) {
        candidates = fleet;
    }
    if (!cfg->jobs_enabled) {
        candidates = 0;
    }
    return (fleet - candidates) * SESSIONS_FOLLOWER + candidates * SESSIONS_CANDIDATE +
           sql_runs(cfg);
}

static void print_length(FILE *to, const char *name, dur_ns length, const char *what)
{
    (void)fprintf(to, "  %-12s %9s  %s\n", name, duration_text(length).is, what);
}

static void print_lease(const struct config_election *e, FILE *to)
{
    dur_ns margin = budget_margin(e->lease);
    dur_ns deadline = e->lease - margin;

    (void)fprintf(to, "time budget:\n");
    print_length(to, "lease", e->lease, "a leader that is silent for so long has lost the lock");
    print_length(to, "heartbeat", e->heartbeat, "between two signs of life");
    print_length(to, "margin", margin, "the leader's deadline D is earlier than the lease by this");
    print_length(to, "stop_grace", e->stop_grace, "from TERM to D");
    print_length(to, "loss_grace", e->loss_grace, "from TERM to KILL when the lock is lost");
    print_length(to, "kill_margin", BUDGET_KILL_MARGIN, "from KILL to D");
    (void)fprintf(to, "after the last heartbeat that was answered had been sent:\n");
    print_length(to, "TERM", deadline - e->stop_grace, "jobs are asked to end");
    print_length(to, "KILL", deadline - BUDGET_KILL_MARGIN, "jobs are killed");
    print_length(to, "D", deadline, "the lock's connection is closed; a hung worker is killed");
}

dur_ns check_budget_silent(const struct config_election *e)
{
    dur_ns look = e->mode == MODE_POLL
                      ? e->retry_interval + e->retry_interval / 100 * (dur_ns)e->retry_jitter
                      : 0;

    return e->lease + e->takeover_delay + look;
}

static void print_takeover(const struct config_election *e, FILE *to)
{
    struct duration_text delay = duration_text(e->takeover_delay);
    struct duration_text lease = duration_text(e->lease);
    struct duration_text silent = duration_text(check_budget_silent(e));
    struct duration_text look = duration_text(e->retry_interval);
    bool waits = e->takeover_delay > 0;
    const char *grant = e->mode == MODE_HEIR ? "a round trip and a commit" : "a look and a commit";

    (void)fprintf(to, "takeover, from the fault to the next leader's jobs:\n");
    (void)fprintf(to, "  %-44s %s\n", "stop, step-down", grant);
    (void)fprintf(to, "  %-44s %s%s%s\n", "instance killed, container removed", grant,
                  waits ? ", and " : "", waits ? delay.is : "");
    (void)fprintf(to, "  %-44s time to kill its jobs, %s%s%s\n",
                  "worker crashed, supervisor killed", grant, waits ? ", and at most " : "",
                  waits ? delay.is : "");
    (void)fprintf(to, "  %-44s at most %s (lease + takeover_delay%s)\n",
                  "hung, stopped, network cut, host gone", silent.is,
                  e->mode == MODE_POLL ? " + a look" : "");
    (void)fprintf(to, "  %-44s %s%s%s\n", "session ended by the server, server crashed", grant,
                  waits ? ", and " : "", waits ? delay.is : "");
    (void)fprintf(to, "  %-44s %s (one lease)\n", "standby promoted, database restored", lease.is);
    if (e->mode == MODE_POLL) {
        (void)fprintf(to, "  a follower looks every %s (%u%% jitter)\n", look.is, e->retry_jitter);
    }
}

static void print_connections(const struct config *cfg, unsigned fleet, FILE *to)
{
    unsigned for_statements = sql_runs(cfg);

    (void)fprintf(to, "connections of %u instance%s: %u (1 a follower, 3 for %s", fleet,
                  fleet == 1 ? "" : "s", check_budget_connections(cfg, fleet),
                  cfg->election.mode == MODE_HEIR ? "heir and leader each" : "the leader");
    if (for_statements > 0) {
        (void)fprintf(to, ", at most %u for jobs of sql", for_statements);
    }
    (void)fputs(")\n", to);
}

void check_budget_print(const struct config *cfg, unsigned fleet, FILE *to)
{
    if (cfg->database.kind == DATABASE_NONE || !cfg->election.enabled) {
        (void)fprintf(to, "no election: every instance runs the jobs\n");
        return;
    }
    if (cfg->database.kind == DATABASE_SQLITE) {
        (void)fprintf(
            to,
            "election by a file lock: no lease, no connections; the lock moves when its "
            "holder ends,\nand an instance that is stopped keeps it; after an unclean end "
            "the next leader waits %s\n",
            duration_text(cfg->election.takeover_delay).is);
        return;
    }
    print_lease(&cfg->election, to);
    print_takeover(&cfg->election, to);
    print_connections(cfg, fleet, to);
}
