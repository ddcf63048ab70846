/*
 * manager.h - a whole manager inside a benchmark: a child process runs hz_manager_run() on a temporary data directory and a
 * driver thread of it submits work as the API would, without HTTP in between.
 */
#ifndef HZ_BENCH_MANAGER_H
#define HZ_BENCH_MANAGER_H

#include "bench.h"
#include "core/config.h"
#include "core/workflows.h"

struct hz_bench_manager {
    uint32_t spares;        /* per shard */
    bool http;              /* also serve HTTP on a free port */
    const char *nodes;      /* further node folders or NULL */
    /* Runs on a thread of its own once everything is up; false: the run failed. `result` lies in memory shared with the caller. */
    bool (*drive)(const struct hz_config *config, void *result);
};
/* False: the manager did not start or the driver failed; hz_bench_skip() was called. */
bool hz_bench_manager_run(const struct hz_bench_manager *options, void *result);

/* ---- for the driver ---- */
/* A flow of workflow_init and `count - 1` further nodes of `type` in a chain; properties.horizon is `settings` (JSON object text). Caller frees. */
char *hz_bench_chain(const char *type, uint32_t count, const char *settings, const char *first_type, const char *first_properties);
/* Stores the flow and compiles it; NULL: hz_bench_skip() was called. */
struct hz_workflow *hz_bench_workflow(const char *id, const char *text);
/* Runs `total` executions, `in_flight` at once; seconds, or 0 if one did not end in success. */
double hz_bench_executions(struct hz_workflow *workflow, uint32_t total, uint32_t in_flight);
/* Runs one execution; seconds until it was accepted, or 0 if it did not end in success. */
double hz_bench_acknowledged(struct hz_workflow *workflow);
/* Starts a worker and waits until it is ready: nanoseconds, or 0. *ret_worker: its id. */
double hz_bench_worker_start(struct hz_workflow *workflow, struct hz_uuid *ret_worker);
bool hz_bench_worker_stop(const struct hz_uuid *worker);
/* CPU time of the process and of all threads, seconds (/proc/PID/stat). */
double hz_bench_cpu_s(int pid);

#endif
