/*
 * fake_worker.h - a worker made of this test program itself: started with `--worker` it never reaches main() but speaks the rings'
 * language, honestly or not. What it does is the workflow's id. So a test can have a worker that lies, floods, writes garbage
 * or dies at a chosen moment. Included by one file of a test program.
 */
#ifndef HZ_TESTS_FAKE_WORKER_H
#define HZ_TESTS_FAKE_WORKER_H

#include "shm/shm.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct hz_segment fake_segment;
static struct hz_doorbell fake_bell;
static struct hz_stream_in fake_in;
static struct hz_stream_out fake_results, fake_metrics, fake_lane1;
static int fake_segment_fd;
static char fake_mode[128];
static uint32_t fake_flags;
static uint64_t fake_first; /* number of the first execution */

static bool fake_is(const char *mode)
{
    return strncmp(fake_mode, mode, strlen(mode)) == 0;
}

static void fake_send(struct hz_stream_out *out, uint32_t type, const struct hz_part *parts, size_t count)
{
    while (hz_stream_send(out, type, parts, count, true) == HZ_EBUSY)
        usleep(50);
    while (!hz_stream_flush(out))
        usleep(50);
}

static void fake_ready(void)
{
    struct hz_msg_ready m = {(uint32_t)getpid(), 1};
    struct hz_part part = {&m, sizeof m};
    fake_send(&fake_results, HZ_MSG_READY, &part, 1);
}

static void fake_finished(struct hz_stream_out *out, uint64_t number, uint32_t state, const char *error, const char *result, size_t result_len)
{
    struct hz_msg_finished m = {.execution = number, .state = state, .node = error ? 1 : HZ_NO_NODE, .node_runs = 3, .cpu_ns = 5,
            .error_len = error ? (uint32_t)strlen(error) : 0, .result_len = result_len};
    struct hz_part parts[] = {{&m, sizeof m}, {error, m.error_len}, {"", 0}, {result, result_len}};
    fake_send(out, HZ_MSG_FINISHED, parts, 4);
}

static void fake_started(uint64_t number, const struct hz_uuid *id)
{
    struct hz_msg_started m = {.execution = number, .id = *id};
    struct hz_part part = {&m, sizeof m};
    fake_send(&fake_results, HZ_MSG_STARTED, &part, 1);
}

static void fake_listen(uint32_t node, const char *method, const char *endpoint, uint32_t timeout_ms)
{
    struct hz_msg_listen m = {.node = node, .timeout_ms = timeout_ms, .method_len = (uint32_t)strlen(method),
            .endpoint_len = (uint32_t)strlen(endpoint)};
    struct hz_part parts[] = {{&m, sizeof m}, {method, m.method_len}, {endpoint, m.endpoint_len}};
    fake_send(&fake_results, HZ_MSG_LISTEN, parts, 3);
}

static void fake_in_node(uint64_t number, uint32_t node)
{
    struct hz_crash_cell *cell = fake_segment.lanes[0].crash;
    atomic_store(&cell->execution, number);
    atomic_store(&cell->node, node);
    atomic_store(&cell->entered_ns, hz_base_now_ns());
    atomic_store(&cell->phase, HZ_PHASE_NODE);
}

/* Every byte of the segment, again and again: random words, or records that look right and change while they are read. */
static void fake_scribble(bool plausible, unsigned ms)
{
    uint64_t until = hz_base_now_ns() + ms * UINT64_C(1000000), seed = (uint64_t)getpid();
    uint64_t *words = fake_segment.base;
    size_t count = fake_segment.total_bytes / 8;
    struct hz_ring *ring = &fake_segment.lanes[0].results;
    uint64_t *bytes = (uint64_t *)(void *)ring->bytes;
    while (hz_base_now_ns() < until) {
        for (int i = 0; i < 20000; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            if (!plausible) {
                __atomic_store_n(&words[seed % count], seed * 7, __ATOMIC_RELAXED);
            } else {
                size_t at = (seed >> 20) % (ring->capacity / 8);
                __atomic_store_n(&bytes[at], (uint64_t)(HZ_MSG_READY + seed % 10) << 32 | (seed >> 8) % 128, __ATOMIC_RELAXED);
                if (i % 16 == 0)
                    atomic_store_explicit(
                            &ring->shared->tail, (seed >> 30) % (ring->capacity * 4) & ~UINT64_C(7), memory_order_release);
            }
        }
        uint64_t one = 1;
        ssize_t n = write(fake_results.ringer.fd, &one, sizeof one);
        (void)n;
    }
}

