/* alerts_book.c - see alerts_book.h. */
#include "alerts_book.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct hz_alert_known known[HZ_ALERT_RULES] = {
        [HZ_ALERT_WORKER_DOWN] = {.name = "worker-down",
                .level = HZ_ALERT_WARNING,
                .look = "the newest report of `horizon crash` for the workflow, then `horizon ps`",
                .initial = {true, 1, 1, 0, 30, 0, 0}},
        [HZ_ALERT_PARKED] = {.name = "parked",
                .level = HZ_ALERT_CRITICAL,
                .look = "`horizon release`, which names the crash report; when its cause is gone `horizon release "
                        "WORKFLOW`",
                .initial = {true, 1, 1, 0, 0, 0, 0}},
        [HZ_ALERT_MEMORY] = {.name = "memory",
                .unit = "percent",
                .level = HZ_ALERT_WARNING,
                .most = 100,
                .look = "`horizon top --sort m`: which worker has the most, and whether it grows with each execution",
                .initial = {true, 80, 70, 0, 30, 0, 0}},
        [HZ_ALERT_QUEUE_AGE] = {.name = "queue-age",
                .unit = "seconds",
                .level = HZ_ALERT_WARNING,
                .most = 604800,
                .look = "`horizon executions WORKFLOW --state running`: what takes its places, then its concurrency "
                        "and rate",
                .initial = {true, 60, 30, 0, 10, 0, 0}},
        [HZ_ALERT_ERROR_RATE] = {.name = "error-rate",
                .unit = "percent",
                .level = HZ_ALERT_WARNING,
                .most = 100,
                .look = "`horizon executions WORKFLOW --state failed` and the error of the newest one",
                .initial = {true, 20, 10, 0, 30, 300, 10}},
        [HZ_ALERT_DISK] = {.name = "disk",
                .unit = "percent",
                .level = HZ_ALERT_CRITICAL,
                .most = 100,
                .look = "`df -h` of the place and what fills it; of the data directory `horizon db stats` and "
                        "HORIZON_STORE_MB, of /dev/shm"
                        " `horizon doctor`",
                .initial = {true, 90, 85, 5, 30, 0, 0}},
        [HZ_ALERT_STORE_LAG] = {.name = "store-lag",
                .unit = "seconds",
                .level = HZ_ALERT_WARNING,
                .most = 604800,
                .look = "how busy the disk of the data directory is (`iostat -x 1`), then `horizon db stats`",
                .initial = {true, 5, 1, 0, 10, 0, 0}},
        [HZ_ALERT_STORE_DEGRADED] = {.name = "store-degraded",
                .level = HZ_ALERT_CRITICAL,
                .look = "`df -h` and `dmesg`: whether the disk of the data directory is full, read-only or broken",
                .initial = {true, 1, 1, 0, 10, 0, 0}},
        [HZ_ALERT_RECOVERY] = {.name = "recovery",
                .level = HZ_ALERT_INFO,
                .each = true,
                .look = "why the manager before ended (`journalctl`, `dmesg`), then `horizon executions --state "
                        "interrupted`",
                .initial = {true, 1, 1, 0, 600, 0, 0}},
};

const char *hz_alert_level_name(int level)
{
    return level == HZ_ALERT_CRITICAL ? "critical" : level == HZ_ALERT_WARNING ? "warning" : "info";
}

const struct hz_alert_known *hz_alert_known(enum hz_alert_rule rule)
{
    HZ_ASSERT((unsigned)rule < HZ_ALERT_RULES);
    return &known[rule];
}

enum hz_alert_rule hz_alert_by_name(const char *name)
{
    unsigned rule = 0;
    while (rule < HZ_ALERT_RULES && strcmp(known[rule].name, name) != 0)
        rule++;
    return (enum hz_alert_rule)rule;
}

void hz_alert_book_init(struct hz_alert_book *book, hz_alert_fn *fn, void *arg)
{
    *book = (struct hz_alert_book){.fn = fn, .arg = arg};
    for (unsigned rule = 0; rule < HZ_ALERT_RULES; rule++)
        book->settings[rule] = known[rule].initial;
}

void hz_alert_book_fini(struct hz_alert_book *book)
{
    for (struct hz_alert *a = book->alerts, *next; a; a = next) {
        next = a->next;
        free(a);
    }
    for (struct hz_alert_silence *s = book->silences, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    book->alerts = NULL;
    book->silences = NULL;
}

/* ---- silence ---- */

static struct hz_alert_silence *find_silence(
        const struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject)
{
    struct hz_alert_silence *s = book->silences;
    while (s && (s->rule != rule || strcmp(s->subject, subject) != 0))
        s = s->next;
    return s;
}

int hz_alert_silence(
        struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, int64_t made_ms, int64_t until_ms)
{
    struct hz_alert_silence *s = find_silence(book, rule, subject);
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s)
            return hz_err_set(HZ_ENOMEM, "silence");
        s->rule = rule;
        snprintf(s->subject, sizeof s->subject, "%s", subject);
        s->next = book->silences;
        book->silences = s;
    }
    s->made_ms = made_ms;
    s->until_ms = until_ms;
    return 0;
}

bool hz_alert_unsilence(struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject)
{
    struct hz_alert_silence **link = &book->silences;
    while (*link && ((*link)->rule != rule || strcmp((*link)->subject, subject) != 0))
        link = &(*link)->next;
    struct hz_alert_silence *s = *link;
    if (!s)
        return false;
    *link = s->next;
    free(s);
    return true;
}

