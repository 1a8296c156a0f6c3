#include "worker/monitor/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

json_t *json_text(const char *text)
{
    if (text == NULL) {
        return json_null();
    }
    json_t *made = json_string(text);
    if (made != NULL) {
        return made;
    }

    char *ascii = strdup(text);
    if (ascii == NULL) {
        return NULL;
    }
    for (char *c = ascii; *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80) {
            *c = '?';
        }
    }
    made = json_string(ascii);
    free(ascii);
    return made;
}

json_t *json_moment(wall_ns at)
{
    time_t whole = (time_t)(at / DUR_S(1));
    struct tm tm;
    char text[64];

    if (at <= 0 || at == WALL_NEVER || gmtime_r(&whole, &tm) == NULL) {
        return json_null();
    }
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(at % DUR_S(1) / DUR_MS(1)));
    return json_string(text);
}

void json_put(struct json_making *making, const char *key, json_t *value)
{
    if (json_object_set_new(making->object, key, value) == -1) {
        making->failed = true;
    }
}

json_t *json_made(struct json_making *making)
{
    if (making->failed) {
        json_decref(making->object);
        return NULL;
    }
    return making->object;
}
