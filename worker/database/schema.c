#include "worker/database/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/database/schema_sql.h"

enum { NAME_BYTES_MAX = 63 }; /* NAMEDATALEN - 1 */

/* NAME in marks, each mark inside doubled. */
static int quote(const char *name, char mark, char *ret_quoted, size_t size)
{
    size_t used = 0;

    if (strlen(name) * 2 + 3 > size) {
        return -ERANGE;
    }
    ret_quoted[used++] = mark;
    for (const char *c = name; *c != '\0'; c++) {
        ret_quoted[used++] = *c;
        if (*c == mark) {
            ret_quoted[used++] = mark;
        }
    }
    ret_quoted[used++] = mark;
    ret_quoted[used] = '\0';
    return 0;
}

static int quote_name(const char *name, char *ret_name, size_t size)
{
    if (*name == '\0' || strlen(name) > NAME_BYTES_MAX) {
        return -ERANGE;
    }
    return quote(name, '"', ret_name, size);
}

int schema_quote(const struct config *cfg, char *ret_name, size_t size)
{
    return quote_name(cfg->database.schema, ret_name, size);
}

int schema_quote_literal(const char *text, char *ret_literal, size_t size)
{
    return quote(text, '\'', ret_literal, size);
}

struct values {
    const char *schema;
    const char *literal; /* the schema, too */
    const char *role;
};

static const char *value_of(const struct values *values, char letter)
{
    switch (letter) {
    case 'S':
        return values->schema;
    case 'L':
        return values->literal;
    case 'R':
        return values->role;
    default:
        return NULL; /* other dollars stay */
    }
}

static void fill_in(FILE *to, const char *sql, const struct values *values)
{
    for (const char *c = sql; *c != '\0'; c++) {
        const char *value = *c == '$' ? value_of(values, c[1]) : NULL;

        if (value != NULL) {
            (void)fputs(value, to);
            c++;
        } else {
            (void)fputc(*c, to);
        }
    }
}

static char *fill_in_all(const char *const *parts, const struct values *values)
{
    char *filled = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&filled, &size);

    if (to == NULL) {
        return NULL;
    }
    for (; *parts != NULL; parts++) {
        fill_in(to, *parts, values);
    }
    if (fclose(to) != 0) {
        free(filled);
        return NULL;
    }
    return filled;
}

char *schema_create_sql(const struct config *cfg)
{
    char schema[2 * NAME_BYTES_MAX + 3];
    char literal[2 * sizeof(schema) + 3];

    if (schema_quote(cfg, schema, sizeof(schema)) < 0 ||
        quote(cfg->database.schema, '\'', literal, sizeof(literal)) < 0) {
        return NULL;
    }
    return fill_in_all(schema_create_parts, &(struct values){schema, literal, ""});
}

char *schema_grant_sql(const struct config *cfg, const char *role)
{
    char schema[2 * NAME_BYTES_MAX + 3];
    char quoted[2 * NAME_BYTES_MAX + 3];

    if (schema_quote(cfg, schema, sizeof(schema)) < 0 ||
        quote_name(role, quoted, sizeof(quoted)) < 0) {
        return NULL;
    }
    return fill_in_all(schema_grant_parts, &(struct values){schema, "", quoted});
}
