/* Values: making, sharing, reading, order of keys, comparing, and what happens when memory runs out or a value is deep.
 */
#include "tests/harness.h"
#include "tests/unit/memory.h"
#include "worker/value.h"

#include "shm/err.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

HZ_SUITE_INIT(value)
{
    HZ_ASSERT_EQ(hz_value_init(), 0);
}

static hz_value *parsed(const char *text)
{
    const char *error = "";
    hz_value *value = hz_value_parse(text, strlen(text), &error);
    if (!value)
        HZ_FAIL("cannot parse %s: %s", text, error);
    return value;
}

/* Printed form of a value that is released here. */
static const char *printed(hz_value *value)
{
    static char text[4096];
    struct hz_buffer buffer = {0};
    hz_value_print(&buffer, value);
    hz_value_unref(value);
    HZ_ASSERT_FALSE(buffer.failed);
    HZ_ASSERT_LT(buffer.len, sizeof text);
    memcpy(text, buffer.data, buffer.len + 1);
    hz_buffer_fini(&buffer);
    return text;
}

static void set(hz_value *object, const char *key, hz_value *value)
{
    HZ_ASSERT_EQ(hz_value_set(object, key, strlen(key), value), 0);
    hz_value_unref(value);
}

HZ_TEST(value, types_are_told_apart)
{
    static const struct {
        const char *text;
        enum hz_type type;
        bool truthy;
    } rows[] = {{"null", HZ_NULL, false}, {"true", HZ_BOOL, true}, {"false", HZ_BOOL, false}, {"0", HZ_NUMBER, false},
            {"-0.0", HZ_NUMBER, false}, {"1", HZ_NUMBER, true}, {"0.5", HZ_NUMBER, true}, {"1e999", HZ_NUMBER, true},
            {"\"\"", HZ_STRING, false}, {"\"0\"", HZ_STRING, true}, {"[]", HZ_ARRAY, true}, {"{}", HZ_OBJECT, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hz_value *value = parsed(rows[i].text);
        HZ_ASSERT_EQ(hz_value_type(value), rows[i].type);
        HZ_ASSERT_EQ(hz_value_truthy(value), rows[i].truthy);
        hz_value_unref(value);
    }
    HZ_ASSERT_EQ(hz_value_type(hz_value_undefined()), HZ_UNDEFINED);
    HZ_ASSERT_EQ(hz_value_type(NULL), HZ_UNDEFINED);
    HZ_ASSERT_FALSE(hz_value_truthy(hz_value_undefined()));
    hz_value *nan = hz_value_number((double)NAN);
    HZ_ASSERT_EQ(hz_value_type(nan), HZ_NUMBER);
    HZ_ASSERT_FALSE(hz_value_truthy(nan));
}

HZ_TEST(value, numbers_keep_their_value)
{
    static const double rows[] = {
            0, -1, 0.1, 9007199254740992.0, -9007199254740992.0, 9007199254740994.0, 1e300, 5e-324};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hz_value *value = hz_value_number(rows[i]);
        HZ_ASSERT_DBL_EQ(hz_value_num(value), rows[i]);
        hz_value_unref(value);
    }
    HZ_ASSERT_DBL_EQ(hz_value_num(hz_value_number((double)INFINITY)), (double)INFINITY);
    HZ_ASSERT_DBL_EQ(hz_value_num(hz_value_number(-(double)INFINITY)), -(double)INFINITY);
    HZ_ASSERT_DBL_EQ(hz_value_num(hz_value_number((double)NAN)), (double)NAN);
    hz_value *minus_zero = hz_value_number(-0.0);
    HZ_ASSERT_TRUE(signbit(hz_value_num(minus_zero)) != 0);
    hz_value_unref(minus_zero);
    hz_value *big = hz_value_int(INT64_MAX);
    HZ_ASSERT_DBL_EQ(hz_value_num(big), 9223372036854775807.0);
    hz_value_unref(big);
    hz_value *text = hz_value_string("7", 1);
    HZ_ASSERT_DBL_EQ(hz_value_num(text), (double)NAN);
    hz_value_unref(text);
}

