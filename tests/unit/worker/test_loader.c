/* test_loader.c - shared objects of nodes: what is refused and why; the probe; what is read without loading. */
#include "rig.h"

static char *probe(const char *path)
{
    struct hz_child child;
    const char *program = hz_test_path("%s/bin/horizon-worker", hz_test_build_dir());
    HZ_ASSERT_EQ(hz_child_run(&child, HZ_ARGV(program, "--describe", path), NULL, 30000), 0);
    char *out = strdup(child.out);
    hz_child_fini(&child);
    return out;
}

/* The reason why the file is refused; fails if it is not. */
static const char *refusal(const char *name)
{
    static char reason[1024];
    char *text = probe(hz_test_path("%s/tests/badnodes/%s/%s.so", hz_test_build_dir(), name, name));
    json_t *answer = json_loads(text, 0, NULL);
    const json_t *refused = json_array_get(json_object_get(answer, "refused"), 0);
    HZ_ASSERT_NOT_NULL(json_string_value(json_object_get(refused, "reason")));
    snprintf(reason, sizeof(reason), "%s", json_string_value(json_object_get(refused, "reason")));
    HZ_ASSERT_EQ(json_object_size(json_object_get(answer, "types")), 0);
    json_decref(answer);
    free(text);
    return reason;
}

HZ_TEST(loader, the_probe_describes_all_built_in_nodes)
{
    char *text = probe(hz_test_path("%s/lib/horizon/nodes", hz_test_build_dir()));
    json_t *answer = json_loads(text, 0, NULL);
    const json_t *types = json_object_get(answer, "types"), *node = json_object_get(types, "webhook_handler");
    HZ_ASSERT_EQ(json_array_size(json_object_get(answer, "refused")), 0);
    HZ_ASSERT_GE(json_object_size(types), 12);
    HZ_ASSERT_TRUE(json_is_true(json_object_get(json_object_get(node, "info"), "isTrigger")));
    HZ_ASSERT_EQ(json_integer_value(json_object_get(node, "flags")) & HZ_NODE_TRIGGER, HZ_NODE_TRIGGER);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_object_get(json_object_get(node, "properties"), "endpoint"), "value")), "/");
    HZ_ASSERT_STR_HAS(json_string_value(json_object_get(node, "file")), "webhook_handler.so");
    json_decref(answer);
    free(text);
}

HZ_TEST(loader, another_abi_is_refused_with_both_versions)
{
    if (access(hz_test_path("%s/tests/badnodes/abi_major/abi_major.so", hz_test_build_dir()), R_OK) != 0)
        HZ_SKIP("the broken nodes are not built");
    HZ_ASSERT_STR_EQ(refusal("abi_major"), "built for node ABI 2.0, this host runs ABI 1.0 to 1.1");
    HZ_ASSERT_STR_HAS(refusal("abi_minor"), "ABI 1.8");
    HZ_ASSERT_STR_HAS(refusal("abi_sizes"), "bytes in the node and");
    HZ_ASSERT_STR_HAS(refusal("bad_magic"), "magic");
}

HZ_TEST(loader, what_is_missing_or_wrong_is_named)
{
    if (access(hz_test_path("%s/tests/badnodes/no_node/no_node.so", hz_test_build_dir()), R_OK) != 0)
        HZ_SKIP("the broken nodes are not built");
    HZ_ASSERT_STR_HAS(refusal("no_node"), "`hz_node`");
    HZ_ASSERT_STR_HAS(refusal("no_abi"), "`hz_node_abi`");
    HZ_ASSERT_STR_HAS(refusal("null_run"), "no run()");
    HZ_ASSERT_STR_HAS(refusal("bad_type"), "type `");
    HZ_ASSERT_STR_HAS(refusal("bad_property"), "property `");
    HZ_ASSERT_STR_HAS(refusal("no_event"), "event()");
}

