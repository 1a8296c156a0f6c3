#include "worker/sql/sql_settings.h"

#include <stdio.h>
#include <stdlib.h>

/* The server counts in seconds: one of silence, and one for the answer to a single probe. A lease
 * of less than three leaves no time for both; then they are as short as can be. */
enum { SILENCE_LEAST_S = 2, PROBES_MOST = 3 };

const char sql_settings_check[] =
    "SELECT pg_catalog.set_config('client_connection_check_interval', '500', false)";

struct keepalives {
    int idle;
    int interval;
    int count;
    int all; /* until the end of a silent connection */
};

/* A third of the lease is for the last heartbeat, which may be older than what this session has
 * heard last, and for the server's look at its socket. */
static struct keepalives keepalives_of(dur_ns lease)
{
    struct keepalives k = {.all = (int)(lease / DUR_S(1) * 2 / 3)};

    if (k.all < SILENCE_LEAST_S) {
        k.all = SILENCE_LEAST_S;
    }
    k.count = k.all - 1 < PROBES_MOST ? k.all - 1 : PROBES_MOST;
    k.interval = k.all / 8 < 1 ? 1 : k.all / 8;
    k.idle = k.all - k.count * k.interval;
    return k;
}

static void write_keepalives(FILE *to, dur_ns lease)
{
    struct keepalives k = keepalives_of(lease);

    /* The last one is for what was sent and is not acknowledged: then nothing is probed. */
    (void)fprintf(to,
                  ", ('tcp_keepalives_idle', '%d'), ('tcp_keepalives_interval', '%d'), "
                  "('tcp_keepalives_count', '%d'), ('tcp_user_timeout', '%d')",
                  k.idle, k.interval, k.count, k.all * 1000);
}

char *sql_settings_pins(dur_ns lease)
{
    char *sql = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&sql, &size);

    if (to == NULL) {
        return NULL;
    }
    (void)fputs("SELECT pg_catalog.set_config(n, v, false) FROM (VALUES "
                "('statement_timeout', '0'), ('transaction_timeout', '0'), "
                "('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0')",
                to);
    if (lease > 0) {
        write_keepalives(to, lease);
    }
    (void)fputs(") AS pin(n, v) WHERE pg_catalog.current_setting(n, true) IS NOT NULL", to);
    if (fclose(to) != 0) {
        free(sql);
        return NULL;
    }
    return sql;
}
