/* test_workflows.c - versions, import and export of flow.json, findings, the record of a flow; the real probe, a real store. */
#include "core/catalog.h"
#include "core/config.h"
#include "core/store.h"
#include "core/workflow_files.h"
#include "core/workflow.h"
#include "core/workflows.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

static struct hz_config config;
static int lock_fd = -1;

static void open_all(void)
{
    HZ_ASSERT_OK(hz_store_open(config.data_dir, 1000));
    HZ_ASSERT_OK(hz_workflows_init(&config));
}

HZ_SUITE_INIT(workflows)
{
    urcu_memb_register_thread();
    setenv("HORIZON_WORKER", hz_test_path("%s/bin/horizon-worker", hz_test_build_dir()), 1);
    setenv("HORIZON_BUILTIN_NODES", hz_test_path("%s/lib/horizon/nodes", hz_test_build_dir()), 1);
    setenv("WFV_CIUDAD", "Sevilla", 1);
    setenv("WFV_PAIS", "otro", 1);
    setenv("WORKFLOW_PAIS", "ES", 1);
    HZ_ASSERT_OK(hz_config_load(&config));
    HZ_ASSERT_OK(hz_catalog_refresh(&config));
}

HZ_SUITE_CLEANUP(workflows)
{
    hz_catalog_fini();
    hz_config_fini(&config);
    urcu_memb_unregister_thread();
}

HZ_SETUP(workflows)
{
    hz_test_remove_tree("data");
    HZ_ASSERT_OK(hz_config_open_data(&config, "data", &lock_fd));
    open_all();
}

HZ_TEARDOWN(workflows)
{
    hz_workflows_fini();
    hz_store_close();
    close(lock_fd);
}

static char *flow_text(const char *mapping, const char *settings, const char *version)
{
    char *text = NULL;
    HZ_ASSERT_GT(asprintf(&text,
                         "{\"info\":{\"uid\":\"f\",\"name\":\"F\"},\"properties\":{\"horizon\":%s},\"version\":\"%s\",\"extra\":[1],"
                         "\"environment\":[\"ciudad\",\"PAIS\",\"nada\"],"
                         "\"nodes\":{\"a\":{\"type\":\"workflow_init\",\"name\":\"Inicio\",\"properties\":{}},"
                         "\"b\":{\"type\":\"data_transformer\",\"name\":\"Mapa\",\"properties\":{\"mapping\":{\"value\":\"%s\"}}}},"
                         "\"connections\":[{\"idNodeOrigin\":\"a\",\"connectorOriginName\":\"init\",\"idNodeDestiny\":\"b\","
                         "\"connectorDestinyName\":\"input\"}]}",
                         settings, version, mapping), 0);
    return text;
}

static int put(const char *id, char *text, char ret_version[32], char **ret_findings)
{
    int err = hz_workflows_put(id, text, strlen(text), "test", ret_version, ret_findings);
    free(text);
    return err;
}

HZ_TEST(workflows, each_change_is_a_version_and_the_same_text_is_none)
{
    char version[32], *findings;
    HZ_ASSERT_OK(put("f", flow_text("1", "{}", "0.0.1"), version, &findings));
    HZ_ASSERT_STR_EQ(version, "0.0.1");
    HZ_ASSERT_OK(put("f", flow_text("1", "{}", "0.0.1"), version, &findings));
    HZ_ASSERT_STR_EQ(version, "0.0.1");
    HZ_ASSERT_OK(put("f", flow_text("2", "{}", "0.0.1"), version, &findings));
    HZ_ASSERT_STR_EQ(version, "0.0.2");
    HZ_ASSERT_OK(put("f", flow_text("3", "{}", "2.1.0"), version, &findings));
    HZ_ASSERT_STR_EQ(version, "2.1.0");
    json_t *versions = hz_store_workflow_versions("f");
    HZ_ASSERT_EQ(json_array_size(versions), 3);
    json_decref(versions);
}

