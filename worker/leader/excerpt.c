#include "worker/leader/excerpt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_LEAST = 512 }; /* most jobs print a line or two */

void excerpt_init(struct excerpt *e, size_t limit)
{
    *e = (struct excerpt){.head_max = limit - limit / 2, .tail_max = limit / 2};
}

void excerpt_release(struct excerpt *e)
{
    free(e->head);
    free(e->tail);
    *e = (struct excerpt){.head = NULL};
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Room for so many bytes, or as many as may be. Returns how many there is room for. */
static size_t make_room(char **bytes, size_t *room, size_t wanted, size_t most)
{
    size_t next = *room < ROOM_LEAST ? ROOM_LEAST : *room;
    char *larger;

    wanted = least(wanted, most);
    if (wanted <= *room) {
        return *room;
    }
    while (next < wanted) {
        next *= 2;
    }
    next = least(next, most);
    larger = realloc(*bytes, next);
    if (larger != NULL) {
        *bytes = larger;
        *room = next;
    }
    return *room;
}

static size_t add_to_head(struct excerpt *e, const char *bytes, size_t count)
{
    size_t room = make_room(&e->head, &e->head_room, e->head_bytes + count, e->head_max);
    size_t taken = least(count, room - e->head_bytes);

    if (taken > 0) {
        memcpy(e->head + e->head_bytes, bytes, taken);
        e->head_bytes += taken;
    }
    return taken;
}

/* As long as it is not full it begins at 0; then the oldest bytes give way. */
static void add_to_tail(struct excerpt *e, const char *bytes, size_t count)
{
    if (e->tail_room < e->tail_max) {
        excerpt_settle(e); /* a ring cannot grow; it is one only where memory was short */
    }
    size_t room = make_room(&e->tail, &e->tail_room, e->tail_bytes + count, e->tail_max);
    size_t fits = least(count, room - e->tail_bytes);

    if (room == 0) {
        return;
    }
    if (fits > 0) {
        size_t at = (e->tail_from + e->tail_bytes) % room;
        size_t to_end = least(fits, room - at);

        memcpy(e->tail + at, bytes, to_end);
        memcpy(e->tail, bytes + to_end, fits - to_end);
        e->tail_bytes += fits;
        bytes += fits;
        count -= fits;
    }
    if (count > room) {
        bytes += count - room;
        count = room;
    }
    if (count > 0) {
        assert(e->tail_bytes == room);
        size_t to_end = least(count, room - e->tail_from);

        memcpy(e->tail + e->tail_from, bytes, to_end);
        memcpy(e->tail, bytes + to_end, count - to_end);
        e->tail_from = (e->tail_from + count) % room;
    }
}

void excerpt_add(struct excerpt *e, const char *bytes, size_t count)
{
    /* A head that memory has cut stays as it is: what comes later is not its continuation. */
    size_t taken = e->total == e->head_bytes ? add_to_head(e, bytes, count) : 0;

    e->total += count;
    if (count > taken) {
        add_to_tail(e, bytes + taken, count - taken);
    }
}

void excerpt_skip(struct excerpt *e, uint64_t count)
{
    e->total += count;
}

static void reverse(char *bytes, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        char c = bytes[i];

        bytes[i] = bytes[count - 1 - i];
        bytes[count - 1 - i] = c;
    }
}

void excerpt_settle(struct excerpt *e)
{
    if (e->tail_from > 0) {
        reverse(e->tail, e->tail_from);
        reverse(e->tail + e->tail_from, e->tail_bytes - e->tail_from);
        reverse(e->tail, e->tail_bytes);
        e->tail_from = 0;
    }
}

const char *excerpt_head(const struct excerpt *e, size_t *ret_count)
{
    *ret_count = e->head_bytes;
    return e->head;
}

const char *excerpt_tail(const struct excerpt *e, size_t *ret_count)
{
    assert(e->tail_from == 0);
    *ret_count = e->tail_bytes;
    return e->tail;
}

uint64_t excerpt_total(const struct excerpt *e)
{
    return e->total;
}
