/*
 * recorder.c - the flight recorder of a lane: one writing thread, readers in any process, mostly after its death.
 *
 * Synchronisation
 *   count   only the writer stores it (release: the event's words are visible first). It says how many events there
 * were, not where a reader may look: readers take it as a claim and never index by it without the mask. events  four
 * relaxed 64-bit words each, so that a reader of a living lane sees old or new words, never undefined ones. While the
 * writer fills the slot of event n the count is n, and the slot still holds part of event n - EVENTS. A reader copies,
 * looks at the count again and drops every event whose slot may have been in use meanwhile: of EVENTS slots, one is
 * always suspect.
 */
#include "recorder.h"

#include <ck_pr.h>
#include <string.h>

#define WORDS (sizeof(struct hz_event) / sizeof(uint64_t))
#define MASK  (HZ_RECORDER_EVENTS - 1u)
typedef uint64_t __attribute__((may_alias)) word;

void hz_recorder_add(struct hz_recorder_shared *rec, enum hz_event_kind kind, uint64_t now_ns, uint64_t execution,
        uint32_t node, uint16_t detail, uint64_t argument)
{
    uint64_t count = atomic_load_explicit(&rec->count, memory_order_relaxed);
    ck_pr_fence_store(); /* the count of the last event before the words of this one: see the second look above */
    word *slot = (word *)(void *)&rec->events[count & MASK];
    uint64_t place = (uint64_t)node | (uint64_t)kind << 32 | (uint64_t)detail << 48;
    _Static_assert(offsetof(struct hz_event, node) == 16 && offsetof(struct hz_event, kind) == 20 &&
                           offsetof(struct hz_event, detail) == 22 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
            "the third word holds node, kind and detail");
    __atomic_store_n(&slot[0], now_ns != 0 ? now_ns : hz_base_now_ns(), __ATOMIC_RELAXED);
    __atomic_store_n(&slot[1], execution, __ATOMIC_RELAXED);
    __atomic_store_n(&slot[2], place, __ATOMIC_RELAXED);
    __atomic_store_n(&slot[3], argument, __ATOMIC_RELAXED);
    atomic_store_explicit(&rec->count, count + 1, memory_order_release);
}

size_t hz_recorder_read(const struct hz_recorder_shared *rec, struct hz_event *ret_events, size_t max)
{
    uint64_t count = atomic_load_explicit(&rec->count, memory_order_acquire);
    uint64_t held = HZ_MIN(count, (uint64_t)HZ_RECORDER_EVENTS);
    uint64_t first = count - HZ_MIN(held, (uint64_t)max);
    size_t copied = 0;
    for (uint64_t i = first; i != count; i++) {
        const word *slot = (const word *)(const void *)&rec->events[i & MASK];
        word *to = (word *)(void *)&ret_events[copied++];
        for (size_t k = 0; k < WORDS; k++)
            to[k] = __atomic_load_n(&slot[k], __ATOMIC_RELAXED);
    }
    ck_pr_fence_load(); /* the words before the second look */
    uint64_t now = atomic_load_explicit(&rec->count, memory_order_relaxed);
    size_t kept = 0;
    for (size_t i = 0; i < copied; i++) {
        uint64_t age = now - (first + i); /* 1 = the newest; EVENTS: its slot is the next to be written */
        if (age < HZ_RECORDER_EVENTS && ret_events[i].kind > HZ_EVENT_NONE && ret_events[i].kind <= HZ_EVENT_END)
            ret_events[kept++] = ret_events[i];
    }
    return kept;
}

const char *hz_event_kind_name(unsigned kind)
{
    static const char *const names[] = {"none", "enter", "leave", "request", "error", "begin", "end"};
    return kind < HZ_COUNT_OF(names) ? names[kind] : "?";
}
