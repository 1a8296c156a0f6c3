#include "worker/database/connect.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/secret.h"

enum {
    PASSWORD_MAX = 64 * 1024, /* tokens of clouds have thousands; the server takes 65,535 bytes */
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

/* Copies one line, runs of white space as one space, none at the ends. */
static size_t copy_line(const char *from, size_t length, char *ret_line, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < length && used + 1 < size; i++) {
        bool space = isspace((unsigned char)from[i]);

        if (space && (used == 0 || ret_line[used - 1] == ' ')) {
            continue;
        }
        ret_line[used++] = space ? ' ' : from[i];
    }
    while (used > 0 && ret_line[used - 1] == ' ') {
        used--;
    }
    ret_line[used] = '\0';
    return used;
}

void connect_one_line(const char *text, char *ret_line, size_t size)
{
    size_t used = 0;
    const char *before = "";
    size_t before_length = 0;

    ret_line[0] = '\0';
    while (*text != '\0' && used + 2 < size) {
        size_t length = strcspn(text, "\n");
        bool again = length == before_length && strncmp(text, before, length) == 0;
        size_t gap = used > 0;
        size_t copied =
            again ? 0 : copy_line(text, length, ret_line + used + gap, size - used - gap);

        if (copied > 0) {
            if (gap > 0) {
                ret_line[used] = ' ';
            }
            used += gap + copied;
        }
        before = text;
        before_length = length;
        text += length + (text[length] == '\n');
    }
    ret_line[used] = '\0';
}

void connect_said(const PGresult *result, char *ret_line, size_t size)
{
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    connect_one_line(text != NULL ? text : PQresultErrorMessage(result), ret_line, size);
}

/* PASSWORD in name = value pairs, or user:PASSWORD@ in a URI. */
static bool may_have_password(const char *dsn)
{
    const char *authority = strstr(dsn, "://");

    return strcasestr(dsn, "password") != NULL ||
           (authority != NULL && strchr(authority, '@') != NULL);
}

static void hide_quoted(char *text)
{
    char *open;

    while ((open = strchr(text, '"')) != NULL) {
        char *close = strchr(open + 1, '"');
        char *rest = close == NULL ? open + strlen(open) : close + 1;

        memmove(open, rest, strlen(rest) + 1);
        text = open;
    }
}

/* How a place in the dsn lies to its passwords. */
enum nearness { APART, BEHIND, INSIDE };

/* Of one that is written without quotes the next word may be a part, after a blank that nobody
 * quoted. */
static enum nearness nearness_of(const char *dsn, size_t place)
{
    size_t length = strlen(dsn);
    enum nearness nearest = APART;

    for (size_t at = 0; at < length;) {
        struct secret s = secret_next(dsn, length, at, SECRET_IN_VALUE);

        if (place >= s.start && place < s.end) {
            return INSIDE;
        }
        if (s.start < length && place == s.end + strspn(dsn + s.end, " \t\r\n&")) {
            nearest = BEHIND;
        }
        at = s.end > at ? s.end : at + 1;
    }
    return nearest;
}

/* libpq has quoted a keyword, last of all: wherever the dsn has this word, is it apart? */
static enum nearness keyword_nearness(const char *dsn, const char *said)
{
    const char *open = strchr(said, '"');
    size_t length = open == NULL ? 0 : strcspn(open + 1, "\"");
    char *word = strndup(open == NULL ? "" : open + 1, length);
    enum nearness nearest = length == 0 || word == NULL ? INSIDE : APART;
    bool found = false; /* encoded it could be anywhere */

    for (const char *at = dsn; nearest != INSIDE && (at = strstr(at, word)) != NULL; at++) {
        enum nearness here = nearness_of(dsn, (size_t)(at - dsn));

        nearest = here > nearest ? here : nearest;
        found = true;
    }
    free(word);
    return found ? nearest : INSIDE;
}

/* What only led to the words that were hidden. */
static void cut_tail(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == ':')) {
        length--;
    }
    text[length] = '\0';
}

/* Where a host begins in a list of them; an abstract socket begins with an @ itself. */
static bool has_sign_inside(const char *hosts)
{
    for (const char *host = hosts; *host != '\0';) {
        size_t length = strcspn(host, ",");

        if (*host != '/' && length > 1 && memchr(host + 1, '@', length - 1) != NULL) {
            return true;
        }
        host += length + (host[length] == ',');
    }
    return false;
}

