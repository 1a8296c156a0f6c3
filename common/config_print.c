#include <assert.h>
#include <string.h>

#include "common/array.h"
#include "common/config_private.h"
#include "common/config_words.h"
#include "common/secret.h"

static const char masked[] = "***";

/* A value in an INI file goes on in the next line where that is indented. */
static void print_lines(const char *text, size_t length, FILE *to)
{
    for (size_t i = 0; i < length; i++) {
        (void)fputs(text[i] == '\n' ? "\n    " : (char[]){text[i], '\0'}, to);
    }
}

static void print_up_to(const char *text, size_t *at, struct secret secret, FILE *to)
{
    print_lines(text + *at, secret.start - *at, to);
    if (text[secret.start] != '\0') {
        (void)fputs(masked, to);
    }
    *at = secret.end;
}

static void print_command(const char *text, FILE *to)
{
    struct secret_command command = {.text = text, .length = strlen(text)};

    for (size_t at = 0; at < command.length;) {
        print_up_to(text, &at, secret_next_in_command(&command), to);
    }
}

void config_print_masked(const char *text, FILE *to)
{
    size_t length = strlen(text);

    for (size_t at = 0; at < length;) {
        print_up_to(text, &at, secret_next(text, length, at, SECRET_IN_VALUE), to);
    }
}

/* By the name of the variable, or by what its value looks like. */
static bool is_secret(const char *word)
{
    static const char *const names[] = {"PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH"};
    char name[128];
    size_t length = strcspn(word, "=");
    size_t whole = strlen(word);

    (void)snprintf(name, sizeof(name), "%.*s", (int)length, word);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasestr(name, names[i]) != NULL) {
            return true;
        }
    }
    return length >= sizeof(name) || strcasestr(word, "password") != NULL ||
           secret_next(word, whole, 0, SECRET_IN_VALUE).start < whole;
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

static void print_setting(const struct config_row *row, const struct config_setting *setting,
                          const struct config_job *job, FILE *to)
{
    if (setting->text == NULL ||
        (job != NULL && !config_job_may_say(job, row->key, setting->text))) {
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
    } else if (row->kind == KIND_COMMAND || row->kind == KIND_WORDS || row->kind == KIND_SQL) {
        print_command(setting->text, to);
    } else {
        print_lines(setting->text, strlen(setting->text), to);
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
