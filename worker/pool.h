/*
 * pool.h - the threads of a worker: lanes that run executions and steal whole ones from each other before they begin, and
 * further threads, made on need and bounded, for nodes that block.
 */
#ifndef HZ_WORKER_POOL_H
#define HZ_WORKER_POOL_H

#include "executor.h"
#include "thread.h"

#define HZ_POOL_BLOCKING_MAX 16u
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HZ_POOL_STACK_BYTES ((size_t)8 << 20)
#else
#define HZ_POOL_STACK_BYTES ((size_t)1 << 20) /* the script engine wants 512 KiB; what is not touched costs nothing */
#endif

struct hz_pool {
    pthread_mutex_t lock; /* of everything here */
    pthread_cond_t work;  /* a job, or the end */
    struct hz_mail *first, *last; /* calls of blocking nodes (struct hz_call.mail), in order */
    struct hz_thread *blocking[HZ_POOL_BLOCKING_MAX];
    uint32_t blocking_count, blocking_idle, blocking_gone;
    bool ending;
};

HZ_MUST_CHECK int hz_pool_init(struct hz_worker *worker);
/* Starts the lane threads 1 .. thread_count - 1. 0 or -errno. */
HZ_MUST_CHECK int hz_pool_start(struct hz_worker *worker);
/* Main thread: asks all threads to end. wait: joins them, however long it takes. Else it waits 0.2 s at most; false: somebody
 * is still inside a node, so what nodes use must be left alone. */
bool hz_pool_stop(struct hz_worker *worker, bool wait);
void hz_pool_fini(struct hz_worker *worker);

/* Main thread: an execution that has not begun goes into its queue, from where idle threads may take it. */
void hz_pool_submit(struct hz_worker *worker, struct hz_execution *execution);
/* A lane thread: letters, alarms, slices, new executions, until budget_ns is used up or nothing is left. True: it did
 * something. */
bool hz_pool_turn(struct hz_thread *thread, uint64_t budget_ns);
/* Is there anything this thread could do now? Sequentially consistent looks, for the last look before sleep. */
bool hz_pool_has_work(struct hz_thread *thread);
/* Owner: hands a call of a blocking node to a thread of its own. */
void hz_pool_run_blocking(struct hz_call *call);
/* This lane's JavaScript, started when first needed; NULL: not available. */
struct hz_js *hz_pool_js(struct hz_thread *thread);

#endif
