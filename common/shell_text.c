#include "common/shell_text.h"

#include <string.h>

bool shell_text_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void shell_text_take(struct shell_text *state, char c)
{
    if (state->in_comment) {
        state->in_comment = c != '\n';
    } else if (state->escaped) {
        state->escaped = false;
        state->in_word = true;
    } else if (c == '\\' && state->quote != '\'') {
        state->escaped = true;
        state->in_word = true;
    } else if (state->quote != '\0') {
        state->quote = c == state->quote ? '\0' : state->quote;
    } else if (c == '\'' || c == '"') {
        state->quote = c;
        state->in_word = true;
    } else if (c == '#' && !state->in_word) {
        state->in_comment = true;
    } else {
        state->in_word = !shell_text_is_blank(c) && strchr(";&|()<>", c) == NULL;
    }
}
