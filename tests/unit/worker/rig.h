/*
 * rig.h - a manager of a few lines for the tests of worker/: makes a segment, starts a worker (on a thread of this program,
 * or as a process through a zygote), writes its command ring, collects what comes back. Static functions, one user each.
 */
#ifndef HZ_TESTS_RIG_H
#define HZ_TESTS_RIG_H

#include "core/flow/flow.h"
#include "shm/shm.h"
#include "tests/harness.h"
#include "worker/describe.h"
#include "worker/memory.h"
#include "worker/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* messages are owned by the rig until rig_close() */

#if HZ_TEST_ASAN
/* The leak checker dies reading the thread-local storage of the script engine's threads; it is told to leave that out. */
const char *__lsan_default_options(void);
__attribute__((used, visibility("default"))) const char *__lsan_default_options(void)
{
    return "use_tls=0";
}
#endif

#define RIG_FN static __attribute__((unused))
#define RIG_MESSAGES 65536

struct rig_message {
    uint32_t type, lane;
    void *bytes; /* the fixed struct and its strings, copied */
    size_t len;
    struct hz_msg msg; /* points into bytes */
    bool taken;
};

struct rig {
    struct hz_segment segment;
    char name[HZ_SEGMENT_NAME];
    struct hz_uuid id;
    int segment_fd;
    int worker_bell[2], manager_bell[2]; /* where each of them waits, and where the other rings */
    struct hz_doorbell bell;
    struct hz_stream_out commands;
    struct hz_stream_in results[HZ_MAX_LANES], metrics[HZ_MAX_LANES];
    struct rig_message *messages;
    size_t count;
    uint64_t numbers;
    bool deaf; /* does not read the result rings */
    /* on a thread */
    pthread_t thread;
    bool threaded, joined;
    struct hz_spawn_request request;
    struct hz_limits limits;
    int exit_code;
    /* as a process */
    pid_t pid, zygote;
    int socket;
};

/* ---- flows ---- */

/* nodes: the inside of the object `nodes`. wires: "a.out>b.in ..." separated by blanks. Static text. */
RIG_FN const char *rig_flow(const char *nodes, const char *wires)
{
    static char *text;
    size_t size = strlen(nodes) + strlen(wires) * 12 + 4096;
    free(text);
    text = malloc(size);
    size_t at = (size_t)snprintf(text, size,
            "{\"info\":{\"uid\":\"test\",\"name\":\"Test\"},\"properties\":{\"basic\":{\"router\":\"/v1\"}},\"version\":\"0.0.1\","
            "\"environment\":[\"COLOR\",\"MISSING\"],\"nodes\":{%s},\"connections\":[",
            nodes);
    const char *comma = "";
    while (*wires) {
        char from[128], out[128], to[128], in[128];
        int n = 0;
        if (sscanf(wires, " %127[^.].%127[^>]>%127[^.].%127[^ ]%n", from, out, to, in, &n) != 4)
            HZ_FAIL("bad wire at %s", wires);
        at += (size_t)snprintf(text + at, size - at,
                "%s{\"idNodeOrigin\":\"%s\",\"connectorOriginName\":\"%s\",\"idNodeDestiny\":\"%s\",\"connectorDestinyName\":\"%s\"}",
                comma, from, out, to, in);
        comma = ",";
        wires += n;
        wires += strspn(wires, " ");
    }
    snprintf(text + at, size - at, "]}");
    return text;
}

/* All nodes that are open in this process, as catalogue. */
RIG_FN json_t *rig_catalog(void)
{
    json_t *types = json_object();
    for (const struct hz_loaded *l = hz_loader_first(); l; l = l->next)
        json_object_set_new(types, l->desc->type, hz_describe_node(l, true));
    return types;
}

