/*
 * engineio_frames.c - bytes of WebSockets: frames as wslay reads and writes them, on the shard's loop.
 *
 * Reading. The library gets what recv() brought and hands out pieces of messages, which are put together here, where
 * their sum over all clients is bounded. Its context (5 KB) is there only while a message or a frame is incomplete: a
 * client that is idle costs none.
 *
 * Writing. The library would copy every message into every client's queue. So it makes the header of a frame only, and
 * sendmsg() gathers headers and the packets that all clients share.
 */
#include "engineio_internal.h"

#include "shm/err.h"
#include "shm/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <wslay/wslay.h>

enum { HEADER_MAX = 14, GATHER = 32, READS = 4 };

/* ---- headers of what we send ---- */
struct header {
    uint8_t bytes[HEADER_MAX];
    size_t len;
    bool made;
};

/* The library offers the header first, then the message, which we only pretend to send. */
static ssize_t take_header(const uint8_t *data, size_t len, int flags, void *user_data)
{
    struct header *header = *(struct header **)user_data;
    (void)flags;
    if (header->made)
        return (ssize_t)len;
    HZ_ASSERT(len <= sizeof header->bytes);
    memcpy(header->bytes, data, len);
    header->len = len;
    header->made = true;
    return (ssize_t)len;
}

struct maker {
    wslay_frame_context_ptr frames;
    struct header *header; /* where the one that is made goes */
};

int hz_eio_frames_init(struct hz_eio *engine)
{
    static const struct wslay_frame_callbacks callbacks = {.send_callback = take_header};
    struct maker *maker = calloc(1, sizeof *maker);
    if (!maker || wslay_frame_context_init(&maker->frames, &callbacks, &maker->header)) {
        free(maker);
        return hz_err_set(HZ_ENOMEM, "serving Engine.IO");
    }
    engine->header_frames = maker;
    return 0;
}

void hz_eio_frames_fini(struct hz_eio *engine)
{
    struct maker *maker = engine->header_frames;
    wslay_frame_context_free(maker->frames);
    free(maker);
    engine->header_frames = NULL;
}

static void make_header(struct hz_eio *engine, uint8_t opcode, const void *data, size_t len, struct header *header)
{
    struct maker *maker = engine->header_frames;
    struct wslay_frame_iocb frame = {
            .fin = 1, .opcode = opcode, .payload_length = len, .data = data, .data_length = len};
    header->made = false;
    maker->header = header;
    ssize_t sent = wslay_frame_send(maker->frames, &frame);
    HZ_ASSERT(sent == (ssize_t)len && header->made);
}

static size_t header_len(size_t len)
{
    return len < 126 ? 2 : len <= 0xffff ? 4 : 10;
}

static size_t frame_len(const struct hz_eio_buf *buf)
{
    return buf->kind == HZ_EIO_RAW ? buf->len : header_len(buf->len) + buf->len;
}

/* ---- writing ---- */
bool hz_eio_ws_blocked(const struct hz_eio_ws *ws)
{
    return ws->blocked;
}

static struct hz_eio_queue *line_of(struct hz_eio_ws *ws)
{
    return ws->session && ws->session->ws == ws ? &ws->session->queue : &ws->queue;
}

/* Bytes gathered; parts: as many as there is room for. */
static size_t gather(struct hz_eio_ws *ws, const struct hz_eio_queue *line, struct header headers[GATHER],
        struct iovec parts[2 * GATHER], size_t *ret_count)
{
    size_t count = 0, bytes = 0, skip = ws->sent;
    uint32_t most = ws->session && ws->session->gap ? HZ_MIN(ws->session->gap, line->count) : line->count;
    for (uint32_t i = 0; i < most && i < GATHER; i++) {
        struct hz_eio_buf *buf = line->ring[(line->head + i) % line->capacity];
        headers[i].len = 0;
        if (buf->kind != HZ_EIO_RAW)
            make_header(ws->engine, buf->kind == HZ_EIO_TEXT ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, buf->data,
                    buf->len, &headers[i]);
        struct iovec pair[2] = {{headers[i].bytes, headers[i].len}, {buf->data, buf->len}};
        for (unsigned k = 0; k < 2; k++) {
            size_t cut = HZ_MIN(skip, pair[k].iov_len);
            skip -= cut;
            if (cut == pair[k].iov_len)
                continue;
            parts[count].iov_base = (char *)pair[k].iov_base + cut;
            parts[count++].iov_len = pair[k].iov_len - cut;
            bytes += pair[k].iov_len - cut;
        }
    }
    *ret_count = count;
    return bytes;
}

