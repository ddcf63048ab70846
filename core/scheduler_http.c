/*
 * scheduler_http.c - webhook requests: a ticket on the shard that has the connection, an execution on the shard that has the worker,
 * mail between the two when they differ. The ticket's timer is the caller's patience; whatever comes after it is dropped.
 *
 * A ticket is answered exactly once: by taking it out of the table. Everything that arrives for a number not in the table is late.
 */
#include "executions.h"

#include "logs.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* tickets are owned by their table, mail by the shard it is posted to */

#define BUCKETS 1024u
#define PATIENCE_MS 120000u    /* of a webhook that names none */
#define WORKER_OPEN 65536u     /* requests one worker may have at once, beyond its backlog's bytes */
#define KEEP_INPUT ((size_t)16 << 10) /* of a request's description in its row */

struct hz_ticket {
    struct hz_ticket *next;
    struct hz_desk *desk;
    uint64_t number;
    struct hz_shard *shard; /* of the worker */
    hz_http_reply_fn *fn;
    void *arg;
    struct hz_timer timer;
};

struct request { /* to the worker's shard */
    struct hz_mail mail;
    struct hz_shard *from;
    uint64_t number;
    struct hz_uuid worker;
    uint32_t node;
    const char *meta, *type, *body;
    size_t meta_len, type_len, body_len;
    char copy[];
};

struct reply { /* back */
    struct hz_mail mail;
    uint64_t number;
    struct hz_http_reply reply;
    char copy[];
};

struct gone {
    struct hz_mail mail;
    uint64_t number;
    bool timed_out;
};

/* ---- tickets ---- */

static struct hz_ticket **bucket_of(struct hz_desk *desk, uint64_t number)
{
    return &desk->tickets[(number * UINT64_C(0x9e3779b97f4a7c15)) >> 54]; /* ten bits */
}
_Static_assert(BUCKETS == 1u << 10, "ten bits");

static struct hz_ticket *take_ticket(struct hz_desk *desk, uint64_t number)
{
    if (!desk || !desk->tickets)
        return NULL;
    for (struct hz_ticket **link = bucket_of(desk, number); *link; link = &(*link)->next) {
        struct hz_ticket *ticket = *link;
        if (ticket->number != number)
            continue;
        *link = ticket->next;
        desk->ticket_count--;
        hz_timer_cancel(hz_shard_timers(desk->shard), &ticket->timer);
        return ticket;
    }
    return NULL;
}

static void answer_ticket(struct hz_desk *desk, uint64_t number, const struct hz_http_reply *reply)
{
    struct hz_ticket *ticket = take_ticket(desk, number);
    if (!ticket)
        return;
    ticket->fn(ticket->arg, reply);
    free(ticket);
}

static void run_reply(struct hz_mail *mail)
{
    struct reply *r = HZ_CONTAINER_OF(mail, struct reply, mail);
    answer_ticket(hz_desk_here(), r->number, &r->reply);
    free(r);
}

/* To the ticket's shard. later: by mail even if it is this one, because the caller is still on the stack. */
static void send_reply(struct hz_shard *to, uint64_t number, const struct hz_http_reply *reply, bool later)
{
    if (to == hz_shard_self() && !later) {
        answer_ticket(hz_desk_here(), number, reply);
        return;
    }
    struct reply *r = malloc(sizeof *r + reply->type_len + reply->headers_len + reply->body_len);
    if (!r) {
        HZ_LOG(ERROR, "out of memory: an answer of %zu bytes was lost, its caller waits for the time-out", reply->body_len);
        return;
    }
    r->mail.run = run_reply;
    r->number = number;
    r->reply = *reply;
    char *at = r->copy;
    r->reply.type = at;
    if (reply->type_len)
        memcpy(at, reply->type, reply->type_len);
    at += reply->type_len;
    r->reply.headers = at;
    if (reply->headers_len)
        memcpy(at, reply->headers, reply->headers_len);
    at += reply->headers_len;
    r->reply.body = at;
    if (reply->body_len)
        memcpy(at, reply->body, reply->body_len);
    hz_shard_post(to, &r->mail);
}

static void send_text(struct hz_shard *to, uint64_t number, uint32_t status, const char *text, uint32_t retry_after_s, bool later)
{
    static const char type[] = "text/html; charset=utf-8";
    struct hz_http_reply reply = {.status = status, .type = type, .type_len = sizeof type - 1, .headers = "", .body = text,
            .body_len = strlen(text), .retry_after_s = retry_after_s};
    send_reply(to, number, &reply, later);
}

/* ---- on the worker's shard ---- */

