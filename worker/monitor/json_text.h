/*
 * json_text.h - JSON objects and strings, made without a check after each step.
 *
 * Runs in: monitor and probe.
 */
#ifndef PGBATON_WORKER_MONITOR_JSON_TEXT_H
#define PGBATON_WORKER_MONITOR_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>

#include "common/clock.h"

/*
 * json_text - a JSON string of any bytes: a new reference; NULL: out of memory.
 * What comes from outside need not be UTF-8, and jansson makes nothing of what
 * is not: here such a byte becomes a question mark. text NULL gives JSON null.
 */
json_t *json_text(const char *text);

/* json_moment - of the wall clock, in RFC 3339 with milliseconds, in UTC; JSON null where there is
 * none (0, WALL_NEVER). */
json_t *json_moment(wall_ns at);

/* An object being made. Begin with {.object = json_object()}. */
struct json_making {
    json_t *object; /* owned until json_made() */
    bool failed;    /* out of memory somewhere on the way */
};

/* json_put - one more key. value is a new reference and taken over; NULL: it could not be made. */
void json_put(struct json_making *making, const char *key, json_t *value);

/* json_made - the object, a new reference; NULL when any part of it could not be made. */
json_t *json_made(struct json_making *making);

#endif
