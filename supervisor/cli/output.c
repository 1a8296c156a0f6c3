/*
 * `pgbaton output`: what a run printed, byte by byte; what was not kept is counted.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/control.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/base64.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/run_text.h"
#include "supervisor/cli/table.h"
#include "supervisor/cli/words.h"

/* Returns how many bytes, -1: they cannot be read. With what it ends in *ret_last. */
static long write_part(const json_t *run, const char *key, char *ret_last)
{
    const json_t *part = json_object_get(run, key);
    size_t length = json_string_length(part);
    unsigned char *bytes = malloc(length + 1);

    if (!json_is_string(part) || bytes == NULL) {
        free(bytes);
        return json_is_string(part) ? -1 : 0;
    }
    long size = base64_decode(json_string_value(part), length, bytes);
    if (size > 0) {
        (void)fwrite(bytes, 1, (size_t)size, stdout);
        *ret_last = (char)bytes[size - 1];
    }
    free(bytes);
    return size < 0 ? -1 : size;
}

/* The bytes of the tail, before it is written. */
static long long size_of(const json_t *run, const char *key)
{
    const json_t *part = json_object_get(run, key);
    const char *text = json_string_value(part);
    long long length = (long long)json_string_length(part);

    if (text == NULL || length < 4) {
        return 0;
    }
    return length / 4 * 3 - (text[length - 1] == '=') - (text[length - 2] == '=');
}

/* Of a statement: "UPDATE 42". On stderr: it is nothing that was printed. */
static void tell_result(const json_t *run)
{
    const char *result = run_text(run, "result");

    if (result != NULL && result[0] != '\0') {
        (void)fputs("pgbaton: what the database did: ", stderr);
        print_safe(stderr, result);
        (void)fputc('\n', stderr);
    }
}

static int write_output(const json_t *run)
{
    long long all = (long long)json_integer_value(json_object_get(run, "output_bytes"));
    char last = '\n';

    long head = write_part(run, "head", &last);
    long long left_out = all - head - size_of(run, "tail");
    if (left_out > 0) {
        (void)printf("%s[... %lld bytes left out ...]\n", last == '\n' ? "" : "\n", left_out);
    }
    long tail = write_part(run, "tail", &last);
    if (head < 0 || tail < 0) {
        (void)fputs("pgbaton: the daemon's answer cannot be read: is it another version?\n",
                    stderr);
        return EXIT_CODE_FAILED;
    }
    if (head == 0 && tail == 0 && left_out <= 0) {
        (void)fprintf(stderr, "pgbaton: %s\n",
                      run_is_open(run) ? "nothing is known yet of what it prints: it has not ended"
                                       : "it printed nothing, or nothing was kept");
    }
    tell_result(run);
    return ask_flush();
}

int command_output(struct command_line *line)
{
    const char *id = NULL;
    const struct words words = {.command = "output", .operands = &id, .operand_count = 1};
    json_t *document = NULL;
    int code = words_read(line, &words);

    if (code != EXIT_CODE_DONE) {
        return code;
    }
    json_t *name = id == NULL ? NULL : json_string(id);
    if (name == NULL || id[0] == '\0') {
        json_decref(name);
        return usage_error("output", "wants the id of a run, as in `pgbaton history`", NULL);
    }
    json_t *request = json_pack("{s:s, s:o}", "command", "output", "run", name);
    struct config *cfg = cli_load_daemon(line);
    if (cfg == NULL) {
        json_decref(request);
        return EXIT_CODE_CONFIG;
    }
    code = ask_daemon(cfg, request, false, &document);
    if (code == EXIT_CODE_DONE) {
        const json_t *run = json_object_get(document, "run");

        code = line->json ? ask_print_json(run) : write_output(run);
        json_decref(document);
    }
    config_free(cfg);
    return code;
}