int64_t hz_alert_silent_until(
        const struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, int64_t wall_ms)
{
    int64_t until = 0;
    for (const struct hz_alert_silence *s = book->silences; s; s = s->next)
        if (s->rule == rule && (!s->subject[0] || strcmp(s->subject, subject) == 0) && s->until_ms > wall_ms)
            until = HZ_MAX(until, s->until_ms);
    return until;
}

static void end_silences(struct hz_alert_book *book, int64_t wall_ms)
{
    struct hz_alert_silence **link = &book->silences, *s;
    while ((s = *link) != NULL) {
        if (s->until_ms > wall_ms) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        book->fn(book->arg, HZ_ALERT_SILENCE_OVER, NULL, s, false);
        free(s);
    }
}

/* ---- figures ---- */

static struct hz_alert *find(const struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject)
{
    struct hz_alert *a = book->alerts;
    while (a && (a->rule != rule || strcmp(a->subject, subject) != 0))
        a = a->next;
    return a;
}

static struct hz_alert *make(struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject)
{
    struct hz_alert *a = calloc(1, sizeof *a);
    if (!a) {
        (void)hz_err_set(HZ_ENOMEM, "alert");
        return NULL;
    }
    a->rule = rule;
    snprintf(a->subject, sizeof a->subject, "%s", subject);
    a->next = book->alerts;
    book->alerts = a;
    return a;
}

static struct hz_alert *see(
        struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, double value, const char *text)
{
    const struct hz_alert_settings *settings = &book->settings[rule];
    struct hz_alert *a = find(book, rule, subject);
    if (!a) {
        if (!settings->enabled || value < settings->raise)
            return NULL;
        a = make(book, rule, subject);
    }
    if (!a || (a->seen && value <= a->value))
        return a;
    a->seen = true;
    a->value = value;
    if (value >= settings->clear) /* what it says is how bad it is, not how it got better */
        snprintf(a->text, sizeof a->text, "%s", text);
    return a;
}

void hz_alert_see(
        struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, double value, const char *text)
{
    (void)see(book, rule, subject, value, text);
}

/* Everybody hears of it unless it is silent; then it waits for the end of the silence. */
static void raise_now(struct hz_alert_book *book, struct hz_alert *a, const struct hz_alert_now *now)
{
    a->raised = true;
    a->since_ms = 0;
    a->raised_ms = now->wall_ms;
    a->told = hz_alert_silent_until(book, a->rule, a->subject, now->wall_ms) == 0;
    book->fn(book->arg, HZ_ALERT_RAISED, a, NULL, a->told);
}

void hz_alert_pulse(struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, double value,
        const char *text, const struct hz_alert_now *now)
{
    struct hz_alert *a = see(book, rule, subject, value, text);
    if (!a || value < book->settings[rule].raise)
        return;
    if (!a->raised && book->settings[rule].for_s == 0)
        raise_now(book, a, now);
    else if (a->raised && known[rule].each)
        a->told = false;
}

int hz_alert_restore(struct hz_alert_book *book, enum hz_alert_rule rule, const char *subject, const char *text,
        int64_t raised_ms, bool told)
{
    struct hz_alert *a = find(book, rule, subject);
    if (!a)
        a = make(book, rule, subject);
    if (!a)
        return HZ_ENOMEM;
    snprintf(a->text, sizeof a->text, "%s", text);
    a->raised = true;
    a->raised_ms = raised_ms;
    a->told = told;
    return 0;
}

/* ---- the round ---- */

/* Has it held for so long? *since is the memory of it, 0 not begun. */
static bool held(uint64_t *since, uint64_t now_ms, uint32_t for_s)
{
    if (*since == 0)
        *since = now_ms ? now_ms : 1;
    return now_ms - *since >= for_s * UINT64_C(1000);
}

/* True: it stays in the book. */
static bool judge(struct hz_alert_book *book, struct hz_alert *a, const struct hz_alert_now *now)
{
    const struct hz_alert_settings *settings = &book->settings[a->rule];
    if (!a->raised) {
        if (!a->seen || !settings->enabled || a->value < settings->raise)
            return false;
        if (held(&a->since_ms, now->ms, settings->for_s))
            raise_now(book, a, now);
        return true;
    }
    if (a->seen && settings->enabled && a->value >= settings->clear) {
        a->since_ms = 0;
    } else if (!settings->enabled || held(&a->since_ms, now->ms, settings->clear_for_s)) {
        a->cleared_ms = HZ_MAX(now->wall_ms, a->raised_ms + 1);
        book->fn(book->arg, HZ_ALERT_CLEARED, a, NULL, a->told);
        return false;
    }
    if (!a->told && hz_alert_silent_until(book, a->rule, a->subject, now->wall_ms) == 0) {
        a->told = true;
        book->fn(book->arg, HZ_ALERT_TOLD, a, NULL, true);
    }
    return true;
}

void hz_alert_round(struct hz_alert_book *book, const struct hz_alert_now *now)
{
    end_silences(book, now->wall_ms);
    struct hz_alert **link = &book->alerts, *a;
    while ((a = *link) != NULL) {
        if (judge(book, a, now)) {
            a->seen = false;
            link = &a->next;
        } else {
            *link = a->next;
            free(a);
        }
    }
}
