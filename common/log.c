#include "common/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log_repeat.h"
#include "common/log_text.h"
#include "common/random.h"

/* How long a line waits for a reader that is behind. Once it has waited in vain nothing waits
 * any more until a line gets through: a process with a lease cannot stand still for its log. */
#define WRITE_WITHIN_MS 100

/* What one write(2) to a pipe never mixes with others. */
enum { LINE_MAX_BYTES = PIPE_BUF };

static struct {
    const char *role;
    enum log_level least;
    int fd;
    bool reader_stuck;
    bool torn;             /* a full disk took the beginning of our last line only */
    unsigned long dropped; /* lines that the reader did not take */
    struct repeats repeats;
} logger = {.role = "pgbaton", .least = LEVEL_INFO, .fd = STDERR_FILENO};

static const char *const level_names[] = {
    [LEVEL_DEBUG] = "debug",
    [LEVEL_INFO] = "info",
    [LEVEL_WARN] = "warn",
    [LEVEL_ERROR] = "error",
};

void log_role(const char *role)
{
    logger.role = role;
}

void log_threshold(enum log_level least)
{
    logger.least = least;
}

void log_fd(int fd)
{
    logger.fd = fd;
    logger.reader_stuck = false;
    logger.torn = false;
}

int log_fd_get(void)
{
    return logger.fd;
}

const char *log_level_name(enum log_level level)
{
    assert(level <= LEVEL_ERROR);
    return level_names[level];
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
    for (unsigned i = 0; i <= LEVEL_ERROR; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* A line in the making: always ends with NUL, and stops growing when it is full. */
struct line {
    char text[LINE_MAX_BYTES];
    size_t used;
    bool cut;
};

__attribute__((format(printf, 2, 0))) static void line_add_list(struct line *line,
                                                                const char *format, va_list args)
{
    size_t room = sizeof(line->text) - line->used;
    int n = vsnprintf(line->text + line->used, room, format, args);

    if (n < 0) {
        return;
    }
    line->cut = line->cut || (size_t)n >= room;
    line->used += (size_t)n < room ? (size_t)n : room - 1;
}

__attribute__((format(printf, 2, 3))) static void line_add(struct line *line, const char *format,
                                                           ...)
{
    va_list args;

    va_start(args, format);
    line_add_list(line, format, args);
    va_end(args);
}

static void line_start(struct line *line, enum log_level level, const char *event)
{
    wall_ns now = clock_wall();
    time_t seconds = (time_t)(now / DUR_S(1));
    struct tm utc;

    line->used = 0;
    line->cut = false;
    (void)gmtime_r(&seconds, &utc);
    line_add(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %s: %s", utc.tm_year + 1900,
             utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
             (int)(now % DUR_S(1) / DUR_MS(1)), log_level_name(level), logger.role, event);
}

/* Does the descriptor take a whole line now? A pipe that polls writable has room for PIPE_BUF. */
static bool reader_takes(void)
{
    struct pollfd out = {.fd = logger.fd, .events = POLLOUT};
    int n = poll(&out, 1, logger.reader_stuck ? 0 : WRITE_WITHIN_MS);

    return n != 0;
}

static ssize_t write_some(const char *text, size_t length)
{
    ssize_t n;

    do {
        n = write(logger.fd, text, length);
    } while (n == -1 && errno == EINTR);
    return n;
}

static bool write_once(const char *text, size_t length)
{
    logger.reader_stuck = !reader_takes();
    if (logger.reader_stuck) {
        return false;
    }
    if (logger.torn) { /* what comes next is a line of its own */
        if (write_some("\n", 1) != 1) {
            return false;
        }
        logger.torn = false;
    }
    ssize_t n = write_some(text, length);
    logger.torn = n > 0 && (size_t)n < length;
    return n == (ssize_t)length;
}

/* Ends the line and writes it; false: the reader did not take it. */
static bool line_write(struct line *line)
{
    static const char dots[] = "...";

    /* The newline needs the last byte; a cut line shows that it was cut. */
    if (line->cut || line->used >= sizeof(line->text) - 1) {
        line->used = sizeof(line->text) - 1;
        memcpy(line->text + line->used - (sizeof(dots) - 1), dots, sizeof(dots) - 1);
    }
    /* Text that was not passed through log_text() must not start a line of its own. */
    for (size_t i = 0; i < line->used; i++) {
        unsigned char c = (unsigned char)line->text[i];

        if (c < 0x20 || c == 0x7f) {
            line->text[i] = '?';
        }
    }
    line->text[line->used] = '\n';
    return write_once(line->text, line->used + 1);
}

/* Writes a line of the caller's; before it, how many were dropped since the last that got through.
 */
static void print(struct line *line)
{
    if (logger.dropped > 0) {
        struct line report;

        line_start(&report, LEVEL_WARN, "log_lines_dropped");
        line_add(&report, " lines=%lu", logger.dropped);
        if (line_write(&report)) {
            logger.dropped = 0;
        }
    }
    if (!line_write(line)) {
        logger.dropped++;
    }
}

static uint64_t line_hash(enum log_level level, const char *event, const char *pairs)
{
    return (random_hash(event) ^ (random_hash(logger.role) << 1) ^ (uint64_t)level) * 31 +
           random_hash(pairs);
}

void log_event(enum log_level level, const char *event, const char *pairs, ...)
{
    int saved_errno = errno;
    struct line detail = {.used = 0};
    struct line line;
    unsigned long repeated;
    va_list args;

    if (level < logger.least) {
        return;
    }
    va_start(args, pairs);
    line_add_list(&detail, pairs, args);
    va_end(args);
    detail.text[detail.used] = '\0'; /* also where the format was refused */

    if (repeat_is_news(&logger.repeats, line_hash(level, event, detail.text), clock_now(),
                       &repeated)) {
        line_start(&line, level, event);
        if (repeated > 0) { /* first, so that a long line does not cut it off */
            line_add(&line, " repeated=%lu", repeated);
        }
        if (detail.used > 0) {
            line_add(&line, " %s", detail.text);
        }
        line.cut = line.cut || detail.cut;
        print(&line);
    }
    errno = saved_errno;
}

void log_job_output(const char *job, const char *stream, const char *text, size_t length)
{
    int saved_errno = errno;
    struct line line;

    if (logger.least > LEVEL_INFO) {
        return;
    }
    line_start(&line, LEVEL_INFO, "output");
    line_add(&line, " job=%s stream=%s text=", log_text(job).is, stream);
    /* Both names are short, so most of the line is still free; the last byte is the newline's. */
    line.used +=
        text_quote(line.text + line.used, sizeof(line.text) - line.used - 1, text, length, false);
    print(&line);
    errno = saved_errno;
}
