#include "worker/database/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/trim.h"
#include "worker/database/session_private.h"

static void next_candidate(struct session *s);

/* session_close() may be called from any callback: what is freed is freed at the end of the
 * watcher. */
static void enter(struct session *s)
{
    s->callbacks++;
}

static void leave(struct session *s)
{
    assert(s->callbacks > 0);
    s->callbacks--;
    if (s->callbacks == 0 && s->closed) {
        free(s);
    }
}

/* libpq may close a socket and open another with the same number, so the watcher is always set anew
 * while it connects: otherwise libev would not tell the kernel. */
static void watch(struct session *s, int events)
{
    int fd = PQsocket(s->conn);

    if (s->state != STATE_CONNECTING && ev_is_active(&s->io) && s->io.fd == fd &&
        (s->io.events & (EV_READ | EV_WRITE)) == events) {
        return;
    }
    ev_io_stop(s->loop, &s->io);
    if (fd >= 0) {
        ev_io_set(&s->io, fd, events);
        ev_io_start(s->loop, &s->io);
    }
}

static void forget_question(struct session *s)
{
    PQclear(s->question.result);
    s->question = (struct question){0};
    s->behind = (struct question){0};
}

/* Losing is told once, and never from inside a call: the caller may be anywhere. */
static void fail(struct session *s, enum session_failure why, const char *text)
{
    assert(s->state != STATE_FAILED);
    char line[CONNECT_TEXT_MAX];

    connect_one_line(text, line, sizeof(line));
    memcpy(s->text, line, sizeof(line));
    s->failure = why;
    s->state = STATE_FAILED;
    ev_io_stop(s->loop, &s->io);
    forget_question(s);
    timer_arm(&s->timer, clock_now());
}

static void drop_connection(struct session *s)
{
    ev_io_stop(s->loop, &s->io);
    forget_question(s);
    PQfinish(s->conn);
    s->conn = NULL;
}

static void remember(struct session *s, const char *text)
{
    char line[CONNECT_TEXT_MAX];
    size_t used = strlen(s->text);

    connect_one_line(text, line, sizeof(line));
    (void)snprintf(s->text + used, sizeof(s->text) - used, "%s%s", used == 0 ? "" : "; ", line);
}

void session_candidate_failed(struct session *s, const char *text)
{
    s->all_refused = false;
    remember(s, text);
    drop_connection(s);
    s->at++;
    next_candidate(s);
}

/* What libpq did not say itself is said with the name of the candidate. */
static void name_candidate(const struct session *s, const char *text, char *ret_line, size_t size)
{
    const struct server_address *a = &s->candidates.list[s->at];
    const char *host = a->host[0] != '\0' ? a->host : a->hostaddr;

    (void)snprintf(ret_line, size, "server %s, port %s: %s", host[0] == '\0' ? "local" : host,
                   a->port, text);
}

/* It answered, and must not be used: another candidate may do better. */
void session_candidate_refused(struct session *s, const char *text)
{
    char named[CONNECT_TEXT_MAX];

    name_candidate(s, text, named, sizeof(named));
    remember(s, named);
    drop_connection(s);
    s->at++;
    next_candidate(s);
}

/* The server's farewell is a notice that comes before the end of file: it has the reason. */
static void connection_lost(struct session *s)
{
    char text[2 * CONNECT_TEXT_MAX];

    (void)snprintf(text, sizeof(text), "%s%s%s", s->notice, s->notice[0] == '\0' ? "" : "; ",
                   PQerrorMessage(s->conn));
    if (s->state == STATE_READY) {
        fail(s, SESSION_ENDED, text);
    } else {
        session_candidate_failed(s, text);
    }
}

static void on_notice(void *ctx, const PGresult *result)
{
    struct session *s = ctx;
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    char line[CONNECT_TEXT_MAX];

    (void)snprintf(line, sizeof(line), "%s %s", code == NULL ? "" : code, text == NULL ? "" : text);
    connect_one_line(line, s->notice, sizeof(s->notice));
}

