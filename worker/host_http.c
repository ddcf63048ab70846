/*
 * host_http.c - triggers and the HTTP side: what listens, what fires, who answers. Worker, the thread that runs the call;
 * hz_fire() any thread.
 */
#include "host.h"
#include "report.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENDPOINT_MAX 2048u
#define HEADERS_MAX ((size_t)64 << 10)

/* ---- triggers ---- */

static hz_trigger *host_trigger(hz_call *call)
{
    if (!hz_host_is_open(call) || !call->site->trigger || call->event)
        return NULL;
    call->trigger_open = true;
    struct hz_trigger *handle = &call->site->handle;
    handle->opened = true;
    return handle;
}

struct fired {
    struct hz_mail mail;
    struct hz_worker *worker;
    uint32_t node;
    const hz_value *data;
};

static void run_fired(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    struct fired *fired = HZ_CONTAINER_OF(mail, struct fired, mail);
    struct hz_worker *worker = fired->worker;
    struct hz_uuid id = hz_uuid_new();
    struct hz_execution *execution = NULL;
    (void)atomic_fetch_sub_explicit(&worker->waiting_events, 1, memory_order_relaxed);
    if (!atomic_load_explicit(&worker->ending, memory_order_relaxed))
        execution = hz_execution_new(worker, HZ_OWN_NUMBER | ++worker->own_numbers, &id);
    if (execution && hz_worker_add_execution(worker, execution) == 0) {
        execution->start_node = fired->node;
        execution->start_event = true;
        execution->start_data = fired->data;
        fired->data = NULL;
        hz_pool_submit(worker, execution);
    } else {
        if (execution)
            hz_execution_unref(execution);
        if (!atomic_load_explicit(&worker->ending, memory_order_relaxed))
            hz_report_linef(worker->threads[0], 0, fired->node, HZ_LEVEL_ERROR, "%s: an event was lost: out of memory",
                    worker->sites[fired->node].name.data);
    }
    hz_value_unref(fired->data);
    free(fired);
}

static int host_fire(hz_trigger *trigger, const hz_value *data)
{
    if (!trigger || trigger->magic != HZ_TRIGGER_MAGIC || !trigger->opened)
        return HZ_ERR_INVALID;
    struct hz_worker *worker = trigger->worker;
    if (atomic_load_explicit(&worker->ending, memory_order_relaxed))
        return HZ_ERR_CLOSED;
    if (atomic_fetch_add_explicit(&worker->waiting_events, 1, memory_order_relaxed) >= HZ_MAX_WAITING_EVENTS ||
            atomic_load_explicit(&worker->threads[0]->queued, memory_order_relaxed) >= HZ_MAX_WAITING_EVENTS) {
        (void)atomic_fetch_sub_explicit(&worker->waiting_events, 1, memory_order_relaxed);
        return HZ_ERR_LIMIT;
    }
    struct fired *fired = malloc(sizeof(*fired));
    const hz_value *input = !fired ? NULL : data ? hz_value_ref(data) : hz_value_object();
    if (!input) {
        (void)atomic_fetch_sub_explicit(&worker->waiting_events, 1, memory_order_relaxed);
        free(fired);
        return HZ_ERR_NOMEM;
    }
    if (hz_thread_call)
        hz_call_freeze(hz_thread_call, data);
    *fired = (struct fired){.mail = {.run = run_fired}, .worker = worker, .node = trigger->node, .data = input};
    hz_thread_post(worker->threads[0], &fired->mail);
    return HZ_OK;
}

/* ---- listening ---- */

static bool good_method(const char *method, char ret_upper[16])
{
    size_t n = 0;
    for (; method[n]; n++) {
        char c = method[n] >= 'a' && method[n] <= 'z' ? (char)(method[n] - 32) : method[n];
        if (c < 'A' || c > 'Z' || n >= 15)
            return false;
        ret_upper[n] = c;
    }
    ret_upper[n] = '\0';
    return n > 0;
}

static bool good_endpoint(const char *endpoint)
{
    size_t n = 0;
    for (; endpoint[n]; n++)
        if ((unsigned char)endpoint[n] <= ' ' || endpoint[n] == 0x7f || endpoint[n] == '?' || endpoint[n] == '#')
            return false;
    return n <= ENDPOINT_MAX;
}

/* Adds `piece` with single slashes around it. */
static void add_path(char *path, size_t size, const char *piece)
{
    size_t len = strlen(path);
    for (const char *c = piece; *c && len + 2 < size; c++) {
        if (c == piece && *c != '/' && (len == 0 || path[len - 1] != '/'))
            path[len++] = '/';
        if (*c == '/' && len > 0 && path[len - 1] == '/')
            continue;
        path[len++] = *c;
    }
    path[len] = '\0';
}

static void say_webhook(hz_call *call, const char *method, const char *endpoint)
{
    struct hz_worker *worker = call->execution->worker;
    const struct hz_plan *plan = worker->plan;
    char path[ENDPOINT_MAX * 2 + 256] = "";
    if (worker->development) {
        char prefix[256];
        snprintf(prefix, sizeof(prefix), "/f_%.200s/api", hz_plan_chars(plan, plan->uid));
        add_path(path, sizeof(path), prefix);
    }
    add_path(path, sizeof(path), hz_plan_chars(plan, plan->router));
    add_path(path, sizeof(path), endpoint);
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0';
    hz_report_linef(call->owner, call->execution->number, call->site->index, HZ_LEVEL_INFO, "WEBHOOK: %s %s", method,
            *path ? path : "/");
}

