/*
 * stats.c - publish and read a lane's block of counters. The writer is the lane's thread; readers are any process.
 *
 * Synchronisation (a sequence count; all accesses are atomic, so a torn copy is detected and never undefined)
 *   sequence  only the writer stores it: odd while the values move, even and two higher when they are whole again;
 *   v[]       only the writer stores them, between the two stores of the sequence.
 * Writer: odd, store fence, values, release of even. Reader: acquire of the sequence, values, load fence, sequence
 * again. A writer that dies between leaves an odd count: readers give up after a bounded number of tries and keep what
 * they had.
 */
#include "stats.h"

#include <ck_pr.h>

#define READ_TRIES 64

static const struct hz_stat_info table[] = {
#define HZ_STAT_X(name, kind, unit, meaning) {#name, #kind, unit, meaning},
#include "stats_table.h"
#undef HZ_STAT_X
};

const struct hz_stat_info *hz_stats_info(enum hz_stat stat)
{
    HZ_ASSERT((unsigned)stat < HZ_STAT_COUNT);
    return &table[stat];
}

void hz_stats_publish(struct hz_stats_block *block, const struct hz_stats *stats)
{
    /* Relaxed: nobody else stores it. `| 1` heals an odd count that a hostile neighbour in the mapping may have left.
     */
    uint32_t sequence = atomic_load_explicit(&block->sequence, memory_order_relaxed) | 1u;
    atomic_store_explicit(&block->sequence, sequence, memory_order_relaxed);
    ck_pr_fence_store(); /* odd before the first value */
    for (size_t i = 0; i < HZ_STAT_COUNT; i++)
        atomic_store_explicit(&block->v[i], stats->v[i], memory_order_relaxed);
    atomic_store_explicit(&block->sequence, sequence + 1, memory_order_release); /* the last value before even */
}

bool hz_stats_read(const struct hz_stats_block *block, struct hz_stats *ret_stats)
{
    struct hz_stats copy;
    for (int i = 0; i < READ_TRIES; i++) {
        uint32_t before = atomic_load_explicit(&block->sequence, memory_order_acquire);
        if ((before & 1u) == 0) {
            for (size_t k = 0; k < HZ_STAT_COUNT; k++)
                copy.v[k] = atomic_load_explicit(&block->v[k], memory_order_relaxed);
            ck_pr_fence_load(); /* the last value before the second look */
            if (atomic_load_explicit(&block->sequence, memory_order_relaxed) == before) {
                *ret_stats = copy;
                return true;
            }
        }
        ck_pr_stall();
    }
    return false;
}

void hz_stats_add(struct hz_stats *total, const struct hz_stats *lane)
{
    for (size_t i = 0; i < HZ_STAT_COUNT; i++)
        total->v[i] += lane->v[i];
    /* A time is not a sum. */
    total->v[HZ_STAT_published_ns] -= lane->v[HZ_STAT_published_ns];
    total->v[HZ_STAT_published_ns] = HZ_MAX(total->v[HZ_STAT_published_ns], lane->v[HZ_STAT_published_ns]);
}
