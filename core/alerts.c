/*
 * alerts.c - see alerts.h: the round, what becomes of a change of state, and the operations.
 *
 * Synchronisation: `lock` guards the book, `open`, config and stamp. The main thread holds it for its round (no system
 * call under it blocks: the store's queue, a pipe, a spawn), the shards for an operation. Whoever is told is told by
 * the main thread, under the lock, so the order of what is told is that of what happened. `begun` is an atomic copy for
 * workers' ends on other shards: who misses its rise or fall posts a mail too few or too many; the mail looks at `open`
 * itself.
 */
#include "alerts.h"

#include "alerts_config.h"
#include "alerts_send.h"
#include "alerts_watch.h"
#include "config.h"
#include "restart.h"
#include "scheduler.h"
#include "shard.h"
#include "store.h"
#include "supervisor.h"

#include "shm/err.h"
#include "shm/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_MS 1000u
#define SILENCE   "silence/"

static struct {
    pthread_mutex_t lock;
    bool open;
    _Atomic bool begun;
    char *path, *data_dir;
    struct hz_alerts_config config;
    struct hz_alerts_stamp stamp;
    struct hz_alert_book book;
    struct hz_timer timer; /* main thread's */
} alerts = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct hz_alert_now clock_now(void)
{
    return (struct hz_alert_now){.ms = hz_base_now_ns() / 1000000u, .wall_ms = hz_base_wall_ms()};
}

/* ---- texts ---- */

/* Cut through a character, or never UTF-8: what is not ASCII becomes a question mark then. */
static json_t *string_of(const char *text)
{
    json_t *string = json_string(text);
    if (string)
        return string;
    char copy[HZ_ALERT_TEXT];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json_string(copy);
}

static json_t *time_of(int64_t wall_ms)
{
    char text[HZ_ISO_TEXT];
    if (wall_ms == 0)
        return json_null();
    hz_base_iso(wall_ms, text);
    return json_string(text);
}

static json_t *object_of(const struct hz_alert *a, int level, int64_t cleared_ms)
{
    const struct hz_alert_known *known = hz_alert_known(a->rule);
    return json_pack("{s:s, s:o, s:s, s:o, s:s+, s:o, s:o}", "rule", known->name, "subject", string_of(a->subject),
            "level", hz_alert_level_name(level), "text", string_of(a->text), "look", "look first at ", known->look,
            "raisedAt", time_of(a->raised_ms), "clearedAt", time_of(cleared_ms));
}

/* ---- telling: main thread, under the lock ---- */

static void log_event(const char *what, int level, const struct hz_alert *a)
{
    const struct hz_alert_known *known = hz_alert_known(a->rule);
    bool over = strcmp(what, "cleared") == 0;
    hz_log_write(over || level == HZ_ALERT_INFO ? HZ_LOG_INFO
                 : level == HZ_ALERT_WARNING    ? HZ_LOG_WARN
                                                : HZ_LOG_ERROR,
            "alert %s: %s, %s: %s%s%s", what, known->name, a->subject, a->text, over ? "" : "; look first at ",
            over ? "" : known->look);
}

static hz_alerts_heard_fn *heard_fn; /* set before anybody is told */

void hz_alerts_listen(hz_alerts_heard_fn *fn)
{
    heard_fn = fn;
}

static void tell(const char *what, int level, const struct hz_alert *a, bool test)
{
    log_event(test ? "test" : what, level, a);
    json_t *object = object_of(a, level, a->cleared_ms);
    char *text = NULL;
    if (object && json_object_set_new(object, "event", json_string(what)) == 0 &&
            json_object_set_new(object, "test", json_boolean(test)) == 0)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text) {
        hz_hook_send(text);
        hz_notify_send(text);
        if (heard_fn)
            heard_fn(a, text);
    } else {
        HZ_LOG(ERROR, "alerts: no memory to tell of an alert");
    }
    free(text);
}

