#include "worker/monitor/fleet_query.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

/* Generation of the channel between monitor and probe: see common/message.h. */
enum { PEER_GENERATION = 0, REPLIES_A_TURN = 8 };

/* The question is over. instances: taken over; NULL: unknown. */
static void finish(struct fleet_query *f, json_t *instances)
{
    assert(f->asking);
    f->asking = false;
    timer_arm(&f->limit, MONO_NEVER);
    json_decref(f->instances);
    f->instances = instances;
    f->on_known(f->ctx);
}

static void hang_up(struct fleet_query *f)
{
    if (f->probe.fd != -1) {
        ev_io_stop(f->loop, &f->io);
        channel_close(&f->probe);
    }
    if (f->asking) {
        finish(f, NULL);
    }
}

static void on_limit(void *ctx)
{
    struct fleet_query *f = ctx;

    if (f->asking) {
        finish(f, NULL);
    }
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
static json_t *read_instances(int fd, uint64_t size)
{
    struct stat st;

    if (fd == -1 || size == 0 || size > FLEET_QUERY_SIZE_MAX || fstat(fd, &st) == -1 ||
        st.st_size < (off_t)size) {
        return NULL;
    }
    char *bytes = read_all(fd, (size_t)size);
    if (bytes == NULL) {
        return NULL;
    }
    json_t *instances = json_loadb(bytes, (size_t)size, 0, NULL);
    free(bytes);
    if (!json_is_array(instances)) {
        json_decref(instances);
        return NULL;
    }
    return instances;
}

static void on_reply(struct fleet_query *f, const struct message *m, int fd)
{
    if (f->asking && m->u.fleet_reply.request == f->request) {
        finish(f, read_instances(fd, m->u.fleet_reply.size));
    }
    if (fd != -1) {
        (void)close(fd);
    }
}

static void on_probe(struct ev_loop *loop, ev_io *io, int revents)
{
    struct fleet_query *f = io->data;
    struct message m;
    int fd = -1;

    (void)loop;
    (void)revents;
    for (int i = 0; i < REPLIES_A_TURN; i++) {
        int rc = channel_receive(&f->probe, &m, &fd);

        if (rc == -EAGAIN) {
            return;
        }
        if (rc <= 0) {
            if (rc < 0) {
                log_warn("peer_refused", "error=%s", log_text(strerror(-rc)).is);
            }
            hang_up(f); /* the supervisor sends the next probe's channel */
            return;
        }
        if (m.header.type == MESSAGE_FLEET_REPLY) {
            on_reply(f, &m, fd);
        } else if (fd != -1) {
            (void)close(fd);
        }
    }
}

int fleet_query_init(struct fleet_query *f, struct ev_loop *loop, void (*on_known)(void *ctx),
                     void *ctx)
{
    *f = (struct fleet_query){.loop = loop, .probe = {.fd = -1}, .on_known = on_known, .ctx = ctx};
    return timer_init(&f->limit, loop, on_limit, f);
}

void fleet_query_release(struct fleet_query *f)
{
    if (f->loop == NULL) {
        return;
    }
    if (f->probe.fd != -1) {
        ev_io_stop(f->loop, &f->io);
        channel_close(&f->probe);
    }
    timer_release(&f->limit);
    json_decref(f->instances);
    f->instances = NULL;
}

void fleet_query_set_probe(struct fleet_query *f, int fd)
{
    hang_up(f);
    f->probe = (struct channel){.fd = fd, .generation = PEER_GENERATION, .far = FROM_PROBE};
    ev_io_init(&f->io, on_probe, fd, EV_READ);
    f->io.data = f;
    ev_io_start(f->loop, &f->io);
}

bool fleet_query_ask(struct fleet_query *f)
{
    mono_ns now = clock_now();

    if (f->asking) {
        return false;
    }
    if (f->asked_at != 0 && now - f->asked_at < FLEET_QUERY_FRESH) {
        return true;
    }
    json_decref(f->instances);
    f->instances = NULL;
    f->asked_at = now;
    f->request++;
    struct message m = {.u.fleet_query = {.request = f->request}};
    if (f->probe.fd == -1 || channel_send(&f->probe, MESSAGE_FLEET_QUERY, &m, -1) < 0) {
        return true;
    }
    f->asking = true;
    timer_arm(&f->limit, now + FLEET_QUERY_WITHIN);
    return false;
}
