#include "common/config_path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* How much of that name is a directory, with its slash; 0: the working directory is meant. Only
 * what stands in a file has a line. */
static size_t directory_length(struct origin said)
{
    const char *slash = said.line == 0 ? NULL : strrchr(said.file, '/');

    if (slash == NULL || begins_with(said.file, "/dev/") || begins_with(said.file, "/proc/")) {
        return 0;
    }
    return (size_t)(slash - said.file) + 1;
}

const char *config_path_absolute(struct config_memory *memory, struct origin said, const char *path)
{
    if (path[0] == '/') {
        return config_memory_text(memory, path);
    }

    int length = (int)directory_length(said);
    /* A file that was named by a relative path itself. */
    bool is_below = length == 0 || said.file[0] != '/';
    char *here = is_below ? getcwd(NULL, 0) : NULL;
    /* Without a working directory the path stays as it is, and fails where it is used. */
    const char *whole =
        config_memory_format(memory, "%s%s%.*s%s", here == NULL ? "" : here,
                             here == NULL ? "" : "/", length, length == 0 ? "" : said.file, path);

    free(here);
    return whole;
}