static void store_row(struct hz_store_alert *row, const char *prefix, const struct hz_alert *a, int level,
        int64_t cleared_ms, int64_t silenced_ms)
{
    memset(row, 0, sizeof *row);
    snprintf(row->rule, sizeof row->rule, "%s%s", prefix, hz_alert_known(a->rule)->name);
    memcpy(row->subject, a->subject, sizeof row->subject);
    memcpy(row->text, a->text, sizeof row->text);
    row->level = level;
    row->raised_ms = a->raised_ms;
    row->cleared_ms = cleared_ms;
    row->silenced_ms = silenced_ms;
}

static void hand_over(const struct hz_store_alert *row)
{
    if (hz_store_alert_put(row))
        HZ_LOG(WARN, "alerts: %s", hz_err_last());
}

static void silence_row(struct hz_store_alert *row, enum hz_alert_rule rule, const char *subject, int64_t made_ms,
        int64_t until_ms, int64_t over_ms)
{
    struct hz_alert a = {.rule = rule, .raised_ms = made_ms};
    snprintf(a.subject, sizeof a.subject, "%s", subject);
    store_row(row, SILENCE, &a, 0, over_ms, until_ms);
}

static void on_event(void *arg, enum hz_alert_event event, const struct hz_alert *a,
        const struct hz_alert_silence *silence, bool heard)
{
    (void)arg;
    struct hz_store_alert row;
    if (event == HZ_ALERT_SILENCE_OVER) {
        silence_row(&row, silence->rule, silence->subject, silence->made_ms, silence->until_ms, hz_base_wall_ms());
        hand_over(&row);
        return;
    }
    int level = hz_alert_known(a->rule)->level;
    int64_t silenced = heard ? 0 : hz_alert_silent_until(&alerts.book, a->rule, a->subject, hz_base_wall_ms());
    if (heard)
        tell(event == HZ_ALERT_CLEARED ? "cleared" : "raised", level, a, false);
    store_row(&row, "", a, level, event == HZ_ALERT_CLEARED ? a->cleared_ms : 0, silenced);
    hand_over(&row);
}

/* ---- the round ---- */

static int use_config(void)
{
    memcpy(alerts.book.settings, alerts.config.settings, sizeof alerts.book.settings);
    int err = hz_hook_set(alerts.config.url, alerts.config.url_timeout_ms);
    int other = hz_notify_set(alerts.config.command, alerts.config.command_timeout_ms);
    return err ? err : other;
}

/* A file that went wrong changes nothing. */
static void reload(void)
{
    struct hz_alerts_config config;
    if (!hz_alerts_config_changed(alerts.path, &alerts.stamp))
        return;
    if (hz_alerts_config_load(alerts.path, &config, &alerts.stamp)) {
        HZ_LOG(ERROR, "%s; what held before holds on", hz_err_last());
        return;
    }
    hz_alerts_config_fini(&alerts.config);
    alerts.config = config;
    if (use_config())
        HZ_LOG(ERROR, "alerts: %s", hz_err_last());
    else
        HZ_LOG(INFO, "alerts: %s was read again", alerts.path);
}

static void on_period(struct hz_timer *timer)
{
    struct hz_alert_now now = clock_now();
    pthread_mutex_lock(&alerts.lock);
    reload();
    hz_alerts_watch_look(&alerts.book, &now);
    hz_alert_round(&alerts.book, &now);
    pthread_mutex_unlock(&alerts.lock);
    hz_alerts_watch_ask();
    hz_timer_after(hz_shard_timers(hz_shard_main()), timer, PERIOD_MS, on_period);
}

/* ---- what happens between two rounds ---- */

struct news { /* to the main thread */
    struct hz_mail mail;
    enum { DOWN, CALM, NEAR, TEST } what;
    enum hz_alert_rule rule;
    double value;
    char workflow_id[128], text[256];
};

