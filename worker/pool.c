/*
 * pool.c - what the threads of a worker do: turns, queues, stealing, blocking nodes. Worker, all threads.
 *
 * An execution is queued at the main thread. Whoever has nothing to do, or between two slices has the fewest executions begun,
 * takes from its own queue, else half of another's (at most 8), oldest first. Taken means moved under the victim's queue_lock into
 * the thief's own queue under its lock: an execution is in one queue or begun, never both, and begins on exactly one thread,
 * which keeps it. Pinned ones never enter a queue.
 */
#include "pool.h"
#include "call.h"
#include "crash.h"
#include "executor_run.h"
#include "js.h"
#include "report.h"
#include "worker.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLICE_RUNS 256u      /* about 50 us of trivial nodes: commands and others get their turn */
#define TURN_NS 200000u
#define STEAL_MAX 8u
#define SPIN_TURNS 200u      /* pauses before a thread without work sleeps */
#define STATS_NS 1000000000u
#define STOP_PAUSES 1000u /* of 0.2 ms, for threads that are inside a node when the worker ends */

int hz_pool_init(struct hz_worker *worker)
{
    struct hz_pool *pool = &worker->pool;
    memset(pool, 0, sizeof(*pool));
    if (pthread_mutex_init(&pool->lock, NULL) != 0)
        return HZ_ENOMEM;
    if (pthread_cond_init(&pool->work, NULL) != 0) {
        pthread_mutex_destroy(&pool->lock);
        return HZ_ENOMEM;
    }
    return 0;
}

void hz_pool_fini(struct hz_worker *worker)
{
    pthread_cond_destroy(&worker->pool.work);
    pthread_mutex_destroy(&worker->pool.lock);
}

/* ---- queues ---- */

static void append(struct hz_thread *thread, struct hz_execution *first, struct hz_execution *last, uint32_t count)
{
    last->next_queued = NULL;
    if (thread->queue_last)
        thread->queue_last->next_queued = first;
    else
        thread->queue_first = first;
    thread->queue_last = last;
    (void)atomic_fetch_add(&thread->queued, count);
}

/* Wakes one sleeping lane thread, not the caller's. */
static void wake_one(struct hz_worker *worker)
{
    for (uint32_t i = 1; i < worker->thread_count; i++)
        if (worker->threads[i] != hz_thread_self && atomic_load(&worker->threads[i]->asleep) != 0) {
            hz_thread_wake(worker->threads[i]);
            return;
        }
}

void hz_pool_submit(struct hz_worker *worker, struct hz_execution *execution)
{
    struct hz_thread *main_thread = worker->threads[0];
    if (execution->pinned) {
        hz_executor_begin(main_thread, execution);
        return;
    }
    pthread_mutex_lock(&main_thread->queue_lock);
    append(main_thread, execution, execution, 1);
    pthread_mutex_unlock(&main_thread->queue_lock);
    /* The main thread begins one itself; what is more than that is somebody else's. */
    if (worker->thread_count > 1 && (main_thread->ready_first || atomic_load(&main_thread->queued) > 1))
        wake_one(worker);
}

static struct hz_execution *take_own(struct hz_thread *thread)
{
    if (atomic_load_explicit(&thread->queued, memory_order_relaxed) == 0)
        return NULL;
    pthread_mutex_lock(&thread->queue_lock);
    struct hz_execution *execution = thread->queue_first;
    if (execution) {
        thread->queue_first = execution->next_queued;
        if (!thread->queue_first)
            thread->queue_last = NULL;
        (void)atomic_fetch_sub(&thread->queued, 1);
    }
    pthread_mutex_unlock(&thread->queue_lock);
    return execution;
}

/* Unlinks up to `most` executions from the front of the victim's queue. */
static uint32_t take_from(struct hz_thread *victim, uint32_t most, struct hz_execution **ret_first, struct hz_execution **ret_last)
{
    uint32_t count = 0;
    struct hz_execution *last = NULL;
    *ret_first = victim->queue_first;
    while (victim->queue_first && count < most) {
        last = victim->queue_first;
        victim->queue_first = last->next_queued;
        count++;
    }
    if (!victim->queue_first)
        victim->queue_last = NULL;
    if (last)
        last->next_queued = NULL;
    *ret_last = last;
    (void)atomic_fetch_sub(&victim->queued, count);
    return count;
}

