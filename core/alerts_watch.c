/*
 * alerts_watch.c - see alerts_watch.h.
 *
 * Synchronisation: everything belongs to the main thread. A question is mail that belongs to the shard from its posting
 * until the shard posts it back; `away` says whose it is and is only touched by the main thread. After the end no
 * answer is taken any more
 * (`open`), and what a shard allocated is freed by whoever runs the mail.
 */
#include "alerts_watch.h"

#include "parked.h"
#include "scheduler.h"
#include "shard.h"
#include "store.h"

#include "shm/err.h"
#include "shm/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define SHARDS_MOST 64u  /* of SERVER_CLUSTERS */
#define BUCKETS     256u /* a power of 2 */
#define SLICES      10u  /* of the error rate's window */

struct question {
    struct hz_mail mail;
    bool away;
    struct hz_figure *list;
    size_t count;
};
struct down { /* a workflow whose resident worker ended and has no successor yet */
    struct down *next;
    char workflow_id[128], text[256];
};
struct flow { /* a workflow that executions ended or wait in */
    struct flow *next;
    char id[128];
    uint32_t ended[SLICES], failed[SLICES]; /* by slice of the window, a ring */
    uint32_t waiting;                       /* of this look */
    int64_t oldest_ms;
};

static struct {
    bool open;
    const char *data_dir;
    struct question questions[SHARDS_MOST];
    struct down *downs;
    struct flow *flows[BUCKETS];
    uint64_t slice; /* number of the newest slice */
} watch;

static struct flow **flow_place(const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *c = id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    struct flow **link = &watch.flows[(hash ^ hash >> 32) & (BUCKETS - 1)];
    while (*link && strcmp((*link)->id, id) != 0)
        link = &(*link)->next;
    return link;
}

/* ---- the shards ---- */

static void take(const struct hz_figure *figure)
{
    struct flow **link = flow_place(figure->workflow_id), *flow = *link;
    if (!flow) {
        flow = calloc(1, sizeof *flow);
        if (!flow)
            return; /* a figure less */
        memcpy(flow->id, figure->workflow_id, sizeof flow->id);
        *link = flow;
    }
    flow->ended[watch.slice % SLICES] += figure->ended;
    flow->failed[watch.slice % SLICES] += figure->failed;
    flow->waiting += figure->waiting;
    flow->oldest_ms = HZ_MAX(flow->oldest_ms, figure->oldest_ms);
}

static void run_answer(struct hz_mail *mail)
{
    struct question *q = HZ_CONTAINER_OF(mail, struct question, mail);
    for (size_t i = 0; i < q->count && watch.open; i++)
        take(&q->list[i]);
    free(q->list);
    q->list = NULL;
    q->away = false;
}

static void run_question(struct hz_mail *mail)
{
    struct question *q = HZ_CONTAINER_OF(mail, struct question, mail);
    if (hz_figures_take(&q->list, &q->count))
        q->count = 0;
    q->mail.run = run_answer;
    hz_shard_post(hz_shard_main(), &q->mail);
}

void hz_alerts_watch_ask(void)
{
    for (uint32_t i = 0; i < hz_shard_count() && i < SHARDS_MOST; i++) {
        struct question *q = &watch.questions[i];
        if (q->away)
            continue;
        q->away = true;
        q->mail.run = run_question;
        hz_shard_post(hz_shard_at(i), &q->mail);
    }
}

/* ---- workers ---- */

void hz_alerts_watch_down(
        struct hz_alert_book *book, const char *workflow_id, const char *text, const struct hz_alert_now *now)
{
    struct down *down = watch.downs;
    while (down && strcmp(down->workflow_id, workflow_id) != 0)
        down = down->next;
    if (!down) {
        down = calloc(1, sizeof *down);
        if (!down)
            return;
        snprintf(down->workflow_id, sizeof down->workflow_id, "%s", workflow_id);
        down->next = watch.downs;
        watch.downs = down;
    }
    snprintf(down->text, sizeof down->text, "%.255s", text);
    char subject[HZ_ALERT_SUBJECT], sentence[HZ_ALERT_TEXT];
    snprintf(subject, sizeof subject, "workflow:%s", workflow_id);
    snprintf(sentence, sizeof sentence, "the worker of %s ended unasked: %s", workflow_id, down->text);
    hz_alert_pulse(book, HZ_ALERT_WORKER_DOWN, subject, 1, sentence, now);
}

