/* What `pgbaton reload` says of a bad file. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/reload.h"

Test(reload_refusal, says_how_many_problems_it_leaves_out)
{
    struct config_problem list[30];
    struct config_problems problems = {.list = list, .count = 30, .errors = 28};
    char text[1024];
    unsigned shown = 0;
    unsigned more = 0;

    for (size_t i = 0; i < 30; i++) {
        list[i] = (struct config_problem){.warning = i < 2};
        (void)snprintf(list[i].text, sizeof(list[i].text), "pgbaton.ini:%zu: %090d.", i, 0);
    }
    reload_refusal(&problems, text, sizeof(text));
    for (const char *at = text; (at = strstr(at, "\npgbaton.ini:")) != NULL; at++) {
        shown++;
    }
    const char *last = strrchr(text, '\n');
    cr_assert_not_null(last);
    cr_expect_eq(sscanf(last, "\nand %u more; `pgbaton check` shows all", &more), 1, "%s", text);
    cr_expect_eq(shown + more, 28, "%s", text);
    problems.count = 3;
    problems.errors = 1;
    reload_refusal(&problems, text, sizeof(text));
    cr_expect_null(strstr(text, "more"), "%s", text);
}
