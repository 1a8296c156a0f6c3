#include "common/shell_text.h"

bool shell_text_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void shell_text_take(struct shell_text *state, char c)
{
    if (state->escaped) {
        state->escaped = false;
    } else if (c == '\\' && state->quote != '\'') {
        state->escaped = true;
    } else if (state->quote != '\0') {
        state->quote = c == state->quote ? '\0' : state->quote;
    } else if (c == '\'' || c == '"') {
        state->quote = c;
    }
}