/* What has to be written goes out as the socket takes it. False: the connection is gone. */
static bool flush(struct session *s)
{
    int rc = PQflush(s->conn);

    if (rc == -1) {
        connection_lost(s);
        return false;
    }
    watch(s, rc == 1 ? EV_READ | EV_WRITE : EV_READ);
    return true;
}

static void limit_question(struct session *s)
{
    if (s->question.limit > 0) {
        timer_arm(&s->timer, clock_now() + s->question.limit);
    }
}

void session_question_sent(struct session *s, int sent)
{
    if (sent == 0) {
        connection_lost(s);
        return;
    }
    if (s->behind.on_answer == NULL) {
        limit_question(s);
    }
    (void)flush(s);
}

/* A question of the set-up: several statements in one message, under the candidate's own time
 * limit. */
void session_set_up_ask(struct session *s, const char *sql,
                        void (*on_answer)(void *ctx, PGresult *result))
{
    s->question = (struct question){.on_answer = on_answer, .ctx = s};
    session_question_sent(s, PQsendQuery(s->conn, sql));
}

void session_is_set_up(struct session *s)
{
    s->state = STATE_READY;
    timer_arm(&s->timer, MONO_NEVER);
    trim_memory();
    s->events.on_ready(s->events.ctx);
}

static void connected(struct session *s)
{
    if (PQsetnonblocking(s->conn, 1) != 0) {
        connection_lost(s);
        return;
    }
    session_set_up(s);
}

static void poll_connection(struct session *s)
{
    switch (PQconnectPoll(s->conn)) {
    case PGRES_POLLING_READING:
        watch(s, EV_READ);
        break;
    case PGRES_POLLING_WRITING:
        watch(s, EV_WRITE);
        break;
    case PGRES_POLLING_OK:
        connected(s);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        session_candidate_failed(s, PQerrorMessage(s->conn));
        break;
    }
}

/* True: it is under way. */
static bool begin_candidate(struct session *s)
{
    char text[CONNECT_TEXT_MAX] = "";

    s->notice[0] = '\0';
    s->state = STATE_CONNECTING;
    s->conn = connect_start(s->config, &s->candidates.list[s->at], s->name.is, text, sizeof(text));
    if (s->conn != NULL && PQstatus(s->conn) != CONNECTION_BAD) {
        (void)PQsetNoticeReceiver(s->conn, on_notice, s);
        timer_arm(&s->timer, clock_now() + s->config->database.connect_timeout);
        watch(s, EV_WRITE);
        return true;
    }
    s->all_refused = false;
    remember(s, s->conn == NULL ? text : PQerrorMessage(s->conn));
    drop_connection(s);
    return false;
}

/* The next host's addresses. A name server that is silent keeps nobody from the hosts before it.
 * False: there is no other host. */
static bool next_name(struct session *s)
{
    while (s->next_name < s->names.count) {
        const struct server_address *name = &s->names.list[s->next_name++];
        char text[CONNECT_TEXT_MAX] = "";

        if (s->events.on_resolve != NULL && address_needs_resolver(name)) {
            s->events.on_resolve(s->events.ctx);
        }
        address_list_release(&s->candidates);
        s->at = 0;
        if (address_resolve(name, &s->candidates, text, sizeof(text)) == 0) {
            return true;
        }
        s->all_refused = false;
        remember(s, text);
    }
    return false;
}

static void next_candidate(struct session *s)
{
    do {
        for (; s->at < s->candidates.count; s->at++) {
            if (begin_candidate(s)) {
                return;
            }
        }
    } while (next_name(s));
    char text[CONNECT_TEXT_MAX];

    memcpy(text, s->text, sizeof(text));
    fail(s, s->all_refused ? SESSION_REFUSED : SESSION_CONNECT_FAILED, text);
}

