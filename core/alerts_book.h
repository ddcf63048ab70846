/*
 * alerts_book.h - which alerts there are and in which state: thresholds to raise and to clear, times for both, silence.
 * Knows neither where figures come from nor where alerts go, and takes its time from the caller. One thread at a time.
 */
#ifndef HZ_CORE_ALERTS_BOOK_H
#define HZ_CORE_ALERTS_BOOK_H

#include "shm/base.h"

enum hz_alert_rule {
    HZ_ALERT_WORKER_DOWN,
    HZ_ALERT_PARKED,
    HZ_ALERT_MEMORY,
    HZ_ALERT_QUEUE_AGE,
    HZ_ALERT_ERROR_RATE,
    HZ_ALERT_DISK,
    HZ_ALERT_STORE_LAG,
    HZ_ALERT_STORE_DEGRADED,
    HZ_ALERT_RECOVERY,
    HZ_ALERT_RULES
};
enum hz_alert_level { HZ_ALERT_INFO = 1, HZ_ALERT_WARNING, HZ_ALERT_CRITICAL }; /* in the store: never renumber */
const char *hz_alert_level_name(int level);

struct hz_alert_settings {
    bool enabled;
    double raise, clear;         /* raised at or above, cleared below; of a rule without figure both 1 */
    uint32_t for_s, clear_for_s; /* it has to be so for so long */
    uint32_t window_s, least;    /* error-rate: over which time, and not below so many executions */
};
struct hz_alert_known {      /* one of the rules, fixed */
    const char *name, *unit; /* unit NULL: it is or it is not, there is no threshold */
    enum hz_alert_level level;
    const char *look; /* "look first at ..." */
    double most;      /* largest threshold */
    bool each;        /* every time is news, also while it is raised */
    struct hz_alert_settings initial;
};
const struct hz_alert_known *hz_alert_known(enum hz_alert_rule rule);
/* HZ_ALERT_RULES: there is none of that name. */
enum hz_alert_rule hz_alert_by_name(const char *name);

#define HZ_ALERT_SUBJECT 160
#define HZ_ALERT_TEXT    512
struct hz_alert {
    struct hz_alert *next;
    enum hz_alert_rule rule;
    char subject[HZ_ALERT_SUBJECT], text[HZ_ALERT_TEXT];
    double value;
    bool seen;                     /* in this round */
    bool raised, told;             /* told: its targets heard of it */
    uint64_t since_ms;             /* not raised: at or above `raise` since; raised: below `clear` since; 0 not */
    int64_t raised_ms, cleared_ms; /* wall; cleared only in the event */
};
struct hz_alert_silence {
    struct hz_alert_silence *next;
    enum hz_alert_rule rule;
    char subject[HZ_ALERT_SUBJECT]; /* "": all */
    int64_t made_ms, until_ms;
};
struct hz_alert_now {
    uint64_t ms; /* monotonic */
    int64_t wall_ms;
};

/* RAISED and CLEARED: a change of state, to be kept; tell: the targets hear of it, too. TOLD: no change, but they hear
 * of it now (its silence is over, or it happened again). SILENCE_OVER is about a silence whose time has passed; alert
 * is NULL then. */
enum hz_alert_event { HZ_ALERT_RAISED, HZ_ALERT_CLEARED, HZ_ALERT_TOLD, HZ_ALERT_SILENCE_OVER };
typedef void hz_alert_fn(void *arg, enum hz_alert_event event, const struct hz_alert *alert,
        const struct hz_alert_silence *silence, bool tell);

struct hz_alert_book {
    struct hz_alert_settings settings[HZ_ALERT_RULES];
    struct hz_alert *alerts;
    struct hz_alert_silence *silences;
    hz_alert_fn *fn;
    void *arg;
};
void hz_alert_book_init(struct hz_alert_book *book, hz_alert_fn *fn, void *arg); /* the rules' own settings */
void hz_alert_book_fini(struct hz_alert_book *book);

/* A figure of this round; of several for one subject the largest counts. What is below `raise` and not raised leaves
 * nothing behind. */
void hz_alert_see(
        struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, double value, const char *text);
/* The same for what happens at a moment: without a `for` time it is raised now, however short it lasts. */
void hz_alert_pulse(struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, double value,
        const char *text, const struct hz_alert_now *now);
/* Ends the round: raises, clears (what was not seen counts as below), ends silences. */
void hz_alert_round(struct hz_alert_book *book, const struct hz_alert_now *now);
/* One that was open when the manager before ended; told: its targets had heard of it. HZ_ENOMEM. */
HZ_MUST_CHECK int hz_alert_restore(struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject,
        const char *text, int64_t raised_ms, bool told);

/* subject "": all of the rule. One there is of the same rule and subject gets the new time. HZ_ENOMEM. */
HZ_MUST_CHECK int hz_alert_silence(
        struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, int64_t made_ms, int64_t until_ms);
bool hz_alert_unsilence(
        struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject); /* false: there is none */
/* Until when an alert is silent, wall ms; 0: it is not. */
int64_t hz_alert_silent_until(
        const struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, int64_t wall_ms);

#endif