RIG_FN struct hz_plan *rig_plan(const char *flow_text)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    json_t *catalog = rig_catalog();
    int r = hz_flow_parse(flow_text, strlen(flow_text), &report, &flow);
    if (r == 0)
        r = hz_flow_compile(flow, catalog, false, &report, &plan);
    for (size_t i = 0; i < report.count && r != 0; i++)
        fprintf(stderr, "%s\n", report.findings[i].message);
    hz_flow_free(&flow);
    hz_flow_report_fini(&report);
    json_decref(catalog);
    HZ_ASSERT_EQ(r, 0);
    HZ_ASSERT_NOT_NULL(plan);
    return plan;
}

/* Built-in nodes of the build tree, loaded into this process. */
RIG_FN void rig_builtins(void)
{
    static bool done;
    if (!done)
        HZ_ASSERT_GT(hz_loader_preload(hz_test_path("%s/lib/horizon/nodes", hz_test_build_dir()), true), 0);
    done = true;
}

/* ---- both ways ---- */

RIG_FN void rig_open(struct rig *rig, const struct hz_geometry *geometry)
{
    memset(rig, 0, sizeof(*rig));
    rig->id = hz_uuid_new();
    rig->messages = calloc(RIG_MESSAGES, sizeof(*rig->messages));
    hz_segment_name(rig->name, "7e570000", &rig->id);
    HZ_ASSERT_OK(hz_segment_create(&rig->segment, "7e570000", &rig->id, geometry, &rig->segment_fd));
    HZ_ASSERT_OK(hz_doorbell_pair(&rig->worker_bell[0], &rig->worker_bell[1]));
    HZ_ASSERT_OK(hz_doorbell_pair(&rig->manager_bell[0], &rig->manager_bell[1]));
    hz_doorbell_attach(&rig->bell, &rig->segment.header->manager_sleep, rig->manager_bell[0]);
    hz_stream_out_init(&rig->commands, &rig->segment.commands, &rig->segment.header->worker_sleep, rig->worker_bell[1],
            (size_t)256 << 20);
    for (uint32_t i = 0; i < geometry->lanes; i++) {
        HZ_ASSERT_OK(hz_stream_in_init(&rig->results[i], &rig->segment.lanes[i].results, 'R', true));
        HZ_ASSERT_OK(hz_stream_in_init(&rig->metrics[i], &rig->segment.lanes[i].metrics, 'M', true));
    }
}

RIG_FN void rig_send(struct rig *rig, uint32_t type, const struct hz_part *parts, size_t count)
{
    HZ_ASSERT_OK(hz_stream_send(&rig->commands, type, parts, count, true));
}

RIG_FN void rig_collect(struct rig *rig, struct hz_stream_in *in, uint32_t lane)
{
    struct hz_msg msg;
    hz_stream_in_begin(in, 0, 0);
    for (;;) {
        enum hz_ring_result result = hz_stream_in_next(in, &msg);
        if (result == HZ_RING_POISON)
            HZ_FAIL("lane %u is poisoned: %s", lane, in->poison_reason);
        if (result != HZ_RING_OK)
            break;
        if (rig->count == RIG_MESSAGES)
            continue;
        struct rig_message *m = &rig->messages[rig->count++];
        size_t body = hz_msg_body_bytes(msg.type), len = body;
        for (size_t i = 0; i < HZ_MSG_STRINGS; i++)
            len += msg.str[i].len;
        m->type = msg.type;
        m->lane = lane;
        m->len = len;
        m->bytes = calloc(1, len + 1);
        HZ_ASSERT_NOT_NULL(m->bytes);
        memcpy(m->bytes, msg.body, body);
        size_t at = body;
        m->msg = msg;
        m->msg.body = m->bytes;
        for (size_t i = 0; i < HZ_MSG_STRINGS; i++) {
            if (msg.str[i].len > 0)
                memcpy((char *)m->bytes + at, msg.str[i].data, msg.str[i].len);
            m->msg.str[i].data = (char *)m->bytes + at;
            at += msg.str[i].len;
        }
    }
    hz_stream_in_end(in);
}

