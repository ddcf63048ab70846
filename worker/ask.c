/*
 * ask.c - questions to the manager. Worker, the thread that owns the asking execution; answers come in on the main thread
 * and are passed on as mail.
 */
#include "ask.h"
#include "executor_run.h"
#include "report.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

#define LANE_SHIFT 48u

struct hz_ask {
    struct hz_wait wait;
    struct hz_alarm alarm;
    struct hz_mail mail; /* asked on a blocking thread: the owner sends it */
    struct hz_ask *prev, *next;
    struct hz_call *call;
    hz_answer_fn *fn;
    void *arg;
    uint64_t request;
    struct hz_buffer data;
    size_t route_len;
    char route[];
};

static void unlink_ask(struct hz_ask *ask)
{
    struct hz_thread *thread = ask->call->owner;
    hz_alarm_stop(&thread->alarms, &ask->alarm);
    if (ask->prev)
        ask->prev->next = ask->next;
    else
        thread->asks = ask->next;
    if (ask->next)
        ask->next->prev = ask->prev;
}

static void free_ask(struct hz_ask *ask)
{
    hz_buffer_fini(&ask->data);
    free(ask);
}

static void drop_ask(struct hz_wait *wait)
{
    struct hz_ask *ask = HZ_CONTAINER_OF(wait, struct hz_ask, wait);
    unlink_ask(ask);
    free_ask(ask);
}

static void answer(struct hz_ask *ask, bool ok, const hz_value *data, hz_str message)
{
    struct hz_call *call = ask->call;
    hz_answer_fn *fn = ask->fn;
    void *arg = ask->arg;
    struct hz_wait **link = &call->waits;
    while (*link != &ask->wait)
        link = &(*link)->next;
    *link = ask->wait.next;
    unlink_ask(ask);
    free_ask(ask);
    hz_executor_answer(call, fn, arg, ok, data, message);
}

static void fail(struct hz_ask *ask, const char *message)
{
    answer(ask, false, NULL, (hz_str){message, strlen(message)});
}

static void on_timeout(struct hz_thread *thread, struct hz_alarm *alarm)
{
    (void)thread;
    fail(HZ_CONTAINER_OF(alarm, struct hz_ask, alarm), "Request timeout");
}

/* No room for the question in time, or the manager has closed: told from the loop, never from within hz_ask(). */
static void on_refused(struct hz_thread *thread, struct hz_alarm *alarm)
{
    (void)thread;
    fail(HZ_CONTAINER_OF(alarm, struct hz_ask, alarm), "No parent port available");
}

static int send_ask(struct hz_ask *ask)
{
    struct hz_call *call = ask->call;
    struct hz_thread *thread = call->owner;
    ask->request = ((uint64_t)thread->index + 1) << LANE_SHIFT | ++thread->ask_count;
    struct hz_msg_ask head = {.request = ask->request, .execution = call->execution->number, .node = call->site->index,
            .route_len = (uint32_t)ask->route_len, .data_len = ask->data.len};
    struct hz_part parts[] = {{&head, sizeof(head)}, {ask->route, ask->route_len}, {ask->data.data, ask->data.len}};
    hz_recorder_add(thread->lane->recorder, HZ_EVENT_REQUEST, thread->now_ns, head.execution, head.node, HZ_MSG_ASK, head.request);
    int sent = hz_report_send(thread, HZ_MSG_ASK, parts, HZ_COUNT_OF(parts), call->execution->deadline_ns);
    if (sent == HZ_ETOOBIG)
        return HZ_ERR_LIMIT;
    ask->alarm.fire = sent == 0 ? on_timeout : on_refused;
    uint64_t now = hz_base_now_ns();
    if (hz_alarm_set(&thread->alarms, &ask->alarm, sent == 0 ? now + HZ_ASK_TIMEOUT_MS * UINT64_C(1000000) : now) != 0)
        return HZ_ERR_NOMEM;
    hz_buffer_fini(&ask->data);
    ask->prev = NULL;
    ask->next = thread->asks;
    if (thread->asks)
        thread->asks->prev = ask;
    thread->asks = ask;
    ask->wait.next = call->waits;
    call->waits = &ask->wait;
    return HZ_OK;
}