static void fake_line(const char *text)
{
    struct hz_msg_line m = {.wall_ms = hz_base_wall_ms(), .level = 1, .node = HZ_NO_NODE, .console = 1, .text_len = (uint32_t)strlen(text)};
    struct hz_part parts[] = {{&m, sizeof m}, {text, m.text_len}};
    fake_send(&fake_results, HZ_MSG_LINE, parts, 2);
}

static void fake_execute(const struct hz_msg *msg)
{
    const struct hz_msg_execute *m = msg->body;
    if (!fake_first)
        fake_first = m->execution;
#ifdef FAKE_ATTACK /* attacks of another file's making: `attack-...` */
    if (fake_is("attack-"))
        FAKE_ATTACK(msg);
#endif
    if (fake_is("crash") && (!strstr(fake_mode, "second") || m->execution != fake_first)) {
        struct hz_crash_cell *cell = fake_segment.lanes[0].crash;
        fake_in_node(m->execution, 0);
        cell->signal = SIGSEGV;
        atomic_store(&cell->stage, 1);
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    if (fake_is("leave")) {
        fake_in_node(m->execution, 0);
        _exit(3);
    }
    if (fake_is("orphan")) {
        if (fork() == 0) {
            pause();
            _exit(0);
        }
        fake_in_node(m->execution, 0);
        raise(SIGKILL);
    }
    if (fake_is("again") && m->attempt < 3)
        raise(SIGKILL); /* between nodes: nobody is accused */
    if (fake_is("stuck") || fake_is("crash") || (fake_is("hang") && m->execution == fake_first)) {
        fake_in_node(m->execution, 0);
        return; /* never ends */
    }
    if (fake_is("steal")) { /* its end is in another lane's ring than its beginning, and comes first */
        struct hz_uuid id = hz_uuid_new();
        fake_finished(&fake_lane1, (UINT64_C(1) << 63) | 77, HZ_EXEC_SUCCESS, NULL, "7", 1);
        usleep(20000);
        fake_started((UINT64_C(1) << 63) | 77, &id);
    }
    if (fake_is("lies-number"))
        fake_finished(&fake_results, m->execution + 1000, HZ_EXEC_SUCCESS, NULL, "", 0);
    if (fake_is("lies-state"))
        fake_finished(&fake_results, m->execution, HZ_EXEC_RUNNING, NULL, "", 0);
    if (fake_is("lies-id"))
        fake_started((UINT64_C(1) << 63) | 1, &m->id);
    if (fake_is("garbage"))
        fake_scribble(false, 3000);
    if (fake_is("plausible"))
        fake_scribble(true, 3000);
    if (fake_is("truncate")) {
        int err = ftruncate(fake_segment_fd, 0);
        (void)err;
        uint64_t one = 1;
        ssize_t n = write(fake_results.ringer.fd, &one, sizeof one);
        (void)n;
        pause();
    }
    bool bad = msg->str[0].len == 5 && memcmp(msg->str[0].data, "\"bad\"", 5) == 0;
    if (fake_is("fail") || (fake_is("picky") && bad))
        fake_finished(&fake_results, m->execution, HZ_EXEC_FAILED, "no puedo", "", 0);
    else
        fake_finished(&fake_results, m->execution, HZ_EXEC_SUCCESS, NULL, msg->str[0].data, msg->str[0].len);
    if (!(fake_flags & HZ_WORKER_RESIDENT) && !fake_is("linger"))
        _exit(fake_is("fail") ? 1 : 0);
}

static void fake_http(const struct hz_msg *msg)
{
    const struct hz_msg_http_request *m = msg->body;
    static const char body[] = "hola", headers[] = "X-Good: 1\nX Bad: 2\nX-Evil: a\rb\n";
    struct hz_msg_http_answer a = {.execution = m->execution, .status = 201, .type_len = 10, .headers_len = sizeof headers - 1,
            .body_len = sizeof body - 1};
    struct hz_part parts[] = {{&a, sizeof a}, {"text/plain", 10}, {headers, sizeof headers - 1}, {body, sizeof body - 1}};
    if (msg->str[2].len == 4 && memcmp(msg->str[2].data, "slow", 4) == 0)
        return; /* never answers, never ends */
    if (msg->str[2].len == 5 && memcmp(msg->str[2].data, "crash", 5) == 0) {
        fake_in_node(m->execution, 0);
        raise(SIGKILL);
    }
    if (msg->str[2].len == 4 && memcmp(msg->str[2].data, "fail", 4) == 0) {
        fake_finished(&fake_results, m->execution, HZ_EXEC_FAILED, "no puedo", "", 0);
        return;
    }
    fake_send(&fake_results, HZ_MSG_HTTP_ANSWER, parts, 4);
    fake_finished(&fake_results, m->execution, HZ_EXEC_SUCCESS, NULL, "", 0);
}

static void fake_ask(const char *route, const char *data)
{
    struct hz_msg_ask m = {.request = 42, .node = HZ_NO_NODE, .route_len = (uint32_t)strlen(route), .data_len = strlen(data)};
    struct hz_part parts[] = {{&m, sizeof m}, {route, m.route_len}, {data, m.data_len}};
    fake_send(&fake_results, HZ_MSG_ASK, parts, 3);
}

static void fake_answer(const struct hz_msg *msg)
{
    const struct hz_msg_request *m = msg->body;
    bool good = msg->str[0].len == 4 && memcmp(msg->str[0].data, "echo", 4) == 0;
    struct hz_msg_answer a = {.request = m->request, .success = good, .message_len = good ? 0 : 2, .data_len = good ? msg->str[1].len : 0};
    struct hz_part parts[] = {{&a, sizeof a}, {"no", a.message_len}, {msg->str[1].data, a.data_len}};
    if (msg->str[0].len == 6 && memcmp(msg->str[0].data, "silent", 6) == 0)
        return;
    fake_send(&fake_results, HZ_MSG_ANSWER, parts, 3);
}

static void fake_plan(void)
{
    if (fake_is("exit7"))
        _exit(7);
    if (fake_is("silent"))
        pause();
    if (fake_is("fatal")) {
        struct hz_msg_fatal m = {.message_len = 5};
        struct hz_part parts[] = {{&m, sizeof m}, {"nadie", 5}};
        fake_send(&fake_results, HZ_MSG_FATAL, parts, 2);
        _exit(1);
    }
    if (fake_is("hook")) {
        fake_listen(0, "post", "/saludo/:quien", 300);
        if (strstr(fake_mode, "bad"))
            fake_listen(4000, "get", "/x", 1);
    }
    fake_ready();
    for (int i = 0; i < 50 && fake_is("begins"); i++) { /* and never ends */
        struct hz_uuid id = hz_uuid_new();
        fake_started((UINT64_C(1) << 63) | (uint64_t)(i + 1), &id);
    }
    for (int i = 0; i < 50 && fake_is("moans"); i++) {
        struct hz_msg_fatal m = {.message_len = 5};
        struct hz_part parts[] = {{&m, sizeof m}, {"nadie", 5}};
        fake_send(&fake_results, HZ_MSG_FATAL, parts, 2);
    }
    if (fake_is("moans") || fake_is("begins"))
        fake_line("said");
    if (fake_is("hook") || fake_is("trigger")) {
        struct hz_uuid id = hz_uuid_new();
        fake_started((UINT64_C(1) << 63) | 1, &id);
        fake_finished(&fake_results, (UINT64_C(1) << 63) | 1, HZ_EXEC_SUCCESS, NULL, "{}", 2);
    }
    if (fake_is("ask"))
        fake_ask("nodes:list", "{\"a\":1}");
    if (fake_is("dies"))
        raise(SIGKILL);
    if (fake_is("tells")) {
        static const char data[] = "{\"level\":\"warn\",\"message\":\"cuidado\"}";
        struct hz_msg_tell m = {.wall_ms = 1, .node = HZ_NO_NODE, .route_len = 10, .data_len = sizeof data - 1};
        struct hz_part parts[] = {{&m, sizeof m}, {"worker:log", 10}, {data, sizeof data - 1}};
        fake_send(&fake_metrics, HZ_MSG_TELL, parts, 3);
        fake_line("{\"n\":1}");
    }
    if (fake_is("stats")) {
        struct hz_stats stats;
        memset(&stats, 0, sizeof stats);
        stats.v[HZ_STAT_rss_bytes] = 1000;
        stats.v[HZ_STAT_node_runs] = 7;
        stats.v[HZ_STAT_published_ns] = 1;
        hz_stats_publish(fake_segment.lanes[0].stats, &stats);
    }
}

static void fake_flood(void)
{
    struct hz_msg_log m = {.text_len = 64, .level = 1};
    char text[64];
    memset(text, 'l', sizeof text);
    struct hz_part parts[] = {{&m, sizeof m}, {text, sizeof text}};
    for (int i = 0; i < 200; i++)
        (void)!hz_stream_try(&fake_metrics, HZ_MSG_LOG, parts, 2, true);
}

static void fake_command(const struct hz_msg *msg)
{
    switch ((int)msg->type) {
    case HZ_MSG_ASSIGN: {
        size_t len = HZ_MIN(msg->str[1].len, sizeof fake_mode - 1);
        memcpy(fake_mode, msg->str[1].data, len);
        fake_flags = ((const struct hz_msg_assign *)msg->body)->flags;
        break;
    }
    case HZ_MSG_PLAN:
        fake_plan();
        break;
    case HZ_MSG_EXECUTE:
        fake_execute(msg);
        break;
    case HZ_MSG_HTTP_REQUEST:
        fake_http(msg);
        break;
    case HZ_MSG_CANCEL: {
        const struct hz_msg_cancel *m = msg->body;
        if (fake_is("stuck-polite"))
            fake_finished(&fake_results, m->execution, m->state, NULL, "", 0);
        break;
    }
    case HZ_MSG_REQUEST:
        fake_answer(msg);
        break;
    case HZ_MSG_RESPONSE: { /* shown as a line, so that the test sees it */
        const struct hz_msg_response *m = msg->body;
        char text[512];
        snprintf(text, sizeof text, "%llu %u %.*s %.*s", (unsigned long long)m->request, m->success, (int)msg->str[0].len, msg->str[0].data,
                (int)HZ_MIN(msg->str[1].len, (size_t)200), msg->str[1].data);
        fake_line(text);
        break;
    }
    case HZ_MSG_HTTP_GONE:
        fake_line("gone");
        break;
    case HZ_MSG_SHUTDOWN:
        if (!fake_is("stubborn"))
            _exit(0);
        break;
    default:
        break;
    }
}

static void fake_receive(int socket_fd)
{
    struct hz_spawn_request request;
    char control[256];
    struct iovec part = {&request, sizeof request};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof request)
        _exit(91);
    int fds[3];
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fds);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != (pid_t)request.manager_pid || hz_segment_attach(&fake_segment, fds[0], &request.geometry))
        _exit(92);
    fake_segment_fd = fds[0];
    hz_doorbell_attach(&fake_bell, &fake_segment.header->worker_sleep, fds[1]);
    hz_stream_out_init(&fake_results, &fake_segment.lanes[0].results, &fake_segment.header->manager_sleep, fds[2], 1 << 20);
    hz_stream_out_init(&fake_metrics, &fake_segment.lanes[0].metrics, &fake_segment.header->manager_sleep, fds[2], 0);
    if (request.geometry.lanes > 1)
        hz_stream_out_init(&fake_lane1, &fake_segment.lanes[1].results, &fake_segment.header->manager_sleep, fds[2], 1 << 20);
    if (hz_stream_in_init(&fake_in, &fake_segment.commands, 'C', false))
        _exit(93);
}

