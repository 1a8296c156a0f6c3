#include "common/identity.h"

#include <criterion/criterion.h>

Test(identity, an_epoch_reads_generation_dot_number)
{
    struct epoch longest = {UINT64_MAX, UINT64_MAX};

    cr_expect_str_eq(epoch_text((struct epoch){1, 7}).is, "1.7");
    cr_expect_str_eq(epoch_text((struct epoch){0, 0}).is, "0.0");
    cr_expect_str_eq(epoch_text(longest).is, "18446744073709551615.18446744073709551615");
}

Test(identity, epochs_are_equal_in_both_parts)
{
    struct epoch a = {1, 7};

    cr_expect(epoch_equal(a, (struct epoch){1, 7}));
    cr_expect_not(epoch_equal(a, (struct epoch){1, 8}));
    cr_expect_not(epoch_equal(a, (struct epoch){2, 7}));
}

Test(identity, a_server_is_its_cluster_and_its_timeline)
{
    struct server_identity a = {.system_id = 9, .timeline = 1};

    cr_expect(identity_equal(a, (struct server_identity){.system_id = 9, .timeline = 1}));
    cr_expect_not(identity_equal(a, (struct server_identity){.system_id = 9, .timeline = 2}));
    cr_expect_not(identity_equal(a, (struct server_identity){.system_id = 8, .timeline = 1}));
}
