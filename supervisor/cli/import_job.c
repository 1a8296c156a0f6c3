#include "supervisor/cli/import_job.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/config_ini.h"
#include "common/config_words.h"
#include "common/identity.h"
#include "common/schedule.h"
#include "common/zone_load.h"
#include "supervisor/cli/table.h"

enum { REASON_BYTES = 512, ORIGINAL_BYTES = 1024 };

void import_set(struct import *im, const char *name, const char *value)
{
    struct import_variable *v = im->variables;

    while (v != NULL && strcmp(v->name, name) != 0) {
        v = v->next;
    }
    if (v == NULL) {
        v = config_memory_take(&im->memory, sizeof(*v));
        if (v == NULL) {
            return;
        }
        v->name = config_memory_text(&im->memory, name);
        v->next = im->variables;
        im->variables = v;
    }
    v->value = config_memory_text(&im->memory, value);
}

static const char *variable(const struct import *im, const char *name)
{
    for (const struct import_variable *v = im->variables; v != NULL; v = v->next) {
        if (strcmp(v->name, name) == 0) {
            return v->value;
        }
    }
    return NULL;
}

void import_release(struct import *im)
{
    free(im->names);
    config_memory_release(&im->memory);
}

void import_print(FILE *to, const char *text)
{
    const char *tab;

    while ((tab = strpbrk(text, "\t\n\r")) != NULL) { /* a tab is harmless */
        char *piece = strndup(text, (size_t)(tab - text));

        print_safe(to, piece == NULL ? "" : piece);
        (void)fputc(*tab == '\t' ? '\t' : ' ', to);
        free(piece);
        text = tab + 1;
    }
    print_safe(to, text);
}

static void comment(const struct import *im, const char *text)
{
    (void)fputs("# ", im->to);
    import_print(im->to, text);
    (void)fputc('\n', im->to);
}

void import_leave_out(struct import *im, unsigned line, const char *text, const char *why)
{
    im->left_out++;
    (void)fprintf(im->to, "\n# line %u is left out: ", line);
    import_print(im->to, why);
    (void)fputc('\n', im->to);
    comment(im, text);
    (void)fprintf(stderr, "pgbaton import: line %u is left out: ", line);
    print_safe(stderr, why);
    (void)fputc('\n', stderr);
}