static void take_out(struct hz_eio_ws *ws, struct hz_eio_queue *line, size_t sent)
{
    struct hz_eio_figures *figures = ws->engine->figures;
    hz_eio_count(&figures->bytes_out, (int64_t)sent);
    ws->sent += sent;
    while (line->count > 0 && ws->sent >= frame_len(line->ring[line->head])) {
        struct hz_eio_buf *buf = hz_eio_pop(line, ws->engine);
        ws->sent -= frame_len(buf);
        if (ws->session && ws->session->gap && --ws->session->gap == 0)
            hz_eio_gap_begins(ws->session);
        hz_eio_count(&figures->packets_out, 1);
        hz_eio_buf_unref(&buf);
    }
}

void hz_eio_ws_flush(struct hz_eio_ws *ws)
{
    struct header headers[GATHER];
    struct iovec parts[2 * GATHER];
    struct hz_eio_queue *line = line_of(ws);
    while (line->count > 0 && !ws->blocked && !ws->dead && !(ws->session && ws->session->gapped)) {
        struct msghdr message = {.msg_iov = parts};
        size_t count, bytes = gather(ws, line, headers, parts, &count);
        message.msg_iovlen = count;
        ssize_t sent = sendmsg(ws->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            take_out(ws, line, (size_t)sent);
            ws->blocked = (size_t)sent < bytes;
        } else if (errno == EAGAIN)
            ws->blocked = true;
        else if (errno != EINTR) {
            hz_eio_ws_lost(ws, "transport error");
            return;
        }
    }
    if (ws->closing && !ws->dead && !ws->shut && line->count == 0) {
        ws->shut = true;
        shutdown(ws->fd, SHUT_WR);
    }
    hz_eio_ws_resume(ws);
}

/* It is not read from: its session must not be, or what was read is not done with. */
static bool is_paused(const struct hz_eio_ws *ws)
{
    return ws->rest || (ws->session && (hz_eio_paused(ws->session) || ws->queue.bytes > HZ_EIO_PAUSE_BYTES));
}

void hz_eio_ws_resume(struct hz_eio_ws *ws)
{
    int events = (is_paused(ws) ? 0 : UV_READABLE) | (ws->blocked ? UV_WRITABLE : 0);
    if (ws->dead || ws->events == events)
        return;
    ws->events = events;
    if (events)
        uv_poll_start(&ws->poll, events, hz_eio_ws_event);
    else
        uv_poll_stop(&ws->poll);
}

void hz_eio_ws_say_close(struct hz_eio_ws *ws, uint16_t code, const char *reason)
{
    size_t len = HZ_MIN(strlen(reason), (size_t)123);
    struct header header;
    struct hz_eio_buf *buf = hz_eio_buf_new(HZ_EIO_RAW, 4 + len);
    ws->said = true;
    if (!buf)
        return; /* the end of the stream says it too */
    uint8_t *data = (uint8_t *)buf->data;
    data[2] = (uint8_t)(code >> 8);
    data[3] = (uint8_t)code;
    memcpy(data + 4, reason, len);
    make_header(ws->engine, WSLAY_CONNECTION_CLOSE, data + 2, len + 2, &header);
    memcpy(data, header.bytes, 2);
    (void)hz_eio_push(&ws->queue, ws->engine, buf);
}

/* ---- reading ---- */
static ssize_t give(wslay_event_context_ptr frames, uint8_t *to, size_t len, int flags, void *user_data)
{
    struct hz_eio_ws *ws = user_data;
    (void)flags;
    size_t n = HZ_MIN(len, (size_t)(ws->feed_end - ws->feed));
    if (n == 0 || !ws->session) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(to, ws->feed, n);
    ws->feed += n;
    return (ssize_t)n;
}

/* This client is done with. */
static void refuse(struct hz_eio_ws *ws, uint16_t code, const char *reason)
{
    hz_eio_count(&ws->engine->figures->refused_input, 1);
    if (ws->session->ws == ws)
        hz_eio_close(ws->session, "parse error", code, '1');
    else
        hz_eio_ws_close(ws, code, reason);
}

static void on_frame(wslay_event_context_ptr frames, const struct wslay_event_on_frame_recv_start_arg *arg, void *user)
{
    struct hz_eio_ws *ws = user;
    (void)frames;
    ws->used += header_len((size_t)arg->payload_length) + 4 + arg->payload_length; /* 4: the mask */
    ws->data_frame = !wslay_is_ctrl_frame(arg->opcode);
    if (!ws->data_frame)
        return;
    ws->in_message = true;
    ws->last_frame = arg->fin;
    if (arg->opcode != WSLAY_CONTINUATION_FRAME)
        ws->binary = arg->opcode == WSLAY_BINARY_FRAME;
    /* The library looks at one frame, not at their sum. */
    if (ws->session && arg->payload_length > hz_eio_shared.options.max_payload - ws->in_len)
        refuse(ws, WSLAY_CODE_MESSAGE_TOO_BIG, "too large");
}

