/* The SQLite file: who may open it, what is refused, and that nothing refused is touched. */
#include "worker/database/sqlite_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/config_fixture.h"
#include "worker/database/sqlite_schema.h"

TestSuite(sqlite_file, .init = config_fixture_up, .fini = config_fixture_down, .timeout = 60);

static char said[SQLITE_FILE_TEXT_MAX];

static int try_open(enum sqlite_file_mode mode, struct sqlite_file *ret_file)
{
    said[0] = '\0';
    int rc = sqlite_file_open("ledger", mode, ret_file, said, sizeof(said));

    cr_expect_eq(rc == 0, said[0] == '\0', "%s", said);
    cr_expect_null(strchr(said, '\n'), "%s", said);
    return rc;
}

static void create(void)
{
    struct sqlite_file file;

    cr_assert_eq(try_open(SQLITE_FILE_CREATE, &file), 0, "%s", said);
    sqlite_file_close(&file);
}

static bool says(const char *word)
{
    return strstr(said, word) != NULL;
}

static void run(const char *sql)
{
    sqlite3 *db;
    char *error = NULL;

    cr_assert_eq(sqlite3_open("ledger", &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, &error), SQLITE_OK, "%s", error);
    (void)sqlite3_close(db);
}

static mode_t mode_of(const char *path)
{
    struct stat file;

    cr_assert_eq(lstat(path, &file), 0, "%s: %s", path, strerror(errno));
    return file.st_mode & 07777;
}

Test(sqlite_file, and_what_is_beside_it_are_private)
{
    struct sqlite_file file;

    (void)umask(0);
    cr_assert_eq(try_open(SQLITE_FILE_CREATE, &file), 0, "%s", said);
    cr_assert_eq(sqlite3_exec(file.db, "INSERT INTO request (election, kind) VALUES ('m', 'pause')",
                              NULL, NULL, NULL),
                 SQLITE_OK);
    cr_expect_eq(mode_of("ledger"), 0600);
    cr_expect_eq(mode_of("ledger-wal"), 0600);
    cr_expect_eq(mode_of("ledger-shm"), 0600);
    sqlite_file_close(&file);
}

Test(sqlite_file, is_made_only_by_who_may)
{
    struct sqlite_file file;

    cr_expect_eq(try_open(SQLITE_FILE_READ, &file), -ENOENT);
    cr_expect(says("there is no SQLite file yet"), "%s", said);
    cr_expect_eq(try_open(SQLITE_FILE_WRITE, &file), -ENOENT);
    cr_expect_eq(access("ledger", F_OK), -1);
    cr_expect_eq(creat("ledger", 0600) >= 0, true);
    cr_expect_eq(try_open(SQLITE_FILE_READ, &file), -ENOENT, "no tables yet");
    cr_expect_eq(try_open(SQLITE_FILE_WRITE, &file), -ENOENT);
    cr_expect(says("pgbaton init-db"), "%s", said);
    create();
    create(); /* again: nothing happens */
    cr_assert_eq(try_open(SQLITE_FILE_READ, &file), 0, "%s", said);
    sqlite_file_close(&file);
    cr_assert_eq(try_open(SQLITE_FILE_WRITE, &file), 0, "%s", said);
    sqlite_file_close(&file);
}

Test(sqlite_file, a_reader_cannot_write)
{
    static const char insert[] = "INSERT INTO request (election, kind) VALUES ('m', 'pause')";
    struct sqlite_file file;

    create();
    cr_assert_eq(try_open(SQLITE_FILE_READ, &file), 0);
    cr_expect_eq(sqlite3_exec(file.db, insert, NULL, NULL, NULL) & 0xff, SQLITE_READONLY);
    sqlite_file_close(&file);
    cr_assert_eq(try_open(SQLITE_FILE_WRITE, &file), 0);
    cr_expect_eq(sqlite3_exec(file.db, insert, NULL, NULL, NULL), SQLITE_OK);
    sqlite_file_close(&file);
}

/* The bytes of a file are as they were. */
struct copy {
    char bytes[65536];
    size_t length;
};

static void copy_file(struct copy *copy)
{
    FILE *from = fopen("ledger", "r");

    cr_assert_not_null(from);
    copy->length = fread(copy->bytes, 1, sizeof(copy->bytes), from);
    (void)fclose(from);
}

static void refuses_unchanged(int expected, const char *word)
{
    static struct copy before;
    static struct copy after;
    struct sqlite_file file;

    copy_file(&before);
    for (enum sqlite_file_mode mode = SQLITE_FILE_READ; mode <= SQLITE_FILE_CREATE; mode++) {
        cr_expect_eq(try_open(mode, &file), expected, "mode %d: %s", (int)mode, said);
        cr_expect(says(word), "%s", said);
        cr_expect(says("ledger"), "%s", said);
    }
    copy_file(&after);
    cr_expect_eq(before.length, after.length);
    cr_expect_arr_eq(before.bytes, after.bytes, before.length);
}

Test(sqlite_file, of_a_later_version_is_refused_and_not_touched)
{
    create();
    run("PRAGMA user_version = 3");
    refuses_unchanged(-EPROTO, "a later version of pgbaton (its tables have version 3");
}

Test(sqlite_file, of_another_program_is_refused_and_not_touched)
{
    run("CREATE TABLE run (a)");
    refuses_unchanged(-EPROTO, "another program");
}

