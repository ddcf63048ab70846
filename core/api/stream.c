/*
 * stream.c - GET /api/v1/events: what is kept of the last days as a list, or, for who accepts text/event-stream, what happens from now on. A
 * tick's events are encoded once for all; each shard has a list of its own clients.
 */
#include "stream.h"

#include "events.h"
#include "internal.h"
#include "rest.h"
#include "resources.h"

#include "core/access.h"
#include "core/http/http.h"
#include "core/shard.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
    struct client *next, *prev;
    struct hz_http_stream *stream;
    struct hz_caller caller;
    uint64_t last; /* the newest sequence it has, or that was before it came */
    char *kinds; /* ",crashed,stopped,"; NULL all */
};

/* Each shard's thread has its own; only it looks there. */
static _Thread_local struct client *clients;

static void gone(void *arg)
{
    struct client *c = arg;
    *(c->prev ? &c->prev->next : &clients) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    hz_events_followers(-1);
    free(c->kinds);
    free(c);
}

/* The events of these kinds out of a batch. NULL: none, or no memory. */
static struct hz_http_piece *chosen(const char *lines, size_t len, const char *kinds)
{
    char *text = malloc(len + 1), *to = text;
    const char *end = lines + len;
    while (text && lines < end) {
        const char *stop = memmem(lines, (size_t)(end - lines), "\n\n", 2), *kind = memmem(lines, (size_t)(end - lines), "\nevent: ", 8);
        size_t size = stop ? (size_t)(stop + 2 - lines) : (size_t)(end - lines);
        char wanted[64];
        if (kind && kind < lines + size) {
            const char *from = kind + 8, *behind = memchr(from, '\n', (size_t)(lines + size - from)); /* no NUL ends a batch */
            size_t kind_len = behind ? (size_t)(behind - from) : 0;
            snprintf(wanted, sizeof wanted, ",%.*s,", (int)HZ_MIN(kind_len, (size_t)60), from);
            if (strstr(kinds, wanted)) {
                memcpy(to, lines, size);
                to += size;
            }
        }
        lines += size;
    }
    struct hz_http_piece *piece = text && to > text ? hz_http_piece_new(text, (size_t)(to - text)) : NULL;
    free(text);
    return piece;
}

static void write_to(struct client *c, struct hz_http_piece *piece)
{
    if (piece && !hz_http_stream_write(c->stream, piece))
        hz_http_stream_end(c->stream); /* it does not read: it comes again and asks for what it missed */
}

struct delivery {
    struct hz_mail mail;
    struct hz_http_piece *piece;
    uint64_t to;
};

static void run_delivery(struct hz_mail *mail)
{
    struct delivery *d = HZ_CONTAINER_OF(mail, struct delivery, mail);
    for (struct client *c = clients, *next; c; c = next) {
        next = c->next;
        if (d->to <= c->last)
            continue;
        c->last = d->to;
        if (c->caller.kind != HZ_CALLER_UNIX && !hz_access_refresh(&c->caller)) {
            hz_http_stream_end(c->stream);
            continue;
        }
        struct hz_http_piece *own = c->kinds ? chosen(d->piece->data, d->piece->len, c->kinds) : NULL;
        write_to(c, c->kinds ? own : d->piece);
        hz_http_piece_unref(own);
    }
    hz_http_piece_unref(d->piece);
    free(d);
}

static void tell(const struct hz_events_batch *batch)
{
    struct hz_http_piece *piece = hz_http_piece_new(batch->lines, batch->lines_len);
    for (uint32_t i = 0; piece && i < hz_shard_count(); i++) {
        struct delivery *d = calloc(1, sizeof *d);
        if (!d)
            break; /* who misses it sees the gap in the numbers */
        d->mail.run = run_delivery;
        d->piece = hz_http_piece_ref(piece);
        d->to = batch->to;
        hz_shard_post(hz_shard_at(i), &d->mail);
    }
    hz_http_piece_unref(piece);
}

static void start(struct hz_http_request *request)
{
    const char *after = hz_http_header(request, "Last-Event-ID"), *kinds = hz_http_query(request, "kind");
    struct client *c = calloc(1, sizeof *c);
    if (!after)
        after = hz_http_query(request, "after");
    if (!c || (kinds && asprintf(&c->kinds, ",%s,", kinds) < 0)) {
        free(c);
        hz_http_problem(request, 500, hz_err_text(HZ_ENOMEM));
        return;
    }
    c->caller = *hz_rest_caller(request);
    c->last = hz_events_last();
    static const char headers[] = "Cache-Control: no-store\nX-Accel-Buffering: no\n";
    c->stream = hz_http_stream_open(request,
            &(struct hz_http_response){.status = 200, .type = "text/event-stream", .headers = headers, .headers_len = sizeof headers - 1}, gone, c);
    if (!c->stream) {
        free(c->kinds);
        free(c);
        return;
    }
    c->next = clients;
    if (clients)
        clients->prev = c;
    clients = c;
    hz_events_followers(1);
    static const char hello[] = "retry: 1000\n\n", reset[] = "event: reset\ndata: {}\n\n";
    struct hz_http_piece *first = hz_http_piece_new(hello, sizeof hello - 1), *missed = NULL;
    if (after) {
        struct hz_events_batch batch;
        bool known = hz_events_replay(strtoull(after, NULL, 10), &batch);
        c->last = batch.to ? batch.to : c->last;
        missed = !known ? hz_http_piece_new(reset, sizeof reset - 1)
                 : c->kinds ? chosen(batch.lines, batch.lines_len, c->kinds)
                            : hz_http_piece_new(batch.lines, batch.lines_len);
        hz_events_replay_free(&batch);
    } else {
        c->last = 0; /* what the next tick tells */
    }
    write_to(c, first);
    write_to(c, missed);
    hz_http_piece_unref(first);
    hz_http_piece_unref(missed);
}

static void events(struct hz_http_request *request, void *arg)
{
    const char *accept = hz_http_header(request, "Accept");
    if (accept && strstr(accept, "text/event-stream") && strcmp(hz_http_method(request), "GET") == 0)
        start(request);
    else
        hz_resources_handle(request, arg);
}

int hz_stream_init(const struct hz_resource *list)
{
    hz_events_listen(tell);
    return hz_http_route_for("GET", "/api/v1/events", "events:list", events, (void *)(uintptr_t)list);
}
