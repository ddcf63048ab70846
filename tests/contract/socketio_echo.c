/*
 * socketio_echo.c - the Socket.IO server alone, as the public conformance suites want one: it sends back what it gets.
 * With --engine the Engine.IO below alone. Prints `listening on PORT` and runs until SIGTERM or SIGINT.
 *
 *     socketio_echo [--port N] [--ping-interval MS] [--ping-timeout MS] [--connect-timeout MS] [--shards N]
 *                   [--max-waiting BYTES] [--max-input BYTES]
 *                   [--address-connections N] [--tls-cert FILE --tls-key FILE] [--engine]
 *
 * --address-connections counts loopback, too. An Engine.IO client is known when it has said something; of Socket.IO nobody is.
 * Besides the suites' events: `broadcast` [name, value] goes to all others, `flood` [n, bytes] sends that many packets
 * to everybody, `figures` is answered with the server's counts, `bye` disconnects.
 */
#include "core/http/engineio.h"
#include "core/http/http.h"
#include "core/http/socketio.h"

#include "shm/err.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <urcu/urcu-memb.h>

static uv_signal_t signals[2];

/* ---- Engine.IO: messages come back as they are ---- */
static const char *engine_message(struct hz_eio_session *session, const char *data, size_t len, bool binary, void *arg)
{
    (void)arg;
    struct hz_eio_buf *buf = hz_eio_buf_new(binary ? HZ_EIO_BINARY : HZ_EIO_TEXT, len + !binary);
    if (!buf)
        return "out of memory";
    if (!binary)
        buf->data[0] = '4';
    if (len)
        memcpy(buf->data + !binary, data, len);
    (void)hz_eio_send(session, buf, false);
    hz_eio_buf_unref(&buf);
    hz_eio_known(session);
    return NULL;
}

/* ---- Socket.IO ---- */
static void on_connected(struct hz_sio_socket *socket, const json_t *auth, void *arg)
{
    (void)arg;
    if (auth)
        hz_sio_emit(socket, "auth", auth);
    else
        hz_sio_emit_text(socket, "auth", "{}", 2);
}

static void answer_figures(struct hz_sio_ack *ack)
{
    struct hz_sio_figures f;
    hz_sio_figures(&f);
    char text[512];
    int len = snprintf(text, sizeof text,
            "{\"sessions\":%llu,\"websockets\":%llu,\"sockets\":%llu,\"waiting\":%llu,\"opened\":%llu,\"slow\":%llu,"
            "\"refused\":%llu,\"late\":%llu}",
            (unsigned long long)f.sessions, (unsigned long long)f.websockets, (unsigned long long)f.sockets,
            (unsigned long long)f.waiting_bytes, (unsigned long long)f.opened, (unsigned long long)f.dropped_slow,
            (unsigned long long)f.refused_input, (unsigned long long)f.timed_out);
    hz_sio_ack_text(ack, text, (size_t)len);
}

static void flood(const json_t *args)
{
    json_int_t count = json_integer_value(json_array_get(args, 0)), bytes = json_integer_value(json_array_get(args, 1));
    char *text = malloc((size_t)bytes + 2);
    if (!text)
        return;
    memset(text, 'x', (size_t)bytes + 2);
    text[0] = text[bytes + 1] = '"';
    for (json_int_t i = 0; i < count; i++)
        hz_sio_broadcast_text("flood", text, (size_t)bytes + 2, NULL);
    free(text);
}

static void on_event(struct hz_sio_socket *socket, const char *name, json_t *args, struct hz_sio_ack *ack, void *arg)
{
    (void)arg;
    size_t count;
    const struct hz_sio_blob *blobs = hz_sio_attachments(socket, &count);
    bool main = strcmp(hz_sio_namespace(socket), "/") == 0;
    if (strcmp(name, "message") == 0 && main)
        hz_sio_emit_binary(socket, "message-back", args, blobs, count);
    else if (strcmp(name, "message-with-ack") == 0 && main && ack) {
        hz_sio_ack_binary(ack, args, blobs, count);
        return;
    } else if (strcmp(name, "figures") == 0 && ack) {
        answer_figures(ack);
        return;
    } else if (strcmp(name, "broadcast") == 0 && json_is_string(json_array_get(args, 0)))
        hz_sio_broadcast(json_string_value(json_array_get(args, 0)), json_array_get(args, 1), socket);
    else if (strcmp(name, "flood") == 0)
        flood(args);
    else if (strcmp(name, "bye") == 0)
        hz_sio_disconnect(socket);
    if (ack)
        hz_sio_ack_text(ack, "null", 4);
}

