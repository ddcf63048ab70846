/*
 * engineio_ws.c - WebSockets of Engine.IO: handshake, the way of the descriptor to the shard that owns its session, the
 * upgrade of a polling session, the end. Frames are in engineio_frames.c.
 *
 * An upgrade: the front shard asks the owner whether the session is there (CHECK), answers 101, and gives the
 * descriptor away (MOVE). There it is the session's probe: "2probe" is answered "3probe" and ends a waiting poll; "5"
 * makes it the transport. One that stops in between is closed after HZ_EIO_UPGRADE_MS, and the session goes on polling.
 */
#include "engineio_internal.h"

#include "sha1.h"

#include "shm/err.h"
#include "shm/log.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_BUFFER (256 << 10) /* doubled by the kernel; what a client that does not read may hold there */

HZ_KEEPS_WHAT_IS_ALLOCATED /* WebSockets are owned by their shard's list */

        /* ---- handshake, RFC 6455 section 4.2 ---- */
        static bool
        has_token(const char *list, const char *token)
{
    size_t len = strlen(token);
    while (list && *list) {
        list += strspn(list, " \t,");
        size_t word = strcspn(list, " \t,");
        if (word == len && strncasecmp(list, token, len) == 0)
            return true;
        list += word;
    }
    return false;
}

/* 16 bytes in base64 are 22 digits and "==". */
static bool make_accept(const char *key, char accept[32])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[24 + 36 + 1];
    uint8_t digest[HZ_SHA1_BYTES];
    if (!key || strlen(key) != 24 || strspn(key, digits) != 22 || strcmp(key + 22, "==") != 0)
        return false;
    snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    hz_sha1(text, strlen(text), digest);
    hz_eio_base64(accept, digest, sizeof digest);
    accept[28] = 0;
    return true;
}

static void on_upgraded(void *arg, const struct hz_http_upgraded *upgraded);

static void answer(struct hz_eio_call *call)
{
    char headers[96];
    snprintf(headers, sizeof headers, "Sec-WebSocket-Accept: %s\n", call->accept);
    struct hz_http_request *request = call->request;
    call->request = NULL;
    hz_http_on_gone(request, NULL, NULL);
    hz_http_upgrade(request, "websocket", headers, on_upgraded, call);
}

static void on_gone(void *arg)
{
    struct hz_eio_call *call = arg;
    call->request = NULL; /* the owner's word finds nobody any more */
}

static void check(struct hz_eio_call *call)
{
    call->kind = HZ_EIO_CHECK;
    hz_http_on_gone(call->request, on_gone, call);
    hz_eio_call_send(call);
}

void hz_eio_ws_handle(struct hz_http_request *request, const char *sid)
{
    struct hz_eio *engine = hz_eio_here();
    const char *version = hz_http_header(request, "Sec-WebSocket-Version");
    if (strcmp(hz_http_method(request), "GET") != 0 || !has_token(hz_http_header(request, "Connection"), "upgrade") ||
            !has_token(hz_http_header(request, "Upgrade"), "websocket")) {
        hz_eio_refuse(request, 400, 3, "Bad request");
        return;
    }
    if (!hz_http_can_upgrade(request)) {
        hz_eio_refuse(request, 400, 3, "WebSocket is not offered over TLS by this libmicrohttpd (before 0.9.76)");
        return;
    }
    if (!version || strcmp(version, "13") != 0) {
        hz_http_respond(request, &(struct hz_http_response){.status = 426,
                                         .headers = "Sec-WebSocket-Version: 13\n",
                                         .headers_len = sizeof "Sec-WebSocket-Version: 13\n" - 1});
        return;
    }
    struct hz_eio_call *call = calloc(1, sizeof *call);
    if (!call || !make_accept(hz_http_header(request, "Sec-WebSocket-Key"), call->accept)) {
        hz_eio_refuse(request, call ? 400 : 503, 3, "Bad request");
        free(call);
        return;
    }
    call->request = request;
    call->front = engine->shard;
    call->fd = -1;
    if (sid) {
        if (hz_eio_sid_parse(sid, call->id) && hz_eio_sid_shard(call->id) < hz_shard_count()) {
            call->owner = hz_shard_at(hz_eio_sid_shard(call->id));
            check(call);
            return;
        }
        hz_eio_refuse(request, 400, 1, "Session ID unknown");
    } else {
        call->owner = engine->shard;
        call->session = hz_eio_open(engine, request);
        if (call->session) {
            answer(call);
            return;
        }
        hz_eio_refuse(request, 503, 3, "Too many sessions");
    }
    free(call);
}

