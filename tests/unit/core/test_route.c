/* test_route.c - the table of operations and its checks, without a network, a store or a worker. */
#include "core/api/resources.h"
#include "core/api/route.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <string.h>

struct heard {
    unsigned times;
    uint32_t status;
    bool success;
    char message[256];
};

static void on_done(void *arg, const struct hz_route_answer *answer)
{
    struct heard *heard = arg;
    const char *message = json_string_value(json_object_get(answer->object, "message"));
    heard->times++;
    heard->status = answer->status;
    heard->success = json_is_true(json_object_get(answer->object, "success"));
    heard->message[0] = 0;
    if (message)
        strncat(heard->message, message, sizeof heard->message - 1);
}

static struct heard call(const char *name, enum hz_caller_kind kind, json_t *data)
{
    struct hz_caller caller = {.kind = kind};
    struct heard heard = {0};
    hz_route_run(name, &(struct hz_route_call){.caller = &caller, .data = data, .done = on_done, .arg = &heard});
    json_decref(data);
    return heard;
}

HZ_TEST(route, each_operation_has_one_name_one_way_to_run_and_a_text_of_failure)
{
    const struct hz_route *route;
    for (size_t i = 0; (route = hz_route_at(i)) != NULL; i++) {
        HZ_ASSERT_TRUE(hz_route_find(route->name) == route);
        HZ_ASSERT_TRUE((route->run != NULL) != (route->work != NULL));
        HZ_ASSERT_TRUE(strchr(route->name, ':') != NULL && route->failure && *route->failure);
        HZ_ASSERT_TRUE(route->permission != NULL || strncmp(route->name, "auth:", 5) == 0);
    }
    HZ_ASSERT_TRUE(hz_route_find("no:such") == NULL);
}

HZ_TEST(route, who_is_not_known_may_do_nothing_but_log_in)
{
    struct heard heard = call("workers:list", HZ_CALLER_NONE, json_object());
    HZ_ASSERT_EQ(heard.times, 1);
    HZ_ASSERT_EQ(heard.status, 401);
    HZ_ASSERT_STR_EQ(heard.message, "No cumple permisos para ejecutar el método workers:list");
    heard = call("no:such", HZ_CALLER_NONE, json_object());
    HZ_ASSERT_STR_EQ(heard.message, "No cumple permisos para ejecutar el método no:such");
    heard = call("auth:me", HZ_CALLER_NONE, json_object());
    HZ_ASSERT_STR_EQ(heard.message, "Error interno del servidor");
    heard = call("auth:login", HZ_CALLER_NONE, json_object());
    HZ_ASSERT_STR_EQ(heard.message, "Credenciales inválidas");
}

HZ_TEST(route, null_instead_of_an_object_is_the_operations_own_failure)
{
    struct hz_caller caller = {.kind = HZ_CALLER_UNIX};
    struct heard heard = {0};
    unsigned asked = 0;
    for (size_t i = 0; hz_route_at(i); i++) {
        if (hz_route_takes_null(hz_route_at(i)))
            continue; /* it looks at nothing of it, and would run */
        hz_route_start(hz_route_at(i), &(struct hz_route_call){.caller = &caller, .done = on_done, .arg = &heard}, NULL);
        HZ_ASSERT_EQ(heard.times, ++asked);
        HZ_ASSERT_FALSE(heard.success);
        HZ_ASSERT_STR_EQ(heard.message, hz_route_at(i)->failure);
    }
    HZ_ASSERT_GT(asked, 30);
    HZ_ASSERT_TRUE(hz_route_takes_null(hz_route_find("workers:list")));
    HZ_ASSERT_FALSE(hz_route_takes_null(hz_route_find("workers:stop")));
}

HZ_TEST(route, each_resource_is_an_operation_that_somebody_may_do)
{
    size_t count;
    const struct hz_resource *table = hz_resources_table(&count);
    HZ_ASSERT_TRUE(count > 20);
    for (size_t i = 0; i < count; i++) {
        const struct hz_route *route = hz_route_find(table[i].operation);
        HZ_ASSERT_NOT_NULL(route);
        HZ_ASSERT_NOT_NULL(route->permission);
        HZ_ASSERT_TRUE((strstr(table[i].pattern, ":id") != NULL) == (table[i].id != NULL));
        HZ_ASSERT_TRUE((table[i].kind == HZ_RESOURCE_NOTHING) == (table[i].status == 204));
    }
}
