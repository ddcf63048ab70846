/*
 * webhook.c - HTTP request in, flow, HTTP answer out: against the same HTTP library that answers a constant, driven by the same
 * client in the same run.
 */
#include "load.h"
#include "manager.h"

#include "core/manager.h"
#include "core/scheduler.h"
#include "core/shard.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define CONNECTIONS 32u
#define SECONDS 1.0

static const char five_request[] = "POST /f_bench/api/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"n\":1}";
static const char forty_request[] =
        "POST /f_large/api/pedido HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"n\":0,\"clase\":\"a\"}";
/* workflow_init, then webhook_handler and four more up to the answer: five node runs a request. */
static const char five_flow[] =
        "{\"info\":{\"uid\":\"bench\",\"name\":\"bench\"},\"properties\":{\"basic\":{\"router\":\"\"},\"horizon\":{\"durability\":\"none\",\"threads\":1}},"
        "\"version\":\"0.0.1\",\"nodes\":{\"i\":{\"type\":\"workflow_init\",\"properties\":{}},"
        "\"w\":{\"type\":\"webhook_handler\",\"name\":\"w\",\"properties\":{\"endpoint\":{\"value\":\"/x\"},\"type\":{\"value\":\"post\"}}},"
        "\"a\":{\"type\":\"data_transformer\",\"name\":\"a\",\"properties\":{\"mapping\":{\"value\":\"{\\\"n\\\": {{input.data.body.n + 1}}}\"}}},"
        "\"b\":{\"type\":\"data_transformer\",\"name\":\"b\",\"properties\":{\"mapping\":{\"value\":\"{\\\"n\\\": {{input.data.n + 1}}}\"}}},"
        "\"c\":{\"type\":\"data_transformer\",\"name\":\"c\",\"properties\":{\"mapping\":{\"value\":\"{\\\"n\\\": {{input.data.n + 1}}}\"}}},"
        "\"r\":{\"type\":\"http_response\",\"name\":\"r\",\"properties\":{\"response\":{\"value\":\"{{input.data}}\"}}}},"
        "\"connections\":["
        "{\"idNodeOrigin\":\"i\",\"connectorOriginName\":\"init\",\"idNodeDestiny\":\"w\",\"connectorDestinyName\":\"input\"},"
        "{\"idNodeOrigin\":\"w\",\"connectorOriginName\":\"response\",\"idNodeDestiny\":\"a\",\"connectorDestinyName\":\"input\"},"
        "{\"idNodeOrigin\":\"a\",\"connectorOriginName\":\"output\",\"idNodeDestiny\":\"b\",\"connectorDestinyName\":\"input\"},"
        "{\"idNodeOrigin\":\"b\",\"connectorOriginName\":\"output\",\"idNodeDestiny\":\"c\",\"connectorDestinyName\":\"input\"},"
        "{\"idNodeOrigin\":\"c\",\"connectorOriginName\":\"output\",\"idNodeDestiny\":\"r\",\"connectorDestinyName\":\"input\"}]}";

/* ---- the reference: a constant answer ---- */

static enum MHD_Result answer_constant(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
        const char *upload, size_t *upload_size, void **state)
{
    static int seen;
    (void)url;
    (void)method;
    (void)version;
    (void)upload;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_size) {
        *upload_size = 0;
        return MHD_YES;
    }
    return MHD_queue_response(connection, 200, cls);
}

struct reference {
    uint16_t port; /* the child writes it once it listens */
    bool stop;
};

/* The library as our server drives it: no thread of its own, its epoll descriptor watched by a libuv loop, an idle handle while it
 * says that it has more to do. */
struct constant {
    struct MHD_Daemon *daemon;
    struct reference *reference;
    uv_poll_t poll;
    uv_idle_t idle;
    uv_timer_t timer;
};

static void run_library(struct constant *constant);

static void on_idle(uv_idle_t *idle)
{
    run_library(idle->data);
}

static void run_library(struct constant *constant)
{
    MHD_UNSIGNED_LONG_LONG timeout;
    MHD_run(constant->daemon);
    if (MHD_get_timeout(constant->daemon, &timeout) == MHD_YES && timeout == 0)
        uv_idle_start(&constant->idle, on_idle);
    else
        uv_idle_stop(&constant->idle);
}

static void on_epoll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run_library(poll->data);
}

static void look_for_stop(uv_timer_t *timer)
{
    const struct constant *constant = timer->data;
    if (__atomic_load_n(&constant->reference->stop, __ATOMIC_ACQUIRE))
        uv_stop(timer->loop);
}

