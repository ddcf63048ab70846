/*
 * engineio.c - sessions of Engine.IO on one shard: table, heartbeat, packets in line, orderly ends. How packets come
 * and go is in engineio_poll.c and engineio_ws.c. Shard's thread.
 *
 * Nothing is sent where it is asked for: a session that has something to do is soiled, and what it has goes out in one
 * piece at the end of the loop's turn (libuv's check phase). That makes one system call of a burst, one payload of
 * several packets, and nobody who sends is called back.
 */
#include "engineio_internal.h"

#include "internal.h"

#include "shm/err.h"
#include "shm/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* sessions are owned by their shard's list, packets by the queues they are in */

        /* ---- table ---- */
        static struct hz_eio_session **
        bucket(struct hz_eio *engine, const uint8_t id[HZ_EIO_ID])
{
    /* The bytes are random, and nobody can choose them. */
    return &engine->table[((uint32_t)id[2] << 8 | id[3]) % HZ_EIO_BUCKETS];
}

struct hz_eio_session *hz_eio_find(struct hz_eio *engine, const uint8_t id[HZ_EIO_ID])
{
    struct hz_eio_session *session = *bucket(engine, id);
    while (session && memcmp(session->id, id, HZ_EIO_ID) != 0)
        session = session->next_hash;
    /* Whoever asks is told of the end of waiting even if the loop has not come to it yet. */
    if (session && session->ping_sent && hz_base_now_ns() >= session->due_ns) {
        hz_eio_count(&engine->figures->timed_out, 1);
        hz_eio_close(session, "ping timeout", 1000, '1');
        return NULL;
    }
    return session;
}

static void link_session(struct hz_eio *engine, struct hz_eio_session *session)
{
    struct hz_eio_session **at = bucket(engine, session->id);
    session->next_hash = *at;
    *at = session;
    session->next = engine->sessions;
    if (session->next)
        session->next->prev = session;
    engine->sessions = session;
    session->older = engine->newest;
    if (session->older)
        session->older->newer = session;
    else
        engine->oldest = session;
    engine->newest = session;
    hz_eio_count(&engine->figures->strangers, 1);
    hz_eio_count(&engine->figures->sessions, 1);
    hz_eio_count(&engine->figures->opened, 1);
}

void hz_eio_known(struct hz_eio_session *session)
{
    struct hz_eio *engine = session->engine;
    if (session->known || session->closed)
        return;
    session->known = true;
    if (session->older)
        session->older->newer = session->newer;
    else
        engine->oldest = session->newer;
    if (session->newer)
        session->newer->older = session->older;
    else
        engine->newest = session->older;
    hz_eio_count(&engine->figures->strangers, -1);
}

static void unlink_session(struct hz_eio *engine, struct hz_eio_session *session)
{
    struct hz_eio_session **at = bucket(engine, session->id);
    while (*at != session)
        at = &(*at)->next_hash;
    *at = session->next_hash;
    if (session->prev)
        session->prev->next = session->next;
    else
        engine->sessions = session->next;
    if (session->next)
        session->next->prev = session->prev;
    hz_eio_count(&engine->figures->sessions, -1);
}

/* ---- heartbeat ---- */
static void on_heartbeat(struct hz_timer *timer);

static void arm(struct hz_eio_session *session, uint64_t from_ns, uint32_t ms)
{
    session->due_ns = from_ns + (uint64_t)ms * 1000000u;
    hz_timer_at(hz_shard_timers(session->engine->shard), &session->timer, session->due_ns, on_heartbeat);
}

static void on_heartbeat(struct hz_timer *timer)
{
    struct hz_eio_session *session = HZ_CONTAINER_OF(timer, struct hz_eio_session, timer);
    if (session->ping_sent) {
        hz_eio_count(&session->engine->figures->timed_out, 1);
        hz_eio_close(session, "ping timeout", 1000, '1');
        return;
    }
    struct hz_eio_buf *ping = hz_eio_word("2");
    bool sent = ping && hz_eio_send(session, ping, false);
    hz_eio_buf_unref(&ping);
    session->ping_sent = true;
    (void)sent; /* a client that cannot be told so leaves at the end of waiting, as one that does not answer */
    arm(session, session->due_ns, hz_eio_shared.options.ping_timeout_ms);
}