static bool make_room(struct hz_eio_ws *ws, size_t len)
{
    size_t needed = ws->in_len + len + 1; /* a NUL behind it */
    if (needed <= ws->in_capacity)
        return true;
    size_t capacity = HZ_MAX(needed, HZ_MAX(ws->in_capacity * 2, (size_t)512));
    char *in = hz_eio_input_room(ws->session, capacity - ws->in_capacity) ? realloc(ws->in, capacity) : NULL;
    if (!in)
        return false;
    ws->engine->input_bytes += capacity - ws->in_capacity;
    ws->in = in;
    ws->in_capacity = capacity;
    return true;
}

static void on_piece(wslay_event_context_ptr frames, const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user)
{
    struct hz_eio_ws *ws = user;
    (void)frames;
    if (!ws->data_frame || !ws->session)
        return;
    if (!make_room(ws, arg->data_length)) {
        refuse(ws, WSLAY_CODE_INTERNAL_SERVER_ERROR, "too much input at once");
        return;
    }
    if (arg->data_length)
        memcpy(ws->in + ws->in_len, arg->data, arg->data_length);
    ws->in_len += arg->data_length;
}

static void on_message(wslay_event_context_ptr frames, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct hz_eio_ws *ws = user;
    (void)frames;
    if (wslay_is_ctrl_frame(arg->opcode))
        return;
    ws->in_message = false;
    if (!ws->session || !make_room(ws, 0))
        return;
    ws->in[ws->in_len] = 0;
    hz_eio_ws_message(ws);
    ws->in_len = 0;
}

/* What the library has to say itself: answers to pings and to a close, its complaint about what it read. */
static ssize_t collect(wslay_event_context_ptr frames, const uint8_t *data, size_t len, int flags, void *user_data)
{
    struct hz_eio_ws *ws = user_data;
    (void)frames;
    (void)flags;
    struct hz_eio_buf *buf = ws->mute ? NULL : hz_eio_buf_new(HZ_EIO_RAW, len);
    if (buf) {
        memcpy(buf->data, data, len);
        if (line_of(ws)->bytes < HZ_EIO_MAX_WAITING)
            (void)hz_eio_push(line_of(ws), ws->engine, buf);
        else /* of the pongs of a client that does not read */
            hz_eio_buf_unref(&buf);
    }
    return (ssize_t)len;
}

static void drop_rest(struct hz_eio_ws *ws)
{
    ws->engine->input_bytes -= ws->rest_len;
    free(ws->rest);
    ws->rest = NULL;
    ws->rest_at = ws->rest_len = 0;
}

/* Between two messages nothing is kept. */
static void forget_message(struct hz_eio_ws *ws)
{
    if (ws->frames)
        wslay_event_context_free(ws->frames);
    ws->frames = NULL;
    ws->engine->input_bytes -= ws->in_capacity;
    free(ws->in);
    ws->in = NULL;
    ws->in_len = ws->in_capacity = 0;
    ws->fed = ws->used = 0;
}

void hz_eio_ws_forget(struct hz_eio_ws *ws)
{
    if (ws->feeding) /* does so at its end */
        return;
    forget_message(ws);
    drop_rest(ws);
}

static bool need_frames(struct hz_eio_ws *ws)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = give,
            .send_callback = collect,
            .on_frame_recv_start_callback = on_frame,
            .on_frame_recv_chunk_callback = on_piece,
            .on_msg_recv_callback = on_message};
    wslay_event_context_ptr frames;
    if (ws->frames)
        return true;
    if (wslay_event_context_server_init(&frames, &callbacks, ws))
        return false;
    wslay_event_config_set_no_buffering(frames, 1);
    wslay_event_config_set_max_recv_msg_length(frames, hz_eio_shared.options.max_payload);
    ws->frames = frames;
    return true;
}

/* The other side has closed, or sent what cannot be. */
static void end_of_input(struct hz_eio_ws *ws, bool ended)
{
    struct hz_eio_session *session = ws->session;
    uint16_t code = wslay_event_get_status_code_sent(ws->frames);
    if (code < WSLAY_CODE_NORMAL_CLOSURE || code == WSLAY_CODE_NO_STATUS_RCVD)
        code = WSLAY_CODE_PROTOCOL_ERROR;
    ws->said = ended; /* the answer to its close frame is in line */
    if (!ended) {
        HZ_LOG(DEBUG, "client %s (%s): a frame that cannot be, closed with %u", session->sid, session->address,
                (unsigned)code);
        refuse(ws, code, "parse error");
    } else if (session->ws == ws)
        hz_eio_close(session, "transport close", code, '1');
    else
        hz_eio_ws_close(ws, code, "transport close");
}

