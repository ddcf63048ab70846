/*
 * engineio_internal.h - what the engineio_*.c files share and nobody else includes. All of it belongs to one shard's
 * thread, but `hz_eio_shared`, which the main thread writes before the shards run, and calls, which go from shard to
 * shard by mail.
 */
#ifndef HZ_CORE_HTTP_ENGINEIO_INTERNAL_H
#define HZ_CORE_HTTP_ENGINEIO_INTERNAL_H

#include "address.h"
#include "engineio.h"
#include "http.h"

#define HZ_EIO_ID           18u    /* bytes of a sid: shard (2), random (16) */
#define HZ_EIO_BUCKETS      4096u  /* of the table of sessions */
#define HZ_EIO_UPGRADE_MS   10000u /* an upgrade that does not come to its end */
#define HZ_EIO_LINGER_MS    2000u  /* a WebSocket's closing handshake */
#define HZ_EIO_GAP_MS       3u
#define HZ_EIO_CHARGE       64u                   /* what a waiting packet costs besides its bytes */
#define HZ_EIO_PAUSE_BYTES  (256u << 10)          /* more than this waits: the client is not read from */
#define HZ_EIO_PAUSE_HOLDS  1024u                 /* more answers than this are owed: the same */
#define HZ_EIO_OWN_MAX      (UINT64_C(32) << 20)  /* waits for all clients of a shard, without broadcasts: above it who has
                                                     anything in line, or is owed an answer, is not read from */
#define HZ_EIO_SLICE_NS     UINT64_C(1000000)     /* a client's input is looked at for so long, then the next one's */
#define HZ_EIO_TURN_NS      UINT64_C(4000000)     /* and all of it in one turn of the loop */
#define HZ_EIO_CHUNK        64u                   /* bytes of small frames between two looks at the clock and at what waits: an answer
                                                     about a thousand workers has 330 kB */
#define HZ_EIO_POLL_BYTES   (1u << 20)            /* of one answer to a poll, unless its first packet is larger */
#define HZ_EIO_POLL_PACKETS 512u
#define HZ_EIO_OVER         64u /* sessions above the bound while another shard makes room */
#define HZ_EIO_REASON       96u

struct hz_eio;
struct hz_eio_ws;
struct hz_eio_call;

struct hz_eio_queue { /* zeroed: empty */
    struct hz_eio_buf **ring;
    uint32_t head, count, capacity;
    size_t bytes; /* with HZ_EIO_CHARGE for each */
};

struct hz_eio_session {
    uint32_t magic;
#define HZ_EIO_SESSION_MAGIC 0x45696f53u
    struct hz_eio *engine;
    struct hz_eio_session *next, *prev, *next_hash, *next_dirty;
    bool dirty, closed;
    bool finishing;         /* to be closed at the end of this turn, because of `reason` */
    bool slow;              /* and that is because it does not read */
    bool leaving;           /* the manager restarts: nothing more is read, closed when no answer is owed */
    bool ping_sent, probed; /* probed: the WebSocket under way has been heard */
    struct hz_timer timer;  /* next ping, or the end of waiting for its answer */
    uint64_t due_ns;
    struct hz_eio_call *poll;  /* a request that waits for packets */
    struct hz_eio_call *post;  /* one whose packets are not all taken yet */
    struct hz_eio_session *next_work, *prev_work;
    struct hz_eio_session *newer, *older; /* among strangers */
    bool known;
    struct hz_address counted;
    bool working; /* in the line of those whose input waits for its turn */
    struct hz_eio_ws *ws;      /* the transport, once it is one */
    struct hz_eio_ws *probe;   /* on its way to be it */
    struct hz_eio_queue queue; /* while polling */
    uint32_t gap;              /* so many packets in line go out before a gap; 0: no gap */
    bool gapped;               /* it is now, until `gap_timer` */
    struct hz_timer gap_timer;
    uint32_t holds;
    void *user;
    char *headers; /* "name\0value\0" ... "\0" */
    bool over_socket, upgradable;
    char address[48];
    uint8_t id[HZ_EIO_ID];
    char sid[HZ_EIO_SID + 1];
    char reason[HZ_EIO_REASON];
};

struct hz_eio { /* one per shard */
    struct hz_shard *shard;
    struct hz_eio_session *table[HZ_EIO_BUCKETS];
    struct hz_eio_session *sessions, *dirty;
    struct hz_eio_ws *websockets;
    struct hz_eio_figures *figures;
    struct hz_eio_session *oldest, *newest; /* strangers */
    struct hz_eio_session *work, *work_last; /* input that was read waits for its turn */
    uint64_t input_bytes; /* held of messages, of posts under way, of what was read and waits */
    uint64_t own_bytes;   /* waiting for clients; a broadcast counts HZ_EIO_CHARGE for each */
    uint64_t spent_ns;    /* on input, in this turn */
    bool resting, ending;
    uv_check_t check;
    uv_idle_t idle;
    unsigned handles;    /* libuv handles not yet closed, those of WebSockets too */
    void *header_frames; /* the library's context that makes headers of frames */
    uint8_t scratch[65536];
};

