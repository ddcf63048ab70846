/* load.c - see load.h. Answers must carry Content-Length; a first answer is checked as a whole, later ones by their length. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER 65536u

struct connection {
    int fd;
    size_t len, need; /* need: bytes of the whole answer once its header is there, 0 before */
    bool checked;
    char buffer[BUFFER];
};

static int open_connection(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool send_request(const struct connection *c, const char *request, size_t len)
{
    return send(c->fd, request, len, MSG_NOSIGNAL) == (ssize_t)len; /* a few hundred bytes: never partial on loopback */
}

static size_t answer_bytes(struct connection *c)
{
    char *end = memmem(c->buffer, c->len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end - c->buffer) + 4;
    for (char *line = c->buffer; line < end; line = strchr(line, '\n') + 1)
        if (strncasecmp(line, "content-length:", 15) == 0)
            return head + strtoul(line + 15, NULL, 10);
    return head;
}

/* One more answer complete? -1: the connection is of no use. */
static int receive(struct connection *c, const struct hz_bench_load *load)
{
    ssize_t n = recv(c->fd, c->buffer + c->len, BUFFER - 1 - c->len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    c->len += (size_t)n;
    c->buffer[c->len] = 0;
    if (!c->need)
        c->need = answer_bytes(c);
    if (!c->need || c->len < c->need)
        return 0;
    if (!c->checked && !strstr(c->buffer, load->expect)) {
        (void)hz_bench_skip("unexpected answer: %.200s", c->buffer);
        return -1;
    }
    c->checked = true;
    c->len = c->need = 0;
    return 1;
}

double hz_bench_load_run(const struct hz_bench_load *load)
{
    struct connection *all = calloc(load->connections, sizeof *all);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    size_t request_len = strlen(load->request);
    bool good = all && epoll >= 0;
    for (unsigned i = 0; good && i < load->connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        all[i].fd = open_connection(load->port);
        good = all[i].fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event) == 0 && send_request(&all[i], load->request, request_len);
    }
    uint64_t begun = hz_base_now_ns(), counted = begun, end = begun + (uint64_t)(load->seconds * 1.2e9);
    uint64_t answers = 0, warm = begun + (uint64_t)(load->seconds * 0.2e9); /* the first sixth warms up and does not count */
    while (good && hz_base_now_ns() < end) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, 1000);
        if (n == 0)
            good = hz_bench_skip("no answer for a second");
        for (int i = 0; good && i < n; i++) {
            struct connection *c = &all[events[i].data.u32];
            int got = receive(c, load);
            good = got >= 0 && (got == 0 || send_request(c, load->request, request_len));
            answers += got > 0;
        }
        if (counted == begun && hz_base_now_ns() >= warm) {
            counted = hz_base_now_ns();
            answers = 0;
        }
    }
    double seconds = (double)(hz_base_now_ns() - counted) / 1e9;
    for (unsigned i = 0; all && i < load->connections; i++)
        if (all[i].fd > 0)
            close(all[i].fd);
    if (epoll >= 0)
        close(epoll);
    free(all);
    if (!good)
        (void)hz_bench_skip("a connection failed");
    return good ? (double)answers / seconds : 0;
}