static void tell_test(enum hz_alert_rule rule, const struct hz_alert_now *now)
{
    struct hz_alert a = {.rule = rule, .raised_ms = now->wall_ms};
    struct hz_store_alert row;
    snprintf(a.subject, sizeof a.subject, "test");
    snprintf(a.text, sizeof a.text, "test of the rule %s: nothing is wrong", hz_alert_known(rule)->name);
    tell("raised", HZ_ALERT_INFO, &a, true);
    store_row(&row, "", &a, HZ_ALERT_INFO, now->wall_ms + 1, 0);
    hand_over(&row);
}

static void run_news(struct hz_mail *mail)
{
    struct news *news = HZ_CONTAINER_OF(mail, struct news, mail);
    struct hz_alert_now now = clock_now();
    char subject[HZ_ALERT_SUBJECT];
    snprintf(subject, sizeof subject, "workflow:%s", news->workflow_id);
    pthread_mutex_lock(&alerts.lock);
    if (alerts.open && news->what == DOWN)
        hz_alerts_watch_down(&alerts.book, news->workflow_id, news->text, &now);
    else if (alerts.open && news->what == CALM)
        hz_alerts_watch_calm(news->workflow_id);
    else if (alerts.open && news->what == NEAR)
        hz_alert_pulse(&alerts.book, HZ_ALERT_MEMORY, subject, news->value, news->text, &now);
    else if (alerts.open)
        tell_test(news->rule, &now);
    pthread_mutex_unlock(&alerts.lock);
    free(news);
}

static int post(const struct news *news, const char *workflow_id, const char *text)
{
    if (!atomic_load_explicit(&alerts.begun, memory_order_relaxed))
        return hz_err_set(HZ_ECLOSED, "alerts");
    struct news *copy = malloc(sizeof *copy);
    if (!copy)
        return hz_err_set(HZ_ENOMEM, "alerts");
    *copy = *news;
    copy->mail.run = run_news;
    snprintf(copy->workflow_id, sizeof copy->workflow_id, "%s", workflow_id);
    snprintf(copy->text, sizeof copy->text, "%.255s", text);
    hz_shard_post(hz_shard_main(), &copy->mail);
    return 0;
}

void hz_alerts_worker_down(const char *workflow_id, const char *text)
{
    (void)post(&(struct news){.what = DOWN}, workflow_id, text);
}

void hz_alerts_worker_calm(const char *workflow_id)
{
    (void)post(&(struct news){.what = CALM}, workflow_id, "");
}

/* A worker near its memory limit may be gone before the next round. */
static void on_worker(void *arg, enum hz_worker_event event, const struct hz_worker_info *info, const char *detail)
{
    (void)arg;
    if (event != HZ_EVENT_WORKER_LIMIT || info->memory_limit == 0 || !strstr(detail, "memory: "))
        return;
    char text[256];
    snprintf(text, sizeof text, "worker %s of %s: %s", info->id_text, info->workflow_id, detail);
    (void)post(&(struct news){.what = NEAR, .value = 100.0 * (double)info->rss_bytes / (double)info->memory_limit},
            info->workflow_id, text);
}

/* ---- start and end ---- */

static int restore(void)
{
    struct hz_store_alert *list;
    size_t count;
    int err = hz_store_alert_open(&list, &count);
    if (err)
        return err;
    for (size_t i = 0; i < count && !err; i++) {
        const struct hz_store_alert *row = &list[i];
        bool silence = strncmp(row->rule, SILENCE, sizeof SILENCE - 1) == 0;
        enum hz_alert_rule rule = hz_alert_by_name(row->rule + (silence ? sizeof SILENCE - 1 : 0));
        if (rule == HZ_ALERT_RULES)
            continue;
        err = silence ? hz_alert_silence(&alerts.book, rule, row->subject, row->raised_ms, row->silenced_ms)
                      : hz_alert_restore(
                                &alerts.book, rule, row->subject, row->text, row->raised_ms, row->silenced_ms == 0);
    }
    free(list);
    return err;
}

