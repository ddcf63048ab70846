/*
 * socketio.c - clients and their sockets: connect, events, attachments, the end. What goes out is in socketio_send.c.
 * Shard's thread, but for references.
 */
#include "socketio_internal.h"

#include "engineio_internal.h"

#include "core/flow/json_text.h"

#include "shm/err.h"
#include "shm/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* sockets are owned by their client's list, which has a reference */

        struct hz_sio_shared hz_sio_shared;

/* ---- sockets ---- */
struct hz_sio_socket *hz_sio_ref(struct hz_sio_socket *socket)
{
    HZ_CHECK_OBJ(socket, HZ_SIO_SOCKET_MAGIC);
    atomic_fetch_add_explicit(&socket->refs, 1, memory_order_relaxed);
    return socket;
}

void hz_sio_unref(struct hz_sio_socket **ref)
{
    struct hz_sio_socket *socket = *ref;
    *ref = NULL;
    if (!socket || atomic_fetch_sub_explicit(&socket->refs, 1, memory_order_acq_rel) > 1)
        return;
    socket->magic = 0;
    free(socket);
}

static struct hz_sio_socket *new_socket(struct hz_sio_client *client, const char *nsp)
{
    struct hz_sio_socket *socket = calloc(1, sizeof *socket);
    uint8_t random[HZ_SIO_SID / 4 * 3];
    if (!socket)
        return NULL;
    socket->magic = HZ_SIO_SOCKET_MAGIC;
    atomic_init(&socket->refs, 1);
    socket->shard = hz_shard_self();
    socket->client = client;
    socket->nsp = nsp;
    hz_base_random(random, sizeof random);
    hz_eio_base64(socket->sid, random, sizeof random);
    for (char *c = socket->sid; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    return socket;
}

static struct hz_sio_socket *find(const struct hz_sio_client *client, const char *nsp)
{
    struct hz_sio_socket *socket = client->sockets;
    while (socket && strcmp(socket->nsp, nsp) != 0)
        socket = socket->next;
    return socket;
}

static void on_late(struct hz_timer *timer)
{
    struct hz_sio_client *client = HZ_CONTAINER_OF(timer, struct hz_sio_client, timer);
    hz_eio_count(&hz_eio_figures()->timed_out, 1);
    hz_eio_finish(client->session, "no connect in time");
}

static void expect_connect(struct hz_sio_client *client)
{
    hz_timer_after(hz_shard_timers(hz_shard_self()), &client->timer, hz_sio_shared.options.connect_timeout_ms, on_late);
}

/* Takes it out of its client, tells its handler, gives the client's reference back. */
static void end_socket(struct hz_sio_socket *socket, const char *reason)
{
    const struct hz_sio_options *options = &hz_sio_shared.options;
    struct hz_sio_client *client = socket->client;
    struct hz_sio_socket **at = &client->sockets;
    while (*at != socket)
        at = &(*at)->next;
    *at = socket->next;
    socket->connected = false;
    struct hz_eio_figures *figures = hz_eio_figures();
    if (figures)
        hz_eio_count(&figures->sockets, -1);
    if (options->handlers.disconnect)
        options->handlers.disconnect(socket, reason, options->arg);
    socket->client = NULL;
    if (socket->owed > 0) { /* its calls go on, and count for the session until they are done */
        socket->left = client;
        socket->next = client->left;
        client->left = socket; /* without a reference: the acks have theirs */
    }
    hz_sio_unref(&socket);
}

/* ---- connect ---- */
static void refuse(struct hz_sio_client *client, const char *nsp, const char *text)
{
    char *json = NULL;
    size_t len = 0;
    json_t *answer = json_pack("{s:s}", "message", text);
    json = answer ? hz_json_text_print(answer, 0, &len) : NULL;
    json_decref(answer);
    hz_sio_send(client, json ? hz_sio_packet_buf(HZ_SIO_CONNECT_ERROR, 0, nsp, NULL, json, len) : NULL);
    free(json);
}

static const char *take_connect(struct hz_sio_client *client, const struct hz_sio_packet *packet)
{
    const struct hz_sio_options *options = &hz_sio_shared.options;
    const char *nsp = NULL;
    char json[64];
    for (size_t i = 0; i < hz_sio_shared.namespace_count && !nsp; i++)
        if (strcmp(hz_sio_shared.namespaces[i], packet->nsp) == 0)
            nsp = hz_sio_shared.namespaces[i];
    if (!nsp) {
        refuse(client, packet->nsp, "Invalid namespace");
        return NULL;
    }
    if (find(client, nsp))
        return "connected already";
    struct hz_sio_socket *socket = new_socket(client, nsp);
    if (!socket)
        return "out of memory";
    const char *text = options->handlers.connect ? options->handlers.connect(socket, packet->data, options->arg) : NULL;
    if (text) {
        refuse(client, nsp, text);
        socket->client = NULL;
        hz_sio_unref(&socket);
        return NULL;
    }
    hz_timer_cancel(hz_shard_timers(socket->shard), &client->timer);
    socket->connected = true;
    socket->next = client->sockets;
    client->sockets = socket;
    hz_eio_count(&hz_eio_figures()->sockets, 1);
    int len = snprintf(json, sizeof json, "{\"sid\":\"%s\"}", socket->sid);
    hz_sio_send(client, hz_sio_packet_buf(HZ_SIO_CONNECT, 0, nsp, NULL, json, (size_t)len));
    hz_eio_gap(client->session);
    if (options->handlers.connected)
        options->handlers.connected(socket, packet->data, options->arg);
    return NULL;
}

/* ---- events ---- */
static const char *take_event(struct hz_sio_client *client, const struct hz_sio_packet *packet)
{
    const struct hz_sio_options *options = &hz_sio_shared.options;
    struct hz_sio_socket *socket = find(client, packet->nsp);
    struct hz_sio_ack *ack = NULL;
    char number[24];
    if (!socket)
        return "an event before its connect";
    if (packet->has_id) {
        ack = hz_sio_ack_new(socket, packet->id);
        if (!ack)
            return "out of memory";
    }
    hz_eio_count(&hz_eio_figures()->events_in, 1);
    json_t *first = json_incref(json_array_get(packet->data, 0));
    json_array_remove(packet->data, 0);
    const char *name = json_string_value(first);
    if (!name) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(first));
        name = number;
    }
    if (options->handlers.event) {
        struct hz_sio_socket *kept = hz_sio_ref(socket); /* it may disconnect itself */
        options->handlers.event(socket, name, packet->data, ack, options->arg);
        hz_sio_unref(&kept);
    } else if (ack)
        hz_sio_ack_drop(ack);
    json_decref(first);
    return NULL;
}