HZ_TEST(value, to_number_follows_javascript)
{
    static const struct {
        const char *text;
        double number;
    } rows[] = {{"null", 0}, {"true", 1}, {"false", 0}, {"\"\"", 0}, {"\"  12.5 \\n\"", 12.5}, {"\"0x1F\"", 31},
            {"\"0b101\"", 5}, {"\"0o17\"", 15}, {"\"-0x1\"", (double)NAN}, {"\"1e3\"", 1000}, {"\".5\"", 0.5},
            {"\"5.\"", 5}, {"\".\"", (double)NAN}, {"\"1e\"", (double)NAN}, {"\"+7\"", 7}, {"\"--7\"", (double)NAN},
            {"\"12px\"", (double)NAN}, {"\"1_000\"", (double)NAN}, {"\"-Infinity\"", -(double)INFINITY},
            {"\"infinity\"", (double)NAN}, {"\"nan\"", (double)NAN}, {"\"\\ufeff\\u00a03\\u2029\"", 3},
            {"\"0x\"", (double)NAN}, {"[]", 0}, {"[7]", 7}, {"[\"8\"]", 8}, {"[[[9]]]", 9}, {"[true]", (double)NAN},
            {"[null]", 0}, {"[1,2]", (double)NAN}, {"{}", (double)NAN}, {"\"1 2\"", (double)NAN},
            {"\"1\\u0000\"", (double)NAN}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hz_value *value = parsed(rows[i].text);
        HZ_ASSERT_DBL_EQ(hz_value_to_number(value), rows[i].number);
        hz_value_unref(value);
    }
    HZ_ASSERT_DBL_EQ(hz_value_to_number(hz_value_undefined()), (double)NAN);
}