HZ_TEST(workflows, a_given_version_is_the_one_that_is_compiled)
{
    char version[32], *findings;
    struct hz_workflow *newest, *old, *missing = NULL;
    HZ_ASSERT_OK(put("f", flow_text("1", "{\"isolation\":\"resident\"}", "0.0.1"), version, &findings));
    HZ_ASSERT_OK(put("f", flow_text("1", "{\"isolation\":\"isolated\"}", "0.0.1"), version, &findings));
    HZ_ASSERT_OK(hz_workflows_get("f", NULL, &newest, &findings));
    HZ_ASSERT_OK(hz_workflows_get("f", "0.0.1", &old, &findings));
    HZ_ASSERT_STR_EQ(newest->version, "0.0.2");
    HZ_ASSERT_FALSE(newest->resident);
    HZ_ASSERT_TRUE(old->resident);
    HZ_ASSERT_EQ(hz_workflows_get("f", "9.9.9", &missing, &findings), HZ_ENOTFOUND);
    HZ_ASSERT_EQ(hz_workflows_get("../f", NULL, &missing, &findings), HZ_ENOTFOUND);
    hz_workflow_unref(&newest);
    hz_workflow_unref(&old);
}

HZ_TEST(workflows, only_the_names_the_flow_lists_reach_it)
{
    char version[32], *findings;
    struct hz_workflow *workflow;
    setenv("WFV_SECRETO", "no", 1);
    HZ_ASSERT_OK(put("f", flow_text("1", "{}", "0.0.1"), version, &findings));
    HZ_ASSERT_OK(hz_workflows_get("f", NULL, &workflow, &findings));
    HZ_ASSERT_STR_EQ(workflow->env[0], "ciudad");
    HZ_ASSERT_STR_EQ(workflow->env[1], "Sevilla");
    HZ_ASSERT_STR_EQ(workflow->env[2], "PAIS");
    HZ_ASSERT_STR_EQ(workflow->env[3], "ES");
    HZ_ASSERT_NULL(workflow->env[4]);
    hz_workflow_unref(&workflow);
}

