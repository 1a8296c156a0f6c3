#include "worker/database/connect.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PASSWORD_MAX = 1024,
    PARAMETERS_MAX = 10,
};

struct parameters {
    const char *keywords[PARAMETERS_MAX];
    const char *values[PARAMETERS_MAX];
    size_t count;
};

/* An empty value would leave that of the dsn in force, so it is never meant. */
static void set(struct parameters *p, const char *keyword, const char *value)
{
    if (value == NULL || *value == '\0') {
        return;
    }
    p->keywords[p->count] = keyword;
    p->values[p->count] = value;
    p->count++;
    p->keywords[p->count] = NULL;
    p->values[p->count] = NULL;
}

void connect_one_line(const char *text, char *ret_line, size_t size)
{
    size_t used = 0;

    for (const char *c = text; *c != '\0' && used + 1 < size; c++) {
        bool space = isspace((unsigned char)*c);

        if (space && (used == 0 || ret_line[used - 1] == ' ')) {
            continue;
        }
        ret_line[used++] = space ? ' ' : *c;
    }
    while (used > 0 && ret_line[used - 1] == ' ') {
        used--;
    }
    ret_line[used] = '\0';
}

/* Reads the file anew each time: a password that was rotated is found at the next connect. */
static int read_password(const char *path, char *ret_password, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1) {
        return -errno;
    }
    ssize_t length = read(fd, ret_password, size);
    int rc = length == -1 ? -errno : 0;

    (void)close(fd);
    if (rc < 0) {
        return rc;
    }
    if ((size_t)length == size) {
        return -EFBIG;
    }
    while (length > 0 && (ret_password[length - 1] == '\n' || ret_password[length - 1] == '\r')) {
        length--;
    }
    ret_password[length] = '\0';
    return 0;
}

static PGconn *start(const struct config *cfg, struct parameters *p, bool wait, char *reterr,
                     size_t size)
{
    char password[PASSWORD_MAX] = "";
    PGconn *conn = NULL;

    if (cfg->database.password_file != NULL) {
        int rc = read_password(cfg->database.password_file, password, sizeof(password));

        if (rc < 0) {
            (void)snprintf(reterr, size, "cannot read password_file %s: %s",
                           cfg->database.password_file, strerror(-rc));
            goto forget;
        }
        set(p, "password", password);
    }
    conn = wait ? PQconnectdbParams(p->keywords, p->values, 1)
                : PQconnectStartParams(p->keywords, p->values, 1);
    if (conn == NULL) {
        (void)snprintf(reterr, size, "out of memory");
    }

forget:
    explicit_bzero(password, sizeof(password));
    return conn;
}

PGconn *connect_start(const struct config *cfg, const struct server_address *to,
                      const char *application_name, char *reterr, size_t size)
{
    struct parameters p = {0};

    set(&p, "dbname", cfg->database.dsn); /* the first one: what comes later replaces it */
    if (to != NULL) {
        /* A candidate that is only an address still needs a host, or that of the dsn stays. */
        set(&p, "host", to->host[0] != '\0' ? to->host : to->hostaddr);
        set(&p, "hostaddr", to->hostaddr);
        set(&p, "port", to->port);
    }
    set(&p, "application_name", application_name);
    return start(cfg, &p, false, reterr, size);
}

PGconn *connect_wait(const struct config *cfg, const char *application_name, char *reterr,
                     size_t size)
{
    struct parameters p = {0};
    char seconds[24];

    /* libpq takes whole seconds, and fewer than 2 as 2. */
    (void)snprintf(seconds, sizeof(seconds), "%lld",
                   (long long)((cfg->database.connect_timeout + DUR_S(1) - 1) / DUR_S(1)));
    set(&p, "dbname", cfg->database.dsn);
    set(&p, "connect_timeout", seconds);
    set(&p, "application_name", application_name);

    PGconn *conn = start(cfg, &p, true, reterr, size);

    if (conn != NULL && PQstatus(conn) != CONNECTION_OK) {
        connect_one_line(PQerrorMessage(conn), reterr, size);
        PQfinish(conn);
        return NULL;
    }
    return conn;
}

static int user_of(PGconn *conn, char *ret_user, size_t size)
{
    PQconninfoOption *options = PQconninfo(conn);
    int rc = -EINVAL;

    for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
        if (strcmp(o->keyword, "user") == 0 && o->val != NULL && strlen(o->val) < size) {
            (void)snprintf(ret_user, size, "%s", o->val);
            rc = 0;
        }
    }
    PQconninfoFree(options);
    return rc;
}

int connect_user(const struct config *cfg, char *ret_user, size_t user_size, char *reterr,
                 size_t size)
{
    /* libpq refuses this value after it has found the user, and connects to nothing. */
    struct parameters p = {0};

    set(&p, "dbname", cfg->database.dsn);
    set(&p, "channel_binding", "none-is-meant");

    PGconn *conn = PQconnectStartParams(p.keywords, p.values, 1);
    int rc = conn == NULL ? -ENOMEM : user_of(conn, ret_user, user_size);

    if (rc < 0) {
        connect_one_line(conn == NULL ? "out of memory" : PQerrorMessage(conn), reterr, size);
    }
    PQfinish(conn);
    return rc;
}
