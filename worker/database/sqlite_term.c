#include "worker/database/sqlite_term.h"

#include <errno.h>

#include "worker/database/sqlite_file.h"
#include "worker/database/sqlite_statement.h"

static const char sql[] = "SELECT generation, number FROM election WHERE name = ?1";

int sqlite_term_read(const char *path, const char *election, struct epoch *ret_epoch, char *reterr,
                     size_t size)
{
    struct sqlite_file file;
    sqlite3_stmt *kept = NULL;
    struct epoch epoch = {0};
    int rc = sqlite_file_open(path, SQLITE_FILE_READ, &file, reterr, size);

    if (rc == -ENOENT) {
        *ret_epoch = epoch;
        return 0;
    }
    if (rc < 0) {
        return rc;
    }
    struct statement look = statement_of(file.db, &kept, sql);

    statement_text(&look, 1, election);
    if (statement_next(&look)) {
        epoch.generation = (uint64_t)sqlite3_column_int64(look.handle, 0);
        epoch.number = (uint64_t)sqlite3_column_int64(look.handle, 1);
    }
    int code = statement_end(&look);
    if (code == SQLITE_OK) {
        *ret_epoch = epoch;
    } else {
        sqlite_file_explain(&file, code, reterr, size);
        rc = -EIO;
    }
    (void)sqlite3_finalize(kept);
    sqlite_file_close(&file);
    return rc;
}
