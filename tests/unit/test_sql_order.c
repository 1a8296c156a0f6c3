/*
 * What the process of an SQL job is told comes out as it went in, or not at all; and what it says
 * at its end is understood.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/array.h"
#include "worker/leader/run_sql.h"
#include "worker/sql/sql_order.h"

static const struct sql_order order = {
    .job = "clean up",
    .dsn = "host=h dbname='d b'",
    .password_file = "",
    .password = "secret",
    .schema = "pgbaton",
    .application_name = "pgbaton job 0 main a",
    .epoch = "main/1.7",
    .role = "",
    .statements = "SELECT 'x; y'",
    .address = {.host = "h", .hostaddr = "10.0.0.1", .port = "5432"},
    .connect_timeout = DUR_S(5),
    .lease = DUR_S(15),
    .transaction = true,
};

Test(sql_order, comes_out_as_it_went_in)
{
    struct sql_order got;
    int fd = sql_order_seal(&order);

    cr_assert_geq(fd, 0);
    cr_assert_eq(sql_order_unseal(fd, &got), 0);
    cr_expect_str_eq(got.job, order.job);
    cr_expect_str_eq(got.dsn, order.dsn);
    cr_expect_str_eq(got.password_file, "");
    cr_expect_str_eq(got.password, order.password);
    cr_expect_str_eq(got.schema, order.schema);
    cr_expect_str_eq(got.application_name, order.application_name);
    cr_expect_str_eq(got.epoch, order.epoch);
    cr_expect_str_eq(got.role, "");
    cr_expect_str_eq(got.statements, order.statements);
    cr_expect_eq(memcmp(&got.address, &order.address, sizeof(order.address)), 0);
    cr_expect_eq(got.connect_timeout, DUR_S(5));
    cr_expect_eq(got.lease, DUR_S(15));
    cr_expect(got.transaction);
    sql_order_release(&got);
    (void)close(fd);
}

Test(sql_order, what_is_none_is_refused)
{
    static const char nonsense[400] = "pgb-sql";
    struct sql_order got;
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert_eq(write(fd, nonsense, sizeof(nonsense)), (ssize_t)sizeof(nonsense));
    cr_expect_eq(sql_order_unseal(fd, &got), -EINVAL, "not sealed");
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
                 0);
    cr_expect_eq(sql_order_unseal(fd, &got), -EINVAL, "another size than it says");
    (void)close(fd);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_expect_eq(sql_order_unseal(fd, &got), -EINVAL, "no memfd");
    (void)close(fd);
    cr_expect_lt(sql_order_unseal(999, &got), 0, "no descriptor");
}

/* clang-format off */
static const struct {
    const char *says;
    const char *result;
    const char *reason;
} reports[] = {
    {"", "", ""},
    {"result UPDATE 42\n", "UPDATE 42", ""},
    {"reason 23505 duplicate key\n", "", "23505 duplicate key"},
    {"result SELECT 1\nreason gone\n", "SELECT 1", "gone"},
    {"results no\nresult", "", ""},
    {"result cut", "cut", ""},
};
/* clang-format on */

Test(sql_order, the_report_is_understood)
{
    for (size_t i = 0; i < ARRAY_LEN(reports); i++) {
        struct run_report report = {.result = ""};
        int ends[2];

        cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        cr_assert_eq(write(ends[1], reports[i].says, strlen(reports[i].says)),
                     (ssize_t)strlen(reports[i].says));
        run_sql_read(ends[0], &report);
        cr_expect_str_eq(report.result, reports[i].result, "%s", reports[i].says);
        cr_expect_str_eq(report.reason, reports[i].reason, "%s", reports[i].says);
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
}

Test(sql_order, the_epoch_is_asserted_where_there_is_one)
{
    static const struct {
        bool enabled;
        const char *epoch;
        const char *asserts;
    } cases[] = {{true, "1.7", "main/1.7"}, {true, "", ""}, {false, "0.0", ""}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct config cfg = {
            .pgbaton = {.instance = "a"},
            .database = {.dsn = "host=h", .schema = "pgbaton"},
            .election = {.name = "main", .enabled = cases[i].enabled},
        };
        const struct config_job job = {.name = "j", .command = "SELECT 1"};
        struct run_sql sql;

        run_sql_init(&sql, &cfg, &job, NULL, cases[i].epoch);
        cr_expect_str_eq(sql.order.epoch, cases[i].asserts);
        cr_expect_str_eq(sql.order.address.port, "");
        cr_expect_eq(strncmp(sql.order.application_name, "pgbaton job ", 12), 0);
    }
}
