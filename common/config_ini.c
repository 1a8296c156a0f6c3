#include "common/config_ini.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_include.h"
#include "common/config_lines.h"

/* One file while inih goes through it. */
struct reading {
    struct config_entries *entries;
    struct config_lines lines;
    const char *file;
    const char *section; /* NULL: none yet, or one that is not known: its keys are passed over */
    bool section_seen;
    struct origin at;    /* of the line that inih has */
    const char *key;     /* on that line; "" for a header */
    const char *include; /* NULL: none */
    struct origin include_at;
};

static bool is_pgbaton(const struct reading *r)
{
    return r->section != NULL && strcmp(r->section, "pgbaton") == 0;
}

static void complain(struct reading *r, const char *key, const char *what)
{
    r->entries->run_dir_hidden = r->entries->run_dir_hidden || is_pgbaton(r);
    config_problem_add(r->entries->problems, false, r->at, key == NULL ? NULL : r->section, key,
                       "%s", what);
}

/* "[job nightly]": nothing before it, nothing behind it. Returns whether inih may see it. */
static bool take_header(struct reading *r, char *line)
{
    size_t length = strlen(line);

    r->section = NULL;
    r->section_seen = true;
    if (line[length - 1] != ']') {
        complain(r, NULL, "a section is [NAME], with nothing behind the ']'");
        return false;
    }

    const char *name = config_memory_bytes(&r->entries->memory, line + 1, length - 2);
    enum config_section kind;
    const char *job;
    char reason[512];

    if (config_section_parse(name, &kind, &job, reason, sizeof(reason)) < 0) {
        config_problem_add(r->entries->problems, false, r->at, name, NULL, "%s", reason);
        return false;
    }
    r->section = name;
    if (job != NULL) {
        config_entries_add(r->entries, name, "", "", r->at);
    }
    return true;
}

static bool is_key(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!islower((unsigned char)text[i]) && !isdigit((unsigned char)text[i]) &&
            text[i] != '_') {
            return false;
        }
    }
    return length > 0;
}

/* What is before the '=', where that is a key. Returns its length, or 0 with a problem. */
static size_t key_length(struct reading *r, const char *line)
{
    size_t length = strcspn(line, "=:");

    if (line[length] == '\0') {
        complain(r, NULL, "is neither [section] nor key = value");
        return 0;
    }
    if (line[length] == ':') {
        complain(r, NULL, "':' is not '='; write key = value");
        return 0;
    }
    while (length > 0 && isspace((unsigned char)line[length - 1])) {
        length--;
    }
    if (!is_key(line, length)) {
        complain(r, NULL, "a key has small letters, digits and _, and stands before the '='");
        return 0;
    }
    return length;
}

static bool may_say_run_dir(const char *line)
{
    return strncmp(line, "run_dir", strlen("run_dir")) == 0 ||
           strncmp(line, "include", strlen("include")) == 0;
}

/* "key = value". Returns whether inih may see it. */
static bool take_setting(struct reading *r, char *line)
{
    if (r->section == NULL) {
        r->entries->run_dir_hidden = r->entries->run_dir_hidden || may_say_run_dir(line);
        if (!r->section_seen) {
            complain(r, NULL, "comes before any [section]; begin with one such as [database]");
            r->section_seen = true; /* once is enough */
        }
        return false;
    }

    size_t length = key_length(r, line);

    r->key = config_memory_bytes(&r->entries->memory, line, length);
    return length > 0;
}

/* inih asks for its next line. */
static char *next_line(char *buffer, int size, void *user)
{
    struct reading *r = user;

    for (;;) {
        const char *reason = NULL;
        enum config_line kind =
            config_lines_next(&r->lines, buffer, (size_t)size, &r->at.line, &reason);
        bool usable = false;

        switch (kind) {
        case CONFIG_LINE_END:
            return NULL;
        case CONFIG_LINE_BAD:
            complain(r, NULL, reason);
            break;
        case CONFIG_LINE_HEADER:
            r->key = "";
            usable = take_header(r, buffer);
            break;
        case CONFIG_LINE_SETTING:
            usable = take_setting(r, buffer);
            break;
        }
        if (usable) {
            return buffer;
        }
    }
}

/* include is for the reader of files, not for the configuration: it may be in several files. */
static void take_include(struct reading *r, const char *value)
{
    if (r->include != NULL) {
        complain(r, "include", "is already above; one include may hold several patterns");
        return;
    }
    r->include = config_memory_text(&r->entries->memory, value);
    r->include_at = r->at;
}

/* inih has a key and a value; its own section is cut at 49 bytes and not looked at. */
static int on_setting(void *user, const char *cut_section, const char *key, const char *value)
{
    struct reading *r = user;
    size_t errors = r->entries->problems->errors;

    (void)cut_section;
    assert(r->section != NULL);
    if (strcmp(key, r->key) != 0) {
        complain(r, r->key, "cannot be read");
    } else if (strcmp(key, "include") == 0 && is_pgbaton(r)) {
        take_include(r, value);
    } else {
        struct origin at = r->at;

        at.swallowed_at = r->lines.swallowed_at;
        config_entries_add(r->entries, r->section, key, value, at);
    }
    if (is_pgbaton(r) && r->entries->problems->errors > errors) {
        r->entries->run_dir_hidden = true; /* a slip of its name is not known to be one */
    }
    return 1;
}

static void set_up_inih(void)
{
    ini_use_stack = false;
    ini_initial_alloc = CONFIG_LINE_MAX + 3; /* the longest line, and what inih counts on top */
    ini_max_line = CONFIG_LINE_MAX + 3;
    ini_allow_realloc = false;
    ini_allow_inline_comments = false;
    ini_allow_multiline = false; /* lines come joined */
    ini_allow_no_value = false;
    ini_allow_bom = false; /* taken off before */
    ini_stop_on_first_error = false;
}

static void read_text(struct reading *r, const char *text, size_t length)
{
    set_up_inih();
    config_lines_init(&r->lines, text, length);

    int rc = ini_parse_stream(next_line, r, on_setting, r);

    if (rc == -2) {
        r->entries->memory.failed = true;
    } else if (rc != 0) { /* we let a line through that inih does not take: never silently */
        r->at.line = 0;
        complain(r, NULL, "has a line that cannot be read");
    }
}

static bool read_file(struct config_entries *entries, const struct config_include *parent,
                      const char *path, const char *include, struct origin include_origin,
                      struct origin asked_at)
{
    struct config_include here = {.parent = parent};
    struct reading r = {
        .entries = entries,
        .file = config_memory_text(&entries->memory, path),
        .key = "",
    };
    char *text = NULL;
    size_t length = 0;

    r.at.file = r.file;
    if (!config_include_load(entries, &here, path, asked_at, &text, &length)) {
        return false;
    }
    read_text(&r, text, length);
    free(text);

    struct config_include_files found = {0};
    size_t errors = entries->problems->errors;

    if (include != NULL) {
        config_include_find(entries, NULL, include, include_origin, &found);
    } else if (r.include != NULL) {
        config_include_find(entries, path, r.include, r.include_at, &found);
    }
    bool all = entries->problems->errors == errors;

    for (size_t i = 0; i < found.count; i++) {
        all = read_file(entries, &here, found.paths[i], NULL, (struct origin){0},
                        include != NULL ? include_origin : r.include_at) &&
              all;
    }
    entries->run_dir_hidden = entries->run_dir_hidden || !all;
    return true;
}

bool config_ini_read(struct config_entries *entries, const char *path, const char *include,
                     struct origin include_origin)
{
    return read_file(entries, NULL, path, include, include_origin, (struct origin){0});
}
