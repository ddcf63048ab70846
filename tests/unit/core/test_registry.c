/* test_registry.c - the table of workers every thread reads: replaced as a whole, found by prefix, listed in order. */
#include "core/registry.h"
#include "tests/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

static struct hz_worker_info make(uint64_t sequence, const char *workflow)
{
    struct hz_worker_info info;
    memset(&info, 0, sizeof info);
    info.id = hz_uuid_new();
    hz_uuid_format(&info.id, info.id_text);
    info.sequence = sequence;
    snprintf(info.workflow_id, sizeof info.workflow_id, "%s", workflow);
    return info;
}

HZ_SUITE_INIT(registry)
{
    urcu_memb_register_thread();
}

HZ_SUITE_CLEANUP(registry)
{
    urcu_memb_unregister_thread();
}

HZ_SETUP(registry)
{
    HZ_ASSERT_OK(hz_registry_init());
}

HZ_TEARDOWN(registry)
{
    hz_registry_fini();
}

HZ_TEST(registry, gets_what_was_put_last_and_forgets_what_was_removed)
{
    struct hz_worker_info info = make(1, "w"), got;
    HZ_ASSERT_FALSE(hz_registry_get(&info.id, &got));
    info.port = 3001;
    HZ_ASSERT_OK(hz_registry_put(&info));
    info.port = 3002;
    info.status = HZ_WORKER_RUNNING;
    HZ_ASSERT_OK(hz_registry_put(&info));
    HZ_ASSERT_TRUE(hz_registry_get(&info.id, &got));
    HZ_ASSERT_EQ(got.port, 3002);
    HZ_ASSERT_STR_EQ(hz_worker_status_name(got.status), "running");
    hz_registry_remove(&info.id);
    hz_registry_remove(&info.id);
    HZ_ASSERT_FALSE(hz_registry_get(&info.id, &got));
}

HZ_TEST(registry, finds_by_unique_prefix_of_four_characters)
{
    struct hz_worker_info a = make(1, "w"), b = make(2, "w"), got;
    snprintf(a.id_text, sizeof a.id_text, "abcd1111");
    snprintf(b.id_text, sizeof b.id_text, "abcd2222");
    HZ_ASSERT_OK(hz_registry_put(&a));
    HZ_ASSERT_OK(hz_registry_put(&b));
    HZ_ASSERT_EQ(hz_registry_find("abcd1", &got), 1);
    HZ_ASSERT_STR_EQ(got.id_text, "abcd1111");
    HZ_ASSERT_EQ(hz_registry_find("abcd", &got), 2);
    HZ_ASSERT_EQ(hz_registry_find("abcd1111", &got), 1);
    HZ_ASSERT_EQ(hz_registry_find("abc", &got), 0);
    HZ_ASSERT_EQ(hz_registry_find("ffff", &got), 0);
    char text[HZ_UUID_TEXT];
    hz_uuid_format(&b.id, text);
    HZ_ASSERT_EQ(hz_registry_find(text, &got), 1);
}

HZ_TEST(registry, lists_in_creation_order_and_by_workflow)
{
    struct hz_worker_info *infos;
    size_t count;
    HZ_ASSERT_OK(hz_registry_list(NULL, &infos, &count));
    HZ_ASSERT_EQ(count, 0);
    free(infos);
    for (uint64_t i = 0; i < 300; i++) {
        struct hz_worker_info info = make(299 - i, i % 3 ? "b" : "a");
        HZ_ASSERT_OK(hz_registry_put(&info));
    }
    HZ_ASSERT_OK(hz_registry_list(NULL, &infos, &count));
    HZ_ASSERT_EQ(count, 300);
    for (size_t i = 0; i < count; i++)
        HZ_ASSERT_EQ(infos[i].sequence, i);
    free(infos);
    HZ_ASSERT_OK(hz_registry_list("a", &infos, &count));
    HZ_ASSERT_EQ(count, 100);
    free(infos);
}

static struct hz_worker_info shared;
static atomic_bool stop;
static _Atomic unsigned torn, reads;

static void *reader(void *arg)
{
    (void)arg;
    urcu_memb_register_thread();
    while (!stop) {
        struct hz_worker_info got;
        if (hz_registry_get(&shared.id, &got) && (got.port != got.restarts || got.port != got.in_flight))
            torn++;
        struct hz_worker_info *infos;
        size_t count;
        if (reads++ % 64 == 0 && hz_registry_list(NULL, &infos, &count) == 0)
            free(infos);
    }
    urcu_memb_unregister_thread();
    return NULL;
}

HZ_TEST(registry, readers_never_see_half_a_copy_while_the_owner_replaces_it)
{
    shared = make(1, "w");
    stop = false;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        HZ_ASSERT_EQ(pthread_create(&threads[i], NULL, reader, NULL), 0);
    for (uint32_t i = 0; i < 20000; i++) {
        shared.port = shared.restarts = shared.in_flight = i;
        HZ_ASSERT_OK(hz_registry_put(&shared));
        if (i % 100 == 0)
            hz_registry_remove(&shared.id);
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    HZ_ASSERT_EQ(torn, 0);
    HZ_ASSERT_GT(reads, 0);
}
