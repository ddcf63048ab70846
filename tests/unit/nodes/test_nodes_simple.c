/*
 * test_nodes_simple.c - the nodes that compute and decide, each through its built shared object.
 */
#include "node_host.h"

#define WITH(type) for (struct node_host *n = node_host_open(type); n; node_host_close(&n))

HZ_TEST(workflow_init, wraps_the_payload)
{
    WITH("workflow_init")
    {
        HZ_ASSERT_EQ(node_host_run(n, "", "{\"a\":1}"), HZ_OK);
        HZ_ASSERT_STR_EQ(node_host_only(n), "init {\"data\":{\"a\":1}}");
        HZ_ASSERT_STR_EQ(node_host_emissions(n)->meta, "{\"nextIsTrigger\":true}");
    }
}

HZ_TEST(workflow_init, gives_an_empty_object_when_there_is_nothing)
{
    WITH("workflow_init")
    {
        HZ_ASSERT_EQ(node_host_run(n, "", "{}"), HZ_OK);
        HZ_ASSERT_STR_EQ(node_host_only(n), "init {\"data\":{}}");
        HZ_ASSERT_EQ(node_host_run(n, "", NULL), HZ_OK);
        HZ_ASSERT_STR_EQ(node_host_only(n), "init {\"data\":{}}");
    }
}

HZ_TEST(workflow_init, uses_the_default_for_an_absent_or_empty_payload_only)
{
    WITH("workflow_init")
    {
        node_host_param(n, "valueDefault", "\"{\\\"x\\\":2}\"");
        node_host_param(n, "typeExec", "\"global\"");
        node_host_run(n, "", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "init {\"data\":{\"x\":2}}");
        HZ_ASSERT_STR_EQ(node_host_emissions(n)->meta, "{\"nextIsTrigger\":true,\"globalExec\":true}");
        node_host_run(n, "", "null");
        HZ_ASSERT_STR_EQ(node_host_only(n), "init {\"data\":null}");
        node_host_run(n, "", "[]");
        HZ_ASSERT_STR_EQ(node_host_only(n), "init {\"data\":[]}");
    }
}

HZ_TEST(console_output, prints_and_passes_on)
{
    WITH("console_output")
    {
        node_host_run(n, "input", "{\"a\":[1,2.5]}");
        HZ_ASSERT_STR_EQ(node_host_log(n), "[console] {\"a\":[1,2.5]}\n");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response {\"a\":[1,2.5]}");
    }
}

HZ_TEST(manual_trigger, prints_to_debug_and_passes_on)
{
    WITH("manual_trigger")
    {
        node_host_run(n, "input", "\"x\"");
        HZ_ASSERT_STR_EQ(node_host_log(n), "debug \"x\"\n");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response \"x\"");
    }
}

HZ_TEST(delay, waits_three_seconds_by_default)
{
    WITH("delay")
    {
        HZ_ASSERT_EQ(node_host_run(n, "input", "{\"a\":1}"), HZ_OK);
        HZ_ASSERT_EQ(node_host_waited(n), 3000);
        HZ_ASSERT_STR_EQ(node_host_only(n), "response {\"a\":1}");
    }
}

HZ_TEST(delay, takes_zero_and_fractions_and_texts_that_are_numbers)
{
    static const struct {
        const char *value;
        uint64_t ms;
    } cases[] = {{"0", 0}, {"0.25", 250}, {"\"1.5\"", 1500}, {"-3", 0}, {"\"x\"", 0}, {"null", 0}, {"0.0001", 1}};
    WITH("delay")
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        node_host_param(n, "delay", cases[i].value);
        HZ_ASSERT_EQ(node_host_run(n, "input", "1"), HZ_OK);
        HZ_ASSERT_EQ(node_host_waited(n), cases[i].ms);
        HZ_ASSERT_STR_EQ(node_host_only(n), "response 1");
    }
}

HZ_TEST(data_transformer, emits_what_the_mapping_became)
{
    WITH("data_transformer")
    {
        node_host_param(n, "mapping", "{\"b\":1,\"a\":[null]}");
        node_host_run(n, "input", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "output {\"b\":1,\"a\":[null]}");
        node_host_param(n, "mapping", "\" [1, 2] \"");
        node_host_run(n, "input", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "output [1,2]");
    }
}