static void run_send(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    struct hz_ask *ask = HZ_CONTAINER_OF(mail, struct hz_ask, mail);
    struct hz_call *call = ask->call;
    if (call->blocking && atomic_load_explicit(&call->closed, memory_order_relaxed) == 0) {
        mail->next = call->early; /* once its run() is back */
        call->early = mail;
        return;
    }
    if (call->state != HZ_CALL_DEFERRED)
        free_ask(ask);
    else if (send_ask(ask) != HZ_OK) {
        hz_answer_fn *fn = ask->fn;
        void *arg = ask->arg;
        free_ask(ask);
        hz_executor_answer(call, fn, arg, false, NULL, (hz_str){"Request failed", 14});
    }
    hz_call_unref(call);
}

int hz_ask_start(struct hz_call *call, const char *route, const hz_value *data, hz_answer_fn *fn, void *arg)
{
    if (atomic_load_explicit(&call->closed, memory_order_relaxed) != 0 ||
            atomic_load_explicit(&call->execution->cancel, memory_order_relaxed) != 0)
        return HZ_ERR_CLOSED;
    size_t len = strlen(route);
    struct hz_ask *ask = calloc(1, sizeof(*ask) + len + 1);
    if (!ask)
        return HZ_ERR_NOMEM;
    ask->wait.drop = drop_ask;
    ask->mail.run = run_send;
    ask->call = call;
    ask->fn = fn;
    ask->arg = arg;
    ask->route_len = len;
    memcpy(ask->route, route, len + 1);
    hz_value_print(&ask->data, data);
    int r = ask->data.failed ? HZ_ERR_NOMEM : HZ_OK;
    if (r == HZ_OK && hz_thread_self != call->owner) {
        (void)atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
        hz_thread_post(call->owner, &ask->mail);
        return HZ_OK;
    }
    if (r == HZ_OK)
        r = send_ask(ask);
    if (r != HZ_OK)
        free_ask(ask);
    return r;
}

/* ---- answers ---- */

struct response {
    struct hz_mail mail;
    uint64_t request;
    bool success;
    size_t message_len, data_len;
    char bytes[]; /* message, NUL, data */
};

static void deliver(struct hz_thread *thread, uint64_t request, bool success, const char *message, size_t message_len,
        const char *data, size_t data_len)
{
    struct hz_ask *ask = thread->asks;
    while (ask && ask->request != request)
        ask = ask->next;
    if (!ask)
        return; /* timed out, cancelled, or never asked */
    const char *error = NULL;
    const hz_value *value = data_len > 0 ? hz_value_parse(data, data_len, &error) : NULL;
    if (data_len > 0 && !value)
        success = false;
    if (!success && message_len == 0) {
        message = "Request failed";
        message_len = strlen(message);
    }
    answer(ask, success, value, (hz_str){message, message_len});
    hz_value_unref(value);
}

static void run_response(struct hz_thread *thread, struct hz_mail *mail)
{
    struct response *response = HZ_CONTAINER_OF(mail, struct response, mail);
    deliver(thread, response->request, response->success, response->bytes, response->message_len,
            response->bytes + response->message_len + 1, response->data_len);
    free(response);
}

void hz_ask_response(struct hz_worker *worker, const struct hz_msg *msg)
{
    const struct hz_msg_response *body = msg->body;
    uint64_t lane = body->request >> LANE_SHIFT;
    if (lane == 0 || lane > worker->thread_count)
        return;
    struct response *response = malloc(sizeof(*response) + msg->str[0].len + msg->str[1].len + 1);
    if (!response)
        return; /* the question times out */
    *response = (struct response){.mail = {.run = run_response}, .request = body->request, .success = body->success != 0,
            .message_len = msg->str[0].len, .data_len = msg->str[1].len};
    if (msg->str[0].len > 0)
        memcpy(response->bytes, msg->str[0].data, msg->str[0].len);
    response->bytes[msg->str[0].len] = '\0';
    if (msg->str[1].len > 0)
        memcpy(response->bytes + msg->str[0].len + 1, msg->str[1].data, msg->str[1].len);
    hz_thread_post(worker->threads[lane - 1], &response->mail);
}

void hz_ask_stop(struct hz_thread *thread)
{
    while (thread->asks)
        fail(thread->asks, "Worker stopped"); /* NOLINT(clang-analyzer-unix.Malloc): what is answered leaves the list first */
}