void hz_alerts_watch_calm(const char *workflow_id)
{
    for (struct down **link = &watch.downs; *link; link = &(*link)->next) {
        struct down *down = *link;
        if (strcmp(down->workflow_id, workflow_id) != 0)
            continue;
        *link = down->next;
        free(down);
        return;
    }
}

static void see_worker(const struct hz_worker_info *info, void *arg)
{
    struct hz_alert_book *book = arg;
    if (info->resident && info->status == HZ_WORKER_RUNNING && watch.downs)
        hz_alerts_watch_calm(info->workflow_id);
    if (info->memory_limit == 0 || info->rss_bytes < info->memory_limit / 100)
        return;
    char subject[HZ_ALERT_SUBJECT], text[HZ_ALERT_TEXT];
    double percent = 100.0 * (double)info->rss_bytes / (double)info->memory_limit;
    if (percent < book->settings[HZ_ALERT_MEMORY].clear)
        return;
    snprintf(subject, sizeof subject, "workflow:%s", info->workflow_id);
    snprintf(text, sizeof text, "worker %s of %s holds %.1f MB, %.0f %% of the %.1f MB its workflow allows",
            info->id_text, info->workflow_id, (double)info->rss_bytes / 1048576.0, percent,
            (double)info->memory_limit / 1048576.0);
    hz_alert_see(book, HZ_ALERT_MEMORY, subject, percent, text);
}

static void see_workers(struct hz_alert_book *book)
{
    hz_registry_visit(see_worker, book);
    for (const struct down *down = watch.downs; down; down = down->next) {
        char subject[HZ_ALERT_SUBJECT], text[HZ_ALERT_TEXT];
        snprintf(subject, sizeof subject, "workflow:%s", down->workflow_id);
        snprintf(text, sizeof text, "the worker of %s ended unasked and no other runs yet: %s", down->workflow_id,
                down->text);
        hz_alert_see(book, HZ_ALERT_WORKER_DOWN, subject, 1, text);
    }
}

static void see_parked(struct hz_alert_book *book)
{
    json_t *parked = hz_parked_list();
    const char *id;
    const json_t *entry;
    json_object_foreach(parked, id, entry)
    {
        char subject[HZ_ALERT_SUBJECT], text[HZ_ALERT_TEXT];
        const char *reason = json_string_value(json_object_get(entry, "reason")),
                   *crash = json_string_value(json_object_get(entry, "crashId"));
        snprintf(subject, sizeof subject, "workflow:%.128s", id);
        snprintf(text, sizeof text, "%.128s is parked, its workers ended too often, the last time: %.250s%s%.40s", id,
                reason ? reason : "?", crash && *crash ? "; crash report " : "", crash ? crash : "");
        hz_alert_see(book, HZ_ALERT_PARKED, subject, 1, text);
    }
    json_decref(parked);
}

/* ---- workflows ---- */

static void see_rate(struct hz_alert_book *book, const struct flow *flow, uint64_t ended, uint64_t failed)
{
    const struct hz_alert_settings *settings = &book->settings[HZ_ALERT_ERROR_RATE];
    if (ended < settings->least)
        return;
    double percent = 100.0 * (double)failed / (double)ended;
    char subject[HZ_ALERT_SUBJECT], text[HZ_ALERT_TEXT];
    snprintf(subject, sizeof subject, "workflow:%s", flow->id);
    snprintf(text, sizeof text,
            "%" PRIu64 " of %" PRIu64 " executions of %s that ended in the last %u s failed, %.1f %%", failed, ended,
            flow->id, settings->window_s, percent);
    hz_alert_see(book, HZ_ALERT_ERROR_RATE, subject, percent, text);
}

static void see_wait(struct hz_alert_book *book, const struct flow *flow)
{
    char subject[HZ_ALERT_SUBJECT], text[HZ_ALERT_TEXT];
    double seconds = (double)flow->oldest_ms / 1e3;
    snprintf(subject, sizeof subject, "workflow:%s", flow->id);
    snprintf(text, sizeof text, "%u executions of %s wait for their turn, the oldest for %.1f s", flow->waiting,
            flow->id, seconds);
    hz_alert_see(book, HZ_ALERT_QUEUE_AGE, subject, seconds, text);
}

/* The window moves on by whole slices; what is older than it is forgotten. */
static void move_window(struct flow *flow, uint64_t steps)
{
    for (uint64_t i = 0; i < HZ_MIN(steps, (uint64_t)SLICES); i++) {
        flow->ended[(watch.slice - i) % SLICES] = 0;
        flow->failed[(watch.slice - i) % SLICES] = 0;
    }
}

