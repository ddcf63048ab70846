/*
 * engineio_poll.c - the HTTP face of Engine.IO: handshakes, polls, posts, and how they reach the shard that owns their
 * session. A request that comes in on another shard goes there as a mail and comes back as one; on the owner's own
 * shard the same functions are called directly.
 */
#include "engineio_internal.h"

#include "internal.h"

#include "shm/err.h"
#include "shm/log.h"
#include "shm/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* a call is owned by whoever got it last */

        /* ---- answers: on the front ---- */
        static void
        respond_text(struct hz_http_request *request, uint32_t status, const char *type, const char *text)
{
    bool busy = status == 503;
    hz_http_respond(request, &(struct hz_http_response){.status = status,
                                     .type = type,
                                     .body = text,
                                     .len = strlen(text),
                                     .headers = busy ? "Retry-After: 1\n" : NULL,
                                     .headers_len = busy ? sizeof "Retry-After: 1\n" - 1 : 0});
}

void hz_eio_refuse(struct hz_http_request *request, uint32_t status, unsigned code, const char *message)
{
    char text[128];
    snprintf(text, sizeof text, "{\"code\":%u,\"message\":\"%s\"}", code, message);
    respond_text(request, status, "application/json", text);
}

static void free_bufs(struct hz_eio_buf **bufs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        hz_eio_buf_unref(&bufs[i]);
    free(bufs);
}

static void on_sent(void *arg)
{
    struct hz_eio_buf *buf = arg;
    hz_eio_buf_unref(&buf);
}

/* One packet is sent from where it is, as most answers are one. Several are put together: the library could send them
 * in pieces, too, but when its memory of the connection is used up by then, as a client can see to, it aborts. */
static struct hz_eio_buf *join(struct hz_eio_call *call)
{
    if (call->buf_count == 1)
        return hz_eio_buf_ref(call->bufs[0]);
    size_t len = call->buf_count - 1;
    for (unsigned i = 0; i < call->buf_count; i++)
        len += call->bufs[i]->len;
    struct hz_eio_buf *whole = hz_eio_buf_new(HZ_EIO_TEXT, len);
    char *to = whole ? whole->data : NULL;
    for (unsigned i = 0; to && i < call->buf_count; i++) {
        if (i)
            *to++ = 0x1e;
        memcpy(to, call->bufs[i]->data, call->bufs[i]->len);
        to += call->bufs[i]->len;
    }
    return whole;
}

static void respond_bufs(struct hz_http_request *request, struct hz_eio_call *call)
{
    struct hz_eio_buf *whole = join(call);
    if (!whole) {
        hz_eio_refuse(request, 503, 3, "Out of memory");
        return;
    }
    hz_http_respond(request, &(struct hz_http_response){.status = 200,
                                     .type = "text/plain; charset=UTF-8",
                                     .body = whole->data,
                                     .len = whole->len,
                                     .done = on_sent,
                                     .done_arg = whole});
}

static void finish(struct hz_eio_call *call)
{
    struct hz_http_request *request = call->request;
    if (request && call->status == 200 && call->kind == HZ_EIO_CHECK) {
        hz_eio_ws_checked(call);
        return;
    }
    if (request) {
        call->request = NULL;
        if (call->bufs)
            respond_bufs(request, call);
        else if (call->status == 200)
            respond_text(request, 200, "text/html", call->text);
        else
            hz_eio_refuse(request, call->status, call->status == 400 && call->text[0] == 'S' ? 1 : 3, call->text);
    }
    if (--call->returns > 0)
        return;
    free_bufs(call->bufs, call->buf_count);
    free(call->body);
    free(call);
}

static void run_finish(struct hz_mail *mail)
{
    finish(HZ_CONTAINER_OF(mail, struct hz_eio_call, mail));
}