void hz_eio_ws_checked(struct hz_eio_call *call)
{
    answer(call);
}

/* What came with a MOVE that nobody takes over. */
static void drop_connection(struct hz_eio_call *call)
{
    if (call->fd >= 0)
        close(call->fd);
    hz_address_leave(&call->address);
    hz_http_lease_end(call->lease);
}

/* The library has let go of the connection. fd -1: the client has. */
static void on_upgraded(void *arg, const struct hz_http_upgraded *upgraded)
{
    struct hz_eio_call *call = arg;
    call->fd = upgraded->fd;
    call->lease = upgraded->lease;
    if (upgraded->address)
        call->address = *upgraded->address;
    size_t len = upgraded->len;
    call->body = len ? malloc(len) : NULL;
    if (call->fd < 0 || (len && !call->body)) {
        drop_connection(call);
        if (call->session)
            hz_eio_discard(call->session);
        free(call);
        return;
    }
    if (len)
        memcpy(call->body, upgraded->data, len);
    call->body_len = len;
    call->kind = HZ_EIO_MOVE;
    hz_eio_call_send(call);
}

/* ---- on the owner's shard ---- */
static void on_ws_closed(uv_handle_t *handle)
{
    struct hz_eio_ws *ws = handle->data;
    struct hz_eio *engine = ws->engine;
    hz_eio_ws_forget(ws);
    ws->magic = 0;
    free(ws);
    hz_eio_handle_closed(engine);
}

static void kill_ws(struct hz_eio_ws *ws)
{
    struct hz_eio *engine = ws->engine;
    ws->dead = true;
    hz_timer_cancel(hz_shard_timers(engine->shard), &ws->timer);
    hz_eio_queue_clear(&ws->queue, engine);
    if (ws->prev)
        ws->prev->next = ws->next;
    else
        engine->websockets = ws->next;
    if (ws->next)
        ws->next->prev = ws->prev;
    hz_eio_count(&engine->figures->websockets, -1);
    uv_close((uv_handle_t *)&ws->poll, on_ws_closed);
    close(ws->fd);
    hz_address_leave(&ws->address);
    hz_http_lease_end(ws->lease);
}

static void on_linger(struct hz_timer *timer)
{
    kill_ws(HZ_CONTAINER_OF(timer, struct hz_eio_ws, timer));
}

void hz_eio_ws_close(struct hz_eio_ws *ws, uint16_t code, const char *reason)
{
    HZ_CHECK_OBJ(ws, HZ_EIO_WS_MAGIC);
    struct hz_eio_session *session = ws->session;
    ws->session = NULL;
    hz_eio_ws_forget(ws);
    if (ws->dead)
        return;
    if (session && session->ws == ws) {
        HZ_ASSERT(ws->queue.count == 0);
        ws->queue = session->queue;
        memset(&session->queue, 0, sizeof session->queue);
    } else if (session && session->probe == ws) {
        session->probe = NULL;
        session->probed = false;
    }
    if (code == 0 || ws->closing) {
        kill_ws(ws);
        return;
    }
    ws->closing = true;
    if (!ws->said)
        hz_eio_ws_say_close(ws, code, reason);
    hz_timer_after(hz_shard_timers(ws->engine->shard), &ws->timer, HZ_EIO_LINGER_MS, on_linger);
    hz_eio_ws_flush(ws);
}

void hz_eio_ws_lost(struct hz_eio_ws *ws, const char *reason)
{
    if (ws->session && ws->session->ws == ws)
        hz_eio_close(ws->session, reason, 0, '1');
    else
        hz_eio_ws_close(ws, 0, reason);
}

