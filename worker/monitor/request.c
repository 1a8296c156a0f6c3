#include "worker/monitor/request.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Everything that may be said, one row a key of a command. */
/* clang-format off */
static const struct request_key {
    const char *command;
    const char *key;
    json_type type;
    const char *type_name;
} keys[] = {
    {"status",    "fleet",  JSON_TRUE,    "true or false"},
    {"step-down", "for_ms", JSON_INTEGER, "a whole number"},
    {"step-down", "force",  JSON_TRUE,    "true or false"},
};

static const struct request_command {
    const char *name;
    struct request request; /* where it says no more than its name */
} commands[] = {
    {"status",    {.kind = REQUEST_STATUS, .fleet = true}},
    {"stop",      {.kind = REQUEST_ORDER, .command = COMMAND_STOP}},
    {"reload",    {.kind = REQUEST_ORDER, .command = COMMAND_RELOAD}},
    {"step-down", {.kind = REQUEST_ORDER, .command = COMMAND_STEP_DOWN}},
};
/* clang-format on */

enum {
    KEY_COUNT = sizeof(keys) / sizeof(keys[0]),
    COMMAND_NAMES = sizeof(commands) / sizeof(commands[0]),
};

static const struct request_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_NAMES; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static const struct request_key *find_key(const char *command, const char *key)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].command, command) == 0 && strcmp(keys[i].key, key) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static bool has_type(const json_t *value, json_type type)
{
    return type == JSON_TRUE ? json_is_boolean(value) : json_typeof(value) == type;
}

/* Every key must be known to the command, and of its type. */
static int check_keys(json_t *object, const char *command, char *reterr, size_t size)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        if (strcmp(key, "command") == 0) {
            continue;
        }
        const struct request_key *known = find_key(command, key);
        if (known == NULL) {
            (void)snprintf(reterr, size, "%s has no \"%.40s\"", command, key);
            return -EINVAL;
        }
        if (!has_type(value, known->type)) {
            (void)snprintf(reterr, size, "%s: \"%s\" must be %s", command, key, known->type_name);
            return -EINVAL;
        }
    }
    return 0;
}

static int take_length(const json_t *for_ms, dur_ns *ret_length, char *reterr, size_t size)
{
    json_int_t ms = json_integer_value(for_ms);

    if (ms < 0 || ms > REQUEST_STEP_DOWN_MAX / DUR_MS(1)) {
        (void)snprintf(reterr, size, "step-down: \"for_ms\" must be between 0 and %lld",
                       (long long)(REQUEST_STEP_DOWN_MAX / DUR_MS(1)));
        return -EINVAL;
    }
    *ret_length = DUR_MS(ms);
    return 0;
}

static int read_object(json_t *object, struct request *ret_request, char *reterr, size_t size)
{
    const json_t *name = json_object_get(object, "command");
    const json_t *value;

    if (!json_is_string(name)) {
        (void)snprintf(reterr, size, "a request is {\"command\":\"...\"} on one line");
        return -EINVAL;
    }
    const struct request_command *command = find_command(json_string_value(name));
    if (command == NULL) {
        (void)snprintf(reterr, size, "\"%.40s\" is no command of this version",
                       json_string_value(name));
        return -EINVAL;
    }
    int rc = check_keys(object, command->name, reterr, size);
    if (rc < 0) {
        return rc;
    }

    struct request request = command->request;
    if ((value = json_object_get(object, "fleet")) != NULL) {
        request.fleet = json_is_true(value);
    }
    if ((value = json_object_get(object, "force")) != NULL) {
        request.force = json_is_true(value);
    }
    if ((value = json_object_get(object, "for_ms")) != NULL) {
        rc = take_length(value, &request.length, reterr, size);
        if (rc < 0) {
            return rc;
        }
    }
    *ret_request = request;
    return 0;
}

int request_parse(const char *line, size_t length, struct request *ret_request, char *reterr,
                  size_t size)
{
    json_error_t error;
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);

    if (object == NULL) {
        (void)snprintf(reterr, size, "not a JSON object: %.100s", error.text);
        return -EINVAL;
    }
    int rc = read_object(object, ret_request, reterr, size);
    json_decref(object);
    return rc;
}
