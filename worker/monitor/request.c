#include "worker/monitor/request.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/outcome.h"

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
    {"history",   "job",      JSON_STRING,  "a text"},
    {"history",   "since",    JSON_INTEGER, "a whole number"},
    {"history",   "outcome",  JSON_STRING,  "a text"},
    {"history",   "limit",    JSON_INTEGER, "a whole number"},
    {"terms",     "since",    JSON_INTEGER, "a whole number"},
    {"terms",     "limit",    JSON_INTEGER, "a whole number"},
    {"why",       "job",      JSON_STRING,  "a text"},
    {"why",       "at",       JSON_INTEGER, "a whole number"},
    {"run",       "run",      JSON_STRING,  "a text"},
    {"output",    "run",      JSON_STRING,  "a text"},
    {"trigger",   "job",      JSON_STRING,  "a text"},
    {"trigger",   "wait",     JSON_TRUE,    "true or false"},
    {"cancel",    "job",      JSON_STRING,  "a text"},
    {"pause",     "job",      JSON_STRING,  "a text"},
    {"resume",    "job",      JSON_STRING,  "a text"},
    {"answer",    "request",  JSON_INTEGER, "a whole number"},
    {"answer",    "withdraw", JSON_TRUE,    "true or false"},
};

static const struct request_command {
    const char *name;
    struct request request; /* where it says no more than its name */
} commands[] = {
    {"status",    {.kind = REQUEST_STATUS, .fleet = true}},
    {"stop",      {.kind = REQUEST_ORDER, .command = COMMAND_STOP}},
    {"reload",    {.kind = REQUEST_ORDER, .command = COMMAND_RELOAD}},
    {"step-down", {.kind = REQUEST_ORDER, .command = COMMAND_STEP_DOWN}},
    {"jobs",      {.kind = REQUEST_QUERY, .query = {.kind = QUERY_JOBS}}},
    {"history",   {.kind = REQUEST_QUERY, .query = {.kind = QUERY_HISTORY, .limit = REQUEST_LIMIT}}},
    {"terms",     {.kind = REQUEST_QUERY, .query = {.kind = QUERY_TERMS, .limit = REQUEST_LIMIT}}},
    {"why",       {.kind = REQUEST_QUERY, .query = {.kind = QUERY_WHY}}},
    {"run",       {.kind = REQUEST_QUERY, .query = {.kind = QUERY_RUN}}},
    {"output",    {.kind = REQUEST_QUERY, .query = {.kind = QUERY_OUTPUT}}},
    {"answer",    {.kind = REQUEST_QUERY, .query = {.kind = QUERY_ANSWER}}},
    {"trigger",   {.kind = REQUEST_JOB, .query = {.kind = QUERY_REQUEST, .order = JOB_TRIGGER}}},
    {"cancel",    {.kind = REQUEST_JOB, .query = {.kind = QUERY_REQUEST, .order = JOB_CANCEL}}},
    {"pause",     {.kind = REQUEST_JOB, .query = {.kind = QUERY_REQUEST, .order = JOB_PAUSE}}},
    {"resume",    {.kind = REQUEST_JOB, .query = {.kind = QUERY_REQUEST, .order = JOB_RESUME}}},
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

/* A name that is longer than any can be is nobody's. */
static int take_text(const json_t *value, const char *key, char *ret_text, size_t text_size,
                     char *reterr, size_t size)
{
    const char *text = json_string_value(value);

    if (json_string_length(value) >= text_size) {
        (void)snprintf(reterr, size, "\"%s\": at most %zu bytes", key, text_size - 1);
        return -EINVAL;
    }
    (void)snprintf(ret_text, text_size, "%s", text);
    return 0;
}

static int take_texts(const json_t *object, struct message_query *query, char *reterr, size_t size)
{
    const json_t *value;
    int rc = 0;

    if ((value = json_object_get(object, "job")) != NULL) {
        rc = take_text(value, "job", query->job, sizeof(query->job), reterr, size);
    }
    if (rc == 0 && (value = json_object_get(object, "outcome")) != NULL) {
        rc = take_text(value, "outcome", query->word, sizeof(query->word), reterr, size);
    }
    if (rc == 0 && (value = json_object_get(object, "run")) != NULL) {
        rc = take_text(value, "run", query->word, sizeof(query->word), reterr, size);
    }
    return rc;
}

/* Moments are microseconds since 1970. */
static int take_numbers(const json_t *object, struct message_query *query, char *reterr,
                        size_t size)
{
    static const char *const moments[] = {"since", "at"};
    const json_t *value;

    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        if ((value = json_object_get(object, moments[i])) != NULL) {
            json_int_t us = json_integer_value(value);

            if (us < 0 || us > WALL_NEVER / DUR_US(1)) {
                (void)snprintf(reterr, size, "\"%s\": no moment after 1970", moments[i]);
                return -EINVAL;
            }
            query->at = DUR_US(us);
        }
    }
    if ((value = json_object_get(object, "limit")) != NULL) {
        json_int_t limit = json_integer_value(value);

        if (limit < 1 || limit > QUERY_LIMIT_MAX) {
            (void)snprintf(reterr, size, "\"limit\" must be between 1 and %d", QUERY_LIMIT_MAX);
            return -EINVAL;
        }
        query->limit = (uint32_t)limit;
    }
    if ((value = json_object_get(object, "request")) != NULL) {
        query->id = json_integer_value(value);
    }
    return 0;
}

/* What each of them cannot do without. */
static int check_query(const struct request *request, char *reterr, size_t size)
{
    const struct message_query *query = &request->query;
    bool needs_job =
        query->kind == QUERY_WHY || (request->kind == REQUEST_JOB &&
                                     (query->order == JOB_TRIGGER || query->order == JOB_CANCEL));
    bool needs_run = query->kind == QUERY_RUN || query->kind == QUERY_OUTPUT;
    bool needs_id = query->kind == QUERY_ANSWER || query->kind == QUERY_WITHDRAW;

    if (needs_job && query->job[0] == '\0') {
        (void)snprintf(reterr, size, "\"job\" is missing");
        return -EINVAL;
    }
    if (needs_run && query->word[0] == '\0') {
        (void)snprintf(reterr, size, "\"run\" is missing");
        return -EINVAL;
    }
    if (needs_id && query->id <= 0) {
        (void)snprintf(reterr, size, "\"request\" is missing, or no number of one");
        return -EINVAL;
    }
    if (query->kind == QUERY_HISTORY && query->word[0] != '\0' &&
        outcome_parse(query->word) == OUTCOME_NONE) {
        (void)snprintf(reterr, size, "\"%.40s\" is no outcome", query->word);
        return -EINVAL;
    }
    return 0;
}

static int take_query(const json_t *object, struct request *request, char *reterr, size_t size)
{
    int rc = take_texts(object, &request->query, reterr, size);

    if (rc == 0) {
        rc = take_numbers(object, &request->query, reterr, size);
    }
    if (rc < 0) {
        return rc;
    }
    request->wait = json_is_true(json_object_get(object, "wait"));
    if (json_is_true(json_object_get(object, "withdraw"))) {
        request->query.kind = QUERY_WITHDRAW;
    }
    return check_query(request, reterr, size);
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
    if (request.kind == REQUEST_QUERY || request.kind == REQUEST_JOB) {
        rc = take_query(object, &request, reterr, size);
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
