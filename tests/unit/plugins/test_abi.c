/*
 * test_abi.c - the binary interface of the node SDK, compared with what was released (plugins/abi/node-abi-1.txt). A
 * line of that file never changes; new members of a later minor version are appended here and there. `test_abi` with
 * HZ_ABI_PRINT=1 prints today's list.
 */
#include "tests/harness.h"
#define HZ_HOST_SIDE
#include <horizon/node.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[65536];
static size_t used;

static void line(const char *kind, const char *name, long long a, long long b)
{
    int n = b < 0 ? snprintf(text + used, sizeof text - used, "%s %s %lld\n", kind, name, a)
                  : snprintf(text + used, sizeof text - used, "%s %s %lld %lld\n", kind, name, a, b);
    HZ_ASSERT_TRUE(n > 0 && (size_t)n < sizeof text - used);
    used += (size_t)n;
}

#define SIZE(type) line("sizeof", #type, (long long)sizeof(type), -1)
#define MEMBER(type, member)                                                                                           \
    line("offset", #type "." #member, (long long)offsetof(struct type, member),                                        \
            (long long)sizeof(((struct type *)0)->member))
#define VALUE(name) line("value", #name, (long long)(name), -1)

static void describe(void)
{
    used = 0;
    line("# Horizon", "node ABI, major and minor:", HZ_ABI_MAJOR, HZ_ABI_MINOR);
    SIZE(hz_str);
    SIZE(struct hz_host);
    SIZE(struct hz_property);
    SIZE(struct hz_node_desc);
    SIZE(struct hz_node_abi);
    SIZE(struct hz_http_header);
    SIZE(struct hz_http_answer);
    MEMBER(hz_host, size);
    MEMBER(hz_host, major);
    MEMBER(hz_host, minor);
    MEMBER(hz_host, reserved);
    MEMBER(hz_host, param);
    MEMBER(hz_host, input);
    MEMBER(hz_host, input_name);
    MEMBER(hz_host, input_node);
    MEMBER(hz_host, node_id);
    MEMBER(hz_host, node_name);
    MEMBER(hz_host, execution_id);
    MEMBER(hz_host, workflow_id);
    MEMBER(hz_host, worker_id);
    MEMBER(hz_host, env);
    MEMBER(hz_host, is_development);
    MEMBER(hz_host, self);
    MEMBER(hz_host, emit);
    MEMBER(hz_host, fail);
    MEMBER(hz_host, done);
    MEMBER(hz_host, join);
    MEMBER(hz_host, upstream);
    MEMBER(hz_host, state_get);
    MEMBER(hz_host, state_set);
    MEMBER(hz_host, alloc);
    MEMBER(hz_host, make_null);
    MEMBER(hz_host, make_bool);
    MEMBER(hz_host, make_int);
    MEMBER(hz_host, make_num);
    MEMBER(hz_host, make_str);
    MEMBER(hz_host, make_object);
    MEMBER(hz_host, make_array);
    MEMBER(hz_host, set);
    MEMBER(hz_host, push);
    MEMBER(hz_host, copy);
    MEMBER(hz_host, parse);
    MEMBER(hz_host, print);
    MEMBER(hz_host, type);
    MEMBER(hz_host, as_bool);
    MEMBER(hz_host, as_num);
    MEMBER(hz_host, as_str);
    MEMBER(hz_host, length);
    MEMBER(hz_host, get);
    MEMBER(hz_host, at);
    MEMBER(hz_host, next);
    MEMBER(hz_host, equal);
    MEMBER(hz_host, keep);
    MEMBER(hz_host, drop);
    MEMBER(hz_host, after);
    MEMBER(hz_host, resume);
    MEMBER(hz_host, on_cancel);
    MEMBER(hz_host, cancelled);
    MEMBER(hz_host, loop_post);
    MEMBER(hz_host, watch);
    MEMBER(hz_host, timer);
    MEMBER(hz_host, watch_events);
    MEMBER(hz_host, watch_stop);
    MEMBER(hz_host, trigger);
    MEMBER(hz_host, fire);
    MEMBER(hz_host, http_listen);
    MEMBER(hz_host, http_answer);
    MEMBER(hz_host, log);
    MEMBER(hz_host, console);
    MEMBER(hz_host, ask);
    MEMBER(hz_host, tell);
    MEMBER(hz_host, param_error);
    MEMBER(hz_host, idempotency_key);
    MEMBER(hz_host, attempt);
    MEMBER(hz_property, key);
    MEMBER(hz_property, type);
    MEMBER(hz_property, name);
    MEMBER(hz_property, value);
    MEMBER(hz_property, options);
    MEMBER(hz_property, extra);
    MEMBER(hz_node_desc, size);
    MEMBER(hz_node_desc, flags);
    MEMBER(hz_node_desc, caps);
    MEMBER(hz_node_desc, self_size);
    MEMBER(hz_node_desc, type);
    MEMBER(hz_node_desc, title);
    MEMBER(hz_node_desc, group);
    MEMBER(hz_node_desc, desc);
    MEMBER(hz_node_desc, icon);
    MEMBER(hz_node_desc, color);
    MEMBER(hz_node_desc, version);
    MEMBER(hz_node_desc, author);
    MEMBER(hz_node_desc, license);
    MEMBER(hz_node_desc, inputs);
    MEMBER(hz_node_desc, outputs);
    MEMBER(hz_node_desc, properties); /* NOLINT(bugprone-sizeof-expression): the pointer's size is meant */
    MEMBER(hz_node_desc, run);
    MEMBER(hz_node_desc, event);
    MEMBER(hz_node_desc, close);
    MEMBER(hz_node_abi, magic);
    MEMBER(hz_node_abi, size);
    MEMBER(hz_node_abi, major);
    MEMBER(hz_node_abi, minor);
    MEMBER(hz_node_abi, desc_size);
    MEMBER(hz_node_abi, host_size);
    MEMBER(hz_node_abi, property_size);
    MEMBER(hz_node_abi, reserved);
    MEMBER(hz_node_abi, host); /* NOLINT(bugprone-sizeof-expression): the pointer's size is meant */
    MEMBER(hz_http_header, name);
    MEMBER(hz_http_header, value);
    MEMBER(hz_http_answer, status);
    MEMBER(hz_http_answer, content_type);
    MEMBER(hz_http_answer, body);
    MEMBER(hz_http_answer, body_len);
    MEMBER(hz_http_answer, headers); /* NOLINT(bugprone-sizeof-expression): the pointer's size is meant */
    MEMBER(hz_http_answer, header_count);
    VALUE(HZ_ABI_MAGIC);
    VALUE(HZ_OK);
    VALUE(HZ_DEFER);
    VALUE(HZ_ERR_NOMEM);
    VALUE(HZ_ERR_INVALID);
    VALUE(HZ_ERR_NOENT);
    VALUE(HZ_ERR_ALREADY);
    VALUE(HZ_ERR_CLOSED);
    VALUE(HZ_ERR_LIMIT);
    VALUE(HZ_ERR_FAILED);
    VALUE(HZ_UNDEFINED);
    VALUE(HZ_LEVEL_DEBUG);
    VALUE(HZ_WATCH_READ);
    VALUE(HZ_WATCH_WRITE);
    VALUE(HZ_NODE_TRIGGER);
    VALUE(HZ_NODE_SINGLETON);
    VALUE(HZ_NODE_CONCURRENT);
    VALUE(HZ_NODE_BLOCKING);
    VALUE(HZ_NODE_PURE);
    VALUE(HZ_CAP_NET);
    VALUE(HZ_CAP_FS_READ);
    VALUE(HZ_CAP_FS_WRITE);
    VALUE(HZ_CAP_EXEC);
    VALUE(HZ_CAP_JIT);
    VALUE(HZ_NULL);
    VALUE(HZ_BOOL);
    VALUE(HZ_NUMBER);
    VALUE(HZ_STRING);
    VALUE(HZ_ARRAY);
    VALUE(HZ_OBJECT);
    VALUE(HZ_LEVEL_INFO);
    VALUE(HZ_LEVEL_WARN);
    VALUE(HZ_LEVEL_ERROR);
}