/* libpq looks at it only when it connects, and then a resolver has been asked for it already. */
static bool is_port(const char *text, size_t length)
{
    unsigned long port = 0;

    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]) || port > UINT16_MAX) {
            return false;
        }
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    return length == 0 || (port >= 1 && port <= UINT16_MAX);
}

static bool has_odd_port(const char *ports)
{
    for (const char *port = ports; *port != '\0';) {
        size_t length = strcspn(port, ",");

        if (!is_port(port, length)) {
            return true;
        }
        port += length + (port[length] == ',');
    }
    return false;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, keyword) == 0 && o->val != NULL) {
            return o->val;
        }
    }
    return "";
}

/* What libpq said of the dsn, without what may be part of a password; NULL: it had no memory. */
static void explain(const char *dsn, char *said, char *reterr, size_t size)
{
    enum nearness nearness = APART;

    if (said != NULL && may_have_password(dsn)) {
        bool is_keyword = strstr(said, "invalid connection option") != NULL ||
                          strstr(said, "invalid URI query parameter") != NULL;

        nearness = is_keyword ? keyword_nearness(dsn, said) : INSIDE;
    }
    if (nearness != APART) {
        hide_quoted(said);
    }
    connect_one_line(said == NULL ? "out of memory" : said, reterr, size);
    cut_tail(reterr);
    if (nearness == BEHIND) {
        size_t used = strlen(reterr);

        (void)snprintf(reterr + used, size - used, ": the word behind the password");
    }
}

int connect_check_dsn(const char *dsn, char *reterr, size_t size)
{
    char *said = NULL;
    PQconninfoOption *options = PQconninfoParse(dsn, &said);
    int rc = 0;

    if (options == NULL) {
        explain(dsn, said, reterr, size);
        PQfreemem(said);
        return -EINVAL;
    }
    if (has_sign_inside(value_of(options, "host"))) {
        (void)snprintf(reterr, size,
                       "a host of the dsn has an @ in it: in a password of a URI, @ is "
                       "written as %%40");
        rc = -EINVAL;
    } else if (has_odd_port(value_of(options, "port"))) {
        /* Without it: of a URI whose password has a / in it, it may be the half. */
        (void)snprintf(reterr, size, "a port of the dsn is not a number from 1 to 65535");
        rc = -EINVAL;
    }
    PQconninfoFree(options);
    return rc;
}

/* Only a command may wait for whoever writes a pipe. 0 or a negative errno. */
static int check_file(int fd, bool may_wait)
{
    struct stat about;

    if (fstat(fd, &about) == -1) {
        return -errno;
    }
    return may_wait || S_ISREG(about.st_mode) || S_ISCHR(about.st_mode) ? 0 : -ENOTSUP;
}

/* Reads the file anew each time: a password that was rotated is found at the next connect. */
static int read_password(const char *path, bool may_wait, char *ret_password, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (may_wait ? 0 : O_NONBLOCK));

    if (fd == -1) {
        return -errno;
    }
    int rc = check_file(fd, may_wait);
    ssize_t length = rc == 0 ? read(fd, ret_password, size) : 0;

    if (length == -1) {
        rc = -errno;
    }

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
        int rc = read_password(cfg->database.password_file, wait, password, sizeof(password));

        if (rc < 0) {
            (void)snprintf(reterr, size, "cannot read password_file %s: %s",
                           cfg->database.password_file,
                           rc == -ENOTSUP ? "it is no regular file" : strerror(-rc));
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

    if (connect_check_dsn(cfg->database.dsn, reterr, size) < 0) {
        return NULL;
    }

    /* libpq takes whole seconds, and fewer than 2 as 2. */
    (void)snprintf(seconds, sizeof(seconds), "%lld",
                   (long long)((cfg->database.connect_timeout + DUR_S(1) - 1) / DUR_S(1)));
    set(&p, "dbname", cfg->database.dsn);
    set(&p, "connect_timeout", seconds);
    set(&p, "application_name", application_name);
    /* Else the first host that answers is taken, standby or not. */
    set(&p, "target_session_attrs", "primary");

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
    struct parameters p = {0};

    if (connect_check_dsn(cfg->database.dsn, reterr, size) < 0) {
        return -EINVAL;
    }
    /* libpq refuses this value after it has found the user, and connects to nothing. */

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
