/* `pgbaton init-db` for dsn = sqlite:PATH: the file and its tables, made or upgraded in place. */
#include <errno.h>
#include <stdio.h>

#include "common/control.h"
#include "worker/database/init_db.h"
#include "worker/database/sqlite_file.h"
#include "worker/database/sqlite_schema.h"

int init_sqlite(const struct config *cfg)
{
    char text[SQLITE_FILE_TEXT_MAX] = "";
    struct sqlite_file file;
    int rc = sqlite_file_open(cfg->database.dsn, SQLITE_FILE_CREATE, &file, text, sizeof(text));

    if (rc < 0) {
        (void)fprintf(stderr, "pgbaton init-db: %s\n", text);
        return rc == -EBUSY ? EXIT_CODE_UNAVAILABLE : EXIT_CODE_FAILED;
    }
    sqlite_file_close(&file);
    (void)printf("the tables in %s are ready (version %d)\n", cfg->database.dsn,
                 SQLITE_SCHEMA_VERSION);
    return EXIT_CODE_DONE;
}
