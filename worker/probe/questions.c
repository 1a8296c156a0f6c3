#include "worker/probe/questions.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool questions_put(struct questions *q, const struct message_query *query)
{
    if (q->count == QUESTIONS_MAX) {
        return false;
    }
    q->list[(q->first + q->count) % QUESTIONS_MAX] = *query;
    q->count++;
    return true;
}

struct message_query *questions_first(struct questions *q)
{
    return q->count == 0 ? NULL : &q->list[q->first];
}

void questions_take(struct questions *q)
{
    assert(q->count > 0);
    q->first = (q->first + 1) % QUESTIONS_MAX;
    q->count--;
}

/* A descriptor with the text in it, or -1. */
static int put_in_memory(const char *text, size_t size)
{
    int fd = memfd_create("pgbaton-answer", MFD_CLOEXEC);
    size_t written = 0;

    while (fd != -1 && written < size) {
        ssize_t n = write(fd, text + written, size - written);

        if (n > 0) {
            written += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            (void)close(fd);
            return -1;
        }
    }
    return fd;
}

void answer_known(struct channel *monitor, const struct message_query *query, json_t *rows)
{
    char *text = rows == NULL ? NULL : json_dumps(rows, JSON_COMPACT | JSON_REAL_PRECISION(15));
    size_t size = text == NULL ? 0 : strlen(text);
    int fd = text == NULL ? -1 : put_in_memory(text, size);

    if (fd == -1) {
        answer_unknown(monitor, query, QUERY_FAILED, "out of memory");
    } else {
        struct message m = {
            .u.query_reply = {.request = query->request, .size = size, .result = QUERY_KNOWN}};

        (void)channel_send(monitor, MESSAGE_QUERY_REPLY, &m, fd);
        (void)close(fd);
    }
    free(text);
    json_decref(rows);
}

void answer_unknown(struct channel *monitor, const struct message_query *query,
                    enum query_result result, const char *text)
{
    struct message m = {.u.query_reply = {.request = query->request, .result = result}};

    assert(result != QUERY_KNOWN);
    (void)snprintf(m.u.query_reply.text, sizeof(m.u.query_reply.text), "%s", text);
    (void)channel_send(monitor, MESSAGE_QUERY_REPLY, &m, -1);
}
