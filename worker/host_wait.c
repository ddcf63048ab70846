/*
 * host_wait.c - waiting without a thread: timers of calls, continuations from anywhere, cancel hooks, posts to the main
 * loop, watches on descriptors, timers of the loop. Worker; which thread is said at each function of node_calls.h.
 */
#include "checkpoint.h"
#include "executor_run.h"
#include "host.h"
#include "worker.h"

#include <stdlib.h>

/* ---- hz_after ---- */

struct timed {
    struct hz_wait wait;
    struct hz_alarm alarm;
    struct hz_mail mail; /* from a blocking thread: the owner sets the alarm */
    struct hz_call *call;
    hz_continue_fn *fn;
    void *arg;
    uint64_t due_ns;
};

static void drop_timed(struct hz_wait *wait)
{
    struct timed *timed = HZ_CONTAINER_OF(wait, struct timed, wait);
    hz_alarm_stop(&timed->call->owner->alarms, &timed->alarm);
    free(timed);
}

static void unlink_wait(struct hz_call *call, struct hz_wait *wait)
{
    struct hz_wait **link = &call->waits;
    while (*link != wait)
        link = &(*link)->next;
    *link = wait->next;
}

static void on_timed(struct hz_thread *thread, struct hz_alarm *alarm)
{
    (void)thread;
    struct timed *timed = HZ_CONTAINER_OF(alarm, struct timed, alarm);
    struct hz_call *call = timed->call;
    hz_continue_fn *fn = timed->fn;
    void *arg = timed->arg;
    unlink_wait(call, &timed->wait);
    free(timed);
    hz_executor_continue(call, fn, arg);
}

static int set_timed(struct timed *timed)
{
    struct hz_call *call = timed->call;
    if (hz_alarm_set(&call->owner->alarms, &timed->alarm, timed->due_ns) != 0)
        return HZ_ERR_NOMEM;
    timed->wait.next = call->waits;
    call->waits = &timed->wait;
    return HZ_OK;
}

/* A blocking call's timer arrives at the owner: behind the outcome if that is still to come. */
static void run_set_timed(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    struct timed *timed = HZ_CONTAINER_OF(mail, struct timed, mail);
    struct hz_call *call = timed->call;
    if (call->blocking && atomic_load_explicit(&call->closed, memory_order_relaxed) == 0) {
        mail->next = call->early;
        call->early = mail;
        return;
    }
    if (call->state != HZ_CALL_DEFERRED || set_timed(timed) != HZ_OK)
        free(timed);
    hz_call_unref(call);
}

static bool is_cancelled(const struct hz_call *call)
{
    return atomic_load_explicit(&call->closed, memory_order_acquire) != 0 ||
           atomic_load_explicit(&call->execution->cancel, memory_order_relaxed) != 0;
}

static int host_after(hz_call *call, uint64_t delay_ms, hz_continue_fn *fn, void *arg)
{
    if (!hz_host_is_open(call) || !fn)
        return HZ_ERR_INVALID;
    if (is_cancelled(call))
        return HZ_ERR_CLOSED;
    struct timed *timed = calloc(1, sizeof(*timed));
    if (!timed)
        return HZ_ERR_NOMEM;
    uint64_t delay_ns = HZ_MIN(delay_ms, UINT64_MAX / 2000000u) * 1000000u;
    if (hz_thread_self == call->owner && delay_ms >= HZ_LONG_WAIT_MS)
        call->execution->long_wait = true;
    if (call->at.since_ms != 0) { /* it waited before the crash: what has passed since counts, once */
        int64_t passed_ms = hz_base_wall_ms() - call->at.since_ms;
        call->at.since_ms = 0;
        if (passed_ms > 0)
            delay_ns -= HZ_MIN(delay_ns, (uint64_t)passed_ms * 1000000u);
    }
    *timed = (struct timed){.wait = {.drop = drop_timed}, .alarm = {.fire = on_timed}, .mail = {.run = run_set_timed},
            .call = call, .fn = fn, .arg = arg, .due_ns = hz_base_now_ns() + delay_ns};
    if (hz_thread_self == call->owner) {
        int r = set_timed(timed);
        if (r != HZ_OK)
            free(timed);
        return r;
    }
    (void)atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
    hz_thread_post(call->owner, &timed->mail);
    return HZ_OK;
}

