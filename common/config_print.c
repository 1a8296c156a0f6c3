#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "common/array.h"
#include "common/config_private.h"
#include "common/config_words.h"

static const char masked[] = "***";

/* Names of settings in a dsn whose values are passwords: "password" is the end of both. */
static const char password_word[] = "password";

/* Just behind "://user:", where a URI has a password; NULL: it has none. */
static const char *uri_password(const char *text, const char **ret_end)
{
    const char *scheme = strstr(text, "://");
    const char *from = scheme == NULL ? NULL : scheme + 3;
    const char *at = from == NULL ? NULL : memrchr(from, '@', strcspn(from, "?"));
    const char *colon = at == NULL ? NULL : memchr(from, ':', (size_t)(at - from));

    *ret_end = at;
    return colon == NULL ? NULL : colon + 1;
}

/* The end of a conninfo value: quoted or up to a blank; backslashes keep what follows. */
static const char *value_end(const char *at)
{
    char stop = *at == '\'' ? '\'' : '\0';

    if (stop != '\0') {
        at++;
    }
    for (; *at != '\0'; at++) {
        if (*at == '\\' && at[1] != '\0') {
            at++;
        } else if (stop != '\0' ? *at == stop : isspace((unsigned char)*at) || *at == '&') {
            return stop != '\0' ? at + 1 : at;
        }
    }
    return at;
}

/* Prints text, of which a conninfo or the parameters of a URI may be part. */
static void print_parameters(const char *text, FILE *to)
{
    while (*text != '\0') {
        const char *word = strcasestr(text, password_word);
        const char *at = word == NULL ? NULL : word + sizeof(password_word) - 1;

        if (word == NULL) {
            (void)fputs(text, to);
            return;
        }
        while (isspace((unsigned char)*at)) {
            at++;
        }
        if (*at == '=') {
            at++;
            while (isspace((unsigned char)*at)) {
                at++;
            }
            (void)fprintf(to, "%.*s%s", (int)(at - text), text, masked);
            at = value_end(at);
        } else {
            (void)fprintf(to, "%.*s", (int)(at - text), text);
        }
        text = at;
    }
}

void config_print_masked(const char *text, FILE *to)
{
    const char *end = NULL;
    const char *password = uri_password(text, &end);

    if (password != NULL) {
        (void)fprintf(to, "%.*s%s", (int)(password - text), text, masked);
        text = end;
    }
    print_parameters(text, to);
}

/* By the name of the variable, or by what its value looks like. */
static bool is_secret(const char *word)
{
    static const char *const secret[] = {"PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH"};
    char name[128];
    size_t length = strcspn(word, "=");
    const char *end = NULL;

    (void)snprintf(name, sizeof(name), "%.*s", (int)length, word);
    for (size_t i = 0; i < ARRAY_LEN(secret); i++) {
        if (strcasestr(name, secret[i]) != NULL) {
            return true;
        }
    }
    return length >= sizeof(name) || strcasestr(word, password_word) != NULL ||
           uri_password(word, &end) != NULL;
}

static void print_environment(char *const *environment, FILE *to)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        const char *word = environment[i];

        (void)fputs(i == 0 ? "" : " ", to);
        if (is_secret(word)) {
            (void)fprintf(to, "%.*s=%s", (int)strcspn(word, "="), word, masked);
        } else {
            config_words_print(word, to);
        }
    }
}

/* A value in an INI file goes on in the next line where that is indented. */
static void print_lines(const char *text, FILE *to)
{
    for (; *text != '\0'; text++) {
        (void)fputs(*text == '\n' ? "\n    " : (char[]){*text, '\0'}, to);
    }
}

static void print_setting(const struct config_row *row, const struct config_setting *setting,
                          const struct config_job *job, FILE *to)
{
    if (setting->text == NULL) {
        return;
    }
    if (setting->given && setting->origin.line > 0) {
        (void)fprintf(to, "# %s:%u\n", setting->origin.file, setting->origin.line);
    } else if (setting->given) {
        (void)fprintf(to, "# %s\n", setting->origin.file);
    }
    (void)fprintf(to, "%s = ", row->key);
    if (row->kind == KIND_ENVIRONMENT) {
        assert(job != NULL); /* it is a key of jobs */
        print_environment(job->environment, to);
    } else if (row->kind == KIND_DSN) {
        config_print_masked(setting->text, to);
    } else {
        print_lines(setting->text, to);
    }
    (void)fputc('\n', to);
}

void config_print(const struct config *cfg, FILE *to)
{
    size_t first = config_job_row_first();

    for (size_t i = 0; i < first; i++) {
        const struct config_row *row = &config_rows[i];

        if (i == 0 || row->section != config_rows[i - 1].section) {
            (void)fprintf(to, "%s[%s]\n", i == 0 ? "" : "\n", config_section_name(row->section));
        }
        print_setting(row, &cfg->private->settings[i], NULL, to);
    }
    for (size_t j = 0; j < cfg->job_count; j++) {
        const struct config_job *job = &cfg->jobs[j];

        (void)fprintf(to, "\n# %s", job->origin.file);
        if (job->origin.line > 0) {
            (void)fprintf(to, ":%u", job->origin.line);
        }
        (void)fprintf(to, "\n[job %s]\n", job->name);
        for (size_t i = first; i < config_row_count; i++) {
            print_setting(&config_rows[i], config_job_setting_at(cfg, j, i - first), job, to);
        }
    }
}

void config_keys_print(FILE *to)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        char range[96];

        if (i == 0 || row->section != config_rows[i - 1].section) {
            (void)fprintf(to, "%s[%s%s]\n", i == 0 ? "" : "\n", config_section_name(row->section),
                          row->section == SECTION_JOB ? " NAME" : "");
        }
        (void)fprintf(to, "  %-18s %s", row->key, row->help);
        if (row->preset != NULL) {
            (void)fprintf(to, " (default %s)", row->preset);
        }
        if (config_row_range(row, range, sizeof(range))[0] != '\0') {
            (void)fprintf(to, "; %s", range);
        }
        (void)fprintf(to, "%s\n", row->kind == KIND_LATER ? "; not available in this version" : "");
    }
}
