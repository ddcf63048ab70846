/*
 * worker.c - the main loop of a worker: takes commands, runs executions, sleeps; the table of executions; the end.
 * Worker, main thread.
 *
 * Sleep: the doorbell is announced (manager's side), then `asleep` (our own threads' side), then everything is looked at
 * once more, and only then the loop waits in epoll for the doorbell and for uv_async_send() of our own. So an idle
 * worker makes no system call at all, except one look a second later at its own memory, so that the last figures are right.
 */
#include "worker.h"
#include "ask.h"
#include "call.h"
#include "crash.h"
#include "executor_run.h"
#include "js.h"
#include "report.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TURN_NS 200000u
#define COMMANDS_PER_TURN 64u
#define LOOK_NS 250000u     /* between two looks at nodes' descriptors while there is work */
#define KERNEL_NS 1000000000u
#define SPINS 200u          /* answers come in 0.2 us to who spins, in 50 us to who sleeps */
#define BACKLOG_WAIT_MS 1

static struct hz_worker *this_worker;
static _Atomic int signal_seen;

struct hz_worker *hz_worker_self(void)
{
    return this_worker;
}

static void on_bell(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct hz_worker *worker = poll->data;
    worker->rung = true;
}

/* Waking was all: the turn looks at the alarms. A timer that is due already fires before the loop polls, and would then
 * let it block for ever: uv_stop() makes that poll return at once. */