/* ---- hz_resume, hz_done ---- */

struct resumed {
    struct hz_mail mail;
    struct hz_call *call;
    hz_continue_fn *fn; /* NULL: hz_done() */
    void *arg;
};

/* A call that was cancelled without a hook has waited for this: now nobody knows it any more. */
static void release_stranded(struct hz_call *call)
{
    uint32_t stranded = HZ_CLOSED_STRANDED;
    if (atomic_compare_exchange_strong(&call->closed, &stranded, HZ_CLOSED_HOOKED))
        hz_call_unref(call);
}

static void run_resumed(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    struct resumed *resumed = HZ_CONTAINER_OF(mail, struct resumed, mail);
    struct hz_call *call = resumed->call;
    if (call->blocking && atomic_load_explicit(&call->closed, memory_order_relaxed) == 0) {
        mail->next = call->early; /* its run() has not come back yet */
        call->early = mail;
        return;
    }
    if (call->state != HZ_CALL_DEFERRED)
        release_stranded(call);
    else if (resumed->fn)
        hz_executor_continue(call, resumed->fn, resumed->arg);
    else
        hz_executor_close_done(call);
    free(resumed);
    hz_call_unref(call);
}

static int post_resumed(hz_call *call, hz_continue_fn *fn, void *arg)
{
    if (!call || call->magic != HZ_CALL_MAGIC)
        return HZ_ERR_INVALID;
    if (atomic_load_explicit(&call->closed, memory_order_acquire) != 0) {
        release_stranded(call);
        return HZ_ERR_CLOSED;
    }
    if (hz_thread_self == call->owner && call->state == HZ_CALL_OVER)
        return HZ_ERR_ALREADY; /* on other threads the owner will see when the letter arrives */
    struct resumed *resumed = malloc(sizeof(*resumed));
    if (!resumed)
        return HZ_ERR_NOMEM;
    *resumed = (struct resumed){.mail = {.run = run_resumed}, .call = call, .fn = fn, .arg = arg};
    (void)atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
    hz_thread_post(call->owner, &resumed->mail);
    return HZ_OK;
}

static int host_resume(hz_call *call, hz_continue_fn *fn, void *arg)
{
    return fn ? post_resumed(call, fn, arg) : HZ_ERR_INVALID;
}

static int host_done(hz_call *call)
{
    if (!call || call->magic != HZ_CALL_MAGIC)
        return HZ_ERR_ALREADY;
    if (hz_thread_call == call) { /* from its own code */
        if (!call->blocking && !call->counted && !call->daemon)
            return HZ_ERR_INVALID; /* it was not deferred */
        if (call->done)
            return HZ_ERR_ALREADY;
        call->done = true;
        return HZ_OK;
    }
    return post_resumed(call, NULL, NULL);
}

/* ---- cancel ---- */

static int host_on_cancel(hz_call *call, hz_loop_fn *fn, void *arg)
{
    if (!hz_host_is_open(call) || !fn)
        return HZ_ERR_INVALID;
    if (is_cancelled(call))
        return HZ_ERR_CLOSED;
    struct hz_hook *hook = malloc(sizeof(*hook));
    if (!hook)
        return HZ_ERR_NOMEM;
    *hook = (struct hz_hook){.next = call->hooks, .fn = fn, .arg = arg};
    call->hooks = hook;
    return HZ_OK;
}

static bool host_cancelled(hz_call *call)
{
    return !call || call->magic != HZ_CALL_MAGIC || is_cancelled(call);
}

/* ---- the main loop ---- */

struct posted {
    struct hz_mail mail;
    hz_loop_fn *fn;
    void *arg;
};

static void run_posted(struct hz_thread *thread, struct hz_mail *mail)
{
    (void)thread;
    struct posted *posted = HZ_CONTAINER_OF(mail, struct posted, mail);
    posted->fn(posted->arg, 0);
    free(posted);
}

static int host_loop_post(hz_loop_fn *fn, void *arg)
{
    struct hz_worker *worker = hz_worker_self();
    if (!fn || !worker)
        return HZ_ERR_INVALID;
    if (atomic_load_explicit(&worker->ending, memory_order_relaxed))
        return HZ_ERR_CLOSED;
    struct posted *posted = malloc(sizeof(*posted));
    if (!posted)
        return HZ_ERR_NOMEM;
    *posted = (struct posted){.mail = {.run = run_posted}, .fn = fn, .arg = arg};
    hz_thread_post(worker->threads[0], &posted->mail);
    return HZ_OK;
}

