/*
 * stream.c - answers that go on: pieces are written when there are some, shared between all who get them, and the connection is suspended
 * in between. Shard's thread; only the count of a piece's owners is touched by others.
 */
#include "internal.h"

#include "shm/err.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUE_MOST = 1024 };
#define BYTES_MOST ((size_t)4 << 20)

struct hz_http_stream {
    struct hz_http_request *request; /* NULL once it is over */
    struct hz_http_piece *pieces[QUEUE_MOST]; /* ring */
    unsigned from, count;
    size_t sent, waiting; /* of the first piece; of all */
    bool ended, lost;     /* lost: the client has gone, what waited was given back */
    void (*gone)(void *arg);
    void (*drained)(void *arg);
    void *arg;
};

struct hz_http_piece *hz_http_piece_new(const void *data, size_t len)
{
    struct hz_http_piece *piece = malloc(sizeof *piece + len);
    if (!piece)
        return NULL;
    atomic_init(&piece->owners, 1);
    piece->len = len;
    memcpy(piece->data, data, len);
    return piece;
}

struct hz_http_piece *hz_http_piece_ref(struct hz_http_piece *piece)
{
    atomic_fetch_add_explicit(&piece->owners, 1, memory_order_relaxed); /* the caller has one */
    return piece;
}

void hz_http_piece_unref(struct hz_http_piece *piece)
{
    if (piece && atomic_fetch_sub_explicit(&piece->owners, 1, memory_order_acq_rel) == 1)
        free(piece);
}

static void wake(struct hz_http_stream *stream)
{
    if (stream->request)
        hz_respond_answered(stream->request);
}

/* The library wants more. */
static ssize_t read_some(void *cls, uint64_t pos, char *to, size_t max)
{
    (void)pos;
    struct hz_http_stream *stream = cls;
    struct hz_http_request *request = stream->request;
    if (stream->lost) /* not asked again: the library lets go of the connection, and tells so */
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (stream->count == 0 && stream->drained && request && !stream->ended)
        stream->drained(stream->arg); /* may write, or end it */
    if (stream->count == 0) {
        if (stream->ended || !request || !request->server || request->server->ending)
            return MHD_CONTENT_READER_END_OF_STREAM;
        request->suspended = true;
        MHD_suspend_connection(request->mhd);
        return 0;
    }
    size_t done = 0;
    while (stream->count > 0 && done < max) {
        struct hz_http_piece *piece = stream->pieces[stream->from];
        size_t part = HZ_MIN(piece->len - stream->sent, max - done);
        memcpy(to + done, piece->data + stream->sent, part);
        done += part;
        stream->sent += part;
        stream->waiting -= part;
        if (stream->sent == piece->len) {
            hz_http_piece_unref(piece);
            stream->from = (stream->from + 1) % QUEUE_MOST;
            stream->count--;
            stream->sent = 0;
        }
    }
    return (ssize_t)done;
}

static void drop_pieces(struct hz_http_stream *stream)
{
    for (; stream->count > 0; stream->count--, stream->from = (stream->from + 1) % QUEUE_MOST)
        hz_http_piece_unref(stream->pieces[stream->from]);
    stream->sent = stream->waiting = 0;
}

/* The library and we have given it back. */
static void freed(void *cls)
{
    struct hz_http_stream *stream = cls;
    drop_pieces(stream);
    hz_stream_detach(stream);
    free(stream);
}

void hz_stream_lose(struct hz_http_stream *stream)
{
    stream->lost = stream->ended = true;
    drop_pieces(stream);
}

void hz_stream_detach(struct hz_http_stream *stream)
{
    if (stream->request)
        stream->request->stream = NULL;
    stream->request = NULL;
    if (stream->gone)
        stream->gone(stream->arg);
    stream->gone = NULL;
}

struct hz_http_stream *hz_http_stream_open(
        struct hz_http_request *request, const struct hz_http_response *head, void (*gone)(void *arg), void *arg)
{
    HZ_CHECK_OBJ(request, HZ_HTTP_REQUEST_MAGIC);
    if (request->state == HZ_HTTP_LOST) {
        hz_request_free(request);
        return NULL;
    }
    HZ_ASSERT(request->state == HZ_HTTP_PENDING);
    struct hz_http_stream *stream = calloc(1, sizeof *stream);
    struct MHD_Response *response =
            stream ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 8192, read_some, stream, freed) : NULL;
    if (!response) {
        free(stream);
        request->state = HZ_HTTP_FAILED;
        hz_respond_answered(request);
        return NULL;
    }
    stream->request = request;
    stream->gone = gone;
    stream->arg = arg;
    request->stream = stream;
    hz_respond_head(request, response, head);
    request->state = HZ_HTTP_ANSWERED;
    hz_respond_answered(request);
    return stream;
}

bool hz_http_stream_write(struct hz_http_stream *stream, struct hz_http_piece *piece)
{
    if (!stream->request || stream->ended || piece->len == 0)
        return true;
    /* One may always wait, however large it is. */
    if (stream->count == QUEUE_MOST || (stream->count > 0 && stream->waiting + piece->len > BYTES_MOST))
        return false;
    stream->pieces[(stream->from + stream->count++) % QUEUE_MOST] = hz_http_piece_ref(piece);
    stream->waiting += piece->len;
    wake(stream);
    return true;
}

void hz_http_stream_on_drained(struct hz_http_stream *stream, void (*drained)(void *arg))
{
    stream->drained = drained;
}

void hz_http_stream_end(struct hz_http_stream *stream)
{
    stream->ended = true;
    wake(stream);
}
