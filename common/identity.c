#include "common/identity.h"

#include <inttypes.h>
#include <stdio.h>

struct epoch_text epoch_text(struct epoch epoch)
{
    struct epoch_text text;

    (void)snprintf(text.is, sizeof(text.is), "%" PRIu64 ".%" PRIu64, epoch.generation,
                   epoch.number);
    return text;
}

bool epoch_equal(struct epoch a, struct epoch b)
{
    return a.generation == b.generation && a.number == b.number;
}

bool epoch_is_before(struct epoch a, struct epoch b)
{
    return a.generation == b.generation ? a.number < b.number : a.generation < b.generation;
}

struct epoch epoch_later(struct epoch a, struct epoch b)
{
    return epoch_is_before(a, b) ? b : a;
}

bool identity_equal(struct server_identity a, struct server_identity b)
{
    return a.system_id == b.system_id && a.timeline == b.timeline;
}