static void take_request(const struct request *r)
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_worker *w = desk ? hz_worker_find(desk->yard, &r->worker) : NULL;
    struct hz_execution *e;
    char *copy;
    if (!w || !w->workflow || !w->ready || w->stopping || w->draining || w->info.in_flight >= WORKER_OPEN || desk->yard->ending ||
            hz_execution_store_full(desk)) {
        send_text(r->from, r->number, 503, "Service Unavailable", 1, true);
        return;
    }
    struct hz_workflow *workflow = hz_workflow_ref(w->workflow);
    if (hz_execution_new(desk, workflow, NULL, r->number, w, false, &e)) {
        hz_workflow_unref(&workflow);
        send_text(r->from, r->number, 503, "Service Unavailable", 1, true);
        return;
    }
    snprintf(e->trigger, sizeof e->trigger, "webhook");
    e->activation = w->execution;
    e->http.shard = r->from;
    e->http.ticket = r->number;
    if (workflow->durability != HZ_DURABILITY_NONE && r->meta_len <= KEEP_INPUT && (copy = malloc(r->meta_len + 1)) != NULL) {
        memcpy(copy, r->meta, r->meta_len);
        copy[r->meta_len] = 0;
        hz_execution_set_input(e, copy, r->meta_len);
    }
    hz_dispatch_attach(e, w);
    e->bytes_in = r->meta_len + r->type_len + r->body_len;
    if (workflow->timeout_ms) {
        e->deadline_ns = hz_base_now_ns() + (uint64_t)workflow->timeout_ms * 1000000u;
        hz_dispatch_deadline(e);
    }
    struct hz_msg_http_request message = {.execution = e->number, .id = e->id, .deadline_ns = e->deadline_ns, .node = r->node,
            .meta_len = (uint32_t)r->meta_len, .type_len = (uint32_t)r->type_len, .body_len = r->body_len};
    struct hz_part parts[] = {{&message, sizeof message}, {r->meta, r->meta_len}, {r->type, r->type_len}, {r->body, r->body_len}};
    int err = hz_worker_send(w, HZ_MSG_HTTP_REQUEST, parts, HZ_COUNT_OF(parts));
    if (!err)
        return;
    hz_execution_drop(e); /* it never was: no row */
    send_text(r->from, r->number, err == HZ_ETOOBIG ? 413 : 503, err == HZ_ETOOBIG ? "Payload Too Large" : "Service Unavailable",
            err == HZ_ETOOBIG ? 0 : 1, true);
}

static void run_request(struct hz_mail *mail)
{
    struct request *r = HZ_CONTAINER_OF(mail, struct request, mail);
    take_request(r);
    free(r);
}

static void take_gone(uint64_t number, bool timed_out)
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = desk ? hz_execution_by_ticket(desk, number) : NULL;
    if (!e || e->http.answered)
        return;
    e->http.answered = true; /* nobody listens any more; the branch goes on */
    if (timed_out && e->worker)
        hz_logs_say(&e->worker->info, hz_base_wall_ms(), HZ_LOG_WARN, false, &e->id, "Solicitud Timed Out", 19);
    struct hz_msg_http_gone message = {.execution = e->number};
    struct hz_part part = {&message, sizeof message};
    if (e->worker && hz_worker_send(e->worker, HZ_MSG_HTTP_GONE, &part, 1))
        HZ_LOG(DEBUG, "worker %s: that a client left finds no room", e->worker->info.id_text);
}

static void run_gone(struct hz_mail *mail)
{
    struct gone *g = HZ_CONTAINER_OF(mail, struct gone, mail);
    take_gone(g->number, g->timed_out);
    free(g);
}

static bool token_char(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Copies the lines that are headers: a name of token characters, a colon, a value without control characters. What a worker
 * says must not end a header or begin another. Returns the bytes kept. */
static size_t clean_headers(const char *text, size_t len, char *to)
{
    size_t kept = 0;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line = end ? (size_t)(end - (text + at)) : len - at, name = 0;
        while (name < line && token_char(text[at + name]))
            name++;
        bool good = name > 0 && name < line && text[at + name] == ':';
        for (size_t i = name; good && i < line; i++)
            good = ((unsigned char)text[at + i] >= 0x20 || text[at + i] == '\t') && text[at + i] != 0x7f;
        if (good) {
            memcpy(to + kept, text + at, line);
            kept += line;
            to[kept++] = '\n';
        }
        at += line + 1;
    }
    return kept;
}

/* The content type is one header value: the same rule. */
static bool clean_type(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x7f)
            return false;
    return true;
}

void hz_http_answer(struct hz_worker *w, const struct hz_msg *msg)
{
    const struct hz_msg_http_answer *answer = msg->body;
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = desk ? hz_execution_by_number(desk, answer->execution, w) : NULL;
    if (!e || !e->http.shard || e->http.answered)
        return; /* the caller has gone, or it is over */
    e->http.answered = true;
    e->bytes_out += msg->str[0].len + msg->str[1].len + msg->str[2].len;
    char *headers = msg->str[1].len ? malloc(msg->str[1].len + 1) : NULL;
    struct hz_http_reply reply = {.status = answer->status >= 200 && answer->status <= 599 ? answer->status : 500, .type = msg->str[0].data,
            .type_len = clean_type(msg->str[0].data, msg->str[0].len) ? msg->str[0].len : 0, .headers = headers ? headers : "",
            .body = msg->str[2].data, .body_len = msg->str[2].len};
    if (headers)
        reply.headers_len = clean_headers(msg->str[1].data, msg->str[1].len, headers);
    send_reply(e->http.shard, e->http.ticket, &reply, false);
    free(headers);
}

