/*
 * config_memory.h - where everything that a configuration points to lives.
 *
 * It is made once, never changed, and freed as a whole. Running out of memory is
 * remembered instead of being checked at each call: a text is then "", an
 * array NULL, and config_memory_failed() says so before the result is used.
 *
 * Runs in: every process and every command.
 */
#ifndef PGBATON_COMMON_CONFIG_MEMORY_H
#define PGBATON_COMMON_CONFIG_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct config_memory_block;

struct config_memory {
    struct config_memory_block *blocks;
    bool failed;
};

void config_memory_release(struct config_memory *memory);

/* config_memory_take - zeroed bytes, aligned for anything; NULL: no memory. */
void *config_memory_take(struct config_memory *memory, size_t size);

/* config_memory_text - a copy; NULL stays NULL. */
const char *config_memory_text(struct config_memory *memory, const char *text);

/* config_memory_bytes - a copy of that many bytes with a NUL behind them. */
const char *config_memory_bytes(struct config_memory *memory, const char *bytes, size_t length);

const char *config_memory_format(struct config_memory *memory, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool config_memory_failed(const struct config_memory *memory);

#endif
