#include "worker/sql/sql_job.h"

#include <errno.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/child.h"
#include "worker/database/address.h"
#include "worker/database/connect.h"
#include "worker/sql/sql_printer.h"
#include "worker/sql/sql_settings.h"

enum {
    VERSION_LEAST = 140000,
    /* A network that answers nothing: probes after so many seconds of silence, and so many. */
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_COUNT = 3,
    CANCEL_LIMIT_S = 30, /* libpq waits without a limit; the job's grace is shorter most often */
};

#define EPOCH_OVER "PB001"

/* How a message to the server ended. */
enum ending {
    ENDING_DONE,
    ENDING_REFUSED, /* the server said no */
    ENDING_LOST,    /* there is no connection, or no answer in time */
    ENDING_TOLD,    /* SIGTERM */
};

struct sql_job {
    const struct sql_order *order;
    struct config cfg; /* what connect.h needs of one */
    PGconn *conn;
    int signals;
    int report_fd;
    bool told;  /* to end */
    bool quiet; /* a refusal is not printed */
    struct sql_printer printer;
    char code[6]; /* SQLSTATE of the refusal; "" none */
    char reason[CONNECT_TEXT_MAX];
};

static void give_reason(struct sql_job *j, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void give_reason(struct sql_job *j, const char *format, ...)
{
    char text[2 * CONNECT_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    connect_one_line(text, j->reason, sizeof(j->reason));
}

/* ---- Waiting: for the server, for a signal, never for ever unless a statement runs. ---- */

/* The second SIGTERM waits for nothing more. */
static void take_signal(struct sql_job *j)
{
    struct signalfd_siginfo info;

    if (read(j->signals, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return;
    }
    if (j->told) {
        _exit(128 + SIGTERM);
    }
    j->told = true;
}

/* Milliseconds for poll(), rounded up; -1: no limit. */
static int left_of(mono_ns until)
{
    mono_ns left = until - clock_now();

    if (until == MONO_NEVER) {
        return -1;
    }
    return left <= 0 ? 0 : (int)((left + DUR_MS(1) - 1) / DUR_MS(1));
}

/* Until the socket is ready: 0; -ETIMEDOUT; -EINTR when a signal has come. */
static int wait_for(struct sql_job *j, short events, mono_ns until)
{
    struct pollfd fds[] = {{.fd = PQsocket(j->conn), .events = events},
                           {.fd = j->signals, .events = POLLIN}};
    int count = poll(fds, 2, left_of(until));

    if (count == -1) {
        return errno == EINTR ? 0 : -errno; /* nothing is ready then: the caller looks again */
    }
    if (fds[1].revents != 0) {
        take_signal(j);
        return j->told ? -EINTR : 0;
    }
    return count == 0 ? -ETIMEDOUT : 0;
}

/* ---- Connecting. ---- */

static enum ending connect_to(struct sql_job *j, const struct server_address *to)
{
    mono_ns until = clock_now() + j->order->connect_timeout;
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    j->conn = connect_start(&j->cfg, to, j->order->application_name, j->reason, sizeof(j->reason));
    while (j->conn != NULL && PQstatus(j->conn) != CONNECTION_BAD) {
        int rc = wait_for(j, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, until);

        if (rc == -EINTR) {
            return ENDING_TOLD;
        }
        if (rc < 0) {
            give_reason(j, "the server does not answer: %s", strerror(-rc));
            return ENDING_LOST;
        }
        status = PQconnectPoll(j->conn);
        if (status == PGRES_POLLING_OK) {
            return ENDING_DONE;
        }
    }
    if (j->conn != NULL) {
        give_reason(j, "%s", PQerrorMessage(j->conn));
    }
    return ENDING_LOST;
}

/* A statement may take hours in which nothing is sent: that the network is gone must be noticed. */
static void watch_network(const struct sql_job *j)
{
    static const int values[][2] = {{TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
                                    {TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
                                    {TCP_KEEPCNT, KEEPALIVE_COUNT}};
    int fd = PQsocket(j->conn);
    int on = 1;

    /* Over a UNIX socket these fail, and are not needed. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        (void)setsockopt(fd, IPPROTO_TCP, values[i][0], &values[i][1], sizeof(values[i][1]));
    }
}

/* ---- Asking. ---- */

/* The server ends the statement, and answers it with an error. */
static void cancel(struct sql_job *j)
{
    PGcancel *request = PQgetCancel(j->conn);
    char ignored[256];

    if (request != NULL) {
        (void)alarm(CANCEL_LIMIT_S); /* its default action ends a process that waits in vain */
        (void)PQcancel(request, ignored, (int)sizeof(ignored));
        PQfreeCancel(request);
    }
    (void)alarm(CANCEL_LIMIT_S);
}

static void refused(struct sql_job *j, const PGresult *result)
{
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    char line[CONNECT_TEXT_MAX];

    if (!j->quiet) {
        (void)fputs(PQresultErrorMessage(result), stderr);
    }
    connect_said(result, line, sizeof(line));
    (void)snprintf(j->code, sizeof(j->code), "%s", code == NULL ? "" : code);
    give_reason(j, "%s%s%s", j->code, j->code[0] == '\0' ? "" : " ", line);
}

/* What cannot be answered here would be asked for ever. */
static enum ending refuse_copy(struct sql_job *j, ExecStatusType status)
{
    static const char text[] = "COPY from and to the client is not possible in a job";

    (void)fprintf(stderr, "ERROR:  %s\n", text);
    give_reason(j, "%s", text);
    if (status == PGRES_COPY_IN) {
        (void)PQputCopyEnd(j->conn, text);
    }
    return ENDING_REFUSED;
}

static enum ending take_result(struct sql_job *j, const PGresult *result, bool print)
{
    ExecStatusType status = PQresultStatus(result);

    switch (status) {
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        if (print) {
            sql_printer_take(&j->printer, result);
        }
        return ENDING_DONE;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        return refuse_copy(j, status);
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        break;
    }
    refused(j, result);
    return ENDING_REFUSED;
}

/* Until something can be taken from libpq without waiting. */
static enum ending wait_for_answer(struct sql_job *j, mono_ns until)
{
    bool was_told = j->told;

    while (PQisBusy(j->conn) == 1) {
        int left = PQflush(j->conn);
        int rc = left == -1 ? -EPIPE : wait_for(j, left == 1 ? POLLIN | POLLOUT : POLLIN, until);

        if (rc == -EINTR && !was_told) {
            cancel(j);
            was_told = true;
        } else if (rc < 0) {
            give_reason(j, "the server does not answer: %s", strerror(-rc));
            return ENDING_LOST;
        }
        if (PQconsumeInput(j->conn) == 0) {
            break; /* PQgetResult says what came before the end */
        }
    }
    return ENDING_DONE;
}

/*
 * One message, to the end of its answer. limit 0: the statements take what they take. It is DONE
 * where all of it was done, also if a signal came meanwhile: what was committed is committed.
 */
static enum ending ask(struct sql_job *j, const char *sql, dur_ns limit, bool print)
{
    mono_ns until = limit == 0 ? MONO_NEVER : clock_now() + limit;
    enum ending ending = ENDING_DONE;

    if (j->told) {
        return ENDING_TOLD;
    }
    if (PQsendQuery(j->conn, sql) == 0 || PQsetSingleRowMode(j->conn) == 0) {
        give_reason(j, "%s", PQerrorMessage(j->conn));
        return ENDING_LOST;
    }
    for (;;) {
        if (wait_for_answer(j, until) != ENDING_DONE) {
            return ENDING_LOST;
        }

        PGresult *result = PQgetResult(j->conn);

        if (result == NULL) {
            break;
        }

        enum ending one = take_result(j, result, print);
        bool stuck =
            PQresultStatus(result) == PGRES_COPY_OUT || PQresultStatus(result) == PGRES_COPY_BOTH;

        ending = one == ENDING_DONE ? ending : one;
        PQclear(result);
        if (stuck || PQstatus(j->conn) == CONNECTION_BAD) {
            break;
        }
    }
    if (PQstatus(j->conn) == CONNECTION_BAD) {
        if (j->reason[0] == '\0') {
            give_reason(j, "%s", PQerrorMessage(j->conn));
        }
        return ENDING_LOST;
    }
    return ending == ENDING_REFUSED && j->told ? ENDING_TOLD : ending;
}

/* ---- The steps. ---- */

static enum ending unusable(struct sql_job *j, const char *text)
{
    give_reason(j, "%s", text);
    return ENDING_LOST;
}

/* Before any SET: behind a pooler it would leak into the sessions of others. */
static enum ending check_server(struct sql_job *j)
{
    PGresult *result;
    enum ending ending = ENDING_DONE;

    if (PQserverVersion(j->conn) < VERSION_LEAST) {
        return unusable(j, "PostgreSQL 14 is the oldest that is supported");
    }
    j->printer = (struct sql_printer){.keeps_row = true};
    ending = ask(j, "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()",
                 j->order->connect_timeout, true);
    result = j->printer.row;
    if (ending == ENDING_DONE && result != NULL) {
        if ((int)strtol(PQgetvalue(result, 0, 0), NULL, 10) != PQbackendPID(j->conn)) {
            ending = unusable(j, "a connection pooler stands in between: pgbaton needs a direct "
                                 "connection to PostgreSQL");
        } else if (strcmp(PQgetvalue(result, 0, 1), "t") == 0) {
            ending = unusable(j, "it is a standby (in recovery)");
        }
    }
    PQclear(result);
    j->printer = (struct sql_printer){.keeps_row = false};
    return ending;
}

static enum ending pin_settings(struct sql_job *j)
{
    char *pins = sql_settings_pins(j->order->lease);
    enum ending ending = pins == NULL ? unusable(j, "out of memory")
                                      : ask(j, pins, j->order->connect_timeout, false);

    free(pins);
    if (ending != ENDING_DONE) {
        return ending;
    }
    j->quiet = true;
    ending = ask(j, sql_settings_check, j->order->connect_timeout, false);
    j->quiet = false;
    if (ending == ENDING_REFUSED) {
        j->reason[0] = '\0';
        j->code[0] = '\0';
        ending = ENDING_DONE;
    }
    return ending;
}

/* Waits for a term that is just being opened: that is over within a few seconds, or it fails. */
static enum ending assert_epoch(struct sql_job *j)
{
    const char *epoch = j->order->epoch;
    char *schema = NULL;
    char *literal = NULL;
    char *sql = NULL;
    enum ending ending = ENDING_DONE;

    if (epoch[0] == '\0') {
        return ENDING_DONE;
    }
    schema = PQescapeIdentifier(j->conn, j->order->schema, strlen(j->order->schema));
    literal = PQescapeLiteral(j->conn, epoch, strlen(epoch));
    if (schema == NULL || literal == NULL ||
        asprintf(&sql, "SELECT %s.assert_leader(%s)", schema, literal) == -1) {
        ending = unusable(j, "out of memory");
    } else {
        ending = ask(j, sql, 0, false);
    }
    free(sql);
    PQfreemem(literal);
    PQfreemem(schema);
    return ending;
}

static enum ending take_role(struct sql_job *j)
{
    const char *role = j->order->role;
    char *name = NULL;
    char *sql = NULL;
    enum ending ending = ENDING_DONE;

    if (role[0] == '\0') {
        return ENDING_DONE;
    }
    name = PQescapeIdentifier(j->conn, role, strlen(role));
    if (name == NULL ||
        asprintf(&sql, "SET %sROLE %s", j->order->transaction ? "LOCAL " : "", name) == -1) {
        ending = unusable(j, "out of memory");
    } else {
        ending = ask(j, sql, j->order->connect_timeout, false);
    }
    free(sql);
    PQfreemem(name);
    return ending;
}

static enum ending finish_transaction(struct sql_job *j)
{
    if (PQtransactionStatus(j->conn) != PQTRANS_INTRANS) {
        static const char text[] = "the statements ended the transaction that they are in: nothing "
                                   "fenced what came after; leave COMMIT and ROLLBACK out, or use "
                                   "sql_transaction = no";

        (void)fprintf(stderr, "ERROR:  %s\n", text);
        give_reason(j, "%s", text);
        return ENDING_REFUSED;
    }
    enum ending ending = ask(j, "COMMIT", 0, false);
    if (ending == ENDING_LOST) { /* also after a farewell: it may come behind the commit itself */
        give_reason(j, "it is not known whether it was committed: %s", j->reason);
    }
    return ending;
}

static enum ending run_statements(struct sql_job *j)
{
    bool transaction = j->order->transaction;
    enum ending ending = ENDING_DONE;

    if (transaction) {
        ending = ask(j, "BEGIN", j->order->connect_timeout, false);
    }
    if (ending == ENDING_DONE) {
        ending = assert_epoch(j);
    }
    if (ending == ENDING_DONE) {
        ending = take_role(j);
    }
    if (ending == ENDING_DONE) {
        ending = ask(j, j->order->statements, 0, true);
    }
    sql_printer_end(&j->printer);
    return ending == ENDING_DONE && transaction ? finish_transaction(j) : ending;
}

static enum ending open_session(struct sql_job *j, const struct server_address *to)
{
    enum ending ending = connect_to(j, to);

    if (ending == ENDING_DONE && PQsetnonblocking(j->conn, 1) != 0) {
        ending = unusable(j, PQerrorMessage(j->conn));
    }
    if (ending == ENDING_DONE) {
        watch_network(j);
        ending = check_server(j);
    }
    if (ending == ENDING_DONE) {
        ending = pin_settings(j);
    }
    return ending;
}

/* The first of these that may be used. */
static enum ending open_any(struct sql_job *j, const struct address_list *list)
{
    enum ending ending = ENDING_LOST;

    for (size_t i = 0; i < list->count && ending != ENDING_DONE && !j->told; i++) {
        PQfinish(j->conn);
        j->conn = NULL;
        ending = open_session(j, &list->list[i]);
        if (ending == ENDING_DONE) {
            j->reason[0] = '\0';
        }
    }
    return j->told ? ENDING_TOLD : ending;
}

static enum ending open_somewhere(struct sql_job *j)
{
    const struct server_address *to = &j->order->address;
    struct address_list list = {.list = NULL};
    enum ending ending;

    if (to->host[0] != '\0' || to->hostaddr[0] != '\0' || to->port[0] != '\0') {
        return open_session(j, to);
    }
    if (address_enumerate(j->order->dsn, &list, j->reason, sizeof(j->reason)) < 0) {
        return ENDING_LOST;
    }
    ending = open_any(j, &list);
    address_list_release(&list);
    return ending;
}

static int open_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* As a program that does nothing about it. */
static void die_of_signal(void)
{
    sigset_t set;

    (void)fflush(NULL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)raise(SIGTERM);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void report(const struct sql_job *j, enum ending ending)
{
    if (j->report_fd == -1) {
        return;
    }
    if (ending != ENDING_DONE && j->reason[0] != '\0') {
        (void)dprintf(j->report_fd, SQL_JOB_REASON " %s\n", j->reason);
    } else if (j->printer.tag[0] != '\0') {
        (void)dprintf(j->report_fd, SQL_JOB_RESULT " %s\n", j->printer.tag);
    }
}

static int code_of(struct sql_job *j, enum ending ending)
{
    switch (ending) {
    case ENDING_DONE:
        return SQL_JOB_DONE;
    case ENDING_REFUSED:
        return strcmp(j->code, EPOCH_OVER) == 0 ? SQL_JOB_EPOCH_OVER : SQL_JOB_FAILED;
    case ENDING_LOST:
        (void)fprintf(stderr, "%s\n", j->reason);
        return SQL_JOB_UNAVAILABLE;
    case ENDING_TOLD:
        give_reason(j, "cancelled");
        break;
    }
    return 128 + SIGTERM;
}

int sql_job_run(const struct sql_order *order, int report_fd)
{
    struct sql_job j = {
        .order = order,
        .cfg.database = {.dsn = order->dsn,
                         .password_file =
                             order->password_file[0] == '\0' ? NULL : order->password_file},
        .signals = open_signals(),
        .report_fd = report_fd,
    };

    enum ending ending = open_somewhere(&j);

    if (ending == ENDING_DONE) {
        ending = run_statements(&j);
    }

    int code = code_of(&j, ending);

    report(&j, ending);
    PQfinish(j.conn); /* what is not committed is rolled back */
    if (j.signals != -1) {
        (void)close(j.signals);
    }
    if (ending == ENDING_TOLD) {
        die_of_signal();
    }
    return code;
}

int sql_job_entry(void)
{
    struct sql_order order;
    int rc = sql_order_unseal(SQL_JOB_ORDER_FD, &order);
    int code;

    if (rc < 0) {
        (void)fprintf(stderr, "pgbaton: this is for the leader to start, not for people\n");
        return SQL_JOB_FAILED;
    }
    (void)close(SQL_JOB_ORDER_FD);
    (void)prctl(PR_SET_NAME, "pgbaton-sql");
    child_title("sql job %s", order.job);
    if (order.password[0] != '\0' && setenv("PGPASSWORD", order.password, 1) == -1) {
        code = SQL_JOB_FAILED; /* out of memory */
    } else {
        code = sql_job_run(&order, SQL_JOB_REPORT_FD);
    }
    sql_order_release(&order);
    (void)fflush(NULL);
    return code;
}
