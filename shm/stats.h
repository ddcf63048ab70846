/*
 * stats.h - one block of counters per lane: one writer, any number of readers in any process.
 *
 * The writer keeps the figures in private memory and publishes them as a whole under a sequence count (odd while it
 * writes); a reader copies and retries while the count is odd or moved. Readers add the lanes up.
 */
#ifndef HZ_SHM_STATS_H
#define HZ_SHM_STATS_H

#include "base.h"
#include <stdatomic.h>

enum hz_stat {
#define HZ_STAT_X(name, kind, unit, meaning) HZ_STAT_##name,
#include "stats_table.h"
#undef HZ_STAT_X
    HZ_STAT_COUNT
};

struct hz_stats { /* private copy: index by enum hz_stat */
    uint64_t v[HZ_STAT_COUNT];
};

struct hz_stats_block { /* in the mapping */
    _Alignas(HZ_CACHE_LINE) _Atomic uint32_t sequence;
    uint32_t reserved;
    _Atomic uint64_t v[HZ_STAT_COUNT];
};

struct hz_stat_info {
    const char *name, *kind, *unit, *meaning;
};
const struct hz_stat_info *hz_stats_info(enum hz_stat stat);
/* Writer only. Cost: HZ_STAT_COUNT relaxed stores. */
void hz_stats_publish(struct hz_stats_block *block, const struct hz_stats *stats);
/* Any process. False if the writer kept moving for 64 tries (or died half way): *ret is untouched. */
HZ_MUST_CHECK bool hz_stats_read(const struct hz_stats_block *block, struct hz_stats *ret_stats);
/* total += lane; lane-0-only gauges add up because the other lanes leave them 0. */
void hz_stats_add(struct hz_stats *total, const struct hz_stats *lane);

#endif
