/* test_store_power.c - the power goes at a random moment: nothing acknowledged at `execution` or `checkpoint` is lost, the file is sound. */
#include "core/store.h"
#include "power_vfs.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 4000, ROUNDS = 40 };
static struct hz_uuid heard[MOST];
static uint32_t heard_kind[MOST]; /* 0: execution; 1: checkpoint with that ordinal */
static _Atomic int heard_count;

struct waiting {
    struct hz_uuid id;
    uint32_t kind;
};

/* On the writer thread. What is heard after the cut was never heard. */
static void acknowledged(int result, void *arg)
{
    struct waiting *waiting = arg;
    if (!result && !atomic_load(&power.is_cut) && heard_count < MOST) {
        heard[heard_count] = waiting->id;
        heard_kind[heard_count++] = waiting->kind;
    }
    free(waiting);
}

static struct waiting *wait_for(const struct hz_uuid *id, uint32_t kind)
{
    struct waiting *waiting = malloc(sizeof *waiting);
    HZ_ASSERT_NOT_NULL(waiting);
    waiting->id = *id;
    waiting->kind = kind;
    return waiting;
}

static struct hz_store_execution row_of(const struct hz_uuid *id, enum hz_exec_state state)
{
    struct hz_store_execution row;
    memset(&row, 0, sizeof row);
    row.id = *id;
    row.state = state;
    snprintf(row.workflow_id, sizeof row.workflow_id, "hello");
    snprintf(row.version, sizeof row.version, "0.0.1");
    row.created_wall_ms = 1000;
    return row;
}

static bool all_settled(void *arg)
{
    (void)arg;
    return hz_store_pending() == 0;
}

/* Load of every kind until the lights are out: accepted rows, checkpoints, ends without a promise between them. */
static void load(bool durable)
{
    for (int i = 0; i < 400 && !atomic_load(&power.is_cut); i++) {
        struct hz_uuid id = hz_uuid_new();
        struct hz_store_execution row = row_of(&id, HZ_EXEC_QUEUED);
        row.input = strdup("{\"a\":1}");
        HZ_ASSERT_OK(hz_store_put(&row, durable, acknowledged, wait_for(&id, 0)));
        if (i % 3 == 0)
            HZ_ASSERT_OK(hz_store_checkpoint_put(&id, 1, false, strdup("outputs"), 7, durable, acknowledged, wait_for(&id, 1)));
        if (i % 3 == 1) {
            row = row_of(&id, HZ_EXEC_SUCCESS);
            row.result = calloc(1, 8001);
            HZ_ASSERT_NOT_NULL(row.result);
            for (int n = 0; n < 8000; n++)
                row.result[n] = (char)('a' + (i * n) % 26);
            HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
        }
        if (i % 5 == 0)
            HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 20000));
    }
    HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 20000));
}

/* One life, one cut. Returns how many acknowledged things the next start does not find. */
static int round_of(uint64_t seed, bool durable)
{
    hz_test_remove_tree("db");
    hz_test_remove_tree("after");
    HZ_ASSERT_EQ(mkdir("db", 0700), 0);
    HZ_ASSERT_EQ(mkdir("after", 0700), 0);
    heard_count = 0;
    power_install(seed * UINT64_C(0x9e3779b97f4a7c15) | 1, (long)(150 + seed * 37 % 2000));
    HZ_ASSERT_OK(hz_store_open("db", 100000));
    load(durable);
    hz_store_close();
    power_remove("after");
    HZ_ASSERT_OK(hz_store_check("after/horizon.db", NULL, NULL));
    HZ_ASSERT_OK(hz_store_open("after", 100000));
    int lost = 0;
    for (int i = 0; i < heard_count; i++) {
        struct hz_store_execution back;
        int err = hz_store_get(&heard[i], &back);
        bool there = err == 0;
        if (!err && heard_kind[i] == 1 && back.state < HZ_EXEC_SUCCESS) {
            struct hz_store_checkpoint *list;
            size_t count;
            HZ_ASSERT_OK(hz_store_checkpoints(&heard[i], &list, &count));
            there = count == 1 && list[0].len == 7;
            hz_store_checkpoints_free(&list, count);
        }
        if (!err)
            hz_store_execution_fini(&back);
        lost += !there;
    }
    hz_store_close();
    return lost;
}

HZ_TEST(store_power, what_was_acknowledged_survives_a_power_cut_at_any_moment)
{
    int checked = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        int lost = round_of(seed, true);
        HZ_ASSERT_EQ(lost, 0);
        checked += heard_count;
    }
    HZ_ASSERT_GT(checked, 1000);
}

HZ_TEST(store_power, the_same_cuts_lose_rows_that_were_not_synchronised)
{
    int lost = 0;
    for (uint64_t seed = 1; seed <= 10; seed++)
        lost += round_of(seed, false);
    HZ_ASSERT_GT(lost, 0); /* otherwise the layer forgets nothing and the test above says nothing */
}
