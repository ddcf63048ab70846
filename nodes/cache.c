/*
 * cache - keeps payloads for a while. Input `get`: a hit goes out on `response`, a miss on `noExist`; `set` stores the
 * payload under the key of the nearest `get` on this branch. One store per node and worker; executions share it.
 *
 * Fields of struct cache are guarded by `lock`, but `sweeper`, which only the main loop touches. Runs come from any
 * of the worker's threads; a value is kept by the store while it lies there and borrowed by a run only under the
 * lock, so a hit takes its own reference, for the length of the run, before the lock is released.
 */
#include "cache_store.h"
#include "text.h"
#include <pthread.h>
#include <time.h>

struct cache {
    pthread_mutex_t lock; /* all zero bytes are an unlocked mutex on this platform (PTHREAD_MUTEX_INITIALIZER) */
    struct cache_store store;
    uint64_t period_ms; /* of the sweeper, as the last run wanted it; 0: none */
    bool arming;        /* a post to the main loop is under way */
    bool swept;         /* a sweeper runs */
    hz_watch *sweeper;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Seconds of a property as milliseconds; 0 stays 0, "for ever" or "never". */
static uint64_t seconds(hz_call *call, const char *key, double fallback)
{
    double s = value_number(hz_param(call, key), fallback);
    if (!(s > 0))
        return 0;
    return s < 1e9 ? (uint64_t)(s * 1000) + (s < 0.001) : 0;
}

/* Main loop: drops what has expired, and stops itself once nothing is left, so that an idle worker sleeps. */
static void sweep(void *arg, int events)
{
    struct cache *cache = arg;
    (void)events;
    pthread_mutex_lock(&cache->lock);
    cache_store_sweep(&cache->store, now_ms());
    bool over = !cache->store.count || !cache->period_ms;
    if (over)
        cache->swept = false;
    pthread_mutex_unlock(&cache->lock);
    if (over) {
        hz_watch_stop(cache->sweeper);
        cache->sweeper = NULL;
    }
}

/* Main loop: starts the sweeper. */
static void arm(void *arg, int events)
{
    struct cache *cache = arg;
    (void)events;
    pthread_mutex_lock(&cache->lock);
    uint64_t period = cache->period_ms;
    cache->arming = false;
    bool start = period && !cache->swept;
    cache->swept = cache->swept || start;
    pthread_mutex_unlock(&cache->lock);
    if (!start)
        return;
    cache->sweeper = hz_timer_start(period, period, sweep, cache);
    if (!cache->sweeper) {
        pthread_mutex_lock(&cache->lock);
        cache->swept = false;
        pthread_mutex_unlock(&cache->lock);
    }
}

static hz_value *key_meta(hz_call *call, hz_str key)
{
    hz_value *meta = hz_object(call);
    return meta && set_text(call, meta, "key", key) == HZ_OK ? meta : NULL;
}

static int empty_key(hz_call *call, const char *operation)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "error", hz_text(call, "La clave no puede estar vacía")) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(data, "operation", hz_text(call, operation)) != HZ_OK || hz_set(data, "key", hz_text(call, "")) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_emit(call, "noExist", data);
}

/* The node's own key; a value that is no text is taken as its JSON. Empty: "", also for null and a failed
 * expression. */
static hz_str own_key(hz_call *call)
{
    const hz_value *key = hz_param(call, "key");
    enum hz_type type = hz_type_of(key);
    if (type == HZ_STRING)
        return hz_as_str(key);
    return type == HZ_UNDEFINED || type == HZ_NULL ? (hz_str){"", 0} : hz_print(call, key);
}

static int look_up(hz_call *call, struct cache *cache)
{
    hz_str key = own_key(call);
    if (!key.len)
        return empty_key(call, "get");
    pthread_mutex_lock(&cache->lock);
    const hz_value *value = cache_store_get(&cache->store, key, now_ms());
    if (value)
        hz_keep(value);
    pthread_mutex_unlock(&cache->lock);
    hz_value *meta = key_meta(call, key);
    int r = HZ_ERR_NOMEM;
    if (meta)
        r = hz_emit_meta(call, value ? "response" : "noExist", value ? value : hz_input(call), meta);
    if (value)
        hz_drop(value);
    return r;
}

static int store(hz_call *call, struct cache *cache)
{
    /* A `set` that took its key from a `get` says so in its meta, so that the next one on the branch finds it, too. */
    const hz_value *meta = NULL;
    hz_str key = {"", 0};
    if (hz_upstream(call, "cache", NULL, &meta) == HZ_OK)
        key = hz_as_str(hz_get(meta, "key"));
    bool inherited = key.len > 0;
    if (!inherited)
        key = own_key(call);
    if (!key.len)
        return empty_key(call, "set");
    pthread_mutex_lock(&cache->lock);
    int r = cache_store_put(&cache->store, key, hz_input(call), now_ms(), seconds(call, "stdTTL", 600));
    cache->period_ms = seconds(call, "checkperiod", 120);
    bool post = cache->period_ms && !cache->swept && !cache->arming;
    cache->arming = cache->arming || post;
    pthread_mutex_unlock(&cache->lock);
    if (post && hz_loop_post(arm, cache) != HZ_OK) {
        pthread_mutex_lock(&cache->lock);
        cache->arming = false;
        pthread_mutex_unlock(&cache->lock);
    }
    if (r != HZ_OK && r != HZ_ERR_LIMIT)
        return r;
    if (r == HZ_ERR_LIMIT)
        hz_log(call, HZ_LEVEL_WARN, "cache: value of key '%.*s' is above %u MiB and was not stored",
                (int)(key.len < 200 ? key.len : 200), key.data, CACHE_BYTES_MAX >> 20);
    return hz_emit_meta(call, "response", hz_input(call), inherited ? key_meta(call, key) : NULL);
}

static int cache_run(hz_call *call)
{
    struct cache *cache = hz_self(call);
    if (!cache)
        return HZ_ERR_NOMEM;
    return text_is(hz_input_name(call), "set") ? store(call, cache) : look_up(call, cache);
}

static void cache_close(void *self)
{
    struct cache *cache = self;
    hz_watch_stop(cache->sweeper);
    cache->sweeper = NULL;
    pthread_mutex_lock(&cache->lock);
    cache_store_clear(&cache->store);
    pthread_mutex_unlock(&cache->lock);
}

HZ_NODE(.type = "cache", .title = "Cache", .group = "Utilities", .icon = "\U000F00E8", .color = "#1ABC9C",
        .desc = "Guarda datos en memoria durante un tiempo", .version = HZ_VERSION, .author = "Horizon",
        .license = "Apache-2.0", .flags = HZ_NODE_SINGLETON | HZ_NODE_CONCURRENT, .self_size = sizeof(struct cache),
        .inputs = HZ_NAMES("get", "set"), .outputs = HZ_NAMES("response", "noExist"), .run = cache_run,
        .close = cache_close,
        .properties = HZ_PROPERTIES({"key", "string", "Clave", "\"\"", NULL, NULL},
                {"stdTTL", "number", "Tiempo de vida (s)", "600", NULL,
                        "{\"min\":0,\"description\":\"Segundos; 0 es para siempre\"}"},
                {"checkperiod", "number", "Periodo de limpieza (s)", "120", NULL,
                        "{\"min\":0,\"description\":\"Segundos entre limpiezas; 0 es ninguna\"}"}))