static bool is_taken(struct hz_worker *worker, uint32_t node, const char *key)
{
    for (const struct hz_listened *l = worker->listened; l; l = l->next)
        if (strcmp(l->key, key) == 0)
            return l->node != node || !worker->sites[node].trigger;
    return false;
}

static int host_http_listen(hz_call *call, const char *method, const char *endpoint, uint32_t timeout_ms)
{
    char upper[16];
    if (!hz_host_is_open(call) || !call->site->trigger || !method || !endpoint || !good_method(method, upper) ||
            !good_endpoint(endpoint))
        return HZ_ERR_INVALID;
    struct hz_worker *worker = call->execution->worker;
    char path[ENDPOINT_MAX + 4] = "", key[ENDPOINT_MAX + 32];
    add_path(path, sizeof(path), endpoint);
    snprintf(key, sizeof(key), "%s %s", upper, *path ? path : "/");
    /* Triggers start on the main thread, so the list needs no lock. */
    if (hz_thread_self != worker->threads[0])
        return HZ_ERR_INVALID;
    if (is_taken(worker, call->site->index, key))
        return HZ_ERR_ALREADY;
    size_t key_bytes = strlen(key) + 1;
    struct hz_listened *listened = malloc(sizeof(*listened) + key_bytes);
    if (!listened)
        return HZ_ERR_NOMEM;
    listened->node = call->site->index;
    memcpy(listened->key, key, key_bytes);
    listened->next = worker->listened;
    worker->listened = listened;
    struct hz_msg_listen listen = {.node = call->site->index, .timeout_ms = timeout_ms, .method_len = (uint32_t)strlen(upper),
            .endpoint_len = (uint32_t)strlen(endpoint)};
    struct hz_part parts[] = {{&listen, sizeof(listen)}, {upper, listen.method_len}, {endpoint, listen.endpoint_len}};
    if (hz_report_send(worker->threads[0], HZ_MSG_LISTEN, parts, HZ_COUNT_OF(parts), 0) != 0)
        return HZ_ERR_NOMEM;
    say_webhook(call, method, endpoint);
    return HZ_OK;
}

/* ---- answering ---- */

static bool good_token(const char *name)
{
    size_t n = 0;
    for (; name[n]; n++) {
        unsigned char c = (unsigned char)name[n];
        if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c))
            return false;
    }
    return n > 0 && n <= 256;
}

static bool good_text(const char *text)
{
    for (; *text; text++)
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
            return false;
    return true;
}

static int add_headers(struct hz_buffer *buffer, const struct hz_http_answer *answer)
{
    for (size_t i = 0; i < answer->header_count; i++) {
        const struct hz_http_header *header = &answer->headers[i];
        if (!header->name || !header->value || !good_token(header->name) || !good_text(header->value))
            return HZ_ERR_INVALID;
        hz_buffer_add(buffer, header->name, strlen(header->name));
        hz_buffer_add(buffer, ": ", 2);
        hz_buffer_add(buffer, header->value, strlen(header->value));
        hz_buffer_add(buffer, "\n", 1);
        if (buffer->len > HEADERS_MAX)
            return HZ_ERR_LIMIT;
    }
    return buffer->failed ? HZ_ERR_NOMEM : HZ_OK;
}

static int host_http_answer(hz_call *call, const struct hz_http_answer *answer)
{
    if (!hz_host_is_open(call) || !answer)
        return HZ_ERR_INVALID;
    struct hz_execution *execution = call->execution;
    uint32_t http = atomic_load(&execution->http);
    if (http != HZ_HTTP_OPEN)
        return http == HZ_HTTP_NONE ? HZ_ERR_NOENT : HZ_ERR_ALREADY;
    if (answer->status < 100 || answer->status > 599 || (answer->body_len > 0 && !answer->body) ||
            (answer->content_type && !good_text(answer->content_type)))
        return HZ_ERR_INVALID;
    if (answer->body_len > HZ_MSG_MAX - HEADERS_MAX * 2)
        return HZ_ERR_LIMIT;
    struct hz_buffer headers = {0};
    int r = add_headers(&headers, answer);
    if (r == HZ_OK && !atomic_compare_exchange_strong(&execution->http, &(uint32_t){HZ_HTTP_OPEN}, HZ_HTTP_ANSWERED))
        r = HZ_ERR_ALREADY;
    if (r == HZ_OK) {
        size_t type_len = answer->content_type ? strlen(answer->content_type) : 0;
        struct hz_msg_http_answer head = {.execution = execution->number, .status = (uint32_t)answer->status,
                .type_len = (uint32_t)type_len, .headers_len = (uint32_t)headers.len, .body_len = answer->body_len};
        struct hz_part parts[] = {{&head, sizeof(head)}, {answer->content_type, type_len}, {headers.data, headers.len},
                {answer->body, answer->body_len}};
        int sent = hz_report_send(call->owner, HZ_MSG_HTTP_ANSWER, parts, HZ_COUNT_OF(parts), execution->deadline_ns);
        r = sent == 0 ? HZ_OK : sent == HZ_ETOOBIG ? HZ_ERR_LIMIT : sent == HZ_ENOMEM ? HZ_ERR_NOMEM : HZ_ERR_CLOSED;
    }
    hz_buffer_fini(&headers);
    return r;
}

void hz_host_set_http(struct hz_host *host)
{
    host->trigger = host_trigger;
    host->fire = host_fire;
    host->http_listen = host_http_listen;
    host->http_answer = host_http_answer;
}