static const char *take_packet(struct hz_sio_client *client, const struct hz_sio_packet *packet)
{
    struct hz_sio_socket *socket;
    switch (packet->type) {
    case HZ_SIO_CONNECT:
        return take_connect(client, packet);
    case HZ_SIO_DISCONNECT:
        socket = find(client, packet->nsp);
        if (!socket)
            return "a disconnect before its connect";
        end_socket(socket, "client namespace disconnect");
        if (!client->sockets)
            expect_connect(client);
        return NULL;
    case HZ_SIO_EVENT:
    case HZ_SIO_BINARY_EVENT:
        return take_event(client, packet);
    case HZ_SIO_ACK:
    case HZ_SIO_BINARY_ACK: /* no event of ours asks for one */
        return find(client, packet->nsp) ? NULL : "an answer before its connect";
    case HZ_SIO_CONNECT_ERROR:
        break;
    }
    return "unknown type of packet";
}

/* ---- attachments ---- */
static void forget_pending(struct hz_sio_client *client)
{
    for (size_t i = 0; i < client->blob_count; i++) {
        union {
            const void *given;
            void *wanted;
        } data = {client->blobs[i].data};
        free(data.wanted);
    }
    client->blob_count = client->blob_bytes = 0;
    hz_sio_packet_fini(&client->pending);
    client->pending.attachments = 0;
}

