#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config_private.h"
#include "common/random.h"

/*
 * The memfd holds this header and then, for each entry, a line number and four
 * strings with their NULs; then, for each zone, its name with its NUL, a length,
 * and as many bytes of tzdata: a child judges by what the supervisor has read,
 * whatever becomes of the files. Both ends are builds of one program on one machine,
 * so numbers are as they are in memory; the monitor may be another build for a moment.
 */
enum { SEAL_VERSION = 2, SEAL_STRINGS = 4 };

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct seal_header {
    char magic[8];
    uint32_t version;
    uint32_t count; /* of entries */
    uint64_t zone_count;
    uint64_t size;        /* of all of it */
    uint64_t body_hash;   /* of what follows */
    uint64_t config_hash; /* one without secrets could not work it out */
};

static const char seal_magic[8] = "pgbaton";

/* FNV-1a, as random_hash(), over bytes that have NULs among them. */
static uint64_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* What the monitor may see of an entry: NULL for nothing, else a value that parses alike. */
static const char *without_secret(const struct config *cfg, const struct config_entry *entry)
{
    enum config_section section;
    const char *job;
    char ignored[512];

    if (entry->key[0] == '\0' ||
        config_section_parse(entry->section, &section, &job, ignored, sizeof(ignored)) < 0) {
        return entry->value;
    }

    const struct config_row *row = config_table_find(section, entry->key, ignored, sizeof(ignored));

    if (row == NULL || !row->secret) {
        return entry->value;
    }
    if (row->kind == KIND_COMMAND || row->kind == KIND_WORDS || row->kind == KIND_SQL) {
        return "-";
    }
    if (row->kind != KIND_DSN) {
        return NULL;
    }
    switch (cfg->database.kind) {
    case DATABASE_POSTGRES:
        return "postgresql://";
    case DATABASE_SQLITE:
        return "sqlite:/-";
    case DATABASE_NONE:
        break;
    }
    return "none";
}

static void write_entry(FILE *to, const struct config_entry *entry, const char *value)
{
    uint32_t line = entry->origin.line;
    const char *strings[SEAL_STRINGS] = {entry->section, entry->key, value, entry->origin.file};

    (void)fwrite(&line, sizeof(line), 1, to);
    for (size_t i = 0; i < SEAL_STRINGS; i++) {
        (void)fwrite(strings[i], strlen(strings[i]) + 1, 1, to);
    }
}

static void write_zone(FILE *to, const struct config_zone *zone)
{
    uint32_t size = (uint32_t)zone->from.size;

    (void)fwrite(zone->name, strlen(zone->name) + 1, 1, to);
    (void)fwrite(&size, sizeof(size), 1, to);
    (void)fwrite(zone->from.bytes, 1, size, to);
}

/* Header and body in one piece of memory; the caller frees it. NULL: no memory. */
static char *serialise(const struct config *cfg, bool with_secrets, size_t *ret_size)
{
    const struct config_entries *entries = &cfg->private->entries;
    struct seal_header header = {.version = SEAL_VERSION, .config_hash = cfg->hash};
    char *bytes = NULL;
    FILE *to = open_memstream(&bytes, ret_size);

    if (to == NULL) {
        return NULL;
    }
    memcpy(header.magic, seal_magic, sizeof(header.magic));
    (void)fwrite(&header, sizeof(header), 1, to);
    for (size_t i = 0; i < entries->count; i++) {
        const struct config_entry *entry = &entries->list[i];
        const char *value = with_secrets ? entry->value : without_secret(cfg, entry);

        if (value != NULL) {
            write_entry(to, entry, value);
            header.count++;
        }
    }
    for (const struct config_zone *z = cfg->private->zones; z != NULL; z = z->next) {
        if (z->from.size > 0) {
            write_zone(to, z);
            header.zone_count++;
        }
    }

    bool failed = ferror(to) != 0;

    if (fclose(to) != 0 || failed) {
        free(bytes);
        return NULL;
    }
    header.size = *ret_size;
    header.body_hash = hash_bytes(bytes + sizeof(header), *ret_size - sizeof(header));
    memcpy(bytes, &header, sizeof(header));
    return bytes;
}

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);

        if (put == -1 && errno != EINTR) {
            return -errno;
        }
        if (put > 0) {
            bytes += put;
            size -= (size_t)put;
        }
    }
    return 0;
}

int config_seal(const struct config *cfg, bool with_secrets)
{
    size_t size = 0;
    char *bytes = serialise(cfg, with_secrets, &size);
    int rc;

    if (bytes == NULL) {
        return -ENOMEM;
    }

    int fd = memfd_create("pgbaton configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd == -1) {
        rc = -errno;
        goto free_bytes;
    }
    rc = write_all(fd, bytes, size);
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == -1) {
        rc = -errno;
    }
    if (rc < 0) {
        (void)close(fd);
    } else {
        rc = fd;
    }

