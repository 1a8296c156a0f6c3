#include "supervisor/orders.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/control.h"
#include "common/duration.h"
#include "common/log.h"
#include "supervisor/consent.h"
#include "supervisor/deeds.h"
#include "supervisor/reload.h"

#define STEP_DOWN_FOR DUR_S(30)
/* Longer is a mistake, or a stop. */
#define STEP_DOWN_MOST DUR_S(7 * 24 * 3600)

void orders_reply(struct supervisor *s, uint64_t request, int code, const char *text)
{
    struct message m = {.u.reply = {.request = request, .code = code}};

    (void)snprintf(m.u.reply.text, sizeof(m.u.reply.text), "%s", text);
    deeds_send(s, SLOT_MONITOR, MESSAGE_REPLY, &m, -1);
}

static void refuse_step_down(const struct supervisor *s, enum consent consent, char *ret_text,
                             size_t size)
{
    if (consent == CONSENT_NOT_LEADER) {
        (void)snprintf(ret_text, size, "not stepping down: %s, it is %s", consent_text(consent),
                       election_state_name(s->election.state));
    } else {
        (void)snprintf(ret_text, size, "not stepping down: %s", consent_text(consent));
    }
}

/* Returns the exit code of the tool. */
static int step_down(struct supervisor *s, dur_ns length, bool force, char *ret_text, size_t size)
{
    dur_ns rest = length > 0 ? length : STEP_DOWN_FOR;
    enum consent consent = consent_step_down(&(struct step_down_asked){
        .stopping = supervisor_is_stopping(s),
        .state = s->election.state,
        .has_election = s->election.terms.has_probe,
        .heir_waits = s->heir_waits,
        .force = force,
    });

    if (consent != CONSENT_NOW) {
        refuse_step_down(s, consent, ret_text, size);
        return EXIT_CODE_FAILED;
    }
    if (rest > STEP_DOWN_MOST) {
        rest = STEP_DOWN_MOST;
    }
    (void)snprintf(ret_text, size,
                   "stepping down from epoch %s; %s, and this instance stays a follower for %s",
                   epoch_text(s->election.epoch).is,
                   s->heir_waits ? "the heir takes over when the jobs have ended" : "no heir waits",
                   duration_text(rest).is);
    deeds_election(s, &(struct election_event){.type = ELECTION_STEP_DOWN, .rest = rest});
    return EXIT_CODE_DONE;
}

void orders_step_down_by_signal(struct supervisor *s)
{
    char text[256];
    int code = step_down(s, STEP_DOWN_FOR, false, text, sizeof(text));

    log_event(code == EXIT_CODE_DONE ? LEVEL_INFO : LEVEL_WARN,
              code == EXIT_CODE_DONE ? "step_down" : "step_down_refused", "by=%s answer=%s",
              "signal", log_text(text).is);
}

static void take_step_down(struct supervisor *s, const struct message_command *command)
{
    char text[256];
    int code = step_down(s, command->length, command->force != 0, text, sizeof(text));

    log_event(code == EXIT_CODE_DONE ? LEVEL_INFO : LEVEL_WARN,
              code == EXIT_CODE_DONE ? "step_down" : "step_down_refused",
              "by_uid=%" PRIu32 " answer=%s", command->by_uid, log_text(text).is);
    orders_reply(s, command->request, code, text);
}

static void take_stop(struct supervisor *s, const struct message_command *command)
{
    char reason[64];

    orders_reply(s, command->request, EXIT_CODE_DONE, "stopping");
    (void)snprintf(reason, sizeof(reason), "pgbaton stop by uid %" PRIu32, command->by_uid);
    supervisor_stop(s, command->force != 0, 0, reason);
}

void orders_take(struct supervisor *s, const struct message_command *command)
{
    switch (command->command) {
    case COMMAND_STOP:
        take_stop(s, command);
        return;
    case COMMAND_RELOAD:
        reload_ask(s, command->request);
        return;
    case COMMAND_STEP_DOWN:
        take_step_down(s, command);
        return;
    default: /* a number from another process */
        orders_reply(s, command->request, EXIT_CODE_USAGE, "no such command");
        return;
    }
}

static void refuse_job(struct supervisor *s, const struct message_job_command *command,
                       const char *text)
{
    struct message m = {.u.job_answer = {.request = command->request, .code = EXIT_CODE_FAILED}};

    (void)snprintf(m.u.job_answer.text, sizeof(m.u.job_answer.text), "%s", text);
    deeds_send(s, SLOT_MONITOR, MESSAGE_JOB_ANSWER, &m, -1);
}

void orders_take_job(struct supervisor *s, const struct message_job_command *command)
{
    struct message m = {.u.job_command = *command};

    if (s->election.state != ELECTION_LEADER || s->children[SLOT_WORKER].state != CHILD_READY) {
        refuse_job(s, command, "no jobs run here now: this instance does not lead");
        return;
    }
    log_info("job_command", "order=%s job=%s by_uid=%" PRIu32,
             job_order_name((enum job_order)command->order), log_text(command->job).is,
             command->by_uid);
    m.u.job_command.monitor = s->children[SLOT_MONITOR].generation;
    deeds_send(s, SLOT_WORKER, MESSAGE_JOB_COMMAND, &m, -1);
}

/* One that a monitor before this one has asked for would be taken for the answer to another. */
void orders_pass_answer(struct supervisor *s, const struct message_job_answer *answer)
{
    struct message m = {.u.job_answer = *answer};

    if (s->children[SLOT_MONITOR].state == CHILD_READY &&
        answer->monitor == s->children[SLOT_MONITOR].generation) {
        deeds_send(s, SLOT_MONITOR, MESSAGE_JOB_ANSWER, &m, -1);
    }
}
