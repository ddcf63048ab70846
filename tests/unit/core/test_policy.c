/* test_policy.c - what policy.json grants, what it refuses to grant, and when it is read again. */
#include "core/config.h"
#include "core/policy.h"
#include "shm/err.h"
#include "tests/harness.h"

#define HZ_HOST_SIDE
#include <horizon/node.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hz_config config;

HZ_SETUP(policy)
{
    memset(&config, 0, sizeof config);
    (void)mkdir("data", 0700);
    (void)unlink("data/policy.json");
}

HZ_TEARDOWN(policy)
{
    hz_policy_close();
}

static void write_policy(const char *text)
{
    FILE *file = fopen("data/policy.new", "w");
    HZ_ASSERT_NOT_NULL(file);
    fputs(text, file);
    fclose(file);
    HZ_ASSERT_OK(chmod("data/policy.new", 0600));
    HZ_ASSERT_OK(rename("data/policy.new", "data/policy.json"));
}

/* A flow of one node `lee` (third party) that asks for `caps`, one built-in node that asks for net. */
static struct hz_plan *make_plan(uint32_t caps)
{
    char types[1200];
    static const char flow_text[] = "{\"info\":{\"uid\":\"f\"},\"nodes\":{\"a\":{\"type\":\"workflow_init\",\"name\":\"Inicio\"},"
            "\"b\":{\"type\":\"lee\",\"name\":\"Lector\"},\"c\":{\"type\":\"pide\",\"name\":\"Red\"}},\"connections\":[]}";
    const char *base = "\"info\":{\"name\":\"x\",\"connectors\":{\"inputs\":[],\"outputs\":[]}},\"properties\":{},\"flags\":0";
    snprintf(types, sizeof types, "{\"workflow_init\":{\"type\":\"workflow_init\",%s,\"caps\":0,\"file\":\"i.so\",\"trusted\":true},"
            "\"lee\":{\"type\":\"lee\",%s,\"caps\":%u,\"file\":\"l.so\",\"trusted\":false},"
            "\"pide\":{\"type\":\"pide\",%s,\"caps\":1,\"file\":\"p.so\",\"trusted\":true}}", base, base, caps, base);
    json_t *catalog = json_loads(types, 0, NULL);
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    HZ_ASSERT_NOT_NULL(catalog);
    HZ_ASSERT_OK(hz_flow_parse(flow_text, sizeof flow_text - 1, &report, &flow));
    HZ_ASSERT_OK(hz_flow_compile(flow, catalog, false, &report, &plan));
    hz_flow_free(&flow);
    hz_flow_report_fini(&report);
    json_decref(catalog);
    return plan;
}

/* The judgement on make_plan(caps) in workflow `id`: granted (0), or the first finding's text in `text`. */
static int judge(uint32_t caps, const char *id, struct hz_policy_rights *rights, char text[1024])
{
    struct hz_plan *plan = make_plan(caps);
    struct hz_flow_report report = {0};
    int err = hz_policy_judge(plan, id, &report, rights);
    text[0] = 0;
    if (report.count > 0) {
        char *line = hz_flow_finding_text(&report.findings[0], "f");
        snprintf(text, 1024, "%s", line ? line : "");
        free(line);
    }
    hz_flow_report_fini(&report);
    free(plan);
    return err;
}

HZ_TEST(policy, without_a_file_built_in_nodes_have_net_and_nobody_has_more)
{
    char text[1024];
    struct hz_policy_rights rights;
    HZ_ASSERT_OK(hz_policy_open(&config, "data"));
    HZ_ASSERT_OK(judge(0, "f", &rights, text));
    HZ_ASSERT_EQ(rights.caps, HZ_CAP_NET);
    hz_policy_rights_fini(&rights);
    HZ_ASSERT_EQ(judge(HZ_CAP_NET, "f", NULL, text), HZ_EFORMAT);
    HZ_ASSERT_NOT_NULL(strstr(text, "Lector"));
    HZ_ASSERT_NOT_NULL(strstr(text, "capability net"));
    HZ_ASSERT_NOT_NULL(strstr(text, "data/policy.json"));
    for (uint32_t cap = HZ_CAP_FS_READ; cap <= HZ_CAP_JIT; cap <<= 1)
        HZ_ASSERT_EQ(judge(cap, "f", NULL, text), HZ_EFORMAT);
}

HZ_TEST(policy, rights_of_kind_type_workflow_and_type_in_a_workflow_add_up)
{
    char text[1024];
    struct hz_policy_rights rights;
    write_policy("{\"plugins\":{\"jit\":true},\"nodes\":{\"lee\":{\"fs:read\":[\"/srv/a\"]}},"
            "\"workflows\":{\"f\":{\"fs:read\":[\"/srv/b\"],\"uid\":1234,\"nodes\":{\"lee\":{\"exec\":[\"/bin/sh\"]}}}}}");
    HZ_ASSERT_OK(hz_policy_open(&config, "data"));
    HZ_ASSERT_OK(judge(HZ_CAP_FS_READ | HZ_CAP_JIT | HZ_CAP_EXEC, "f", &rights, text));
    HZ_ASSERT_EQ(rights.caps, HZ_CAP_FS_READ | HZ_CAP_JIT | HZ_CAP_EXEC | HZ_CAP_NET);
    HZ_ASSERT_EQ(rights.uid, 1234);
    HZ_ASSERT_EQ(rights.paths_len, sizeof "r/srv/a" + sizeof "r/srv/b" + sizeof "x/bin/sh");
    HZ_ASSERT_EQ(memcmp(rights.paths, "r/srv/a\0r/srv/b\0x/bin/sh", rights.paths_len), 0);
    hz_policy_rights_fini(&rights);
    HZ_ASSERT_OK(judge(HZ_CAP_FS_READ | HZ_CAP_JIT, "other", &rights, text));
    HZ_ASSERT_EQ(rights.paths_len, sizeof "r/srv/a");
    hz_policy_rights_fini(&rights);
    HZ_ASSERT_EQ(judge(HZ_CAP_EXEC, "other", NULL, text), HZ_EFORMAT);
    HZ_ASSERT_NOT_NULL(strstr(text, "capability exec"));
}