static struct hz_execution *steal(struct hz_thread *thief)
{
    struct hz_worker *worker = thief->worker;
    for (uint32_t i = 1; i < worker->thread_count; i++) {
        struct hz_thread *victim = worker->threads[(thief->index + i) % worker->thread_count];
        uint32_t queued = atomic_load(&victim->queued);
        if (queued == 0)
            continue;
        struct hz_execution *first, *last;
        pthread_mutex_lock(&victim->queue_lock);
        uint32_t count = take_from(victim, HZ_MIN((queued + 1) / 2, STEAL_MAX), &first, &last);
        pthread_mutex_unlock(&victim->queue_lock);
        if (count == 0)
            continue;
        thief->stats.v[HZ_STAT_steals] += count;
        if (count > 1) {
            pthread_mutex_lock(&thief->queue_lock);
            append(thief, first->next_queued, last, count - 1);
            pthread_mutex_unlock(&thief->queue_lock);
            wake_one(worker); /* as one woke us: so the work spreads without a storm */
        }
        first->next_queued = NULL;
        return first;
    }
    return NULL;
}

bool hz_pool_has_work(struct hz_thread *thread)
{
    if (hz_thread_has_mail(thread) || thread->ready_first || atomic_load(&thread->queued) > 0)
        return true;
    struct hz_worker *worker = thread->worker;
    for (uint32_t i = 0; i < worker->thread_count; i++)
        if (worker->threads[i] != thread && atomic_load(&worker->threads[i]->queued) > 0)
            return true;
    return false;
}

/* ---- turns ---- */

static struct hz_execution *pop_ready(struct hz_thread *thread)
{
    struct hz_execution *execution = thread->ready_first;
    if (execution) {
        thread->ready_first = execution->next_ready;
        if (!thread->ready_first)
            thread->ready_last = NULL;
        execution->ready = false;
    }
    return execution;
}

/* Executions that are not begun come in between those that go on, but only where fewest are going on: a begun one stays, so
 * whoever takes more than its share keeps it from lanes that have nothing to do. The least loaded lane always may, and one
 * that sleeps was woken when the execution was queued. */
static bool may_begin(struct hz_thread *thread)
{
    if (!thread->ready_first)
        return true;
    if (!thread->unfinished)
        return false;
    struct hz_worker *worker = thread->worker;
    uint32_t own = atomic_load_explicit(&thread->ready_count, memory_order_relaxed);
    for (uint32_t i = 0; i < worker->thread_count; i++)
        if (atomic_load_explicit(&worker->threads[i]->ready_count, memory_order_relaxed) < own)
            return false;
    return true;
}

bool hz_pool_turn(struct hz_thread *thread, uint64_t budget_ns)
{
    struct hz_worker *worker = thread->worker;
    bool worked = false;
    thread->now_ns = hz_base_now_ns();
    uint64_t until_ns = thread->now_ns + budget_ns;
    do {
        bool did = hz_thread_drain(thread) > 0;
        if (hz_alarm_next(&thread->alarms) <= thread->now_ns)
            did = hz_alarm_run(&thread->alarms, thread, thread->now_ns) > 0 || did;
        struct hz_execution *execution;
        if (may_begin(thread) && !atomic_load_explicit(&worker->ending, memory_order_relaxed)) {
            execution = take_own(thread);
            if (!execution && worker->thread_count > 1)
                execution = steal(thread);
            if (execution) {
                hz_executor_begin(thread, execution);
                did = true;
            }
        }
        execution = pop_ready(thread);
        thread->unfinished = false;
        if (execution) {
            hz_crash_heartbeat(thread);
            if (!execution->finished && hz_executor_slice(execution, SLICE_RUNS)) {
                hz_executor_make_ready(execution);
                thread->unfinished = true;
            }
            hz_execution_unref(execution); /* the ready list's */
            hz_thread_count_ready(thread, -1);
            did = true;
        }
        if (!did)
            break;
        worked = true;
    } while (thread->now_ns < until_ns);
    thread->stats.v[HZ_STAT_queue_depth] = atomic_load_explicit(&thread->queued, memory_order_relaxed);
    return worked;
}

/* ---- lane threads ---- */

