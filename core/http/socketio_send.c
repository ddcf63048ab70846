/*
 * socketio_send.c - answers and events to clients. An event is encoded once, into one packet that every client's line
 * refers to; what is for another shard goes there as a mail with references to the packet and the socket.
 */
#include "socketio_internal.h"

#include "core/flow/json_text.h"

#include "shm/err.h"
#include "shm/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* parcels are owned by the mailbox they are posted to, acks by the handlers */

        /* ---- packets ---- */
        struct hz_eio_buf *
        hz_sio_packet_buf(enum hz_sio_type type, size_t attachments, const char *nsp, const uint64_t *id,
                const char *json, size_t len)
{
    char head[HZ_SIO_HEAD_MAX];
    size_t head_len = hz_sio_packet_head(head, type, attachments, nsp, id);
    struct hz_eio_buf *buf = hz_eio_buf_new(HZ_EIO_TEXT, head_len + len);
    if (!buf)
        return NULL;
    memcpy(buf->data, head, head_len);
    if (len)
        memcpy(buf->data + head_len, json, len);
    return buf;
}

void hz_sio_send(struct hz_sio_client *client, struct hz_eio_buf *buf)
{
    if (buf)
        (void)hz_eio_send(client->session, buf, false);
    else
        hz_eio_finish(client->session, "out of memory");
    hz_eio_buf_unref(&buf);
}

/* `"name"` escaped; length. */
static size_t put_name(char *to, const char *name)
{
    char *at = to;
    *at++ = '"';
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        if (*c < 0x20)
            at += sprintf(at, "\\u%04x", (unsigned)*c);
        else {
            if (*c == '"' || *c == '\\')
                *at++ = '\\';
            *at++ = (char)*c;
        }
    *at++ = '"';
    return (size_t)(at - to);
}

/* ["name",<json>]: json is the text of the arguments with commas between them. */
static struct hz_eio_buf *event_buf(
        size_t attachments, bool binary, const char *nsp, const char *name, const char *json, size_t len)
{
    char head[HZ_SIO_HEAD_MAX + 6 * HZ_SIO_NAME + 8];
    HZ_ASSERT(strlen(name) < HZ_SIO_NAME);
    size_t used = hz_sio_packet_head(head, binary ? HZ_SIO_BINARY_EVENT : HZ_SIO_EVENT, attachments, nsp, NULL);
    head[used++] = '[';
    used += put_name(head + used, name);
    if (len)
        head[used++] = ',';
    struct hz_eio_buf *buf = hz_eio_buf_new(HZ_EIO_TEXT, used + len + 1);
    if (!buf)
        return NULL;
    memcpy(buf->data, head, used);
    if (len)
        memcpy(buf->data + used, json, len);
    buf->data[used + len] = ']';
    return buf;
}

/* ---- parcels: packets for one socket or for all of a shard ---- */
struct parcel {
    struct hz_mail mail;
    struct hz_sio_socket *to, *except; /* references; to NULL: everybody */
    uint32_t channels; /* 0: everybody */
    uint64_t mark;     /* 0: whatever theirs is */
    bool passing;
    unsigned count;
    struct hz_eio_buf *bufs[];
};

static void free_parcel(struct parcel *parcel)
{
    for (unsigned i = 0; i < parcel->count; i++)
        hz_eio_buf_unref(&parcel->bufs[i]);
    hz_sio_unref(&parcel->to);
    hz_sio_unref(&parcel->except);
    free(parcel);
}

/* Takes no reference from anybody. */
static struct parcel *new_parcel(struct hz_eio_buf *const *bufs, unsigned count)
{
    struct parcel *parcel = calloc(1, sizeof *parcel + count * sizeof *bufs);
    if (!parcel)
        return NULL;
    parcel->count = count;
    for (unsigned i = 0; i < count; i++)
        parcel->bufs[i] = hz_eio_buf_ref(bufs[i]);
    return parcel;
}

static void deliver_to(struct hz_eio_session *session, void *arg)
{
    const struct parcel *parcel = arg;
    const struct hz_sio_client *client = hz_eio_user(session);
    struct hz_sio_socket *socket = client ? client->sockets : NULL;
    while (socket && strcmp(socket->nsp, "/") != 0)
        socket = socket->next;
    if (socket && socket != parcel->except && (!parcel->channels || (socket->channels & parcel->channels) != 0) &&
            (!parcel->mark || socket->mark < parcel->mark))
        (void)hz_eio_send(session, parcel->bufs[0], parcel->passing);
}

