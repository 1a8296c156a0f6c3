/*
 * output.h - what a job prints, line by line into the log.
 *
 * A stream reads one pipe. It does little in one turn of the loop and waits
 * for the next one, at the lowest priority, so that a job which prints without
 * end holds up nothing. A pipe may outlive its job (a grandchild holds it):
 * then it is let go, goes on, and frees itself at its end.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_OUTPUT_H
#define PGBATON_WORKER_LEADER_OUTPUT_H

#include <ev.h>
#include <stdbool.h>

#include "worker/leader/excerpt.h"

enum {
    OUTPUT_LINE_MAX = 1024, /* bytes; a longer line is logged in pieces of this */
    OUTPUT_BUFFER = 4096,
    OUTPUT_LINES_A_TURN = 32,
    OUTPUT_PIPE_BYTES = 64 * 1024, /* what a pipe holds */
    OUTPUT_LAST_LINES = 1024,      /* what is taken at once when the job ended: 64 KiB of line feeds
                                      would be a second of writing */
};

struct output; /* one stream; opaque */

/* All streams of a worker, so that none is lost. */
struct outputs {
    struct ev_loop *loop;
    struct output *first;
    unsigned count;
};

/*
 * output_open - a pipe whose end to be written to is *ret_fd (above 2,
 * close-on-exec; the caller's, to be closed after the start). name and stream
 * are copied or constant: the job's name is copied, stream ("stdout") is not.
 * Returns NULL with errno.
 */
struct output *output_open(struct outputs *all, const char *job, const char *stream, int *ret_fd);

/* output_keep - add what is read from now on to this excerpt, too, until it is let go. */
void output_keep(struct output *out, struct excerpt *excerpt);

/* output_flush - log what is there now, a last line without an end too; at most OUTPUT_LAST_LINES.
 * What is left comes when it was let go, but the excerpt has all of it now. Takes NULL. */
void output_flush(struct output *out);

/* output_let_go - the job has ended: flush, and go on alone until the end of the pipe. */
void output_let_go(struct output *out);

/* output_drop - it never came to use. */
void output_drop(struct output *out);

/* outputs_close - log what is there now and close every stream that was let go: before the worker
 * ends. Takes its time: no lease runs any more. */
void outputs_close(struct outputs *all);

#endif
