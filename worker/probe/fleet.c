#include "worker/probe/fleet.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORD_MAX = 64,
    APPLICATION_BYTES_MAX = 63, /* NAMEDATALEN - 1: the server cuts there */
};

const char fleet_sql[] =
    "SELECT application_name, pid, "
    "to_char(backend_start, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'pgbaton %' ORDER BY 1, 2";

/* "pgbaton ROLE HASH8 ELECTION INSTANCE"; the election's name and the instance may have spaces. */
struct application {
    char role[WORD_MAX];
    char config[WORD_MAX];
    char instance[WORD_MAX];
    bool cut; /* and then the label may not be all of it */
};

/* Takes one word off the text; NULL when there is none. */
static const char *take_word(const char *text, char ret_word[static WORD_MAX])
{
    size_t length = strcspn(text, " ");

    if (length == 0 || length >= WORD_MAX) {
        return NULL;
    }
    memcpy(ret_word, text, length);
    ret_word[length] = '\0';
    return text + length + (text[length] == ' ');
}

static bool is_probe(const char *role)
{
    return strcmp(role, "follower") == 0 || strcmp(role, "heir") == 0 ||
           strcmp(role, "leader") == 0;
}

/* A name that was cut may end inside the election's. */
static bool read_application(const char *election, const char *name, struct application *ret)
{
    char word[WORD_MAX];
    const char *rest = take_word(name, word);
    bool cut = strlen(name) >= APPLICATION_BYTES_MAX;

    *ret = (struct application){.cut = cut};
    rest = rest == NULL ? NULL : take_word(rest, ret->role);
    rest = rest == NULL ? NULL : take_word(rest, ret->config);
    if (rest == NULL || !is_probe(ret->role)) {
        return false;
    }
    size_t length = strlen(election);

    if (strncmp(rest, election, length) == 0 && (rest[length] == ' ' || rest[length] == '\0')) {
        rest += length + (rest[length] == ' ');
        memcpy(ret->instance, rest, strnlen(rest, WORD_MAX - 1));
        return true;
    }
    return cut && strncmp(election, rest, strlen(rest)) == 0;
}

/* What others wrote there may be no text at all. */
static json_t *text_or_null(const char *text)
{
    json_t *made = json_string(text);

    return made == NULL ? json_null() : made;
}

static json_t *instance_of(const struct application *a, const PGresult *rows, int row)
{
    return json_pack("{s:o, s:b, s:s, s:o, s:I, s:s}", "instance", text_or_null(a->instance), "cut",
                     (int)a->cut, "role", a->role, "config", text_or_null(a->config), "pid",
                     (json_int_t)strtoll(PQgetvalue(rows, row, 1), NULL, 10), "since",
                     PQgetvalue(rows, row, 2));
}

json_t *fleet_instances(const struct config *cfg, const PGresult *rows)
{
    json_t *made = json_array();

    for (int row = 0; made != NULL && row < PQntuples(rows); row++) {
        struct application a;

        if (!read_application(cfg->election.name, PQgetvalue(rows, row, 0), &a)) {
            continue;
        }
        if (json_array_append_new(made, instance_of(&a, rows, row)) == -1) {
            json_decref(made);
            return NULL;
        }
    }
    return made;
}