static void answer(struct hz_eio_call *call, uint32_t status, const char *text)
{
    call->status = status;
    call->text = text;
    if (call->front == hz_shard_self()) {
        finish(call);
        return;
    }
    call->mail.run = run_finish;
    hz_shard_post(call->front, &call->mail);
}

/* ---- on the owner ---- */
static struct hz_eio_buf *text_of(struct hz_eio_buf *buf)
{
    if (buf->kind != HZ_EIO_BINARY)
        return buf;
    struct hz_eio_buf *text = hz_eio_buf_new(HZ_EIO_TEXT, 1 + (buf->len + 2) / 3 * 4);
    if (text) {
        text->data[0] = 'b';
        hz_eio_base64(text->data + 1, buf->data, buf->len);
    }
    hz_eio_buf_unref(&buf);
    return text;
}

void hz_eio_poll_answer(struct hz_eio_session *session, char last)
{
    struct hz_eio_call *call = session->poll;
    struct hz_eio_queue *line = &session->queue;
    unsigned most = HZ_MIN(line->count, HZ_EIO_POLL_PACKETS) + (last != 0);
    session->poll = NULL;
    call->session = NULL;
    call->bufs = calloc(HZ_MAX(most, 1u), sizeof *call->bufs);
    size_t bytes = 0;
    while (call->bufs && line->count > 0 && call->buf_count < HZ_EIO_POLL_PACKETS) {
        if (call->buf_count > 0 && bytes + line->ring[line->head]->len > HZ_EIO_POLL_BYTES)
            break;
        struct hz_eio_buf *buf = text_of(hz_eio_pop(line, session->engine));
        if (!buf)
            break;
        bytes += buf->len;
        call->bufs[call->buf_count++] = buf;
    }
    struct hz_eio_buf *end = call->bufs && last ? hz_eio_word((char[]){last, 0}) : NULL;
    if (end)
        call->bufs[call->buf_count++] = end;
    hz_eio_count(&session->engine->figures->packets_out, call->buf_count);
    hz_eio_count(&session->engine->figures->bytes_out, (int64_t)bytes);
    if (call->buf_count > 0)
        answer(call, 200, "");
    else
        answer(call, 503, "Out of memory");
}

static void run_get(struct hz_eio *engine, struct hz_eio_call *call)
{
    struct hz_eio_session *session = hz_eio_find(engine, call->id);
    if (!session || session->ws) {
        answer(call, 400, session ? "Bad request" : "Session ID unknown");
        return;
    }
    if (session->poll) { /* two at once: packets could overtake one another */
        hz_eio_count(&engine->figures->refused_input, 1);
        hz_eio_close(session, "transport error", 0, '1');
        answer(call, 400, "Bad request");
        return;
    }
    session->poll = call;
    call->session = session;
    if (session->queue.count > 0)
        hz_eio_soil(session);
    else if (session->probed)
        hz_eio_poll_answer(session, '6');
}

/* ---- posts: packet by packet, as long as a slice is and the session may be read from ---- */
static void end_post(struct hz_eio *engine, struct hz_eio_call *call, uint32_t status, const char *text)
{
    engine->input_bytes -= call->body_len;
    answer(call, status, text);
}

void hz_eio_post_end(struct hz_eio_session *session)
{
    struct hz_eio_call *call = session->post;
    session->post = NULL;
    if (session->leaving)
        end_post(session->engine, call, 503, "Server restarts");
    else
        end_post(session->engine, call, 400, "Session ID unknown");
}

