/*
 * The daemon's user, for a command that root calls and that does what the daemon would.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "supervisor/cli/commands.h"
#include "supervisor/privileges.h"

int cli_become_user(const struct config *cfg, bool may_change_again, char *reterr, size_t size)
{
    struct privileges privileges;

    if (geteuid() != 0) {
        return EXIT_CODE_DONE;
    }
    if (privileges_find(cfg, &privileges, reterr, size) < 0) {
        return EXIT_CODE_CONFIG;
    }
    privileges.keep_capabilities = may_change_again && privileges.uid != 0;

    int rc = privileges_drop(&privileges);

    if (rc < 0) {
        (void)snprintf(reterr, size, "cannot become the user of [pgbaton] user: %s", strerror(-rc));
        return EXIT_CODE_NOT_PERMITTED;
    }
    return EXIT_CODE_DONE;
}
