/* test_webhooks.c - which worker answers which method and path. */
#include "core/webhooks.h"
#include "tests/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

static struct hz_uuid ids[4];

HZ_SUITE_INIT(webhooks)
{
    urcu_memb_register_thread();
    for (size_t i = 0; i < HZ_COUNT_OF(ids); i++)
        ids[i] = hz_uuid_new();
}

HZ_SUITE_CLEANUP(webhooks)
{
    urcu_memb_unregister_thread();
}

HZ_SETUP(webhooks)
{
    HZ_ASSERT_OK(hz_webhooks_init(true));
}

HZ_TEARDOWN(webhooks)
{
    hz_webhooks_fini();
}

static struct hz_webhook_entry *add(uint32_t port, unsigned worker, const char *method, const char *path, uint64_t order)
{
    struct hz_webhook_target target = {.worker = ids[worker], .port = port, .shard = worker, .node = 10 + worker, .timeout_ms = 1000};
    struct hz_webhook_entry *entry = NULL;
    HZ_ASSERT_OK(hz_webhooks_add(&target, method, path, order, &entry));
    return entry;
}

static int match(uint32_t port, const char *method, const char *path, unsigned *ret_worker, char params[256])
{
    struct hz_webhook_match m;
    int found = hz_webhooks_match(port, method, path, &m);
    if (found == 1) {
        *ret_worker = m.shard;
        HZ_ASSERT_TRUE(hz_uuid_equal(&m.worker, &ids[m.shard]));
        HZ_ASSERT_EQ(m.node, 10 + m.shard);
        snprintf(params, 256, "%s", m.params);
        free(m.params);
    }
    return found;
}

static void joins_to(const char *a, const char *b, const char *c, const char *expected)
{
    char *path = hz_webhooks_join((const char *const[]){a, b, c, NULL});
    HZ_ASSERT_STR_EQ(path, expected);
    free(path);
}

HZ_TEST(webhooks, joins_parts_with_single_slashes)
{
    joins_to("", "x", "", "/x");
    joins_to("/v1/", "/x", "", "/v1/x");
    joins_to("v1", "x//y/", "", "/v1/x/y");
    joins_to("", "", "", "/");
    joins_to("//", "/", "", "/");
    joins_to("f_u", "api", "/v1/x", "/f_u/api/v1/x");
}

HZ_TEST(webhooks, tells_path_unknown_from_method_unknown)
{
    unsigned worker;
    char params[256];
    add(0, 1, "post", "/saludo", 1);
    HZ_ASSERT_EQ(match(0, "POST", "/saludo", &worker, params), 1);
    HZ_ASSERT_EQ(worker, 1);
    HZ_ASSERT_STR_EQ(params, "{}");
    HZ_ASSERT_EQ(match(0, "GET", "/saludo", &worker, params), -1);
    HZ_ASSERT_EQ(match(0, "POST", "/saludos", &worker, params), 0);
    HZ_ASSERT_EQ(match(0, "POST", "/", &worker, params), 0);
    HZ_ASSERT_EQ(match(3001, "POST", "/saludo", &worker, params), 0);
}

HZ_TEST(webhooks, compares_without_case_and_without_the_last_slash)
{
    unsigned worker;
    char params[256];
    add(0, 0, "GET", "/Api/Uno", 1);
    HZ_ASSERT_EQ(match(0, "GET", "/api/uno/", &worker, params), 1);
    HZ_ASSERT_EQ(match(0, "GET", "//API//uno", &worker, params), 1);
    HZ_ASSERT_EQ(match(0, "HEAD", "/api/uno", &worker, params), 1);
    HZ_ASSERT_EQ(match(0, "DELETE", "/api/uno", &worker, params), -1);
}

