/*
 * reload.h - another configuration while the instance runs.
 *
 * It is read and checked first: a bad one is reported and the old one stays in
 * force. What a change of it needs is in the table of keys: children take it as
 * it is; or leadership is given up gracefully and the election starts anew; or
 * the reload is refused, because only a restart would do.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_RELOAD_H
#define PGBATON_SUPERVISOR_RELOAD_H

#include "supervisor/supervisor.h"

/* reload_ask - HUP (request 0) or `pgbaton reload`. Those that come while one is under way become
 * one more, after it. */
void reload_ask(struct supervisor *s, uint64_t request);

/* reload_carry_on - nothing is held any more: take the configuration that waits for it. */
void reload_carry_on(struct supervisor *s);

/* reload_refuse_all - the instance stops: whoever waits for an answer gets one. */
void reload_refuse_all(struct supervisor *s);

/* reload_adopt - the first configuration, or the next: seal it, and make it the one in force. It is
 * taken over, and the one before it is the caller's. 0 or a negative errno: then nothing has
 * changed, and it stays the caller's. */
int reload_adopt(struct supervisor *s, struct config *next);

/* reload_refusal - what is told of a bad file: as many problems as find room in whole, and how many
 * there are besides. size: at least a hundred bytes. */
void reload_refusal(const struct config_problems *problems, char *text, size_t size);

/* reload_children_wanted - by the configuration in force: start what is missing, end what is not
 * wanted. */
void reload_children_wanted(struct supervisor *s);

#endif
