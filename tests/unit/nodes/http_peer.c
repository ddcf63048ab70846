/*
 * http_peer.c - see http_peer.h. One thread per connection, blocking; sizes are bounded, nothing is fast.
 */
#include "http_peer.h"
#include "tests/harness.h"
#include "tests/unit/memory.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX ((size_t)65536)

static void say(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void reply(int fd, const char *status, const char *headers, const char *body)
{
    char head[1024];
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", status,
            strlen(body), headers);
    say(fd, head);
    say(fd, body);
}

/* {"method": ..., "body": ..., "headers": "..."}, with quotes and line breaks made harmless. */
static void echo(int fd, const char *request, const char *body)
{
    static const char format[] = "{\"method\":\"%.*s\",\"path\":\"%.*s\",\"body\":\"%s\",\"headers\":\"%s\"}";
    char *clean = must_copy(request), *text = must_copy(body), *out = must_alloc(2 * REQUEST_MAX);
    size_t method = strcspn(request, " "), path = strcspn(request + method + 1, " ");
    char *end = strstr(clean, "\r\n\r\n");
    if (end)
        *end = 0;
    for (char *c = clean; *c; c++)
        *c = *c == '\r' || *c == '\n' || *c == '"' || *c == '\\' ? '~' : *c;
    for (char *c = text; *c; c++)
        *c = *c == '"' ? '\'' : *c;
    snprintf(out, 2 * REQUEST_MAX, format, (int)method, request, (int)path, request + method + 1, text, clean);
    reply(fd, "200 OK", "Content-Type: application/json\r\nX-Peer: yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n", out);
    free(clean);
    free(text);
    free(out);
}

/* Is the path `prefix` and a number? */
static bool number_after(const char *path, const char *prefix, int *ret_number)
{
    size_t len = strlen(prefix);
    if (strncmp(path, prefix, len) != 0)
        return false;
    *ret_number = (int)strtol(path + len, NULL, 10);
    return true;
}

static void answer(int fd, const char *request, const char *body)
{
    const char *path = strchr(request, ' ');
    char text[256];
    int number = 0;
    if (!path++)
        return;
    if (strncmp(path, "/json ", 6) == 0) {
        reply(fd, "200 OK", "Content-Type: application/json\r\n", "{\"a\":1}");
    } else if (strncmp(path, "/text ", 6) == 0) {
        reply(fd, "200 OK", "Content-Type: text/plain\r\n", "hola");
    } else if (strncmp(path, "/echo", 5) == 0) {
        echo(fd, request, body);
    } else if (number_after(path, "/status/", &number)) {
        snprintf(text, sizeof text, "%d Status", number);
        reply(fd, text, "", number == 204 ? "" : "no");
    } else if (number_after(path, "/redirect/", &number)) {
        snprintf(text, sizeof text, "Location: /redirect/%d\r\n", number - 1);
        reply(fd, "302 Found", number > 0 ? text : "Location: /json\r\n", "");
    } else if (strncmp(path, "/see-other ", 11) == 0) {
        reply(fd, "303 See Other", "Location: /echo\r\n", "");
    } else if (strncmp(path, "/relative ", 10) == 0) {
        reply(fd, "302 Found", "Location: json\r\n", "");
    } else if (strncmp(path, "/cut ", 5) == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    } else if (strncmp(path, "/hang ", 6) == 0) {
        char byte;
        (void)!read(fd, &byte, 1);
    } else if (number_after(path, "/big/", &number)) {
        char *piece = must_alloc((1u << 20) + 1);
        memset(piece, 'x', 1u << 20);
        piece[1u << 20] = 0;
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n\r\n", (long)number << 20);
        say(fd, text);
        for (int i = 0; i < number; i++)
            say(fd, piece);
        free(piece);
    } else {
        reply(fd, "404 Not Found", "", "no");
    }
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *request = must_alloc(REQUEST_MAX), *end = NULL;
    memset(request, 0, REQUEST_MAX);
    size_t len = 0, wanted = 0;
    while (len < REQUEST_MAX - 1 && (!end || len < wanted)) {
        ssize_t n = recv(fd, request + len, REQUEST_MAX - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        end = strstr(request, "\r\n\r\n");
        const char *length = strcasestr(request, "\r\ncontent-length:");
        wanted = end ? (size_t)(end - request) + 4 + (length ? strtoul(length + 17, NULL, 10) : 0) : 0;
    }
    if (end)
        answer(fd, request, end + 4);
    close(fd);
    free(request);
    return NULL;
}

static void *run(void *arg)
{
    int listener = (int)(intptr_t)arg;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t id;
        if (fd < 0)
            return NULL;
        if (pthread_create(&id, NULL, serve, (void *)(intptr_t)fd) == 0)
            pthread_detach(id);
        else
            close(fd);
    }
}

uint16_t http_peer_start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    pthread_t id;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HZ_ASSERT_OK(bind(fd, (struct sockaddr *)&at, sizeof at));
    HZ_ASSERT_OK(listen(fd, 64));
    HZ_ASSERT_OK(getsockname(fd, (struct sockaddr *)&at, &len));
    HZ_ASSERT_EQ(pthread_create(&id, NULL, run, (void *)(intptr_t)fd), 0);
    pthread_detach(id);
    return ntohs(at.sin_port);
}
