/*
 * engineio_life.c - Engine.IO comes and goes with the HTTP server of its shard: registered before the shards run, begun
 * and ended with each, at rest while the manager executes itself anew.
 *
 * A session does not outlive the image: its client is told that the connection ends, not that it is disconnected, and
 * comes back by itself. Who is owed an answer gets that first.
 */
#include "engineio_internal.h"

#include "internal.h"

#include "shm/err.h"
#include "shm/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { SESSIONS_MIN = 64, SESSIONS_MAX = 65536 };

struct hz_eio_shared hz_eio_shared;

/* ---- main thread ---- */
/* Of all shards together: the kernel spreads connections over them by chance. */
static uint32_t session_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return SESSIONS_MIN;
    rlim_t half = limit.rlim_cur / 2, most = (rlim_t)SESSIONS_MAX * hz_shard_count();
    return (uint32_t)HZ_MAX(HZ_MIN(half, most), (rlim_t)SESSIONS_MIN);
}

int hz_eio_serve(const struct hz_eio_options *options)
{
    struct hz_eio_shared *shared = &hz_eio_shared;
    if (shared->served)
        return hz_err_set(HZ_EEXISTS, "Engine.IO is served already");
    shared->options = *options;
    struct hz_eio_options *to = &shared->options;
    to->ping_interval_ms = to->ping_interval_ms ? to->ping_interval_ms : 25000;
    to->ping_timeout_ms = to->ping_timeout_ms ? to->ping_timeout_ms : 20000;
    to->max_payload = to->max_payload ? to->max_payload : HZ_EIO_MAX_PAYLOAD;
    to->max_waiting = to->max_waiting ? to->max_waiting : HZ_EIO_MAX_WAITING;
    to->max_input = to->max_input ? to->max_input : HZ_EIO_MAX_INPUT;
    shared->path = strdup(options->path ? options->path : "/engine.io/");
    if (!shared->path)
        return hz_err_set(HZ_ENOMEM, "serving Engine.IO");
    to->path = shared->path;
    shared->served = true;
    /* Twice what a post may have: who sends a little too much hears it from his session, which ends. */
    int err = hz_http_route_anybody("*", shared->path, 2 * (size_t)to->max_payload, hz_eio_handle, NULL);
    return !err && hz_shard_count() > 0 ? hz_eio_bind() : err; /* the server may be bound already */
}

int hz_eio_bind(void)
{
    struct hz_eio_shared *shared = &hz_eio_shared;
    if (!shared->served || shared->figures)
        return 0;
    size_t size = hz_shard_count() * sizeof *shared->figures;
    shared->figures = aligned_alloc(HZ_CACHE_LINE, size);
    if (!shared->figures)
        return hz_err_set(HZ_ENOMEM, "serving Engine.IO");
    memset(shared->figures, 0, size);
    shared->shards = hz_shard_count();
    shared->max_sessions = session_limit();
    return 0;
}

void hz_eio_fini(void)
{
    free(hz_eio_shared.path);
    free(hz_eio_shared.figures);
    memset(&hz_eio_shared, 0, sizeof hz_eio_shared);
}

/* ---- of a shard ---- */
static struct hz_eio *engine_of(struct hz_shard *shard)
{
    const struct hz_http_server *server = hz_shard_get(shard, HZ_SHARD_HTTP);
    return server ? server->engine : NULL;
}

struct hz_eio *hz_eio_here(void)
{
    struct hz_shard *shard = hz_shard_self();
    return shard ? engine_of(shard) : NULL;
}

struct hz_eio_figures *hz_eio_figures(void)
{
    struct hz_eio *engine = hz_eio_here();
    return engine ? engine->figures : NULL;
}

const struct hz_eio_figures *hz_eio_figures_of(uint32_t shard)
{
    return shard < hz_eio_shared.shards ? &hz_eio_shared.figures[shard] : NULL;
}

static void on_check(uv_check_t *check)
{
    struct hz_eio *engine = check->data;
    if (engine->work)
        hz_eio_work(engine);
    if (engine->dirty)
        hz_eio_clean(engine);
    engine->spent_ns = 0;
}

int hz_eio_begin(struct hz_shard *shard)
{
    struct hz_http_server *server = hz_shard_get(shard, HZ_SHARD_HTTP);
    if (!hz_eio_shared.served)
        return 0;
    struct hz_eio *engine = calloc(1, sizeof *engine);
    if (!engine)
        return hz_err_set(HZ_ENOMEM, "serving Engine.IO");
    int err = hz_eio_frames_init(engine);
    if (err) {
        free(engine);
        return err;
    }
    engine->shard = shard;
    engine->figures = &hz_eio_shared.figures[hz_shard_index(shard)];
    uv_check_init(hz_shard_loop(shard), &engine->check);
    uv_idle_init(hz_shard_loop(shard), &engine->idle);
    engine->check.data = engine->idle.data = engine;
    engine->handles = 2;
    uv_check_start(&engine->check, on_check);
    uv_unref((uv_handle_t *)&engine->check);
    server->engine = engine;
    return 0;
}

void hz_eio_handle_closed(struct hz_eio *engine)
{
    if (--engine->handles > 0)
        return;
    hz_eio_frames_fini(engine);
    free(engine);
}

static void on_handle_closed(uv_handle_t *handle)
{
    hz_eio_handle_closed(handle->data);
}

static void close_sessions(struct hz_eio *engine, const char *reason, uint16_t code)
{
    while (engine->sessions)
        hz_eio_close(engine->sessions, reason, code, '1');
    hz_eio_clean(engine);
}

void hz_eio_rest(struct hz_shard *shard)
{
    struct hz_eio *engine = engine_of(shard);
    if (!engine || engine->resting)
        return;
    engine->resting = true;
    for (struct hz_eio_session *session = engine->sessions, *next; session; session = next) {
        next = session->next;
        session->leaving = true;
        if (session->ws || session->poll)
            hz_eio_soil(session);
        else /* its next poll is read by the next image */
            hz_eio_close(session, "server restarts", 1012, '1');
    }
    hz_eio_clean(engine);
}

bool hz_eio_quiet(struct hz_shard *shard)
{
    const struct hz_eio *engine = engine_of(shard);
    if (!engine)
        return true;
    for (const struct hz_eio_ws *ws = engine->websockets; ws; ws = ws->next)
        if (ws->queue.count > 0)
            return false;
    return !engine->sessions;
}

void hz_eio_hurry(struct hz_shard *shard)
{
    struct hz_eio *engine = engine_of(shard);
    if (!engine)
        return;
    close_sessions(engine, "server restarts", 1012);
    while (engine->websockets)
        hz_eio_ws_close(engine->websockets, 0, "");
}

void hz_eio_wake(struct hz_shard *shard)
{
    struct hz_eio *engine = engine_of(shard);
    if (!engine)
        return;
    engine->resting = false;
    for (struct hz_eio_session *session = engine->sessions; session; session = session->next) {
        session->leaving = false; /* those that were owed an answer: they just stay */
        hz_eio_soil(session);
    }
}

void hz_eio_end(struct hz_shard *shard)
{
    struct hz_http_server *server = hz_shard_get(shard, HZ_SHARD_HTTP);
    struct hz_eio *engine = server->engine;
    if (!engine)
        return;
    engine->resting = true;
    close_sessions(engine, "server shutting down", 1001);
    engine->ending = true;
    server->engine = NULL;
    while (engine->websockets)
        hz_eio_ws_close(engine->websockets, 0, "");
    uv_close((uv_handle_t *)&engine->check, on_handle_closed);
    uv_close((uv_handle_t *)&engine->idle, on_handle_closed);
}
