#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/rundir.h"

static char base[64];
static char path[96];
static char reason[512];

static void make(void)
{
    (void)strcpy(base, "/tmp/pgbaton-test-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    (void)snprintf(path, sizeof(path), "%s/run", base);
    reason[0] = '\0';
}

static void clean(void)
{
    static const char *const names[] = {"pgbaton.pid", "control.sock"};
    char name[160];

    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof(name), "%s/%s", path, names[i]);
        (void)unlink(name);
    }
    (void)rmdir(path);
    (void)rmdir(base);
}

TestSuite(rundir, .init = make, .fini = clean);

Test(rundir, a_claim_makes_the_directory_and_writes_the_pid)
{
    char text[16] = "";
    struct stat st;
    int fd = rundir_claim(path, reason, sizeof(reason));

    cr_assert_geq(fd, 0, "%s", reason);
    cr_expect_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 07777 & ~0750u, 0);
    cr_expect_gt(pread(fd, text, sizeof(text) - 1, 0), 0);
    cr_expect_eq(atoi(text), (int)getpid());
    (void)close(fd);
}

Test(rundir, a_second_instance_is_refused_and_told_whose_it_is)
{
    char expected[64];
    int fd = rundir_claim(path, reason, sizeof(reason));

    cr_assert_geq(fd, 0);
    cr_expect_eq(rundir_claim(path, reason, sizeof(reason)), -EBUSY);
    (void)snprintf(expected, sizeof(expected), "(pid %d)", (int)getpid());
    cr_expect_not_null(strstr(reason, expected), "%s", reason);
    (void)close(fd);
    fd = rundir_claim(path, reason, sizeof(reason));
    cr_expect_geq(fd, 0, "a dead one's pid file is no obstacle");
    (void)close(fd);
}

Test(rundir, a_directory_that_others_may_write_to_is_refused)
{
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(chmod(path, 0707), 0);
    cr_expect_eq(rundir_claim(path, reason, sizeof(reason)), -EPERM);
    cr_expect_not_null(strstr(reason, "0707"), "%s", reason);
}

Test(rundir, a_missing_parent_is_named)
{
    char deep[256];

    (void)snprintf(deep, sizeof(deep), "%s/not/there", base);
    cr_expect_eq(rundir_claim(deep, reason, sizeof(reason)), -ENOENT);
    cr_expect_not_null(strstr(reason, deep), "%s", reason);
}

Test(rundir, listens_again_where_a_dead_instance_left_its_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    cr_assert_eq(mkdir(path, 0700), 0);
    int first = rundir_listen(path);
    cr_assert_geq(first, 0);
    (void)close(first);
    int second = rundir_listen(path);
    cr_assert_geq(second, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", path);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_expect_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(client);
    (void)close(second);
}

Test(rundir, a_command_finds_the_directory_that_the_configuration_names)
{
    struct config cfg = {.pgbaton = {.run_dir = path}};
    char found[128];

    cr_expect_eq(rundir_path(&cfg, true, found, sizeof(found), reason, sizeof(reason)), 0);
    cr_expect_str_eq(found, path);
}