HZ_TEST(webhooks, answers_the_root_any_method_and_the_rest)
{
    unsigned worker;
    char params[256];
    add(0, 0, "all", "/", 1);
    add(0, 1, "GET", "/files/*", 1);
    HZ_ASSERT_EQ(match(0, "PATCH", "/", &worker, params), 1);
    HZ_ASSERT_EQ(worker, 0);
    HZ_ASSERT_EQ(match(0, "GET", "/files/a/b/c", &worker, params), 1);
    HZ_ASSERT_EQ(worker, 1);
    HZ_ASSERT_EQ(match(0, "GET", "/other/a", &worker, params), 0);
}

HZ_TEST(webhooks, hands_over_parameters_as_json)
{
    unsigned worker;
    char params[256];
    add(0, 2, "GET", "/user/:id/doc/:name", 1);
    add(0, 3, "GET", "/:any", 1);
    HZ_ASSERT_EQ(match(0, "GET", "/user/7/doc/a b\"\n", &worker, params), 1);
    HZ_ASSERT_EQ(worker, 2);
    HZ_ASSERT_STR_EQ(params, "{\"id\":\"7\",\"name\":\"a b\\\"\\n\"}");
    HZ_ASSERT_EQ(match(0, "GET", "/\xff" "x", &worker, params), 1);
    HZ_ASSERT_EQ(worker, 3);
    HZ_ASSERT_STR_EQ(params, "{\"any\":\"?x\"}");
    HZ_ASSERT_EQ(match(0, "GET", "/user/7/doc", &worker, params), 0);
}

HZ_TEST(webhooks, the_newest_serves_a_path_two_claim_and_the_other_one_after_it)
{
    unsigned worker;
    char params[256];
    add(0, 0, "GET", "/x", 1);
    struct hz_webhook_entry *newer = add(0, 1, "GET", "/x", 2), *param = add(0, 2, "GET", "/:p", 3);
    HZ_ASSERT_EQ(match(0, "GET", "/x", &worker, params), 1);
    HZ_ASSERT_EQ(worker, 2);
    hz_webhooks_remove(&param);
    HZ_ASSERT_NULL(param);
    HZ_ASSERT_EQ(match(0, "GET", "/x", &worker, params), 1);
    HZ_ASSERT_EQ(worker, 1);
    hz_webhooks_remove(&newer);
    HZ_ASSERT_EQ(match(0, "GET", "/x", &worker, params), 1);
    HZ_ASSERT_EQ(worker, 0);
    hz_webhooks_remove(&newer); /* again: nothing */
}

HZ_TEST(webhooks, refuses_paths_of_too_many_parts)
{
    char path[400];
    unsigned worker;
    char params[256];
    for (int i = 0; i < 65; i++)
        snprintf(path + 2 * (size_t)i, sizeof path - 2 * (size_t)i, "/a");
    struct hz_webhook_target target = {.worker = ids[0]};
    struct hz_webhook_entry *entry;
    HZ_ASSERT_LT(hz_webhooks_add(&target, "GET", path, 1, &entry), 0);
    HZ_ASSERT_EQ(match(0, "GET", path, &worker, params), 0);
}

static atomic_bool stop;
static _Atomic unsigned wrong, found;
static void *reader(void *arg)
{
    (void)arg;
    urcu_memb_register_thread();
    while (!stop) {
        struct hz_webhook_match m;
        int result = hz_webhooks_match(0, "GET", "/busy/5", &m);
        if (result == 1) {
            if (strcmp(m.params, "{\"n\":\"5\"}") != 0)
                wrong++;
            free(m.params);
            found++;
        } else if (result != 0) {
            wrong++;
        }
    }
    urcu_memb_unregister_thread();
    return NULL;
}

HZ_TEST(webhooks, readers_match_while_routes_come_and_go)
{
    pthread_t threads[2];
    stop = false;
    for (int i = 0; i < 2; i++)
        HZ_ASSERT_EQ(pthread_create(&threads[i], NULL, reader, NULL), 0);
    for (uint64_t i = 0; i < 20000; i++) {
        struct hz_webhook_entry *entry = add(0, (unsigned)(i % 4), "GET", "/busy/:n", i);
        hz_webhooks_remove(&entry);
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    HZ_ASSERT_EQ(wrong, 0);
}