static void on_pong(struct hz_eio_session *session)
{
    if (!session->ping_sent)
        return;
    session->ping_sent = false;
    arm(session, hz_base_now_ns(), hz_eio_shared.options.ping_interval_ms);
}

/* ---- birth ---- */
/* The headers that handlers may ask for, as one block. */
static char *keep_headers(const struct hz_http_request *request)
{
    static const char *const names[] = {"Authorization", "Cookie", "Host", "Origin", "User-Agent"};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++) {
        const char *value = hz_http_header(request, names[i]);
        if (value)
            fprintf(out, "%s%c%s%c", names[i], 0, value, 0);
    }
    fputc(0, out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* Relaxed reads: two shards that open at once may go over the bound by one each. */
static uint64_t session_count(void)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < hz_eio_shared.shards; i++)
        count += atomic_load_explicit(&hz_eio_shared.figures[i].sessions, memory_order_relaxed);
    return count;
}

static void drop_stranger(struct hz_eio *engine)
{
    if (!engine || !engine->oldest)
        return;
    HZ_LOG(DEBUG, "client %s (%s) makes room for a new one: nobody knows it", engine->oldest->sid, engine->oldest->address);
    hz_eio_close(engine->oldest, "too many sessions", 1013, '1');
}

static void run_drop(struct hz_mail *mail)
{
    if (session_count() > hz_eio_shared.max_sessions)
        drop_stranger(hz_eio_here());
    free(mail);
}

/*
 * With the table full, the shard that has most strangers gives up its oldest. Who has just come is the youngest and has the time of so
 * many handshakes as the table has places to become known. Another shard does so a moment later; so much may be over the bound
 * (HZ_EIO_OVER).
 */
static bool make_room(struct hz_eio *engine)
{
    uint64_t count = session_count(), most = 0;
    uint32_t where = 0;
    if (count < hz_eio_shared.max_sessions)
        return true;
    for (uint32_t i = 0; i < hz_eio_shared.shards; i++) {
        uint64_t strangers = atomic_load_explicit(&hz_eio_shared.figures[i].strangers, memory_order_relaxed);
        where = strangers > most ? i : where;
        most = HZ_MAX(most, strangers);
    }
    if (most == 0)
        return false;
    if (hz_shard_at(where) == engine->shard) {
        drop_stranger(engine);
        return true;
    }
    struct hz_mail *mail = count < hz_eio_shared.max_sessions + HZ_EIO_OVER ? calloc(1, sizeof *mail) : NULL;
    if (!mail)
        return false;
    mail->run = run_drop;
    hz_shard_post(hz_shard_at(where), mail);
    return true;
}

struct hz_eio_session *hz_eio_open(struct hz_eio *engine, const struct hz_http_request *request)
{
    struct hz_eio_session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->headers = keep_headers(request);
    if (!session->headers || !request->conn ||
            !hz_address_open_session(request->conn->proxied ? &request->client_address : &request->conn->address, &session->counted) ||
            !make_room(engine)) {
        hz_eio_discard(session);
        return NULL;
    }
    session->magic = HZ_EIO_SESSION_MAGIC;
    session->engine = engine;
    session->over_socket = hz_http_over_socket(request);
    session->upgradable = hz_http_can_upgrade(request);
    snprintf(session->address, sizeof session->address, "%s", hz_http_peer(request));
    uint32_t index = hz_shard_index(engine->shard);
    hz_base_random(session->id, sizeof session->id);
    session->id[0] = (uint8_t)(index >> 8);
    session->id[1] = (uint8_t)index;
    hz_eio_sid_format(session->id, session->sid);
    return session;
}

void hz_eio_opened(struct hz_eio_session *session, bool websocket)
{
    const struct hz_eio_options *options = &hz_eio_shared.options;
    char text[256];
    snprintf(text, sizeof text,
            "0{\"sid\":\"%s\",\"upgrades\":[%s],\"pingInterval\":%u,\"pingTimeout\":%u,\"maxPayload\":%u}",
            session->sid, websocket || !session->upgradable ? "" : "\"websocket\"", options->ping_interval_ms,
            options->ping_timeout_ms, options->max_payload);
    link_session(session->engine, session);
    struct hz_eio_buf *buf = hz_eio_word(text);
    if (!buf || !hz_eio_send(session, buf, false))
        hz_eio_finish(session, "out of memory");
    hz_eio_buf_unref(&buf);
    arm(session, hz_base_now_ns(), options->ping_interval_ms);
    if (options->handlers.open)
        options->handlers.open(session, options->arg);
}

