/* What people ask of jobs: by the ledger, or where there is none, directly. */
#include <stdio.h>
#include <string.h>

#include "common/control.h"
#include "common/log.h"
#include "worker/leader/leader.h"

void leader_requests(struct leader *l)
{
    jobs_requests_came(l->jobs);
}

static enum ledger_request_kind kind_of(enum job_order order)
{
    static const enum ledger_request_kind kinds[JOB_ORDER_COUNT] = {
        [JOB_TRIGGER] = LEDGER_TRIGGER,
        [JOB_CANCEL] = LEDGER_CANCEL,
        [JOB_PAUSE] = LEDGER_PAUSE,
        [JOB_RESUME] = LEDGER_RESUME,
    };

    return kinds[order];
}

static void obey(struct leader *l, const struct message_job_command *command,
                 struct message_job_answer *answer)
{
    char by[32];
    struct jobs_answer said;
    const struct ledger_request request = {
        .kind = kind_of((enum job_order)command->order),
        .job = command->job,
        .requested_at = clock_wall(),
        .requested_by = by,
    };

    (void)snprintf(by, sizeof(by), "uid %u", (unsigned)command->by_uid);
    jobs_command(l->jobs, &request, &said);
    answer->code = said.done ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
    (void)snprintf(answer->run, sizeof(answer->run), "%s", said.run_id);
    (void)snprintf(answer->text, sizeof(answer->text), "%s", said.text);
}

void leader_job_command(struct leader *l, const struct message_job_command *command)
{
    struct message m = {.u.job_answer = {
                            .request = command->request,
                            .monitor = command->monitor,
                            .code = EXIT_CODE_FAILED,
                        }};

    if (command->order < JOB_ORDER_COUNT) {
        obey(l, command, &m.u.job_answer);
    }
    int rc = channel_send(&l->child->up, MESSAGE_JOB_ANSWER, &m, -1);
    if (rc < 0) { /* whoever asked hears that nobody answered */
        log_warn("message_not_sent", "type=JOB_ANSWER error=%s", log_text(strerror(-rc)).is);
    }
}
