#include "supervisor/cli/check_schedule.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/calendar.h"
#include "common/config_private.h"
#include "common/instant.h"
#include "common/schedule_cron_next.h"

/* How far ahead changes of the clocks are looked at: each comes once in that time. */
#define LOOK_AHEAD_S (400 * CALENDAR_DAY_S)

enum { ALL_HOURS = 0xffffff };

/* Of a job: where its warnings go. */
struct warning {
    const struct config *cfg;
    const struct config_job *job;
    struct config_problems *problems;
};

static void warn(const struct warning *w, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void warn(const struct warning *w, const char *key, const char *format, ...)
{
    char section[JOB_NAME_MAX + 8];
    char text[400];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)snprintf(section, sizeof(section), "job %s", w->job->name);
    config_problem_add(w->problems, true, config_job_setting_of(w->cfg, w->job, key)->origin,
                       section, key, "%s", text);
}

struct wall_text {
    char is[16];
};

/* "02:30", or "02:30:15" where there are seconds. Use at once: .is */
static struct wall_text time_text(int64_t wall_second)
{
    struct wall_text text;
    int64_t of_day;

    (void)calendar_split(wall_second, &of_day);

    int hour = (int)(of_day / 3600);
    int minute = (int)(of_day / 60 % 60);

    if (of_day % 60 == 0) {
        (void)snprintf(text.is, sizeof(text.is), "%02d:%02d", hour, minute);
    } else {
        (void)snprintf(text.is, sizeof(text.is), "%02d:%02d:%02d", hour, minute,
                       (int)(of_day % 60));
    }
    return text;
}

static struct wall_text date_text(int64_t wall_second)
{
    struct wall_text text;
    int64_t ignored;
    struct calendar_date date = calendar_date(calendar_split(wall_second, &ignored));

    (void)snprintf(text.is, sizeof(text.is), "%04d-%02u-%02u", date.year, date.month, date.day);
    return text;
}

/* The clocks skip what is between: from `begins` to `ends`, as they would have shown it. */
static void warn_about_gap(const struct warning *w, int64_t due, int64_t begins, int64_t ends)
{
    if (w->job->schedule.cron.fixed) {
        warn(w, "schedule",
             "%s does not exist on %s in %s, where %s is followed by %s: it runs at %s",
             time_text(due).is, date_text(due).is, w->job->zone, time_text(begins).is,
             time_text(ends).is, time_text(ends).is);
    } else {
        warn(w, "schedule",
             "%s does not exist on %s in %s, where %s is followed by %s: its minute or hour begins "
             "with *, "
             "so that it follows the clock, and what falls into that time is left out",
             time_text(due).is, date_text(due).is, w->job->zone, time_text(begins).is,
             time_text(ends).is);
    }
}

/* They show it twice. */
static void warn_about_repetition(const struct warning *w, int64_t due, int64_t begins)
{
    if (w->job->schedule.cron.fixed) {
        warn(w, "schedule", "%s comes twice on %s in %s: it runs the first time only",
             time_text(due).is, date_text(due).is, w->job->zone);
    } else {
        warn(w, "schedule",
             "%s comes twice on %s in %s, where the clocks go back to %s: its minute or hour "
             "begins with *, "
             "so that it follows the clock, and runs both times",
             time_text(due).is, date_text(due).is, w->job->zone, time_text(begins).is);
    }
}

/* The next time that the clocks are set forward, or back, over one of its times. */
static void warn_about_change(const struct warning *w, int64_t now, bool forward)
{
    const struct schedule *schedule = &w->job->schedule;
    const struct zone *zone = schedule->zone;

    for (size_t i = zone_span_at(zone, now) + 1; i < zone->count; i++) {
        int64_t at = zone->spans[i].from;
        int64_t before = at + zone->spans[i - 1].offset;
        int64_t after = at + zone->spans[i].offset;

        if (at > now + LOOK_AHEAD_S) {
            return;
        }
        if ((after > before) != forward) {
            continue;
        }

        int64_t due =
            schedule_cron_next(&schedule->cron, forward ? before : after, forward ? after : before);

        if (due != SCHEDULE_CRON_NONE) {
            if (forward) {
                warn_about_gap(w, due, before, after);
            } else {
                warn_about_repetition(w, due, after);
            }
            return;
        }
    }
}

static void warn_about_cron(const struct warning *w, wall_ns now)
{
    const struct schedule_cron *cron = &w->job->schedule.cron;

    if (!cron->days_both) {
        warn(w, "schedule",
             "day of month and day of week are both restricted: it is due on each day that matches "
             "one of them, as in cron; day_match = and takes those that match both");
    }
    /* One that runs in every hour loses nothing with one of them. */
    if (cron->fixed || cron->hours != ALL_HOURS) {
        warn_about_change(w, instant_second(now), true);
        warn_about_change(w, instant_second(now), false);
    }
}

static void warn_about_parent(const struct warning *w)
{
    const struct schedule *schedule = &w->job->schedule;
    const struct config_job *parent = config_job_find(w->cfg, schedule->parent);

    if (parent == NULL) {
        return; /* has been an error */
    }
    if (!parent->enabled) {
        warn(w, "schedule", "never comes: job %s has enabled = no", parent->name);
    } else if (parent->schedule.kind == SCHEDULE_ALWAYS) {
        warn(w, "schedule", "job %s is a service, which is meant never to end", parent->name);
    }
}

static bool is_given(const struct warning *w, const char *key)
{
    const struct config_setting *setting = config_job_setting_of(w->cfg, w->job, key);
    const struct config_entries *entries = &w->cfg->private->entries;
    char section[JOB_NAME_MAX + 8];

    (void)snprintf(section, sizeof(section), "job %s", w->job->name);
    /* One of [jobs] is for those that it means something to. */
    return setting->given && config_entries_find(entries, section, key) != NULL;
}

static void warn_about_keys_without_effect(const struct warning *w)
{
    enum schedule_kind kind = w->job->schedule.kind;

    if (is_given(w, "jitter") && w->job->jitter > 0 && kind != SCHEDULE_EVERY &&
        kind != SCHEDULE_CRON) {
        warn(w, "jitter", "has no effect on '%.60s'", w->job->schedule_text);
    }
    if (is_given(w, "zone") && kind != SCHEDULE_CRON && kind != SCHEDULE_AT) {
        warn(w, "zone", "has no effect on '%.60s'%s", w->job->schedule_text,
             kind == SCHEDULE_EVERY ? ", which follows elapsed time" : "");
    }
}

void check_schedule_warn(const struct config *cfg, const struct config_job *job, wall_ns now,
                         struct config_problems *problems)
{
    struct warning w = {.cfg = cfg, .job = job};

    w.problems = problems;
    warn_about_keys_without_effect(&w);
    switch (job->schedule.kind) {
    case SCHEDULE_CRON:
        warn_about_cron(&w, now);
        return;
    case SCHEDULE_AT:
        if (job->schedule.at <= now) {
            warn(&w, "schedule", "is never due again: %s has passed",
                 instant_in_zone(job->schedule.at, job->schedule.zone).is);
        }
        return;
    case SCHEDULE_AFTER:
        warn_about_parent(&w);
        return;
    case SCHEDULE_EVERY:
    case SCHEDULE_ALWAYS:
    case SCHEDULE_ELECTED:
    case SCHEDULE_RELEASED:
    case SCHEDULE_MANUAL:
        return;
    }
}
