/* socketio_internal.h - what socketio.c and socketio_send.c share and nobody else includes. */
#ifndef HZ_CORE_HTTP_SOCKETIO_INTERNAL_H
#define HZ_CORE_HTTP_SOCKETIO_INTERNAL_H

#include "engineio.h"
#include "socketio.h"
#include "socketio_packet.h"

struct hz_sio_client { /* of one session; shard's thread */
    struct hz_eio_session *session;
    struct hz_sio_socket *sockets;
    struct hz_sio_socket *left; /* no longer connected, and calls of theirs are still open */
    struct hz_timer timer;                            /* to connect to a namespace */
    struct hz_sio_packet pending;                     /* its attachments are still coming; attachments 0: none is */
    struct hz_sio_blob blobs[HZ_SIO_ATTACHMENTS_MAX]; /* malloc'ed data */
    size_t blob_count, blob_bytes;
};

struct hz_sio_socket {
    uint32_t magic;
#define HZ_SIO_SOCKET_MAGIC 0x53694f73u
    /* Any thread that holds a reference may take a further one (relaxed) or give one back (acquire and release: what
     * its shard wrote is over before it is freed). */
    _Atomic uint32_t refs;
    struct hz_shard *shard; /* never changes, nor does nsp, nor sid */
    const char *nsp;
    char sid[HZ_SIO_SID + 1];
    /* From here on its shard's thread alone. */
    bool connected;
    uint32_t channels;
    uint64_t mark;
    struct hz_sio_client *client; /* NULL: it has gone */
    struct hz_sio_client *left;   /* whose it was, while its calls are open and that one is there */
    uint32_t owed;                /* acks that are held; each has a hold on the session */
    struct hz_sio_socket *next;
    void *user;
};

struct hz_sio_shared { /* written before the shards run */
    struct hz_sio_options options;
    char **namespaces; /* the first is "/" */
    size_t namespace_count;
};
extern struct hz_sio_shared hz_sio_shared;

void hz_sio_fini(void); /* main thread, from hz_http_fini() */
/* NULL: no memory. */
struct hz_sio_ack *hz_sio_ack_new(struct hz_sio_socket *socket, uint64_t id);
/* A packet with this JSON as it is. NULL: no memory. */
struct hz_eio_buf *hz_sio_packet_buf(
        enum hz_sio_type type, size_t attachments, const char *nsp, const uint64_t *id, const char *json, size_t len);
/* Sends it on the socket's own shard and gives the reference back; NULL ends the session: there was no memory. */
void hz_sio_send(struct hz_sio_client *client, struct hz_eio_buf *buf);

#endif