HZ_TEST(value, strings_are_made_well_formed)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {{"ma\xc3\xb1"
                 "ana",
                        "ma\xc3\xb1"
                        "ana"},
            {"\xff", "\xef\xbf\xbd"}, {"a\xc3", "a\xef\xbf\xbd"},
            {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
            {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}, {"\xf0\x9f\x98", "\xef\xbf\xbd"}, {"\xe2\x82x", "\xef\xbf\xbdx"},
            {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
            {"0123456789\x80", "0123456789\xef\xbf\xbd"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hz_value *value = hz_value_string(rows[i].bytes, strlen(rows[i].bytes));
        HZ_ASSERT_STR_EQ(hz_value_str(value).data, rows[i].text);
        HZ_ASSERT_EQ(hz_value_length(value), strlen(rows[i].text));
        hz_value_unref(value);
    }
    hz_value *with_nul = hz_value_string("a\0b", 3);
    HZ_ASSERT_EQ(hz_value_str(with_nul).len, 3);
    HZ_ASSERT_STR_EQ(printed(with_nul), "\"a\\u0000b\"");
    hz_value *empty = hz_value_string(NULL, 0);
    HZ_ASSERT_EQ(hz_value_length(empty), 0);
    hz_value_unref(empty);
}

HZ_TEST(value, containers_read_back)
{
    hz_value *object = hz_value_object(), *array = hz_value_array();
    set(object, "a", hz_value_int(1));
    set(object, "a", hz_value_int(2));
    set(object, "gone", hz_value_undefined());
    HZ_ASSERT_EQ(hz_value_set(object, "k\0x", 3, hz_value_bool(true)), 0);
    HZ_ASSERT_EQ(hz_value_set(object, "\xff", 1, hz_value_null()), 0);
    HZ_ASSERT_EQ(hz_value_push(array, hz_value_undefined()), 0);
    HZ_ASSERT_EQ(hz_value_push(array, object), 0);
    hz_value_unref(object);
    HZ_ASSERT_EQ(hz_value_length(array), 2);
    const hz_value *inner = hz_value_at(array, 1);
    HZ_ASSERT_DBL_EQ(hz_value_num(hz_value_get(inner, "a", 1)), 2.0);
    HZ_ASSERT_NULL(hz_value_get(inner, "gone", 4));
    HZ_ASSERT_TRUE(hz_value_truthy(hz_value_get(inner, "k\0x", 3)));
    HZ_ASSERT_NULL(hz_value_get(inner, "k", 1));
    HZ_ASSERT_NULL(hz_value_get(array, "length", 6));
    HZ_ASSERT_NULL(hz_value_at(array, 2));
    HZ_ASSERT_NULL(hz_value_at(inner, 0));
    HZ_ASSERT_STR_EQ(printed(array), "[null,{\"a\":2,\"k\\u0000x\":true,\"\xef\xbf\xbd\":null}]");
}

HZ_TEST(value, null_and_wrong_containers_are_refused)
{
    hz_value *object = hz_value_object(), *array = hz_value_array();
    HZ_ASSERT_EQ(hz_value_set(object, "a", 1, NULL), HZ_ENOMEM);
    HZ_ASSERT_EQ(hz_value_set(NULL, "a", 1, array), HZ_ENOMEM);
    HZ_ASSERT_EQ(hz_value_set(array, "a", 1, object), HZ_ENOMEM);
    HZ_ASSERT_EQ(hz_value_push(array, NULL), HZ_ENOMEM);
    HZ_ASSERT_EQ(hz_value_push(object, array), HZ_ENOMEM);
    HZ_ASSERT_EQ(hz_value_length(object) + hz_value_length(array), 0);
    hz_value_unref(object);
    hz_value_unref(array);
    hz_value_unref(NULL);
    HZ_ASSERT_NULL(hz_value_ref(NULL));
}

HZ_TEST(value, a_copy_is_changed_alone)
{
    hz_value *first = parsed("{\"a\":[1],\"b\":2}"), *copy = hz_value_copy(first);
    set(copy, "b", hz_value_int(3));
    HZ_ASSERT_EQ(hz_value_get(copy, "a", 1), hz_value_get(first, "a", 1));
    HZ_ASSERT_STR_EQ(printed(first), "{\"a\":[1],\"b\":2}");
    HZ_ASSERT_STR_EQ(printed(copy), "{\"a\":[1],\"b\":3}");
    hz_value *infinite = hz_value_number((double)INFINITY);
    HZ_ASSERT_EQ(hz_value_copy(infinite), infinite);
}

/* ret_keys: 256 bytes */
static void walk(const hz_value *object, char *ret_keys)
{
    void *cursor = NULL;
    hz_str key;
    const hz_value *value;
    *ret_keys = '\0';
    while (hz_value_next(object, &cursor, &key, &value)) {
        HZ_ASSERT_EQ(value, hz_value_get(object, key.data, key.len));
        must_append(ret_keys, 256, key.data);
        must_append(ret_keys, 256, " ");
    }
}

HZ_TEST(value, number_like_keys_come_first)
{
    static const struct {
        const char *text, *keys;
    } rows[] = {{"{}", ""}, {"{\"b\":1,\"a\":2}", "b a "}, {"{\"b\":1,\"10\":2,\"9\":3,\"a\":4}", "9 10 b a "},
            {"{\"01\":1,\"1\":2,\"-1\":3,\"1.5\":4,\"0\":5}", "0 1 01 -1 1.5 "},
            {"{\"x\":0,\"4294967295\":1,\"4294967294\":2}", "4294967294 x 4294967295 "}};
    char keys[256];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hz_value *object = parsed(rows[i].text);
        walk(object, keys);
        HZ_ASSERT_STR_EQ(keys, rows[i].keys);
        hz_value_unref(object);
    }
    HZ_ASSERT_STR_EQ(printed(parsed("{\"b\":{\"2\":0,\"1\":0},\"7\":1}")), "{\"7\":1,\"b\":{\"1\":0,\"2\":0}}");
}

HZ_TEST(value, walks_nest_and_may_be_left)
{
    hz_value *outer = parsed("{\"3\":0,\"2\":0,\"1\":0}"), *others[6];
    char keys[64] = "";
    void *cursor = NULL;
    hz_str key;
    for (size_t i = 0; i < 6; i++)
        others[i] = parsed("{\"9\":1,\"8\":2}");
    while (hz_value_next(outer, &cursor, &key, NULL)) {
        must_append(keys, sizeof keys, key.data);
        for (size_t i = 0; i < 6; i++) { /* more walks than are remembered, each left after one step */
            void *left = NULL;
            HZ_ASSERT_TRUE(hz_value_next(others[i], &left, &key, NULL));
            HZ_ASSERT_STR_EQ(key.data, "8");
            hz_value_next_stop(&left);
            HZ_ASSERT_NULL(left);
        }
    }
    HZ_ASSERT_STR_EQ(keys, "123");
    hz_value *array = parsed("[1]");
    cursor = NULL;
    HZ_ASSERT_FALSE(hz_value_next(array, &cursor, &key, NULL));
    hz_value_unref(array);
    hz_value_unref(outer);
    for (size_t i = 0; i < 6; i++)
        hz_value_unref(others[i]);
}

HZ_TEST(value, equality_is_deep)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {{"1", "1.0", true}, {"1", "\"1\"", false}, {"[1,2]", "[1,2]", true}, {"[1,2]", "[2,1]", false},
            {"{\"a\":1,\"b\":[{}]}", "{\"b\":[{}],\"a\":1}", true}, {"{\"a\":1}", "{\"b\":1}", false},
            {"{\"a\":1}", "{\"a\":1,\"b\":2}", false}, {"null", "false", false}, {"\"a\"", "\"b\"", false},
            {"\"a\"", "\"a\"", true}, {"0", "-0.0", true}, {"1e999", "1e998", true}, {"1e999", "-1e999", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hz_value *a = parsed(rows[i].a), *b = parsed(rows[i].b);
        HZ_ASSERT_EQ(hz_value_equal(a, b), rows[i].equal);
        HZ_ASSERT_EQ(hz_value_equal(b, a), rows[i].equal);
        hz_value_unref(a);
        hz_value_unref(b);
    }
    HZ_ASSERT_FALSE(hz_value_equal(hz_value_undefined(), hz_value_null()));
    HZ_ASSERT_TRUE(hz_value_equal(hz_value_number((double)NAN), hz_value_number((double)NAN)));
}

HZ_TEST(value, a_million_levels_are_freed_on_a_small_stack)
{
    hz_value *value = hz_value_array();
    for (int i = 0; i < 1000000; i++) {
        hz_value *around = i % 2 ? hz_value_object() : hz_value_array();
        HZ_ASSERT_EQ(i % 2 ? hz_value_set(around, "in", 2, value) : hz_value_push(around, value), 0);
        hz_value_unref(value);
        value = around;
    }
    struct hz_buffer buffer = {0};
    hz_value_print(&buffer, value);
    HZ_ASSERT_TRUE(buffer.failed);
    HZ_ASSERT_TRUE(buffer.too_deep);
    hz_buffer_fini(&buffer);
    hz_value *same = hz_value_copy(value);
    HZ_ASSERT_EQ(hz_value_equal(value, same), true); /* shares its only element */
    hz_value_unref(same);
    hz_value_unref(value);
}

HZ_TEST(value, wide_values_are_freed_once)
{
    hz_value *shared = parsed("{\"a\":[1,[2,[3]]]}"), *wide = hz_value_array();
    for (int i = 0; i < 1000; i++) {
        hz_value *row = parsed("{\"a\":{\"b\":[1,2,{}]},\"c\":[[]]}");
        HZ_ASSERT_EQ(hz_value_push(wide, row), 0);
        HZ_ASSERT_EQ(hz_value_push(wide, shared), 0);
        hz_value_unref(row);
    }
    hz_value_unref(wide);
    HZ_ASSERT_STR_EQ(printed(shared), "{\"a\":[1,[2,[3]]]}");
}

static size_t allocations_left; /* test thread only */

static void *failing_malloc(size_t size)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return malloc(size);
}

