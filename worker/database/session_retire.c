/* Sessions that nobody needs any more, whose ends are put off. */
#include <stddef.h>

#include "worker/database/session_private.h"

#define RETIRED_FOR DUR_MS(100)

/* Nobody else has them: a loop that ends before their time must still close them. */
static struct session *retired;

void session_retire(struct session *s)
{
    if (s == NULL || session_is_asking(s) ||
        (s->state != STATE_READY && s->state != STATE_TAKEN_OVER)) {
        session_close(s);
        return;
    }
    ev_io_stop(s->loop, &s->io);
    s->state = STATE_RETIRED;
    s->config = NULL; /* its owner's, as is who is told */
    s->events = (struct session_events){0};
    s->next_retired = retired;
    retired = s;
    timer_arm(&s->timer, clock_now() + RETIRED_FOR);
}

void session_close_retired(void)
{
    while (retired != NULL) {
        session_close(retired);
    }
}

void session_forget_retired(const struct session *s)
{
    struct session **link = &retired;

    while (*link != s) {
        link = &(*link)->next_retired;
    }
    *link = s->next_retired;
}
