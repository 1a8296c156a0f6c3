#include "worker/monitor/queries.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

/* Generation of the channel between monitor and probe: see common/message.h. */
enum { PEER_GENERATION = 0, REPLIES_A_TURN = 8 };

static void arm(struct queries *q)
{
    mono_ns first = MONO_NEVER;

    for (unsigned i = 0; i < QUERIES_MAX; i++) {
        if (q->slots[i].query.request != 0 && q->slots[i].limit < first) {
            first = q->slots[i].limit;
        }
    }
    timer_arm(&q->timer, first);
}

/* The slot is free before the call: it may ask again. */
static void finish(struct queries *q, struct query_slot *slot, const struct query_answer *answer)
{
    struct query_slot done = *slot;

    *slot = (struct query_slot){.ctx = NULL};
    arm(q);
    done.on_known(done.ctx, done.ticket, &done.query, answer);
}

static void finish_down(struct queries *q, struct query_slot *slot, const char *text)
{
    finish(q, slot, &(struct query_answer){.result = QUERY_DOWN, .text = text});
}

/* False: the probe does not read. One that has ended has not got it either: then it waits. */
static bool send_or_wait(struct queries *q, struct query_slot *slot)
{
    struct message m = {.u.query = slot->query};
    int rc = channel_send(&q->probe, MESSAGE_QUERY, &m, -1);

    slot->sent = rc == 0;
    return rc == 0 || rc == -EPIPE || rc == -ECONNRESET;
}

static void send_waiting(struct queries *q)
{
    for (unsigned i = 0; i < QUERIES_MAX; i++) {
        struct query_slot *slot = &q->slots[i];

        if (slot->query.request == 0 || slot->sent) {
            continue;
        }
        if (!send_or_wait(q, slot)) {
            finish_down(q, slot, "the probe, which asks the database, cannot be asked");
        }
    }
}

static void hang_up(struct queries *q)
{
    if (q->probe.fd != -1) {
        ev_io_stop(q->loop, &q->io);
        channel_close(&q->probe);
    }
    /* What is asked from inside an answer waits: it was not sent, and is not meant. */
    for (unsigned i = 0; i < QUERIES_MAX; i++) {
        if (q->slots[i].query.request != 0 && q->slots[i].sent) {
            finish_down(q, &q->slots[i], "the probe was started again");
        }
    }
}

static void on_limit(void *ctx)
{
    struct queries *q = ctx;
    mono_ns now = clock_now();

    for (unsigned i = 0; i < QUERIES_MAX; i++) {
        if (q->slots[i].query.request != 0 && now >= q->slots[i].limit) {
            finish_down(q, &q->slots[i],
                        q->slots[i].sent ? "the database did not answer in time"
                                         : "the probe, which asks the database, does not run");
        }
    }
    arm(q);
}

/* pread, never a mapping: a file that shrinks is then a short read and no signal. */
static char *read_all(int fd, size_t size)
{
    char *bytes = malloc(size);
    size_t have = 0;

    while (bytes != NULL && have < size) {
        ssize_t n = pread(fd, bytes + have, size - have, (off_t)have);

        if (n > 0) {
            have += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            free(bytes);
            return NULL;
        }
    }
    return bytes;
}

/* NULL: nothing that could be shown. */
static json_t *read_rows(int fd, uint64_t size)
{
    struct stat st;

    if (fd == -1 || size == 0 || size > QUERY_SIZE_MAX || fstat(fd, &st) == -1 ||
        st.st_size < (off_t)size) {
        return NULL;
    }
    char *bytes = read_all(fd, (size_t)size);
    if (bytes == NULL) {
        return NULL;
    }
    json_t *rows = json_loadb(bytes, (size_t)size, 0, NULL);
    free(bytes);
    if (!json_is_array(rows)) {
        json_decref(rows);
        return NULL;
    }
    return rows;
}

static struct query_slot *find(struct queries *q, uint64_t request)
{
    for (unsigned i = 0; i < QUERIES_MAX; i++) {
        if (q->slots[i].query.request == request) {
            return &q->slots[i];
        }
    }
    return NULL;
}

static void on_reply(struct queries *q, const struct message_query_reply *reply, int fd)
{
    struct query_slot *slot = reply->request == 0 ? NULL : find(q, reply->request);
    struct query_answer answer = {.result = QUERY_FAILED, .text = reply->text};

    if (slot == NULL) { /* too late */
        return;
    }
    if (reply->result == QUERY_KNOWN) {
        answer.rows = read_rows(fd, reply->size);
        answer.result = answer.rows == NULL ? QUERY_FAILED : QUERY_KNOWN;
        answer.text = answer.rows == NULL ? "the answer cannot be read" : "";
    } else if (reply->result < QUERY_RESULT_COUNT) {
        answer.result = (enum query_result)reply->result;
    }
    finish(q, slot, &answer);
    json_decref(answer.rows);
}

static void on_probe(struct ev_loop *loop, ev_io *io, int revents)
{
    struct queries *q = io->data;
    struct message m;
    int fd = -1;

    (void)loop;
    (void)revents;
    for (int i = 0; i < REPLIES_A_TURN && q->probe.fd != -1; i++) {
        int rc = channel_receive(&q->probe, &m, &fd);

        if (rc == -EAGAIN) {
            return;
        }
        if (rc <= 0) {
            if (rc < 0) {
                log_warn("peer_refused", "error=%s", log_text(strerror(-rc)).is);
            }
            hang_up(q); /* the supervisor sends the next probe's channel */
            return;
        }
        if (m.header.type == MESSAGE_QUERY_REPLY) {
            on_reply(q, &m.u.query_reply, fd);
        }
        if (fd != -1) {
            (void)close(fd);
        }
    }
}

int queries_init(struct queries *q, struct ev_loop *loop)
{
    /* What a monitor before this one has asked has other numbers. */
    *q = (struct queries){.loop = loop, .probe = {.fd = -1}, .asked = (uint64_t)clock_now()};
    return timer_init(&q->timer, loop, on_limit, q);
}

void queries_release(struct queries *q)
{
    if (q->loop == NULL) {
        return;
    }
    if (q->probe.fd != -1) {
        ev_io_stop(q->loop, &q->io);
        channel_close(&q->probe);
    }
    timer_release(&q->timer);
}

void queries_set_probe(struct queries *q, int fd)
{
    hang_up(q);
    q->probe = (struct channel){.fd = fd, .generation = PEER_GENERATION, .far = FROM_PROBE};
    ev_io_init(&q->io, on_probe, fd, EV_READ);
    q->io.data = q;
    ev_io_start(q->loop, &q->io);
    send_waiting(q);
}

bool queries_has_probe(const struct queries *q)
{
    return q->probe.fd != -1;
}

bool queries_ask(struct queries *q, const struct message_query *query, dur_ns within,
                 query_known *on_known, void *ctx, uint64_t ticket)
{
    struct query_slot *slot = find(q, 0);
    struct query_slot next = {
        .query = *query,
        .ticket = ticket,
        .limit = clock_now() + within,
        .on_known = on_known,
        .ctx = ctx,
    };

    assert(on_known != NULL);
    if (slot == NULL) {
        return false;
    }
    next.query.request = ++q->asked;
    if (queries_has_probe(q) && !send_or_wait(q, &next)) {
        return false;
    }
    *slot = next;
    arm(q);
    return true;
}
