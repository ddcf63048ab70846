/* test_stats.c - a lane's counters: whole or not at all. */
#include "shm/stats.h"
#include "tests/harness.h"

#include <pthread.h>
#include <string.h>

HZ_TEST(stats, new_block_reads_as_zeros)
{
    static struct hz_stats_block block;
    struct hz_stats stats;
    memset(&stats, 0xff, sizeof(stats));
    HZ_ASSERT_TRUE(hz_stats_read(&block, &stats));
    for (size_t i = 0; i < HZ_STAT_COUNT; i++)
        HZ_ASSERT_EQ(stats.v[i], 0);
}

HZ_TEST(stats, published_values_are_read)
{
    static struct hz_stats_block block;
    struct hz_stats in, out;
    for (size_t i = 0; i < HZ_STAT_COUNT; i++)
        in.v[i] = i * 1000 + 1;
    hz_stats_publish(&block, &in);
    HZ_ASSERT_TRUE(hz_stats_read(&block, &out));
    HZ_ASSERT_MEM_EQ(&in, &out, sizeof(in));
}

HZ_TEST(stats, writer_that_died_half_way_leaves_the_reader_its_old_values)
{
    static struct hz_stats_block block;
    struct hz_stats stats = {.v = {42}};
    atomic_store(&block.sequence, 7);
    HZ_ASSERT_FALSE(hz_stats_read(&block, &stats));
    HZ_ASSERT_EQ(stats.v[0], 42);
}

HZ_TEST(stats, next_publication_heals_an_odd_sequence)
{
    static struct hz_stats_block block;
    struct hz_stats in = {.v = {1}}, out;
    atomic_store(&block.sequence, 7);
    hz_stats_publish(&block, &in);
    HZ_ASSERT_EQ(atomic_load(&block.sequence), 8);
    HZ_ASSERT_TRUE(hz_stats_read(&block, &out));
}

HZ_TEST(stats, sums_add_counters_and_take_the_latest_time)
{
    struct hz_stats total = {.v = {0}}, a = {.v = {0}}, b = {.v = {0}};
    a.v[HZ_STAT_node_runs] = 3, b.v[HZ_STAT_node_runs] = 4;
    a.v[HZ_STAT_published_ns] = 1000, b.v[HZ_STAT_published_ns] = 900;
    hz_stats_add(&total, &a);
    hz_stats_add(&total, &b);
    HZ_ASSERT_EQ(total.v[HZ_STAT_node_runs], 7);
    HZ_ASSERT_EQ(total.v[HZ_STAT_published_ns], 1000);
}

HZ_TEST(stats, every_figure_has_a_name_a_kind_and_a_unit)
{
    for (unsigned i = 0; i < HZ_STAT_COUNT; i++) {
        const struct hz_stat_info *info = hz_stats_info((enum hz_stat)i);
        HZ_ASSERT_TRUE(strcmp(info->kind, "counter") == 0 || strcmp(info->kind, "gauge") == 0);
        HZ_ASSERT_GT(strlen(info->name), 0);
        HZ_ASSERT_GT(strlen(info->unit), 0);
        HZ_ASSERT_GT(strlen(info->meaning), 0);
    }
}

#define READS 200000u
static struct hz_stats_block shared_block;
static _Atomic bool stop;

static void *write_rounds(void *arg)
{
    struct hz_stats stats;
    uint64_t round = 0;
    while (!atomic_load(&stop)) {
        round++;
        for (size_t i = 0; i < HZ_STAT_COUNT; i++)
            stats.v[i] = round;
        hz_stats_publish(&shared_block, &stats);
        for (volatile int pause = 0; pause < 30; pause++) { /* or hardly a reader gets a word in */
        }
    }
    *(uint64_t *)arg = round;
    return NULL;
}

HZ_TEST(stats, reader_never_sees_two_publications_mixed)
{
    pthread_t thread;
    uint64_t rounds = 0, last = 0, news = 0;
    HZ_ASSERT_EQ(pthread_create(&thread, NULL, write_rounds, &rounds), 0);
    struct hz_stats stats;
    for (unsigned reads = 0; reads < READS || news < 1000;) {
        if (!hz_stats_read(&shared_block, &stats))
            continue;
        reads++;
        for (size_t i = 1; i < HZ_STAT_COUNT; i++)
            HZ_ASSERT_EQ(stats.v[i], stats.v[0]);
        HZ_ASSERT_GE(stats.v[0], last);
        news += stats.v[0] != last;
        last = stats.v[0];
    }
    atomic_store(&stop, true);
    HZ_ASSERT_EQ(pthread_join(thread, NULL), 0);
    HZ_ASSERT_TRUE(hz_stats_read(&shared_block, &stats));
    HZ_ASSERT_EQ(stats.v[0], rounds);
}
