/*
 * socketio.h - Socket.IO 5 over Engine.IO 4, server side: sockets that connect, events with or without an
 * acknowledgement, broadcasts that are encoded once for everybody. It knows no subject; who is above registers
 * handlers.
 *
 * One instance in the process, on every shard's HTTP server. A socket lives on one shard, on which all handlers are
 * called with it. What may be called from any shard says so. JSON given here is borrowed: the caller keeps its
 * reference.
 */
#ifndef HZ_CORE_HTTP_SOCKETIO_H
#define HZ_CORE_HTTP_SOCKETIO_H

#include "core/shard.h"
#include <jansson.h>

#define HZ_SIO_SID  20  /* characters of a socket's id */
#define HZ_SIO_NAME 128 /* bytes of an event's name, as we send it */

struct hz_sio_socket; /* one client in one namespace */
struct hz_sio_ack;    /* an answer the client waits for */

struct hz_sio_handlers { /* all on the socket's shard; any may be NULL */
    /*
     * A client wants to connect. auth: the object it sent, NULL if none. NULL: accepted, else the refusing text, which
     * is copied at once. Nothing may be sent yet.
     */
    const char *(*connect)(struct hz_sio_socket *socket, const json_t *auth, void *arg);
    void (*connected)(struct hz_sio_socket *socket, const json_t *auth, void *arg); /* and has been told so */
    /*
     * args: the array without the name; valid during the call (json_incref to keep). ack: NULL if the client wants
     * none; else exactly one hz_sio_ack*() for it, now or later, on this shard.
     */
    void (*event)(struct hz_sio_socket *socket, const char *name, json_t *args, struct hz_sio_ack *ack, void *arg);
    /* Once for each socket that was accepted. Nothing can be sent any more. */
    void (*disconnect)(struct hz_sio_socket *socket, const char *reason, void *arg);
};

struct hz_sio_options {                                             /* 0 or NULL: what is said behind it */
    const char *path;                                               /* "/socket.io/" */
    uint32_t ping_interval_ms, ping_timeout_ms, connect_timeout_ms; /* 25000, 20000, 45000 */
    uint32_t max_payload;          /* 1000000 bytes of a message, or of a POST, from a client */
    uint32_t max_waiting;          /* 4 MiB may wait for one client; one that has more, and does not read, is dropped */
    uint32_t max_input;            /* 256 MiB of unfinished messages on a shard; who has most of it is dropped then */
    const char *const *namespaces; /* further ones besides "/", NULL-terminated: none */
    bool binary;                   /* attachments are taken; else they end the connection */
    struct hz_sio_handlers handlers;
    void *arg; /* of the handlers */
};
/* Serves it from the next hz_http_begin() on. Before the shards run; once until hz_http_fini(). The options are copied,
 * texts too. */
HZ_MUST_CHECK int hz_sio_serve(const struct hz_sio_options *options);

/* ---- a socket: its shard alone ---- */
const char *hz_sio_sid(const struct hz_sio_socket *socket); /* also of one that has gone */
const char *hz_sio_namespace(const struct hz_sio_socket *socket);
void hz_sio_set_user(struct hz_sio_socket *socket, void *user); /* something of the handlers' own; NULL at first */
void *hz_sio_user(const struct hz_sio_socket *socket);
bool hz_sio_connected(const struct hz_sio_socket *socket);
/* A bit each; none at first. Who is in any is known: when there are too many clients, the others make room first. */
void hz_sio_set_channels(struct hz_sio_socket *socket, uint32_t channels);
void hz_sio_set_mark(struct hz_sio_socket *socket, uint64_t mark);         /* see hz_sio_broadcast_marked(); 0 at first */
size_t hz_sio_waiting(const struct hz_sio_socket *socket);                 /* bytes in line for its connection */
/* Of the request that opened the connection: Authorization, Cookie, Host, Origin, User-Agent; NULL: not sent. */
const char *hz_sio_header(const struct hz_sio_socket *socket, const char *name);
const char *hz_sio_address(const struct hz_sio_socket *socket); /* as hz_http_peer() */
bool hz_sio_over_socket(const struct hz_sio_socket *socket);    /* Unix socket: peer's uid was checked */
/* Tells the client that it is disconnected: it does not come back by itself. */
void hz_sio_disconnect(struct hz_sio_socket *socket);
/* Ends the connection under it: the client connects anew. reason: for the log and for `disconnect`. */
void hz_sio_close(struct hz_sio_socket *socket, const char *reason);

