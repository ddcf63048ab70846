/*
 * worker_ask.c - the manager's questions to a worker: numbered, bounded, each answered once: by the worker, by time, or by its
 * death. On the worker's shard.
 */
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_REQUESTS 1024u
#define ROUTE_MAX     4096u /* bytes; the answer names it, so it is bounded on both sides */

static void finish(struct hz_worker_request *request, const char *data, size_t len, const char *error)
{
    struct hz_worker *w = request->worker;
    struct hz_worker_request **link = &w->requests;
    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
    hz_timer_cancel(hz_shard_timers(w->yard->shard), &request->timer);
    request->fn(request->arg, data, len, error);
    free(request);
}

static void on_timeout(struct hz_timer *timer)
{
    finish(HZ_CONTAINER_OF(timer, struct hz_worker_request, timer), "", 0, "Timeout en la solicitud al worker");
}

void hz_worker_ask(struct hz_worker *w, const char *route, const char *data, size_t len, hz_worker_answer_fn *fn, void *arg)
{
    char error[HZ_UUID_TEXT + 64];
    unsigned open = 0;
    for (const struct hz_worker_request *r = w->requests; r; r = r->next)
        open++;
    snprintf(error, sizeof error, "Worker %s no está disponible", w->info.id_text);
    size_t route_len = strlen(route);
    if (w->info.status != HZ_WORKER_RUNNING || open >= OPEN_REQUESTS || route_len > ROUTE_MAX) {
        fn(arg, "", 0, w->info.status == HZ_WORKER_RUNNING && route_len > ROUTE_MAX ? "Ruta no encontrada" : error);
        return;
    }
    struct hz_worker_request *request = calloc(1, sizeof *request);
    struct hz_msg_request message = {.request = ++w->next_request, .route_len = (uint32_t)route_len, .data_len = len};
    struct hz_part parts[] = {{&message, sizeof message}, {route, route_len}, {data, len}};
    if (!request || hz_worker_send(w, HZ_MSG_REQUEST, parts, HZ_COUNT_OF(parts))) {
        free(request);
        fn(arg, "", 0, error);
        return;
    }
    w->last_activity_ns = hz_base_now_ns();
    *request = (struct hz_worker_request){.next = w->requests, .number = message.request, .fn = fn, .arg = arg, .worker = w};
    w->requests = request;
    hz_timer_after(hz_shard_timers(w->yard->shard), &request->timer, w->yard->config->request_timeout_ms, on_timeout);
}

void hz_worker_answer(struct hz_worker *w, const struct hz_msg *msg)
{
    const struct hz_msg_answer *answer = msg->body;
    struct hz_worker_request *request = w->requests;
    while (request && request->number != answer->request)
        request = request->next;
    if (!request)
        return; /* too late, or never asked */
    if (answer->success) {
        finish(request, msg->str[1].data, msg->str[1].len, NULL);
        return;
    }
    char error[ROUTE_MAX + 64];
    snprintf(error, sizeof error, "%.*s", (int)HZ_MIN(msg->str[0].len, sizeof error - 1), msg->str[0].data);
    finish(request, msg->str[1].data, msg->str[1].len, error[0] ? error : "Error en la solicitud al worker");
}

void hz_worker_fail_requests(struct hz_worker *w, const char *error)
{
    while (w->requests)
        finish(w->requests, "", 0, error); /* NOLINT(clang-analyzer-unix.Malloc): what is finished leaves the list first */
}
