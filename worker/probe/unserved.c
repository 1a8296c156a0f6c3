#include "worker/probe/unserved.h"

bool unserved_look(struct unserved *u, enum unserved_sight seen, mono_ns now)
{
    if (seen == UNSERVED_SOME && !u->differs) {
        u->since = now;
    }
    u->differs = seen == UNSERVED_SOME;
    switch (seen) {
    case UNSERVED_UNKNOWN:
        break;
    case UNSERVED_NONE:
        u->said = false;
        break;
    case UNSERVED_SOME:
        u->said = u->said || now - u->since >= UNSERVED_AFTER;
        break;
    }
    return u->said;
}
