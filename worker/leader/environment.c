#include "worker/leader/environment.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LIST_FIRST = 64 };

/* A list that grows; a name that is set again replaces what it was. */
struct list {
    char **words; /* owned, NULL-terminated */
    size_t count;
    size_t room;
    bool out_of_memory;
};

static size_t name_length(const char *word)
{
    return strcspn(word, "=");
}

/* word is taken over. */
static void put(struct list *list, char *word)
{
    if (word == NULL) {
        list->out_of_memory = true;
        return;
    }
    size_t length = name_length(word) + 1;
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->words[i], word, length) == 0) {
            free(list->words[i]);
            list->words[i] = word;
            return;
        }
    }
    if (list->count + 1 >= list->room) {
        size_t room = list->room == 0 ? LIST_FIRST : list->room * 2;
        char **words = reallocarray(list->words, room, sizeof(*words));

        if (words == NULL) {
            free(word);
            list->out_of_memory = true;
            return;
        }
        list->words = words;
        list->room = room;
    }
    list->words[list->count++] = word;
    list->words[list->count] = NULL;
}

__attribute__((format(printf, 2, 3))) static void set(struct list *list, const char *format, ...)
{
    va_list args;
    char *word;

    va_start(args, format);
    if (vasprintf(&word, format, args) == -1) {
        word = NULL;
    }
    va_end(args);
    put(list, word);
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What the daemon was told and a job must not know unless it asks for it. */
static bool is_secret(const char *word)
{
    return begins_with(word, "PGPASSWORD=") || begins_with(word, "PGBATON_DATABASE_") ||
           begins_with(word, "NOTIFY_SOCKET=");
}

static const char *find(char *const *environment, const char *prefix)
{
    for (; *environment != NULL; environment++) {
        if (begins_with(*environment, prefix)) {
            return *environment + strlen(prefix);
        }
    }
    return NULL;
}

static void set_user(struct list *list, const struct account *account)
{
    set(list, "HOME=%s", account->home);
    set(list, "USER=%s", account->name);
    set(list, "LOGNAME=%s", account->name);
}

static void set_bare(struct list *list, const struct account *account, char *const *inherited)
{
    const char *language = find(inherited, "LANG=");

    set(list, "PATH=/usr/bin:/bin");
    set(list, "SHELL=/bin/sh");
    set(list, "LANG=%s", language != NULL ? language : "C.UTF-8");
    set_user(list, account);
}

static void set_inherited(struct list *list, const struct account *account, char *const *inherited)
{
    for (; *inherited != NULL; inherited++) {
        if (!is_secret(*inherited) && strchr(*inherited, '=') != NULL) {
            put(list, strdup(*inherited));
        }
    }
    if (account->change) { /* root's home is of no use to another user */
        set_user(list, account);
    }
}

/* What may be read without waiting: a pipe is no regular file. 0 or a negative errno. */
static int check_file(int fd)
{
    struct stat about;

    if (fstat(fd, &about) == -1) {
        return -errno;
    }
    if (!S_ISREG(about.st_mode)) {
        return -EINVAL;
    }
    return about.st_size > ENVIRONMENT_FILE_MAX ? -EFBIG : 0;
}

/* Returns how many bytes there were, or a negative errno. */
static ssize_t read_all(int fd, char *text, size_t size)
{
    size_t used = 0;

    while (used < size) {
        ssize_t count = read(fd, text + used, size - used);

        if (count == 0) {
            break;
        }
        if (count == -1 && errno != EINTR) {
            return -errno;
        }
        used += count > 0 ? (size_t)count : 0;
    }
    return (ssize_t)used;
}

/* Returns 0 and the whole file, to be freed, or a negative errno. */
static int read_file(const char *path, char **ret_text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd == -1) {
        return -errno;
    }
    ssize_t length = check_file(fd);
    char *text = length == 0 ? malloc(ENVIRONMENT_FILE_MAX + 1) : NULL;
    if (text != NULL) {
        length = read_all(fd, text, ENVIRONMENT_FILE_MAX);
    } else if (length == 0) {
        length = -ENOMEM;
    }
    (void)close(fd);
    if (length < 0 || text == NULL) {
        free(text);
        return (int)length;
    }
    text[length] = '\0';
    *ret_text = text;
    return 0;
}

static bool is_name(const char *word)
{
    size_t length = name_length(word);

    if (length == 0 || word[length] != '=' || isdigit((unsigned char)word[0])) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)word[i]) && word[i] != '_') {
            return false;
        }
    }
    return true;
}

