/*
 * engineio.h - Engine.IO 4, server side: sessions over HTTP polling or WebSocket, and the way from one to the other.
 * Messages in, messages out; what they mean is for who registers the handlers (socketio.c). One instance in the
 * process, a part of every shard's HTTP server. A session lives on one shard, and everything here is for that shard
 * alone unless it says otherwise.
 */
#ifndef HZ_CORE_HTTP_ENGINEIO_H
#define HZ_CORE_HTTP_ENGINEIO_H

#include "core/shard.h"

#include <stdatomic.h>

#define HZ_EIO_SID         24u /* characters */
#define HZ_EIO_MAX_PAYLOAD 1000000u
#define HZ_EIO_MAX_WAITING (4u << 20)
#define HZ_EIO_MAX_INPUT   (256u << 20)

struct hz_eio_session;

/* A packet as it is sent, shared by all who get it. Filled by who made it, read-only once it was sent. */
enum hz_eio_kind {
    HZ_EIO_TEXT,   /* data begins with the packet's type, '4' for a message */
    HZ_EIO_BINARY, /* a message of bytes, without type */
    HZ_EIO_RAW     /* bytes of the WebSocket itself: control frames */
};
struct hz_eio_buf {
    /* Any thread that holds a reference may take a further one (relaxed: it publishes nothing) or give one back
     * (release, and acquire before the free, so that all reads are over). */
    _Atomic uint32_t refs;
    enum hz_eio_kind kind;
    bool shared; /* a broadcast: one memory for all who wait for it, so that no client answers for its bytes */
    size_t len;
    char data[];
};
/* One reference; data is for the caller to fill. NULL: no memory. Any thread. */
struct hz_eio_buf *hz_eio_buf_new(enum hz_eio_kind kind, size_t len);
struct hz_eio_buf *hz_eio_buf_ref(struct hz_eio_buf *buf); /* any thread */
void hz_eio_buf_unref(struct hz_eio_buf **ref);            /* any thread */

struct hz_eio_handlers {
    void (*open)(struct hz_eio_session *session, void *arg);
    /* data: valid during the call, a NUL behind it; text is UTF-8. NULL, or why this input ends the session. */
    const char *(*message)(struct hz_eio_session *session, const char *data, size_t len, bool binary, void *arg);
    void (*close)(
            struct hz_eio_session *session, const char *reason, void *arg); /* once; nothing can be sent any more */
};
struct hz_eio_options { /* 0: as said in socketio.h */
    const char *path;
    uint32_t ping_interval_ms, ping_timeout_ms, max_payload, max_waiting, max_input;
    struct hz_eio_handlers handlers;
    void *arg;
};
/* Serves it from the next hz_http_begin() on. Before the shards run. HZ_EEXISTS: there is one already. */
HZ_MUST_CHECK int hz_eio_serve(const struct hz_eio_options *options);

const char *hz_eio_sid(const struct hz_eio_session *session);
void hz_eio_set_user(struct hz_eio_session *session, void *user);
void *hz_eio_user(const struct hz_eio_session *session);
/* Of the request that opened it; see hz_sio_header(). */
const char *hz_eio_header(const struct hz_eio_session *session, const char *name);
const char *hz_eio_address(const struct hz_eio_session *session);
bool hz_eio_over_socket(const struct hz_eio_session *session);

/*
 * hz_eio_send - puts a packet in line; it goes out at the end of this turn of the loop, with all that came meanwhile.
 * Calls nobody back.
 *
 * buf        the session takes a reference of its own
 * passing    left out if the client is busy (volatile)
 * Returns    false if it was left out, or the session is ending, also because this packet was one too many
 */
bool hz_eio_send(struct hz_eio_session *session, struct hz_eio_buf *buf, bool passing);
/*
 * hz_eio_gap - what is sent after this goes out HZ_EIO_GAP_MS later than what is in line now, so that the two do not
 * come in one segment: some who test servers (the public suite is one) begin to listen for a packet when they have seen
 * the one before it. WebSocket only.
 */
void hz_eio_gap(struct hz_eio_session *session);
/* Ends the session at the end of this turn, after what is in line. reason: copied. Calls nobody back. */
void hz_eio_finish(struct hz_eio_session *session, const char *reason);
/* An answer to this client is owed, or given: a restart of the manager waits for it, and who owes many is not read
 * from. */
void hz_eio_hold(struct hz_eio_session *session);
void hz_eio_release(struct hz_eio_session *session);
/* An account, or the like, is behind it. When the table of sessions is full, the oldest that is not known makes room for a new one. */
void hz_eio_known(struct hz_eio_session *session);
/* Each open session of the calling shard. fn must not end sessions (but may hz_eio_finish()). */
void hz_eio_each(void (*fn)(struct hz_eio_session *session, void *arg), void *arg);

struct hz_eio_figures { /* of one shard: written by it alone, read by any thread (relaxed: each number for itself) */
    _Alignas(HZ_CACHE_LINE) _Atomic uint64_t sessions;
    _Atomic uint64_t strangers; /* of them, not known */
    _Atomic uint64_t websockets, sockets, waiting_bytes, opened, dropped_slow, refused_input, timed_out, events_in,
            packets_out, bytes_out;
};
struct hz_eio_figures *hz_eio_figures(void); /* the calling shard's; NULL: nothing is served on it */
const struct hz_eio_figures *hz_eio_figures_of(
        uint32_t shard); /* any thread while shards run; NULL: nothing is served */
/* Owner's thread: a plain read and write of a number nobody else writes. */
static inline void hz_eio_count(_Atomic uint64_t *figure, int64_t by)
{
    atomic_store_explicit(
            figure, atomic_load_explicit(figure, memory_order_relaxed) + (uint64_t)by, memory_order_relaxed);
}

#endif