HZ_TEST(data_transformer, reports_broken_json_and_failed_expressions)
{
    WITH("data_transformer")
    {
        node_host_param(n, "mapping", "\"{\\\"falta\\\": \"");
        HZ_ASSERT_EQ(node_host_run(n, "input", "{}"), HZ_OK);
        HZ_ASSERT_STR_HAS(node_host_only(n), "error {\"error\":\"");
        node_host_param_failed(n, "mapping", "TypeError: undefined is not an object");
        node_host_run(n, "input", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"error\":\"TypeError: undefined is not an object\"}");
    }
}

HZ_TEST(conditional, takes_the_first_that_is_exactly_true)
{
    WITH("conditional")
    {
        node_host_param(n, "conditions",
                "[{\"name\":{\"value\":\"uno\"},\"condition\":{\"value\":1}},"
                "{\"name\":{\"value\":\"dos\"},\"condition\":{\"value\":\"x\"}},"
                "{\"name\":{\"value\":\" tres \"},\"condition\":{\"value\":true}},"
                "{\"name\":{\"value\":\"cuatro\"},\"condition\":{\"value\":true}}]");
        node_host_run(n, "input", "{\"a\":1}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "tres {\"a\":1}");
    }
}

HZ_TEST(conditional, falls_through_to_else)
{
    WITH("conditional")
    {
        node_host_run(n, "input", "7");
        HZ_ASSERT_STR_EQ(node_host_only(n), "else 7");
        node_host_param(n, "conditions",
                "[{\"name\":{\"value\":\"a\"},\"condition\":{\"value\":\"false\"}},{},3,null,"
                "{\"condition\":{}}]");
        node_host_run(n, "input", "7");
        HZ_ASSERT_STR_EQ(node_host_only(n), "else 7");
    }
}

HZ_TEST(conditional, names_outputs_by_position)
{
    WITH("conditional")
    {
        static const char *const cases[][2] = {{"\"condicion_{{index}}\"", "condicion_02 1"},
                {"\"\"", "condicion_02 1"}, {"\"  \"", "condicion_02 1"}, {"\"{{index}}-{{index}}\"", "02-{{index}} 1"},
                {"null", "condicion_02 1"}};
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            char conditions[256];
            snprintf(conditions, sizeof conditions,
                    "[{\"condition\":{\"value\":false}},"
                    "{\"name\":{\"value\":%s},\"condition\":{\"value\":\"true\"}}]",
                    cases[i][0]);
            node_host_param(n, "conditions", conditions);
            node_host_run(n, "input", "1");
            HZ_ASSERT_STR_EQ(node_host_only(n), cases[i][1]);
        }
    }
}

HZ_TEST(conditional, reports_conditions_that_are_no_list)
{
    WITH("conditional")
    {
        node_host_param(n, "conditions", "{\"a\":1}");
        node_host_run(n, "input", "1");
        HZ_ASSERT_STR_HAS(node_host_only(n), "error {\"error\":\"");
    }
}

