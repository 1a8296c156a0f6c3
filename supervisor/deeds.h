/*
 * deeds.h - what the pure cores decided is done here, and nowhere else.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_DEEDS_H
#define PGBATON_SUPERVISOR_DEEDS_H

#include "supervisor/supervisor.h"

/* deeds_election - let the election take this event (its time is filled in), and do what it says.
 */
void deeds_election(struct supervisor *s, const struct election_event *event);
/* deeds_happened - the same for an event that has nothing but its type. */
void deeds_happened(struct supervisor *s, enum election_event_type type);

/* deeds_shutdown - let the ladder take this event, and do what it says. */
void deeds_shutdown(struct supervisor *s, enum shutdown_event_type type);

/* deeds_send - to a child. One that does not read is killed. fd stays the caller's. */
void deeds_send(struct supervisor *s, enum child_slot slot, enum message_type type,
                struct message *m, int fd);

/* deeds_send_config - the configuration in force; the monitor gets the one without secrets. */
void deeds_send_config(struct supervisor *s, enum child_slot slot);

/* deeds_terms - what the configuration means for the election. */
struct election_terms deeds_terms(const struct config *cfg);

#endif