static void on_alarm(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void on_wake(uv_async_t *async)
{
    (void)async;
}

static int make_loop(struct hz_worker *worker)
{
    int r = uv_loop_init(&worker->loop);
    if (r != 0)
        return hz_err_set(r, "event loop");
    worker->loop_made = true;
    r = uv_poll_init(&worker->loop, &worker->bell_poll, worker->bell.fd);
    if (r != 0)
        return hz_err_set(r, "doorbell");
    worker->bell_poll.data = worker;
    r = uv_poll_start(&worker->bell_poll, UV_READABLE, on_bell);
    if (r != 0)
        return hz_err_set(r, "doorbell");
    r = uv_async_init(&worker->loop, &worker->wake, on_wake);
    if (r != 0)
        return hz_err_set(r, "wake-up");
    return uv_timer_init(&worker->loop, &worker->alarm);
}

int hz_worker_init(struct hz_worker *ret_worker, const struct hz_spawn_request *request, const struct hz_segment *segment,
        int worker_fd, int manager_fd)
{
    struct hz_worker *worker = ret_worker;
    memset(worker, 0, sizeof(*worker));
    worker->magic = HZ_WORKER_MAGIC;
    worker->request = *request;
    worker->segment = *segment;
    worker->manager_fd = manager_fd;
    hz_uuid_format(&request->worker_id, worker->id_text);
    worker->statm_fd = -1;
    worker->kernel_ns = hz_base_now_ns();
    worker->kernel_stale = true;
    worker->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    worker->limits = (struct hz_limits){.steps = HZ_MAX_STEPS, .queued = HZ_MAX_QUEUED, .bytes = UINT64_C(1) << 30};
    if (request->memory_limit_bytes != 0)
        worker->limits.bytes = HZ_MIN(worker->limits.bytes, request->memory_limit_bytes);
    hz_doorbell_attach(&worker->bell, &worker->segment.header->worker_sleep, worker_fd);
    int r = hz_stream_in_init(&worker->commands, &worker->segment.commands, 'C', false);
    if (r != 0)
        return r;
    r = hz_pool_init(worker);
    if (r != 0)
        return r;
    worker->thread_count = HZ_MIN(HZ_MAX(request->threads, 1u), worker->segment.geometry.lanes);
    for (uint32_t i = 0; i < worker->thread_count; i++) {
        size_t bytes = HZ_ALIGN_UP(sizeof(struct hz_thread), (size_t)HZ_CACHE_LINE);
        struct hz_thread *thread = aligned_alloc(HZ_CACHE_LINE, bytes);
        if (!thread)
            return HZ_ENOMEM;
        r = hz_thread_init(thread, worker, i, &worker->segment.lanes[i]);
        if (r != 0) {
            free(thread);
            return r;
        }
        worker->threads[i] = thread;
    }
    hz_thread_self = worker->threads[0];
    hz_memory_self = &worker->threads[0]->memory;
    this_worker = worker;
    r = make_loop(worker);
    if (r != 0)
        return r;
    hz_log_set_sink(hz_report_sink, worker);
    return 0;
}

/* ---- executions ---- */

static uint32_t bucket(const struct hz_worker *worker, uint64_t number)
{
    return (uint32_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (worker->table_size - 1);
}

static int grow_table(struct hz_worker *worker)
{
    uint32_t size = worker->table_size ? worker->table_size * 2 : 64;
    struct hz_execution **table = calloc(size, sizeof(struct hz_execution *));
    if (!table)
        return worker->table_size ? 0 : HZ_ENOMEM; /* longer chains are slower, not wrong */
    free(worker->table);
    worker->table = table;
    worker->table_size = size;
    for (struct hz_execution *e = worker->all; e; e = e->all_next) {
        uint32_t i = bucket(worker, e->number);
        e->table_next = table[i];
        table[i] = e;
    }
    return 0;
}

int hz_worker_add_execution(struct hz_worker *worker, struct hz_execution *execution)
{
    if (worker->execution_count >= worker->table_size && grow_table(worker) != 0)
        return HZ_ENOMEM;
    uint32_t i = bucket(worker, execution->number);
    execution->table_next = worker->table[i];
    worker->table[i] = execution;
    execution->all_prev = NULL;
    execution->all_next = worker->all;
    if (worker->all)
        worker->all->all_prev = execution;
    worker->all = execution;
    worker->execution_count++;
    return 0;
}

struct hz_execution *hz_worker_find_execution(struct hz_worker *worker, uint64_t number)
{
    struct hz_execution *execution = worker->table_size ? worker->table[bucket(worker, number)] : NULL;
    while (execution && execution->number != number)
        execution = execution->table_next;
    return execution;
}

static void remove_execution(struct hz_worker *worker, struct hz_execution *execution)
{
    struct hz_execution **link = &worker->table[bucket(worker, execution->number)];
    while (*link != execution)
        link = &(*link)->table_next;
    *link = execution->table_next;
    if (execution->all_prev)
        execution->all_prev->all_next = execution->all_next;
    else
        worker->all = execution->all_next;
    if (execution->all_next)
        execution->all_next->all_prev = execution->all_prev;
    worker->execution_count--;
}

void hz_worker_execution_done(struct hz_execution *execution)
{
    struct hz_worker *worker = execution->worker;
    if (!worker->resident)
        hz_worker_end(worker, execution->final_state == HZ_EXEC_SUCCESS ? 0 : 1);
    if (execution->has_daemon)
        return; /* a trigger lives in it: it stays to the end of the worker */
    remove_execution(worker, execution);
    hz_execution_unref(execution);
}

/* ---- end ---- */

void hz_worker_end(struct hz_worker *worker, int exit_code)
{
    if (atomic_load(&worker->ending))
        return;
    worker->exit_code = exit_code;
    atomic_store(&worker->ending, true);
}

void hz_worker_ready(struct hz_worker *worker)
{
    if (worker->ready || worker->failed)
        return;
    worker->ready = true;
    struct hz_msg_ready ready = {.pid = (uint32_t)getpid(), .nodes = worker->site_count};
    struct hz_part part = {&ready, sizeof(ready)};
    (void)hz_report_send(worker->threads[0], HZ_MSG_READY, &part, 1, 0);
    (void)hz_report_flush(worker->threads[0]); /* now: the node that runs next may not come back */
}

void hz_worker_fatal(struct hz_worker *worker, const char *format, ...)
{
    char reason[1024], text[1200];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    if (n <= 0)
        snprintf(reason, sizeof(reason), "Error desconocido");
    n = snprintf(text, sizeof(text), "Error inicializando worker %s: %s", worker->id_text, reason);
    size_t len = n < 0 ? 0 : HZ_MIN((size_t)n, sizeof(text) - 1);
    hz_report_line(worker->threads[0], 0, HZ_NO_NODE, HZ_LEVEL_ERROR, false, text, len);
    struct hz_msg_fatal fatal = {.message_len = (uint32_t)strlen(reason)};
    struct hz_part parts[] = {{&fatal, sizeof(fatal)}, {reason, fatal.message_len}};
    (void)hz_report_send(worker->threads[0], HZ_MSG_FATAL, parts, 2, 0);
    worker->failed = true;
    hz_worker_end(worker, 1);
}

void hz_worker_on_signal(int signal_number)
{
    int saved = errno;
    atomic_store(&signal_seen, signal_number);
    if (this_worker && this_worker->loop_made)
        (void)uv_async_send(&this_worker->wake); /* async-signal-safe by its manual */
    errno = saved;
}

static void check_signal(struct hz_worker *worker)
{
    int number = atomic_load_explicit(&signal_seen, memory_order_relaxed);
    if (__builtin_expect(number == 0, 1) || atomic_load(&worker->ending))
        return;
    hz_report_linef(worker->threads[0], 0, HZ_NO_NODE, HZ_LEVEL_INFO, "Worker %s recibió %s, terminando...", worker->id_text,
            number == SIGTERM ? "SIGTERM" : "SIGINT");
    hz_worker_end(worker, 0);
}

static void be(struct hz_thread *thread)
{
    hz_thread_self = thread;
    hz_memory_self = &thread->memory;
}

/* What nodes hold outside this process, and what waits for answers, in good order. All other threads are out: the main one
 * stands in for them. */
static void close_nodes(struct hz_worker *worker)
{
    struct hz_thread *main_thread = worker->threads[0];
    (void)hz_thread_drain(main_thread); /* posts made so far */
    for (uint32_t i = 0; i < worker->thread_count; i++) {
        be(worker->threads[i]);
        hz_ask_stop(worker->threads[i]);
        (void)hz_report_flush(worker->threads[i]);
    }
    be(main_thread);
    for (struct hz_execution *e = worker->all; e; e = e->all_next)
        for (struct hz_call *call = e->calls; call; call = call->next)
            if (call->hooks && !call->blocking)
                hz_executor_post_hooks(call);
    (void)hz_thread_drain(main_thread);
    for (uint32_t i = 0; i < worker->site_count; i++) {
        struct hz_site *site = &worker->sites[i];
        if (site->desc && site->desc->close && site->self)
            site->desc->close(site->self);
    }
}

/* ---- the loop ---- */

static bool take_commands(struct hz_worker *worker)
{
    if (!hz_ring_has_data(&worker->segment.commands))
        return false;
    struct hz_msg msg;
    bool any = false;
    hz_stream_in_begin(&worker->commands, COMMANDS_PER_TURN, 0);
    for (;;) {
        enum hz_ring_result result = hz_stream_in_next(&worker->commands, &msg);
        if (result == HZ_RING_OK) {
            hz_command_run(worker, &msg);
            any = true;
            continue;
        }
        if (result == HZ_RING_POISON)
            hz_worker_fatal(worker, "command ring: %s",
                    worker->commands.poison_reason ? worker->commands.poison_reason : "broken record");
        else if (result == HZ_RING_CLOSED)
            hz_worker_end(worker, 0);
        break;
    }
    hz_stream_in_end(&worker->commands);
    return any;
}

static bool anything_new(struct hz_worker *worker)
{
    return hz_ring_has_data(&worker->segment.commands) || hz_pool_has_work(worker->threads[0]) ||
           atomic_load_explicit(&signal_seen, memory_order_relaxed) != 0;
}

static bool spin(struct hz_worker *worker)
{
    for (unsigned i = 0; i < SPINS; i++) {
        hz_worker_pause();
        if (anything_new(worker))
            return true;
    }
    return false;
}

/* Waits in the loop; wait_ms < 0: until something happens. */
static void sleep_in_loop(struct hz_worker *worker, bool clean)
{
    struct hz_thread *thread = worker->threads[0];
    hz_doorbell_sleep(&worker->bell);
    atomic_store(&thread->asleep, 1);
    uv_run_mode mode = UV_RUN_ONCE;
    if (anything_new(worker)) {
        mode = UV_RUN_NOWAIT;
    } else {
        uint64_t due = hz_alarm_next(&thread->alarms), wait_ms = UINT64_MAX;
        if (due != UINT64_MAX) {
            uint64_t now = hz_base_now_ns();
            wait_ms = due > now ? (due - now + 999999u) / 1000000u : 0;
        }
        if (!clean)
            wait_ms = HZ_MIN(wait_ms, (uint64_t)BACKLOG_WAIT_MS);
        if (worker->kernel_stale)
            wait_ms = HZ_MIN(wait_ms, (uint64_t)KERNEL_NS / 1000000u);
        uv_update_time(&worker->loop);
        if (wait_ms != UINT64_MAX)
            (void)uv_timer_start(&worker->alarm, on_alarm, wait_ms, 0);
    }
    (void)uv_run(&worker->loop, mode);
    (void)uv_timer_stop(&worker->alarm);
    atomic_store(&thread->asleep, 0);
    hz_doorbell_awake(&worker->bell, worker->rung);
    worker->rung = false;
    worker->looked_ns = thread->now_ns = hz_base_now_ns();
    hz_thread_woke(thread);
}

/* Counters go out when there is nothing to do, and once a second while there is; the kernel is asked once a second at most. */
static void publish(struct hz_worker *worker, bool idle)
{
    struct hz_thread *thread = worker->threads[0];
    bool due = thread->now_ns - worker->kernel_ns >= KERNEL_NS;
    if (!idle && !due)
        return;
    if (due && (worker->kernel_stale || !idle)) {
        worker->kernel_ns = thread->now_ns;
        worker->kernel_stale = false;
        hz_report_stats(thread, true);
    } else {
        hz_report_stats(thread, false);
    }
}

int hz_worker_run(struct hz_worker *worker)
{
    HZ_CHECK_OBJ(worker, HZ_WORKER_MAGIC);
    struct hz_thread *thread = worker->threads[0];
    int started = hz_pool_start(worker);
    if (started != 0)
        hz_worker_fatal(worker, "%s", hz_err_last());
    if ((worker->request.flags & HZ_SPAWN_SPARE) != 0 && !worker->plan) {
        struct hz_msg_warm warm = {.pid = (uint32_t)getpid()};
        struct hz_part part = {&warm, sizeof(warm)};
        (void)hz_report_send(thread, HZ_MSG_WARM, &part, 1, 0);
    }
    hz_command_load(worker);
    while (!atomic_load_explicit(&worker->ending, memory_order_relaxed)) {
        bool worked = take_commands(worker);
        if (worked)
            hz_crash_heartbeat(thread);
        worked = hz_pool_turn(thread, TURN_NS) || worked;
        bool clean = hz_report_flush(thread);
        check_signal(worker);
        if (worked) {
            worker->kernel_stale = true;
            publish(worker, false);
            if (worker->handles > 0 && thread->now_ns - worker->looked_ns >= LOOK_NS) {
                (void)uv_run(&worker->loop, UV_RUN_NOWAIT);
                worker->looked_ns = thread->now_ns;
            }
            continue;
        }
        if (spin(worker))
            continue;
        publish(worker, true);
        if (!atomic_load_explicit(&worker->ending, memory_order_relaxed))
            sleep_in_loop(worker, clean);
    }
    if (hz_pool_stop(worker, worker->in_process))
        close_nodes(worker);
    hz_report_stats(thread, true);
    while (!hz_report_flush(thread)) {
        struct timespec pause = {.tv_nsec = 200000};
        nanosleep(&pause, NULL);
    }
    /* The kernel takes 0.1 to 0.3 ms to take a process down, and often on the CPU where the manager was about to read our last
     * record: let it go first. */
    if (!worker->in_process)
        (void)sched_yield();
    for (uint32_t i = 0; worker->in_process && i < worker->thread_count; i++)
        hz_ring_close(&worker->threads[i]->lane->results);
    return worker->exit_code;
}

/* ---- taking down (tests; a real worker ends its process) ---- */

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void end_all_executions(struct hz_worker *worker)
{
    for (struct hz_execution *e = worker->all, *next; e; e = next) {
        next = e->all_next;
        struct hz_thread *owner = e->begun ? e->thread : worker->threads[0];
        be(owner);
        e->thread = owner;
        hz_executor_discard(e);
    }
    be(worker->threads[0]);
    worker->all = NULL;
    for (uint32_t i = 0; i < worker->thread_count; i++)
        while (worker->threads[i]->ready_first) { /* the lists hold references of their own */
            struct hz_execution *e = worker->threads[i]->ready_first;
            worker->threads[i]->ready_first = e->next_ready;
            hz_execution_unref(e);
        }
}

void hz_worker_fini(struct hz_worker *worker)
{
    HZ_CHECK_OBJ(worker, HZ_WORKER_MAGIC);
    end_all_executions(worker);
    for (struct hz_execution *e = worker->free_executions, *next; e; e = next) {
        next = e->table_next;
        free(e->work);
        free(e->ordinals);
        free(e->node_stats);
        free(e);
    }
    free(worker->table);
    hz_assembly_unload(worker);
    hz_value_unref(worker->env);
    free(worker->workflow_id);
    free(worker->paths);
    if (worker->loop_made) {
        uv_walk(&worker->loop, close_handle, NULL);
        (void)uv_run(&worker->loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&worker->loop);
    }
    hz_log_set_sink(NULL, NULL);
    hz_js_free(&worker->threads[0]->js);
    hz_memory_self = NULL;
    hz_thread_self = NULL;
    for (uint32_t i = 0; i < worker->thread_count; i++) {
        hz_thread_fini(worker->threads[i]);
        free(worker->threads[i]);
    }
    hz_pool_fini(worker);
    hz_stream_in_fini(&worker->commands);
    hz_segment_detach(&worker->segment);
    close(worker->bell.fd);
    close(worker->manager_fd);
    if (worker->statm_fd >= 0)
        close(worker->statm_fd);
    worker->magic = 0;
    this_worker = NULL;
}
