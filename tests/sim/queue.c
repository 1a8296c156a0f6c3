#include "tests/sim/queue.h"

#include <assert.h>
#include <stdlib.h>

/* A binary heap of small keys over a pool of the happenings themselves, which are not small. */
struct key {
    mono_ns at;
    uint64_t order;
    uint32_t slot;
};

static struct key *heap;
static struct happening *pool;
static uint32_t *unused;
static uint32_t count;
static uint32_t room;
static uint64_t order;

static void grow(void)
{
    uint32_t more = room == 0 ? 1024 : room * 2;

    heap = realloc(heap, more * sizeof(*heap));
    pool = realloc(pool, more * sizeof(*pool));
    unused = realloc(unused, more * sizeof(*unused));
    assert(heap != NULL);
    assert(pool != NULL);
    assert(unused != NULL);
    for (uint32_t i = room; i < more; i++) {
        unused[i] = i;
    }
    room = more;
}

static bool is_before(const struct key *a, const struct key *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void swap(uint32_t a, uint32_t b)
{
    struct key kept = heap[a];

    heap[a] = heap[b];
    heap[b] = kept;
}

void queue_reset(void)
{
    count = 0;
    order = 0;
    for (uint32_t i = 0; i < room; i++) {
        unused[i] = i;
    }
}

void queue_push(const struct happening *h)
{
    if (count == room) {
        grow();
    }
    uint32_t slot = unused[count];
    uint32_t i = count++;

    pool[slot] = *h;
    pool[slot].order = order;
    heap[i] = (struct key){.at = h->at, .order = order++, .slot = slot};
    while (i > 0 && is_before(&heap[i], &heap[(i - 1) / 2])) {
        swap(i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

bool queue_pop(struct happening *ret)
{
    if (count == 0) {
        return false;
    }
    *ret = pool[heap[0].slot];
    count--;
    unused[count] = heap[0].slot;
    heap[0] = heap[count];
    for (uint32_t i = 0;;) {
        uint32_t least = i;

        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++) {
            if (is_before(&heap[child], &heap[least])) {
                least = child;
            }
        }
        if (least == i) {
            return true;
        }
        swap(i, least);
        i = least;
    }
}

mono_ns queue_peek_at(void)
{
    return count == 0 ? MONO_NEVER : heap[0].at;
}