static void deliver(struct parcel *parcel)
{
    if (!parcel->to)
        hz_eio_each(deliver_to, parcel);
    else if (parcel->to->connected)
        for (unsigned i = 0; i < parcel->count; i++)
            (void)hz_eio_send(parcel->to->client->session, parcel->bufs[i], false);
    free_parcel(parcel);
}

static void run_deliver(struct hz_mail *mail)
{
    deliver(HZ_CONTAINER_OF(mail, struct parcel, mail));
}

static void dispatch(struct parcel *parcel, struct hz_shard *shard)
{
    if (shard == hz_shard_self()) {
        deliver(parcel);
        return;
    }
    parcel->mail.run = run_deliver;
    hz_shard_post(shard, &parcel->mail);
}

/* Gives the references in bufs back. */
static int send_bufs(struct hz_sio_socket *socket, struct hz_eio_buf **bufs, unsigned count)
{
    bool whole = true;
    for (unsigned i = 0; i < count; i++)
        whole &= bufs[i] != NULL;
    struct parcel *parcel = whole ? new_parcel(bufs, count) : NULL;
    for (unsigned i = 0; i < count; i++)
        hz_eio_buf_unref(&bufs[i]);
    if (!parcel)
        return hz_err_set(HZ_ENOMEM, "sending an event");
    parcel->to = hz_sio_ref(socket);
    dispatch(parcel, socket->shard);
    return 0;
}

/* ---- events ---- */
int hz_sio_emit_text(struct hz_sio_socket *socket, const char *name, const char *json, size_t len)
{
    struct hz_eio_buf *buf = event_buf(0, false, socket->nsp, name, json, json ? len : 0);
    return send_bufs(socket, &buf, 1);
}

int hz_sio_emit(struct hz_sio_socket *socket, const char *name, const json_t *arg)
{
    size_t len = 0;
    char *json = arg ? hz_json_text_print(arg, 0, &len) : NULL;
    int err = arg && !json ? hz_err_set(HZ_ENOMEM, "sending an event") : hz_sio_emit_text(socket, name, json, len);
    free(json);
    return err;
}

static struct hz_eio_buf *blob_buf(const struct hz_sio_blob *blob)
{
    struct hz_eio_buf *buf = hz_eio_buf_new(HZ_EIO_BINARY, blob->len);
    if (buf && blob->len)
        memcpy(buf->data, blob->data, blob->len);
    return buf;
}

int hz_sio_emit_binary(struct hz_sio_socket *socket, const char *name, const json_t *args,
        const struct hz_sio_blob *blobs, size_t count)
{
    struct hz_eio_buf *bufs[1 + HZ_SIO_ATTACHMENTS_MAX];
    size_t len = 0;
    HZ_ASSERT(json_is_array(args) && count <= HZ_SIO_ATTACHMENTS_MAX);
    char *json = hz_json_text_print(args, 0, &len);
    bufs[0] =
            json ? event_buf(count, count > 0, socket->nsp, name, json + 1, len - 2) : NULL; /* without its brackets */
    free(json);
    for (size_t i = 0; i < count; i++)
        bufs[1 + i] = blob_buf(&blobs[i]);
    return send_bufs(socket, bufs, 1 + (unsigned)count);
}

int hz_sio_emit_args(struct hz_sio_socket *socket, const char *name, const json_t *args)
{
    return hz_sio_emit_binary(socket, name, args, NULL, 0);
}

static int broadcast(const char *name, const char *json, size_t len, struct hz_sio_socket *except, uint32_t channels, uint64_t mark,
        bool passing)
{
    uint32_t shards = hz_shard_count(), made = 0;
    struct hz_eio_buf *buf = event_buf(0, false, "/", name, json, json ? len : 0);
    struct parcel **parcels = buf ? calloc(shards, sizeof *parcels) : NULL;
    while (parcels && made < shards && (parcels[made] = new_parcel(&buf, 1)) != NULL) {
        parcels[made]->except = except ? hz_sio_ref(except) : NULL;
        parcels[made]->channels = channels;
        parcels[made]->mark = mark;
        parcels[made++]->passing = passing;
    }
    hz_eio_buf_unref(&buf);
    bool whole = parcels && made == shards;
    for (uint32_t i = 0; i < made; i++)
        if (whole)
            dispatch(parcels[i], hz_shard_at(i));
        else
            free_parcel(parcels[i]);
    free(parcels);
    return whole ? 0 : hz_err_set(HZ_ENOMEM, "sending an event");
}

int hz_sio_broadcast_text(const char *name, const char *json, size_t len, struct hz_sio_socket *except)
{
    return broadcast(name, json, len, except, 0, 0, false);
}

int hz_sio_broadcast_volatile(const char *name, const char *json, size_t len)
{
    return broadcast(name, json, len, NULL, 0, 0, true);
}

