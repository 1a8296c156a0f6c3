/*
 * log.h - one line an event, one write(2) a line.
 *
 *   2026-11-23T16:20:00.123Z info leader: elected election=main epoch=1.7 pid=4242
 *
 * An event name is an identifier that tests, alerts and the manual page use:
 * once released it does not change. What varies goes into key=value pairs.
 * A line that says the same over and over (common/log_repeat.h) is held back,
 * and the next one that is printed says repeated=N.
 *
 * Runs in: every process. PURE code never logs; common/ logs at debug only:
 * whoever decides what to do about an error logs it, once.
 */
#ifndef PGBATON_COMMON_LOG_H
#define PGBATON_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR };

/* log_role - who is speaking, from now on ("supervisor", "probe", "worker", "leader",
 * "monitor", "keeper"). Not copied. */
void log_role(const char *role);

/* log_threshold - leave out what is less than this. */
void log_threshold(enum log_level least);

/* log_fd - write there from now on; the descriptor stays the caller's. The default is 2. */
void log_fd(int fd);
int log_fd_get(void);

/*
 * log_event - write one event. pairs is a printf format of key=value words, or
 * "" for none. errno is left as it was. A line longer than PIPE_BUF is cut, so
 * that lines of several processes never mix. Text from outside (the database,
 * the network, a file, a user) must go through log_text().
 */
void log_event(enum log_level level, const char *event, const char *pairs, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(event, ...) log_event(LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) log_event(LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_event(LEVEL_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_event(LEVEL_ERROR, event, __VA_ARGS__)

/*
 * log_job_output - one line that a job printed: level info, event "output",
 * job=NAME stream=stdout|stderr text="...". Never held back as a repetition.
 */
void log_job_output(const char *job, const char *stream, const char *text, size_t length);

/*
 * log_text - text as a quoted and escaped word ("..."; a word of only
 * [A-Za-z0-9_./:+@%-] stays bare), cut to fit, and with passwords masked: the
 * value of password=... and the one in scheme://user:PASSWORD@ become ***.
 * NULL prints as "". Use at once: log_text(s).is
 */
struct log_text {
    char is[512];
};
struct log_text log_text(const char *text);

/* log_level_name - "debug", "info", "warn", "error". log_level_parse: false if it is none of them.
 */
const char *log_level_name(enum log_level level);
bool log_level_parse(const char *name, enum log_level *ret_level);

#endif
