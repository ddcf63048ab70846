/*
 * events.c - numbers what happens, keeps what matters, tells who follows. Events are encoded when they happen, once; a tick joins those of
 * the last 250 ms into one delta.
 *
 * One lock guards ring and pending list; it is held to copy some hundred bytes. The main thread's timer makes the deltas; the
 * store is written on a thread of libuv's pool, one batch at a time.
 */
#include "events.h"

#include "json.h"
#include "reports.h"

#include "core/flow/json_text.h"
#include "core/shard.h"
#include "core/store_records.h"

#include "shm/err.h"
#include "shm/log.h"
#include "shm/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_MS       (INT64_C(7) * 86400000)
#define REPLAY_BYTES  ((size_t)16 << 20)
#define GRACE_NS      UINT64_C(60000000000) /* after the last follower: he may come back */
#define TICK_MOST     (HZ_EVENTS_REPLAY / 2) /* events in one tick; further ones that only pass are left out and counted */
#define UNSAVED_MOST  100000u
#define UNSAVED_BYTES ((size_t)16 << 20)
#define TEXT_MOST     1024u
#define MORE_MOST     4096u

struct event {
    uint64_t sequence;
    int64_t at_ms;
    const char *kind; /* a literal */
    char workflow_id[128];
    size_t len;
    char *json;
};

static struct {
    pthread_mutex_t lock;
    uint64_t next; /* sequence */
    struct event *ring;
    uint64_t ring_from, ring_to; /* counts of events ever put in: [from, to) are there */
    uint64_t told, told_to;      /* up to here (count; sequence) deltas were made */
    uint64_t hole;               /* who has nothing since this sequence has missed some that got no number */
    size_t bytes;
    struct hz_store_event *unsaved;
    size_t unsaved_count, unsaved_capacity, unsaved_bytes;
    uint32_t tick_count, left_out;
    _Atomic int followers;
    _Atomic uint64_t followed_until_ns;
    _Atomic bool passed; /* something got no number since nobody followed; set and cleared under the lock */
    hz_events_batch_fn *faces[4];
    unsigned face_count;
    struct hz_timer timer;
    bool running, saving;
} hub = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- followers ---- */
void hz_events_listen(hz_events_batch_fn *fn)
{
    if (hub.face_count < HZ_COUNT_OF(hub.faces))
        hub.faces[hub.face_count++] = fn;
}

void hz_events_followers(int more)
{
    /* Relaxed: a follower who comes sees what happens from some moment on, and asks for what was before. The lock taken behind it orders
     * it with a tick, and with an event that finds nobody. */
    atomic_fetch_add_explicit(&hub.followers, more, memory_order_relaxed);
    atomic_store_explicit(&hub.followed_until_ns, hz_base_now_ns() + GRACE_NS, memory_order_relaxed);
    pthread_mutex_lock(&hub.lock);
    if (more > 0 && atomic_load_explicit(&hub.passed, memory_order_relaxed)) {
        atomic_store_explicit(&hub.passed, false, memory_order_relaxed);
        hub.told_to = hub.hole = hub.next++; /* a number of nothing: below it something is missing, above it nothing */
        hub.told = hub.ring_to;              /* nobody was there to be told */
    }
    pthread_mutex_unlock(&hub.lock);
}

static bool has_followers(void)
{
    return atomic_load_explicit(&hub.followers, memory_order_relaxed) > 0 ||
           atomic_load_explicit(&hub.followed_until_ns, memory_order_relaxed) > hz_base_now_ns();
}

/* An event that finds nobody leaves a note, under the lock unless it is there already: who comes at this moment either is seen here, or
 * sees it, or came after what happened and reads it in the lists. */
