/*
 * leader_private.h - a leader from the inside: leader.c decides,
 * leader_reports.c queues what happens, leader_deeds.c does what was decided.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_LEADER_PRIVATE_H
#define PGBATON_WORKER_LEADER_LEADER_PRIVATE_H

#include "worker/leader/leader.h"

/* leader_happened - to the present campaign; leader_happened_to_process - whatever the campaign. To
 * be decided upon at the next turn of the loop. */
void leader_happened(struct leader *l, struct turn_event event);
void leader_happened_to_process(struct leader *l, struct turn_event event);

/* leader_keep_text - why the turn ends, for people. */
void leader_keep_text(struct leader *l, const char *text);

/* To whom lock, term and jobs report. */
struct lock_events leader_lock_events(struct leader *l);
struct term_events leader_term_events(struct leader *l);
struct jobs_events leader_jobs_events(struct leader *l);

/* leader_carry_out - one action of turn_step(). Not from a callback of lock, term or jobs. */
void leader_carry_out(struct leader *l, enum turn_action action);

/* leader_tell_slice - SLICE_ANSWERED: the campaign makes progress.
 * leader_tell_blocked - OPENING_BLOCKED: others stand in the way of this backend. */
void leader_tell_slice(struct leader *l);
void leader_tell_blocked(struct leader *l, int ledger_pid);
void leader_tell_critical(struct leader *l, const char *job);

/* leader_know_helper - the lock may have a helper now, or none any more: tell the jobs. */
void leader_know_helper(struct leader *l);

/* leader_close_lock, leader_close_term - close and forget; both take none. */
void leader_close_lock(struct leader *l);
void leader_close_term(struct leader *l);

#endif