static void feed_some(struct hz_eio_ws *ws, const uint8_t *data, size_t len)
{
    if (!need_frames(ws)) {
        hz_eio_ws_lost(ws, "out of memory");
        return;
    }
    wslay_event_context_ptr frames = ws->frames;
    ws->feed = data;
    ws->feed_end = ws->feed + len;
    ws->fed += len;
    int err = wslay_event_recv(frames);
    bool ended = ws->session && wslay_event_get_close_received(frames);
    bool over = ended || err || !wslay_event_get_read_enabled(frames);
    if (ws->session && wslay_event_want_write(frames)) {
        ws->mute = over && !ended; /* it does not always say why: we do */
        over |= wslay_event_send(frames) != 0;
        if (ws->session->ws == ws)
            hz_eio_soil(ws->session);
        else if (!over)
            hz_eio_ws_flush(ws);
    }
    if (ws->session && over)
        end_of_input(ws, ended);
    else if (ws->session && ws->fed == ws->used && !ws->in_message)
        forget_message(ws);
}

/* The frame under way in one piece, as its end is known; of what comes then so little that few messages are in it. */
static size_t chunk_of(const struct hz_eio_ws *ws, size_t len)
{
    size_t frame = ws->used > ws->fed ? (size_t)(ws->used - ws->fed) : 0;
    return HZ_MIN(len, HZ_MAX(frame, (size_t)HZ_EIO_CHUNK));
}

/* So much of it was taken. At least something is. */
static size_t feed_slice(struct hz_eio_ws *ws, const uint8_t *data, size_t len)
{
    uint64_t began = hz_base_now_ns(), passed;
    size_t taken = 0;
    ws->feeding = true;
    do {
        size_t chunk = chunk_of(ws, len - taken);
        feed_some(ws, data + taken, chunk);
        taken += chunk;
        passed = hz_base_now_ns() - began;
    } while (taken < len && ws->session && passed < HZ_EIO_SLICE_NS && !hz_eio_paused(ws->session) &&
             ws->queue.bytes <= HZ_EIO_PAUSE_BYTES);
    ws->feeding = false;
    ws->engine->spent_ns += passed;
    return taken;
}

void hz_eio_ws_feed(struct hz_eio_ws *ws, const void *data, size_t len)
{
    HZ_ASSERT(!ws->rest);
    size_t taken = feed_slice(ws, data, len);
    if (!ws->session) {
        hz_eio_ws_forget(ws);
        return;
    }
    if (taken == len)
        return;
    if (!hz_eio_input_room(ws->session, len - taken)) {
        refuse(ws, WSLAY_CODE_INTERNAL_SERVER_ERROR, "too much input at once");
        hz_eio_ws_forget(ws);
        return;
    }
    ws->rest = malloc(len - taken);
    if (!ws->rest) {
        hz_eio_ws_lost(ws, "out of memory");
        return;
    }
    ws->rest_len = len - taken;
    memcpy(ws->rest, (const uint8_t *)data + taken, ws->rest_len);
    ws->engine->input_bytes += ws->rest_len;
    hz_eio_work_add(ws->session);
}

void hz_eio_ws_slice(struct hz_eio_ws *ws)
{
    ws->rest_at += feed_slice(ws, ws->rest + ws->rest_at, ws->rest_len - ws->rest_at);
    if (!ws->session)
        hz_eio_ws_forget(ws);
    else if (ws->rest_at == ws->rest_len)
        drop_rest(ws);
    hz_eio_ws_resume(ws);
}

static void on_readable(struct hz_eio_ws *ws)
{
    struct hz_eio *engine = ws->engine;
    for (int i = 0; i < READS && !ws->dead && ws->events & UV_READABLE && !hz_eio_work_spent(engine); i++) {
        ssize_t n = recv(ws->fd, engine->scratch, sizeof engine->scratch, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hz_eio_ws_lost(ws, n ? "transport error" : "transport close");
            return;
        }
        if (ws->session) /* else: its part of the closing handshake, which nobody reads */
            hz_eio_ws_feed(ws, engine->scratch, (size_t)n);
        if ((size_t)n < sizeof engine->scratch)
            break;
        hz_eio_ws_resume(ws);
    }
    if (!ws->dead)
        hz_eio_ws_resume(ws);
}

void hz_eio_ws_event(uv_poll_t *poll, int status, int events)
{
    struct hz_eio_ws *ws = poll->data;
    if (status < 0) {
        hz_eio_ws_lost(ws, "transport error");
        return;
    }
    if (events & UV_WRITABLE) {
        ws->blocked = false;
        hz_eio_ws_flush(ws);
        if (!ws->dead && ws->session)
            hz_eio_work_add(ws->session); /* there is room for answers to what was read and kept */
    }
    if (events & UV_READABLE && !ws->dead)
        on_readable(ws);
}
