#include "worker/leader/output.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/identity.h"
#include "common/log.h"

struct output {
    struct outputs *all;
    struct output *next;
    struct output *previous;
    ev_io readable;
    ev_timer again; /* lines are left over from the last turn */
    int fd;
    bool rest_taken; /* the run has ended; lines are left in the buffer */
    bool at_end;     /* of the pipe, too */
    bool let_go;
    const char *stream;
    struct excerpt *excerpt; /* not owned; NULL: nothing is kept */
    char *buffer;
    size_t room;
    size_t used;
    char job[JOB_NAME_MAX];
};

static void unlink_output(struct output *out)
{
    struct outputs *all = out->all;

    if (out->previous != NULL) {
        out->previous->next = out->next;
    } else {
        all->first = out->next;
    }
    if (out->next != NULL) {
        out->next->previous = out->previous;
    }
    all->count--;
}

static void free_output(struct output *out)
{
    ev_io_stop(out->all->loop, &out->readable);
    ev_timer_stop(out->all->loop, &out->again);
    if (out->fd != -1) {
        (void)close(out->fd);
    }
    unlink_output(out);
    free(out->buffer);
    free(out);
}

/* Not in the middle of a character of UTF-8. */
static size_t whole_characters(const char *text, size_t length)
{
    size_t cut = length;

    while (cut > length - 4 && ((unsigned char)text[cut] & 0xc0U) == 0x80U) {
        cut--;
    }
    return ((unsigned char)text[cut] & 0xc0U) == 0x80U ? length : cut;
}

/* Bytes of the next piece to log, and of the separator behind it; 0: no whole line is there. */
static size_t next_piece(const struct output *out, size_t from, size_t *ret_separator)
{
    const char *text = out->buffer + from;
    size_t left = out->used - from;
    /* With the line feed: a line that just fits has no second, empty piece. */
    const char *end = memchr(text, '\n', left <= OUTPUT_LINE_MAX ? left : OUTPUT_LINE_MAX + 1);

    if (end != NULL) {
        *ret_separator = 1;
        return (size_t)(end - text);
    }
    *ret_separator = 0;
    return left > OUTPUT_LINE_MAX ? whole_characters(text, OUTPUT_LINE_MAX) : 0;
}

static void log_piece(const struct output *out, const char *text, size_t length)
{
    if (length > 0 && text[length - 1] == '\r') {
        length--;
    }
    log_job_output(out->job, out->stream, text, length);
}

/* Returns how many it logged: as many as it might means that more may be there. */
static unsigned log_lines(struct output *out, unsigned most)
{
    size_t done = 0;
    unsigned count = 0;

    for (; count < most; count++) {
        size_t separator;
        size_t length = next_piece(out, done, &separator);

        if (length + separator == 0) {
            break;
        }
        log_piece(out, out->buffer + done, length);
        done += length + separator;
    }
    out->used -= done;
    (void)memmove(out->buffer, out->buffer + done, out->used);
    return count;
}

/* There are no more lines in a buffer than bytes. */
static void log_rest(struct output *out)
{
    (void)log_lines(out, UINT_MAX);
    if (out->used > 0) {
        log_piece(out, out->buffer, out->used);
        out->used = 0;
    }
}

/* Returns the bytes read; 0 at the end of the pipe; -EAGAIN when there is nothing. */
static ssize_t fill(struct output *out)
{
    ssize_t count;

    assert(out->used < out->room);
    do {
        count = read(out->fd, out->buffer + out->used, out->room - out->used);
    } while (count == -1 && errno == EINTR);
    if (count == -1) {
        return errno == EAGAIN ? -EAGAIN : 0; /* any other error is an end, too */
    }
    if (out->excerpt != NULL) {
        excerpt_add(out->excerpt, out->buffer + out->used, (size_t)count);
    }
    out->used += (size_t)count;
    return count;
}

/*
 * The run ends with more lines in its pipe than are logged at once: they wait in the buffer for
 * their turns, so that its excerpt has all of them. What is written meanwhile by somebody whom the
 * job left behind is read later.
 */
static ssize_t fill_with_rest(struct output *out)
{
    size_t room = out->used + OUTPUT_PIPE_BYTES;
    char *larger = realloc(out->buffer, room);
    ssize_t count = -EAGAIN;

    if (larger != NULL) {
        out->buffer = larger;
        out->room = room;
    }
    while (out->used < out->room) {
        count = fill(out);
        if (count <= 0) {
            break;
        }
    }
    return count;
}

static void close_pipe(struct output *out)
{
    ev_io_stop(out->all->loop, &out->readable);
    ev_timer_stop(out->all->loop, &out->again);
    (void)close(out->fd);
    out->fd = -1;
}

