/*
 * test_socketio.c - the server within the process: what is owed when the manager restarts, sockets that are used from
 * another shard or after their client has gone. Two shards, real sockets. What clients see otherwise is in tests/e2e.
 */
#include "core/http/http.h"
#include "core/http/socketio.h"
#include "tests/harness.h"

#include "shm/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

enum { SHARDS = 2 };

static uint32_t port;
static _Atomic(struct hz_sio_ack *) owed;
static _Atomic(struct hz_sio_socket *) kept; /* of the last that connected; a reference */
static _Atomic int connected, gone;
static char reason[64]; /* written before `gone` is, read after it */

/* ---- the server ---- */
static void on_connected(struct hz_sio_socket *socket, const json_t *auth, void *arg)
{
    (void)auth;
    (void)arg;
    struct hz_sio_socket *old = atomic_exchange(&kept, hz_sio_ref(socket));
    hz_sio_unref(&old);
    atomic_fetch_add(&connected, 1);
}

static void on_event(struct hz_sio_socket *socket, const char *name, json_t *args, struct hz_sio_ack *ack, void *arg)
{
    (void)socket;
    (void)args;
    (void)arg;
    if (ack && strcmp(name, "later") == 0)
        atomic_store(&owed, ack);
    else if (ack)
        hz_sio_ack_text(ack, "1", 1);
}

static void on_disconnect(struct hz_sio_socket *socket, const char *why, void *arg)
{
    (void)arg;
    HZ_ASSERT_TRUE(hz_sio_shard(socket) == hz_shard_self());
    snprintf(reason, sizeof reason, "%s", why);
    atomic_fetch_add(&gone, 1);
}

static int begin(struct hz_shard *shard, void *arg)
{
    (void)arg;
    return hz_http_begin(shard);
}

static void end(struct hz_shard *shard, void *arg)
{
    (void)arg;
    hz_http_end(shard);
}

HZ_SUITE_INIT(socketio)
{
    (void)signal(SIGPIPE, SIG_IGN);
    urcu_memb_register_thread();
    HZ_ASSERT_OK(hz_shard_init(SHARDS));
    struct hz_sio_options options = {
            .handlers = {.connected = on_connected, .event = on_event, .disconnect = on_disconnect}};
    HZ_ASSERT_OK(hz_sio_serve(&options));
    HZ_ASSERT_EQ(hz_sio_serve(&options), HZ_EEXISTS);
    HZ_ASSERT_OK(hz_http_bind(&(struct hz_http_options){.host = "127.0.0.1"}, &port));
    HZ_ASSERT_OK(hz_shard_start(begin, NULL));
}

HZ_SUITE_CLEANUP(socketio)
{
    hz_shard_stop(end, NULL);
    struct hz_sio_socket *old = atomic_exchange(&kept, NULL);
    hz_sio_unref(&old);
    hz_http_fini();
    hz_shard_fini();
    urcu_memb_unregister_thread();
}

/* ---- on a shard, and back ---- */
struct errand {
    struct hz_mail mail;
    void (*fn)(void *arg);
    void *arg;
    _Atomic bool done;
};

static void run_errand(struct hz_mail *mail)
{
    struct errand *errand = HZ_CONTAINER_OF(mail, struct errand, mail);
    errand->fn(errand->arg);
    atomic_store(&errand->done, true);
}

static bool is_done(void *arg)
{
    return atomic_load((_Atomic bool *)arg);
}

static void on_shard(struct hz_shard *shard, void (*fn)(void *arg), void *arg)
{
    struct errand errand = {.mail.run = run_errand, .fn = fn, .arg = arg};
    hz_shard_post(shard, &errand.mail);
    HZ_ASSERT_TRUE(hz_test_wait(is_done, &errand.done, 20000));
}

static void rest_here(void *arg)
{
    (void)arg;
    hz_http_rest(hz_shard_self());
}

static void wake_here(void *arg)
{
    (void)arg;
    hz_http_wake(hz_shard_self());
}

static void hurry_here(void *arg)
{
    (void)arg;
    hz_http_hurry(hz_shard_self(), false);
}

static void ask_quiet(void *arg)
{
    *(bool *)arg = hz_http_quiet(hz_shard_self());
}

static void everywhere(void (*fn)(void *arg))
{
    for (uint32_t i = 0; i < SHARDS; i++)
        on_shard(hz_shard_at(i), fn, NULL);
}

static bool all_quiet(void *arg)
{
    (void)arg;
    bool quiet = true;
    for (uint32_t i = 0; i < SHARDS && quiet; i++)
        on_shard(hz_shard_at(i), ask_quiet, &quiet);
    return quiet;
}