/* Bytes of a line up to and with its last blank. */
static size_t name_length(const char *line)
{
    const char *blank = strrchr(line, ' ');
    return blank ? (size_t)(blank + 1 - line) : 0;
}

HZ_TEST(abi, every_released_size_offset_and_value_is_unchanged)
{
    describe();
    if (getenv("HZ_ABI_PRINT"))
        printf("%s", text);
    char *golden = hz_test_read_file(hz_test_path("%s/plugins/abi/node-abi-1.txt", hz_test_source_dir()), NULL);
    size_t lines = 0, grown = 0;
    char *save = NULL;
    for (char *l = strtok_r(golden, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        if (l[0] == '#')
            continue;
        char whole[256];
        snprintf(whole, sizeof whole, "\n%s\n", l);
        lines++;
        /* the structs that grow at their ends may have grown */
        if (strncmp(l, "sizeof struct hz_host ", 22) == 0 || strncmp(l, "sizeof struct hz_node_desc ", 27) == 0 ||
                strncmp(l, "sizeof struct hz_property ", 26) == 0) {
            const char *now = strstr(text, strndupa(l, name_length(l)));
            HZ_ASSERT_NOT_NULL(now);
            if (now)
                HZ_ASSERT_GE(strtoll(now + name_length(l), NULL, 10), strtoll(l + name_length(l), NULL, 10));
            grown++;
            continue;
        }
        HZ_ASSERT_STR_HAS(text, whole);
    }
    HZ_ASSERT_GT(lines, 100);
    HZ_ASSERT_EQ(grown, 3);
    free(golden);
}

HZ_TEST(abi, everything_of_today_is_in_the_released_list)
{
    describe();
    char *golden = hz_test_read_file(hz_test_path("%s/plugins/abi/node-abi-1.txt", hz_test_source_dir()), NULL);
    char *save = NULL;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char whole[256];
        snprintf(whole, sizeof whole, "%s\n", l);
        HZ_ASSERT_STR_HAS(golden, whole);
    }
    /* nothing between the last listed member and the end: a member that nobody listed would be there */
    HZ_ASSERT_EQ(
            offsetof(struct hz_host, attempt) + sizeof(((struct hz_host *)0)->attempt), sizeof(struct hz_host));
    HZ_ASSERT_EQ(offsetof(struct hz_node_desc, close) + sizeof(((struct hz_node_desc *)0)->close),
            sizeof(struct hz_node_desc));
    free(golden);
}

HZ_TEST(abi, the_header_names_the_project_version)
{
    char *cmake = hz_test_read_file(hz_test_path("%s/CMakeLists.txt", hz_test_source_dir()), NULL);
    HZ_ASSERT_STR_HAS(cmake, "project(horizon VERSION " HZ_VERSION " ");
    char numbers[32];
    snprintf(numbers, sizeof numbers, "%d.%d.%d", HZ_VERSION_MAJOR, HZ_VERSION_MINOR, HZ_VERSION_PATCH);
    HZ_ASSERT_STR_EQ(numbers, HZ_VERSION);
    free(cmake);
}
