/*
 * stream.c - GET /api/v1/events: what is kept of the last days as a list, or, for who accepts text/event-stream, what happens from now on. A
 * tick's events are encoded once for all; each shard has a list of its own clients.
 */
#include "stream.h"

#include "events.h"
#include "internal.h"
#include "listeners.h"
#include "rest.h"
#include "resources.h"

#include "core/access.h"
#include "core/http/http.h"
#include "core/shard.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MOST 1024u /* numbers that may pass until a client that chose kinds is told where it is */
#define BEAT_MS    15000u /* proxies cut what is silent for a minute, and a client that vanished is noticed by what it does not take */

struct client {
    struct client *next, *prev;
    struct hz_http_stream *stream;
    struct hz_caller caller;
    uint64_t last;  /* the newest sequence it has, or that was before it came */
    uint64_t shown; /* of those it chose by kind: the last number it was told */
    bool behind;    /* it takes up what it missed, part by part; deltas pass it by until then */
    char *kinds;    /* ",crashed,stopped,"; NULL all */
};

/* Each shard's thread has its own; only it looks there. */
static _Thread_local struct client *clients;
static _Thread_local struct hz_timer beat;

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

/* One event as text, [event, event + len): is it for this client? */
static bool is_chosen(const struct client *c, const char *event, size_t len)
{
    char wanted[64];
    const char *kind = memmem(event, len, "\nevent: ", 8);
    if (!kind || strtoull(event + 4, NULL, 10) <= c->last) /* "id: 17\nevent: ..." */
        return false;
    kind += 8;
    const char *end = memchr(kind, '\n', (size_t)(event + len - kind));
    size_t kind_len = end ? (size_t)(end - kind) : 0;
    if (!c->kinds || (kind_len == 5 && memcmp(kind, "reset", 5) == 0))
        return true;
    snprintf(wanted, sizeof wanted, ",%.*s,", (int)HZ_MIN(kind_len, (size_t)60), kind);
    return strstr(c->kinds, wanted) != NULL;
}

/* What of a batch is for this client, and the number it ends with: who comes again with it is not sent through all that others saw.
 * NULL: no memory. */
static struct hz_http_piece *chosen(const struct client *c, const char *lines, size_t len, uint64_t last, bool *ret_some)
{
    char *text = malloc(len + 64), *to = text;
    const char *end = lines + len;
    while (text && lines < end) {
        const char *stop = memmem(lines, (size_t)(end - lines), "\n\n", 2);
        size_t size = stop ? (size_t)(stop + 2 - lines) : (size_t)(end - lines);
        if (is_chosen(c, lines, size)) {
            memcpy(to, lines, size);
            to += size;
        }
        lines += size;
    }
    *ret_some = to > text;
    if (text && c->kinds)
        to += sprintf(to, "id: %llu\n\n", (unsigned long long)last);
    struct hz_http_piece *piece = text ? hz_http_piece_new(text, (size_t)(to - text)) : NULL;
    free(text);
    return piece;
}

/* piece: NULL no memory. */
static void write_to(struct client *c, struct hz_http_piece *piece)
{
    if (!piece || !hz_http_stream_write(c->stream, piece))
        hz_http_stream_end(c->stream); /* it comes again and asks for what it missed */
}

static void write_own(struct client *c, struct hz_http_piece *piece)
{
    write_to(c, piece);
    hz_http_piece_unref(piece);
}

static void write_text(struct client *c, const char *text)
{
    write_own(c, hz_http_piece_new(text, strlen(text)));
}

/* ---- what happens now ---- */
struct delivery {
    struct hz_mail mail;
    struct hz_http_piece *piece;
    uint64_t from, to;
};

static bool may_hear(struct client *c)
{
    if (hz_access_holds(&c->caller, "events:list"))
        return true;
    hz_http_stream_end(c->stream);
    return false;
}

static bool check_all(void)
{
    for (struct client *c = clients, *next; c; c = next) {
        next = c->next;
        (void)may_hear(c);
    }
    return clients != NULL;
}

static void run_delivery(struct hz_mail *mail)
{
    struct delivery *d = HZ_CONTAINER_OF(mail, struct delivery, mail);
    for (struct client *c = clients, *next; c; c = next) {
        next = c->next;
        if (c->behind || d->to <= c->last || !may_hear(c))
            continue;
        if (!c->kinds && c->last < d->from) {
            write_to(c, d->piece);
        } else {
            bool some;
            struct hz_http_piece *own = chosen(c, d->piece->data, d->piece->len, d->to, &some);
            if (!own || some || d->to - c->shown >= SHOWN_MOST) {
                write_to(c, own);
                c->shown = d->to;
            }
            hz_http_piece_unref(own);
        }
        c->last = d->to;
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
        d->from = batch->from;
        d->to = batch->to;
        hz_shard_post(hz_shard_at(i), &d->mail);
    }
    hz_http_piece_unref(piece);
}

static void on_beat(struct hz_timer *timer)
{
    for (struct client *c = clients, *next; c; c = next) {
        next = c->next;
        if (!may_hear(c) || c->behind)
            continue;
        char text[64] = ":\n\n";
        if (c->kinds && c->shown < c->last)
            snprintf(text, sizeof text, "id: %llu\n\n", (unsigned long long)c->last);
        write_text(c, text);
        c->shown = c->last;
    }
    if (clients)
        hz_timer_after(hz_shard_timers(hz_shard_self()), timer, BEAT_MS, on_beat);
}

/* ---- what was missed ---- */

/* The next part, each time the client has taken the one before. */
static void go_on(void *arg)
{
    struct client *c = arg;
    struct hz_events_batch part;
    if (!c->behind)
        return;
    if (hz_events_replay(c->last, HZ_EVENTS_PART, &part)) {
        bool some;
        c->behind = part.more;
        if (part.from <= part.to)
            write_own(c, chosen(c, part.lines, part.lines_len, part.to, &some));
    } else {
        char reset[96];
        snprintf(reset, sizeof reset, "id: %llu\nevent: reset\ndata: {}\n\n", (unsigned long long)part.to);
        c->behind = false;
        write_text(c, reset);
    }
    c->last = c->shown = part.to;
    hz_events_replay_free(&part);
    hz_http_stream_on_drained(c->stream, c->behind ? go_on : NULL);
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
    hz_events_followers(1); /* before anything is asked: no tick in between finds nobody */
    c->behind = after != NULL;
    c->last = c->shown = after ? strtoull(after, NULL, 10) : hz_events_last();
    static const char headers[] = "Cache-Control: no-store\nX-Accel-Buffering: no\n";
    c->stream = hz_http_stream_open(request,
            &(struct hz_http_response){.status = 200, .type = "text/event-stream", .headers = headers, .headers_len = sizeof headers - 1}, gone, c);
    if (!c->stream) {
        hz_events_followers(-1);
        free(c->kinds);
        free(c);
        return;
    }
    c->next = clients;
    if (clients)
        clients->prev = c;
    clients = c;
    hz_listeners_begin();
    if (!hz_timer_armed(&beat))
        hz_timer_after(hz_shard_timers(hz_shard_self()), &beat, BEAT_MS, on_beat);
    write_text(c, "retry: 1000\n\n");
    go_on(c);
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
    hz_listeners_check_by(check_all);
    return hz_http_route_for("GET", "/api/v1/events", "events:list", events, (void *)(uintptr_t)list);
}
