#include "worker/database/settings.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PINS_MAX = 32, VALUE_MAX = 32 };

/* What the kernel does by itself where nothing is set; less would end the session early. */
static const char keepalives_interval[] = "75";
static const char keepalives_count[] = "9";

#define STATEMENT_LIMIT_LEDGER DUR_S(10)
#define LOCK_LIMIT DUR_S(1)
#define SLICE_MAX DUR_MS(800)

enum pin_check { PIN_SAME, PIN_AT_LEAST };

struct pin {
    const char *name;
    char value[VALUE_MAX];
    enum pin_check check;
};

struct pins {
    struct pin list[PINS_MAX];
    size_t count;
};

static void pin(struct pins *pins, enum pin_check check, const char *name, const char *value)
{
    assert(pins->count < PINS_MAX);
    struct pin *p = &pins->list[pins->count++];

    p->name = name;
    p->check = check;
    (void)snprintf(p->value, sizeof(p->value), "%s", value);
}

static void pin_ms(struct pins *pins, enum pin_check check, const char *name, dur_ns length)
{
    char value[VALUE_MAX];

    (void)snprintf(value, sizeof(value), "%lld", (long long)(length / DUR_MS(1)));
    pin(pins, check, name, value);
}

static dur_ns statement_limit(const struct settings *wanted)
{
    switch (wanted->session) {
    case SETTINGS_PROBE:
        return SETTINGS_STATEMENT_LIMIT_PROBE;
    case SETTINGS_LOCK:
        return wanted->lease;
    case SETTINGS_LEDGER:
        return STATEMENT_LIMIT_LEDGER;
    }
    abort();
}

static void pin_limits(struct pins *pins, const struct settings *wanted)
{
    bool lock = wanted->session == SETTINGS_LOCK;
    dur_ns in_transaction = wanted->session == SETTINGS_LEDGER ? wanted->lease : 0;
    dur_ns waiting = wanted->lock_timeout > 0 ? wanted->lock_timeout : LOCK_LIMIT;

    pin_ms(pins, PIN_SAME, "statement_timeout", statement_limit(wanted));
    pin_ms(pins, PIN_SAME, "lock_timeout", waiting);
    pin_ms(pins, PIN_SAME, "transaction_timeout", in_transaction);
    pin_ms(pins, PIN_SAME, "idle_in_transaction_session_timeout", in_transaction);
    pin_ms(pins, PIN_SAME, "idle_session_timeout", lock ? wanted->lease : 0);
}

static void pin_tcp(struct pins *pins, dur_ns lease)
{
    char seconds[VALUE_MAX];

    (void)snprintf(seconds, sizeof(seconds), "%lld",
                   (long long)((lease + DUR_S(1) - 1) / DUR_S(1)));
    pin_ms(pins, PIN_AT_LEAST, "tcp_user_timeout", lease);
    pin(pins, PIN_AT_LEAST, "tcp_keepalives_idle", seconds);
    pin(pins, PIN_AT_LEAST, "tcp_keepalives_interval", keepalives_interval);
    pin(pins, PIN_AT_LEAST, "tcp_keepalives_count", keepalives_count);
}

static void pin_all(struct pins *pins, const struct settings *wanted)
{
    pins->count = 0;
    pin(pins, PIN_SAME, "search_path", "pg_catalog");
    pin_limits(pins, wanted);
    if (wanted->tcp) {
        pin_tcp(pins, wanted->lease);
    }
    pin(pins, PIN_SAME, "synchronous_commit", "on");
    pin(pins, PIN_SAME, "default_transaction_isolation", "read committed");
    pin(pins, PIN_SAME, "default_transaction_deferrable", "off");
    pin(pins, PIN_SAME, "TimeZone", "UTC");
    pin(pins, PIN_SAME, "DateStyle", "ISO, MDY");
    pin(pins, PIN_SAME, "client_encoding", "UTF8");
    pin(pins, PIN_SAME, "client_min_messages", "notice");
    pin(pins, PIN_SAME, "standard_conforming_strings", "on");
    pin(pins, PIN_SAME, "jit", "off");
}

/* No name and no value has a quote in it: they are all written above, or numbers. */
static void write_sql(FILE *to, const struct pins *pins)
{
    (void)fputs("SELECT pg_catalog.set_config(n, v, false) FROM (VALUES ", to);
    for (size_t i = 0; i < pins->count; i++) {
        (void)fprintf(to, "%s('%s','%s')", i == 0 ? "" : ",", pins->list[i].name,
                      pins->list[i].value);
    }
    /* Names qualified, no operator: search_path is not ours until this has run. */
    (void)fputs(") AS pin(n, v) WHERE pg_catalog.current_setting(n, true) IS NOT NULL; "
                "SELECT name, setting FROM pg_settings WHERE name IN "
                "('deadlock_timeout','log_min_duration_statement'",
                to);
    for (size_t i = 0; i < pins->count; i++) {
        (void)fprintf(to, ",'%s'", pins->list[i].name);
    }
    (void)fputs(")", to);
}

char *settings_sql(const struct settings *wanted)
{
    struct pins pins;
    char *sql = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&sql, &size);

    if (to == NULL) {
        return NULL;
    }
    pin_all(&pins, wanted);
    write_sql(to, &pins);
    if (fclose(to) != 0) {
        free(sql);
        return NULL;
    }
    return sql;
}

/* NULL: this server has no such setting. */
static const char *setting_of(const PGresult *rows, const char *name)
{
    for (int i = 0; i < PQntuples(rows); i++) {
        if (strcmp(PQgetvalue(rows, i, 0), name) == 0) {
            return PQgetvalue(rows, i, 1);
        }
    }
    return NULL;
}

static bool pin_holds(const struct pin *p, const char *setting)
{
    switch (p->check) {
    case PIN_SAME:
        return strcmp(p->value, setting) == 0;
    case PIN_AT_LEAST:
        return strtoll(setting, NULL, 10) >= strtoll(p->value, NULL, 10);
    }
    abort();
}

/* transaction_timeout came with version 17 and jit may be left out of a build: what is not there
 * can do nothing. */
static bool may_be_absent(const char *name)
{
    return strcmp(name, "transaction_timeout") == 0 || strcmp(name, "jit") == 0;
}

int settings_verify(const struct settings *wanted, const PGresult *rows, char *reterr, size_t size)
{
    struct pins pins;

    pin_all(&pins, wanted);
    for (size_t i = 0; i < pins.count; i++) {
        const struct pin *p = &pins.list[i];
        const char *setting = setting_of(rows, p->name);

        if (setting == NULL && !may_be_absent(p->name)) {
            (void)snprintf(reterr, size, "the server has no setting %s", p->name);
            return -EACCES;
        }
        if (setting != NULL && !pin_holds(p, setting)) {
            (void)snprintf(reterr, size, "the server did not accept %s = %s: it is %s", p->name,
                           p->value, setting);
            return -EACCES;
        }
    }
    return 0;
}

static dur_ns least(dur_ns a, dur_ns b)
{
    return a < b ? a : b;
}

dur_ns settings_slice(const PGresult *rows)
{
    const char *deadlock = setting_of(rows, "deadlock_timeout");
    const char *logged = setting_of(rows, "log_min_duration_statement");
    dur_ns slice = SLICE_MAX;

    if (deadlock != NULL) {
        slice = least(slice, DUR_MS(strtoll(deadlock, NULL, 10)) / 5 * 4);
    }
    if (logged != NULL && strtoll(logged, NULL, 10) > 0) {
        slice = least(slice, DUR_MS(strtoll(logged, NULL, 10)) / 5 * 4);
    }
    return slice;
}
