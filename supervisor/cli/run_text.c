#include "supervisor/cli/run_text.h"

#include <stdio.h>
#include <string.h>

#include "common/outcome.h"
#include "supervisor/cli/status_text.h"

const char *run_text(const json_t *run, const char *key)
{
    return json_string_value(json_object_get(run, key));
}

const char *run_text_or(const json_t *run, const char *key, const char *otherwise)
{
    const char *text = run_text(run, key);
    return text == NULL || text[0] == '\0' ? otherwise : text;
}

bool run_number(const json_t *run, const char *key, double *ret_number)
{
    const json_t *value = json_object_get(run, key);

    if (!json_is_number(value)) {
        return false;
    }
    *ret_number = json_number_value(value);
    return true;
}

struct run_moment run_moment(const json_t *run, const char *key)
{
    const char *text = run_text(run, key);
    struct run_moment moment = {""};

    if (text == NULL) {
        return moment;
    }
    (void)snprintf(moment.is, sizeof(moment.is), "%s", text);
    char *fraction = strstr(moment.is, ".000Z");
    if (fraction != NULL) {
        (void)memcpy(fraction, "Z", sizeof("Z"));
    }
    return moment;
}

struct run_length run_length(const json_t *run, const char *key)
{
    struct run_length length = {""};
    double seconds;

    if (!run_number(run, key, &seconds)) {
        return length;
    }
    if (seconds < 0) {
        (void)snprintf(length.is, sizeof(length.is), "-%.0fms", -seconds * 1000);
    } else if (seconds < 0.9995) { /* "1000ms" would be 1.0s */
        (void)snprintf(length.is, sizeof(length.is), "%.0fms", seconds * 1000);
    } else {
        status_text_length(seconds, length.is, sizeof(length.is));
    }
    return length;
}

bool run_is_open(const json_t *run)
{
    const char *outcome = run_text(run, "outcome");

    return outcome != NULL && outcome_is_open(outcome_parse(outcome));
}
