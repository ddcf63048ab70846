/* test_catalog.c - the node types as the real probe reports them, and what happens to files that are none. */
#include "core/catalog.h"
#include "core/config.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <urcu/urcu-memb.h>

static struct hz_config config;

HZ_SUITE_INIT(catalog)
{
    urcu_memb_register_thread();
    setenv("HORIZON_WORKER", hz_test_path("%s/bin/horizon-worker", hz_test_build_dir()), 1);
    setenv("HORIZON_BUILTIN_NODES", hz_test_path("%s/lib/horizon/nodes", hz_test_build_dir()), 1);
    HZ_ASSERT_EQ(mkdir("extra", 0700), 0);
    hz_test_write_file("extra/no_node.so", "this is no shared object", 24);
    setenv("HORIZON_NODES", hz_test_path("%s/extra", hz_test_dir()), 1);
    HZ_ASSERT_OK(hz_config_load(&config));
    HZ_ASSERT_OK(hz_catalog_refresh(&config));
}

HZ_SUITE_CLEANUP(catalog)
{
    hz_catalog_fini();
    hz_config_fini(&config);
    urcu_memb_unregister_thread();
}

HZ_TEST(catalog, the_thirteen_core_types_are_there_and_trusted)
{
    static const char *const types[] = {"workflow_init", "webhook_handler", "http_response", "http_request", "data_transformer", "conditional",
            "iteration", "parallelism", "delay", "console_output", "manual_trigger", "validator", "cache"};
    json_t *all = hz_catalog_get();
    for (size_t i = 0; i < HZ_COUNT_OF(types); i++) {
        json_t *entry = json_object_get(all, types[i]);
        HZ_ASSERT_NOT_NULL(entry);
        HZ_ASSERT_TRUE(json_is_true(json_object_get(entry, "trusted")));
        HZ_ASSERT_NOT_NULL(json_object_get(json_object_get(entry, "info"), "connectors"));
    }
    json_decref(all);
}

HZ_TEST(catalog, clients_see_the_contract_s_shape)
{
    json_t *all = hz_catalog_public(), *entry = json_object_get(all, "delay");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(entry, "type")), "delay");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(entry, "group")), "Timer");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(entry, "typeDescription")), "Timer");
    HZ_ASSERT_TRUE(json_is_array(json_object_get(entry, "dependencies")));
    HZ_ASSERT_NULL(json_object_get(entry, "file"));
    HZ_ASSERT_EQ(json_integer_value(json_object_get(json_object_get(json_object_get(entry, "properties"), "delay"), "value")), 3);
    json_decref(all);
}

HZ_TEST(catalog, a_file_that_is_no_node_is_refused_by_name_with_a_reason)
{
    json_t *refused = hz_catalog_refused(), *item;
    bool found = false;
    size_t i;
    json_array_foreach(refused, i, item)
        found |= strstr(json_string_value(json_object_get(item, "file")), "no_node.so") &&
                json_string_length(json_object_get(item, "reason")) > 0;
    HZ_ASSERT_TRUE(found);
    json_decref(refused);
    HZ_ASSERT_NULL(hz_catalog_inspect(&config, "extra/no_node.so"));
    HZ_ASSERT_STR_HAS(hz_err_last(), "no_node.so");
}

HZ_TEST(catalog, scripts_are_judged_one_by_one)
{
    json_t *texts = json_pack("[s, s, s]", "[1,2].map(x => x * 2)", "function (", "1); (2");
    json_t *answers = hz_catalog_check_scripts(&config, texts);
    HZ_ASSERT_NOT_NULL(answers);
    HZ_ASSERT_TRUE(json_is_null(json_array_get(answers, 0)));
    HZ_ASSERT_TRUE(json_is_string(json_array_get(answers, 1)));
    HZ_ASSERT_TRUE(json_is_string(json_array_get(answers, 2)));
    json_decref(answers);
    json_decref(texts);
}

static bool stop_reading;
static void *read_on(void *arg)
{
    (void)arg;
    urcu_memb_register_thread();
    while (!__atomic_load_n(&stop_reading, __ATOMIC_RELAXED)) {
        json_t *all = hz_catalog_get();
        HZ_ASSERT_GE(json_object_size(all), 13);
        json_decref(all);
    }
    urcu_memb_unregister_thread();
    return NULL;
}

HZ_TEST(catalog, readers_never_see_a_catalogue_that_is_being_replaced)
{
    pthread_t reader;
    uint64_t before = hz_catalog_version();
    HZ_ASSERT_EQ(pthread_create(&reader, NULL, read_on, NULL), 0);
    for (int i = 0; i < 5; i++)
        HZ_ASSERT_OK(hz_catalog_refresh(&config));
    __atomic_store_n(&stop_reading, true, __ATOMIC_RELAXED);
    pthread_join(reader, NULL);
    HZ_ASSERT_EQ(hz_catalog_version(), before + 5);
}