static const char *take_attachment(struct hz_sio_client *client, const char *data, size_t len)
{
    if (!client->pending.attachments)
        return "an attachment that no packet announced";
    if (client->blob_bytes + len > hz_eio_shared.options.max_payload)
        return "attachments that are too large";
    void *copy = malloc(len + 1);
    if (!copy)
        return "out of memory";
    memcpy(copy, data, len);
    client->blobs[client->blob_count++] = (struct hz_sio_blob){copy, len};
    client->blob_bytes += len;
    if (client->blob_count < client->pending.attachments)
        return NULL;
    const char *wrong = take_packet(client, &client->pending);
    forget_pending(client);
    return wrong;
}

const struct hz_sio_blob *hz_sio_attachments(const struct hz_sio_socket *socket, size_t *ret_count)
{
    *ret_count = socket->client ? socket->client->blob_count : 0;
    return socket->client ? socket->client->blobs : NULL;
}

/* ---- what the engine tells ---- */
static void on_open(struct hz_eio_session *session, void *arg)
{
    (void)arg;
    struct hz_sio_client *client = calloc(1, sizeof *client);
    hz_eio_set_user(session, client);
    if (!client) {
        hz_eio_finish(session, "out of memory");
        return;
    }
    client->session = session;
    expect_connect(client);
}

static const char *on_message(struct hz_eio_session *session, const char *data, size_t len, bool binary, void *arg)
{
    (void)arg;
    struct hz_sio_client *client = hz_eio_user(session);
    struct hz_sio_packet packet;
    if (!client)
        return "out of memory";
    if (binary)
        return take_attachment(client, data, len);
    if (client->pending.attachments)
        return "an attachment that does not come";
    const char *wrong = hz_sio_packet_parse(data, len, &packet);
    if (wrong)
        return wrong;
    bool with_bytes = packet.type == HZ_SIO_BINARY_EVENT || packet.type == HZ_SIO_BINARY_ACK;
    if (with_bytes && !hz_sio_shared.options.binary)
        wrong = "attachments are not taken";
    else if (with_bytes && packet.attachments) {
        client->pending = packet;
        return NULL;
    } else
        wrong = take_packet(client, &packet);
    hz_sio_packet_fini(&packet);
    return wrong;
}

static void on_close(struct hz_eio_session *session, const char *reason, void *arg)
{
    (void)arg;
    struct hz_sio_client *client = hz_eio_user(session);
    if (!client)
        return;
    while (client->sockets)
        end_socket(client->sockets, reason);
    for (struct hz_sio_socket *socket = client->left; socket; socket = socket->next)
        socket->left = NULL;
    hz_timer_cancel(hz_shard_timers(hz_shard_self()), &client->timer);
    forget_pending(client);
    hz_eio_set_user(session, NULL);
    free(client);
}

/* ---- what handlers ask ---- */
const char *hz_sio_sid(const struct hz_sio_socket *socket)
{
    return socket->sid;
}

const char *hz_sio_namespace(const struct hz_sio_socket *socket)
{
    return socket->nsp;
}

struct hz_shard *hz_sio_shard(const struct hz_sio_socket *socket)
{
    return socket->shard;
}

void hz_sio_set_user(struct hz_sio_socket *socket, void *user)
{
    HZ_ASSERT_SHARD(socket->shard);
    socket->user = user;
}

void *hz_sio_user(const struct hz_sio_socket *socket)
{
    HZ_ASSERT_SHARD(socket->shard);
    return socket->user;
}

void hz_sio_set_channels(struct hz_sio_socket *socket, uint32_t channels)
{
    HZ_CHECK_OBJ(socket, HZ_SIO_SOCKET_MAGIC);
    HZ_ASSERT_SHARD(socket->shard);
    socket->channels = channels;
    if (channels && socket->client)
        hz_eio_known(socket->client->session);
}

void hz_sio_set_mark(struct hz_sio_socket *socket, uint64_t mark)
{
    HZ_ASSERT_SHARD(socket->shard);
    socket->mark = mark;
}

size_t hz_sio_waiting(const struct hz_sio_socket *socket)
{
    HZ_ASSERT_SHARD(socket->shard);
    return socket->client ? socket->client->session->queue.bytes : 0;
}