static void fake_main(int socket_fd)
{
    fake_receive(socket_fd);
    for (;;) {
        struct hz_msg msg;
        hz_stream_in_begin(&fake_in, 0, 0);
        while (!fake_is("deaf") && hz_stream_in_next(&fake_in, &msg) == HZ_RING_OK)
            fake_command(&msg);
        hz_stream_in_end(&fake_in);
        if (fake_is("deaf"))
            pause();
        if (fake_is("flood"))
            fake_flood();
        hz_doorbell_sleep(&fake_bell);
        bool more = fake_is("flood") || hz_ring_has_data(&fake_segment.commands);
        int rung = more ? 0 : hz_doorbell_wait(&fake_bell, 1000);
        hz_doorbell_awake(&fake_bell, rung > 0);
    }
}

/* ---- a zygote of the same kind; what it does is the name of the nodes' folder ---- */

static void fake_reply(uint64_t request, int32_t pid)
{
    struct hz_spawn_reply reply = {.magic = HZ_SPAWN_MAGIC, .version = HZ_LAYOUT_VERSION, .request = request, .pid = pid};
    (void)!send(3, &reply, sizeof reply, 0);
}

/* Takes a request and its descriptors, makes a child of our parent, and answers as the mode says. */
static void fake_zygote_turn(const char *mode)
{
    struct hz_spawn_request request;
    char control[256];
    struct iovec part = {&request, sizeof request};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(3, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof request)
        _exit(0);
    int fds[3];
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fds);
    if (strstr(mode, "dies"))
        _exit(1);
    if (strstr(mode, "mute"))
        pause();
    if (strstr(mode, "mixes"))
        fake_reply(request.request + 7, 1);
    if (strstr(mode, "lies")) {
        fake_reply(request.request, strstr(mode, "init") ? 1 : 3999999);
    } else {
        pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT, 0, 0, 0, 0);
        if (pid == 0) {
            int pair[2];
            if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
                _exit(94);
            struct iovec again = {&request, sizeof request};
            struct msghdr forward = {.msg_iov = &again, .msg_iovlen = 1, .msg_control = control, .msg_controllen = message.msg_controllen};
            memcpy(CMSG_DATA(CMSG_FIRSTHDR(&forward)), fds, sizeof fds);
            (void)!sendmsg(pair[0], &forward, 0);
            fake_main(pair[1]);
        }
        if (strstr(mode, "orphans"))
            _exit(1); /* the child is there, nobody heard its pid */
        fake_reply(request.request, pid > 0 ? pid : -errno);
    }
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void fake_zygote(const char *mode)
{
    struct hz_spawn_hello hello = {.magic = HZ_SPAWN_MAGIC, .version = HZ_LAYOUT_VERSION, .pid = (uint32_t)getpid(), .nodes = 0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strstr(mode, "unborn"))
        _exit(1);
    if (strstr(mode, "foreign"))
        hello.version++;
    (void)!send(3, &hello, sizeof hello, 0);
    for (;;)
        fake_zygote_turn(mode);
}

__attribute__((constructor(65535))) static void fake_start(int argc, char **argv)
{
    const char *nodes = argc > 1 ? argv[argc - 1] : "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--worker") == 0)
            fake_main(3);
        if (strcmp(argv[i], "--zygote") == 0)
            fake_zygote(nodes);
    }
}

#endif