static void begin(struct session *s)
{
    char text[CONNECT_TEXT_MAX] = "";

    if (s->candidates.count == 0 &&
        address_names(s->config->database.dsn, &s->names, text, sizeof(text)) < 0) {
        fail(s, SESSION_CONNECT_FAILED, text);
        return;
    }
    next_candidate(s);
}

static void answered(struct session *s)
{
    struct question q = s->question;

    s->question = s->behind;
    s->behind = (struct question){0};
    s->notice[0] = '\0'; /* it belonged to this answer: a farewell comes after the last one */
    if (q.limit > 0) {
        timer_arm(&s->timer, MONO_NEVER);
        limit_question(s);
    }
    q.on_answer(q.ctx, q.result);
    PQclear(q.result);
}

/* The last result is the answer, but an error is never hidden by what comes after it, and what was
 * asked not by the Sync behind it. */
static void keep_result(struct question *q, PGresult *result)
{
    if (q->result != NULL && (PQresultStatus(q->result) == PGRES_FATAL_ERROR ||
                              PQresultStatus(result) == PGRES_PIPELINE_SYNC)) {
        PQclear(result);
        return;
    }
    PQclear(q->result);
    q->result = result;
}

static void take_results(struct session *s)
{
    while (PQisBusy(s->conn) == 0) {
        PGresult *result = PQgetResult(s->conn);

        if (PQstatus(s->conn) == CONNECTION_BAD) {
            PQclear(result);
            connection_lost(s);
            return;
        }
        bool synced = result != NULL && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        bool over = s->question.pipelined ? synced : result == NULL;

        if (result != NULL) {
            keep_result(&s->question, result);
        }
        if (!over) {
            continue;
        }
        bool more = s->behind.on_answer != NULL;

        if (s->question.pipelined && !more && PQexitPipelineMode(s->conn) == 0) {
            connection_lost(s);
            return;
        }
        answered(s);
        if (!more || s->closed || s->state != STATE_READY) {
            return;
        }
    }
}

static void take_notifications(struct session *s)
{
    PGnotify *n;

    while (s->state == STATE_READY && !s->closed && (n = PQnotifies(s->conn)) != NULL) {
        if (s->events.on_notify != NULL) {
            s->events.on_notify(s->events.ctx, n->relname, n->extra);
        }
        PQfreemem(n);
    }
}

static void read_socket(struct session *s, int revents)
{
    if ((revents & EV_WRITE) != 0 && !flush(s)) {
        return;
    }
    if (PQconsumeInput(s->conn) == 0) {
        connection_lost(s);
        return;
    }
    take_notifications(s);
    if (s->closed || s->state == STATE_FAILED) {
        return;
    }
    if (s->question.on_answer == NULL) {
        return;
    }
    take_results(s);
    take_notifications(s); /* those that came with the answer, too: no event follows for them */
}

static void on_socket(struct ev_loop *loop, ev_io *io, int revents)
{
    struct session *s = io->data;

    (void)loop;
    enter(s);
    if (s->state == STATE_CONNECTING) {
        poll_connection(s);
    } else {
        read_socket(s, revents);
    }
    leave(s);
}

static void time_is_up(struct session *s)
{
    dur_ns limit =
        s->state == STATE_READY ? s->question.limit : s->config->database.connect_timeout;
    char text[80];
    char named[CONNECT_TEXT_MAX];

    (void)snprintf(text, sizeof(text), "no answer within %lld ms", (long long)(limit / DUR_MS(1)));
    name_candidate(s, text, named, sizeof(named));
    if (s->state == STATE_READY) {
        fail(s, SESSION_ENDED, named);
    } else {
        session_candidate_failed(s, named);
    }
}

/* All but the memory of it. */
static void end(struct session *s)
{
    assert(!s->closed);
    s->closed = true;
    if (s->state == STATE_RETIRED) {
        session_forget_retired(s);
    }
    drop_connection(s);
    timer_release(&s->timer);
    address_list_release(&s->names);
    address_list_release(&s->candidates);
}

