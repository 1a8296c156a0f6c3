/*
 * The configuration on its way to the children.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/config_fixture.h"

TestSuite(config_seal, .init = config_fixture_up, .fini = config_fixture_down);

static const char everything[] =
    "[database]\ndsn = host=h password=geheim1\npassword_file = pw\n"
    "[election]\nname = billing\nlease = 20s\nkey = -5\n"
    "[jobs]\ngrace = 1s\nenvironment = D=geheim2\n"
    "[job a]\nschedule = every 1m\ncommand = echo geheim3\nenvironment = A=geheim4\n"
    "environment_file = geheim5\noutput = out/a\n"
    "[job b]\nschedule = always\nexec = 'geheim6 x'\nuser = nobody\n";

static char *printed(const struct config *cfg)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    config_print(cfg, to);
    cr_assert_eq(fclose(to), 0);
    return text;
}

Test(config_seal, what_comes_out_is_what_went_in)
{
    struct config *cfg = config_fixture_config(everything);
    struct config *same = NULL;
    int fd = config_seal(cfg, true);

    cr_assert_geq(fd, 0);
    /* A child may be in another directory, and another process has another pid. */
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(config_unseal(fd, &same), 0);

    char *a = printed(cfg);
    char *b = printed(same);
    char reason[200];

    cr_expect_str_eq(a, b);
    cr_expect_str_eq(same->database.dsn, "host=h password=geheim1");
    cr_expect_str_eq(same->pgbaton.instance, cfg->pgbaton.instance);
    cr_expect_eq(same->election.key, -5);
    cr_expect_eq(same->jobs[0].origin.line, 11);
    cr_expect_eq(same->hash, cfg->hash);
    cr_expect_eq(same->jobs[1].hash, cfg->jobs[1].hash);
    cr_expect(config_diff(cfg, same, false, reason, sizeof(reason)) == CHANGE_NOTHING);
    free(a);
    free(b);
    config_free(same);
    config_free(cfg);
    cr_expect_eq(close(fd), 0);
}

/* Children share the offset of the descriptor. */
Test(config_seal, reading_moves_nothing)
{
    struct config *cfg = config_fixture_config(everything);
    struct config *same = NULL;
    int fd = config_seal(cfg, true);
    off_t before = lseek(fd, 0, SEEK_CUR);

    cr_assert_eq(config_unseal(fd, &same), 0);
    cr_expect_eq(lseek(fd, 0, SEEK_CUR), before);
    config_free(same);
    cr_expect_eq(config_unseal(fd, &same), 0, "a second time");
    config_free(same);
    config_free(cfg);
}

Test(config_seal, nobody_can_change_it)
{
    struct config *cfg = config_fixture_config(everything);
    int fd = config_seal(cfg, true);

    cr_expect_eq(pwrite(fd, "x", 1, 0), -1);
    cr_expect_eq(ftruncate(fd, 0), -1);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    config_free(cfg);
}

Test(config_seal, without_secrets_the_monitor_has_the_rest)
{
    struct config *cfg = config_fixture_config(everything);
    struct config *seen = NULL;
    int fd = config_seal(cfg, false);
    char bytes[8192];
    ssize_t size = pread(fd, bytes, sizeof(bytes), 0);

    cr_assert(size > 0 && size < (ssize_t)sizeof(bytes));
    cr_expect_null(memmem(bytes, (size_t)size, "geheim", 6));
    cr_assert_eq(config_unseal(fd, &seen), 0);
    cr_expect(seen->database.kind == DATABASE_POSTGRES);
    cr_expect_null(seen->database.password_file);
    cr_expect_eq(seen->election.lease, DUR_S(20));
    cr_expect_eq(seen->job_count, 2);
    cr_expect_str_eq(seen->jobs[0].schedule_text, "every 1m");
    cr_expect_null(seen->jobs[0].environment);
    cr_expect_eq(seen->hash, cfg->hash, "the fleet compares these");
    config_free(seen);
    config_free(cfg);
}

Test(config_seal, without_secrets_the_kind_of_database_is_kept)
{
    static const struct {
        const char *text;
        enum database_kind kind;
    } cases[] = {{"[database]\ndsn = sqlite:/secret/x\n", DATABASE_SQLITE},
                 {"[database]\ndsn = none\n", DATABASE_NONE}};

    for (size_t i = 0; i < 2; i++) {
        struct config *cfg = config_fixture_config(cases[i].text);
        struct config *seen = NULL;
        int fd = config_seal(cfg, false);

        cr_assert_eq(config_unseal(fd, &seen), 0);
        cr_expect(seen->database.kind == cases[i].kind);
        cr_expect_null(strstr(seen->database.dsn, "secret"));
        config_free(seen);
        config_free(cfg);
    }
}

/* A memfd of these bytes, sealed like ours. */
static int sealed(const char *bytes, size_t size)
{
    int fd = memfd_create("test", MFD_ALLOW_SEALING);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    return fd;
}

Test(config_seal, a_part_of_it_is_refused)
{
    struct config *cfg = config_fixture_config(everything);
    struct config *out = (struct config *)&out;
    int whole = config_seal(cfg, true);
    char bytes[8192];
    ssize_t size = pread(whole, bytes, sizeof(bytes), 0);

    for (size_t length = 0; length < (size_t)size; length += length < 64 ? 1 : 97) {
        int fd = sealed(bytes, length);

        cr_expect_eq(config_unseal(fd, &out), -EINVAL, "%zu", length);
        cr_expect_eq(out, (struct config *)&out, "the output was touched");
        cr_expect_eq(close(fd), 0);
    }
    config_free(cfg);
}

Test(config_seal, any_other_byte_is_refused)
{
    struct config *cfg = config_fixture_config(everything);
    struct config *out = NULL;
    int whole = config_seal(cfg, true);
    char bytes[8192];
    ssize_t size = pread(whole, bytes, sizeof(bytes), 0);
    /* Behind the magic, version, two counts, size and the hash of the body is that of the
     * configuration.
     */
    const size_t config_hash_at = 40;

    for (size_t i = 0; i < (size_t)size; i++) {
        if (i >= config_hash_at && i < config_hash_at + 8) {
            continue;
        }
        bytes[i] ^= 0x41;

        int fd = sealed(bytes, (size_t)size);

        cr_expect_eq(config_unseal(fd, &out), -EINVAL, "%zu", i);
        bytes[i] ^= 0x41;
        cr_expect_eq(close(fd), 0);
    }
    config_free(cfg);
}

Test(config_seal, what_is_not_sealed_is_refused)
{
    struct config *cfg = config_fixture_config(everything);
    struct config *out = NULL;
    int whole = config_seal(cfg, true);
    int open_to_all = memfd_create("test", MFD_ALLOW_SEALING);
    int ends[2];
    char bytes[8192];
    ssize_t size = pread(whole, bytes, sizeof(bytes), 0);

    cr_assert_eq(write(open_to_all, bytes, (size_t)size), size);
    cr_expect_eq(config_unseal(open_to_all, &out), -EINVAL);
    cr_assert_eq(pipe(ends), 0);
    cr_expect_eq(config_unseal(ends[0], &out), -EINVAL);
    cr_expect_eq(config_unseal(-1, &out), -EINVAL);
    config_free(cfg);
}
