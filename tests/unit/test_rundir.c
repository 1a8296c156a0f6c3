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

/* Root alone can be somebody else; $XDG_RUNTIME_DIR stands for the places where anybody may write.
 */
Test(rundir, a_command_asks_nobody_elses_daemon)
{
    struct config cfg = {.pgbaton = {.run_dir = NULL}};
    char planted[128];
    char found[128];

    (void)snprintf(planted, sizeof(planted), "%s/pgbaton", base);
    (void)snprintf(path, sizeof(path), "%s", planted);
    cr_assert_eq(setenv("XDG_RUNTIME_DIR", base, 1), 0);
    cr_assert_eq(mkdir(planted, 0700), 0);
    int fd = rundir_listen(planted);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    if (access("/run/pgbaton/control.sock", F_OK) == 0) {
        cr_skip_test("a daemon of this machine would be found first");
    }

    cr_expect_eq(rundir_path(&cfg, true, found, sizeof(found), reason, sizeof(reason)), 0);
    cr_expect_str_eq(found, planted);
    cr_assert_eq(chmod(planted, 0777), 0);
    (void)rundir_path(&cfg, true, found, sizeof(found), reason, sizeof(reason));
    bool was_asked = reason[0] == '\0';
    cr_expect_not(was_asked, "anybody could have put the socket there");
    cr_assert_eq(chmod(planted, 0700), 0);
    if (geteuid() == 0) {
        cr_assert_eq(chown(planted, 65534, 65534), 0);
        cr_expect_eq(rundir_path(&cfg, true, found, sizeof(found), reason, sizeof(reason)), -ENOENT,
                     "%s", found);
    }
}

Test(rundir, the_socket_is_for_owner_and_group)
{
    struct stat st;
    char name[128];

    cr_assert_eq(mkdir(path, 0700), 0);
    mode_t before = umask(0);
    int fd = rundir_listen(path);
    cr_expect_eq(umask(before), 0, "the mask is put back");
    cr_assert_geq(fd, 0);
    (void)snprintf(name, sizeof(name), "%s/control.sock", path);
    cr_assert_eq(stat(name, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0660);
    (void)close(fd);
}

Test(rundir, a_path_that_no_socket_can_have_is_refused)
{
    char deep[256];

    (void)memset(deep, 'x', sizeof(deep));
    deep[0] = '/';
    deep[120] = '\0';
    cr_expect_eq(rundir_listen(deep), -ENAMETOOLONG);
}
