#include "worker/leader/heap.h"

#include <assert.h>
#include <stdbool.h>

void heap_item_init(struct heap_item *item, void *owner)
{
    *item = (struct heap_item){.key = HEAP_NEVER, .owner = owner};
}

static bool comes_before(const struct heap_item *a, const struct heap_item *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void place(struct heap *h, struct heap_item *item, size_t at)
{
    h->items[at] = item;
    item->place = at;
}

static void rise(struct heap *h, struct heap_item *item)
{
    size_t at = item->place;

    while (at > 0 && comes_before(item, h->items[(at - 1) / 2])) {
        place(h, h->items[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    place(h, item, at);
}

static void sink(struct heap *h, struct heap_item *item)
{
    size_t at = item->place;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < h->count && comes_before(h->items[child + 1], h->items[child])) {
            child++;
        }
        if (child >= h->count || !comes_before(h->items[child], item)) {
            break;
        }
        place(h, h->items[child], at);
        at = child;
    }
    place(h, item, at);
}

static void take_out(struct heap *h, struct heap_item *item)
{
    struct heap_item *last = h->items[--h->count];

    item->key = HEAP_NEVER;
    if (last == item) {
        return;
    }
    place(h, last, item->place);
    rise(h, last);
    sink(h, last);
}

void heap_put(struct heap *h, struct heap_item *item, int64_t key)
{
    if (item->key != HEAP_NEVER) {
        assert(item->place < h->count);
        assert(h->items[item->place] == item);
        if (key == HEAP_NEVER) {
            take_out(h, item);
            return;
        }
    } else {
        if (key == HEAP_NEVER) {
            return;
        }
        assert(h->count < h->room);
        place(h, item, h->count++);
    }
    item->key = key;
    rise(h, item);
    sink(h, item);
}

struct heap_item *heap_first(const struct heap *h)
{
    return h->count > 0 ? h->items[0] : NULL;
}