static const char *on_connect(struct hz_sio_socket *socket, const json_t *auth, void *arg)
{
    (void)socket;
    (void)arg;
    return json_is_true(json_object_get(auth, "refuse")) ? "refused as asked" : NULL;
}

/* ---- the process ---- */
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

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    hz_shard_stop_main();
}

static void watch(int index, int number)
{
    uv_signal_init(hz_shard_loop(hz_shard_main()), &signals[index]);
    uv_signal_start(&signals[index], on_signal, number);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"port", 1, NULL, 'p'}, {"ping-interval", 1, NULL, 'i'},
            {"ping-timeout", 1, NULL, 't'}, {"connect-timeout", 1, NULL, 'c'}, {"shards", 1, NULL, 's'},
            {"max-waiting", 1, NULL, 'w'}, {"max-input", 1, NULL, 'I'}, {"address-connections", 1, NULL, 'a'}, {"engine", 0, NULL, 'e'}, {"tls-cert", 1, NULL, 'C'},
            {"tls-key", 1, NULL, 'K'}, {NULL, 0, NULL, 0}};
    static const char *const namespaces[] = {"/custom", NULL};
    struct hz_sio_options sio = {.namespaces = namespaces,
            .binary = true,
            .handlers = {.connect = on_connect, .connected = on_connected, .event = on_event}};
    struct hz_http_options http = {.host = "localhost", .port = 3000};
    uint32_t shards = 1;
    bool engine = false;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        uint32_t number = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 'p':
            http.port = number;
            break;
        case 'i':
            sio.ping_interval_ms = number;
            break;
        case 't':
            sio.ping_timeout_ms = number;
            break;
        case 'c':
            sio.connect_timeout_ms = number;
            break;
        case 's':
            shards = HZ_MAX(number, 1u);
            break;
        case 'w':
            sio.max_waiting = number;
            break;
        case 'a':
            http.address_connections = number;
            http.limit_loopback = true;
            break;
        case 'I':
            sio.max_input = number;
            break;
        case 'C':
            http.tls_cert = optarg;
            break;
        case 'K':
            http.tls_key = optarg;
            break;
        case 'e':
            engine = true;
            break;
        default:
            return 2;
        }
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    struct hz_eio_options eio = {.ping_interval_ms = sio.ping_interval_ms,
            .ping_timeout_ms = sio.ping_timeout_ms,
            .max_waiting = sio.max_waiting,
            .max_input = sio.max_input,
            .handlers = {.message = engine_message}};
    (void)signal(SIGPIPE, SIG_IGN);
    urcu_memb_register_thread();
    int err = hz_shard_init(shards);
    if (!err)
        err = engine ? hz_eio_serve(&eio) : hz_sio_serve(&sio);
    if (!err)
        err = hz_http_bind(&http, &http.port);
    if (!err)
        err = hz_shard_start(begin, NULL);
    if (err) {
        fprintf(stderr, "socketio_echo: %s\n", hz_err_last());
        return 1;
    }
    watch(0, SIGTERM);
    watch(1, SIGINT);
    printf("listening on %u\n", http.port);
    fflush(stdout);
    hz_shard_run_main();
    uv_close((uv_handle_t *)&signals[0], NULL);
    uv_close((uv_handle_t *)&signals[1], NULL);
    hz_shard_stop(end, NULL);
    hz_http_fini();
    hz_shard_fini();
    urcu_memb_unregister_thread();
    return 0;
}