free_bytes:
    explicit_bzero(bytes, size); /* passwords */
    free(bytes);
    return rc;
}

/* Nobody may change it under our eyes, and it is as long as it says. */
static int load(int fd, char **ret_bytes, size_t *ret_size)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals == -1 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE)) {
        return -EINVAL;
    }
    if (fstat(fd, &st) == -1) {
        return -errno;
    }
    if ((size_t)st.st_size < sizeof(struct seal_header) || st.st_size > INT32_MAX) {
        return -EINVAL;
    }

    size_t size = (size_t)st.st_size;
    char *bytes = malloc(size);

    if (bytes == NULL) {
        return -ENOMEM;
    }
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(fd, bytes + got, size - got, (off_t)got);

        if (n == 0 || (n == -1 && errno != EINTR)) {
            int rc = n == 0 ? -EINVAL : -errno;

            free(bytes);
            return rc;
        }
        got += n > 0 ? (size_t)n : 0;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return 0;
}

/* The string at *at, if its NUL is before end. */
static const char *take_string(const char **at, const char *end)
{
    const char *from = *at;
    const char *nul = memchr(from, '\0', (size_t)(end - from));

    if (nul == NULL) {
        return NULL;
    }
    *at = nul + 1;
    return from;
}

static int take_entry(struct config_entries *entries, const char **at, const char *end)
{
    uint32_t line;
    const char *strings[SEAL_STRINGS];

    if ((size_t)(end - *at) < sizeof(line)) {
        return -EINVAL;
    }
    memcpy(&line, *at, sizeof(line));
    *at += sizeof(line);
    for (size_t i = 0; i < SEAL_STRINGS; i++) {
        strings[i] = take_string(at, end);
        if (strings[i] == NULL) {
            return -EINVAL;
        }
    }

    /* Most are of one file: its name is kept once. */
    const char *file = entries->count > 0 ? entries->list[entries->count - 1].origin.file : NULL;

    if (file == NULL || strcmp(file, strings[3]) != 0) {
        file = config_memory_text(&entries->memory, strings[3]);
    }

    struct config_entry entry = {
        .section = strings[0],
        .key = strings[1],
        .value = strings[2],
        .origin = {.file = file, .line = line},
    };

    config_entries_put(entries, &entry);
    return 0;
}

static int take_zone(struct config *cfg, const char **at, const char *end)
{
    const char *name = take_string(at, end);
    uint32_t size;
    struct zone_bytes from;

    if (name == NULL || (size_t)(end - *at) < sizeof(size)) {
        return -EINVAL;
    }
    memcpy(&size, *at, sizeof(size));
    *at += sizeof(size);
    if (size > (size_t)(end - *at)) {
        return -EINVAL;
    }
    from.size = size;
    from.bytes = config_memory_bytes(&cfg->private->entries.memory, *at, size);
    *at += size;
    return config_memory_failed(&cfg->private->entries.memory) ||
                   config_zone_put(cfg, name, from) == NULL
               ? -ENOMEM
               : 0;
}

static int parse(struct config *cfg, const char *bytes, size_t size, struct seal_header *ret_header)
{
    struct config_entries *entries = &cfg->private->entries;
    struct seal_header header;
    const char *at = bytes + sizeof(header);
    const char *end = bytes + size;

    memcpy(&header, bytes, sizeof(header));
    if (memcmp(header.magic, seal_magic, sizeof(seal_magic)) != 0 ||
        header.version != SEAL_VERSION || header.size != size ||
        header.body_hash != hash_bytes(at, size - sizeof(header))) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < header.count; i++) {
        int rc = take_entry(entries, &at, end);

        if (rc < 0) {
            return rc;
        }
    }
    for (uint64_t i = 0; i < header.zone_count; i++) {
        int rc = take_zone(cfg, &at, end);

        if (rc < 0) {
            return rc;
        }
    }
    *ret_header = header;
    return at == end ? 0 : -EINVAL;
}

int config_unseal(int fd, struct config **ret_config)
{
    struct config_problems problems = {0};
    struct seal_header header;
    char *bytes = NULL;
    size_t size = 0;
    int rc = load(fd, &bytes, &size);

    if (rc < 0) {
        return rc;
    }

    assert(bytes != NULL);

    struct config *cfg = config_new(&problems);

    rc = cfg == NULL ? -ENOMEM : parse(cfg, bytes, size, &header);
    if (rc == 0) {
        rc = config_build(cfg);
    }
    explicit_bzero(bytes, size); /* passwords */
    free(bytes);
    config_problems_release(&problems);
    if (rc < 0) {
        config_free(cfg);
        return rc;
    }
    cfg->private->entries.problems = NULL;
    cfg->hash = header.config_hash;
    *ret_config = cfg;
    return 0;
}
