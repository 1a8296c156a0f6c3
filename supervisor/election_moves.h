/*
 * election_moves.h - PURE: the moves that all states of the election make alike.
 *
 * Only election.c and election_fencing.c include this.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_ELECTION_MOVES_H
#define PGBATON_SUPERVISOR_ELECTION_MOVES_H

#include "supervisor/election.h"

void election_act(struct election_actions *out, enum election_action action);

/* election_become - the one place where the state changes. */
void election_become(struct election *e, enum election_state state, mono_ns deadline,
                     struct election_actions *out);

/* election_leave - whatever the probe does for us, it ends. */
void election_leave(struct election *e, struct election_actions *out);

/* election_take_office - the worker says that it holds the key: until when, and in which term. */
void election_take_office(struct election *e, const struct election_event *event);

/* election_rest_after - leave the seat to others for a time that fits this end of a campaign or
 * term. */
void election_rest_after(struct election *e, enum end_reason reason);

/* election_follow - nothing is held: do what a follower should do now. */
void election_follow(struct election *e, struct election_actions *out);

/* election_let_go - the worker holds nothing, by its own word or because it and its jobs are dead,
 * or because the lease that protected us is over. */
void election_let_go(struct election *e, struct election_actions *out);

#endif
