/*
 * thread.h - one thread of a worker: its lane, its inbox, its queue of executions, its timers and the memory it uses
 * again. A lane thread runs executions and is the only writer of its lane; a blocking thread has no lane and hands what it
 * has to say to the thread that owns the execution.
 */
#ifndef HZ_WORKER_THREAD_H
#define HZ_WORKER_THREAD_H

#include "alarm.h"
#include "branch.h"
#include "memory.h"
#include "shm/shm.h"
#include <pthread.h>
#include <stdatomic.h>

struct hz_worker;
struct hz_thread;
struct hz_execution;
struct hz_call;
struct hz_chunk;
struct hz_ask;
struct hz_js;

/* A letter to a thread; `run` is called once on that thread and owns the mail from then on. */
struct hz_mail {
    struct hz_mail *next;
    void (*run)(struct hz_thread *thread, struct hz_mail *mail);
};

/*
 * Who touches what:
 *   inbox   any thread pushes (compare-and-swap); the owner takes everything (exchange, acquire). Since the owner
 *           takes the whole list there is no pop that could meet a node used again.
 *   asleep  the owner stores 1 and then looks once more at inbox and queues; whoever adds work loads it after adding. Both
 *           sides are sequentially consistent, so either the owner sees the work or the other sees the 1 and wakes. The
 *           waker that exchanges it to 0 does the waking, so one sleep is woken once.
 *   queue_* under queue_lock; `queued` is also read without it as a hint (relaxed).
 *   the rest: the thread itself.
 */
struct hz_thread {
    uint32_t magic;
#define HZ_THREAD_MAGIC 0x7472644du
    uint32_t index; /* of the lane; blocking threads count on behind the lanes */
    struct hz_worker *worker;
    struct hz_lane *lane; /* NULL: a blocking thread */
    struct hz_stream_out results, metrics;
    struct hz_stats stats;
    uint64_t now_ns;      /* the clock as last read */
    uint64_t cpu_base_ns, cpu_wall_ns; /* thread CPU time and clock when both were last read together; cpu_wall_ns 0: read next time */
    uint64_t billed_ns, cpu_ahead_ns;  /* the clock up to which time is charged; what was charged by the clock since cpu_base_ns */
    uint64_t slices;      /* counted into the heartbeat */
    int64_t told_ms;      /* wall clock when a tell was last published within a node's run */

    struct hz_execution *ready_first, *ready_last; /* begun, with work */
    struct hz_alarms alarms;
    struct hz_branch_pool branches;
    struct hz_memory memory; /* bytes of values, written by this thread */
    struct hz_call *free_calls;
    struct hz_chunk *free_chunks;
    uint32_t free_call_count, free_chunk_count;
    struct hz_ask *asks; /* open questions */
    uint64_t ask_count;
    struct hz_js *js;
    bool js_refused; /* tried in vain: do not try again */
    bool unfinished; /* the last slice left its execution with work */

    pthread_t pthread;
    bool started; /* pthread is valid */
    void *signal_stack;

    _Alignas(HZ_CACHE_LINE) _Atomic(struct hz_mail *) inbox;
    _Atomic uint32_t asleep;
    _Atomic size_t forwarded; /* bytes of records that wait for us to send them (report.c): others add, we take away */
    _Alignas(HZ_CACHE_LINE) pthread_mutex_t queue_lock;
    struct hz_execution *queue_first, *queue_last; /* not begun; may be taken by others */
    _Atomic uint32_t queued;
    _Atomic uint32_t ready_count; /* length of the ready list and the one that runs; the owner stores, the others look */
};

/* Owner only. A hint for others: relaxed is enough. */
static inline void hz_thread_count_ready(struct hz_thread *thread, int change)
{
    uint32_t count = atomic_load_explicit(&thread->ready_count, memory_order_relaxed);
    atomic_store_explicit(&thread->ready_count, count + (uint32_t)change, memory_order_relaxed);
}

/* The calling thread; NULL outside a worker's threads. */
extern _Thread_local struct hz_thread *hz_thread_self;
/* The call whose code runs on this thread now; NULL between calls. */
extern _Thread_local struct hz_call *hz_thread_call;

/* 0 or HZ_ENOMEM. lane NULL: a blocking thread. */
HZ_MUST_CHECK int hz_thread_init(struct hz_thread *ret_thread, struct hz_worker *worker, uint32_t index, struct hz_lane *lane);
void hz_thread_fini(struct hz_thread *thread);

/* Any thread. Wakes the receiver if it sleeps. */
void hz_thread_post(struct hz_thread *to, struct hz_mail *mail);
/* Owner. Runs what is in the inbox, in order of posting; how many. */
size_t hz_thread_drain(struct hz_thread *thread);
static inline bool hz_thread_has_mail(struct hz_thread *thread)
{
    return atomic_load(&thread->inbox) != NULL;
}
/* Owner, after a sleep: time asleep is nobody's, and the next bill asks the kernel. */
static inline void hz_thread_woke(struct hz_thread *thread)
{
    thread->billed_ns = hz_base_now_ns();
    thread->cpu_wall_ns = 0;
}
/* Any thread, after making work visible to `to` by a sequentially consistent store. */
void hz_thread_wake(struct hz_thread *to);

#endif