/* Reads all rings once; flushes what the command ring had no room for. */
RIG_FN void rig_poll(struct rig *rig)
{
    (void)hz_stream_flush(&rig->commands);
    for (uint32_t i = 0; i < rig->segment.geometry.lanes && !rig->deaf; i++) {
        rig_collect(rig, &rig->results[i], i);
        rig_collect(rig, &rig->metrics[i], i);
    }
}

RIG_FN struct rig_message *rig_find(struct rig *rig, uint32_t type)
{
    for (size_t i = 0; i < rig->count; i++)
        if (rig->messages[i].type == type && !rig->messages[i].taken)
            return &rig->messages[i];
    return NULL;
}

RIG_FN size_t rig_count(struct rig *rig, uint32_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < rig->count; i++)
        n += rig->messages[i].type == type;
    return n;
}

/* The next message of this type that nobody has taken; NULL after timeout_ms. */
RIG_FN const struct hz_msg *rig_try(struct rig *rig, uint32_t type, int timeout_ms)
{
    uint64_t until = hz_test_now_ms() + (uint64_t)timeout_ms;
    for (;;) {
        rig_poll(rig);
        struct rig_message *m = rig_find(rig, type);
        if (m) {
            m->taken = true;
            return &m->msg;
        }
        if (hz_test_now_ms() >= until)
            return NULL;
        hz_doorbell_sleep(&rig->bell);
        bool any = false;
        for (uint32_t i = 0; i < rig->segment.geometry.lanes; i++)
            any = any || hz_ring_has_data(rig->results[i].ring) || hz_ring_has_data(rig->metrics[i].ring);
        int rung = any && !rig->deaf ? 0 : hz_doorbell_wait(&rig->bell, 5);
        hz_doorbell_awake(&rig->bell, rung > 0);
    }
}

RIG_FN void rig_dump(struct rig *rig)
{
    for (size_t i = 0; i < rig->count && i < 50; i++) {
        const struct hz_msg *m = &rig->messages[i].msg;
        fprintf(stderr, "  lane %u %s", rig->messages[i].lane, hz_msg_name(m->type));
        for (size_t s = 0; s < HZ_MSG_STRINGS; s++)
            fprintf(stderr, " [%.*s]", (int)HZ_MIN(m->str[s].len, (size_t)120), m->str[s].data ? m->str[s].data : "");
        fprintf(stderr, "\n");
    }
}

RIG_FN const struct hz_msg *rig_wait(struct rig *rig, uint32_t type)
{
    const struct hz_msg *msg = rig_try(rig, type, HZ_TEST_ASAN || HZ_TEST_TSAN ? 40000 : 15000);
    if (!msg) {
        rig_dump(rig);
        HZ_FAIL("no %s came", hz_msg_name(type));
    }
    return msg;
}

RIG_FN const char *rig_text(const struct hz_msg *msg, size_t i)
{
    static char texts[4][8192];
    static unsigned next;
    char *text = texts[next++ % 4];
    size_t len = HZ_MIN(msg->str[i].len, sizeof(texts[0]) - 1);
    if (len > 0)
        memcpy(text, msg->str[i].data, len);
    text[len] = '\0';
    return text;
}

/* All lines and log records so far, one a line. */
RIG_FN const char *rig_lines(struct rig *rig)
{
    static char text[262144];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < rig->count; i++) {
        const struct hz_msg *m = &rig->messages[i].msg;
        if (m->type == HZ_MSG_LINE || m->type == HZ_MSG_LOG)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s\n", (int)HZ_MIN(m->str[0].len, (size_t)4000), m->str[0].data);
        if (at >= sizeof(text))
            break;
    }
    return text;
}

/* The console lines so far, JSON texts separated by blanks. */
RIG_FN const char *rig_console(struct rig *rig)
{
    static char text[1 << 20];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < rig->count && at < sizeof(text); i++) {
        const struct hz_msg *m = &rig->messages[i].msg;
        if (m->type == HZ_MSG_LINE && ((const struct hz_msg_line *)m->body)->console)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s", at ? " " : "", (int)m->str[0].len, m->str[0].data);
    }
    return text;
}

