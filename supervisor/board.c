#include "supervisor/board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The states of the election and the roles on the board are the same list. */
_Static_assert((int)ELECTION_FOLLOWER == (int)ROLE_FOLLOWER, "roles differ");
_Static_assert((int)ELECTION_HEIR == (int)ROLE_HEIR, "roles differ");
_Static_assert((int)ELECTION_LEADER == (int)ROLE_LEADER, "roles differ");
_Static_assert((int)ELECTION_STANDING_DOWN == (int)ROLE_STANDING_DOWN, "roles differ");
_Static_assert((int)ELECTION_FENCING == (int)ROLE_FENCING, "roles differ");
_Static_assert((int)ELECTION_STOPPED == (int)ROLE_STOPPED, "roles differ");

/* What holds the jobs if all of us die at once. */
static const char *containment(void)
{
    if (getpid() == 1) {
        return "container (PID 1)";
    }
    return getenv("INVOCATION_ID") != NULL ? "systemd unit" : "process groups and subreaper";
}

static void fill_children(const struct supervisor *s, struct board_supervisor *b)
{
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        const struct child_row *row = &s->children[slot];

        b->children[slot].pid = (int32_t)row->pid;
        b->children[slot].restarts = row->restarts;
        b->children[slot].generation = row->generation;
        b->children[slot].started_at = row->started_at;
    }
}

static void fill(const struct supervisor *s, struct board_supervisor *b)
{
    const struct election *e = &s->election;

    b->role = (uint32_t)e->state;
    b->stopping = supervisor_is_stopping(s);
    b->pid = (int32_t)getpid();
    b->unkillable = fence_unkillable(&s->fence, clock_now());
    b->incarnation = s->incarnation;
    b->epoch = e->epoch;
    b->deadline = e->lock_kept ? e->lease_deadline : 0;
    b->rest_until = e->rest_until > e->now ? e->rest_until : 0;
    b->started_at = s->started_at;
    b->role_since = s->role_since;
    b->elections = s->elections;
    b->config_hash = s->config->hash;
    b->config_loaded_at = s->reload.loaded_at;
    b->reloads = s->reload.done;
    b->reloads_failed = s->reload.failed;
    (void)snprintf(b->containment, sizeof(b->containment), "%s", containment());
    (void)snprintf(b->instance, sizeof(b->instance), "%s", s->config->pgbaton.instance);
    b->term_failure = s->term_failure;
    fill_children(s, b);
}

void board_show(struct supervisor *s)
{
    struct board_supervisor now;

    memset(&now, 0, sizeof(now)); /* the holes too: it is compared as bytes */
    fill(s, &now);
    if (memcmp(&now, &s->shown, sizeof(now)) != 0) {
        s->shown = now;
        scoreboard_put_supervisor(s->board, &now);
    }
}