/* Takes descriptor, lease and count over if there is one. */
static struct hz_eio_ws *new_ws(struct hz_eio *engine, struct hz_eio_call *call)
{
    struct hz_eio_ws *ws = calloc(1, sizeof *ws);
    int one = 1, size = SEND_BUFFER, fd = call->fd;
    if (!ws || uv_poll_init(hz_shard_loop(engine->shard), &ws->poll, fd)) {
        free(ws);
        return NULL;
    }
    ws->magic = HZ_EIO_WS_MAGIC;
    ws->engine = engine;
    ws->fd = fd;
    ws->lease = call->lease;
    ws->address = call->address;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* neither is known to Unix sockets */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    ws->poll.data = ws;
    engine->handles++;
    ws->next = engine->websockets;
    if (ws->next)
        ws->next->prev = ws;
    engine->websockets = ws;
    hz_eio_count(&engine->figures->websockets, 1);
    return ws;
}

static void on_upgrade_late(struct hz_timer *timer)
{
    struct hz_eio_ws *ws = HZ_CONTAINER_OF(timer, struct hz_eio_ws, timer);
    hz_eio_ws_close(ws, 1008, "upgrade timeout");
}

/* The session this WebSocket is for, now that it is here. */
static struct hz_eio_session *session_of(struct hz_eio *engine, struct hz_eio_call *call)
{
    if (call->session)
        return call->session;
    struct hz_eio_session *session = hz_eio_find(engine, call->id);
    return session && !session->ws && !session->probe && !session->finishing && !session->leaving ? session : NULL;
}

void hz_eio_ws_moved(struct hz_eio_call *call)
{
    struct hz_eio *engine = hz_eio_here();
    bool fresh = call->session;
    struct hz_eio_ws *ws = engine && !engine->resting ? new_ws(engine, call) : NULL;
    struct hz_eio_session *session = ws ? session_of(engine, call) : NULL;
    if (!ws) {
        drop_connection(call);
        if (call->session)
            hz_eio_discard(call->session);
    } else if (!session)
        hz_eio_ws_close(ws, 1008, "no upgrade is expected");
    else {
        ws->session = session;
        if (fresh) {
            session->ws = ws;
            hz_eio_opened(session, true);
        } else {
            session->probe = ws;
            hz_timer_after(hz_shard_timers(engine->shard), &ws->timer, HZ_EIO_UPGRADE_MS, on_upgrade_late);
        }
        if (call->body_len)
            hz_eio_ws_feed(ws, call->body, call->body_len);
        hz_eio_ws_resume(ws);
    }
    free(call->body);
    free(call);
}

static void say(struct hz_eio_ws *ws, const char *word)
{
    (void)hz_eio_push(&ws->queue, ws->engine, hz_eio_word(word));
    hz_eio_ws_flush(ws);
}

static void on_probe(struct hz_eio_ws *ws)
{
    struct hz_eio_session *session = ws->session;
    bool text = !ws->binary;
    if (text && ws->in_len == 6 && memcmp(ws->in, "2probe", 6) == 0) {
        session->probed = true;
        if (session->poll) /* so that the client's last poll ends */
            hz_eio_poll_answer(session, session->queue.count ? 0 : '6');
        say(ws, "3probe");
    } else if (text && ws->in_len == 1 && ws->in[0] == '5' && session->probed && ws->queue.count == 0) {
        hz_timer_cancel(hz_shard_timers(ws->engine->shard), &ws->timer);
        session->probe = NULL;
        session->ws = ws;
        if (session->poll)
            hz_eio_poll_answer(session, '6');
        hz_eio_soil(session);
    } else {
        hz_eio_count(&ws->engine->figures->refused_input, 1);
        hz_eio_ws_close(ws, 1002, "upgrade expected");
    }
}

void hz_eio_ws_message(struct hz_eio_ws *ws)
{
    if (ws->session->probe == ws)
        on_probe(ws);
    else
        hz_eio_packet(ws->session, ws->in, ws->in_len, ws->binary);
}
