#include "common/log_repeat.h"

static struct repeat_line *find(struct repeats *r, uint64_t hash)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->lines[i].hash == hash) {
            return &r->lines[i];
        }
    }
    return NULL;
}

/* Whose place a new line takes: the oldest, but rather one that has nothing left to say. */
static struct repeat_line *place_for_new(struct repeats *r)
{
    struct repeat_line *chosen = &r->lines[0];

    if (r->count < REPEAT_LINES) {
        return &r->lines[r->count++];
    }
    for (size_t i = 1; i < REPEAT_LINES; i++) {
        struct repeat_line *line = &r->lines[i];
        bool owes = line->held_back > 0;
        bool chosen_owes = chosen->held_back > 0;

        if (owes == chosen_owes ? line->began_at < chosen->began_at : chosen_owes) {
            chosen = line;
        }
    }
    return chosen;
}

bool repeat_is_news(struct repeats *r, uint64_t hash, mono_ns now, unsigned long *ret_held_back)
{
    struct repeat_line *line = find(r, hash);
    unsigned long held_back = 0;

    if (line != NULL && now - line->began_at < REPEAT_WITHIN) {
        if (line->printed >= REPEAT_BURST) {
            line->held_back++;
            return false;
        }
        line->printed++;
        *ret_held_back = 0;
        return true;
    }
    if (line != NULL) {
        held_back = line->held_back;
    } else {
        line = place_for_new(r);
    }
    *line = (struct repeat_line){.hash = hash, .began_at = now, .printed = 1};
    *ret_held_back = held_back;
    return true;
}
