/*
 * reports.c - progress of executions. At most four a second are told of one, at most HZ_REPORTS_TICK a tick of all together, each to everybody;
 * the last one of each is told in any case, as soon as its turn comes. Any shard; ticks on the main thread.
 *
 * One lock guards the table and the two numbers beside it; nothing is told under it. Ids come from workers, who choose those of what they begin
 * themselves, so they are hashed with a secret.
 */
#include "reports.h"

#include "events.h"
#include "news.h"

#include "core/flow/json_text.h"

#include "shm/err.h"
#include "shm/text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS   8192u
#define TEXT_MOST 1024u /* of what a flow said, each */

struct report {
    struct report *next;           /* of its bucket */
    struct report *newer, *older;  /* by when it was told */
    char execution[HZ_UUID_TEXT];
    char *json;
    uint64_t told_ns; /* 0: never */
    bool waiting;     /* there is a newer one than was told */
};

static struct {
    pthread_mutex_t lock;
    struct report *buckets[BUCKETS];
    struct report *newest, *oldest;
    uint32_t count, waiting, left; /* left: may still be told before the next tick */
    uint64_t secret;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the table, under the lock ---- */
static struct report **bucket_of(const char *execution)
{
    uint64_t hash = table.secret ^ UINT64_C(0xcbf29ce484222325);
    for (; *execution; execution++) {
        hash = (hash ^ (unsigned char)*execution) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29;
    }
    return &table.buckets[(hash ^ hash >> 32) % BUCKETS];
}

static struct report *find(const char *execution)
{
    struct report *r = *bucket_of(execution);
    while (r && strcmp(r->execution, execution) != 0)
        r = r->next;
    return r;
}

static void unlink_order(struct report *r)
{
    *(r->newer ? &r->newer->older : &table.newest) = r->older;
    *(r->older ? &r->older->newer : &table.oldest) = r->newer;
}

static void link_newest(struct report *r)
{
    r->newer = NULL;
    r->older = table.newest;
    *(table.newest ? &table.newest->newer : &table.oldest) = r;
    table.newest = r;
}

static void forget(struct report *r)
{
    struct report **at = bucket_of(r->execution);
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    unlink_order(r);
    table.count--;
    table.waiting -= r->waiting;
    free(r->json);
    free(r);
}

/* NULL: no memory, or as many executions as are kept wait for their turn. */
static struct report *make(const char *execution)
{
    for (struct report *r = table.oldest; r && table.count >= HZ_REPORTS_KEPT && table.waiting < table.count; r = r->newer)
        if (!r->waiting) {
            forget(r);
            break;
        }
    struct report *r = table.count < HZ_REPORTS_KEPT ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return NULL;
    (void)hz_text_copy(r->execution, sizeof r->execution, execution);
    struct report **bucket = bucket_of(r->execution);
    r->next = *bucket;
    *bucket = r;
    link_newest(r);
    table.count++;
    return r;
}

/* Its turn has come: a copy of what is to be told, NULL: not yet, or no memory (then later). */
static char *take(struct report *r, uint64_t ns)
{
    if (!r->waiting || table.left == 0 || (r->told_ns && ns - r->told_ns < HZ_REPORTS_NS))
        return NULL;
    char *text = strdup(r->json);
    if (!text)
        return NULL;
    table.left--;
    table.waiting--;
    r->waiting = false;
    r->told_ns = ns;
    unlink_order(r);
    link_newest(r);
    return text;
}

/* ---- what is told ---- */
static json_t *shortened(json_t *value)
{
    char cut[TEXT_MOST];
    size_t len = 0;
    if (json_is_string(value)) {
        (void)hz_text_copy(cut, sizeof cut, json_string_value(value));
        return json_string(cut);
    }
    char *text = json_is_object(value) || json_is_array(value) ? hz_json_text_print(value, 0, &len) : NULL;
    free(text);
    return value && len < TEXT_MOST ? json_incref(value) : json_null();
}

/* {executionId, workerId, nodeId, stepName, percentage, message}; NULL: what the flow said is no object, or no memory. */
static char *report_text(const char *execution, const struct hz_worker_info *worker, const char *json, size_t len)
{
    static const char *const keys[] = {"nodeId", "stepName", "percentage", "message"};
    json_t *said = hz_json_text_read(json, len), *report = json_is_object(said) ? json_object() : NULL;
    (void)json_object_set_new(report, "executionId", json_string(execution));
    (void)json_object_set_new(report, "workerId", json_string(worker->id_text));
    for (size_t i = 0; report && i < HZ_COUNT_OF(keys); i++)
        (void)json_object_set_new(report, keys[i], shortened(json_object_get(said, keys[i])));
    char *text = report ? hz_json_text_print(report, 0, NULL) : NULL;
    json_decref(report);
    json_decref(said);
    return text;
}

/* Not volatile: a client between two polls must get the last one, too. */
static void tell(char *text)
{
    size_t len = strlen(text);
    hz_news_all_text("executions:progress", text, len, NULL);
    hz_events_passing("progress", text, len);
    free(text);
}

void hz_events_progress(const char *execution, const struct hz_worker_info *worker, const char *json, size_t len)
{
    char *text = report_text(execution, worker, json, len), *now = NULL;
    if (!text)
        return;
    pthread_mutex_lock(&table.lock);
    struct report *r = find(execution);
    if (!r)
        r = make(execution);
    if (r) {
        free(r->json);
        r->json = text;
        table.waiting += !r->waiting;
        r->waiting = true;
        now = take(r, hz_base_now_ns());
    } else {
        free(text);
    }
    pthread_mutex_unlock(&table.lock);
    if (now)
        tell(now);
}

char *hz_events_latest_progress(const char *execution)
{
    pthread_mutex_lock(&table.lock);
    const struct report *r = find(execution);
    char *text = r && r->json ? strdup(r->json) : NULL;
    pthread_mutex_unlock(&table.lock);
    return text;
}

/* ---- life ---- */
void hz_reports_init(void)
{
    hz_base_random(&table.secret, sizeof table.secret);
    table.left = HZ_REPORTS_TICK;
}

void hz_reports_tick(void)
{
    char *texts[HZ_REPORTS_TICK];
    unsigned count = 0;
    uint64_t ns = hz_base_now_ns();
    pthread_mutex_lock(&table.lock);
    table.left = HZ_REPORTS_TICK;
    for (struct report *r = table.oldest, *newer; r && table.waiting > 0 && table.left > 0; r = newer) {
        newer = r->newer;
        char *text = take(r, ns); /* moves it to the newest: the walk meets it again at its end, and passes it by */
        if (text)
            texts[count++] = text;
    }
    pthread_mutex_unlock(&table.lock);
    for (unsigned i = 0; i < count; i++)
        tell(texts[i]);
}

void hz_reports_fini(void)
{
    while (table.oldest)
        forget(table.oldest);
}
