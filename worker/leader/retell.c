#include "worker/leader/retell.h"

void retell_asked(struct retell *r, uint64_t hash)
{
    r->asked = hash;
}

enum retell_verdict retell_answered(struct retell *r, bool succeeded, uint64_t hash, bool *ret_log)
{
    *ret_log = !succeeded && !r->failing;
    r->failing = !succeeded;
    if (!succeeded) {
        return RETELL_LATER;
    }
    return r->asked == hash ? RETELL_DONE : RETELL_NOW;
}
