/*
 * The zones of a configuration: each is loaded once and shared by its jobs.
 */
#include <string.h>

#include "common/config_private.h"

/* FNV-1a, as random_hash(), of bytes that may be zero. */
static uint64_t hash_bytes(struct zone_bytes from)
{
    const unsigned char *bytes = from.bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < from.size; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static struct config_zone *find(const struct config *cfg, const char *name)
{
    for (struct config_zone *z = cfg->private->zones; z != NULL; z = z->next) {
        if (strcmp(z->name, name) == 0) {
            return z;
        }
    }
    return NULL;
}

struct config_zone *config_zone_put(struct config *cfg, const char *name, struct zone_bytes from)
{
    struct config_memory *memory = &cfg->private->entries.memory;
    struct config_zone *z = config_memory_take(memory, sizeof(*z));

    if (z != NULL) {
        z->name = config_memory_text(memory, name);
        z->from = from;
        z->hash = from.size == 0 ? 0 : hash_bytes(from);
        z->next = cfg->private->zones;
        cfg->private->zones = z;
    }
    return z;
}

const struct zone *config_zone(struct config *cfg, const char *name, char *reterr, size_t size)
{
    struct config_memory *memory = &cfg->private->entries.memory;
    struct config_zone *z = find(cfg, name);
    struct zone_bytes from;

    if (z == NULL && zone_read(memory, name, &from, reterr, size) == 0) {
        z = config_zone_put(cfg, name, from);
    }
    if (z == NULL) {
        return NULL;
    }
    if (z->zone.count == 0 && zone_make(memory, name, z->from, &z->zone, reterr, size) < 0) {
        return NULL;
    }
    return &z->zone;
}

uint64_t config_zone_hash(const struct config *cfg, const char *name)
{
    const struct config_zone *z = find(cfg, name);

    return z == NULL ? 0 : z->hash;
}
