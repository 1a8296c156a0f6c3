#include "common/config_path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What the shell's < and <(...) hand over; any other name below /dev and /proc is one as usual. */
static bool is_descriptor(const char *file)
{
    return strcmp(file, "/dev/stdin") == 0 || begins_with(file, "/dev/fd/") ||
           begins_with(file, "/proc/self/fd/");
}

size_t config_path_directory(const char *file)
{
    const char *slash = file == NULL ? NULL : strrchr(file, '/');

    return slash == NULL || is_descriptor(file) ? 0 : (size_t)(slash - file) + 1;
}

/* As it was given, where it cannot be found out what it is. Without a working directory the path
 * stays as it is, and fails where it is used. */
static const char *as_given(struct config_memory *memory, const char *directory, const char *path)
{
    char *here = directory[0] == '/' ? NULL : getcwd(NULL, 0);
    bool is_root = here != NULL && strcmp(here, "/") == 0;
    const char *whole = config_memory_format(memory, "%s%s%s%s", here == NULL ? "" : here,
                                             here == NULL || is_root ? "" : "/", directory, path);

    free(here);
    return whole;
}

/* ./run is run. */
static const char *without_dots(const char *path)
{
    while (begins_with(path, "./")) {
        path += 1 + strspn(path + 1, "/");
    }
    return path;
}

const char *config_path_absolute(struct config_memory *memory, struct origin said, const char *path)
{
    if (path[0] == '/') {
        return config_memory_text(memory, path);
    }

    /* Only what stands in a file has a line. */
    const char *directory = config_memory_bytes(
        memory, said.file, said.line == 0 ? 0 : config_path_directory(said.file));
    /* However the file was named: fleets compare what comes out. The file itself may be a link
     * to elsewhere; what counts is where it was asked for. */
    char *real = realpath(directory[0] == '\0' ? "." : directory, NULL);

    if (real == NULL) {
        return as_given(memory, directory, path);
    }

    const char *whole = config_memory_format(memory, "%s%s%s", real,
                                             strcmp(real, "/") == 0 ? "" : "/", without_dots(path));

    free(real);
    return whole;
}