HZ_TEST(workflows, an_invalid_flow_changes_nothing_and_says_where)
{
    char version[32], *findings;
    HZ_ASSERT_OK(put("f", flow_text("1", "{}", "0.0.1"), version, &findings));
    HZ_ASSERT_EQ(put("f", flow_text("{{ input.( }}", "{}", "0.0.1"), version, &findings), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(findings, "Mapa");
    HZ_ASSERT_STR_HAS(findings, "mapping");
    free(findings);
    HZ_ASSERT_EQ(put("f", flow_text("{{ [1,2].map(x => ) }}", "{}", "0.0.1"), version, &findings), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(findings, "Mapa");
    free(findings);
    HZ_ASSERT_EQ(put("f", flow_text("1", "{\"isolation\":\"alone\"}", "0.0.1"), version, &findings), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(findings, "properties.horizon.isolation");
    HZ_ASSERT_STR_HAS(findings, "auto, isolated, resident");
    free(findings);
    HZ_ASSERT_EQ(put("f", flow_text("1", "{\"history\":\"some\"}", "0.0.1"), version, &findings), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(findings, "properties.horizon.history: is the text `some` (expected one of all, failed+sample, counters)");
    free(findings);
    HZ_ASSERT_EQ(put("a/b", flow_text("1", "{}", "0.0.1"), version, &findings), HZ_EFORMAT);
    free(findings);
    json_t *versions = hz_store_workflow_versions("f");
    HZ_ASSERT_EQ(json_array_size(versions), 1);
    json_decref(versions);
}

HZ_TEST(workflows, flow_json_is_written_with_unknown_keys_and_read_back_when_changed)
{
    char version[32], *findings;
    size_t len;
    HZ_ASSERT_OK(put("f", flow_text("1", "{}", "0.0.1"), version, &findings));
    char *file = hz_test_read_file("data/workflows/f/flow.json", &len);
    HZ_ASSERT_STR_HAS(file, "\n  \"extra\": [");
    HZ_ASSERT_EQ(hz_workflows_scan(), 0);
    char *one = strstr(file, "\"value\": \"1\"");
    HZ_ASSERT_NOT_NULL(one);
    one[strlen("\"value\": \"")] = '7';
    hz_test_write_file("data/workflows/f/flow.json", file, len);
    free(file);
    HZ_ASSERT_EQ(mkdir("data/workflows/broken", 0700), 0);
    hz_test_write_file("data/workflows/broken/flow.json", "{", 1);
    HZ_ASSERT_EQ(hz_workflows_scan(), 1); /* the broken one is logged and stops nobody */
    HZ_ASSERT_EQ(hz_workflows_scan(), 0);
    json_t *versions = hz_store_workflow_versions("f");
    HZ_ASSERT_EQ(json_array_size(versions), 2);
    json_decref(versions);
}

HZ_TEST(workflows, the_truth_survives_a_restart_without_its_files)
{
    char version[32], *findings;
    struct hz_workflow *workflow;
    HZ_ASSERT_OK(put("f", flow_text("1", "{}", "0.0.1"), version, &findings));
    hz_workflows_fini();
    hz_store_close();
    hz_test_remove_tree("data/workflows");
    open_all();
    HZ_ASSERT_OK(hz_workflows_get("f", NULL, &workflow, &findings));
    hz_workflow_unref(&workflow);
}

HZ_TEST(workflows, the_record_has_every_field_and_full_properties)
{
    char version[32], *findings;
    static const char *const fields[] = {"id", "name", "description", "projectId", "status", "lastRun", "duration", "workflowData",
            "properties", "version", "isPublished", "createdAt", "updatedAt"};
    HZ_ASSERT_OK(put("f", flow_text("1", "{}", "0.0.1"), version, &findings));
    json_t *record = hz_workflows_record("f");
    for (size_t i = 0; i < HZ_COUNT_OF(fields); i++)
        HZ_ASSERT_NOT_NULL(json_object_get(record, fields[i]));
    json_t *node = json_object_get(json_object_get(json_object_get(record, "workflowData"), "nodes"), "b");
    json_t *mapping = json_object_get(json_object_get(node, "properties"), "mapping");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(mapping, "type")), "code");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(mapping, "value")), "1");
    json_decref(record);
    HZ_ASSERT_NULL(hz_workflows_record("nobody"));
}

HZ_TEST(workflows, versions_count_up_from_any_text)
{
    char next[32];
    hz_workflow_version_next("1.2.9", next);
    HZ_ASSERT_STR_EQ(next, "1.2.10");
    hz_workflow_version_next("soon", next);
    HZ_ASSERT_STR_EQ(next, "0.0.1");
    hz_workflow_version_next("0.0.999999999", next);
    HZ_ASSERT_STR_EQ(next, "0.1.0");
    hz_workflow_version_next("1.65535.999999999", next);
    HZ_ASSERT_STR_EQ(next, "2.0.0");
    HZ_ASSERT_EQ(hz_workflow_version_number("0.65536.0"), 0);
    HZ_ASSERT_EQ(hz_workflow_version_number("65536.0.0"), 0);
    HZ_ASSERT_EQ(hz_workflow_version_number("0.0.1000000000"), 0);
    HZ_ASSERT_LT(hz_workflow_version_number("0.9.9"), hz_workflow_version_number("0.10.0"));
    HZ_ASSERT_EQ(hz_workflow_version_number("1.2"), 0);
    HZ_ASSERT_EQ(hz_workflow_version_number("1.2.3-beta"), 0);
}

HZ_TEST(workflows, ids_are_plain_names)
{
    static const char *const good[] = {"hello", "b7f0-1", "año", "a.b"};
    static const char *const bad[] = {"", ".", "..", ".hidden", "a/b", "a\\b", "a..b", "a\nb"};
    for (size_t i = 0; i < HZ_COUNT_OF(good); i++)
        HZ_ASSERT_TRUE(hz_workflows_valid_id(good[i], strlen(good[i])));
    for (size_t i = 0; i < HZ_COUNT_OF(bad); i++)
        HZ_ASSERT_FALSE(hz_workflows_valid_id(bad[i], strlen(bad[i])));
}
