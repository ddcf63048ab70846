/* timer.c - intrusive binary heap of deadlines behind one libuv timer. Runs on the shard that owns it. */
#include "timer.h"

#include "shm/err.h"

#include <stdlib.h>

static void set(struct hz_timers *timers, size_t place, struct hz_timer *timer)
{
    timers->heap[place] = timer;
    timer->place = place;
}

static void sift_up(struct hz_timers *timers, size_t place)
{
    struct hz_timer *timer = timers->heap[place];
    for (; place > 1 && timers->heap[place / 2]->due_ns > timer->due_ns; place /= 2)
        set(timers, place, timers->heap[place / 2]);
    set(timers, place, timer);
}

static void sift_down(struct hz_timers *timers, size_t place)
{
    struct hz_timer *timer = timers->heap[place];
    for (;;) {
        size_t child = 2 * place;
        if (child > timers->count)
            break;
        if (child < timers->count && timers->heap[child + 1]->due_ns < timers->heap[child]->due_ns)
            child++;
        if (timers->heap[child]->due_ns >= timer->due_ns)
            break;
        set(timers, place, timers->heap[child]);
        place = child;
    }
    set(timers, place, timer);
}

static void take_out(struct hz_timers *timers, struct hz_timer *timer)
{
    size_t place = timer->place;
    struct hz_timer *last = timers->heap[timers->count--];
    timer->place = 0;
    if (last == timer)
        return;
    set(timers, place, last);
    sift_up(timers, place);
    sift_down(timers, last->place);
}

static void on_due(uv_timer_t *uv);

/* libuv counts from its cached time and in milliseconds: it may fire early, then we wait for the rest. */
static void rearm(struct hz_timers *timers)
{
    if (timers->count == 0) {
        if (timers->armed_ns)
            uv_timer_stop(&timers->uv);
        timers->armed_ns = 0;
        return;
    }
    uint64_t due = timers->heap[1]->due_ns;
    if (timers->armed_ns && timers->armed_ns <= due)
        return; /* it wakes early enough: one wake-up for nothing at most */
    uint64_t now = hz_base_now_ns();
    uint64_t wait_ms = due > now ? (due - now + 999999u) / 1000000u : 0;
    timers->armed_ns = due;
    uv_timer_start(&timers->uv, on_due, wait_ms, 0);
}

static void on_due(uv_timer_t *uv)
{
    struct hz_timers *timers = uv->data;
    timers->armed_ns = 0;
    uint64_t now = hz_base_now_ns();
    /* What is armed meanwhile is due later than `now` or waits for the next turn: the loop ends. */
    for (size_t most = timers->count; most > 0 && timers->count > 0 && timers->heap[1]->due_ns <= now; most--) {
        struct hz_timer *timer = timers->heap[1];
        take_out(timers, timer);
        timer->fn(timer);
    }
    rearm(timers);
}

int hz_timers_init(struct hz_timers *timers, uv_loop_t *loop)
{
    *timers = (struct hz_timers){.capacity = 64};
    timers->heap = calloc(timers->capacity + 1, sizeof(struct hz_timer *));
    if (!timers->heap)
        return hz_err_set(HZ_ENOMEM, "timers");
    int code = uv_timer_init(loop, &timers->uv);
    timers->uv.data = timers;
    return code ? hz_err_set(code, "timers") : 0;
}

void hz_timers_close(struct hz_timers *timers)
{
    for (; timers->count > 0; timers->count--)
        timers->heap[timers->count]->place = 0;
    uv_close((uv_handle_t *)&timers->uv, NULL);
}

void hz_timers_fini(struct hz_timers *timers)
{
    free(timers->heap);
    timers->heap = NULL;
}

void hz_timer_at(struct hz_timers *timers, struct hz_timer *timer, uint64_t due_ns, hz_timer_fn *fn)
{
    timer->fn = fn;
    if (timer->place != 0)
        take_out(timers, timer);
    if (timers->count == timers->capacity) {
        struct hz_timer **grown = realloc(timers->heap, (2 * timers->capacity + 1) * sizeof(struct hz_timer *));
        HZ_ASSERT(grown != NULL);
        timers->heap = grown;
        timers->capacity *= 2;
    }
    timer->due_ns = due_ns;
    timers->heap[++timers->count] = timer;
    timer->place = timers->count;
    sift_up(timers, timer->place);
    if (timer->place == 1)
        rearm(timers);
}

void hz_timer_after(struct hz_timers *timers, struct hz_timer *timer, uint32_t ms, hz_timer_fn *fn)
{
    hz_timer_at(timers, timer, hz_base_now_ns() + (uint64_t)ms * 1000000u, fn);
}

void hz_timer_cancel(struct hz_timers *timers, struct hz_timer *timer)
{
    if (timer->place != 0)
        take_out(timers, timer);
}
