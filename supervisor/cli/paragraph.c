#include "supervisor/cli/paragraph.h"

#include <stdarg.h>

#include "supervisor/cli/table.h"

void paragraph_say(struct paragraph *p, const char *format, ...)
{
    va_list args;

    if (format[0] == '\n') {
        format++;
        if (p->count < PARAGRAPH_SENTENCES) {
            p->begins[p->count++] = p->length;
        }
    }
    va_start(args, format);
    int n = vsnprintf(p->text + p->length, sizeof(p->text) - p->length, format, args);
    va_end(args);
    p->length += n > 0 ? (size_t)n : 0;
    if (p->length > sizeof(p->text) - 1) {
        p->length = sizeof(p->text) - 1;
    }
}

void paragraph_print(FILE *to, const char *indent, struct paragraph *p)
{
    size_t from = 0;

    for (size_t i = 0; i <= p->count; i++) {
        size_t end = i < p->count ? p->begins[i] : p->length;
        char kept = p->text[end];

        p->text[end] = '\0';
        (void)fprintf(to, "%s%s", indent, i == 0 ? "" : "  ");
        print_safe(to, p->text + from);
        (void)fputc('\n', to);
        p->text[end] = kept;
        from = end;
    }
}