RIG_FN void rig_assign(struct rig *rig, uint32_t flags, const struct hz_plan *plan)
{
    static const char env[] = "COLOR\0red";
    char id[HZ_UUID_TEXT];
    hz_uuid_format(&rig->id, id);
    struct hz_msg_assign assign = {.worker_id = rig->id, .flags = flags, .port = 3001, .server_port = 3000, .worker_id_len = 36,
            .workflow_id_len = 4, .env_len = sizeof(env), .start_wall_ms = hz_base_wall_ms()};
    struct hz_part parts[] = {{&assign, sizeof(assign)}, {id, 36}, {"test", 4}, {env, sizeof(env)}};
    rig_send(rig, HZ_MSG_ASSIGN, parts, 4);
    struct hz_msg_plan head = {.plan_len = plan->size};
    struct hz_part plan_parts[] = {{&head, sizeof(head)}, {plan, plan->size}};
    rig_send(rig, HZ_MSG_PLAN, plan_parts, 2);
}

/* Starts an execution; returns its number. */
RIG_FN uint64_t rig_execute_at(struct rig *rig, uint32_t node, const char *data, uint64_t deadline_ns)
{
    struct hz_msg_execute execute = {.execution = ++rig->numbers, .id = hz_uuid_new(), .deadline_ns = deadline_ns, .node = node,
            .data_len = (uint32_t)strlen(data)};
    struct hz_part parts[] = {{&execute, sizeof(execute)}, {data, strlen(data)}};
    rig_send(rig, HZ_MSG_EXECUTE, parts, 2);
    return rig->numbers;
}

RIG_FN uint64_t rig_execute(struct rig *rig, const char *data)
{
    return rig_execute_at(rig, HZ_NO_NODE, data, 0);
}

RIG_FN void rig_cancel(struct rig *rig, uint64_t number, const char *reason)
{
    struct hz_msg_cancel cancel = {.execution = number, .state = HZ_EXEC_CANCELLED, .reason_len = (uint32_t)strlen(reason)};
    struct hz_part parts[] = {{&cancel, sizeof(cancel)}, {reason, strlen(reason)}};
    rig_send(rig, HZ_MSG_CANCEL, parts, 2);
}

RIG_FN void rig_request(struct rig *rig, uint64_t id, const char *route, const char *data)
{
    struct hz_msg_request request = {.request = id, .route_len = (uint32_t)strlen(route), .data_len = strlen(data)};
    struct hz_part parts[] = {{&request, sizeof(request)}, {route, strlen(route)}, {data, strlen(data)}};
    rig_send(rig, HZ_MSG_REQUEST, parts, 3);
}

RIG_FN void rig_respond(struct rig *rig, uint64_t id, bool ok, const char *message, const char *data)
{
    struct hz_msg_response response = {.request = id, .success = ok, .message_len = (uint32_t)strlen(message), .data_len = strlen(data)};
    struct hz_part parts[] = {{&response, sizeof(response)}, {message, strlen(message)}, {data, strlen(data)}};
    rig_send(rig, HZ_MSG_RESPONSE, parts, 3);
}

RIG_FN uint64_t rig_http(struct rig *rig, uint32_t node, const char *meta, const char *type, const char *body)
{
    struct hz_msg_http_request request = {.execution = ++rig->numbers, .id = hz_uuid_new(), .node = node,
            .meta_len = (uint32_t)strlen(meta), .type_len = (uint32_t)strlen(type), .body_len = strlen(body)};
    struct hz_part parts[] = {{&request, sizeof(request)}, {meta, strlen(meta)}, {type, strlen(type)}, {body, strlen(body)}};
    rig_send(rig, HZ_MSG_HTTP_REQUEST, parts, 4);
    return rig->numbers;
}

RIG_FN void rig_shutdown(struct rig *rig)
{
    struct hz_msg_shutdown shutdown = {0};
    struct hz_part part = {&shutdown, sizeof(shutdown)};
    rig_send(rig, HZ_MSG_SHUTDOWN, &part, 1);
}

