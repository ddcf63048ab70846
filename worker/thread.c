/*
 * thread.c - inbox and sleep of a worker's threads. The proofs stand at struct hz_thread; what a thread does when it is
 * awake is in pool.c (lanes, blocking threads) and worker.c (main loop).
 */
#include "thread.h"
#include "call.h"
#include "report.h"
#include "worker.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct hz_thread *hz_thread_self;
_Thread_local struct hz_call *hz_thread_call;

int hz_thread_init(struct hz_thread *ret_thread, struct hz_worker *worker, uint32_t index, struct hz_lane *lane)
{
    memset(ret_thread, 0, sizeof(*ret_thread));
    ret_thread->magic = HZ_THREAD_MAGIC;
    ret_thread->index = index;
    ret_thread->worker = worker;
    ret_thread->lane = lane;
    ret_thread->memory.limit = INT64_MAX;
    ret_thread->now_ns = hz_base_now_ns();
    if (pthread_mutex_init(&ret_thread->queue_lock, NULL) != 0)
        return HZ_ENOMEM;
    if (lane)
        hz_report_attach(ret_thread);
    return 0;
}

void hz_thread_fini(struct hz_thread *thread)
{
    HZ_CHECK_OBJ(thread, HZ_THREAD_MAGIC);
    for (struct hz_call *call = thread->free_calls, *next; call; call = next) {
        next = call->next;
        free(call);
    }
    for (struct hz_chunk *chunk = thread->free_chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    hz_alarm_fini(&thread->alarms);
    if (thread->lane) {
        hz_stream_out_fini(&thread->results);
        hz_stream_out_fini(&thread->metrics);
        hz_branch_pool_fini(&thread->branches);
    }
    pthread_mutex_destroy(&thread->queue_lock);
    thread->magic = 0;
}

void hz_thread_wake(struct hz_thread *to)
{
    if (atomic_load(&to->asleep) == 0 || atomic_exchange(&to->asleep, 0) == 0)
        return;
    if (to->index == 0)
        (void)uv_async_send(&to->worker->wake);
    else
        (void)syscall(SYS_futex, &to->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void hz_thread_post(struct hz_thread *to, struct hz_mail *mail)
{
    struct hz_mail *top = atomic_load_explicit(&to->inbox, memory_order_relaxed);
    do {
        mail->next = top;
    } while (!atomic_compare_exchange_weak(&to->inbox, &top, mail));
    if (to != hz_thread_self)
        hz_thread_wake(to);
}

size_t hz_thread_drain(struct hz_thread *thread)
{
    if (!hz_thread_has_mail(thread))
        return 0;
    struct hz_mail *newest = atomic_exchange_explicit(&thread->inbox, NULL, memory_order_acquire), *oldest = NULL;
    while (newest) {
        struct hz_mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    size_t count = 0;
    while (oldest) {
        struct hz_mail *next = oldest->next;
        oldest->run(thread, oldest);
        oldest = next;
        count++;
    }
    return count;
}