void hz_eio_post_slice(struct hz_eio_session *session)
{
    struct hz_eio *engine = session->engine;
    struct hz_eio_call *call = session->post;
    struct hz_eio_piece piece;
    uint64_t began = hz_base_now_ns(), passed = 0;
    bool left = false, wrong = false;
    session->post = NULL; /* whoever ends the session meanwhile does not answer it: we do */
    while (!session->closed && call->body_at <= call->body_len && !hz_eio_paused(session) && passed < HZ_EIO_SLICE_NS) {
        wrong = !hz_eio_payload_next(call->body, call->body_len, &call->body_at, &piece);
        if (wrong)
            hz_eio_close(session, "parse error", 0, '1');
        else if (!hz_eio_packet(session, piece.data, piece.len, piece.binary))
            left = !piece.binary && piece.data[0] == '1';
        passed = hz_base_now_ns() - began;
    }
    engine->spent_ns += passed;
    if (session->closed && !left) {
        hz_eio_count(&engine->figures->refused_input, 1);
        end_post(engine, call, 400, "Bad request");
    } else if (left || session->finishing || call->body_at > call->body_len)
        end_post(engine, call, 200, "ok");
    else
        session->post = call;
}

static void run_post(struct hz_eio *engine, struct hz_eio_call *call)
{
    struct hz_eio_session *session = hz_eio_find(engine, call->id);
    if (!session || session->ws) {
        answer(call, 400, session ? "Bad request" : "Session ID unknown");
        return;
    }
    if (call->body_len > hz_eio_shared.options.max_payload) {
        hz_eio_count(&engine->figures->refused_input, 1);
        hz_eio_close(session, "transport error", 0, '1');
        answer(call, 413, "Payload too large");
        return;
    }
    /* A client waits for the answer to one before it sends the next. */
    if (session->post || !call->body || !hz_text_is_utf8(call->body, call->body_len)) {
        hz_eio_count(&engine->figures->refused_input, 1);
        hz_eio_close(session, "parse error", 0, '1');
        answer(call, 400, "Bad request");
        return;
    }
    if (!hz_eio_input_room(session, call->body_len)) {
        hz_eio_count(&engine->figures->refused_input, 1);
        hz_eio_close(session, "too much input at once", 0, '1');
        answer(call, 503, "Too much input at once");
        return;
    }
    engine->input_bytes += call->body_len;
    session->post = call;
    if (!hz_eio_work_spent(engine) && !hz_eio_paused(session))
        hz_eio_post_slice(session);
    hz_eio_work_add(session);
}

static void run_check(struct hz_eio *engine, struct hz_eio_call *call)
{
    if (hz_eio_find(engine, call->id)) /* one that is upgraded already closes the WebSocket */
        answer(call, 200, "");
    else
        answer(call, 400, "Session ID unknown");
}

static void run_call(struct hz_mail *mail)
{
    struct hz_eio_call *call = HZ_CONTAINER_OF(mail, struct hz_eio_call, mail);
    struct hz_eio *engine = hz_eio_here();
    if (call->kind == HZ_EIO_MOVE)
        hz_eio_ws_moved(call);
    else if (!engine || engine->resting)
        answer(call, 503, "Server restarts");
    else if (call->kind == HZ_EIO_GET)
        run_get(engine, call);
    else if (call->kind == HZ_EIO_POST)
        run_post(engine, call);
    else
        run_check(engine, call);
}

void hz_eio_call_send(struct hz_eio_call *call)
{
    call->returns = 1;
    call->mail.run = run_call;
    if (call->owner == hz_shard_self())
        run_call(&call->mail);
    else
        hz_shard_post(call->owner, &call->mail);
}

/* ---- a client that leaves while it waits ---- */
static void run_gone_back(struct hz_mail *mail)
{
    finish(HZ_CONTAINER_OF(mail, struct hz_eio_call, gone_mail));
}

/* Owner: a poll that was broken off is the end of the session, as what was sent on it may be lost. */
static void run_gone(struct hz_mail *mail)
{
    struct hz_eio_call *call = HZ_CONTAINER_OF(mail, struct hz_eio_call, gone_mail);
    if (call->session)
        hz_eio_close(call->session, "transport error", 0, '1');
    if (call->front == hz_shard_self()) {
        run_gone_back(mail);
        return;
    }
    call->gone_mail.run = run_gone_back;
    hz_shard_post(call->front, &call->gone_mail);
}