static bool is_taken(const struct import *im, const char *name)
{
    for (size_t i = 0; i < im->name_count; i++) {
        if (strcmp(im->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Made from the command, and not there yet. */
static const char *name_of(struct import *im, const char *command, unsigned line)
{
    char base[JOB_NAME_MAX - 8];
    char name[JOB_NAME_MAX];
    const char **names = reallocarray(im->names, im->name_count + 1, sizeof(*names));

    if (names == NULL) {
        im->memory.failed = true;
        return "";
    }
    im->names = names;
    crontab_name(command, base, sizeof(base));
    if (base[0] == '\0') {
        (void)snprintf(base, sizeof(base), "line-%u", line);
    }
    (void)snprintf(name, sizeof(name), "%s", base);
    for (unsigned n = 2; is_taken(im, name); n++) {
        (void)snprintf(name, sizeof(name), "%s-%u", base, n);
    }
    im->names[im->name_count] = config_memory_text(&im->memory, name);
    return im->names[im->name_count++];
}

/* --- when --- */

/* The zone that the entry is meant in: CRON_TZ, else that of the system. */
static const char *zone_of(const struct import *im)
{
    const char *named = variable(im, "CRON_TZ");

    return named != NULL ? named : im->system_zone == NULL ? "UTC" : im->system_zone;
}

static bool loads(struct import *im, const char *name, struct zone *ret_zone, char *reterr)
{
    struct zone_bytes bytes;

    return zone_read(&im->memory, name, &bytes, reterr, REASON_BYTES) == 0 &&
           zone_make(&im->memory, name, bytes, ret_zone, reterr, REASON_BYTES) == 0;
}

/* Returns the schedule for pgbaton; NULL, with the reason in reterr. */
static const char *schedule_of(struct import *im, const struct crontab_line *entry, char *reterr)
{
    const char *text = strcmp(entry->schedule, "@reboot") == 0 ? "@elected" : entry->schedule;
    struct zone zone;
    struct schedule schedule;

    if (!loads(im, zone_of(im), &zone, reterr)) {
        return NULL;
    }

    struct schedule_options options = {.zone = &zone};

    return schedule_parse(text, &options, &schedule, reterr, REASON_BYTES) < 0 ? NULL : text;
}

static void print_when(struct import *im, const struct crontab_line *entry, const char *schedule)
{
    const char *delay = variable(im, "RANDOM_DELAY");

    if (strcmp(entry->schedule, "@reboot") == 0) {
        comment(im, "@reboot: cron runs it when a machine starts; this runs each time an instance "
                    "becomes the leader");
    } else if (strchr(schedule, '~') != NULL) {
        comment(im, "~: cron draws anew whenever it reads the file; here it is made from the name, "
                    "and stays");
    }
    (void)fprintf(im->to, "schedule = %s\n", schedule);
    if (schedule[0] == '@' && strcmp(schedule, "@elected") == 0) {
        return;
    }
    if (variable(im, "CRON_TZ") == NULL && im->system_zone == NULL) {
        comment(im, "cron reckons in the zone of its machine, which is not known here by name");
    }
    (void)fprintf(im->to, "zone = %s\n", zone_of(im));
    if (delay != NULL && strspn(delay, "0123456789") == strlen(delay) && delay[0] != '\0' &&
        strlen(delay) < 5 && delay[0] != '0') {
        comment(im, "RANDOM_DELAY: cron draws it when it starts; here it is made from the name, "
                    "and stays");
        (void)fprintf(im->to, "jitter = %sm\n", delay);
    }
}

/* --- what --- */

/* In single quotes, for a shell. */
static void print_for_shell(const struct import *im, const char *text, size_t length)
{
    (void)fputc('\'', im->to);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\'') {
            (void)fputs("'\\''", im->to);
        } else {
            (void)fputc(text[i], im->to);
        }
    }
    (void)fputc('\'', im->to);
}

static void print_command(const struct import *im, const char *command, const char *input)
{
    const char *shell = variable(im, "SHELL");

    if (input == NULL) {
        (void)fprintf(im->to, "command = %s\n", command);
        return;
    }
    comment(im, "what follows the first % was the command's input");
    (void)fputs("command = printf '%s\\n'", im->to);
    for (;;) {
        size_t length = strcspn(input, "\n");

        (void)fputc(' ', im->to);
        print_for_shell(im, input, length);
        if (input[length] == '\0') {
            break;
        }
        input += length + 1;
    }
    (void)fprintf(im->to, " | %s -c ", shell == NULL ? "/bin/sh" : shell);
    print_for_shell(im, command, strlen(command));
    (void)fputc('\n', im->to);
}

/* --- by whom and where --- */

/* What cron itself takes out of the variables. */
static const char *const special[] = {
    "CRON_TZ", "RANDOM_DELAY", "MAILTO",       "MAILFROM",
    "USER",    "LOGNAME",      "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"};

static bool is_special(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        if (strcmp(special[i], name) == 0) {
            return true;
        }
    }
    return !config_is_variable(name, strlen(name));
}

static void print_environment(const struct import *im)
{
    bool first = true;

    for (const struct import_variable *v = im->variables; v != NULL; v = v->next) {
        if (is_special(v->name)) {
            continue;
        }
        (void)fputs(first ? "environment = " : " ", im->to);
        first = false;
        (void)fprintf(im->to, "%s=", v->name);
        config_words_print(v->value, im->to);
    }
    if (!first) {
        (void)fputc('\n', im->to);
    }
}

static void print_mail(const struct import *im)
{
    const char *to = variable(im, "MAILTO");

    if (to == NULL) {
        return;
    }
    if (to[0] == '\0') {
        comment(im,
                "MAILTO is empty: cron threw the output away, as output = none would; here it is "
                "in the log");
    } else {
        (void)fputs("# MAILTO: cron mailed the output to ", im->to);
        import_print(im->to, to);
        (void)fputs("; here it is in the log, and on_failure = COMMAND can send a mail\n", im->to);
    }
}

/* Cron begins in the home of the user. */
static const char *home_of(const struct import *im, const char *user)
{
    const char *set = variable(im, "HOME");
    const struct passwd *account = user == NULL ? getpwuid(geteuid()) : getpwnam(user);

    if (set != NULL && set[0] == '/') {
        return set;
    }
    return account == NULL ? NULL : account->pw_dir;
}

static void print_where(const struct import *im, const struct crontab_line *entry)
{
    const char *shell = variable(im, "SHELL");
    const char *user = entry->user == NULL ? im->user : entry->user;
    const char *home = home_of(im, user);

    if (user != NULL) {
        (void)fprintf(im->to, "user = %s\n", user);
    }
    if (home != NULL) {
        (void)fprintf(im->to, "directory = %s\n", home);
    } else {
        (void)fprintf(im->to, "# directory = the home of %s, who is not known here\n",
                      user == NULL ? "its user" : user);
    }
    if (shell != NULL && strcmp(shell, "/bin/sh") != 0) {
        (void)fputs("shell = ", im->to);
        config_words_print(shell, im->to);
        (void)fputs(" -c\n", im->to);
    }
}

/* The line as it was, for a comment; a long one is cut, and says so. */
static void print_original(FILE *to, const struct crontab_line *entry, const char *command)
{
    char text[ORIGINAL_BYTES];
    int length =
        snprintf(text, sizeof(text), "%s %s%s%s", entry->schedule,
                 entry->user == NULL ? "" : entry->user, entry->user == NULL ? "" : " ", command);

    if (length >= (int)sizeof(text)) {
        size_t end = sizeof(text) - 1;

        while (end > 0 && ((unsigned char)text[end - 1] & 0xc0U) == 0x80) {
            end--; /* not in the middle of a character */
        }
        text[end > 0 ? end - 1 : 0] = '\0';
    }
    import_print(to, text);
    (void)fputs(length >= (int)sizeof(text) ? "..." : "", to);
}

static char *original_of(const struct crontab_line *entry, const char *command)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    if (to == NULL) {
        return NULL;
    }
    print_original(to, entry, command);
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* The whole section, on im->to. */
static void print_section(struct import *im, const struct crontab_line *entry, const char *schedule,
                          char *command, unsigned line)
{
    const char *input = crontab_split_input(command);

    (void)fprintf(im->to, "[job %s]\n", name_of(im, command, line));
    print_when(im, entry, schedule);
    print_command(im, command, input);
    print_where(im, entry);
    print_mail(im);
    print_environment(im);
    /* What cron does without being asked. */
    (void)fputs("clean_environment = yes\noverlap = allow\nmissed = skip\n", im->to);
}

/* A configuration has a limit for its lines. */
static bool has_long_line(const char *section)
{
    while (*section != '\0') {
        size_t length = strcspn(section, "\n");

        if (length > CONFIG_LINE_MAX && *section != '#') {
            return true;
        }
        section += length + (section[length] == '\n' ? 1 : 0);
    }
    return false;
}

static void add_section(struct import *im, const struct crontab_line *entry, const char *schedule,
                        char *command, unsigned line, const char *original)
{
    FILE *to = im->to;
    size_t names = im->name_count;
    char *section = NULL;
    size_t size = 0;

    im->to = open_memstream(&section, &size);
    if (im->to != NULL) {
        print_section(im, entry, schedule, command, line);
    }
    if (im->to == NULL || fclose(im->to) != 0) {
        im->memory.failed = true;
    }
    im->to = to;
    if (im->memory.failed) {
        free(section);
        return;
    }
    if (has_long_line(section)) {
        im->name_count = names;
        import_leave_out(im, line, original,
                         "its command or environment is longer than a line of a configuration may "
                         "be, 64 KiB: put it into a script");
    } else {
        (void)fprintf(to, "\n# line %u: %s\n%s", line, original, section);
    }
    free(section);
}

/* In a crontab of the system a user stands before each command. */
static void look_for_user(struct import *im, const char *command)
{
    char name[256];
    size_t length = strcspn(command, " \t");

    im->entries++;
    if (length < sizeof(name) && command[length] != '\0') {
        (void)memcpy(name, command, length);
        name[length] = '\0';
        im->entries_naming += getpwnam(name) != NULL;
    }
}

void import_job(struct import *im, const struct crontab_line *entry, char *command, unsigned line)
{
    char reason[REASON_BYTES] = "";
    const char *schedule = schedule_of(im, entry, reason);
    char why[128];
    char *original = original_of(entry, command);

    look_for_user(im, command);
    if (original == NULL) {
        im->memory.failed = true;
    } else if (schedule == NULL) {
        import_leave_out(im, line, original, reason);
    } else if (entry->user != NULL && !config_is_name(entry->user, 255, why, sizeof(why))) {
        import_leave_out(im, line, original, "the user's name cannot be one");
    } else {
        add_section(im, entry, schedule, command, line, original);
    }
    free(original);
}
