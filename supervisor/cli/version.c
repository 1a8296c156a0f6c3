#include <ev.h>
#include <jansson.h>
#include <stdio.h>

#include "supervisor/cli/dispatch.h"

#ifndef INIH_VERSION
#define INIH_VERSION "(linked in)" /* inih does not say which one it is */
#endif

void version_print(void)
{
    (void)printf("pgbaton %s\n", PGBATON_VERSION);
    (void)printf("%s\n", cli_database_library());
    (void)printf("%s\n", cli_file_library());
    (void)printf("libev %d.%d\n", ev_version_major(), ev_version_minor());
    (void)printf("inih %s\n", INIH_VERSION);
    (void)printf("jansson %s\n", jansson_version_str());
}
