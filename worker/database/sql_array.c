#include "worker/database/sql_array.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

/* Dimensions, are there nulls, type of an element, then of the only dimension: length, first index.
 */
enum { HEADER = 20, LEAST = 256 };
/* The server takes messages of 1 GiB at most, and a statement has several of these. */
#define BYTES_MAX ((size_t)512 * 1024 * 1024)

void sql_array_init(struct sql_array *a, enum sql_type type)
{
    *a = (struct sql_array){.type = type, .used = HEADER};
}

void sql_array_release(struct sql_array *a)
{
    free(a->bytes);
    a->bytes = NULL;
}

/* Room for that many bytes more; NULL: there is none. */
static char *reserve(struct sql_array *a, size_t length)
{
    size_t size = a->size == 0 ? LEAST : a->size;

    if (a->failed || length > BYTES_MAX || a->used > BYTES_MAX - length) {
        a->failed = true;
        return NULL;
    }
    while (size < a->used + length) {
        size *= 2;
    }
    if (size != a->size) {
        char *bytes = realloc(a->bytes, size);
        if (bytes == NULL) {
            a->failed = true;
            return NULL;
        }
        a->bytes = bytes;
        a->size = size;
    }
    char *at = a->bytes + a->used;
    a->used += length;
    return at;
}

static void put32(char *at, uint32_t value)
{
    uint32_t big = htonl(value);

    memcpy(at, &big, sizeof(big));
}

/* Length and place of the next element; NULL: no memory. */
static char *element(struct sql_array *a, size_t length)
{
    char *at = reserve(a, sizeof(uint32_t) + length);

    if (at == NULL) {
        return NULL;
    }
    a->count++;
    put32(at, (uint32_t)length);
    return at + sizeof(uint32_t);
}

void sql_array_add_null(struct sql_array *a)
{
    char *at = reserve(a, sizeof(uint32_t));

    if (at != NULL) {
        a->count++;
        a->has_null = true;
        put32(at, UINT32_MAX); /* the length -1 */
    }
}

void sql_array_add_text(struct sql_array *a, const char *text, bool ascii_only)
{
    if (text == NULL) {
        sql_array_add_null(a);
        return;
    }
    size_t length = strlen(text);
    char *to = element(a, length);

    if (to == NULL) {
        return;
    }
    for (size_t i = 0; i < length;) {
        size_t character = utf8_length(text + i);
        bool kept = character == 1 || (character > 1 && !ascii_only);
        size_t bytes = character > 0 ? character : 1;

        for (size_t end = i + bytes; i < end; i++) {
            to[i] = '?';
            if (kept) {
                to[i] = text[i];
            }
        }
    }
}

void sql_array_add_bytes(struct sql_array *a, const char *bytes, size_t length)
{
    if (length == 0) {
        sql_array_add_null(a);
        return;
    }
    char *to = element(a, length);

    if (to != NULL) {
        memcpy(to, bytes, length);
    }
}

void sql_array_add_int4(struct sql_array *a, int32_t value)
{
    char *to = element(a, sizeof(value));

    if (to != NULL) {
        put32(to, (uint32_t)value);
    }
}

void sql_array_add_int8(struct sql_array *a, int64_t value)
{
    uint64_t big = htobe64((uint64_t)value);
    char *to = element(a, sizeof(big));

    if (to != NULL) {
        memcpy(to, &big, sizeof(big));
    }
}

void sql_array_add_bool(struct sql_array *a, bool value)
{
    char *to = element(a, 1);

    if (to != NULL) {
        *to = value ? 1 : 0;
    }
}

int sql_array_finish(struct sql_array *a)
{
    if (a->bytes == NULL) {
        (void)reserve(a, 0);
    }
    if (a->failed) {
        return -ENOMEM;
    }
    assert(a->bytes != NULL);
    put32(a->bytes, a->count == 0 ? 0 : 1);
    put32(a->bytes + 4, a->has_null ? 1 : 0);
    put32(a->bytes + 8, (uint32_t)a->type);
    if (a->count == 0) {
        a->used = HEADER - 8; /* of no dimension */
    } else {
        put32(a->bytes + 12, a->count);
        put32(a->bytes + 16, 1);
    }
    return 0;
}