/* The end: one that was let go is nobody's any more; else the run lets it go later. */
static void finish(struct output *out)
{
    log_rest(out);
    if (out->let_go) {
        free_output(out);
    } else {
        close_pipe(out);
    }
}

static void go_on_next_turn(struct output *out)
{
    ev_io_stop(out->all->loop, &out->readable);
    if (!ev_is_active(&out->again)) {
        ev_timer_set(&out->again, 0., 0.);
        ev_timer_start(out->all->loop, &out->again);
    }
}

static void log_some(struct output *out)
{
    if (log_lines(out, OUTPUT_LINES_A_TURN) == OUTPUT_LINES_A_TURN) {
        go_on_next_turn(out);
    } else if (out->at_end) {
        finish(out);
    } else {
        ev_io_start(out->all->loop, &out->readable);
    }
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct output *out = watcher->data;
    ssize_t count = fill(out);

    (void)loop;
    (void)events;
    if (count == 0) {
        finish(out);
    } else if (count > 0) {
        log_some(out);
    }
}

static void on_again(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    log_some(watcher->data);
}

/* A daemon that was started without 0, 1 and 2 would be given one of them here. */
static int above_standard(int fd)
{
    if (fd == -1 || fd > STDERR_FILENO) {
        return fd;
    }
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    (void)close(fd);
    return higher;
}

static int open_pipe(int *ret_read, int *ret_write)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) == -1) {
        return -1;
    }
    ends[0] = above_standard(ends[0]);
    ends[1] = above_standard(ends[1]);
    /* Ours does not block; the job's does, as programs expect. */
    if (ends[0] == -1 || ends[1] == -1 || fcntl(ends[0], F_SETFL, O_NONBLOCK) == -1) {
        int error = errno;

        (void)close(ends[0]);
        (void)close(ends[1]);
        errno = error;
        return -1;
    }
    *ret_read = ends[0];
    *ret_write = ends[1];
    return 0;
}

struct output *output_open(struct outputs *all, const char *job, const char *stream, int *ret_fd)
{
    struct output *out = calloc(1, sizeof(*out));

    if (out == NULL) {
        return NULL;
    }
    out->room = OUTPUT_BUFFER;
    out->buffer = malloc(out->room);
    if (out->buffer == NULL || open_pipe(&out->fd, ret_fd) == -1) {
        int error = errno;

        free(out->buffer);
        free(out);
        errno = error;
        return NULL;
    }
    out->all = all;
    out->stream = stream;
    (void)snprintf(out->job, sizeof(out->job), "%s", job);
    ev_io_init(&out->readable, on_readable, out->fd, EV_READ);
    ev_timer_init(&out->again, on_again, 0., 0.);
    out->readable.data = out;
    out->again.data = out;
    ev_set_priority(&out->readable, EV_MINPRI);
    ev_set_priority(&out->again, EV_MINPRI);
    ev_io_start(all->loop, &out->readable);
    out->next = all->first;
    if (out->next != NULL) {
        out->next->previous = out;
    }
    all->first = out;
    all->count++;
    return out;
}

void output_keep(struct output *out, struct excerpt *excerpt)
{
    out->excerpt = excerpt;
}

void output_flush(struct output *out)
{
    unsigned left = OUTPUT_LAST_LINES;
    ssize_t count = 1;

    if (out == NULL || out->fd == -1 || out->rest_taken) {
        return;
    }
    assert(!out->let_go);
    while (count > 0) {
        left -= log_lines(out, left);
        if (left == 0) {
            out->rest_taken = true;
            out->at_end = fill_with_rest(out) == 0;
            go_on_next_turn(out);
            return;
        }
        count = fill(out);
    }
    log_rest(out);
    if (count == 0) {
        close_pipe(out);
    }
}

void output_let_go(struct output *out)
{
    assert(!out->let_go);
    output_flush(out);
    out->excerpt = NULL;
    out->let_go = true;
    if (out->fd == -1) {
        free_output(out);
    }
}

void output_drop(struct output *out)
{
    if (out != NULL) {
        free_output(out);
    }
}

/* All that can be in the pipe, and no more: somebody may go on writing. */
static void log_last(struct output *out)
{
    size_t taken = 0;
    ssize_t count = 1;

    while (count > 0 && taken < OUTPUT_PIPE_BYTES) {
        (void)log_lines(out, UINT_MAX);
        count = fill(out);
        taken += count > 0 ? (size_t)count : 0;
    }
    log_rest(out);
}

void outputs_close(struct outputs *all)
{
    struct output *next;

    for (struct output *out = all->first; out != NULL; out = next) {
        next = out->next;
        if (out->let_go) {
            log_last(out);
            free_output(out);
        }
    }
}
