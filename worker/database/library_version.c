#include <libpq-fe.h>
#include <stdio.h>

#include "supervisor/cli/commands.h"

const char *cli_database_library(void)
{
    static char text[32];
    int version = PQlibVersion();

    (void)snprintf(text, sizeof(text), "libpq %d.%d", version / 10000, version % 10000);
    return text;
}