static void see_flows(struct hz_alert_book *book, const struct hz_alert_now *now)
{
    uint64_t slice = now->ms / (book->settings[HZ_ALERT_ERROR_RATE].window_s * UINT64_C(1000) / SLICES) + SLICES;
    /* Another window's slices have other numbers: everything is forgotten then, in either direction. */
    uint64_t steps = slice >= watch.slice ? slice - watch.slice : SLICES;
    watch.slice = slice;
    for (unsigned i = 0; i < BUCKETS; i++) {
        struct flow **link = &watch.flows[i], *flow;
        while ((flow = *link) != NULL) {
            uint64_t ended = 0, failed = 0;
            for (unsigned n = 0; n < SLICES; n++) {
                ended += flow->ended[n];
                failed += flow->failed[n];
            }
            see_rate(book, flow, ended, failed);
            if (flow->waiting > 0)
                see_wait(book, flow);
            if (ended == 0 && flow->waiting == 0) {
                *link = flow->next;
                free(flow);
                continue;
            }
            flow->waiting = 0;
            flow->oldest_ms = 0;
            move_window(flow, steps);
            link = &flow->next;
        }
    }
}

/* ---- the host ---- */

static void see_host(struct hz_alert_book *book)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128], text[HZ_ALERT_TEXT];
    unsigned long long total = 0, available = 0;
    while (file && fgets(line, sizeof line, file) && (total == 0 || available == 0)) {
        (void)sscanf(line, "MemTotal: %llu", &total);
        (void)sscanf(line, "MemAvailable: %llu", &available);
    }
    if (file)
        fclose(file);
    if (total == 0 || available > total)
        return;
    double percent = 100.0 * (double)(total - available) / (double)total;
    snprintf(text, sizeof text, "%.1f %% of the host's memory is in use, %.1f of %.1f MB are left", percent,
            (double)available / 1024.0, (double)total / 1024.0);
    hz_alert_see(book, HZ_ALERT_MEMORY, "host", percent, text);
}

static void see_disk(struct hz_alert_book *book, const char *subject, const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) || fs.f_blocks == 0 || fs.f_bfree > fs.f_blocks)
        return;
    double unit = (double)fs.f_frsize / 1048576.0, used = (double)(fs.f_blocks - fs.f_bfree),
           room = used + (double)fs.f_bavail;
    double percent = room > 0 ? 100.0 * used / room : 100.0;
    char text[HZ_ALERT_TEXT];
    snprintf(text, sizeof text, "%.1f %% of the file system of %.300s is in use, %.1f of %.1f MB are left", percent,
            path, (double)fs.f_bavail * unit, room * unit);
    hz_alert_see(book, HZ_ALERT_DISK, subject, percent, text);
}

static void see_store(struct hz_alert_book *book)
{
    char text[HZ_ALERT_TEXT];
    double lag = (double)hz_store_lag_ms() / 1e3;
    uint64_t pending = hz_store_pending();
    snprintf(text, sizeof text, "the oldest of %" PRIu64 " rows that wait for the disk is %.1f s old", pending, lag);
    hz_alert_see(book, HZ_ALERT_STORE_LAG, "store", lag, text);
    if (!hz_store_degraded())
        return;
    snprintf(text, sizeof text, "the store cannot write, %" PRIu64 " rows wait; executions that need it are refused",
            pending);
    hz_alert_see(book, HZ_ALERT_STORE_DEGRADED, "store", 1, text);
}

void hz_alerts_watch_look(struct hz_alert_book *book, const struct hz_alert_now *now)
{
    see_workers(book);
    see_parked(book);
    see_flows(book, now);
    see_host(book);
    see_disk(book, "data", watch.data_dir);
    see_disk(book, "/dev/shm", "/dev/shm");
    see_store(book);
}

/* ---- start and end ---- */

void hz_alerts_watch_init(const char *data_dir)
{
    watch.open = true;
    watch.data_dir = data_dir;
}

void hz_alerts_watch_fini(void)
{
    watch.open = false;
    while (watch.downs)
        hz_alerts_watch_calm(watch.downs->workflow_id);
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct flow *flow = watch.flows[i], *next; flow; flow = next) {
            next = flow->next;
            free(flow);
        }
        watch.flows[i] = NULL;
    }
}
