/*
 * long_test.h - for a test that takes too long for `make test`: it runs in
 * `make test-long` only, and is counted as skipped elsewhere.
 */
#ifndef PGBATON_TESTS_SUPPORT_LONG_TEST_H
#define PGBATON_TESTS_SUPPORT_LONG_TEST_H

#include <criterion/criterion.h>
#include <stdlib.h>

/* LONG_TEST - the first statement of such a test. */
#define LONG_TEST()                                                                                \
    do {                                                                                           \
        if (getenv("PGBATON_TEST_LONG") == NULL) {                                                 \
            cr_skip_test("takes long: it runs in make test-long");                                 \
        }                                                                                          \
    } while (0)

#endif
