#include "common/config_value.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/config_path.h"
#include "common/config_words.h"
#include "common/duration.h"
#include "common/exit_codes.h"
#include "common/size.h"
#include "common/sql_text.h"

/* One value on its way from text to field. */
struct value {
    struct config_memory *memory;
    const struct config_row *row;
    const char *text;
    struct origin said;
    void *base;
    const char *canonical;
    char *reterr;
    size_t reterr_size;
};

static int refuse(struct value *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct value *v, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(v->reterr, v->reterr_size, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

static int refuse_range(struct value *v)
{
    char range[64];

    return refuse(v, "%.40s is out of range; it may be %s", v->text,
                  config_row_range(v->row, range, sizeof(range)));
}

static void put(const struct value *v, const void *field, size_t size)
{
    if (v->row->offset != CONFIG_NO_FIELD) {
        memcpy((char *)v->base + v->row->offset, field, size);
    }
}

static void put_text(struct value *v, const char *text)
{
    v->canonical = text;
    put(v, &text, sizeof(text));
}

static int parse_text(struct value *v)
{
    size_t length = strlen(v->text);

    if (length < (size_t)v->row->min || length > (size_t)v->row->max) {
        return refuse(v, "'%.100s' has %zu bytes; %d to %d are right", v->text, length,
                      (int)v->row->min, (int)v->row->max);
    }
    for (size_t i = 0; i < length; i++) {
        if (isspace((unsigned char)v->text[i]) || iscntrl((unsigned char)v->text[i])) {
            return refuse(v, "'%.100s' has blanks in it; leave them out", v->text);
        }
    }
    put_text(v, config_memory_text(v->memory, v->text));
    return 0;
}

static int parse_name(struct value *v)
{
    char why[128];

    if (!config_is_name(v->text, (size_t)v->row->max, why, sizeof(why))) {
        return refuse(v, "'%.80s' is not a name: %s", v->text, why);
    }
    put_text(v, config_memory_text(v->memory, v->text));
    return 0;
}

static int parse_schema(struct value *v)
{
    if (strncmp(v->text, "pg_", 3) == 0) {
        return refuse(v, "'%.80s' cannot be: PostgreSQL keeps the names that begin with pg_",
                      v->text);
    }
    return parse_text(v);
}

static int parse_path(struct value *v)
{
    const char *none = NULL;

    if (v->text[0] == '\0') {
        return refuse(v, "is empty; give it a path");
    }
    if (v->row->choices != NULL && strcmp(v->text, v->row->choices) == 0) {
        v->canonical = v->row->choices;
        put(v, &none, sizeof(none));
        return 0;
    }
    put_text(v, config_path_absolute(v->memory, v->said, v->text));
    return 0;
}

static int parse_socket_dir(struct value *v)
{
    if (v->text[0] == '\0') {
        return refuse(v, "is empty; give it a path");
    }

    /* A child judges the whole path again, so nothing else is judged here. */
    const char *whole = config_path_absolute(v->memory, v->said, v->text);
    size_t length = strlen(whole);

    for (size_t i = 0; i < length; i++) {
        if (iscntrl((unsigned char)whole[i])) {
            return refuse(v, "'%.200s' has a control character in it; leave it out", whole);
        }
    }
    if (length > (size_t)v->row->max) {
        return refuse(v,
                      "'%.100s' counts as %zu bytes from the root, and at most %d are right; "
                      "give a shorter absolute path",
                      v->text, length, (int)v->row->max);
    }
    put_text(v, whole);
    return 0;
}

static int parse_duration(struct value *v)
{
    dur_ns length = 0;
    bool is_word = v->row->choices != NULL && strcmp(v->text, v->row->choices) == 0;
    int rc = is_word ? 0 : duration_parse(v->text, &length);

    if (rc == -EINVAL) {
        return refuse(
            v, "'%.40s' is not a duration such as 500ms, 10s or 90m: one number and one unit",
            v->text);
    }
    /* Where a word stands for 0, 0 says the same. */
    is_word = is_word || (rc == 0 && length == 0 && v->row->choices != NULL);
    if (rc < 0 || (!is_word && (length < v->row->min || length > v->row->max))) {
        return refuse_range(v);
    }
    put(v, &length, sizeof(length));
    v->canonical =
        is_word ? v->row->choices : config_memory_text(v->memory, duration_text(length).is);
    return 0;
}

/* A whole decimal number with a sign at most; false: it is none, or too large for any row. */
static bool whole_number(const char *text, int64_t *ret_number)
{
    const char *digits = text + (*text == '-' ? 1 : 0);
    size_t length = strlen(digits);

    if (length == 0 || length > 9 || strspn(digits, "0123456789") != length) {
        return false;
    }
    *ret_number = strtoll(text, NULL, 10);
    return true;
}

static int parse_number(struct value *v)
{
    int64_t number = 0;

    if (!whole_number(v->text, &number)) {
        return refuse(v, "'%.40s' is not a whole number", v->text);
    }
    if (number < v->row->min || number > v->row->max) {
        return refuse_range(v);
    }

    int field = (int)number;

    put(v, &field, sizeof(field));
    v->canonical = config_memory_format(v->memory, "%d", field);
    return 0;
}

static int parse_size(struct value *v)
{
    int64_t bytes = 0;
    int rc = size_parse(v->text, &bytes);

    if (rc == -EINVAL) {
        return refuse(v, "'%.40s' is not a size such as 64KiB, 1MiB or 4096", v->text);
    }
    if (rc < 0 || bytes < v->row->min || bytes > v->row->max) {
        return refuse_range(v);
    }
    put(v, &bytes, sizeof(bytes));
    v->canonical = config_memory_text(v->memory, size_text(bytes).is);
    return 0;
}

static int parse_percent(struct value *v)
{
    size_t length = strlen(v->text);
    const char *digits = config_memory_bytes(
        v->memory, v->text, length > 0 && v->text[length - 1] == '%' ? length - 1 : length);
    int64_t number = 0;

    if (!whole_number(digits, &number)) {
        return refuse(v, "'%.40s' is not a percentage such as 20%%", v->text);
    }
    if (number < v->row->min || number > v->row->max) {
        return refuse_range(v);
    }

    unsigned field = (unsigned)number;

    put(v, &field, sizeof(field));
    v->canonical = config_memory_format(v->memory, "%u%%", field);
    return 0;
}

static int parse_bool(struct value *v)
{
    static const struct {
        const char *word;
        bool is;
    } words[] = {
        {"yes", true},  {"no", false},    {"on", true}, {"off", false},
        {"true", true}, {"false", false}, {"1", true},  {"0", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(v->text, words[i].word) == 0) {
            put(v, &words[i].is, sizeof(words[i].is));
            v->canonical = words[i].is ? "yes" : "no";
            return 0;
        }
    }
    return refuse(v, "'%.40s' is neither yes nor no", v->text);
}

static int parse_choice(struct value *v)
{
    unsigned index = 0;

    for (const char *at = v->row->choices; *at != '\0'; index++) {
        size_t length = strcspn(at, "|");

        if (strlen(v->text) == length && strncmp(at, v->text, length) == 0) {
            put(v, &index, sizeof(index));
            v->canonical = config_memory_text(v->memory, v->text);
            return 0;
        }
        at += length + (at[length] == '|' ? 1 : 0);
    }
    return refuse(v, "'%.40s' is none of %s", v->text, v->row->choices);
}

static int parse_key(struct value *v)
{
    bool is_hex = strncmp(v->text, "0x", 2) == 0 || strncmp(v->text, "0X", 2) == 0;
    bool is_negative = v->text[0] == '-';
    const char *digits = v->text + (is_hex ? 2 : is_negative ? 1 : 0);
    const char *alphabet = is_hex ? "0123456789abcdefABCDEF" : "0123456789";

    if (*digits == '\0' || strspn(digits, alphabet) != strlen(digits)) {
        return refuse(v, "'%.40s' is not a 64-bit number such as 0x12345678ABCDEF00 or 42",
                      v->text);
    }
    errno = 0;

    uint64_t bits = strtoull(digits, NULL, is_hex ? 16 : 10);

    if (errno == ERANGE || (is_negative && bits > (uint64_t)INT64_MAX + 1)) {
        return refuse(v, "%.40s has more than 64 bits", v->text);
    }
    bits = is_negative ? 0 - bits : bits;

    int64_t field = (int64_t)bits;

    put(v, &field, sizeof(field));
    v->canonical = config_memory_format(v->memory, "0x%016" PRIX64, bits);
    return 0;
}

static int parse_sqlite(struct value *v, struct config_database *database)
{
    const char *path = v->text + strlen(CONFIG_SQLITE_PREFIX);

    if (path[0] == '\0') {
        return refuse(v, "names no file; write sqlite:/var/lib/pgbaton/pgbaton.db");
    }
    if (strncmp(path, "//", 2) == 0 && path[2] != '/') {
        return refuse(v, "is a path behind 'sqlite:', without '//'");
    }
    database->kind = DATABASE_SQLITE;
    database->dsn = config_path_absolute(v->memory, v->said, path);
    v->canonical = config_memory_format(v->memory, "%s%s", CONFIG_SQLITE_PREFIX, database->dsn);
    return 0;
}

/* The text may hold a password: no refusal repeats it. */
static int parse_dsn(struct value *v)
{
    struct config_database *database = &((struct config *)v->base)->database;
    const char *scheme = strstr(v->text, "://");
    const char *equals = strchr(v->text, '=');

    if (v->text[0] == '\0') {
        return refuse(v, "is empty; give one of: " CONFIG_DSN_FORMS);
    }
    if (v->text[0] == '"' || v->text[0] == '\'') {
        return refuse(v, "begins with a quote; the value of a key is written without quotes");
    }
    if (strncmp(v->text, CONFIG_SQLITE_PREFIX, strlen(CONFIG_SQLITE_PREFIX)) == 0) {
        return parse_sqlite(v, database);
    }
    v->canonical = config_memory_text(v->memory, v->text);
    if (strcmp(v->text, "none") == 0) {
        database->kind = DATABASE_NONE;
        database->dsn = v->canonical;
        return 0;
    }
    if (scheme != NULL && (equals == NULL || scheme < equals) &&
        strncmp(v->text, "postgresql://", 13) != 0 && strncmp(v->text, "postgres://", 11) != 0) {
        return refuse(v, "is an address of something else; give one of: " CONFIG_DSN_FORMS);
    }
    if (scheme == NULL && equals == NULL) {
        return refuse(v, "is nothing that libpq would take; give one of: " CONFIG_DSN_FORMS);
    }
    database->kind = DATABASE_POSTGRES;
    database->dsn = v->canonical;
    return 0;
}

/* Its form alone: what depends on the job's name and its other keys is judged with them. */
static int parse_schedule(struct value *v)
{
    struct config_job *job = v->base;
    struct schedule ignored;

    if (schedule_parse(v->text, NULL, &ignored, v->reterr, v->reterr_size) < 0) {
        return -EINVAL;
    }
    v->canonical = config_memory_text(v->memory, v->text);
    job->schedule_text = v->canonical;
    return 0;
}

static int parse_zone(struct value *v)
{
    char why[128];

    if (!zone_is_name(v->text, why, sizeof(why))) {
        return refuse(v, "'%.80s' is no time zone: %s", v->text, why);
    }
    put_text(v, config_memory_text(v->memory, v->text));
    return 0;
}

static int parse_command(struct value *v)
{
    const char *none = NULL;

    if (v->text[0] == '\0') {
        return v->row->choices == NULL
                   ? refuse(v, "is empty; give it a command, or use enabled = no")
                   : refuse(v, "is empty; give it a command, or %s", v->row->choices);
    }
    if (v->row->choices != NULL && strcmp(v->text, v->row->choices) == 0) {
        v->canonical = v->row->choices;
        put(v, &none, sizeof(none));
        return 0;
    }
    put_text(v, config_memory_text(v->memory, v->text));
    return 0;
}

/* The statements may have secrets in them: no refusal repeats them. */
static int parse_sql(struct value *v)
{
    if (v->text[0] == '\0') {
        return refuse(v, "is empty; give it statements, or use enabled = no");
    }
    if (sql_text_line_comment(v->text) != NULL) {
        return refuse(v, "has a comment that begins with --; lines are joined here, so it would "
                         "take in all that follows: write /* ... */");
    }
    put_text(v, config_memory_text(v->memory, v->text));
    return 0;
}

static int parse_codes(struct value *v)
{
    struct exit_codes codes;
    char text[EXIT_CODES_TEXT_MAX];

    if (exit_codes_parse(v->text, &codes, v->reterr, v->reterr_size) < 0) {
        return -EINVAL;
    }
    put(v, &codes, sizeof(codes));
    v->canonical = config_memory_text(v->memory, exit_codes_text(&codes, text));
    return 0;
}

static int parse_words(struct value *v)
{
    char **words = NULL;
    size_t count = 0;
    int rc = config_words_split(v->memory, v->text, &words, &count, v->reterr, v->reterr_size);

    if (rc == -EINVAL) {
        return rc;
    }
    if (rc == 0 && (count == 0 || words[0][0] == '\0')) {
        return refuse(v, "is empty; the first word is what to run");
    }
    v->canonical = config_memory_text(v->memory, v->text);
    return 0;
}

/* Values are not repeated in a refusal, nor words that are all value. */
static int parse_environment(struct value *v)
{
    char **words = NULL;
    size_t count = 0;
    int rc = config_words_split(v->memory, v->text, &words, &count, v->reterr, v->reterr_size);

    if (rc == -EINVAL) {
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        size_t length = strcspn(words[i], "=");

        if (words[i][length] == '\0' || !config_is_variable(words[i], length)) {
            return refuse(v, "word %zu is not NAME=VALUE; quote a value with blanks: NAME='a b'",
                          i + 1);
        }
    }

    const char *repeated = rc == 0 ? config_words_repeated_name(v->memory, words, count) : NULL;

    if (repeated != NULL) {
        return refuse(v, "%.*s is there twice; keep one of the two", (int)strcspn(repeated, "="),
                      repeated);
    }
    if (rc == 0) {
        put(v, &words, sizeof(words));
    }
    v->canonical = config_memory_text(v->memory, v->text);
    return 0;
}

static int parse_umask(struct value *v)
{
    size_t length = strlen(v->text);

    if (length == 0 || length > 5 || strspn(v->text, "01234567") != length) {
        return refuse(v, "'%.40s' is not an octal number such as 0022", v->text);
    }

    int field = (int)strtol(v->text, NULL, 8);

    if (field > (int)v->row->max) {
        return refuse_range(v);
    }
    put(v, &field, sizeof(field));
    v->canonical = config_memory_format(v->memory, "%04o", (unsigned)field);
    return 0;
}

static int parse_output(struct value *v)
{
    struct config_job *job = v->base;

    job->output_file = NULL;
    if (strcmp(v->text, "log") == 0) {
        job->output = OUTPUT_LOG;
        v->canonical = "log";
    } else if (strcmp(v->text, "none") == 0) {
        job->output = OUTPUT_NONE;
        v->canonical = "none";
    } else if (strchr(v->text, '/') != NULL) {
        job->output = OUTPUT_FILE;
        job->output_file = config_path_absolute(v->memory, v->said, v->text);
        v->canonical = job->output_file;
    } else {
        return refuse(v, "'%.80s' is none of log, none, or a file with a / in its name", v->text);
    }
    return 0;
}

static int parse_later(struct value *v)
{
    if (v->row->only == NULL) {
        return refuse(v, "is not available in this version; leave it out");
    }
    if (strcmp(v->text, v->row->only) != 0) {
        return refuse(v, "'%.40s' is not available in this version; it does what '%s' says",
                      v->text, v->row->only);
    }
    v->canonical = v->row->only;
    return 0;
}

static int parse_by_kind(struct value *v)
{
    switch (v->row->kind) {
    case KIND_TEXT:
        return parse_text(v);
    case KIND_NAME:
        return parse_name(v);
    case KIND_SCHEMA:
        return parse_schema(v);
    case KIND_PATH:
        return parse_path(v);
    case KIND_SOCKET_DIR:
        return parse_socket_dir(v);
    case KIND_DURATION:
        return parse_duration(v);
    case KIND_NUMBER:
        return parse_number(v);
    case KIND_SIZE:
        return parse_size(v);
    case KIND_PERCENT:
        return parse_percent(v);
    case KIND_BOOL:
        return parse_bool(v);
    case KIND_CHOICE:
        return parse_choice(v);
    case KIND_KEY:
        return parse_key(v);
    case KIND_DSN:
        return parse_dsn(v);
    case KIND_SCHEDULE:
        return parse_schedule(v);
    case KIND_COMMAND:
        return parse_command(v);
    case KIND_ZONE:
        return parse_zone(v);
    case KIND_SQL:
        return parse_sql(v);
    case KIND_WORDS:
        return parse_words(v);
    case KIND_ENVIRONMENT:
        return parse_environment(v);
    case KIND_UMASK:
        return parse_umask(v);
    case KIND_OUTPUT:
        return parse_output(v);
    case KIND_CODES:
        return parse_codes(v);
    case KIND_LATER:
        return parse_later(v);
    case KIND_INCLUDE: /* never gets this far */
        break;
    }
    assert(false);
    return -EINVAL;
}

int config_value_parse(struct config_memory *memory, const struct config_row *row, const char *text,
                       struct origin said, void *base, const char **ret_canonical, char *reterr,
                       size_t reterr_size)
{
    struct value v = {
        .memory = memory,
        .row = row,
        .text = text,
        .said = said,
        .base = base,
        .reterr_size = reterr_size,
    };
    int rc;

    v.reterr = reterr;
    rc = parse_by_kind(&v);

    if (rc == 0) {
        *ret_canonical = v.canonical;
    }
    return rc;
}
