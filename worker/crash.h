/*
 * crash.h - where each lane is (always), and what a fault handler saw (once): written into the lane's crash cell, which
 * the manager reads after the death. The handler runs on a stack of its own and touches nothing that could be damaged.
 */
#ifndef HZ_WORKER_CRASH_H
#define HZ_WORKER_CRASH_H

#include "thread.h"

/* Once per process, before it forks workers: looks up the main thread's stack, warms the unwinder (its first call loads a
 * library). */
void hz_crash_prepare(void);
/* Handlers for faults, aborts, refused system calls, and the manager's question where everybody is (SIGRTMIN). 0 or -errno. */
HZ_MUST_CHECK int hz_crash_install(void);
/* The calling thread gets an alternate stack and its cell; blocking threads share the main lane's cell. 0 or -errno. */
HZ_MUST_CHECK int hz_crash_thread_begin(struct hz_thread *thread);
void hz_crash_thread_end(struct hz_thread *thread);
/* Notes which shared objects are where, for module + offset. After each load; not thread-safe against itself. */
void hz_crash_modules(void);

/* Set by a handler on its way: the other threads stop instead of writing over the evidence. */
extern _Atomic uint32_t hz_crash_dying;
HZ_NORETURN void hz_crash_wait(void);

/* Relaxed stores to one cache line that only this thread writes: the reader needs no order among them, a dead process has
 * one anyway. */
static inline void hz_crash_phase(struct hz_thread *thread, enum hz_crash_phase phase, uint32_t node, uint64_t execution)
{
    struct hz_crash_cell *cell = thread->lane->crash;
    if (__builtin_expect(atomic_load_explicit(&hz_crash_dying, memory_order_relaxed) != 0, 0))
        hz_crash_wait();
    atomic_store_explicit(&cell->node, node, memory_order_relaxed);
    atomic_store_explicit(&cell->execution, execution, memory_order_relaxed);
    atomic_store_explicit(&cell->entered_ns, thread->now_ns, memory_order_relaxed);
    atomic_store_explicit(&cell->phase, (uint32_t)phase, memory_order_relaxed);
}
static inline void hz_crash_enter(struct hz_thread *thread, uint32_t node, uint64_t execution)
{
    hz_crash_phase(thread, HZ_PHASE_NODE, node, execution);
}
/* Node code is over, its execution is still in hand on this thread: node and execution stay named. */
static inline void hz_crash_host(struct hz_thread *thread)
{
    if (__builtin_expect(atomic_load_explicit(&hz_crash_dying, memory_order_relaxed) != 0, 0))
        hz_crash_wait();
    atomic_store_explicit(&thread->lane->crash->phase, HZ_PHASE_HOST, memory_order_relaxed);
}
static inline void hz_crash_idle(struct hz_thread *thread)
{
    if (__builtin_expect(atomic_load_explicit(&hz_crash_dying, memory_order_relaxed) != 0, 0))
        hz_crash_wait();
    atomic_store_explicit(&thread->lane->crash->phase, HZ_PHASE_IDLE, memory_order_relaxed);
}
static inline void hz_crash_heartbeat(struct hz_thread *thread)
{
    atomic_store_explicit(&thread->lane->crash->heartbeat, ++thread->slices, memory_order_relaxed);
}
/* A blocking thread's own note of where it is (its crash would else be charged to nobody). */
void hz_crash_note(uint32_t node, uint64_t execution);

#endif