/* A descriptor or a timer. libuv's handle lives until its close callback has run. */
struct hz_watch {
    union {
        uv_handle_t handle;
        uv_poll_t poll;
        uv_timer_t timer;
    } uv;
    bool is_timer, stopped;
    hz_loop_fn *fn;
    void *arg;
    struct hz_worker *worker;
};

static bool on_main_thread(void)
{
    return hz_thread_self && hz_thread_self->index == 0 && hz_thread_self->lane;
}

static void on_poll(uv_poll_t *poll, int status, int uv_events)
{
    hz_watch *watch = poll->data;
    int events = (uv_events & UV_READABLE ? HZ_WATCH_READ : 0) | (uv_events & UV_WRITABLE ? HZ_WATCH_WRITE : 0);
    if (status < 0) /* a broken descriptor: its next call will say what is wrong */
        events = HZ_WATCH_READ | HZ_WATCH_WRITE;
    watch->fn(watch->arg, events);
}

static void on_timer(uv_timer_t *timer)
{
    hz_watch *watch = timer->data;
    uv_stop(timer->loop); /* timers fire before the loop polls: what fn posts must not wait behind a poll that blocks */
    watch->fn(watch->arg, 0);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void host_watch_stop(hz_watch *watch)
{
    if (!watch || watch->stopped || !on_main_thread())
        return;
    watch->stopped = true;
    watch->worker->handles--;
    uv_close(&watch->uv.handle, on_closed);
}

static int host_watch_events(hz_watch *watch, int events)
{
    if (!watch || watch->is_timer || watch->stopped || !on_main_thread())
        return HZ_ERR_INVALID;
    int uv_events = (events & HZ_WATCH_READ ? UV_READABLE : 0) | (events & HZ_WATCH_WRITE ? UV_WRITABLE : 0);
    int r = uv_events ? uv_poll_start(&watch->uv.poll, uv_events, on_poll) : uv_poll_stop(&watch->uv.poll);
    return r == 0 ? HZ_OK : HZ_ERR_INVALID;
}

static hz_watch *new_watch(hz_loop_fn *fn, void *arg)
{
    struct hz_worker *worker = hz_worker_self();
    hz_watch *watch = fn && worker && on_main_thread() ? calloc(1, sizeof(*watch)) : NULL;
    if (watch) {
        watch->fn = fn;
        watch->arg = arg;
        watch->worker = worker;
    }
    return watch;
}

static hz_watch *host_watch(int fd, int events, hz_loop_fn *fn, void *arg)
{
    hz_watch *watch = new_watch(fn, arg);
    if (!watch)
        return NULL;
    if (uv_poll_init(&watch->worker->loop, &watch->uv.poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    watch->uv.poll.data = watch;
    watch->worker->handles++;
    if (host_watch_events(watch, events) != HZ_OK) {
        host_watch_stop(watch);
        return NULL;
    }
    return watch;
}

static hz_watch *host_timer(uint64_t delay_ms, uint64_t repeat_ms, hz_loop_fn *fn, void *arg)
{
    hz_watch *watch = new_watch(fn, arg);
    if (!watch)
        return NULL;
    watch->is_timer = true;
    (void)uv_timer_init(&watch->worker->loop, &watch->uv.timer); /* cannot fail */
    watch->uv.timer.data = watch;
    watch->worker->handles++;
    uv_update_time(&watch->worker->loop); /* the loop's own clock stands still while executions run */
    if (uv_timer_start(&watch->uv.timer, on_timer, delay_ms, repeat_ms) != 0) {
        host_watch_stop(watch);
        return NULL;
    }
    return watch;
}

void hz_host_set_waiting(struct hz_host *host)
{
    host->after = host_after;
    host->resume = host_resume;
    host->done = host_done;
    host->on_cancel = host_on_cancel;
    host->cancelled = host_cancelled;
    host->loop_post = host_loop_post;
    host->watch = host_watch;
    host->timer = host_timer;
    host->watch_events = host_watch_events;
    host->watch_stop = host_watch_stop;
}