/* ---- references: any shard. Handlers borrow; who keeps a socket beyond its `disconnect`, or gives it to another
 * shard, takes one. ---- */
struct hz_sio_socket *hz_sio_ref(struct hz_sio_socket *socket);
void hz_sio_unref(struct hz_sio_socket **ref);
struct hz_shard *hz_sio_shard(const struct hz_sio_socket *socket);

/* ---- answers: on the socket's shard, each frees the ack; of a client that has gone they do nothing more ---- */
void hz_sio_ack(struct hz_sio_ack *ack, const json_t *args);                /* array: each element is an argument */
void hz_sio_ack_text(struct hz_sio_ack *ack, const char *json, size_t len); /* one argument, as JSON text */
void hz_sio_ack_drop(struct hz_sio_ack *ack);
struct hz_sio_socket *hz_sio_ack_socket(const struct hz_sio_ack *ack);

/* ---- events to clients: any shard; arg: NULL sends none. 0, or HZ_ENOMEM (nobody gets it) ---- */
int hz_sio_emit(struct hz_sio_socket *socket, const char *name, const json_t *arg);
int hz_sio_emit_args(struct hz_sio_socket *socket, const char *name, const json_t *args); /* array of arguments */
int hz_sio_emit_text(struct hz_sio_socket *socket, const char *name, const char *json, size_t len);
/*
 * To every socket of the namespace "/", encoded once, with no copy per client.
 *
 * except    this one gets none; NULL: all do
 * Volatile  is for what the next one makes useless: a client that is busy taking earlier messages, or is between two
 *           polls, does not get it.
 * Order     what one shard sends comes to a client in that order.
 */
int hz_sio_broadcast(const char *name, const json_t *arg, struct hz_sio_socket *except);
int hz_sio_broadcast_text(const char *name, const char *json, size_t len, struct hz_sio_socket *except);
int hz_sio_broadcast_volatile(const char *name, const char *json, size_t len);
/* The same for sockets that are in one of these channels alone, see hz_sio_set_channels(). passing: volatile. */
int hz_sio_broadcast_channels(
        const char *name, const char *json, size_t len, struct hz_sio_socket *except, uint32_t channels, bool passing);
/* ... and that have a mark below this one: who was told of it already in another way is passed by. */
int hz_sio_broadcast_marked(const char *name, const char *json, size_t len, uint32_t channels, uint64_t mark);

/* ---- attachments (options.binary) ---- */
struct hz_sio_blob {
    const void *data;
    size_t len;
};
/* Those of the event whose handler runs; places in args are {"_placeholder": true, "num": index}. Valid during the
 * call. */
const struct hz_sio_blob *hz_sio_attachments(const struct hz_sio_socket *socket, size_t *ret_count);
int hz_sio_emit_binary(struct hz_sio_socket *socket, const char *name, const json_t *args,
        const struct hz_sio_blob *blobs, size_t count);
void hz_sio_ack_binary(struct hz_sio_ack *ack, const json_t *args, const struct hz_sio_blob *blobs, size_t count);

struct hz_sio_figures {     /* of all shards */
    uint64_t sessions;      /* connections of Engine.IO, with or without a socket */
    uint64_t websockets;    /* of them over WebSocket */
    uint64_t sockets;       /* of Socket.IO, now */
    uint64_t waiting_bytes; /* for clients, a shared message counted once for each */
    uint64_t opened, dropped_slow, refused_input, timed_out, events_in, packets_out, bytes_out; /* since the start */
};
void hz_sio_figures(struct hz_sio_figures *ret_figures); /* any thread */

#endif