/* ---- clients ---- */
static int open_client(const char *request)
{
    struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HZ_ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    HZ_ASSERT_OK(connect(fd, (const struct sockaddr *)&address, sizeof address));
    HZ_ASSERT_EQ(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    return fd;
}

static void take(int fd, void *to, size_t len)
{
    HZ_ASSERT_EQ(recv(fd, to, len, MSG_WAITALL), (ssize_t)len);
}

/* Up to the blank line behind headers. */
static void take_head(int fd, char *to, size_t size)
{
    size_t len = 0;
    while (len < 4 || memcmp(to + len - 4, "\r\n\r\n", 4) != 0) {
        HZ_ASSERT_LT(len + 1, size);
        take(fd, to + len++, 1);
    }
    to[len] = 0;
}

/* The next frame: opcode; payload as text. */
static unsigned take_frame(int fd, char text[256])
{
    uint8_t head[2];
    take(fd, head, 2);
    HZ_ASSERT_LT(head[1], 126);
    take(fd, text, head[1]);
    text[head[1]] = 0;
    return head[0] & 0xfu;
}

static void send_text(int fd, const char *text)
{
    uint8_t frame[128] = {0x81, (uint8_t)(0x80 | strlen(text))}; /* masked with zeros */
    memcpy(frame + 6, text, strlen(text));
    HZ_ASSERT_EQ(send(fd, frame, 6 + strlen(text), 0), (ssize_t)(6 + strlen(text)));
}

static bool has_come(void *arg)
{
    return atomic_load(&connected) >= *(int *)arg;
}

static bool has_gone(void *arg)
{
    return atomic_load(&gone) >= *(int *)arg;
}

static bool is_owed(void *arg)
{
    (void)arg;
    return atomic_load(&owed) != NULL;
}

/* A connected socket over WebSocket. */
static int connect_client(void)
{
    char text[512];
    int count = atomic_load(&connected) + 1;
    int fd = open_client(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Cookie: a=b\r\n\r\n");
    take_head(fd, text, sizeof text);
    HZ_ASSERT_STR_HAS(text, "HTTP/1.1 101 ");
    HZ_ASSERT_EQ(take_frame(fd, text), 1);
    HZ_ASSERT_EQ(text[0], '0');
    send_text(fd, "40");
    HZ_ASSERT_EQ(take_frame(fd, text), 1);
    HZ_ASSERT_STR_HAS(text, "40{\"sid\":\"");
    HZ_ASSERT_TRUE(hz_test_wait(has_come, &count, 20000));
    return fd;
}

static void expect_close(int fd, unsigned code)
{
    char text[256];
    HZ_ASSERT_EQ(take_frame(fd, text), 8);
    HZ_ASSERT_EQ((unsigned)(uint8_t)text[0] << 8 | (uint8_t)text[1], code);
    close(fd);
}

static void answer_owed(void *arg)
{
    (void)arg;
    hz_sio_ack_text(atomic_exchange(&owed, NULL), "\"done\"", 6);
}

static void ask_later(int fd)
{
    send_text(fd, "427[\"later\"]");
    HZ_ASSERT_TRUE(hz_test_wait(is_owed, NULL, 20000));
}

/* ---- the manager restarts ---- */
HZ_TEST(socketio, a_restart_waits_for_answers_that_are_owed_and_then_ends_the_connection)
{
    char text[256];
    int idle = connect_client(), waits = connect_client();
    struct hz_shard *shard = hz_sio_shard(atomic_load(&kept));
    ask_later(waits);
    everywhere(rest_here);
    expect_close(idle, 1012);
    HZ_ASSERT_FALSE(all_quiet(NULL));
    send_text(waits, "428[\"now\"]"); /* stays in the kernel: nobody answers it */
    on_shard(shard, answer_owed, NULL);
    HZ_ASSERT_EQ(take_frame(waits, text), 1);
    HZ_ASSERT_STR_EQ(text, "437[\"done\"]");
    expect_close(waits, 1012);
    HZ_ASSERT_TRUE(hz_test_wait(all_quiet, NULL, 20000));
    everywhere(wake_here);
    close(connect_client());
}

HZ_TEST(socketio, an_answer_given_after_its_socket_has_left_is_owed_no_longer)
{
    char text[256];
    int fd = connect_client(), count = atomic_load(&gone) + 1;
    struct hz_shard *shard = hz_sio_shard(atomic_load(&kept));
    ask_later(fd);
    send_text(fd, "41");
    HZ_ASSERT_TRUE(hz_test_wait(has_gone, &count, 20000));
    count = atomic_load(&connected) + 1;
    send_text(fd, "40");
    HZ_ASSERT_TRUE(hz_test_wait(has_come, &count, 20000));
    HZ_ASSERT_EQ(take_frame(fd, text), 1);
    on_shard(shard, answer_owed, NULL); /* nobody is left who could hear it */
    everywhere(rest_here);
    HZ_ASSERT_TRUE(hz_test_wait(all_quiet, NULL, 20000));
    expect_close(fd, 1012);
    everywhere(wake_here);
}

HZ_TEST(socketio, a_restart_ends_a_waiting_poll_and_a_session_between_two)
{
    char text[512], request[256], sid[32] = "";
    int fd = open_client("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n");
    take_head(fd, text, sizeof text);
    take(fd, text, 8);
    HZ_ASSERT_MEM_EQ(text, "0{\"sid\":", 8);
    take(fd, text, 26);
    memcpy(sid, text + 1, 24);
    close(fd);
    snprintf(request, sizeof request,
            "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", sid);
    fd = open_client(request);
    hz_test_wait(has_come, &(int){atomic_load(&connected) + 1}, 200); /* so that it waits by then: nobody connects */
    everywhere(rest_here);
    take_head(fd, text, sizeof text);
    HZ_ASSERT_STR_HAS(text, "HTTP/1.1 200 ");
    take(fd, text, 1);
    HZ_ASSERT_EQ(text[0], '1');
    HZ_ASSERT_TRUE(hz_test_wait(all_quiet, NULL, 20000));
    everywhere(wake_here);
    close(fd);
}

HZ_TEST(socketio, who_is_owed_an_answer_when_time_is_up_loses_it_and_the_late_one_does_no_harm)
{
    int fd = connect_client();
    struct hz_shard *shard = hz_sio_shard(atomic_load(&kept));
    ask_later(fd);
    everywhere(rest_here);
    HZ_ASSERT_FALSE(all_quiet(NULL));
    everywhere(hurry_here);
    HZ_ASSERT_TRUE(hz_test_wait(all_quiet, NULL, 20000));
    on_shard(shard, answer_owed, NULL);
    everywhere(wake_here);
    close(fd);
    close(connect_client());
}

/* ---- sockets from elsewhere ---- */
HZ_TEST(socketio, an_event_sent_on_any_shard_arrives_in_order)
{
    char text[256], wanted[64];
    int fd = connect_client();
    for (int i = 0; i < 100; i++) { /* this is the main shard */
        char number[16];
        int len = snprintf(number, sizeof number, "%d", i);
        HZ_ASSERT_OK(hz_sio_emit_text(atomic_load(&kept), "to \"you\"", number, (size_t)len));
        HZ_ASSERT_OK(hz_sio_broadcast_text("to all", number, (size_t)len, NULL));
        HZ_ASSERT_OK(hz_sio_broadcast_text("to others", number, (size_t)len, atomic_load(&kept)));
    }
    for (int i = 0; i < 100; i++) {
        HZ_ASSERT_EQ(take_frame(fd, text), 1);
        snprintf(wanted, sizeof wanted, "42[\"to \\\"you\\\"\",%d]", i);
        HZ_ASSERT_STR_EQ(text, wanted);
        HZ_ASSERT_EQ(take_frame(fd, text), 1);
        snprintf(wanted, sizeof wanted, "42[\"to all\",%d]", i);
        HZ_ASSERT_STR_EQ(text, wanted);
    }
    close(fd);
    int count = atomic_load(&connected);
    HZ_ASSERT_TRUE(hz_test_wait(has_gone, &count, 20000)); /* the next test counts ends */
}

static void look(void *arg)
{
    struct hz_sio_socket *socket = atomic_load(&kept);
    HZ_ASSERT_EQ(hz_sio_connected(socket), *(bool *)arg);
    if (*(bool *)arg) {
        HZ_ASSERT_STR_EQ(hz_sio_header(socket, "Cookie"), "a=b");
        HZ_ASSERT_NULL(hz_sio_header(socket, "Authorization"));
        HZ_ASSERT_STR_EQ(hz_sio_address(socket), "127.0.0.1");
    } else {
        HZ_ASSERT_NULL(hz_sio_header(socket, "Cookie"));
        hz_sio_disconnect(socket);
        hz_sio_close(socket, "again");
    }
}

HZ_TEST(socketio, a_socket_whose_client_has_gone_is_safe_to_use)
{
    int count = atomic_load(&gone) + 1, fd = connect_client();
    struct hz_shard *shard = hz_sio_shard(atomic_load(&kept));
    on_shard(shard, look, &(bool){true});
    ask_later(fd);
    close(fd);
    HZ_ASSERT_TRUE(hz_test_wait(has_gone, &count, 20000));
    HZ_ASSERT_STR_HAS(reason, "transport ");
    HZ_ASSERT_EQ(strlen(hz_sio_sid(atomic_load(&kept))), HZ_SIO_SID);
    HZ_ASSERT_OK(hz_sio_emit(atomic_load(&kept), "nobody hears it", NULL));
    on_shard(shard, look, &(bool){false});
    on_shard(shard, answer_owed, NULL);
}

static void throw_out(void *arg)
{
    (void)arg;
    hz_sio_close(atomic_load(&kept), "because");
}

HZ_TEST(socketio, a_connection_that_the_server_ends_is_closed_and_its_handler_told_why)
{
    int count = atomic_load(&gone) + 1, fd = connect_client();
    on_shard(hz_sio_shard(atomic_load(&kept)), throw_out, NULL);
    expect_close(fd, 1000);
    HZ_ASSERT_TRUE(hz_test_wait(has_gone, &count, 20000));
    HZ_ASSERT_STR_EQ(reason, "because");
}
