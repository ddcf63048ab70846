/* load.h - an HTTP client for benchmarks: some keep-alive connections, one request in flight on each. */
#ifndef HZ_BENCH_LOAD_H
#define HZ_BENCH_LOAD_H

#include "bench.h"

struct hz_bench_load {
    uint16_t port;
    unsigned connections;
    double seconds;
    const char *request; /* complete HTTP/1.1 request text, sent again and again */
    const char *expect;  /* must occur in the first answer of each connection */
};
/* Answers per second, or 0 with hz_bench_skip(). Runs in the calling thread; one epoll loop. */
double hz_bench_load_run(const struct hz_bench_load *load);

#endif