bool hz_sio_connected(const struct hz_sio_socket *socket)
{
    HZ_ASSERT_SHARD(socket->shard);
    return socket->connected;
}

const char *hz_sio_header(const struct hz_sio_socket *socket, const char *name)
{
    HZ_ASSERT_SHARD(socket->shard);
    return socket->client ? hz_eio_header(socket->client->session, name) : NULL;
}

const char *hz_sio_address(const struct hz_sio_socket *socket)
{
    HZ_ASSERT_SHARD(socket->shard);
    return socket->client ? hz_eio_address(socket->client->session) : "";
}

bool hz_sio_over_socket(const struct hz_sio_socket *socket)
{
    HZ_ASSERT_SHARD(socket->shard);
    return socket->client && hz_eio_over_socket(socket->client->session);
}

void hz_sio_disconnect(struct hz_sio_socket *socket)
{
    HZ_ASSERT_SHARD(socket->shard);
    struct hz_sio_client *client = socket->client;
    if (!socket->connected)
        return;
    hz_sio_send(client, hz_sio_packet_buf(HZ_SIO_DISCONNECT, 0, socket->nsp, NULL, "", 0));
    end_socket(socket, "server namespace disconnect");
    if (!client->sockets)
        expect_connect(client);
}

void hz_sio_close(struct hz_sio_socket *socket, const char *reason)
{
    HZ_ASSERT_SHARD(socket->shard);
    if (socket->client)
        hz_eio_finish(socket->client->session, reason);
}

/* ---- main thread ---- */
static bool copy_namespaces(const char *const *from)
{
    size_t count = 0;
    while (from && from[count])
        count++;
    hz_sio_shared.namespaces = calloc(count + 1, sizeof *hz_sio_shared.namespaces);
    if (!hz_sio_shared.namespaces)
        return false;
    for (size_t i = 0; i <= count; i++) {
        hz_sio_shared.namespaces[i] = strdup(i ? from[i - 1] : "/");
        if (!hz_sio_shared.namespaces[i])
            return false;
        hz_sio_shared.namespace_count++;
    }
    return true;
}

int hz_sio_serve(const struct hz_sio_options *options)
{
    struct hz_eio_options below = {.path = options->path ? options->path : "/socket.io/",
            .ping_interval_ms = options->ping_interval_ms,
            .ping_timeout_ms = options->ping_timeout_ms,
            .max_payload = options->max_payload,
            .max_waiting = options->max_waiting,
            .max_input = options->max_input,
            .handlers = {.open = on_open, .message = on_message, .close = on_close}};
    if (hz_sio_shared.namespaces)
        return hz_err_set(HZ_EEXISTS, "Socket.IO is served already");
    hz_sio_shared.options = *options;
    if (!options->connect_timeout_ms)
        hz_sio_shared.options.connect_timeout_ms = 45000;
    if (!copy_namespaces(options->namespaces))
        return hz_err_set(HZ_ENOMEM, "serving Socket.IO");
    return hz_eio_serve(&below);
}

void hz_sio_fini(void)
{
    for (size_t i = 0; i < hz_sio_shared.namespace_count; i++)
        free(hz_sio_shared.namespaces[i]);
    free(hz_sio_shared.namespaces);
    memset(&hz_sio_shared, 0, sizeof hz_sio_shared);
}

void hz_sio_figures(struct hz_sio_figures *ret)
{
    memset(ret, 0, sizeof *ret);
#define HZ_ADD(name) ret->name += atomic_load_explicit(&from->name, memory_order_relaxed)
    for (uint32_t i = 0; hz_eio_figures_of(i); i++) {
        const struct hz_eio_figures *from = hz_eio_figures_of(i);
        HZ_ADD(sessions);
        HZ_ADD(websockets);
        HZ_ADD(sockets);
        HZ_ADD(waiting_bytes);
        HZ_ADD(opened);
        HZ_ADD(dropped_slow);
        HZ_ADD(refused_input);
        HZ_ADD(timed_out);
        HZ_ADD(events_in);
        HZ_ADD(packets_out);
        HZ_ADD(bytes_out);
    }
#undef HZ_ADD
}