static void on_gone(void *arg)
{
    struct hz_eio_call *call = arg;
    call->request = NULL;
    if (call->kind != HZ_EIO_GET)
        return;
    call->returns++;
    call->gone_mail.run = run_gone;
    if (call->owner == hz_shard_self())
        run_gone(&call->gone_mail);
    else
        hz_shard_post(call->owner, &call->gone_mail);
}

/* ---- the route ---- */
static struct hz_eio_call *new_call(struct hz_http_request *request, struct hz_eio *engine, enum hz_eio_call_kind kind)
{
    struct hz_eio_call *call = calloc(1, sizeof *call);
    if (!call) {
        hz_eio_refuse(request, 503, 3, "Out of memory");
        return NULL;
    }
    call->request = request;
    call->front = call->owner = engine->shard;
    call->kind = kind;
    call->fd = -1;
    hz_http_on_gone(request, on_gone, call);
    return call;
}

static void open_polling(struct hz_http_request *request, struct hz_eio *engine)
{
    struct hz_eio_session *session = hz_eio_open(engine, request);
    struct hz_eio_call *call = session ? new_call(request, engine, HZ_EIO_GET) : NULL;
    if (!session)
        hz_eio_refuse(request, 503, 3, "Too many sessions");
    else if (!call)
        hz_eio_discard(session);
    else {
        call->returns = 1;
        call->session = session;
        session->poll = call;
        hz_eio_opened(session, false);
    }
}

static void pass_on(struct hz_http_request *request, struct hz_eio *engine, const char *sid, bool post)
{
    uint8_t id[HZ_EIO_ID];
    if (!hz_eio_sid_parse(sid, id) || hz_eio_sid_shard(id) >= hz_shard_count()) {
        hz_eio_refuse(request, 400, 1, "Session ID unknown");
        return;
    }
    struct hz_eio_call *call = new_call(request, engine, post ? HZ_EIO_POST : HZ_EIO_GET);
    if (!call)
        return;
    memcpy(call->id, id, sizeof id);
    call->owner = hz_shard_at(hz_eio_sid_shard(id));
    if (post)
        call->body = hz_request_take_body(request, &call->body_len);
    hz_eio_call_send(call);
}

static void answer_options(struct hz_http_request *request)
{
    static const char headers[] = "Allow: GET, POST\nAccess-Control-Allow-Methods: GET, POST\n"
                                  "Access-Control-Allow-Headers: Authorization, Content-Type\n"
                                  "Access-Control-Max-Age: 600\n";
    hz_http_respond(
            request, &(struct hz_http_response){.status = 204, .headers = headers, .headers_len = sizeof headers - 1});
}

void hz_eio_handle(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct hz_eio *engine = hz_eio_here();
    const char *method = hz_http_method(request), *transport = hz_http_query(request, "transport"),
               *sid = hz_http_query(request, "sid"), *protocol = hz_http_query(request, "EIO");
    bool get = strcmp(method, "GET") == 0, post = strcmp(method, "POST") == 0;
    bool websocket = transport && strcmp(transport, "websocket") == 0;
    if (strcmp(method, "OPTIONS") == 0)
        answer_options(request);
    else if (!engine || engine->resting)
        hz_eio_refuse(request, 503, 3, "Server restarts");
    else if (!websocket && (!transport || strcmp(transport, "polling") != 0))
        hz_eio_refuse(request, 400, 0, "Transport unknown");
    else if (!sid && !get)
        hz_eio_refuse(request, 400, 2, "Bad handshake method");
    else if (!sid && (!protocol || strcmp(protocol, "4") != 0))
        hz_eio_refuse(request, 400, 5, "Unsupported protocol version");
    else if (websocket)
        hz_eio_ws_handle(request, sid);
    else if (!sid)
        open_polling(request, engine);
    else if (get || post)
        pass_on(request, engine, sid, post);
    else
        hz_eio_refuse(request, 400, 3, "Bad request");
}