struct hz_eio_shared {
    bool served;
    struct hz_eio_options options;
    char *path;
    struct hz_eio_figures *figures;
    uint32_t shards, max_sessions; /* sessions: of all shards together */
};
extern struct hz_eio_shared hz_eio_shared;

/*
 * A request about a session, on its way from the shard that has the connection to the one that owns the session, and
 * back with the answer. Who may touch what: `request` and `returns` the front; `session` the owner; all else whoever
 * got it last by mail (or made it), which orders the accesses.
 */
enum hz_eio_call_kind {
    HZ_EIO_GET,
    HZ_EIO_POST,
    HZ_EIO_CHECK, /* may this session be upgraded? */
    HZ_EIO_MOVE   /* here is its WebSocket */
};
struct hz_eio_call {
    struct hz_mail mail, gone_mail;
    struct hz_shard *front, *owner;
    enum hz_eio_call_kind kind;
    unsigned returns; /* mails (or calls) that still come back */
    struct hz_http_request *request;
    struct hz_eio_session *session; /* waits in session->poll */
    uint8_t id[HZ_EIO_ID];
    char *body; /* POST; MOVE: what was read already */
    size_t body_len, body_at; /* at: so much was taken */
    int fd; /* MOVE */
    struct hz_http_lease *lease;
    struct hz_address address; /* MOVE: as which the connection is counted */
    char accept[32]; /* CHECK: Sec-WebSocket-Accept */
    uint32_t status; /* the answer */
    const char *text;
    struct hz_eio_buf **bufs;
    unsigned buf_count;
};

/* engineio.c */
struct hz_eio *hz_eio_here(void); /* of the calling shard; NULL: not served, or over */
struct hz_eio_session *hz_eio_find(struct hz_eio *engine, const uint8_t id[HZ_EIO_ID]);
/* A new one that nobody knows yet; NULL: too many, or no memory. */
struct hz_eio_session *hz_eio_open(struct hz_eio *engine, const struct hz_http_request *request);
void hz_eio_opened(
        struct hz_eio_session *session, bool websocket); /* puts the open packet in line, tells the handler */
void hz_eio_discard(struct hz_eio_session *session);     /* one that nobody knows, or that is closed */
void hz_eio_clean(struct hz_eio *engine);                /* the end of a turn */
/* code: of the WebSocket's close frame, 0: the transport is dead. last: what a waiting poll ends with ('1' or '6'). */
void hz_eio_close(struct hz_eio_session *session, const char *reason, uint16_t code, char last);
/* A message or packet from the client. False: the session is closed now. */
bool hz_eio_packet(struct hz_eio_session *session, const char *data, size_t len, bool binary);
void hz_eio_gap_begins(struct hz_eio_session *session);
void hz_eio_soil(struct hz_eio_session *session); /* there is something to do at the end of this turn */
bool hz_eio_push(struct hz_eio_queue *queue, struct hz_eio *engine, struct hz_eio_buf *buf); /* takes the reference */
struct hz_eio_buf *hz_eio_pop(struct hz_eio_queue *queue, struct hz_eio *engine);            /* gives it; not empty */
void hz_eio_queue_clear(struct hz_eio_queue *queue, struct hz_eio *engine);
struct hz_eio_buf *hz_eio_word(const char *text); /* a packet of these characters */
bool hz_eio_paused(const struct hz_eio_session *session);
void hz_eio_handle_closed(struct hz_eio *engine); /* one libuv handle less: frees it after the last */
void hz_eio_stay_awake(struct hz_eio *engine); /* the loop does not sleep before the next check phase */

/* engineio_work.c: input that waits for its turn */
bool hz_eio_work_left(const struct hz_eio_session *session); /* it has such input */
void hz_eio_work_add(struct hz_eio_session *session);        /* if it has some, and may be read from */
void hz_eio_work_remove(struct hz_eio_session *session);
/* So much more may be held of its input, if need be because another client is dropped. */
HZ_MUST_CHECK bool hz_eio_input_room(struct hz_eio_session *session, size_t more);
void hz_eio_work(struct hz_eio *engine); /* the part of this turn */
bool hz_eio_work_spent(const struct hz_eio *engine); /* this turn has had its part */

/* Between the HTTP server and this: the same names as http.h, each called from there. */
HZ_MUST_CHECK int hz_eio_bind(void); /* main thread, with the shards made */
HZ_MUST_CHECK int hz_eio_begin(struct hz_shard *shard);
void hz_eio_rest(struct hz_shard *shard);
bool hz_eio_quiet(struct hz_shard *shard);
void hz_eio_hurry(struct hz_shard *shard);
void hz_eio_wake(struct hz_shard *shard);
void hz_eio_end(struct hz_shard *shard);
void hz_eio_fini(void);