static bool is_followed(void)
{
    if (has_followers())
        return true;
    if (atomic_load_explicit(&hub.passed, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&hub.lock);
    bool followed = has_followers();
    if (!followed)
        atomic_store_explicit(&hub.passed, true, memory_order_relaxed);
    pthread_mutex_unlock(&hub.lock);
    return followed;
}

uint64_t hz_events_last(void)
{
    pthread_mutex_lock(&hub.lock);
    uint64_t last = hub.told_to;
    pthread_mutex_unlock(&hub.lock);
    return last;
}

/* ---- putting in ---- */
static void drop_oldest(void)
{
    struct event *old = &hub.ring[hub.ring_from++ % HZ_EVENTS_REPLAY];
    hub.bytes -= old->len;
    free(old->json);
    old->json = NULL;
}

static void save_later(const struct event *e)
{
    if (hub.unsaved_bytes + e->len > UNSAVED_BYTES)
        return; /* the disk does not keep pace */
    if (hub.unsaved_count == hub.unsaved_capacity) {
        size_t capacity = hub.unsaved_capacity ? 2 * hub.unsaved_capacity : 64;
        struct hz_store_event *grown = capacity <= UNSAVED_MOST ? realloc(hub.unsaved, capacity * sizeof *grown) : NULL;
        if (!grown)
            return;
        hub.unsaved = grown;
        hub.unsaved_capacity = capacity;
    }
    struct hz_store_event *row = &hub.unsaved[hub.unsaved_count];
    char *workflow = strdup(e->workflow_id), *data = strdup(e->json);
    if (!workflow || !data) {
        free(workflow);
        free(data);
        return;
    }
    *row = (struct hz_store_event){e->sequence, e->at_ms, e->kind, workflow, data};
    hub.unsaved_count++;
    hub.unsaved_bytes += e->len;
}

/* rest: members after the head, without the brace that opens; kept: it goes to the store, too. */
static void put(const char *kind, const char *workflow_id, const struct hz_json *rest, bool kept)
{
    char at[HZ_ISO_TEXT], head[160];
    int64_t now = hz_base_wall_ms();
    if (rest->failed || !hub.ring)
        return;
    hz_base_iso(now, at);
    pthread_mutex_lock(&hub.lock);
    if (!kept && hub.tick_count >= TICK_MOST) {
        hub.left_out++;
        pthread_mutex_unlock(&hub.lock);
        return;
    }
    hub.tick_count++;
    int head_len = snprintf(head, sizeof head, "{\"sequence\":%llu,\"at\":\"%s\",\"kind\":\"%s\",", (unsigned long long)hub.next, at, kind);
    char *json = malloc((size_t)head_len + rest->len);
    if (json) {
        memcpy(json, head, (size_t)head_len);
        memcpy(json + head_len, rest->data + 1, rest->len - 1);
        json[(size_t)head_len + rest->len - 1] = 0;
        if (hub.ring_to - hub.ring_from == HZ_EVENTS_REPLAY)
            drop_oldest();
        struct event *e = &hub.ring[hub.ring_to++ % HZ_EVENTS_REPLAY];
        *e = (struct event){.sequence = hub.next++, .at_ms = now, .kind = kind, .json = json, .len = (size_t)head_len + rest->len - 1};
        snprintf(e->workflow_id, sizeof e->workflow_id, "%s", workflow_id);
        hub.bytes += e->len;
        if (kept)
            save_later(e);
        while (hub.bytes > REPLAY_BYTES && hub.ring_from + 1 < hub.ring_to)
            drop_oldest();
    }
    pthread_mutex_unlock(&hub.lock);
}

static void add(struct hz_json *json, const char *key, const char *text)
{
    char cut[TEXT_MOST];
    if (!text || !*text)
        return;
    (void)hz_text_copy(cut, sizeof cut, text); /* of errors and messages of flows: events are kept for days, and are many */
    hz_json_key(json, key, strlen(key));
    hz_json_text(json, cut);
}

void hz_events_worker(enum hz_worker_event event, const struct hz_worker_info *info, const char *detail)
{
    static const char *const kinds[] = {[HZ_EVENT_WORKER_CREATED] = "created", [HZ_EVENT_WORKER_READY] = "ready", [HZ_EVENT_WORKER_CHANGED] = "worker",
            [HZ_EVENT_WORKER_ERROR] = "error", [HZ_EVENT_WORKER_CRASHED] = "crashed", [HZ_EVENT_WORKER_RESTARTED] = "restarted",
            [HZ_EVENT_WORKER_STOPPED] = "stopped", [HZ_EVENT_WORKER_PARKED] = "parked", [HZ_EVENT_WORKER_STUCK] = "worker",
            [HZ_EVENT_WORKER_LIMIT] = "worker"};
    const char *kind = kinds[event];
    bool kept = strcmp(kind, "worker") != 0;
    if (!kept && !is_followed())
        return;
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    add(&json, "workflowId", info->workflow_id);
    add(&json, "workerId", info->id_text);
    add(&json, "executionId", info->execution_text);
    if (event == HZ_EVENT_WORKER_RESTARTED)
        add(&json, "oldWorkerId", detail);
    else if (event != HZ_EVENT_WORKER_CHANGED)
        add(&json, "message", detail);
    if (!kept || event == HZ_EVENT_WORKER_CREATED || event == HZ_EVENT_WORKER_READY) {
        HZ_JSON_KEY(&json, "worker");
        hz_json_worker(&json, info, HZ_WORKER_OBJECT);
    }
    hz_json_close(&json, '}');
    put(kind, info->workflow_id, &json, kept);
    hz_json_fini(&json);
}

void hz_events_execution(const char *id, const struct hz_execution_news *news)
{
    static const char *const states[] = {[HZ_EXEC_QUEUED] = "queued", [HZ_EXEC_RUNNING] = "running", [HZ_EXEC_WAITING] = "waiting",
            [HZ_EXEC_SUCCESS] = "success", [HZ_EXEC_FAILED] = "failed", [HZ_EXEC_CANCELLED] = "cancelled", [HZ_EXEC_TIMED_OUT] = "timed_out",
            [HZ_EXEC_CRASHED] = "crashed", [HZ_EXEC_INTERRUPTED] = "interrupted"};
    if (!is_followed())
        return;
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    add(&json, "workflowId", news->workflow_id);
    add(&json, "workerId", news->worker_id);
    add(&json, "executionId", id);
    add(&json, "state", states[news->state]);
    add(&json, "error", news->error);
    HZ_JSON_KEY(&json, "attempt");
    hz_json_uint(&json, news->attempt);
    hz_json_close(&json, '}');
    put("execution", news->workflow_id, &json, false);
    hz_json_fini(&json);
}

void hz_events_note(const char *kind, const char *workflow_id, const char *worker_id, const char *more)
{
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    add(&json, "workflowId", workflow_id);
    add(&json, "workerId", worker_id);
    size_t len = more ? strlen(more) : 0;
    if (len > MORE_MOST)
        HZ_LOG(WARN, "an event %s without its %zu bytes: at most %u", kind, len, (unsigned)MORE_MOST);
    else if (len > 2)
        hz_json_raw(&json, more + 1, len - 2);
    hz_json_close(&json, '}');
    put(kind, workflow_id ? workflow_id : "", &json, true);
    hz_json_fini(&json);
}

void hz_events_passing(const char *kind, const char *text, size_t len)
{
    struct hz_json json = {0};
    if (!is_followed())
        return;
    hz_json_open(&json, '{');
    hz_json_raw(&json, text + 1, len - 2);
    hz_json_close(&json, '}');
    put(kind, "", &json, false);
    hz_json_fini(&json);
}

/* ---- deltas ---- */
/* Under the lock: those of [from, to) counts, the last of which is `last` or before it. False: no memory. */
static bool encode(uint64_t from, uint64_t to, uint64_t last, uint64_t left_out, struct hz_events_batch *ret)
{
    struct hz_json json = {0};
    size_t size = 64;
    for (uint64_t i = from; i < to; i++)
        size += hub.ring[i % HZ_EVENTS_REPLAY].len + 64;
    char *lines = malloc(size), *end = lines;
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "from");
    ret->from = from < to ? hub.ring[from % HZ_EVENTS_REPLAY].sequence : last + 1;
    ret->to = last;
    hz_json_uint(&json, ret->from);
    HZ_JSON_KEY(&json, "to");
    hz_json_uint(&json, ret->to);
    HZ_JSON_KEY(&json, "leftOut");
    hz_json_uint(&json, left_out);
    HZ_JSON_KEY(&json, "events");
    hz_json_open(&json, '[');
    for (uint64_t i = from; i < to && lines; i++) {
        const struct event *e = &hub.ring[i % HZ_EVENTS_REPLAY];
        hz_json_raw(&json, e->json, e->len);
        end += sprintf(end, "id: %llu\nevent: %s\ndata: ", (unsigned long long)e->sequence, e->kind);
        memcpy(end, e->json, e->len);
        end += e->len;
        *end++ = '\n';
        *end++ = '\n';
    }
    hz_json_close(&json, ']');
    hz_json_close(&json, '}');
    if (left_out && lines)
        end += sprintf(end, "id: %llu\nevent: reset\ndata: {}\n\n", (unsigned long long)last);
    ret->lines = lines;
    ret->lines_len = lines ? (size_t)(end - lines) : 0;
    ret->json = hz_json_take(&json, &ret->json_len);
    if (ret->json && lines)
        return true;
    hz_events_replay_free(ret);
    return false;
}

