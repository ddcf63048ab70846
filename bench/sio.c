/* sio.c - see sio.h. Frames are taken apart by hand, as a server's are never masked and never in pieces here: nothing is copied. */
#include "sio.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (256u << 10)

static char buffer[BUFFER];

int hz_bench_sio_tcp(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

size_t hz_bench_sio_frame(char *to, const char *text, size_t len)
{
    size_t at = 0;
    HZ_ASSERT(len <= 0xffff);
    to[at++] = (char)0x81;
    if (len < 126) {
        to[at++] = (char)(0x80 | len);
    } else {
        to[at++] = (char)(0x80 | 126);
        to[at++] = (char)(len >> 8);
        to[at++] = (char)len;
    }
    memset(to + at, 0, 4); /* the mask */
    at += 4;
    memcpy(to + at, text, len);
    return at + len;
}

bool hz_bench_sio_send(struct hz_bench_sio *client, const char *text)
{
    char frame[1024];
    size_t len = strlen(text);
    HZ_ASSERT(len + 8 <= sizeof frame);
    len = hz_bench_sio_frame(frame, text, len);
    return send(client->fd, frame, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* One whole message. False: the connection is of no use. */
static bool handle(struct hz_bench_sio *client, hz_bench_sio_fn *fn, void *arg)
{
    client->text[client->text_len] = 0;
    client->in_frame = false;
    client->head_len = 0;
    if (client->opcode == 8)
        return false;
    if (client->opcode != 1)
        return true;
    if (client->text[0] == '2') {
        client->pings++;
        return hz_bench_sio_send(client, "3");
    }
    if (client->text[0] == '4')
        client->messages++;
    if (fn)
        fn(client, client->text, arg);
    return true;
}

/* The header of a frame, byte by byte: it may be cut anywhere. */
static void add_to_head(struct hz_bench_sio *client, char byte)
{
    client->head[client->head_len++] = (uint8_t)byte;
    if (client->head_len < 2)
        return;
    unsigned len = client->head[1] & 0x7fu, more = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (client->head_len < 2 + more)
        return;
    client->left = more ? 0 : len;
    for (unsigned i = 0; i < more; i++)
        client->left = client->left << 8 | client->head[2 + i];
    client->opcode = client->head[0] & 0x0f;
    client->text_len = 0;
    client->in_frame = true;
}

static bool parse(struct hz_bench_sio *client, const char *data, size_t len, hz_bench_sio_fn *fn, void *arg)
{
    client->bytes += len;
    while (len > 0) {
        if (!client->in_frame) {
            add_to_head(client, *data++);
            len--;
        } else {
            size_t n = client->left < len ? (size_t)client->left : len, kept = HZ_MIN(n, (size_t)(HZ_BENCH_SIO_HEAD - 1 - client->text_len));
            memcpy(client->text + client->text_len, data, kept);
            client->text_len += (uint32_t)kept;
            client->left -= n;
            data += n;
            len -= n;
        }
        if (client->in_frame && client->left == 0 && !handle(client, fn, arg))
            return false;
    }
    return true;
}

bool hz_bench_sio_take(struct hz_bench_sio *client, bool wait, hz_bench_sio_fn *fn, void *arg)
{
    ssize_t n = recv(client->fd, buffer, sizeof buffer, wait ? 0 : MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    return n > 0 && parse(client, buffer, (size_t)n, fn, arg);
}

static bool upgrade(struct hz_bench_sio *client, uint16_t port)
{
    char head[1024];
    size_t len = (size_t)snprintf(head, sizeof head,
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            port);
    if (send(client->fd, head, len, MSG_NOSIGNAL) != (ssize_t)len)
        return false;
    len = 0;
    char *end = NULL;
    while (!end && len < sizeof head - 1) {
        ssize_t n = recv(client->fd, head + len, sizeof head - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        head[len] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    if (!end || strncmp(head, "HTTP/1.1 101", 12) != 0)
        return hz_bench_skip("no upgrade: %.100s", head);
    return parse(client, end + 4, len - (size_t)(end + 4 - head), NULL, NULL);
}

static void note_connect(struct hz_bench_sio *client, const char *text, void *arg)
{
    bool *connected = arg;
    (void)client;
    *connected |= strncmp(text, "40", 2) == 0;
}

bool hz_bench_sio_open(struct hz_bench_sio *client, uint16_t port, const char *token)
{
    char text[256];
    bool connected = false;
    memset(client, 0, sizeof *client);
    client->fd = hz_bench_sio_tcp(port);
    snprintf(text, sizeof text, "40{\"token\":\"%s\"}", token);
    bool good = client->fd >= 0 && upgrade(client, port) && hz_bench_sio_send(client, text);
    while (good && !connected)
        good = hz_bench_sio_take(client, true, note_connect, &connected);
    if (!good)
        hz_bench_sio_close(client);
    return good || hz_bench_skip("a client did not get in: %s", strerror(errno));
}

void hz_bench_sio_close(struct hz_bench_sio *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

/* ---- the floor ---- */
enum { ECHO_MAX = 1024 };

static void echo_turn(const struct hz_bench_echo *echo, int fd, uint32_t *seen, const char *answer)
{
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        _exit(0);
    *seen += (uint32_t)n;
    for (; *seen >= echo->request; *seen -= echo->request)
        for (size_t sent = 0; sent < echo->answer;) {
            ssize_t put = send(fd, answer + sent, echo->answer - sent, MSG_NOSIGNAL);
            if (put <= 0)
                _exit(0);
            sent += (size_t)put;
        }
}

static void echo_serve(void *arg)
{
    struct hz_bench_echo *echo = arg;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    static uint32_t seen[ECHO_MAX];
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    char *answer = malloc(echo->answer);
    if (!answer || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 512) ||
            getsockname(listener, (struct sockaddr *)&address, &len) || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        _exit(1);
    memset(answer, 'x', echo->answer);
    atomic_store_explicit(&echo->port, ntohs(address.sin_port), memory_order_release);
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                echo_turn(echo, fd, &seen[fd], answer);
                continue;
            }
            event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (event.data.fd < 0 || event.data.fd >= ECHO_MAX || epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event))
                _exit(1);
            (void)setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        }
    }
}

int hz_bench_echo_start(struct hz_bench_echo *echo)
{
    atomic_store_explicit(&echo->port, 0, memory_order_relaxed);
    int pid = hz_bench_child(echo_serve, echo, -1);
    while (atomic_load_explicit(&echo->port, memory_order_acquire) == 0)
        usleep(500);
    return pid;
}
