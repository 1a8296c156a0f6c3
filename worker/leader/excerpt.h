/*
 * excerpt.h - the first and the last bytes of something long: half of a limit each.
 *
 * Takes memory for what was added only, and never more than the limit. Head and tail together are
 * all of it as long as excerpt_total() is what both have; else that many bytes are missing between
 * them.
 *
 * Runs in: worker. No I/O.
 */
#ifndef PGBATON_WORKER_LEADER_EXCERPT_H
#define PGBATON_WORKER_LEADER_EXCERPT_H

#include <stddef.h>
#include <stdint.h>

struct excerpt {
    size_t head_max;
    size_t tail_max;
    char *head;
    size_t head_bytes;
    size_t head_room;
    char *tail; /* a ring once it is full: the oldest byte is at tail_from */
    size_t tail_bytes;
    size_t tail_room;
    size_t tail_from;
    uint64_t total;
};

void excerpt_init(struct excerpt *e, size_t limit);
void excerpt_release(struct excerpt *e);

/* excerpt_add - without memory it is counted and not kept. */
void excerpt_add(struct excerpt *e, const char *bytes, size_t count);

/* excerpt_skip - so many bytes come here that are not at hand, and would not be kept: what is added
 * after them fills the tail. */
void excerpt_skip(struct excerpt *e, uint64_t count);

/* excerpt_settle - the tail in one piece: before it is looked at. More may be added later. */
void excerpt_settle(struct excerpt *e);

/* The first bytes; the last bytes, of an excerpt that was settled; how many were added in all. */
const char *excerpt_head(const struct excerpt *e, size_t *ret_count);
const char *excerpt_tail(const struct excerpt *e, size_t *ret_count);
uint64_t excerpt_total(const struct excerpt *e);

#endif