RIG_FN const struct hz_msg_finished *rig_finished(struct rig *rig)
{
    return rig_wait(rig, HZ_MSG_FINISHED)->body;
}

/* ---- on a thread ---- */

RIG_FN void *rig_thread(void *arg)
{
    struct rig *rig = arg;
    static struct hz_worker worker;
    struct hz_segment segment;
    HZ_ASSERT_OK(hz_segment_attach(&segment, rig->segment_fd, &rig->segment.geometry));
    HZ_ASSERT_OK(hz_worker_init(&worker, &rig->request, &segment, dup(rig->worker_bell[0]), dup(rig->manager_bell[1])));
    worker.in_process = true;
    worker.sandbox.mode = HZ_SANDBOX_MODE_OFF;
    if (rig->limits.steps != 0)
        worker.limits = rig->limits;
    rig->exit_code = hz_worker_run(&worker);
    hz_worker_fini(&worker);
    return NULL;
}

RIG_FN void rig_start_thread(struct rig *rig, uint32_t threads)
{
    static bool once;
    if (!once) {
        hz_memory_init();
        HZ_ASSERT_OK(hz_value_init());
        once = true;
    }
    struct hz_geometry geometry = hz_segment_geometry(threads);
    rig_open(rig, &geometry);
    rig->request = (struct hz_spawn_request){.magic = HZ_SPAWN_MAGIC, .version = HZ_LAYOUT_VERSION, .threads = threads,
            .flags = HZ_SPAWN_SANDBOX_OFF, .manager_pid = (uint32_t)getpid(), .geometry = geometry, .worker_id = rig->id};
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, (size_t)8 << 20);
    rig->threaded = true;
    HZ_ASSERT_EQ(pthread_create(&rig->thread, &attr, rig_thread, rig), 0);
    pthread_attr_destroy(&attr);
}

/* A resident worker on a thread that has loaded this flow; waits until it is ready. */
RIG_FN void rig_run(struct rig *rig, uint32_t threads, uint32_t flags, const char *flow)
{
    rig_start_thread(rig, threads);
    struct hz_plan *plan = rig_plan(flow);
    rig_assign(rig, flags, plan);
    free(plan);
    (void)rig_wait(rig, HZ_MSG_READY);
}

RIG_FN int rig_join(struct rig *rig)
{
    if (rig->threaded && !rig->joined)
        HZ_ASSERT_EQ(pthread_join(rig->thread, NULL), 0);
    rig->joined = true;
    rig_poll(rig);
    return rig->exit_code;
}

/* ---- as a process ---- */

/* Starts horizon-worker with these arguments and a socket on fd 3; the other end in rig->socket. */
RIG_FN pid_t rig_exec(struct rig *rig, const char *mode, const char *kind, int pair[2])
{
    const char *program = hz_test_path("%s/bin/horizon-worker", hz_test_build_dir());
    char manager[16];
    const char *nodes = hz_test_path("%s/lib/horizon/nodes", hz_test_build_dir());
    snprintf(manager, sizeof(manager), "%d", getpid());
    rig->socket = pair[0];
    pid_t pid = fork();
    if (pid == 0) {
        if (pair[1] == 3)
            (void)fcntl(3, F_SETFD, 0);
        else
            (void)dup2(pair[1], 3);
        if (kind)
            execl(program, program, mode, kind, "--fd", "3", "--manager", manager, "--nodes", nodes, (char *)NULL);
        else
            execl(program, program, mode, "--fd", "3", "--manager", manager, "--nodes", nodes, (char *)NULL);
        _exit(127);
    }
    HZ_ASSERT_GT(pid, 0);
    return pid;
}