HZ_TEST(policy, the_default_of_built_in_nodes_can_be_taken_away)
{
    char text[1024];
    write_policy("{\"builtin\":{}}");
    HZ_ASSERT_OK(hz_policy_open(&config, "data"));
    HZ_ASSERT_EQ(judge(0, "f", NULL, text), HZ_EFORMAT);
    HZ_ASSERT_NOT_NULL(strstr(text, "Red"));
}

HZ_TEST(policy, what_is_wrong_in_the_file_is_said_with_its_place)
{
    static const struct { const char *text, *said; } wrong[] = {{"[]", "expected an object"}, {"{", "line 1"},
            {"{\"node\":{}}", "\"node\" means nothing"}, {"{\"nodes\":{\"lee\":{\"fs:raed\":[]}}}", "nodes.lee: there is no capability \"fs:raed\""},
            {"{\"nodes\":{\"lee\":{\"fs:read\":true}}}", "nodes.lee.fs:read: expected a list"},
            {"{\"nodes\":{\"lee\":{\"fs:read\":[]}}}", "one at least"}, {"{\"nodes\":{\"lee\":{\"net\":1}}}", "expected true or false"},
            {"{\"nodes\":{\"lee\":{\"fs:read\":[\"srv\"]}}}", "no absolute path"}, {"{\"nodes\":{\"lee\":{\"fs:read\":[\"/\"]}}}", "overlap"},
            {"{\"nodes\":{\"lee\":{\"fs:write\":[\"/dev/shm\"]}}}", "overlap"}, {"{\"nodes\":{\"lee\":{\"fs:write\":[\"/proc/self\"]}}}", "overlap"},
            {"{\"workflows\":{\"f\":{\"uid\":0}}}", "workflows.f.uid"}, {"{\"nodes\":{},\"nodes\":{}}", "duplicate"}};
    for (size_t i = 0; i < HZ_COUNT_OF(wrong); i++) {
        write_policy(wrong[i].text);
        if (hz_policy_open(&config, "data") >= 0 || !strstr(hz_err_last(), wrong[i].said))
            HZ_FAIL("%s: said \"%s\", expected \"%s\"", wrong[i].text, hz_err_last(), wrong[i].said);
        HZ_ASSERT_NOT_NULL(strstr(hz_err_last(), "data/policy.json"));
    }
}

HZ_TEST(policy, the_data_directory_is_granted_to_nobody_by_whatever_name)
{
    char text[512], *cwd = getcwd(NULL, 0);
    HZ_ASSERT_NOT_NULL(cwd);
    (void)unlink("alias");
    HZ_ASSERT_OK(symlink("data", "alias"));
    const char *const names[] = {"data", "data/workflows", "alias", "."};
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++) {
        snprintf(text, sizeof text, "{\"plugins\":{\"fs:read\":[\"%s/%s\"]}}", cwd, names[i]);
        write_policy(text);
        HZ_ASSERT_EQ(hz_policy_open(&config, "data"), HZ_EFORMAT);
    }
    free(cwd);
}

HZ_TEST(policy, a_file_that_others_may_write_is_refused)
{
    write_policy("{}");
    HZ_ASSERT_OK(chmod("data/policy.json", 0622));
    HZ_ASSERT_LT(hz_policy_open(&config, "data"), 0);
    HZ_ASSERT_NOT_NULL(strstr(hz_err_last(), "chmod go-w"));
}

HZ_TEST(policy, a_changed_file_holds_within_a_second_and_a_broken_one_changes_nothing)
{
    char text[1024];
    HZ_ASSERT_OK(hz_policy_open(&config, "data"));
    uint64_t first = hz_policy_version();
    HZ_ASSERT_EQ(judge(HZ_CAP_NET, "f", NULL, text), HZ_EFORMAT);
    write_policy("{\"plugins\":{\"net\":true}}");
    for (int i = 0; i < 300 && hz_policy_version() == first; i++)
        usleep(10000);
    HZ_ASSERT_OK(judge(HZ_CAP_NET, "f", NULL, text));
    uint64_t second = hz_policy_version();
    write_policy("{\"plugins\":");
    usleep(1200000);
    HZ_ASSERT_EQ(hz_policy_version(), second);
    HZ_ASSERT_OK(judge(HZ_CAP_NET, "f", NULL, text));
}

HZ_TEST(policy, a_named_file_must_be_there)
{
    config.policy_path = strdup("elsewhere.json");
    HZ_ASSERT_EQ(hz_policy_open(&config, "data"), HZ_ENOTFOUND);
    free(config.policy_path);
    config.policy_path = NULL;
}
