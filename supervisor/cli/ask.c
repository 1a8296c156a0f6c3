#include "supervisor/cli/ask.h"

#include <stdio.h>

#include "common/control.h"
#include "supervisor/cli/client.h"
#include "supervisor/cli/words.h"

/* {"code", "text"} instead of a document: the code, and its text printed. */
static int refusal(const json_t *document, bool quiet)
{
    const char *text = json_string_value(json_object_get(document, "text"));
    json_int_t code = json_integer_value(json_object_get(document, "code"));

    if (code == EXIT_CODE_DONE) {
        return EXIT_CODE_DONE;
    }
    if (!quiet) {
        (void)fputs("pgbaton: ", stderr);
        print_sentences(stderr, text == NULL ? "the daemon gives no reason" : text);
    }
    return code > 0 && code < 256 ? (int)code : EXIT_CODE_FAILED;
}

int ask_daemon(const struct config *cfg, json_t *request, bool quiet, json_t **ret_document)
{
    struct client client;
    json_t *document = NULL;

    if (request == NULL) {
        (void)fputs("pgbaton: out of memory\n", stderr);
        return EXIT_CODE_FAILED;
    }
    int code = client_open(&client, cfg, quiet);
    if (code == EXIT_CODE_DONE) {
        code = client_ask(&client, request, ASK_WITHIN, &document);
    }
    client_close(&client);
    json_decref(request);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    code = refusal(document, quiet);
    if (code != EXIT_CODE_DONE) {
        json_decref(document);
        return code;
    }
    *ret_document = document;
    return EXIT_CODE_DONE;
}

int ask_flush(void)
{
    return fflush(stdout) == EOF || ferror(stdout) != 0 ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
}

int ask_print_json(const json_t *document)
{
    (void)json_dumpf(document, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
    (void)fputc('\n', stdout);
    return ask_flush();
}