static void take_off_quotes(char *value)
{
    size_t length = strlen(value);

    if (length >= 2 && (value[0] == '"' || value[0] == '\'') && value[length - 1] == value[0]) {
        value[length - 1] = '\0';
        (void)memmove(value, value + 1, length - 1);
    }
}

static void trim_end(char *line)
{
    size_t length = strlen(line);

    while (length > 0 && isspace((unsigned char)line[length - 1])) {
        line[--length] = '\0';
    }
}

static int set_from_file(struct list *list, const char *path, char *reterr, size_t size)
{
    char *text = NULL;
    unsigned number = 0;
    int rc = read_file(path, &text);

    if (rc < 0) {
        (void)snprintf(reterr, size, "cannot read environment_file '%s': %s", path,
                       rc == -EINVAL ? "it is no regular file" : strerror(-rc));
        return rc;
    }
    char *rest = text;
    for (char *line; rc == 0 && (line = strsep(&rest, "\n")) != NULL;) {
        number++;
        line += strspn(line, " \t");
        trim_end(line);
        if (line[0] == '\0' || line[0] == '#') {
            continue;
        }
        if (is_name(line)) {
            take_off_quotes(line + name_length(line) + 1);
            put(list, strdup(line));
        } else { /* the line itself may be a secret: it is not shown */
            (void)snprintf(reterr, size, "%s:%u: this is not NAME=VALUE", path, number);
            rc = -EINVAL;
        }
    }
    free(text);
    return rc;
}

static const char *dsn_prefix(const struct config_database *database)
{
    switch (database->kind) {
    case DATABASE_SQLITE:
        return "sqlite:";
    case DATABASE_POSTGRES:
    case DATABASE_NONE:
        return "";
    }
    return "";
}

static void set_run(struct list *list, const struct config *cfg, const struct config_job *job,
                    const struct environment_run *run)
{
    set(list, "PGBATON_JOB=%s", job->name);
    set(list, "PGBATON_RUN_ID=%s", run->run_id);
    set(list, "PGBATON_SCHEDULED_AT=%s", instant_text(run->scheduled_at).is);
    set(list, "PGBATON_ATTEMPT=%u", run->attempt);
    set(list, "PGBATON_EPOCH=%s", run->epoch);
    set(list, "PGBATON_INSTANCE=%s", cfg->pgbaton.instance);
    set(list, "PGBATON_ELECTION=%s", cfg->election.name);
    if (job->pass_database && cfg->database.dsn != NULL) {
        set(list, "PGBATON_DATABASE_DSN=%s%s", dsn_prefix(&cfg->database), cfg->database.dsn);
    }
}

char **environment_build(const struct config *cfg, const struct config_job *job,
                         const struct account *account, const struct environment_run *run,
                         char *const *inherited, char *reterr, size_t size)
{
    struct list list = {.words = NULL};

    if (job->clean_environment) {
        set_bare(&list, account, inherited);
    } else {
        set_inherited(&list, account, inherited);
    }
    if (job->environment_file != NULL &&
        set_from_file(&list, job->environment_file, reterr, size) < 0) {
        environment_free(list.words);
        return NULL;
    }
    for (char **word = job->environment; word != NULL && *word != NULL; word++) {
        put(&list, strdup(*word));
    }
    set_run(&list, cfg, job, run);
    for (char *const *word = run->more; word != NULL && *word != NULL; word++) {
        put(&list, strdup(*word));
    }
    if (list.out_of_memory) {
        (void)snprintf(reterr, size, "out of memory");
        environment_free(list.words);
        return NULL;
    }
    return list.words;
}

void environment_free(char **environment)
{
    for (char **word = environment; word != NULL && *word != NULL; word++) {
        free(*word);
    }
    free(environment);
}

struct instant_text instant_text(wall_ns at)
{
    struct instant_text out;
    time_t seconds = (time_t)(at / DUR_S(1));
    long fraction = (long)(at % DUR_S(1));
    struct tm parts;
    size_t used;

    assert(at >= 0);
    (void)gmtime_r(&seconds, &parts);
    used = strftime(out.is, sizeof(out.is), "%Y-%m-%dT%H:%M:%S", &parts);
    if (fraction / DUR_MS(1) > 0) {
        (void)snprintf(out.is + used, sizeof(out.is) - used, ".%03ldZ",
                       (long)(fraction / DUR_MS(1)));
    } else {
        (void)snprintf(out.is + used, sizeof(out.is) - used, "Z");
    }
    return out;
}
