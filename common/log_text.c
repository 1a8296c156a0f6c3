#include "common/log_text.h"

#include <assert.h>
#include <string.h>

#include "common/log.h"
#include "common/secret.h"

/* How many bytes the UTF-8 character at text has; 0 where it is none, or a control character of
 * the upper half (U+0080 to U+009F), which a terminal would obey. */
static size_t utf8_length(const unsigned char *text, size_t length)
{
    size_t n = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;

    if (text[0] < 0xc2 || text[0] > 0xf4 || n > length) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool surrogate = text[0] == 0xed && text[1] > 0x9f;
    bool beyond = text[0] == 0xf4 && text[1] > 0x8f;
    bool control = text[0] == 0xc2 && text[1] < 0xa0;

    return overlong || surrogate || beyond || control ? 0 : n;
}

enum { PIECE_MAX = 4 }; /* the longest way to show one character: \xHH, or four bytes of UTF-8 */

/* One character as it may stand between quotes. Returns how many bytes of text were used. */
static size_t escape(const char *text, size_t length, char piece[PIECE_MAX], size_t *ret_size)
{
    static const char digits[] = "0123456789abcdef";
    static const char named[] = "\"\"\\\\\nn\rr\tt"; /* pairs: the character, its letter */
    unsigned char c = (unsigned char)text[0];
    size_t n = c < 0x80 ? 1 : utf8_length((const unsigned char *)text, length);

    for (size_t i = 0; i + 1 < sizeof(named); i += 2) {
        if (text[0] == named[i]) {
            piece[0] = '\\';
            piece[1] = named[i + 1];
            *ret_size = 2;
            return 1;
        }
    }
    if (n == 0 || c < 0x20 || c == 0x7f) {
        piece[0] = '\\';
        piece[1] = 'x';
        piece[2] = digits[c >> 4];
        piece[3] = digits[c & 0xf];
        *ret_size = 4;
        return 1;
    }
    memcpy(piece, text, n);
    *ret_size = n;
    return n;
}

static bool is_plain_word(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool digit = c >= '0' && c <= '9';

        if (!letter && !digit && (c == '\0' || strchr("_./:+@%-", c) == NULL)) {
            return false;
        }
    }
    return length > 0;
}

/* What is written so far; room is what may be used before the dots, the quote and the NUL. */
struct sink {
    char *text;
    size_t used;
    size_t room;
};

static bool append(struct sink *to, const char *piece, size_t size)
{
    if (to->used + size > to->room) {
        return false;
    }
    memcpy(to->text + to->used, piece, size);
    to->used += size;
    return true;
}

/* Everything between the quotes; false: it had to be cut. */
static bool append_escaped(struct sink *to, const char *text, size_t length)
{
    struct secret secret = secret_next(text, length, 0, SECRET_IN_WORDS);

    for (size_t at = 0; at < length;) {
        char piece[PIECE_MAX];
        size_t size;

        if (at == secret.start) {
            if (!append(to, "***", 3)) {
                return false;
            }
            at = secret.end;
            secret = secret_next(text, length, at, SECRET_IN_WORDS);
            continue;
        }
        at += escape(text + at, length - at, piece, &size);
        if (!append(to, piece, size)) {
            return false;
        }
    }
    return true;
}

size_t text_quote(char *ret, size_t size, const char *text, size_t length, bool bare_allowed)
{
    assert(size >= 8);

    if (bare_allowed && length < size && is_plain_word(text, length) &&
        secret_next(text, length, 0, SECRET_IN_WORDS).start == length) {
        memcpy(ret, text, length);
        ret[length] = '\0';
        return length;
    }
    struct sink to = {.text = ret, .room = size - sizeof("...\"")};

    (void)append(&to, "\"", 1);
    bool whole = append_escaped(&to, text, length);

    to.room = size - 1;
    if (!whole) {
        (void)append(&to, "...", 3);
    }
    (void)append(&to, "\"", 1);
    ret[to.used] = '\0';
    return to.used;
}

struct log_text log_text(const char *text)
{
    struct log_text quoted = {.is = ""};

    if (text == NULL) {
        text = "";
    }
    (void)text_quote(quoted.is, sizeof(quoted.is), text, strlen(text), true);
    return quoted;
}
