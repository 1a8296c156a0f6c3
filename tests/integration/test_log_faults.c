/* A log that cannot be written: the instance goes on, and logs again when it can. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(log_faults, .timeout = 120);

static struct fleet fleet;

#define A (&fleet.member[0])

enum { DISK_BYTES = 256 * 1024 };

static char path[160]; /* of the log that is tested */

/* One that fills a disk soon. */
static const char loud[] = "[job loud]\nschedule = always\n"
                           "command = while :; do echo we are loud; sleep 0.02; done\n";

static void make(const char *log_file)
{
    struct instance_settings settings = {.election = ELECTION_STEADY};

    (void)snprintf(path, sizeof path, "%s", log_file);
    char *key = text_format("log_file = %s\n", log_file);
    settings.pgbaton = key;
    fleet_make(&fleet, 1, &settings);
    fleet_add_jobs(&fleet, &settings, loud);
    free(key);
}

/* Its log is that file from now on, for instance_wait. */
static void read_from(const char *file)
{
    (void)snprintf(A->log, sizeof A->log, "%s", file);
    A->mark = 0;
}

static void goes_on(size_t lines)
{
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + lines);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
}

static void goes_on_for_a_lease(void)
{
    diary_wait_for(&fleet.diary, "a", DUR_S(7));
    cr_expect_eq(diary_terms(&fleet.diary), 1);
}

static void expect_answers(void)
{
    json_t *status = instance_status(A);

    cr_expect_not_null(status, "it does not answer");
    json_decref(status);
}

Test(log_faults, an_instance_whose_log_takes_nothing_leads_and_is_heard_again_elsewhere)
{
    if (access("/dev/full", W_OK) != 0) {
        cr_skip_test("there is no /dev/full here");
    }
    make("/dev/full");
    char *elsewhere = text_format("log_file = %s/own.log\n", fleet.dir.path);
    char *file = text_format("%s/own.log", fleet.dir.path);

    instance_start(A, NULL);
    goes_on_for_a_lease();
    expect_answers();

    fleet_add_jobs(&fleet,
                   &(struct instance_settings){.election = ELECTION_STEADY, .pgbaton = elsewhere},
                   loud);
    program_signal(&A->supervisor, SIGHUP);
    read_from(file);
    instance_wait(A, "log_reopened", "");
    instance_wait(A, "log_lines_dropped", "");
    instance_wait(A, "output", "we are loud"); /* the worker's lines are there too */
    goes_on(10);
    instance_stop(A);
    free(file);
    free(elsewhere);
    fleet_check(&fleet);
}

/* A mount that only we and what we start can see. */
static bool mount_small_disk(const char *on)
{
    char options[64];

    (void)snprintf(options, sizeof options, "size=%d", DISK_BYTES);
    return mkdir(on, 0755) == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", on, "tmpfs", 0, options) == 0;
}

static void fill(const char *ballast)
{
    static const char block[4096] = "";
    int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert(fd >= 0);
    while (write(fd, block, sizeof block) > 0) {
    }
    cr_assert_eq(errno, ENOSPC);
    (void)close(fd);
}

static bool is_full(void *ctx)
{
    static off_t before;
    struct stat about;
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    (void)ctx;
    cr_assert(fd >= 0);
    cr_assert_eq(fstat(fd, &about), 0);
    (void)close(fd);
    bool stands = about.st_size > 0 && about.st_size % 4096 == 0 && about.st_size == before;
    before = about.st_size;
    return stands;
}

/* The line that could not be written to its end has none of the next one in it. */
static void expect_whole_lines(void)
{
    enum { BEHIND_THE_TIME = sizeof "2026-11-23T16:20:00.123Z" - 1 };
    char *text = text_read(path);

    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        char *copy = strndup(line, length);

        cr_assert_not_null(copy);
        cr_expect(strstr(copy, "log_lines_dropped") == NULL ||
                      strncmp(copy + BEHIND_THE_TIME, " warn ", 6) == 0,
                  "two lines in one: %s", copy);
        free(copy);
        line += length + (line[length] == '\n');
    }
    free(text);
}

Test(log_faults, an_instance_whose_disk_is_full_leads_and_logs_again_when_there_is_room)
{
    char disk[128];
    char ballast[160];
    char file[160];

    fleet_make(&fleet, 1, NULL);
    (void)snprintf(disk, sizeof disk, "%s/disk", fleet.dir.path);
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", disk);
    (void)snprintf(file, sizeof file, "%s/log", disk);
    if (!mount_small_disk(disk)) {
        cr_skip_test("a file system cannot be mounted here");
    }
    (void)snprintf(path, sizeof path, "%s", file);
    char *key = text_format("log_file = %s\n", file);
    fleet_add_jobs(&fleet, &(struct instance_settings){.election = ELECTION_STEADY, .pgbaton = key},
                   loud);
    read_from(file);

    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    fill(ballast);
    cr_assert(wait_until(is_full, NULL, WAIT_LIMIT));
    goes_on_for_a_lease();
    cr_expect(is_full(NULL));
    expect_answers();
    instance_mark(A);
    cr_assert_eq(unlink(ballast), 0);

    instance_wait(A, "log_lines_dropped", "");
    instance_wait(A, "output", "we are loud");
    goes_on(10);
    expect_whole_lines();
    program_signal(&A->supervisor, SIGTERM);
    cr_expect_eq(instance_wait_exit(A), 0, "%s", text_tail(A->log));
    free(key);
    fleet_check(&fleet);
}

/* Neither taken in part, nor is a term given up for it. */
Test(log_faults, a_reload_to_a_log_that_cannot_be_opened_is_refused)
{
    static struct outcome told;
    static const char *const elections[] = {ELECTION_CALM, ELECTION_CALM "mode = poll\n"};

    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);
    char *nowhere = text_format("log_file = %s/missing/log\n", fleet.dir.path);
    char *somewhere = text_format("log_file = %s/own.log\n", fleet.dir.path);
    char *file = text_format("%s/own.log", fleet.dir.path);

    for (size_t i = 0; i < sizeof elections / sizeof elections[0]; i++) {
        struct instance_settings settings = fleet_settings(
            &fleet, &(struct instance_settings){.pgbaton = nowhere, .election = elections[i]});

        instance_configure(A, &settings);
        instance_mark(A);
        instance_command(A, &told, "reload", NULL);
        cr_expect_eq(told.code, 78, "%d %s%s", told.code, told.out, told.err);
        cr_expect_not_null(strstr(told.err, "the old configuration stays in force"), "%s",
                           told.err);
        cr_expect_not_null(strstr(told.err, "[pgbaton] log_file: '"), "%s", told.err);
        cr_expect_not_null(strstr(told.err, "cannot be opened: No such file or directory"), "%s",
                           told.err);
        instance_wait(A, "config_refused", ""); /* it logs where it did */
        cr_expect_eq(instance_logged(A, "config_reloaded", ""), 0);
        cr_expect_eq(instance_logged(A, "released", ""), 0);
    }
    goes_on(10);

    struct instance_settings settings = fleet_settings(
        &fleet, &(struct instance_settings){.pgbaton = somewhere, .election = elections[1]});
    instance_configure(A, &settings);
    instance_command(A, &told, "reload", NULL);
    cr_expect_eq(told.code, 0, "%d %s%s", told.code, told.out, told.err);
    read_from(file);
    instance_wait(A, "log_reopened", "");
    instance_wait(A, "elected", "");
    instance_stop(A);
    free(file);
    free(somewhere);
    free(nowhere);
    fleet_check(&fleet);
}
