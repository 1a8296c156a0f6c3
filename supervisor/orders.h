/*
 * orders.h - what people ask for: stop, reload, step-down, by the control
 * socket (through the monitor) or by a signal.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_ORDERS_H
#define PGBATON_SUPERVISOR_ORDERS_H

#include "supervisor/supervisor.h"

/* orders_take - a command from the monitor. Answered now, or later by whom it concerns. */
void orders_take(struct supervisor *s, const struct message_command *command);

/* orders_step_down_by_signal - USR2: the same as `pgbaton step-down`, answered in the log. */
void orders_step_down_by_signal(struct supervisor *s);

/* orders_reply - answer request; code is the exit code of the tool. */
void orders_reply(struct supervisor *s, uint64_t request, int code, const char *text);

/* orders_take_job - trigger, cancel, pause, resume, where there is no ledger that they could go by:
 * passed on to the worker that leads. orders_pass_answer - its answer, back to the monitor that
 * asked. */
void orders_take_job(struct supervisor *s, const struct message_job_command *command);
void orders_pass_answer(struct supervisor *s, const struct message_job_answer *answer);

#endif
