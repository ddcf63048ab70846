/* test_branch.c - the persistent vector: change in place when alone, copies where shared, merges, memory. */
#include "shm/err.h"
#include "tests/harness.h"
#include "worker/branch.h"

#include <stdlib.h>

static struct hz_branch_pool pool;

static int set(struct hz_branch **branch, uint32_t index, int64_t number)
{
    hz_value *value = hz_value_int(number);
    int r = hz_branch_set(&pool, branch, index, value, NULL, (uint64_t)number);
    hz_value_unref(value);
    return r;
}

static int64_t get(const struct hz_branch *branch, uint32_t index)
{
    const struct hz_branch_entry *entry = hz_branch_get(&pool, branch, index);
    return entry ? (int64_t)hz_value_num(entry->data) : -1;
}

HZ_SUITE_INIT(branch)
{
    HZ_ASSERT_OK(hz_value_init());
}

HZ_TEST(branch, an_empty_branch_has_nothing)
{
    hz_branch_pool_init(&pool, 100);
    HZ_ASSERT_EQ(get(NULL, 0), -1);
    HZ_ASSERT_EQ(get(NULL, 99), -1);
    hz_branch_unref(&pool, NULL);
    hz_branch_pool_fini(&pool);
}

HZ_TEST(branch, every_index_of_every_size_is_kept)
{
    const uint32_t sizes[] = {1, 8, 9, 128, 129, 2048, 2049, 5000};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        hz_branch_pool_init(&pool, sizes[s]);
        struct hz_branch *branch = NULL;
        for (uint32_t i = 0; i < sizes[s]; i++)
            HZ_ASSERT_EQ(set(&branch, i, i), 0);
        for (uint32_t i = 0; i < sizes[s]; i++)
            HZ_ASSERT_EQ(get(branch, i), i);
        hz_branch_unref(&pool, branch);
        HZ_ASSERT_EQ(pool.live, 0);
        hz_branch_pool_fini(&pool);
    }
}

HZ_TEST(branch, alone_it_changes_in_place_and_shared_it_does_not)
{
    hz_branch_pool_init(&pool, 5000);
    struct hz_branch *a = NULL;
    HZ_ASSERT_EQ(set(&a, 4000, 1), 0);
    size_t live = pool.live;
    struct hz_branch *before = a;
    HZ_ASSERT_EQ(set(&a, 4000, 2), 0);
    HZ_ASSERT_TRUE(a == before);
    HZ_ASSERT_EQ(pool.live, live);
    struct hz_branch *b = hz_branch_ref(a);
    HZ_ASSERT_EQ(set(&b, 4000, 3), 0);
    HZ_ASSERT_EQ(set(&b, 1, 4), 0);
    HZ_ASSERT_EQ(get(a, 4000), 2);
    HZ_ASSERT_EQ(get(a, 1), -1);
    HZ_ASSERT_EQ(get(b, 4000), 3);
    HZ_ASSERT_EQ(get(b, 1), 4);
    hz_branch_unref(&pool, a);
    HZ_ASSERT_EQ(get(b, 4000), 3);
    hz_branch_unref(&pool, b);
    HZ_ASSERT_EQ(pool.live, 0);
    hz_branch_pool_fini(&pool);
}

HZ_TEST(branch, a_merge_keeps_the_first_writer)
{
    hz_branch_pool_init(&pool, 1000);
    struct hz_branch *a = NULL, *b = NULL;
    HZ_ASSERT_EQ(set(&a, 1, 10), 0);
    HZ_ASSERT_EQ(set(&a, 999, 11), 0);
    HZ_ASSERT_EQ(set(&b, 1, 20), 0);
    HZ_ASSERT_EQ(set(&b, 500, 21), 0);
    struct hz_branch *sum = NULL;
    HZ_ASSERT_EQ(hz_branch_merge(&pool, &sum, a), 0);
    HZ_ASSERT_EQ(hz_branch_merge(&pool, &sum, b), 0);
    HZ_ASSERT_EQ(hz_branch_merge(&pool, &sum, NULL), 0);
    HZ_ASSERT_EQ(get(sum, 1), 10);
    HZ_ASSERT_EQ(get(sum, 500), 21);
    HZ_ASSERT_EQ(get(sum, 999), 11);
    HZ_ASSERT_EQ(get(a, 500), -1);
    hz_branch_unref(&pool, a);
    hz_branch_unref(&pool, b);
    hz_branch_unref(&pool, sum);
    HZ_ASSERT_EQ(pool.live, 0);
    hz_branch_pool_fini(&pool);
}

/* Against a plain array: random sets, copies and releases of 16 branches. */
HZ_TEST(branch, agrees_with_a_plain_array_under_random_use)
{
    enum { NODES = 300, BRANCHES = 16 };
    static int64_t model[BRANCHES][NODES];
    struct hz_branch *branch[BRANCHES] = {NULL};
    hz_branch_pool_init(&pool, NODES);
    for (int b = 0; b < BRANCHES; b++)
        for (int i = 0; i < NODES; i++)
            model[b][i] = -1;
    srandom(20261123);
    for (int step = 0; step < 40000; step++) {
        int b = (int)(random() % BRANCHES), i = (int)(random() % NODES);
        if (random() % 8 == 0) {
            int from = (int)(random() % BRANCHES);
            struct hz_branch *copy = hz_branch_ref(branch[from]);
            hz_branch_unref(&pool, branch[b]);
            branch[b] = copy;
            for (int k = 0; k < NODES; k++)
                model[b][k] = model[from][k];
        } else {
            HZ_ASSERT_EQ(set(&branch[b], (uint32_t)i, step), 0);
            model[b][i] = step;
        }
        int probe = (int)(random() % BRANCHES), k = (int)(random() % NODES);
        HZ_ASSERT_EQ(get(branch[probe], (uint32_t)k), model[probe][k]);
    }
    for (int b = 0; b < BRANCHES; b++)
        hz_branch_unref(&pool, branch[b]);
    HZ_ASSERT_EQ(pool.live, 0);
    hz_branch_pool_fini(&pool);
}