HZ_TEST(iteration, walks_a_list_and_sends_the_last_to_finish)
{
    WITH("iteration")
    {
        node_host_param(n, "valor", "[10,20,30]");
        node_host_run(n, "init", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response {\"index\":0,\"value\":10}");
        node_host_param(n, "valor", "\"something else\""); /* `next` does not read it */
        node_host_run(n, "next", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response {\"index\":1,\"value\":20}");
        node_host_run(n, "next", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "finish {\"index\":2,\"value\":30}");
        node_host_run(n, "next", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"error\":\"No hay mas datos\"}");
    }
}

HZ_TEST(iteration, keeps_its_cursor_per_execution)
{
    WITH("iteration")
    {
        node_host_param(n, "valor", "[1,2]");
        node_host_run(n, "init", "{}");
        node_host_fresh(n);
        node_host_run(n, "next", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"error\":\"No hay mas datos\"}");
    }
}

HZ_TEST(iteration, knows_empty_single_and_wrong_lists)
{
    WITH("iteration")
    {
        node_host_param(n, "valor", "[]");
        node_host_run(n, "init", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "finish {\"index\":-1,\"value\":null}");
        node_host_run(n, "next", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"error\":\"No hay mas datos\"}");
        node_host_param(n, "valor", "\"[\\\"solo\\\"]\"");
        node_host_run(n, "init", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "finish {\"index\":0,\"value\":\"solo\"}");
        node_host_param(n, "valor", "{\"a\":1}");
        node_host_run(n, "init", "{}");
        HZ_ASSERT_STR_EQ(
                node_host_only(n), "error {\"error\":\"El valor de la iteración debe ser un listado (Array)\"}");
        node_host_run(n, "add", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "");
        node_host_run(n, "finish", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "");
    }
}

HZ_TEST(parallelism, goes_on_when_the_join_is_complete)
{
    WITH("parallelism")
    {
        node_host_join(n, 0);
        HZ_ASSERT_EQ(node_host_run(n, "input", "1"), HZ_OK);
        HZ_ASSERT_STR_EQ(node_host_only(n), "");
        node_host_join(n, HZ_ERR_ALREADY);
        HZ_ASSERT_EQ(node_host_run(n, "input", "1"), HZ_OK);
        HZ_ASSERT_STR_EQ(node_host_only(n), "");
        node_host_join(n, 1);
        node_host_run(n, "input", "1");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response {\"response\":\"Ok\"}");
        node_host_join(n, HZ_ERR_NOENT);
        node_host_run(n, "input", "1");
        HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"error\":\"No se encontraron nodos\"}");
    }
}

HZ_TEST(parallelism, first_means_once_an_execution)
{
    WITH("parallelism")
    {
        node_host_param(n, "type", "\"firstParallel\"");
        node_host_run(n, "input", "1");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response {\"response\":\"Ok\"}");
        node_host_run(n, "input", "1");
        HZ_ASSERT_STR_EQ(node_host_only(n), "");
        node_host_fresh(n);
        node_host_run(n, "input", "1");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response {\"response\":\"Ok\"}");
    }
}

HZ_TEST(cache, misses_then_hits)
{
    WITH("cache")
    {
        node_host_param(n, "key", "\"k\"");
        node_host_run(n, "get", "{\"q\":1}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "noExist {\"q\":1}");
        HZ_ASSERT_STR_EQ(node_host_emissions(n)->meta, "{\"key\":\"k\"}");
        node_host_upstream(n, "cache", "{\"q\":1}", "{\"key\":\"k\"}");
        node_host_param(n, "key", "\"another, since the input is another\"");
        node_host_run(n, "set", "{\"v\":2}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response {\"v\":2}");
        HZ_ASSERT_STR_EQ(node_host_emissions(n)->meta, "{\"key\":\"k\"}");
        node_host_param(n, "key", "\"k\"");
        node_host_fresh(n);
        node_host_run(n, "get", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response {\"v\":2}");
        HZ_ASSERT_STR_EQ(node_host_emissions(n)->meta, "{\"key\":\"k\"}");
    }
}

HZ_TEST(cache, set_without_a_get_uses_its_own_key)
{
    WITH("cache")
    {
        node_host_param(n, "key", "{\"id\":7}");
        node_host_run(n, "set", "1");
        HZ_ASSERT_NULL(node_host_emissions(n)->meta);
        node_host_run(n, "get", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response 1");
        HZ_ASSERT_STR_EQ(node_host_emissions(n)->meta, "{\"key\":\"{\\\"id\\\":7}\"}");
    }
}

HZ_TEST(cache, refuses_an_empty_key)
{
    WITH("cache")
    {
        node_host_run(n, "get", "{}");
        HZ_ASSERT_STR_EQ(node_host_only(n),
                "noExist {\"error\":\"La clave no puede estar vacía\",\"operation\":\"get\",\"key\":\"\"}");
        node_host_run(n, "set", "{}");
        HZ_ASSERT_STR_HAS(node_host_only(n), "\"operation\":\"set\"");
    }
}

HZ_TEST(cache, forgets_after_its_time)
{
    WITH("cache")
    {
        node_host_param(n, "key", "\"k\"");
        node_host_param(n, "stdTTL", "0.03");
        node_host_run(n, "set", "1");
        uint64_t end = hz_test_now_ms() + 5000;
        do {
            node_host_run(n, "get", "0");
        } while (node_host_only(n)[0] == 'r' && hz_test_now_ms() < end);
        HZ_ASSERT_STR_EQ(node_host_only(n), "noExist 0");
        node_host_param(n, "stdTTL", "0");
        node_host_run(n, "set", "1");
        node_host_run(n, "get", "0");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response 1");
        node_host_wait(n, 500000); /* the sweeper looks and finds nothing to drop */
        node_host_run(n, "get", "0");
        HZ_ASSERT_STR_EQ(node_host_only(n), "response 1");
    }
}