/* ---- out ---- */
static void on_dirty_idle(uv_idle_t *idle)
{
    (void)idle; /* that it is active keeps the loop from sleeping before the check phase */
}

void hz_eio_stay_awake(struct hz_eio *engine)
{
    if (!engine->ending)
        uv_idle_start(&engine->idle, on_dirty_idle);
}

void hz_eio_soil(struct hz_eio_session *session)
{
    struct hz_eio *engine = session->engine;
    if (session->dirty)
        return;
    session->dirty = true;
    session->next_dirty = engine->dirty;
    engine->dirty = session;
    hz_eio_stay_awake(engine);
}

bool hz_eio_send(struct hz_eio_session *session, struct hz_eio_buf *buf, bool passing)
{
    HZ_CHECK_OBJ(session, HZ_EIO_SESSION_MAGIC);
    if (session->closed || session->finishing)
        return false;
    struct hz_eio_queue *line = &session->queue;
    if (passing && (session->ws ? hz_eio_ws_blocked(session->ws) : !session->poll))
        return false;
    /* One packet may always wait, however large it is. */
    if (line->count > 0 && line->bytes + buf->len > hz_eio_shared.options.max_waiting) {
        char reason[HZ_EIO_REASON];
        snprintf(reason, sizeof reason, "does not read: %zu bytes in %u packets wait", line->bytes,
                (unsigned)line->count);
        session->slow = true;
        hz_eio_finish(session, reason);
        return false;
    }
    hz_eio_soil(session);
    if (hz_eio_push(line, session->engine, hz_eio_buf_ref(buf)))
        return true;
    hz_eio_finish(session, "out of memory");
    return false;
}

void hz_eio_gap(struct hz_eio_session *session)
{
    if (session->ws && session->queue.count > 0)
        session->gap = session->queue.count;
}

static void on_gap(struct hz_timer *timer)
{
    struct hz_eio_session *session = HZ_CONTAINER_OF(timer, struct hz_eio_session, gap_timer);
    session->gapped = false;
    hz_eio_soil(session);
}

void hz_eio_gap_begins(struct hz_eio_session *session)
{
    session->gapped = true;
    hz_timer_after(hz_shard_timers(session->engine->shard), &session->gap_timer, HZ_EIO_GAP_MS, on_gap);
}

void hz_eio_finish(struct hz_eio_session *session, const char *reason)
{
    HZ_CHECK_OBJ(session, HZ_EIO_SESSION_MAGIC);
    if (session->closed || session->finishing)
        return;
    session->finishing = true;
    snprintf(session->reason, sizeof session->reason, "%s", reason);
    hz_eio_soil(session);
}

bool hz_eio_paused(const struct hz_eio_session *session)
{
    if (session->leaving || session->finishing || session->holds > HZ_EIO_PAUSE_HOLDS ||
            session->queue.bytes > HZ_EIO_PAUSE_BYTES)
        return true;
    /* Many who let a little wait each are one who lets much wait. Each goes on as soon as it has taken what is its own. */
    return session->engine->own_bytes > HZ_EIO_OWN_MAX && (session->queue.count > 0 || session->holds > 0);
}

void hz_eio_hold(struct hz_eio_session *session)
{
    session->holds++;
}

void hz_eio_release(struct hz_eio_session *session)
{
    HZ_ASSERT(session->holds > 0);
    session->holds--;
    if (session->leaving || session->holds == HZ_EIO_PAUSE_HOLDS || session->holds == 0)
        hz_eio_soil(session);
}

/* ---- in ---- */
bool hz_eio_packet(struct hz_eio_session *session, const char *data, size_t len, bool binary)
{
    const struct hz_eio_options *options = &hz_eio_shared.options;
    const char *wrong = "invalid packet";
    if (session->closed)
        return false;
    if (session->finishing) /* it has been told, or will be */
        return true;
    if (binary)
        wrong = options->handlers.message(session, data, len, true, options->arg);
    else if (len > 0)
        switch (data[0]) {
        case '1':
            hz_eio_close(session, "transport close", 1000, '6');
            return false;
        case '3':
            on_pong(session);
            return true;
        case '4':
            wrong = options->handlers.message(session, data + 1, len - 1, false, options->arg);
            break;
        case '5':
        case '6': /* they mean nothing here, and nothing bad */
            return true;
        default:
            break;
        }
    if (!wrong)
        return true;
    hz_eio_count(&session->engine->figures->refused_input, 1);
    HZ_LOG(DEBUG, "client %s (%s): %s", session->sid, session->address, wrong);
    hz_eio_close(session, "parse error", 1002, '1');
    return false;
}

