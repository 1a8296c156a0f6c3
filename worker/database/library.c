/* What the commands ask libpq and SQLite, without a connection. */
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>

#include "supervisor/cli/commands.h"
#include "worker/database/connect.h"

const char *cli_database_library(void)
{
    static char text[32];
    int version = PQlibVersion();

    (void)snprintf(text, sizeof(text), "libpq %d.%d", version / 10000, version % 10000);
    return text;
}

const char *cli_file_library(void)
{
    static char text[32];

    (void)snprintf(text, sizeof(text), "sqlite %s", sqlite3_libversion());
    return text;
}

int cli_database_check(const struct config *cfg, char *reterr, size_t size)
{
    return cfg->database.kind == DATABASE_POSTGRES
               ? connect_check_dsn(cfg->database.dsn, reterr, size)
               : 0;
}
