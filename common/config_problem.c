#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_entries.h"
#include "common/utf8.h"

/* Who has more than this looks at the first ones and tries again. */
enum { PROBLEMS_MAX = 200 };

void config_problems_release(struct config_problems *p)
{
    if (p != NULL) {
        free(p->list);
        *p = (struct config_problems){0};
    }
}

void config_problems_print(const struct config_problems *p, FILE *to)
{
    size_t errors_listed = 0;

    for (size_t i = 0; i < p->count; i++) {
        (void)fprintf(to, "%s\n", p->list[i].text);
        errors_listed += p->list[i].warning ? 0 : 1;
    }
    if (p->errors > errors_listed) {
        (void)fprintf(to, "%zu more are not shown\n", p->errors - errors_listed);
    }
}

/* A file may hold anything; its words come back on a terminal, and in JSON, which is UTF-8. */
static void make_printable(char *text)
{
    size_t length;

    for (char *at = text; *at != '\0'; at += length) {
        length = utf8_length(at);
        if (length == 0 || utf8_is_control(at)) {
            length = length == 0 ? 1 : length;
            memset(at, '?', length);
        }
    }
}

static size_t append(char *text, size_t size, size_t used, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static size_t append(char *text, size_t size, size_t used, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);

    int length = vsnprintf(text + used, size - used, format, arguments);

    va_end(arguments);
    if (length < 0) {
        return used;
    }
    return (size_t)length < size - used ? used + (size_t)length : size - 1;
}

static size_t put_place(struct config_problem *problem, struct origin origin, const char *section,
                        const char *key)
{
    char *text = problem->text;
    const size_t size = sizeof(problem->text);
    size_t used = append(text, size, 0, "%.255s:", origin.file);

    if (origin.line > 0) {
        used = append(text, size, used, "%u:", origin.line);
    }
    if (problem->warning) {
        used = append(text, size, used, " warning:");
    }
    if (section != NULL) {
        used = append(text, size, used, " [%.80s]%s", section, key == NULL ? ":" : "");
    }
    if (key != NULL) {
        used = append(text, size, used, " %.40s:", key);
    }
    return append(text, size, used, " ");
}

void config_problem_add(struct config_problems *problems, bool warning, struct origin origin,
                        const char *section, const char *key, const char *format, ...)
{
    struct config_problem problem = {.warning = warning, .line = origin.line};
    size_t used = put_place(&problem, origin, section, key);
    va_list arguments;

    problems->errors += warning ? 0 : 1;
    if (problems->count == PROBLEMS_MAX) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(problem.text + used, sizeof(problem.text) - used, format, arguments);
    va_end(arguments);
    make_printable(problem.text);
    (void)snprintf(problem.file, sizeof(problem.file), "%s", origin.file);
    make_printable(problem.file);

    struct config_problem *list =
        realloc(problems->list, (problems->count + 1) * sizeof(*problems->list));

    if (list != NULL) { /* else it still counts */
        problems->list = list;
        problems->list[problems->count++] = problem;
    }
}

static bool comes_before(const struct config_problem *a, const struct config_problem *b)
{
    int order = strcmp(a->file, b->file);

    return order != 0 ? order < 0 : a->line < b->line;
}

/* They are few, and nearly in order. */
void config_problems_sort(struct config_problems *problems)
{
    for (size_t i = 1; i < problems->count; i++) {
        struct config_problem moved = problems->list[i];
        size_t at = i;

        while (at > 0 && comes_before(&moved, &problems->list[at - 1])) {
            problems->list[at] = problems->list[at - 1];
            at--;
        }
        problems->list[at] = moved;
    }
}
