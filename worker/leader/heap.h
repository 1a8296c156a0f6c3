/*
 * heap.h - PURE: what comes next, of many: a binary heap of moments.
 *
 * The items live in the structs that they are about and know their place, so
 * that moving or removing one costs O(log n) too. Equal moments come in the
 * order of `order`. The caller provides the memory.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_HEAP_H
#define PGBATON_WORKER_LEADER_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define HEAP_NEVER INT64_MAX

struct heap_item {
    int64_t key;    /* the moment; HEAP_NEVER: in no heap */
    uint64_t order; /* among equal moments the smaller comes first; not to be changed in a heap */
    size_t place;   /* index in the heap; meaningless with HEAP_NEVER */
    void *owner;    /* what the item is about */
};

struct heap {
    struct heap_item **items; /* the caller's, with room for every item that is ever put */
    size_t count;
    size_t room;
};

/* heap_item_init - in no heap. */
void heap_item_init(struct heap_item *item, void *owner);

/* heap_put - insert, move or (key HEAP_NEVER) remove. */
void heap_put(struct heap *h, struct heap_item *item, int64_t key);

/* heap_first - the earliest item, still in the heap; NULL: none. */
struct heap_item *heap_first(const struct heap *h);

#endif