int hz_sio_broadcast_channels(
        const char *name, const char *json, size_t len, struct hz_sio_socket *except, uint32_t channels, bool passing)
{
    HZ_ASSERT(channels != 0);
    return broadcast(name, json, len, except, channels, 0, passing);
}

int hz_sio_broadcast_marked(const char *name, const char *json, size_t len, uint32_t channels, uint64_t mark)
{
    HZ_ASSERT(channels != 0 && mark != 0);
    return broadcast(name, json, len, NULL, channels, mark, false);
}

int hz_sio_broadcast(const char *name, const json_t *arg, struct hz_sio_socket *except)
{
    size_t len = 0;
    char *json = arg ? hz_json_text_print(arg, 0, &len) : NULL;
    int err = arg && !json ? hz_err_set(HZ_ENOMEM, "sending an event") : broadcast(name, json, len, except, 0, 0, false);
    free(json);
    return err;
}

/* ---- answers ---- */
struct hz_sio_ack {
    uint32_t magic;
#define HZ_SIO_ACK_MAGIC 0x53694f61u
    struct hz_sio_socket *socket; /* a reference */
    uint64_t id;
};

struct hz_sio_ack *hz_sio_ack_new(struct hz_sio_socket *socket, uint64_t id)
{
    struct hz_sio_ack *ack = calloc(1, sizeof *ack);
    if (!ack)
        return NULL;
    ack->magic = HZ_SIO_ACK_MAGIC;
    ack->socket = hz_sio_ref(socket);
    ack->id = id;
    socket->owed++;
    hz_eio_hold(socket->client->session);
    return ack;
}

struct hz_sio_socket *hz_sio_ack_socket(const struct hz_sio_ack *ack)
{
    HZ_CHECK_OBJ(ack, HZ_SIO_ACK_MAGIC);
    return ack->socket;
}

static void release(struct hz_sio_socket *socket)
{
    struct hz_sio_client *client = socket->client ? socket->client : socket->left;
    socket->owed--;
    if (!client)
        return;
    hz_eio_release(client->session);
    if (!socket->left || socket->owed > 0)
        return;
    struct hz_sio_socket **at = &client->left;
    while (*at != socket)
        at = &(*at)->next;
    *at = socket->next;
    socket->left = NULL;
}

void hz_sio_ack_drop(struct hz_sio_ack *ack)
{
    HZ_CHECK_OBJ(ack, HZ_SIO_ACK_MAGIC);
    HZ_ASSERT_SHARD(ack->socket->shard);
    release(ack->socket);
    hz_sio_unref(&ack->socket);
    ack->magic = 0;
    free(ack);
}

static void answer(struct hz_sio_ack *ack, enum hz_sio_type type, size_t attachments, const char *json, size_t len)
{
    struct hz_sio_socket *socket = ack->socket;
    if (socket->connected)
        hz_sio_send(
                socket->client, json ? hz_sio_packet_buf(type, attachments, socket->nsp, &ack->id, json, len) : NULL);
}

void hz_sio_ack_binary(struct hz_sio_ack *ack, const json_t *args, const struct hz_sio_blob *blobs, size_t count)
{
    HZ_CHECK_OBJ(ack, HZ_SIO_ACK_MAGIC);
    HZ_ASSERT_SHARD(ack->socket->shard);
    HZ_ASSERT(json_is_array(args) && count <= HZ_SIO_ATTACHMENTS_MAX);
    size_t len = 0;
    char *json = ack->socket->connected ? hz_json_text_print(args, 0, &len) : NULL;
    answer(ack, count ? HZ_SIO_BINARY_ACK : HZ_SIO_ACK, count, json, len);
    for (size_t i = 0; i < count && ack->socket->connected; i++)
        hz_sio_send(ack->socket->client, blob_buf(&blobs[i]));
    free(json);
    hz_sio_ack_drop(ack);
}

void hz_sio_ack(struct hz_sio_ack *ack, const json_t *args)
{
    hz_sio_ack_binary(ack, args, NULL, 0);
}

void hz_sio_ack_text(struct hz_sio_ack *ack, const char *json, size_t len)
{
    HZ_CHECK_OBJ(ack, HZ_SIO_ACK_MAGIC);
    HZ_ASSERT_SHARD(ack->socket->shard);
    char *array = malloc(len + 2);
    if (array) {
        array[0] = '[';
        memcpy(array + 1, json, len);
        array[len + 1] = ']';
    }
    answer(ack, HZ_SIO_ACK, 0, array, len + 2);
    free(array);
    hz_sio_ack_drop(ack);
}