static void on_timer(void *ctx)
{
    struct session *s = ctx;

    enter(s);
    switch (s->state) {
    case STATE_BEGINNING:
        begin(s);
        break;
    case STATE_CONNECTING:
    case STATE_CHECKING:
    case STATE_PINNING:
    case STATE_IDENTIFYING:
        time_is_up(s);
        break;
    case STATE_READY:
        if (session_is_asking(s)) {
            time_is_up(s);
        }
        break;
    case STATE_TAKEN_OVER:
        break;
    case STATE_RETIRED:
        end(s);
        break;
    case STATE_FAILED:
        s->events.on_failed(s->events.ctx, s->failure, s->text);
        break;
    }
    leave(s);
}

static int only_candidate(struct session *s, const struct server_address *address)
{
    s->candidates.list = calloc(1, sizeof(*s->candidates.list));
    if (s->candidates.list == NULL) {
        return -1;
    }
    s->candidates.list[0] = *address;
    s->candidates.count = 1;
    return 0;
}

struct session *session_open(struct ev_loop *loop, const struct session_options *options,
                             const struct session_events *events)
{
    struct session *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->loop = loop;
    s->config = options->config;
    s->purpose = options->purpose;
    s->lock_timeout = options->lock_timeout;
    s->expect = options->expect;
    s->name = session_application_name(options->config, options->role);
    s->events = *events;
    s->all_refused = true;
    ev_init(&s->io, on_socket);
    s->io.data = s;
    if (timer_init(&s->timer, loop, on_timer, s) < 0) {
        goto free_session;
    }
    if (options->address != NULL && only_candidate(s, options->address) < 0) {
        goto release_timer;
    }
    timer_arm(&s->timer, clock_now());
    return s;

release_timer:
    timer_release(&s->timer);
free_session:
    free(s);
    return NULL;
}

void session_close(struct session *s)
{
    if (s == NULL) {
        return;
    }
    end(s);
    if (s->callbacks == 0) {
        free(s);
    }
}

bool session_is_asking(const struct session *s)
{
    return s->question.on_answer != NULL;
}

void session_take_over(struct session *s)
{
    assert(s->state == STATE_READY);
    assert(!session_is_asking(s));
    s->state = STATE_TAKEN_OVER;
    ev_io_stop(s->loop, &s->io);
    timer_arm(&s->timer, MONO_NEVER);
}

struct server_address session_address(const struct session *s)
{
    struct server_address address = {0};

    assert(s->conn != NULL);
    (void)snprintf(address.host, sizeof(address.host), "%s", PQhost(s->conn));
    (void)snprintf(address.hostaddr, sizeof(address.hostaddr), "%s", PQhostaddr(s->conn));
    (void)snprintf(address.port, sizeof(address.port), "%s", PQport(s->conn));
    return address;
}

struct server_identity session_identity(const struct session *s)
{
    return s->identity;
}

int session_backend_pid(const struct session *s)
{
    return s->conn == NULL ? 0 : PQbackendPID(s->conn);
}

int session_server_version(const struct session *s)
{
    return s->conn == NULL ? 0 : PQserverVersion(s->conn);
}

dur_ns session_slice(const struct session *s)
{
    return s->slice;
}

PGconn *session_connection(struct session *s)
{
    return s->state == STATE_FAILED ? NULL : s->conn;
}

const char *session_last_notice(const struct session *s)
{
    return s->notice;
}

struct session_name session_application_name(const struct config *cfg, const char *role)
{
    struct session_name name;
    unsigned hash = (unsigned)(cfg->hash >> 32);

    (void)snprintf(name.is, sizeof(name.is), "pgbaton %s %08x %s %s", role, hash,
                   cfg->election.name, cfg->pgbaton.instance);
    return name;
}