static void serve_constant(void *arg)
{
    static struct constant constant;
    uv_loop_t *loop = uv_default_loop();
    char body[] = "{\"n\":4}";
    struct MHD_Response *response = MHD_create_response_from_buffer(sizeof body - 1, body, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json; charset=utf-8");
    constant.reference = arg;
    constant.daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer_constant, response, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = constant.daemon ? MHD_get_daemon_info(constant.daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info || uv_poll_init(loop, &constant.poll, info->epoll_fd))
        exit(1);
    constant.poll.data = constant.idle.data = constant.timer.data = &constant;
    uv_idle_init(loop, &constant.idle);
    uv_timer_init(loop, &constant.timer);
    uv_poll_start(&constant.poll, UV_READABLE, on_epoll);
    uv_timer_start(&constant.timer, look_for_stop, 10, 10);
    info = MHD_get_daemon_info(constant.daemon, MHD_DAEMON_INFO_BIND_PORT);
    if (!info)
        exit(1);
    __atomic_store_n(&constant.reference->port, info->port, __ATOMIC_RELEASE);
    uv_run(loop, UV_RUN_DEFAULT);
    MHD_stop_daemon(constant.daemon);
    MHD_destroy_response(response);
    exit(0);
}

static double constant_rate(void)
{
    struct reference *reference = hz_bench_shared(sizeof *reference);
    int pid = hz_bench_child(serve_constant, reference, -1);
    while (!__atomic_load_n(&reference->port, __ATOMIC_ACQUIRE))
        usleep(1000);
    struct hz_bench_load load = {reference->port, CONNECTIONS, SECONDS, five_request, "{\"n\":4}"};
    double rate = hz_bench_load_run(&load);
    __atomic_store_n(&reference->stop, true, __ATOMIC_RELEASE);
    return hz_bench_wait(pid) ? rate : 0;
}

/* ---- ours ---- */

struct result {
    double rate;
    bool forty;
};

struct activation {
    struct hz_mail mail;
    struct hz_workflow *workflow;
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool done, ready;
};

static void wake(struct activation *a, bool ready)
{
    pthread_mutex_lock(&a->lock);
    a->done = true;
    a->ready = ready;
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
}

static void accepted(void *arg, const struct hz_uuid *execution, const struct hz_worker_info *worker, const char *error, uint32_t retry_after_s)
{
    (void)execution;
    (void)worker;
    (void)retry_after_s;
    if (error) {
        (void)hz_bench_skip("%s", error);
        wake(arg, false);
    }
}

static void ready(void *arg, const struct hz_store_execution *row)
{
    wake(arg, row->state == HZ_EXEC_RUNNING);
}

static void activate(struct hz_mail *mail)
{
    struct activation *a = HZ_CONTAINER_OF(mail, struct activation, mail);
    struct hz_submit submit = {.workflow = hz_workflow_ref(a->workflow), .data = "{}", .data_len = 2, .trigger = "bench"};
    hz_scheduler_submit(&submit, accepted, ready, a);
}

static char *forty_flow(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/flows/%s/flow.json", HZ_BENCH_SOURCE_DIR, name);
    FILE *f = fopen(path, "re");
    char *text = calloc(1, 1 << 20);
    size_t n = f && text ? fread(text, 1, (1 << 20) - 1, f) : 0;
    if (f)
        fclose(f);
    if (n == 0)
        (void)hz_bench_skip("cannot read %s", path);
    return text;
}

static bool drive(const struct hz_config *config, void *arg)
{
    struct result *result = arg;
    char *text = result->forty ? forty_flow("large") : strdup(five_flow);
    struct activation a = {.mail.run = activate, .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER,
            .workflow = hz_bench_workflow(result->forty ? "large" : "bench", text)};
    (void)config;
    free(text);
    if (!a.workflow)
        return false;
    hz_shard_post(hz_shard_at(0), &a.mail);
    pthread_mutex_lock(&a.lock);
    while (!a.done)
        pthread_cond_wait(&a.more, &a.lock);
    pthread_mutex_unlock(&a.lock);
    usleep(200000); /* the webhook is listed */
    struct hz_bench_load load = {(uint16_t)hz_manager_port(), CONNECTIONS, SECONDS, result->forty ? forty_request : five_request,
            result->forty ? "{\"n\":15,\"clase\":\"a\"}" : "{\"n\":4}"};
    result->rate = a.ready ? hz_bench_load_run(&load) : 0;
    hz_workflow_unref(&a.workflow);
    return result->rate > 0;
}

static bool our_rate(bool forty, double *ret_rate)
{
    struct hz_bench_manager options = {.http = true, .drive = drive};
    struct result *result = hz_bench_shared(sizeof *result);
    result->forty = forty;
    bool good = hz_bench_manager_run(&options, result);
    *ret_rate = result->rate;
    return good;
}

static bool webhook(struct hz_bench_pair *ret_pair)
{
    ret_pair->reference = constant_rate();
    return our_rate(false, &ret_pair->ours) && ret_pair->reference > 0;
}

static bool webhook_40(struct hz_bench_pair *ret_pair)
{
    return our_rate(true, &ret_pair->ours);
}

int main(int argc, char **argv)
{
    static const struct hz_bench_row rows[] = {
            {"webhook", "requests/s", true, 0.7, HZ_BENCH_RATIO, "libmicrohttpd in a libuv loop, constant answer", webhook, 0, false},
            {"webhook_40", "requests/s", true, 25000, HZ_BENCH_OURS, "none", webhook_40, 0, false},
    };
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
