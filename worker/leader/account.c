#include "worker/leader/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LOOKUP_BYTES = 64 * 1024, /* an entry that is longer is taken for an error */
    GROUPS_FIRST = 32,
};

void account_free(struct account *account)
{
    if (account == NULL) {
        return;
    }
    free(account->groups);
    free(account->name);
    free(account->home);
    free(account);
}

/* getgrouplist() says how many there are when the room was not enough. */
static int find_groups(struct account *account)
{
    int count = GROUPS_FIRST;

    for (int attempt = 0; attempt < 4; attempt++) {
        gid_t *list = reallocarray(account->groups, (size_t)count, sizeof(*list));

        if (list == NULL) {
            return -ENOMEM;
        }
        account->groups = list;
        if (getgrouplist(account->name, account->gid, list, &count) >= 0) {
            account->group_count = (size_t)count;
            return 0;
        }
    }
    return -ERANGE; /* it grew with every look */
}

static struct account *account_make(uid_t uid, gid_t gid, const char *name, const char *home)
{
    struct account *account = calloc(1, sizeof(*account));

    if (account == NULL) {
        return NULL;
    }
    account->uid = uid;
    account->gid = gid;
    account->name = strdup(name);
    account->home = strdup(home[0] != '\0' ? home : "/"); /* as login does */
    if (account->name == NULL || account->home == NULL) {
        account_free(account);
        return NULL;
    }
    return account;
}

static struct account *own_account(const struct passwd *entry)
{
    char number[16];

    if (entry != NULL) {
        return account_make(geteuid(), getegid(), entry->pw_name, entry->pw_dir);
    }
    (void)snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
    return account_make(geteuid(), getegid(), number, "/");
}

static struct account *other_account(const struct passwd *entry)
{
    struct account *account =
        account_make(entry->pw_uid, entry->pw_gid, entry->pw_name, entry->pw_dir);

    if (account == NULL) {
        return NULL;
    }
    /* A daemon that is that user already changes nothing: it may lack the privilege to. */
    account->change = entry->pw_uid != geteuid();
    if (account->change && find_groups(account) < 0) {
        account_free(account);
        return NULL;
    }
    return account;
}

struct account *account_find(const char *user, char *reterr, size_t size)
{
    struct passwd entry;
    struct passwd *found = NULL;
    struct account *account = NULL;
    char *buffer = malloc(LOOKUP_BYTES);
    int rc;

    if (buffer == NULL) {
        (void)snprintf(reterr, size, "out of memory");
        return NULL;
    }
    rc = user != NULL ? getpwnam_r(user, &entry, buffer, LOOKUP_BYTES, &found)
                      : getpwuid_r(geteuid(), &entry, buffer, LOOKUP_BYTES, &found);
    if (user == NULL) {
        account = own_account(found);
    } else if (found != NULL) {
        account = other_account(found);
    } else {
        (void)snprintf(reterr, size, "cannot find user '%s': %s", user,
                       rc == 0 ? "there is no such user" : strerror(rc));
        goto free_buffer;
    }
    if (account == NULL) {
        (void)snprintf(reterr, size, "cannot look up the groups of user '%s'",
                       user != NULL ? user : "of the daemon");
    }

free_buffer:
    free(buffer);
    return account;
}