RIG_FN void rig_send_request(int socket_fd, const struct hz_spawn_request *request, const int fds[3])
{
    union {
        char bytes[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof(control));
    struct hz_spawn_request copy = *request;
    struct iovec part = {&copy, sizeof(copy)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(3 * sizeof(int));
    memcpy(CMSG_DATA(head), fds, 3 * sizeof(int));
    HZ_ASSERT_EQ(sendmsg(socket_fd, &message, MSG_NOSIGNAL), (ssize_t)sizeof(copy));
}

/* Starts a zygote; its socket. */
RIG_FN int rig_zygote(struct rig *rig, const char *kind)
{
    int pair[2];
    HZ_ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    rig->zygote = rig_exec(rig, "--zygote", kind, pair);
    close(pair[1]);
    struct hz_spawn_hello hello;
    HZ_ASSERT_EQ(recv(pair[0], &hello, sizeof(hello), 0), (ssize_t)sizeof(hello));
    HZ_ASSERT_EQ(hello.magic, HZ_SPAWN_MAGIC);
    HZ_ASSERT_EQ(hello.pid, rig->zygote);
    return pair[0];
}

/* A worker process from the zygote behind socket_fd (or by exec if it is -1). */
RIG_FN void rig_spawn(struct rig *rig, int socket_fd, uint32_t threads, uint32_t flags, uint32_t caps)
{
    struct hz_geometry geometry = hz_segment_geometry(threads);
    rig_open(rig, &geometry);
    rig->request = (struct hz_spawn_request){.magic = HZ_SPAWN_MAGIC, .version = HZ_LAYOUT_VERSION, .request = 1, .threads = threads,
            .flags = flags, .caps = caps, .manager_pid = (uint32_t)getpid(), .geometry = geometry, .worker_id = rig->id};
    const int fds[3] = {rig->segment_fd, rig->worker_bell[0], rig->manager_bell[1]};
    if (socket_fd < 0) {
        int pair[2];
        HZ_ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        rig_send_request(pair[0], &rig->request, fds);
        rig->pid = rig_exec(rig, "--worker", NULL, pair);
        close(pair[0]);
        close(pair[1]);
        return;
    }
    rig_send_request(socket_fd, &rig->request, fds);
    struct hz_spawn_reply reply;
    HZ_ASSERT_EQ(recv(socket_fd, &reply, sizeof(reply), 0), (ssize_t)sizeof(reply));
    HZ_ASSERT_EQ(reply.request, 1);
    HZ_ASSERT_GT(reply.pid, 0);
    rig->pid = reply.pid;
}

/* Wait status of the worker process; -1: it lives on after timeout_ms (and is killed). */
RIG_FN int rig_reap(struct rig *rig, int timeout_ms)
{
    int status = -1;
    uint64_t until = hz_test_now_ms() + (uint64_t)timeout_ms;
    for (;;) {
        pid_t pid = waitpid(rig->pid, &status, WNOHANG);
        if (pid == rig->pid) {
            rig->pid = 0;
            rig_poll(rig);
            return status;
        }
        HZ_ASSERT_EQ(pid, 0);
        if (hz_test_now_ms() > until)
            return -1;
        rig_poll(rig);
        usleep(1000);
    }
}

RIG_FN void rig_close(struct rig *rig)
{
    if (rig->threaded && !rig->joined) {
        rig_shutdown(rig);
        (void)rig_join(rig);
    }
    if (rig->pid > 0) {
        (void)kill(rig->pid, SIGKILL);
        (void)waitpid(rig->pid, NULL, 0);
    }
    for (uint32_t i = 0; i < rig->segment.geometry.lanes; i++) {
        hz_stream_in_fini(&rig->results[i]);
        hz_stream_in_fini(&rig->metrics[i]);
    }
    hz_stream_out_fini(&rig->commands);
    for (size_t i = 0; i < rig->count; i++)
        free(rig->messages[i].bytes);
    free(rig->messages);
    hz_segment_detach(&rig->segment);
    (void)hz_segment_unlink(rig->name);
    close(rig->segment_fd);
    for (int i = 0; i < 2; i++) {
        close(rig->worker_bell[i]);
        close(rig->manager_bell[i]);
    }
}

RIG_FN void rig_close_zygote(struct rig *rig, int socket_fd)
{
    close(socket_fd);
    if (rig->zygote > 0)
        (void)waitpid(rig->zygote, NULL, 0);
}

#endif
