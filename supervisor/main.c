/*
 * main.c - wires: which function is the main function of each child, which one
 * is each command. Nothing else is known here.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/child.h"
#include "supervisor/children.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/dispatch.h"
#include "worker/sql/sql_job.h"

static child_main *const mains[CHILD_SLOT_COUNT] = {
    [SLOT_PROBE] = probe_main,
    [SLOT_WORKER] = worker_main,
    [SLOT_MONITOR] = NULL, /* by exec: monitor_entry() */
    [SLOT_KEEPER] = keeper_main,
};

/* clang-format off */
static const struct command_spec commands[] = {
    /* name        arguments                 summary, help, function */
    {"run",        "[-- CMD ARG...]",        "the service, in the foreground; logs on stderr",
     "With CMD, the entrypoint of a container: CMD runs on every replica, leader or not;\n"
     "signals reach it when the jobs have ended, its exit ends the instance with its code.\n\n"
     "TERM, INT  graceful, within stop_timeout; a second one: at once\n"
     "QUIT       at once          HUP   reload\n"
     "USR1       reopen the log   USR2  step down", command_run},
    {"check",      "[--print|--keys] [--fleet N]", "parses and validates; prints every problem and the time budget",
     "--print    shows the effective configuration, secrets masked\n"
     "--keys     shows every key with its default and range; reads no file\n"
     "--fleet N  counts the connections of N instances (3)\n"
     "--json     problems and budget as JSON", command_check},
    {"status",     "[--is-leader|--watch]",  "role, leader, lease, children, fleet, jobs",
     "--is-leader  says it by exit code alone: 0 leads, 1 does not, 69 no daemon\n"
     "--watch      again each second, until INT\n"
     "--json       one JSON document a line", command_status},
    {"exec",       "JOB",                    "runs the job's command here and now, outside the schedule",
     "Called by root, as whom the daemon would run it: the job's user, or [pgbaton] user.", command_exec},
    {"step-down",  "[--for 30s] [--force]",  "gracefully hands leadership to the heir",
     "The instance stays a follower that long. Refused when no heir waits, unless forced.", command_step_down},
    {"reload",     "",                       "same as SIGHUP; reports what the daemon answered",
     "A bad file is refused with its problems (78): the old configuration stays in force.", command_reload},
    {"stop",       "[--no-wait]",            "same as SIGTERM; reports what the daemon answered",
     "Waits until the daemon has ended; with --no-wait only for its answer.", command_stop},
    {"init-db",    "[--print] [--role ROLE]", "creates or upgrades the schema",
     "--print writes the SQL for a DBA.\n"
     "--role ROLE grants it what the daemon needs; --print does so for the user of the dsn without it.", command_init_db},
    {"jobs",       "",                       "each job: schedule, last run and outcome, next run",
     "--json  an array of jobs", command_jobs},
    {"history",    "[--job NAME] [--terms]...", "runs, newest first, or the terms of leadership",
     "--job NAME    of this job alone\n"
     "--since TIME  RFC 3339, or 2026-12-24 18:00 in the zone, or a length such as 2h\n"
     "--zone Z      the zone of TIME (UTC)\n"
     "--outcome O   queued claimed running retrying succeeded failed timed_out cancelled\n"
     "              interrupted skipped missed\n"
     "--limit N     how many (20), at most 10000\n"
     "--terms       who led, from when to when, and why it ended; with --since and --limit.\n"
     "              With dsn = sqlite: they are not kept\n"
     "--json        an array", command_history},
    {"why",        "JOB [TIME] [--zone Z]",       "what became of a tick, who decided it, and why",
     "The tick on record that is nearest to TIME; without it the last one.\n"
     "TIME is RFC 3339, or 2026-12-24 18:00 in the zone.\n\n"
     "--zone Z  the zone of TIME (UTC)", command_why},
    {"trigger",    "JOB [--wait]",           "runs a job now on the leader, whichever instance is asked",
     "Prints the id of the run.\n\n"
     "--wait         until it has ended: exits with 0 if it succeeded, else with 1\n"
     "--timeout 30s  for the leader's answer (30s), and with --wait for the outcome (no limit):\n"
     "               no answer in time is 69, a run that has not ended in time is 75", command_trigger},
    {"output",     "RUN",                    "what a run printed, head and tail",
     "RUN is an id, as in `pgbaton history`.", command_output},
    {"cancel",     "JOB [--timeout 30s]",    "stops the running processes of a job",
     "--timeout 30s  for the leader's answer (30s)", command_cancel},
    {"pause",      "[JOB] [--timeout 30s]",  "no more runs of it, or of any job, until resumed",
     "Survives restarts and failover. A run that has begun goes on to its end, but a service (always)\n"
     "is stopped. `trigger` runs a job though it is paused.\n\n"
     "--timeout 30s  for the leader's answer (30s)", command_pause},
    {"resume",     "[JOB] [--timeout 30s]",  "lets it, or all jobs, run again",
     "Without JOB it ends a pause of all jobs; a job that was paused by name is resumed by name.\n\n"
     "--timeout 30s  for the leader's answer (30s)", command_resume},
    {"import",     "[--user NAME|--system] CRONTAB", "the INI sections for a crontab",
     "CRONTAB is a file, or - for the standard input: crontab -l | pgbaton import -\n\n"
     "--user NAME  whose crontab it is: the jobs run as NAME, and begin in the home of NAME;\n"
     "             without it they run as the daemon's user, and begin in your home\n"
     "--system     a sixth field names the user, as in /etc/crontab and /etc/cron.d\n\n"
     "Comments say where a job would behave otherwise than under cron. Exits with 1 where a line was\n"
     "left out.", command_import},
    {"next",       "SCHEDULE [--zone Z] [-n N]", "the next instants of a schedule",
     "No daemon and no configuration is needed. One instant a line, RFC 3339.\n\n"
     "--zone Z     the schedule's zone: Europe/Berlin (UTC)\n"
     "--from TIME  after that time (now): RFC 3339, or 2026-12-24 18:00 in the zone\n"
     "-n N         how many (5)\n"
     "--job NAME   the job's name, which H and ~ are made from\n"
     "--json       an array\n\n"
     "Exits with 1 where no clock starts it, or none is left.", command_next},
    {"lock",       "NAME -- CMD ARG...",     "runs CMD while holding a distributed lock", NULL, NULL},
    {"poll-batches", "",                     "the batch poller", NULL, NULL},
    {"doctor",     "",                       "checks the database that it would use", NULL, NULL},
};
/* clang-format on */

/* Whatever was opened first would be one of these, and be taken for the log, or the output. */
static void fill_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO) {
        (void)close(fd);
    }
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    child_title_init(argc, argv);
    children_wire(mains);
    if (argc > 1 && strcmp(argv[1], "--monitor") == 0) {
        return monitor_entry(argc, argv);
    }
    if (argc > 1 && strcmp(argv[1], SQL_JOB_ARGUMENT) == 0) {
        return sql_job_entry();
    }
    return dispatch_run(commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}