Test(sqlite_file, that_is_no_database_is_refused_and_not_touched)
{
    char text[4096];

    memset(text, 'x', sizeof(text));
    config_fixture_write_bytes("ledger", text, sizeof(text));
    refuses_unchanged(-EIO, "is no SQLite database");
}

Test(sqlite_file, of_an_older_version_is_upgraded_by_who_may)
{
    struct sqlite_file file;

    run("PRAGMA application_id = 1885823604; PRAGMA user_version = 1");
    cr_expect_eq(try_open(SQLITE_FILE_WRITE, &file), -EPROTO);
    create();
    cr_expect_eq(try_open(SQLITE_FILE_WRITE, &file), 0, "%s", said);
    sqlite_file_close(&file);
}

Test(sqlite_file, an_upgrade_that_fails_changes_nothing)
{
    struct sqlite_file file;

    /* A table in the way of the last statements. */
    run("PRAGMA application_id = 1885823604; PRAGMA user_version = 1; CREATE TABLE request (a)");
    cr_expect_eq(try_open(SQLITE_FILE_CREATE, &file), -EIO);
    run("DROP TABLE request");
    create();
}

Test(sqlite_file, must_be_a_file)
{
    struct sqlite_file file;

    create();
    cr_assert_eq(rename("ledger", "elsewhere"), 0);
    cr_assert_eq(symlink("elsewhere", "ledger"), 0);
    cr_expect_eq(try_open(SQLITE_FILE_CREATE, &file), -EIO);
    cr_expect(says("regular file"), "%s", said);
    cr_assert_eq(unlink("ledger"), 0);
    cr_assert_eq(mkdir("ledger", 0700), 0);
    cr_expect_eq(try_open(SQLITE_FILE_CREATE, &file), -EIO);
}

Test(sqlite_file, sees_that_its_path_means_another_one)
{
    struct sqlite_file file;
    struct sqlite_file other;

    cr_assert_eq(try_open(SQLITE_FILE_CREATE, &file), 0);
    cr_expect(sqlite_file_is_same(&file));
    cr_assert_eq(rename("ledger", "elsewhere"), 0);
    cr_expect_not(sqlite_file_is_same(&file), "gone");
    cr_assert_eq(rename("elsewhere", "ledger"), 0);
    cr_expect(sqlite_file_is_same(&file), "back");
    cr_assert_eq(unlink("ledger"), 0);
    cr_assert_eq(try_open(SQLITE_FILE_CREATE, &other), 0, "%s", said);
    cr_expect_not(sqlite_file_is_same(&file), "another file of that name");
    cr_expect(sqlite_file_is_same(&other));
    sqlite_file_close(&file);
    cr_expect(sqlite_file_is_same(&other), "closing the old one leaves the new one alone");
    sqlite_file_close(&other);
}

Test(sqlite_file, that_somebody_has_locked_is_not_waited_for_long)
{
    struct sqlite_file file;
    sqlite3 *db;

    create();
    run("PRAGMA application_id = 1885823604; PRAGMA user_version = 1; DROP VIEW recent_runs;"
        "DROP TABLE run; DROP TABLE election; DROP TABLE job_state; DROP TABLE request");
    cr_assert_eq(sqlite3_open("ledger", &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    cr_expect_eq(try_open(SQLITE_FILE_CREATE, &file), -EBUSY, "%s", said);
    cr_expect(says("locked by another process"), "%s", said);
    (void)sqlite3_close(db);
    create();
}

/* As a user who may not write there: what root does is not refused. */
static int in_child_as_nobody(void (*check)(void))
{
    pid_t pid = fork();

    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
            _exit(77);
        }
        check();
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_cannot_make(void)
{
    struct sqlite_file file;

    if (sqlite_file_open("ledger", SQLITE_FILE_CREATE, &file, said, sizeof(said)) != -EIO ||
        !says("Permission denied")) {
        _exit(1);
    }
}

static void check_cannot_write(void)
{
    struct sqlite_file file;

    if (sqlite_file_open("ledger", SQLITE_FILE_CREATE, &file, said, sizeof(said)) != -EIO ||
        (!says("owner and the mode") && !says("may be written to"))) {
        (void)fprintf(stderr, "%s\n", said);
        _exit(1);
    }
}

Test(sqlite_file, in_a_directory_that_may_not_be_written_to_is_an_error_that_says_so)
{
    cr_assert_eq(chmod(".", 0555), 0);
    cr_expect_eq(in_child_as_nobody(check_cannot_make), 0);
    cr_assert_eq(chmod(".", 0755), 0);
    create();
    cr_assert_eq(chmod("ledger", 0444), 0);
    cr_expect_eq(in_child_as_nobody(check_cannot_write), 0, "a file that is another's");
    cr_assert_eq(chmod("ledger", 0666), 0);
    cr_assert_eq(chmod(".", 0555), 0);
    cr_expect_eq(in_child_as_nobody(check_cannot_write), 0, "no room for its log");
    cr_assert_eq(chmod(".", 0755), 0);
}

Test(sqlite_file, in_no_directory_is_an_error_that_says_so)
{
    struct sqlite_file file;

    cr_expect_eq(sqlite_file_open("/nowhere/at/all", SQLITE_FILE_CREATE, &file, said, sizeof(said)),
                 -EIO);
    cr_expect(says("/nowhere/at/all"), "%s", said);
    cr_expect(says("No such file or directory"), "%s", said);
}