/* ---- end ---- */
void hz_eio_close(struct hz_eio_session *session, const char *reason, uint16_t code, char last)
{
    HZ_CHECK_OBJ(session, HZ_EIO_SESSION_MAGIC);
    const struct hz_eio_options *options = &hz_eio_shared.options;
    struct hz_eio *engine = session->engine;
    if (session->closed)
        return;
    hz_eio_known(session); /* no longer a stranger who could make room */
    session->closed = true;
    hz_timer_cancel(hz_shard_timers(engine->shard), &session->timer);
    hz_timer_cancel(hz_shard_timers(engine->shard), &session->gap_timer);
    unlink_session(engine, session);
    hz_eio_work_remove(session);
    if (session->poll)
        hz_eio_poll_answer(session, last);
    if (session->post)
        hz_eio_post_end(session);
    if (session->ws) /* takes over what is in line */
        hz_eio_ws_close(session->ws, code, reason);
    if (session->probe)
        hz_eio_ws_close(session->probe, code, reason);
    session->ws = session->probe = NULL;
    hz_eio_queue_clear(&session->queue, engine);
    if (options->handlers.close)
        options->handlers.close(session, reason, options->arg);
    hz_eio_soil(session); /* freed at the end of this turn: who called may look at it until then */
}

void hz_eio_discard(struct hz_eio_session *session)
{
    session->magic = 0;
    hz_address_close_session(&session->counted);
    free(session->headers);
    free(session);
}

/* What a finishing or leaving session does once what is in line has been tried. */
static void end_in_order(struct hz_eio_session *session)
{
    if (session->finishing) {
        if (session->slow) {
            hz_eio_count(&session->engine->figures->dropped_slow, 1);
            HZ_LOG(WARN, "client %s (%s) dropped: it %s", session->sid, session->address, session->reason);
        }
        hz_eio_close(session, session->slow ? "transport error" : session->reason, session->slow ? 0 : 1000, '1');
    } else if (session->leaving && session->holds == 0)
        hz_eio_close(session, "server restarts", 1012, '1');
}

static void clean(struct hz_eio_session *session)
{
    if (!session->closed && session->ws) {
        hz_eio_ws_flush(session->ws);
        if (!session->closed && session->ws)
            hz_eio_ws_resume(session->ws);
    } else if (!session->closed && session->poll && session->queue.count > 0 && !session->finishing &&
               !session->leaving)
        hz_eio_poll_answer(session, 0);
    if (!session->closed)
        end_in_order(session);
    if (!session->closed)
        hz_eio_work_add(session);
}

/* The end of a turn. What is soiled meanwhile (by handlers that hear of an end) is cleaned in the same one. */
void hz_eio_clean(struct hz_eio *engine)
{
    while (engine->dirty) {
        struct hz_eio_session *session = engine->dirty;
        engine->dirty = session->next_dirty;
        session->dirty = false;
        if (session->closed)
            hz_eio_discard(session);
        else
            clean(session);
    }
    if (!engine->ending && !engine->work)
        uv_idle_stop(&engine->idle);
}

/* ---- what handlers ask ---- */
const char *hz_eio_sid(const struct hz_eio_session *session)
{
    return session->sid;
}

void hz_eio_set_user(struct hz_eio_session *session, void *user)
{
    session->user = user;
}

void *hz_eio_user(const struct hz_eio_session *session)
{
    return session->user;
}

const char *hz_eio_header(const struct hz_eio_session *session, const char *name)
{
    for (const char *at = session->headers; *at;) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

const char *hz_eio_address(const struct hz_eio_session *session)
{
    return session->address;
}

bool hz_eio_over_socket(const struct hz_eio_session *session)
{
    return session->over_socket;
}

void hz_eio_each(void (*fn)(struct hz_eio_session *session, void *arg), void *arg)
{
    struct hz_eio *engine = hz_eio_here();
    for (struct hz_eio_session *session = engine ? engine->sessions : NULL; session; session = session->next)
        fn(session, arg);
}