int hz_alerts_init(const struct hz_config *config)
{
    HZ_ASSERT(!alerts.open);
    hz_alert_book_init(&alerts.book, on_event, NULL);
    alerts.data_dir = strdup(config->data_dir);
    if (!alerts.data_dir || asprintf(&alerts.path, "%s/alerts.json", config->data_dir) < 0)
        return hz_err_set(HZ_ENOMEM, "alerts");
    int err = hz_alerts_config_load(alerts.path, &alerts.config, &alerts.stamp);
    if (!err)
        err = restore();
    if (!err)
        err = hz_supervisor_listen(on_worker, NULL);
    return err;
}

int hz_alerts_check(void)
{
    struct hz_alerts_config config;
    struct hz_alerts_stamp stamp;
    int err = alerts.path ? hz_alerts_config_load(alerts.path, &config, &stamp) : 0;
    if (!err && alerts.path)
        hz_alerts_config_fini(&config);
    return err;
}

/* What was found open when the shards began. */
static void see_recovery(const struct hz_alert_now *now)
{
    const struct hz_recovery *r = hz_scheduler_recovery();
    char text[HZ_ALERT_TEXT];
    if (!r->failed && (r->found == 0 || hz_restart_generation() > 1)) /* what waited over a restart was not lost */
        return;
    if (r->failed)
        snprintf(text, sizeof text, "the manager before left executions open, and the store could not tell which");
    else
        snprintf(text, sizeof text,
                "the manager before left %u executions open: %u go on from their checkpoints, %u run again, %u are "
                "interrupted;"
                " %u activations are started again",
                r->found, r->resumed, r->restarted, r->interrupted, r->activations);
    hz_alert_pulse(&alerts.book, HZ_ALERT_RECOVERY, "manager", 1, text, now);
}

void hz_alerts_begin(void)
{
    struct hz_alert_now now = clock_now();
    pthread_mutex_lock(&alerts.lock);
    hz_alerts_watch_init(alerts.data_dir);
    if (use_config())
        HZ_LOG(ERROR, "alerts: %s", hz_err_last());
    alerts.open = true;
    atomic_store_explicit(&alerts.begun, true, memory_order_relaxed);
    see_recovery(&now);
    pthread_mutex_unlock(&alerts.lock);
    hz_alerts_watch_ask();
    hz_timer_after(hz_shard_timers(hz_shard_main()), &alerts.timer, PERIOD_MS, on_period);
}

void hz_alerts_fini(void)
{
    if (!alerts.open)
        return;
    hz_timer_cancel(hz_shard_timers(hz_shard_main()), &alerts.timer);
    atomic_store_explicit(&alerts.begun, false, memory_order_relaxed);
    hz_hook_stop();
    pthread_mutex_lock(&alerts.lock);
    alerts.open = false;
    hz_notify_stop();
    hz_alerts_watch_fini();
    hz_alert_book_fini(&alerts.book);
    hz_alerts_config_fini(&alerts.config);
    free(alerts.path);
    free(alerts.data_dir);
    alerts.path = alerts.data_dir = NULL;
    pthread_mutex_unlock(&alerts.lock);
}

/* ---- the operations ---- */

static json_t *target_of(const char *name, void (*sent)(struct hz_alerts_sent *ret))
{
    struct hz_alerts_sent s;
    sent(&s);
    return json_pack("{s:s, s:I, s:I, s:I, s:o}", "target", name, "sent", (json_int_t)s.sent, "failed",
            (json_int_t)s.failed, "dropped", (json_int_t)s.dropped, "lastError",
            s.error[0] ? string_of(s.error) : json_null());
}

/* Under the lock. */
static json_t *active(void)
{
    json_t *list = json_array();
    int64_t now = hz_base_wall_ms();
    for (const struct hz_alert *a = alerts.book.alerts; a && list; a = a->next) {
        if (!a->raised)
            continue;
        json_t *object = object_of(a, hz_alert_known(a->rule)->level, 0);
        if (object)
            (void)json_object_set_new(
                    object, "silencedUntil", time_of(hz_alert_silent_until(&alerts.book, a->rule, a->subject, now)));
        (void)json_array_append_new(list, object);
    }
    return list;
}