HZ_TEST(loader, who_crashes_ends_or_hangs_while_being_probed_is_reported)
{
    if (access(hz_test_path("%s/tests/badnodes/load_crash/load_crash.so", hz_test_build_dir()), R_OK) != 0)
        HZ_SKIP("the broken nodes are not built");
    if (!(HZ_TEST_ASAN || HZ_TEST_TSAN))
        HZ_ASSERT_STR_HAS(refusal("load_crash"), "signal 11");
    HZ_ASSERT_STR_HAS(refusal("load_exit"), "while being loaded");
    HZ_ASSERT_STR_HAS(refusal("load_hang"), "longer than 5 s");
}

HZ_TEST(loader, a_file_that_is_no_shared_object_is_refused)
{
    hz_test_write_file("text.so", "hello", 5);
    char *text = probe("text.so");
    HZ_ASSERT_STR_HAS(text, "{\"file\":\"text.so\",\"reason\":\"");
    free(text);
    text = probe("nowhere.so");
    HZ_ASSERT_STR_HAS(text, "No such file");
    free(text);
}

HZ_TEST(loader, capabilities_are_read_without_running_anything)
{
    uint32_t caps = 99;
    HZ_ASSERT_OK(hz_loader_peek(hz_test_path("%s/lib/horizon/nodes/http_request.so", hz_test_build_dir()), &caps));
    HZ_ASSERT_EQ(caps & HZ_CAP_NET, HZ_CAP_NET);
    HZ_ASSERT_OK(hz_loader_peek(hz_test_path("%s/lib/horizon/nodes/delay.so", hz_test_build_dir()), &caps));
    HZ_ASSERT_EQ(caps, 0);
    hz_test_write_file("text.so", "hello", 5);
    HZ_ASSERT_EQ(hz_loader_peek("text.so", &caps), HZ_EREFUSED);
    HZ_ASSERT_EQ(hz_loader_peek("/", &caps), HZ_EREFUSED);
    /* every truncation of a real one is refused or read, never more than its bytes */
    size_t len;
    char *bytes = hz_test_read_file(hz_test_path("%s/lib/horizon/nodes/delay.so", hz_test_build_dir()), &len);
    for (size_t n = 0; n < len; n += len / 97 + 1) {
        hz_test_write_file("cut.so", bytes, n);
        (void)!hz_loader_peek("cut.so", &caps);
    }
    free(bytes);
}

HZ_TEST(loader, an_object_is_opened_once_and_found_by_its_file)
{
    const char *file = hz_test_path("%s/lib/horizon/nodes/delay.so", hz_test_build_dir());
    const struct hz_loaded *first, *second;
    HZ_ASSERT_OK(hz_loader_open(file, true, &first));
    HZ_ASSERT_OK(hz_loader_open(file, true, &second));
    HZ_ASSERT_TRUE(first == second);
    HZ_ASSERT_STR_EQ(first->desc->type, "delay");
    HZ_ASSERT_TRUE(hz_loader_find("delay", file) == first);
    HZ_ASSERT_NULL(hz_loader_find("other", file));
}

HZ_TEST(loader, check_says_what_is_wrong_with_each_expression)
{
    struct hz_child child;
    const char *program = hz_test_path("%s/bin/horizon-worker", hz_test_build_dir());
    int code = hz_child_run(&child, HZ_ARGV(program, "--check"), "[\"1 + 1\", \"a =>\", \"x?.y ?? 3\"]", 30000);
    if (code == 1)
        fprintf(stderr, "%s\n", child.err);
    HZ_ASSERT_EQ(code, 0);
    json_t *answer = json_loads(child.out, 0, NULL);
    HZ_ASSERT_EQ(json_array_size(answer), 3);
    HZ_ASSERT_TRUE(json_is_null(json_array_get(answer, 0)));
    HZ_ASSERT_TRUE(json_is_string(json_array_get(answer, 1)));
    HZ_ASSERT_TRUE(json_is_null(json_array_get(answer, 2)));
    json_decref(answer);
    hz_child_fini(&child);
    HZ_ASSERT_EQ(hz_child_run(&child, HZ_ARGV(program, "--check"), "{}", 30000), 2);
    hz_child_fini(&child);
    HZ_ASSERT_EQ(hz_child_run(&child, HZ_ARGV(program, "--what"), NULL, 30000), 2);
    hz_child_fini(&child);
}
