#include "common/config_memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16 * 1024 };

struct config_memory_block {
    struct config_memory_block *next;
    size_t size;
    size_t used;
    _Alignas(max_align_t) char bytes[];
};

void config_memory_release(struct config_memory *memory)
{
    if (memory == NULL) {
        return;
    }
    while (memory->blocks != NULL) {
        struct config_memory_block *next = memory->blocks->next;

        free(memory->blocks);
        memory->blocks = next;
    }
}

static struct config_memory_block *add_block(struct config_memory *memory, size_t at_least)
{
    size_t size = at_least > BLOCK_BYTES ? at_least : BLOCK_BYTES;
    struct config_memory_block *block = calloc(1, sizeof(*block) + size);

    if (block == NULL) {
        memory->failed = true;
        return NULL;
    }
    block->size = size;
    block->next = memory->blocks;
    memory->blocks = block;
    return block;
}

void *config_memory_take(struct config_memory *memory, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    struct config_memory_block *block = memory->blocks;

    size = (size + align - 1) / align * align;
    if (block == NULL || block->size - block->used < size) {
        block = add_block(memory, size);
        if (block == NULL) {
            return NULL;
        }
    }

    void *place = block->bytes + block->used;

    block->used += size;
    return place;
}

const char *config_memory_bytes(struct config_memory *memory, const char *bytes, size_t length)
{
    char *copy = config_memory_take(memory, length + 1);

    if (copy == NULL) {
        return "";
    }
    memcpy(copy, bytes, length);
    return copy;
}

const char *config_memory_text(struct config_memory *memory, const char *text)
{
    return text == NULL ? NULL : config_memory_bytes(memory, text, strlen(text));
}

const char *config_memory_format(struct config_memory *memory, const char *format, ...)
{
    va_list arguments;
    va_list again;

    va_start(arguments, format);
    va_copy(again, arguments);

    int length = vsnprintf(NULL, 0, format, arguments);

    assert(length >= 0);

    char *text = config_memory_take(memory, (size_t)length + 1);

    if (text != NULL) {
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    va_end(arguments);
    return text == NULL ? "" : text;
}

bool config_memory_failed(const struct config_memory *memory)
{
    return memory->failed;
}
