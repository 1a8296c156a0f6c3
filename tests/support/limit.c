/*
 * A limit for each test by the clock on the wall. Criterion's .timeout counts processor time: a
 * test that waits for what never comes would keep all of them waiting, for ever.
 */
#include <stdlib.h>
#include <unistd.h>

/* Longer than the longest of them takes on a slow machine. */
enum { TEST_MAX_S = 1200 };

/* Runs in the process of each test too. That of all tests, which has no such limit, is told from
 * it by what Criterion hands down. Jobs and instances do not inherit it: alarm(2). */
static __attribute__((constructor)) void limit_test(void)
{
    if (getenv("BXFI_MAP") != NULL) {
        (void)alarm(TEST_MAX_S);
    }
}