static void sleep_until_woken(struct hz_thread *thread)
{
    atomic_store(&thread->asleep, 1);
    if (hz_pool_has_work(thread) || atomic_load(&thread->worker->threads_stop)) {
        atomic_store(&thread->asleep, 0);
        return;
    }
    hz_report_stats(thread, false);
    uint64_t due = hz_alarm_next(&thread->alarms), now = hz_base_now_ns();
    struct timespec wait, *timeout = NULL;
    if (due != UINT64_MAX) {
        uint64_t ns = due > now ? due - now : 0;
        wait = (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
        timeout = &wait;
    }
    (void)syscall(SYS_futex, &thread->asleep, FUTEX_WAIT_PRIVATE, 1, timeout, NULL, 0);
    atomic_store(&thread->asleep, 0);
    hz_thread_woke(thread);
}

static void begin_thread(struct hz_thread *thread)
{
    hz_thread_self = thread;
    hz_memory_self = &thread->memory;
    (void)!hz_crash_thread_begin(thread); /* without an alternate stack only overflows are reported less well */
}

static void end_thread(struct hz_thread *thread)
{
    hz_js_free(&thread->js);
    hz_crash_thread_end(thread);
    hz_memory_self = NULL;
    hz_thread_self = NULL;
}

static void *lane_main(void *arg)
{
    struct hz_thread *thread = arg;
    begin_thread(thread);
    uint64_t published_ns = 0;
    unsigned idle = 0;
    while (!atomic_load_explicit(&thread->worker->threads_stop, memory_order_acquire)) {
        bool worked = hz_pool_turn(thread, TURN_NS);
        bool clean = hz_report_flush(thread);
        if (worked) {
            idle = 0;
            if (thread->now_ns - published_ns >= STATS_NS) {
                hz_report_stats(thread, false);
                published_ns = thread->now_ns;
            }
        } else if (!clean) {
            struct timespec pause = {.tv_nsec = 500000};
            nanosleep(&pause, NULL);
        } else if (++idle < SPIN_TURNS) {
            hz_worker_pause();
        } else {
            idle = 0;
            sleep_until_woken(thread);
        }
    }
    (void)hz_thread_drain(thread);
    hz_report_stats(thread, false); /* what it did since it slept last */
    (void)hz_report_flush(thread);
    hz_report_stats(thread, false); /* also what was done since its last sleep */
    struct hz_worker *worker = thread->worker;
    end_thread(thread);
    (void)atomic_fetch_add(&worker->lanes_gone, 1); /* from here on the main thread may touch what was ours */
    return NULL;
}

static int start_thread(struct hz_thread *thread, void *(*main_fn)(void *))
{
    pthread_attr_t attr;
    int r = pthread_attr_init(&attr);
    if (r != 0)
        return -r;
    (void)pthread_attr_setstacksize(&attr, HZ_POOL_STACK_BYTES);
    r = pthread_create(&thread->pthread, &attr, main_fn, thread);
    pthread_attr_destroy(&attr);
    thread->started = r == 0;
    return -r;
}

int hz_pool_start(struct hz_worker *worker)
{
    for (uint32_t i = 1; i < worker->thread_count; i++) {
        int r = start_thread(worker->threads[i], lane_main);
        if (r != 0)
            return hz_err_set(r, "thread %u of %u", (unsigned)i, (unsigned)worker->thread_count);
    }
    return 0;
}

/* ---- blocking nodes ---- */

static void run_outcome(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    hz_executor_blocking_done(HZ_CONTAINER_OF(mail, struct hz_call, mail));
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec : 0;
}

static void run_job(struct hz_call *call)
{
    bool given_up = atomic_load_explicit(&call->closed, memory_order_acquire) != 0;
    call->outcome = HZ_ERR_CLOSED;
    if (!given_up) {
        int (*code)(hz_call *) = call->event ? call->site->desc->event : call->site->desc->run;
        hz_crash_note(call->site->index, call->execution->number);
        hz_thread_call = call;
        uint64_t before = hz_thread_self && !hz_thread_self->lane ? thread_cpu_ns() : 0;
        call->outcome = code(call);
        if (before != 0) /* else the lane's own account has it */
            call->blocking_cpu_ns = thread_cpu_ns() - before;
        hz_thread_call = NULL;
        hz_crash_note(HZ_NO_NODE, 0);
    }
    call->mail.run = run_outcome;
    hz_thread_post(call->owner, &call->mail);
}

static void *blocking_main(void *arg)
{
    struct hz_thread *thread = arg;
    struct hz_pool *pool = &thread->worker->pool;
    begin_thread(thread);
    pthread_mutex_lock(&pool->lock);
    while (!pool->ending) {
        struct hz_mail *mail = pool->first;
        if (!mail) {
            pool->blocking_idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->blocking_idle--;
            continue;
        }
        pool->first = mail->next;
        if (!pool->first)
            pool->last = NULL;
        pthread_mutex_unlock(&pool->lock);
        run_job(HZ_CONTAINER_OF(mail, struct hz_call, mail));
        pthread_mutex_lock(&pool->lock);
    }
    pool->blocking_gone++;
    pthread_mutex_unlock(&pool->lock);
    end_thread(thread);
    return NULL;
}

/* Under the lock. Failure is fine as long as there is one thread; else the job runs on the owner's thread. */
static bool add_blocking_thread(struct hz_worker *worker)
{
    struct hz_pool *pool = &worker->pool;
    if (pool->blocking_count == HZ_POOL_BLOCKING_MAX)
        return pool->blocking_count > 0;
    struct hz_thread *thread = aligned_alloc(HZ_CACHE_LINE, HZ_ALIGN_UP(sizeof(*thread), (size_t)HZ_CACHE_LINE));
    if (!thread || hz_thread_init(thread, worker, HZ_MAX_LANES + pool->blocking_count, NULL) != 0) {
        free(thread);
        return pool->blocking_count > 0;
    }
    if (start_thread(thread, blocking_main) != 0) {
        hz_thread_fini(thread);
        free(thread);
        return pool->blocking_count > 0;
    }
    pool->blocking[pool->blocking_count++] = thread;
    return true;
}

void hz_pool_run_blocking(struct hz_call *call)
{
    struct hz_worker *worker = call->execution->worker;
    struct hz_pool *pool = &worker->pool;
    hz_executor_park_blocking(call);
    pthread_mutex_lock(&pool->lock);
    bool can = pool->blocking_idle > 0 || add_blocking_thread(worker);
    if (can) {
        call->mail.next = NULL;
        if (pool->last)
            pool->last->next = &call->mail;
        else
            pool->first = &call->mail;
        pool->last = &call->mail;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!can) /* not one thread to be had: better late than never */
        run_job(call);
}

/* ---- end ---- */

/* Nobody but the main thread is inside a node any more. */
static bool all_out(struct hz_worker *worker)
{
    uint32_t started = 0;
    for (uint32_t i = 1; i < worker->thread_count; i++)
        started += worker->threads[i]->started;
    struct hz_pool *pool = &worker->pool;
    pthread_mutex_lock(&pool->lock);
    bool out = pool->blocking_count == pool->blocking_idle + pool->blocking_gone;
    pthread_mutex_unlock(&pool->lock);
    return out && atomic_load(&worker->lanes_gone) == started;
}

bool hz_pool_stop(struct hz_worker *worker, bool wait)
{
    atomic_store(&worker->threads_stop, true);
    for (uint32_t i = 1; i < worker->thread_count; i++)
        if (worker->threads[i]->started)
            hz_thread_wake(worker->threads[i]);
    struct hz_pool *pool = &worker->pool;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < STOP_PAUSES && !all_out(worker) && !wait; i++) {
        struct timespec pause = {.tv_nsec = 200000};
        nanosleep(&pause, NULL);
    }
    if (!wait)
        return all_out(worker);
    for (uint32_t i = 1; i < worker->thread_count; i++)
        if (worker->threads[i]->started)
            (void)pthread_join(worker->threads[i]->pthread, NULL);
    for (uint32_t i = 0; i < pool->blocking_count; i++) {
        (void)pthread_join(pool->blocking[i]->pthread, NULL);
        hz_thread_fini(pool->blocking[i]);
        free(pool->blocking[i]);
    }
    pool->blocking_count = 0;
    return true;
}

struct hz_js *hz_pool_js(struct hz_thread *thread)
{
    if (thread->js || thread->js_refused)
        return thread->js;
    if (hz_js_new((thread->worker->request.caps & HZ_CAP_JIT) != 0, HZ_EXPRESSION_LIMIT_MS, &thread->js) != 0) {
        thread->js_refused = true;
        hz_report_linef(thread, 0, HZ_NO_NODE, HZ_LEVEL_ERROR, "JavaScript is not available: %s", hz_err_last());
        return NULL;
    }
    return thread->js;
}
