#include "worker/probe/witness.h"

/* A pid means something in one cluster only, so both halves of its identity must be known. */
static bool is_same_server(struct server_identity a, struct server_identity b)
{
    return a.system_id != 0 && a.timeline != 0 && identity_equal(a, b);
}

int witness_pid(const struct witness *witness, mono_ns asked_at)
{
    return witness->lock_pid > 0 && asked_at >= witness->since ? witness->lock_pid : 0;
}

enum witness_verdict witness_verdict(const struct witness *witness, mono_ns asked_at,
                                     struct server_identity looked_at, bool holds)
{
    if (witness_pid(witness, asked_at) == 0 || !is_same_server(witness->server, looked_at)) {
        return WITNESS_UNKNOWN;
    }
    return holds ? WITNESS_CONFIRMS : WITNESS_DENIES;
}
