#include "worker/leader/run_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/database/session.h"
#include "worker/leader/environment.h"
#include "worker/sql/sql_job.h"

static const char *text_or_none(const char *text)
{
    return text == NULL ? "" : text;
}

void run_sql_init(struct run_sql *sql, const struct config *cfg, const struct config_job *job,
                  const struct server_address *address, const char *epoch)
{
    struct session_name name = session_application_name(cfg, "job");

    *sql = (struct run_sql){.order_fd = -1, .report_fd = -1};
    (void)snprintf(sql->name, sizeof(sql->name), "%s", name.is);
    if (cfg->election.enabled && epoch[0] != '\0') {
        (void)snprintf(sql->epoch, sizeof(sql->epoch), "%s/%s", cfg->election.name, epoch);
    }
    sql->order = (struct sql_order){
        .job = job->name,
        .dsn = cfg->database.dsn,
        .password_file = text_or_none(cfg->database.password_file),
        .password = text_or_none(getenv("PGPASSWORD")),
        .schema = cfg->database.schema,
        .application_name = sql->name,
        .epoch = sql->epoch,
        .role = text_or_none(job->sql_role),
        .statements = job->command,
        .connect_timeout = cfg->database.connect_timeout,
        .lease = sql->epoch[0] == '\0' ? 0 : cfg->election.lease,
        .transaction = job->sql_transaction,
    };
    if (address != NULL) {
        sql->order.address = *address;
    }
}

/* In the process they become 3 and 4: neither may be one of these already. */
static int above_handed(int fd)
{
    int higher = fd == -1 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + SPAWN_HANDED_MAX + 1);
    int error = errno;

    if (fd != -1) {
        (void)close(fd);
    }
    errno = error;
    return higher;
}

static void close_end(int *fd)
{
    if (*fd != -1) {
        (void)close(*fd);
        *fd = -1;
    }
}

int run_sql_open(struct run_sql *sql, int *ret_report)
{
    int ends[2] = {-1, -1};
    int fd = sql_order_seal(&sql->order);
    int rc;

    if (fd < 0) {
        return fd;
    }
    sql->order_fd = above_handed(fd);
    if (sql->order_fd == -1 || pipe2(ends, O_CLOEXEC) == -1) {
        goto failed;
    }
    sql->report_fd = above_handed(ends[1]);
    ends[0] = above_handed(ends[0]);
    if (sql->report_fd == -1 || ends[0] == -1 || fcntl(ends[0], F_SETFL, O_NONBLOCK) == -1) {
        goto failed;
    }
    *ret_report = ends[0];
    return 0;

failed:
    rc = -errno;
    close_end(&ends[0]);
    run_sql_close(sql);
    return rc;
}

void run_sql_close(struct run_sql *sql)
{
    close_end(&sql->order_fd);
    close_end(&sql->report_fd);
}

void run_sql_spawn(const struct run_sql *sql, struct spawn *what)
{
    /* execve() takes words that it does not change. */
    static char *const words[] = {(char *)(uintptr_t) "pgbaton",
                                  (char *)(uintptr_t)SQL_JOB_ARGUMENT, NULL};
    static const struct account own = {.change = false};

    /* The file that we run, also when another one has its name by now. */
    what->program = "/proc/self/exe";
    what->words = words;
    what->account = &own;
    what->directory = NULL;
    what->umask = -1;
    what->handed[SQL_JOB_ORDER_FD - 3] = sql->order_fd;
    what->handed[SQL_JOB_REPORT_FD - 3] = sql->report_fd;
    what->handed_count = 2;
}

char **run_sql_environment(const struct config *cfg, const char *job, char *reterr, size_t size)
{
    static const struct account own = {.change = false};
    const struct config_job bare = {.name = job, .umask = -1, .nice = INT_MIN};
    const struct environment_run about = {.run_id = "", .epoch = "", .attempt = 1};

    return environment_build(cfg, &bare, &own, &about, environ, reterr, size);
}

/* The text behind a word, to the end of its line. */
static void take_line(const char *text, const char *word, char *ret_text, size_t size)
{
    size_t length = strlen(word);

    while (text != NULL && *text != '\0') {
        if (strncmp(text, word, length) == 0 && text[length] == ' ') {
            size_t rest = strcspn(text + length + 1, "\n");

            (void)snprintf(ret_text, size, "%.*s", (int)rest, text + length + 1);
        }
        text = strchr(text, '\n');
        text = text == NULL ? NULL : text + 1;
    }
}

void run_sql_read(int fd, struct run_report *ret_report)
{
    char text[RUN_RESULT_MAX + RUN_SAYS_MAX + 32];
    ssize_t count = read(fd, text, sizeof(text) - 1);

    text[count > 0 ? count : 0] = '\0';
    take_line(text, SQL_JOB_RESULT, ret_report->result, sizeof(ret_report->result));
    take_line(text, SQL_JOB_REASON, ret_report->reason, sizeof(ret_report->reason));
}