/* *ret_next: when the last of a full page was raised, else null. */
static json_t *history(size_t limit, int64_t before_ms, json_t **ret_next)
{
    struct hz_store_alert *rows;
    size_t count;
    if (hz_store_alert_history(before_ms, limit, &rows, &count))
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < count && list; i++) {
        struct hz_alert a = {.rule = hz_alert_by_name(rows[i].rule), .raised_ms = rows[i].raised_ms};
        if (a.rule == HZ_ALERT_RULES)
            continue;
        memcpy(a.subject, rows[i].subject, sizeof a.subject);
        memcpy(a.text, rows[i].text, sizeof a.text);
        json_t *object = object_of(&a, rows[i].level, rows[i].cleared_ms);
        if (object)
            (void)json_object_set_new(object, "silencedUntil", time_of(rows[i].silenced_ms));
        (void)json_array_append_new(list, object);
    }
    *ret_next = count == limit && count > 0 ? json_integer((json_int_t)rows[count - 1].raised_ms) : json_null();
    free(rows);
    return list;
}

json_t *hz_alerts_list(bool all, size_t limit, int64_t before_ms)
{
    json_t *next = all ? NULL : json_null(), *list = all ? history(limit, before_ms, &next) : NULL, *silences = json_array(), *targets = json_array();
    if (all && !list) {
        json_decref(silences);
        json_decref(targets);
        return NULL;
    }
    pthread_mutex_lock(&alerts.lock);
    if (!all)
        list = active();
    for (const struct hz_alert_silence *s = alerts.book.silences; s; s = s->next)
        (void)json_array_append_new(
                silences, json_pack("{s:s, s:o, s:o}", "rule", hz_alert_known(s->rule)->name, "subject",
                                  s->subject[0] ? string_of(s->subject) : json_null(), "until", time_of(s->until_ms)));
    bool hook = alerts.config.url != NULL, command = alerts.config.command != NULL;
    pthread_mutex_unlock(&alerts.lock);
    if (hook)
        (void)json_array_append_new(targets, target_of("webhook", hz_hook_sent));
    if (command)
        (void)json_array_append_new(targets, target_of("command", hz_notify_sent));
    return json_pack("{s:o, s:o, s:o, s:o}", "alerts", list, "silences", silences, "targets", targets, "next", next);
}

/* The store's answer is waited for outside of the lock: a disk that is slow must not hold up the round. */
static void keep(const struct hz_store_alert *row)
{
    if (hz_store_alert_keep(row))
        hand_over(row);
}

int hz_alerts_silence(enum hz_alert_rule rule, const char *subject, uint32_t minutes, int64_t *ret_until_ms)
{
    int64_t now = hz_base_wall_ms(), until = now + minutes * INT64_C(60000);
    struct hz_store_alert row;
    pthread_mutex_lock(&alerts.lock);
    int err =
            alerts.open ? hz_alert_silence(&alerts.book, rule, subject, now, until) : hz_err_set(HZ_ECLOSED, "alerts");
    pthread_mutex_unlock(&alerts.lock);
    if (err)
        return err;
    silence_row(&row, rule, subject, now, until, 0);
    keep(&row);
    *ret_until_ms = until;
    return 0;
}

int hz_alerts_unsilence(enum hz_alert_rule rule, const char *subject)
{
    struct hz_store_alert row;
    pthread_mutex_lock(&alerts.lock);
    bool found = alerts.open && hz_alert_unsilence(&alerts.book, rule, subject);
    pthread_mutex_unlock(&alerts.lock);
    if (!found)
        return HZ_ENOTFOUND;
    silence_row(&row, rule, subject, hz_base_wall_ms(), 0, hz_base_wall_ms());
    keep(&row);
    return 0;
}

int hz_alerts_test(enum hz_alert_rule rule)
{
    return post(&(struct news){.what = TEST, .rule = rule}, "", "");
}