void hz_http_ended(struct hz_execution *e, enum hz_exec_state state, bool lost)
{
    if (e->http.answered)
        return;
    if (state == HZ_EXEC_SUCCESS)
        return; /* nothing answered it: the caller's patience decides */
    e->http.answered = true;
    if (lost)
        send_text(e->http.shard, e->http.ticket, 503, "Service Unavailable", 1, false);
    else
        send_text(e->http.shard, e->http.ticket, 500, "Error en respuesta ", 0, false);
}

void hz_http_restarting(struct hz_execution *e, const char *text)
{
    static const char type[] = "application/json";
    struct hz_http_reply reply = {.status = 504,
            .type = type,
            .type_len = sizeof type - 1,
            .headers = "",
            .body = text,
            .body_len = strlen(text)};
    e->http.answered = true;
    send_reply(e->http.shard, e->http.ticket, &reply, false);
}

/* ---- on the connection's shard ---- */

static void tell_gone(struct hz_shard *shard, uint64_t number, bool timed_out)
{
    if (shard == hz_shard_self()) {
        take_gone(number, timed_out);
        return;
    }
    struct gone *g = calloc(1, sizeof *g);
    if (!g)
        return; /* its answer will find no ticket: nothing worse */
    *g = (struct gone){.mail = {.run = run_gone}, .number = number, .timed_out = timed_out};
    hz_shard_post(shard, &g->mail);
}

static void on_patience(struct hz_timer *timer)
{
    struct hz_ticket *ticket = HZ_CONTAINER_OF(timer, struct hz_ticket, timer);
    uint64_t number = ticket->number;
    tell_gone(ticket->shard, number, true);
    send_text(ticket->desk->shard, number, 506, "Excedido el tiempo de respuesta", 0, false);
}

static struct hz_ticket *new_ticket(struct hz_desk *desk, const struct hz_http_call *call, hz_http_reply_fn *fn, void *arg)
{
    if (!desk->tickets)
        desk->tickets = calloc(BUCKETS, sizeof(struct hz_ticket *));
    struct hz_ticket *ticket = desk->tickets ? calloc(1, sizeof *ticket) : NULL;
    if (!ticket)
        return NULL;
    ticket->desk = desk;
    ticket->number = HZ_NUMBER_TICKET | (uint64_t)(hz_shard_index(desk->shard) & 0xff) << 48 | ++desk->next_ticket;
    ticket->shard = hz_shard_at(call->match.shard);
    ticket->fn = fn;
    ticket->arg = arg;
    struct hz_ticket **bucket = bucket_of(desk, ticket->number);
    ticket->next = *bucket;
    *bucket = ticket;
    desk->ticket_count++;
    hz_timer_after(hz_shard_timers(desk->shard), &ticket->timer, call->match.timeout_ms ? call->match.timeout_ms : PATIENCE_MS, on_patience);
    return ticket;
}

void hz_scheduler_http(const struct hz_http_call *call, hz_http_reply_fn *fn, void *arg, uint64_t *ret_ticket)
{
    static const struct hz_http_reply none = {.status = 503, .type = "text/plain", .type_len = 10, .headers = "",
            .body = "Service Unavailable", .body_len = 19, .retry_after_s = 1};
    struct hz_desk *desk = hz_desk_here();
    *ret_ticket = 0;
    struct hz_ticket *ticket = desk && !desk->ending ? new_ticket(desk, call, fn, arg) : NULL;
    if (!ticket) {
        fn(arg, &none);
        return;
    }
    *ret_ticket = ticket->number;
    struct request here = {.from = desk->shard, .number = ticket->number, .worker = call->match.worker, .node = call->match.node,
            .meta = call->meta, .type = call->type, .body = call->body, .meta_len = call->meta_len, .type_len = call->type_len,
            .body_len = call->body_len};
    if (ticket->shard == desk->shard) {
        take_request(&here);
        return;
    }
    struct request *r = malloc(sizeof *r + call->meta_len + call->type_len + call->body_len);
    if (!r) {
        send_reply(desk->shard, ticket->number, &none, true);
        return;
    }
    *r = here;
    r->mail.run = run_request;
    char *at = r->copy;
    const struct {
        const char **text;
        size_t len;
    } texts[] = {{&r->meta, r->meta_len}, {&r->type, r->type_len}, {&r->body, r->body_len}};
    for (size_t i = 0; i < HZ_COUNT_OF(texts); i++) {
        if (texts[i].len)
            memcpy(at, *texts[i].text, texts[i].len);
        *texts[i].text = at;
        at += texts[i].len;
    }
    hz_shard_post(ticket->shard, &r->mail);
}

void hz_scheduler_http_gone(uint64_t number)
{
    struct hz_ticket *ticket = take_ticket(hz_desk_here(), number);
    if (!ticket)
        return;
    tell_gone(ticket->shard, number, false);
    free(ticket);
}

void hz_scheduler_http_end(struct hz_desk *desk)
{
    for (size_t i = 0; desk->tickets && i < BUCKETS; i++)
        while (desk->tickets[i])
            send_text(desk->shard, desk->tickets[i]->number, 503, "Service Unavailable", 1, false);
}
