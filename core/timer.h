/*
 * timer.h - many deadlines on one shard: an intrusive binary heap behind one libuv timer, because a deadline per execution
 * must cost neither an allocation nor an asynchronous close. One thread: the shard's.
 */
#ifndef HZ_CORE_TIMER_H
#define HZ_CORE_TIMER_H

#include "shm/base.h"
#include <uv.h>

struct hz_timer;
typedef void hz_timer_fn(struct hz_timer *timer);
struct hz_timer { /* zeroed = not armed; embedded in what it belongs to */
    uint64_t due_ns;
    hz_timer_fn *fn;
    size_t place; /* 1-based place in the heap, 0: not armed */
};

struct hz_timers { /* storage: the shard's */
    struct hz_timer **heap; /* heap[1..count] */
    size_t count, capacity;
    uv_timer_t uv;
    uint64_t armed_ns; /* what uv waits for, 0: nothing */
};

HZ_MUST_CHECK int hz_timers_init(struct hz_timers *timers, uv_loop_t *loop);
/* Closes the libuv timer; timers still armed are forgotten. The loop must turn once more before `timers` may go. */
void hz_timers_close(struct hz_timers *timers);
void hz_timers_fini(struct hz_timers *timers);

/* Arms (or moves) `timer` to run fn once, not before due_ns (monotonic). Cost: O(log armed). Aborts if memory is out: a
 * deadline that is silently lost would let a worker run for ever. */
void hz_timer_at(struct hz_timers *timers, struct hz_timer *timer, uint64_t due_ns, hz_timer_fn *fn);
void hz_timer_after(struct hz_timers *timers, struct hz_timer *timer, uint32_t ms, hz_timer_fn *fn);
/* Safe on a timer that is not armed. */
void hz_timer_cancel(struct hz_timers *timers, struct hz_timer *timer);
static inline bool hz_timer_armed(const struct hz_timer *timer)
{
    return timer->place != 0;
}

#endif
