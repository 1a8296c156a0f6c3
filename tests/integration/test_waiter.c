/* The waiter of a lock file, killed near the grant: whether it had the lock by then is not known,
 * and must not matter. The rival for the lock is the test itself. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "tests/support/instance.h"
#include "tests/support/observer.h"
#include "tests/support/text.h"

TestSuite(waiter, .timeout = 300);

enum { TRIES_SHORT = 10, TRIES_LONG = 100, LEADER_BYTE = 0 };

static struct workdir dir;
static struct diary diary;
static struct instance member[2];
static struct outcome told;
static int rival; /* our description of the lock file */

#define A (&member[0])
#define B (&member[1])

static void begin(void)
{
    static const char *const names[] = {"a", "b"};

    workdir_make(&dir);
    diary_make(&diary, &dir);
    char *dsn = text_format("sqlite:%s/ledger.db", dir.path);
    char *lock = text_format("%s/ledger.db.lock", dir.path);
    for (size_t i = 0; i < 2; i++) {
        instance_make(&member[i], &dir, names[i],
                      &(struct instance_settings){.dsn = dsn,
                                                  .election = ELECTION_CALM,
                                                  .jobs = "grace = 100ms\n",
                                                  .job = diary.job});
    }
    rival = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(rival >= 0);
    free(lock);
    free(dsn);
}

static bool set_lock(short type)
{
    struct flock byte = {.l_type = type, .l_whence = SEEK_SET, .l_start = LEADER_BYTE, .l_len = 1};
    bool done = fcntl(rival, F_OFD_SETLK, &byte) == 0;

    cr_assert(done || errno == EAGAIN || errno == EACCES);
    return done;
}

static bool takes_the_lock(void *ctx)
{
    (void)ctx;
    return set_lock(F_WRLCK);
}

struct waited_for {
    pid_t before;
    pid_t found;
};

static bool waits(void *ctx)
{
    struct waited_for *w = ctx;

    w->found = instance_child(A, "lock waiter");
    return w->found != 0 && w->found != w->before;
}

/* The one that is not `before`. */
static pid_t wait_for_waiter(pid_t before)
{
    struct waited_for w = {.before = before};

    cr_assert(wait_until(waits, &w, WAIT_LIMIT), "nobody waits:\n%s", text_tail(A->log));
    return w.found;
}

static size_t terms_of_a(void)
{
    return instance_logged(A, "elected", "");
}

static bool has_begun_a_term(void *before)
{
    return terms_of_a() > *(size_t *)before;
}

/* Once is enough, unless a had rested and was elected anew before we looked. */
static void take_it_back(void)
{
    for (mono_ns limit = clock_now() + WAIT_LIMIT; clock_now() < limit;) {
        instance_command(A, &told, "step-down", "--force", "--for", "300ms", NULL);
        if (wait_until(takes_the_lock, NULL, DUR_S(4))) {
            return;
        }
    }
    cr_assert_fail("the lock was not given back:\n%s", text_tail(A->log));
}

/* True: it went to a. */
static bool kill_near_the_grant(pid_t waiter, dur_ns offset)
{
    size_t terms = terms_of_a();
    int fd = pidfd_open(waiter, 0);

    cr_assert(fd >= 0);
    cr_assert(set_lock(F_UNLCK));
    for (mono_ns at = clock_now() + offset; clock_now() < at;) {
    }
    (void)pidfd_send_signal(fd, SIGKILL, NULL, 0); /* it may have been granted, and be gone */
    (void)close(fd);
    if (set_lock(F_WRLCK)) {
        (void)wait_for_waiter(waiter); /* by then a has made up its mind */
        cr_assert_eq(terms_of_a(), terms, "two have the lock:\n%s", text_tail(A->log));
        return false;
    }
    cr_assert(wait_until(has_begun_a_term, &terms, WAIT_LIMIT), "nobody has the lock:\n%s",
              text_tail(A->log));
    cr_assert_not(set_lock(F_WRLCK), "two have the lock:\n%s", text_tail(A->log));
    take_it_back();
    return true;
}

Test(waiter, that_is_killed_near_the_grant_neither_leaks_the_lock_nor_gives_it_to_two)
{
    dur_ns offset = 0;
    dur_ns step = DUR_US(10);
    bool last = false;
    unsigned granted = 0;
    unsigned tries = getenv("PGBATON_TEST_LONG") == NULL ? TRIES_SHORT : TRIES_LONG;

    begin();
    cr_assert(set_lock(F_WRLCK));
    instance_start(A, NULL);
    for (unsigned i = 0; i < tries; i++) {
        bool was_granted = kill_near_the_grant(wait_for_waiter(0), offset);

        /* Too late is granted, too early is not: between them is the instant looked for. */
        step = was_granted == last ? 2 * step : DUR_US(10);
        offset += was_granted ? -step : step;
        offset = offset < 0 ? 0 : offset;
        last = was_granted;
        granted += was_granted;
    }
    cr_expect(granted > 0 && granted < tries, "badly aimed: %u granted", granted);

    /* And nothing is left that would be in the way of others. */
    instance_start(B, NULL);
    cr_assert(set_lock(F_UNLCK));
    instance_wait(A, "elected", "");
    instance_stop(A);
    instance_wait(B, "elected", "");
    diary_wait(&diary, "b", 10);
    diary_check(&diary);
    instance_check_log(A);
    (void)close(rival);
}