HZ_TEST(value, running_out_of_memory_is_reported_at_every_allocation)
{
    static const char text[] = "{\"a\":[1,2.5,\"x\\ud800\",9007199254740993,1e400],\"7\":{\"b\":{}},\"s\":\"text\"}";
    json_set_alloc_funcs(failing_malloc, free);
    size_t failures = 0;
    for (size_t allowed = 0;; allowed++) {
        allocations_left = allowed;
        const char *error = NULL;
        hz_value *value = hz_value_parse(text, strlen(text), &error);
        if (!value) {
            HZ_ASSERT_STR_HAS(error, "memory");
            failures++;
            continue;
        }
        hz_value *copy = hz_value_copy(value), *string = hz_value_string("\xff", 1), *number = hz_value_number(0.5);
        bool complete = copy && string && number && hz_value_set(copy, "new", 3, string) == 0 &&
                        hz_value_set(copy, "\xfe", 1, number) == 0;
        hz_value_unref(copy);
        hz_value_unref(string);
        hz_value_unref(number);
        hz_value_unref(value);
        if (complete)
            break;
        failures++;
    }
    json_set_alloc_funcs(malloc, free);
    HZ_ASSERT_GT(failures, 20);
}

static hz_value *common; /* written before the threads start, read by them */

static void *share(void *arg)
{
    char keys[256];
    for (int i = 0; i < 20000; i++) {
        const hz_value *mine = hz_value_ref(common), *inner = hz_value_ref(hz_value_get(mine, "list", 4));
        hz_value *holder = hz_value_object();
        HZ_ASSERT_EQ(hz_value_set(holder, "common", 6, mine), 0);
        hz_value_unref(mine);
        if (i % 100 == 0) {
            walk(common, keys);
            HZ_ASSERT_STR_EQ(keys, "1 2 list ");
        }
        HZ_ASSERT_EQ(hz_value_length(inner), 2);
        hz_value_unref(holder);
        hz_value_unref(inner);
    }
    return arg;
}

