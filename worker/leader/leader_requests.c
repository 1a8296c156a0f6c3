/* What people ask of jobs: by the ledger, or where there is none, directly. */
#include <stdio.h>

#include "common/control.h"
#include "common/log.h"
#include "worker/leader/leader.h"

/* TODO(4): take them from the ledger. */
void leader_requests(struct leader *l)
{
    (void)l;
    log_debug("requests", "taken=no");
}

/* TODO(4): ask the jobs. */
void leader_job_command(struct leader *l, const struct message_job_command *command)
{
    struct message m = {.u.job_answer = {
                            .request = command->request,
                            .monitor = command->monitor,
                            .code = EXIT_CODE_FAILED,
                        }};

    (void)snprintf(m.u.job_answer.text, sizeof(m.u.job_answer.text),
                   "%s: not available in this version",
                   job_order_name((enum job_order)command->order));
    (void)channel_send(&l->child->up, MESSAGE_JOB_ANSWER, &m, -1);
}
