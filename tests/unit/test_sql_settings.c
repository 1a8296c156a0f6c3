/* A connection that is silent is over before the lease is. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "worker/sql/sql_settings.h"

static int value_of(const char *sql, const char *name)
{
    const char *at = strstr(sql, name);

    cr_assert_not_null(at, "no %s in %s", name, sql);
    return (int)strtol(at + strlen(name) + strlen("', '"), NULL, 10);
}

Test(sql_settings, a_silent_connection_ends_before_the_lease)
{
    for (int lease = 3; lease <= 3600; lease++) {
        char *sql = sql_settings_pins(DUR_S(lease));

        cr_assert_not_null(sql);
        int idle = value_of(sql, "tcp_keepalives_idle");
        int interval = value_of(sql, "tcp_keepalives_interval");
        int count = value_of(sql, "tcp_keepalives_count");
        cr_expect_geq(idle, 1, "0 would be the system's: %s", sql);
        cr_expect_geq(interval, 1, "%s", sql);
        cr_expect_geq(count, 1, "%s", sql);
        cr_expect_leq(3 * (idle + interval * count), 2 * lease, "lease %d: %s", lease, sql);
        cr_expect_leq(3 * value_of(sql, "tcp_user_timeout"), 2 * lease * 1000, "lease %d: %s",
                      lease, sql);
        free(sql);
    }
}

Test(sql_settings, the_shortest_lease_has_the_shortest_silence)
{
    char *sql = sql_settings_pins(DUR_S(1));

    cr_assert_not_null(sql);
    cr_expect_eq(value_of(sql, "tcp_keepalives_idle"), 1);
    cr_expect_eq(value_of(sql, "tcp_keepalives_interval"), 1);
    cr_expect_eq(value_of(sql, "tcp_keepalives_count"), 1);
    free(sql);
}

Test(sql_settings, without_a_lease_the_keepalives_are_the_servers)
{
    char *sql = sql_settings_pins(0);

    cr_assert_not_null(sql);
    cr_expect_null(strstr(sql, "tcp_"), "%s", sql);
    cr_expect_not_null(strstr(sql, "('statement_timeout', '0')"), "%s", sql);
    free(sql);
}
