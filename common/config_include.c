#include "common/config_include.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config_ini.h"
#include "common/config_path.h"
#include "common/config_words.h"

static void complain(struct config_entries *entries, const char *path, struct origin asked_at,
                     const char *what)
{
    if (asked_at.file == NULL) {
        config_problem_add(entries->problems, false, (struct origin){.file = path}, NULL, NULL,
                           "%s", what);
    } else {
        config_problem_add(entries->problems, false, asked_at, "pgbaton", "include", "'%.200s': %s",
                           path, what);
    }
}

/* Everything up to the end; a pipe is as good as a file. Returns 0 or a negative errno. */
static int read_all(int fd, char **ret_text, size_t *ret_length)
{
    size_t capacity = (size_t)64 * 1024;
    size_t length = 0;
    char *text = malloc(capacity);
    ssize_t got = -1;

    while (text != NULL && length <= CONFIG_FILE_MAX) {
        got = read(fd, text + length, capacity - length);
        if (got == -1 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        length += (size_t)got;
        if (length == capacity) {
            char *more = realloc(text, capacity * 2);

            if (more == NULL) {
                free(text);
            }
            text = more;
            capacity *= 2;
        }
    }
    if (text == NULL) {
        return -ENOMEM;
    }
    if (got != 0) {
        int rc = got == -1 ? -errno : -EFBIG;

        free(text);
        return rc;
    }
    *ret_text = text;
    *ret_length = length;
    return 0;
}

/* How deep the includes are here; 0 where one of the files above is this one. */
static unsigned depth_of(const struct config_include *here)
{
    unsigned depth = 1;

    for (const struct config_include *up = here->parent; up != NULL; up = up->parent) {
        if (up->device == here->device && up->inode == here->inode) {
            return 0;
        }
        depth++;
    }
    return depth;
}

/* Notes which file it is. Returns NULL, or why it must not be read. */
static const char *identify(struct config_include *here, int fd, bool may_wait)
{
    struct stat st;

    if (fstat(fd, &st) == -1) {
        return strerror(errno);
    }
    if (S_ISDIR(st.st_mode)) {
        return "is a directory; give it a file (conf.d/*.ini for those in one)";
    }
    /* A pipe that nobody writes to reads as an empty file, or never: which is not for us to say. */
    if (!may_wait && !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) {
        return here->parent != NULL ? "is no regular file: what is included is not waited for"
                                    : "is no regular file: a reload does not wait for one";
    }
    here->device = st.st_dev;
    here->inode = st.st_ino;

    unsigned depth = depth_of(here);

    if (depth == 0) {
        return "includes itself";
    }
    if (depth > CONFIG_INCLUDE_DEPTH_MAX) {
        return "is too deep: at most 8 files include each other";
    }
    return NULL;
}

bool config_include_load(struct config_entries *entries, struct config_include *here,
                         const char *path, struct origin asked_at, char **ret_text,
                         size_t *ret_length)
{
    const bool may_wait = here->parent == NULL && !entries->never_wait;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (may_wait ? 0 : O_NONBLOCK));

    if (fd == -1) {
        config_problem_add(entries->problems, false,
                           asked_at.file == NULL ? (struct origin){.file = path} : asked_at, NULL,
                           NULL, "cannot read '%.200s': %s", path, strerror(errno));
        return false;
    }

    const char *refused = identify(here, fd, may_wait);
    int rc = refused == NULL ? read_all(fd, ret_text, ret_length) : 0;

    (void)close(fd);
    if (rc == -ENOMEM) {
        entries->memory.failed = true;
    } else if (rc < 0) {
        refused = rc == -EFBIG ? "is larger than 16 MiB" : strerror(-rc);
    }
    if (refused != NULL) {
        complain(entries, path, asked_at, refused);
    }
    return refused == NULL && rc == 0;
}

static const char *resolve(struct config_entries *entries, const char *file, const char *pattern)
{
    int length = (int)config_path_directory(file);

    if (pattern[0] == '/' || length == 0) {
        return config_memory_text(&entries->memory, pattern);
    }
    return config_memory_format(&entries->memory, "%.*s%s", length, file, pattern);
}

/* A directory that is not there holds nothing; one that may not be read is an error. */
static int on_glob_error(const char *path, int error)
{
    (void)path;
    return error == ENOENT || error == ENOTDIR ? 0 : 1;
}

static void append(struct config_entries *entries, struct config_include_files *files,
                   const glob_t *found)
{
    size_t count = files->count + found->gl_pathc;
    const char **paths = config_memory_take(&entries->memory, count * sizeof(*paths));

    if (paths == NULL) {
        return;
    }
    if (files->count > 0) {
        memcpy(paths, files->paths, files->count * sizeof(*paths));
    }
    for (size_t i = 0; i < found->gl_pathc; i++) {
        paths[files->count + i] = config_memory_text(&entries->memory, found->gl_pathv[i]);
    }
    files->paths = paths;
    files->count = count;
}

static void find_one(struct config_entries *entries, const char *pattern, struct origin at,
                     struct config_include_files *files)
{
    glob_t found = {0};
    int rc = glob(pattern, 0, on_glob_error, &found);

    if (rc == 0) {
        append(entries, files, &found);
    } else if (rc == GLOB_NOMATCH) {
        if (strpbrk(pattern, "*?[") == NULL) {
            complain(entries, pattern, at, "there is no such file; a pattern may match none");
        }
    } else if (rc == GLOB_NOSPACE) {
        entries->memory.failed = true;
    } else {
        complain(entries, pattern, at, "its directory cannot be read");
    }
    globfree(&found);
}

void config_include_find(struct config_entries *entries, const char *file, const char *patterns,
                         struct origin at, struct config_include_files *ret_files)
{
    char reason[256];
    char **words = NULL;
    size_t count = 0;
    int rc = config_words_split(&entries->memory, patterns, &words, &count, reason, sizeof(reason));

    *ret_files = (struct config_include_files){0};
    if (rc == -EINVAL || (rc == 0 && count == 0)) {
        config_problem_add(entries->problems, false, at, "pgbaton", "include", "%s",
                           rc == 0 ? "is empty; give it a pattern such as conf.d/*.ini" : reason);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        find_one(entries, resolve(entries, file, words[i]), at, ret_files);
    }
}