HZ_TEST(value, threads_share_a_value)
{
    pthread_t threads[4];
    common = parsed("{\"list\":[{\"a\":1},2],\"2\":0,\"1\":0}");
    for (size_t i = 0; i < 4; i++)
        HZ_ASSERT_EQ(pthread_create(&threads[i], NULL, share, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        HZ_ASSERT_EQ(pthread_join(threads[i], NULL), 0);
    HZ_ASSERT_EQ(hz_value_json(common)->refcount, 1);
    hz_value_unref(common);
}

static void *release(void *value)
{
    HZ_ASSERT_EQ(hz_value_length(value), 3);
    hz_value_unref(value);
    return NULL;
}

HZ_TEST(value, the_last_of_several_threads_frees)
{
    for (int round = 0; round < 200; round++) {
        pthread_t threads[2];
        hz_value *value = parsed("[1,[2,[3]],{\"a\":{\"b\":\"text\"}}]");
        for (size_t i = 0; i < 2; i++) {
            hz_value_ref(value);
            HZ_ASSERT_EQ(pthread_create(&threads[i], NULL, release, value), 0);
        }
        hz_value_unref(value);
        for (size_t i = 0; i < 2; i++)
            HZ_ASSERT_EQ(pthread_join(threads[i], NULL), 0);
    }
}
