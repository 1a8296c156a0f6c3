#include "supervisor/cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

/* What stands at text: a character as it is, or bytes that must be escaped: a control character, or
 * a byte that is no UTF-8, which some terminals obey too. Returns how many bytes it has. */
static size_t piece_at(const char *text, bool *ret_safe)
{
    size_t length = utf8_length(text);

    *ret_safe = length > 0 && !utf8_is_control(text);
    return length > 0 ? length : 1;
}

void print_safe(FILE *to, const char *text)
{
    bool safe;

    while (*text != '\0') {
        size_t length = piece_at(text, &safe);

        if (safe) {
            (void)fwrite(text, 1, length, to);
            text += length;
            continue;
        }
        for (; length > 0; length--) {
            (void)fprintf(to, "\\x%02x", (unsigned)(unsigned char)*text++);
        }
    }
}

/* Columns on the terminal: one a character, and four for each escaped byte. */
static size_t width(const char *text)
{
    size_t columns = 0;
    bool safe;

    while (*text != '\0') {
        size_t length = piece_at(text, &safe);

        columns += safe ? 1 : 4 * length;
        text += length;
    }
    return columns;
}

void table_add(struct table *table, const char *text)
{
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 64 : table->room * 2;
        char **cells = reallocarray(table->cells, room, sizeof(*cells));

        if (cells == NULL) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->room = room;
    }
    char *copy = strdup(text == NULL || text[0] == '\0' ? "-" : text);
    if (copy == NULL) {
        table->failed = true;
        return;
    }
    table->cells[table->count++] = copy;
}

void table_addf(struct table *table, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    table_add(table, text);
}

static size_t column_width(const struct table *table, size_t column)
{
    size_t widest = 0;

    for (size_t i = column; i < table->count; i += table->columns) {
        size_t columns = width(table->cells[i]);

        widest = columns > widest ? columns : widest;
    }
    return widest;
}

void table_print(const struct table *table, FILE *to)
{
    size_t *widths = calloc(table->columns, sizeof(*widths));

    for (size_t column = 0; widths != NULL && column < table->columns; column++) {
        widths[column] = column_width(table, column);
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        bool last = column == table->columns - 1;

        (void)fputs("  ", to);
        print_safe(to, table->cells[i]);
        if (last) {
            (void)fputc('\n', to);
        } else if (widths != NULL) {
            (void)fprintf(to, "%*s", (int)(widths[column] - width(table->cells[i])), "");
        }
    }
    free(widths);
    if (table->failed) {
        (void)fputs("  (out of memory: rows are missing)\n", to);
    }
}

void table_release(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    *table = (struct table){.columns = table->columns};
}
