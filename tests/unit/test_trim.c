#include "common/trim.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(trim, .timeout = 30);

static const char constant[] = "as in the file";
static char *volatile relocated = (char *)(uintptr_t)constant;
static char written[64] = "as in the file too";

static long resident_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *from = fopen("/proc/self/status", "r");

    cr_assert_not_null(from);
    while (fgets(line, sizeof line, from) != NULL) {
        if (sscanf(line, "RssFile: %ld", &kib) == 1) {
            break;
        }
    }
    (void)fclose(from);
    return kib;
}

Test(trim, lets_pages_of_files_go_and_keeps_all_that_was_written)
{
    char *heap = strdup("on the heap");
    long before = resident_kib();

    (void)snprintf(written, sizeof written, "%s", "written");
    trim_memory();
    cr_expect_lt(resident_kib(), before);
    cr_expect_str_eq(heap, "on the heap");
    cr_expect_str_eq(written, "written");
    cr_expect_str_eq(relocated, "as in the file");
    free(heap);
}
