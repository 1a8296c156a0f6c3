#include "supervisor/cli/words.h"

#include <stdlib.h>
#include <string.h>

#include "common/control.h"
#include "supervisor/cli/table.h"

int usage_error(const char *command, const char *what, const char *word)
{
    (void)fprintf(stderr, "pgbaton: %s: %s", command, what);
    if (word != NULL) {
        (void)fputs(" '", stderr);
        print_safe(stderr, word);
        (void)fputc('\'', stderr);
    }
    (void)fprintf(stderr, "; see `pgbaton %s --help`\n", command);
    return EXIT_CODE_USAGE;
}

void print_sentences(FILE *to, const char *text)
{
    char *copy = strdup(text);
    char *rest = copy;
    const char *line;

    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
        if (line[0] != '\0') {
            print_safe(to, line);
            (void)fputc('\n', to);
        }
    }
    free(copy);
}

/* "--job=NAME" gives NAME; "--job" gives "", which is no value; NULL: another word. */
static const char *after_name(const char *word, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(word, name, length) != 0 || (word[length] != '\0' && word[length] != '=')) {
        return NULL;
    }
    return word[length] == '=' ? word + length + 1 : word + length;
}

static const struct word_option *find(const struct words *words, const char *word,
                                      const char **ret_value)
{
    for (size_t i = 0; i < words->option_count; i++) {
        *ret_value = after_name(word, words->options[i].name);
        if (*ret_value != NULL) {
            return &words->options[i];
        }
    }
    return NULL;
}

static int read_option(const struct command_line *line, const struct words *words, int *i)
{
    const char *word = line->argv[*i];
    const char *value;
    const struct word_option *option = find(words, word, &value);

    if (option == NULL) {
        return usage_error(words->command, "does not know", word);
    }
    bool alone = strchr(word, '=') == NULL;
    if (option->flag != NULL) {
        if (!alone) {
            return usage_error(words->command, "takes no value:", word);
        }
        *option->flag = true;
        return EXIT_CODE_DONE;
    }
    if (alone) {
        if (*i + 1 >= line->argc) {
            return usage_error(words->command, "wants a value for", word);
        }
        value = line->argv[++*i];
    }
    *option->value = value;
    return EXIT_CODE_DONE;
}

int words_read(const struct command_line *line, const struct words *words)
{
    size_t operands = 0;
    bool only_operands = false;

    for (int i = 0; i < line->argc; i++) {
        const char *word = line->argv[i];

        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && word[0] == '-' && word[1] != '\0') {
            int code = read_option(line, words, &i);

            if (code != EXIT_CODE_DONE) {
                return code;
            }
        } else if (operands == words->operand_count) {
            return usage_error(words->command, "does not know what to do with", word);
        } else {
            words->operands[operands++] = word;
        }
    }
    return EXIT_CODE_DONE;
}
