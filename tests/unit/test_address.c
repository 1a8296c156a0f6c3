#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/database/address.h"

/* clang-format off */
static const struct {
    const char *title;
    const char *hosts;
    const char *hostaddrs;
    const char *ports;
    int rc;
    const char *want; /* HOST/HOSTADDR/PORT, separated by spaces */
} cases[] = {
    {"one host", "db1", NULL, "5433", 0, "db1//5433"},
    {"no port is 5432", "db1", NULL, NULL, 0, "db1//5432"},
    {"nothing at all is the default socket", NULL, NULL, NULL, 0, "//5432"},
    {"one port stands for all hosts", "a,b", NULL, "5433", 0, "a//5433 b//5433"},
    {"a port each", "a,b", NULL, "1,2", 0, "a//1 b//2"},
    {"an empty port is 5432", "a,b", NULL, "1,", 0, "a//1 b//5432"},
    {"addresses go with their hosts", "a,b", "10.0.0.1,10.0.0.2", "1", 0, "a/10.0.0.1/1 b/10.0.0.2/1"},
    {"an empty address leaves the host to the resolver", "a,b", "10.0.0.1,", "1", 0, "a/10.0.0.1/1 b//1"},
    {"addresses alone", NULL, "::1,10.0.0.2", "1", 0, "/::1/1 /10.0.0.2/1"},
    {"sockets are hosts", "/run/pg,@abstract", NULL, "1", 0, "/run/pg//1 @abstract//1"},
    {"more ports than hosts", "a,b", NULL, "1,2,3", -EINVAL, ""},
    {"more addresses than hosts", "a", "10.0.0.1,10.0.0.2", "1", -EINVAL, ""},
    {"a port that is too long to be one", "a", NULL, "123456789", -ERANGE, ""},
};
/* clang-format on */

static const char *shown(const struct address_list *list)
{
    static char text[1024];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s/%s/%s", i == 0 ? "" : " ",
                                 list->list[i].host, list->list[i].hostaddr, list->list[i].port);
    }
    return text;
}

Test(address, lists_of_a_dsn)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address_list list = {0};
        int rc = address_split(cases[i].hosts, cases[i].hostaddrs, cases[i].ports, &list);

        cr_expect(rc == cases[i].rc, "%s: %d", cases[i].title, rc);
        cr_expect_str_eq(shown(&list), cases[i].want, "%s: %s", cases[i].title, shown(&list));
        address_list_release(&list);
    }
}

/* libpq reads the dsn for us and is stopped before it connects: this depends on what it checks
 * first. */
Test(address, libpq_says_where_a_dsn_leads_and_connects_to_nothing)
{
    struct address_list list = {0};
    char text[256] = "";

    cr_assert_eq(setenv("PGPORT", "7777", 1), 0);
    int rc =
        address_enumerate("host=127.0.0.1,127.0.0.2 password=secret", &list, text, sizeof(text));

    cr_expect_eq(rc, 0, "%s", text);
    cr_expect_str_eq(shown(&list), "127.0.0.1/127.0.0.1/7777 127.0.0.2/127.0.0.2/7777", "%s",
                     shown(&list));
    address_list_release(&list);
    cr_assert_eq(unsetenv("PGPORT"), 0);
}

Test(address, a_dsn_that_libpq_cannot_read_is_told_apart)
{
    static const char *const wrong[] = {
        "host=a bogus=1",
        "host=a,b port=1,2,3",
        "service=there-is-no-such-service",
        "postgresql://[::1",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct address_list list = {0};
        char text[256] = "";

        cr_expect_eq(address_enumerate(wrong[i], &list, text, sizeof(text)), -EINVAL, "%s",
                     wrong[i]);
        cr_expect(text[0] != '\0' && strchr(text, '\n') == NULL, "%s: '%s'", wrong[i], text);
        cr_expect_null(list.list);
    }
}

Test(address, of_a_socket_is_never_resolved)
{
    struct address_list list = {0};
    char text[256] = "";

    cr_expect_eq(address_enumerate("host=/nowhere,@nothing port=1", &list, text, sizeof(text)), 0);
    cr_expect_str_eq(shown(&list), "/nowhere//1 @nothing//1", "%s", shown(&list));
    address_list_release(&list);
}

Test(address, a_dsn_that_cannot_be_read_is_not_repeated_where_it_may_have_a_password)
{
    static const char *const wrong[] = {
        "host=a password=se krit",
        "host=a password=my krit=x",
        "host=a password='krit",
        "postgresql://app:se@krit@127.0.0.1/app",
        "postgresql://app:se@krit@127.0.0.1,127.0.0.2/app",
        "postgresql://app:se%krit@127.0.0.1/app",
        "postgresql://app:x@127.0.0.1/app?krit",
        "postgresql://app:x@[krit/app",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct address_list list = {0};
        char text[256] = "";

        cr_expect_eq(address_enumerate(wrong[i], &list, text, sizeof(text)), -EINVAL, "%s",
                     wrong[i]);
        cr_expect(text[0] != '\0', "%s", wrong[i]);
        cr_expect_null(strstr(text, "krit"), "%s: '%s'", wrong[i], text);
        address_list_release(&list);
    }
}

Test(address, a_dsn_without_a_password_is_told_what_is_wrong_with_it)
{
    struct address_list list = {0};
    char text[256] = "";

    cr_expect_eq(address_enumerate("host=a bogus=1", &list, text, sizeof(text)), -EINVAL);
    cr_expect_not_null(strstr(text, "bogus"), "'%s'", text);
}