void hz_events_replay_free(struct hz_events_batch *batch)
{
    free((char *)(uintptr_t)batch->json);
    free((char *)(uintptr_t)batch->lines);
    memset(batch, 0, sizeof *batch);
}

/* Under the lock: the count of the first event above that sequence. Binary search. */
static uint64_t count_after(uint64_t sequence)
{
    uint64_t low = hub.ring_from, high = hub.ring_to;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (hub.ring[middle % HZ_EVENTS_REPLAY].sequence > sequence)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool hz_events_replay(uint64_t after, size_t most, struct hz_events_batch *ret_batch)
{
    memset(ret_batch, 0, sizeof *ret_batch);
    pthread_mutex_lock(&hub.lock);
    uint64_t oldest = hub.ring_from < hub.ring_to ? hub.ring[hub.ring_from % HZ_EVENTS_REPLAY].sequence : hub.next;
    uint64_t told = HZ_MAX(hub.told, hub.ring_from);
    bool known = after < hub.next && after >= hub.hole && after + 1 >= oldest;
    /* What no delta has told yet comes with the next one. Who knows some of it already (from the list) goes on behind that. */
    uint64_t from = known ? HZ_MIN(count_after(after), told) : told, to = from;
    for (size_t size = 0; to < told; to++) {
        size += hub.ring[to % HZ_EVENTS_REPLAY].len;
        if (size > most && to > from)
            break;
    }
    uint64_t last = to < told ? hub.ring[(to - 1) % HZ_EVENTS_REPLAY].sequence : known ? HZ_MAX(hub.told_to, after) : hub.told_to;
    bool ok = encode(from, to, last, 0, ret_batch);
    ret_batch->to = last;
    ret_batch->from = ok ? ret_batch->from : last + 1;
    ret_batch->more = ok && to < told;
    pthread_mutex_unlock(&hub.lock);
    return ok && known;
}

struct saving {
    uv_work_t work;
    struct hz_store_event *list;
    size_t count;
};

static void save(uv_work_t *work)
{
    struct saving *saving = work->data;
    if (saving->count && hz_store_events_put(saving->list, saving->count, KEEP_MS))
        HZ_LOG(WARN, "%zu events are not kept: %s", saving->count, hz_err_last());
}

static void free_saving(struct saving *saving)
{
    for (size_t i = 0; i < saving->count; i++) {
        free((char *)(uintptr_t)saving->list[i].workflow_id);
        free((char *)(uintptr_t)saving->list[i].data);
    }
    free(saving->list);
    free(saving);
}

static void saved(uv_work_t *work, int status)
{
    (void)status;
    hub.saving = false;
    free_saving(work->data);
}

static struct saving *take_unsaved(void)
{
    struct saving *saving = calloc(1, sizeof *saving);
    if (!saving)
        return NULL;
    pthread_mutex_lock(&hub.lock);
    saving->list = hub.unsaved;
    saving->count = hub.unsaved_count;
    hub.unsaved = NULL;
    hub.unsaved_count = hub.unsaved_capacity = hub.unsaved_bytes = 0;
    pthread_mutex_unlock(&hub.lock);
    saving->work.data = saving;
    return saving;
}

static void tick(struct hz_timer *timer)
{
    struct hz_events_batch batch = {0};
    hz_reports_tick();
    pthread_mutex_lock(&hub.lock);
    uint64_t from = HZ_MAX(hub.told, hub.ring_from), to = hub.ring_to, left_out = hub.left_out + from - hub.told;
    bool wanted = (from < to || left_out) && atomic_load_explicit(&hub.followers, memory_order_relaxed) > 0;
    bool some = wanted && encode(from, to, hub.next - 1, left_out, &batch);
    if (some || !wanted) { /* without memory: the next tick tells them */
        hub.told = to;
        hub.told_to = hub.next - 1;
        hub.hole = left_out ? hub.told_to : hub.hole;
        hub.tick_count = hub.left_out = 0;
    }
    bool unsaved = hub.unsaved_count > 0;
    pthread_mutex_unlock(&hub.lock);
    for (unsigned i = 0; some && i < hub.face_count; i++)
        hub.faces[i](&batch);
    if (some)
        hz_events_replay_free(&batch);
    struct saving *saving = unsaved && !hub.saving ? take_unsaved() : NULL;
    if (saving) {
        hub.saving = true;
        if (uv_queue_work(hz_shard_loop(hz_shard_main()), &saving->work, save, saved)) {
            hub.saving = false;
            free_saving(saving);
        }
    }
    hz_timer_after(hz_shard_timers(hz_shard_main()), timer, HZ_EVENTS_TICK_MS, tick);
}

int hz_events_init(void)
{
    hub.ring = calloc(HZ_EVENTS_REPLAY, sizeof *hub.ring);
    /* Numbers go on above those of any manager before this one, which gave out less than a million a second. */
    hub.next = (uint64_t)hz_base_wall_ms() * 1000u;
    hub.told_to = hub.next - 1;
    hub.hole = 0;
    hz_reports_init();
    hub.ring_from = hub.ring_to = hub.told = 0;
    atomic_store_explicit(&hub.passed, false, memory_order_relaxed);
    return hub.ring ? 0 : hz_err_set(HZ_ENOMEM, "events");
}

void hz_events_begin(void)
{
    hub.running = true;
    hz_timer_after(hz_shard_timers(hz_shard_main()), &hub.timer, HZ_EVENTS_TICK_MS, tick);
}

void hz_events_end(void)
{
    if (hub.running)
        hz_timer_cancel(hz_shard_timers(hz_shard_main()), &hub.timer);
    hub.running = false;
}

void hz_events_fini(void)
{
    struct saving *saving = hub.unsaved_count ? take_unsaved() : NULL;
    if (saving) {
        save(&saving->work);
        free_saving(saving);
    }
    while (hub.ring && hub.ring_from < hub.ring_to)
        drop_oldest();
    free(hub.ring);
    hub.ring = NULL;
    hz_reports_fini();
    hub.face_count = 0;
    atomic_store(&hub.followers, 0);
}
