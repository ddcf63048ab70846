/*
 * sio.h - many light Socket.IO clients over WebSocket, for benchmarks: each is a descriptor and 128 bytes. What comes is counted and
 * thrown away but for the first bytes of each message. Heartbeats are answered by themselves.
 */
#ifndef HZ_BENCH_SIO_H
#define HZ_BENCH_SIO_H

#include "bench.h"

#include <stdatomic.h>

#define HZ_BENCH_SIO_HEAD 64u /* bytes of a message that are kept */

struct hz_bench_sio {
    int fd;
    uint8_t opcode, head_len;
    uint64_t left; /* bytes of the message still to come */
    uint32_t text_len;
    bool in_frame;
    uint8_t head[10]; /* of the frame */
    char text[HZ_BENCH_SIO_HEAD];
    uint64_t bytes, messages, pings; /* that came: bytes of the stream, messages of Socket.IO, pings of Engine.IO */
};

/* A TCP connection to 127.0.0.1 without delay, blocking; -1. */
int hz_bench_sio_tcp(uint16_t port);
/* Connects, upgrades, and is a socket of the token's owner when it returns. Blocking. False: hz_bench_skip() was called. */
bool hz_bench_sio_open(struct hz_bench_sio *client, uint16_t port, const char *token);
void hz_bench_sio_close(struct hz_bench_sio *client);

/* The bytes of a text frame, unmasked by a mask of zeros: to be sent as they are. Returns their number, at most len + 8; to: that many. */
size_t hz_bench_sio_frame(char *to, const char *text, size_t len);
bool hz_bench_sio_send(struct hz_bench_sio *client, const char *text);

/* text: the first bytes of a message of Socket.IO, a NUL behind them. */
typedef void hz_bench_sio_fn(struct hz_bench_sio *client, const char *text, void *arg);
/* Takes what is there, waits for something if `wait`. False: the connection has ended. fn may be NULL. */
bool hz_bench_sio_take(struct hz_bench_sio *client, bool wait, hz_bench_sio_fn *fn, void *arg);

/* ---- the floor: a process that sends `answer` bytes for each `request` bytes, to as many connections as come ---- */
struct hz_bench_echo {
    uint32_t request, answer;
    _Atomic uint32_t port; /* written by the child when it listens */
};
/* echo: in memory shared with the child. Returns its pid; it ends with the first connection, or killed. */
int hz_bench_echo_start(struct hz_bench_echo *echo);

#endif