/* engineio_poll.c */
void hz_eio_post_slice(struct hz_eio_session *session); /* goes on with session->post */
void hz_eio_post_end(struct hz_eio_session *session);   /* answers it: the session has ended */
void hz_eio_handle(struct hz_http_request *request, void *arg); /* the route */
void hz_eio_poll_answer(
        struct hz_eio_session *session, char last); /* what is in line; last: a packet behind it, 0 none */
void hz_eio_refuse(struct hz_http_request *request, uint32_t status, unsigned code, const char *message);
void hz_eio_call_send(struct hz_eio_call *call); /* to its owner, directly or by mail */
/* engineio_payload.c */
struct hz_eio_piece {
    const char *data; /* in the payload; a NUL behind it */
    size_t len;
    bool binary;
};
/* The packet at *at (0: the first), which is moved to the next: len + 1 after the last. text is changed. False: it is none. */
HZ_MUST_CHECK bool hz_eio_payload_next(char *text, size_t len, size_t *at, struct hz_eio_piece *ret_piece);
void hz_eio_base64(char *to, const void *data, size_t len); /* (len + 2) / 3 * 4 characters */
bool hz_eio_sid_parse(const char *text, uint8_t ret_id[HZ_EIO_ID]);
void hz_eio_sid_format(const uint8_t id[HZ_EIO_ID], char ret_text[HZ_EIO_SID + 1]);
uint32_t hz_eio_sid_shard(const uint8_t id[HZ_EIO_ID]);

/*
 * A WebSocket: transport of its session, on its way to be that, or (session NULL) in its closing handshake.
 * Frames of messages are the session's line; `queue` has what is the WebSocket's own (the answer to a probe), and all
 * that is left once it is closing.
 */
struct hz_eio_ws {
    uint32_t magic;
#define HZ_EIO_WS_MAGIC 0x45696f57u
    struct hz_eio *engine;
    struct hz_eio_session *session;
    struct hz_eio_ws *next, *prev;
    uv_poll_t poll;
    int fd, events;
    struct hz_timer timer; /* the upgrade, or the closing handshake, takes too long */
    struct hz_http_lease *lease;
    struct hz_address address; /* as which it is counted; with a lease the connection below still is */
    bool blocked;              /* the kernel takes no more: waits until it does */
    bool closing, dead;        /* our close frame is in line; the descriptor is closed */
    bool said;                 /* a close frame is in line already */
    bool mute;                 /* what the library says is not sent */
    bool shut;                 /* our side is closed */
    bool in_message;           /* between the first and the last frame of one */
    bool data_frame, last_frame, binary;
    size_t sent; /* of the first frame in line */
    struct hz_eio_queue queue;
    void *frames;       /* the library's context; NULL between two messages */
    uint64_t fed, used; /* bytes given to it; bytes that complete frames have */
    const uint8_t *feed, *feed_end;
    char *in; /* of the message under way */
    size_t in_len, in_capacity;
    bool feeding;  /* the library is at work on it */
    uint8_t *rest; /* read, and not given to the library yet; NULL: nothing */
    size_t rest_at, rest_len;
};

/* engineio_ws.c */
void hz_eio_ws_handle(struct hz_http_request *request, const char *sid); /* a handshake; sid NULL: of a new session */
void hz_eio_ws_checked(struct hz_eio_call *call);                        /* front: the session may be upgraded */
void hz_eio_ws_moved(struct hz_eio_call *call);                          /* owner: the descriptor has come */
/* code 0: at once. Takes the session's line with it if it was its transport. */
void hz_eio_ws_close(struct hz_eio_ws *ws, uint16_t code, const char *reason);
void hz_eio_ws_lost(struct hz_eio_ws *ws, const char *reason); /* the other side has gone */
void hz_eio_ws_message(struct hz_eio_ws *ws);                  /* one is complete */
/* engineio_frames.c */
bool hz_eio_ws_blocked(const struct hz_eio_ws *ws);
void hz_eio_ws_flush(struct hz_eio_ws *ws);
void hz_eio_ws_resume(struct hz_eio_ws *ws); /* waits for what it should wait for, now */
/* What was read; what is too much for one slice is kept for its turn. Nothing must be kept already. */
void hz_eio_ws_feed(struct hz_eio_ws *ws, const void *data, size_t len);
void hz_eio_ws_slice(struct hz_eio_ws *ws); /* goes on with what is kept */
void hz_eio_ws_say_close(struct hz_eio_ws *ws, uint16_t code, const char *reason);
void hz_eio_ws_forget(struct hz_eio_ws *ws); /* what it holds of the library's and of a message */
void hz_eio_ws_event(uv_poll_t *poll, int status, int events);
HZ_MUST_CHECK int hz_eio_frames_init(struct hz_eio *engine);
void hz_eio_frames_fini(struct hz_eio *engine);

#endif
