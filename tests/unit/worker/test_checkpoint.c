/* test_checkpoint.c - values as bytes and back, exactly; bytes of strangers are refused and never crash. */
#include "tests/harness.h"
#include "worker/checkpoint.h"
#include "worker/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

HZ_SUITE_INIT(checkpoint)
{
    HZ_ASSERT_OK(hz_value_init());
}

static const hz_value *there_and_back(const hz_value *value)
{
    struct hz_buffer bytes = {0};
    HZ_ASSERT(hz_checkpoint_put_value(&bytes, value, 0));
    struct hz_checkpoint_reader reader = {.at = (const unsigned char *)bytes.data, .end = (const unsigned char *)bytes.data + bytes.len};
    const hz_value *back = hz_checkpoint_get_value(&reader, 0);
    HZ_ASSERT(back != NULL && !reader.bad && reader.at == reader.end);
    hz_buffer_fini(&bytes);
    return back;
}

static hz_value *sample(void)
{
    static const char text[] = "{\"b\":[1,2.5,\"\\u00e9\\u0000x\",null,true,false,{}],\"10\":{\"z\":[],\"a\":-1},\"2\":9007199254740991,\"\":\"\"}";
    const char *error;
    hz_value *value = hz_value_parse(text, sizeof text - 1, &error);
    HZ_ASSERT(value != NULL);
    return value;
}

HZ_TEST(checkpoint, a_value_comes_back_equal_and_prints_the_same)
{
    hz_value *value = sample();
    const hz_value *back = there_and_back(value);
    struct hz_buffer a = {0}, b = {0};
    hz_value_print(&a, value);
    hz_value_print(&b, back);
    HZ_ASSERT(hz_value_equal(value, back));
    HZ_ASSERT_STR_EQ(a.data, b.data);
    hz_buffer_fini(&a);
    hz_buffer_fini(&b);
    hz_value_unref(value);
    hz_value_unref(back);
}

HZ_TEST(checkpoint, what_json_cannot_say_is_kept)
{
    double numbers[] = {NAN, INFINITY, -INFINITY, -0.0, 1e308, 5e-324, 9007199254740992.0, -9007199254740992.0};
    for (size_t i = 0; i < HZ_COUNT_OF(numbers); i++) {
        hz_value *value = hz_value_number(numbers[i]);
        const hz_value *back = there_and_back(value);
        double got = hz_value_num(back);
        HZ_ASSERT(memcmp(&got, &numbers[i], sizeof got) == 0 || (isnan(got) && isnan(numbers[i])));
        hz_value_unref(value);
        hz_value_unref(back);
    }
    hz_value *undefined = hz_value_undefined();
    const hz_value *back = there_and_back(undefined);
    HZ_ASSERT_EQ(hz_value_type(back), HZ_UNDEFINED);
    hz_value_unref(undefined);
    hz_value_unref(back);
}

HZ_TEST(checkpoint, bytes_that_are_cut_off_are_refused_at_every_length)
{
    struct hz_buffer bytes = {0};
    hz_value *value = sample();
    HZ_ASSERT(hz_checkpoint_put_value(&bytes, value, 0));
    for (size_t len = 0; len < bytes.len; len++) {
        char *cut = malloc(len ? len : 1); /* its own piece of memory, so that a sanitizer sees one byte too many */
        memcpy(cut, bytes.data, len);
        struct hz_checkpoint_reader reader = {.at = (const unsigned char *)cut, .end = (const unsigned char *)cut + len};
        HZ_ASSERT(hz_checkpoint_get_value(&reader, 0) == NULL);
        HZ_ASSERT(reader.bad);
        free(cut);
    }
    hz_value_unref(value);
    hz_buffer_fini(&bytes);
}

HZ_TEST(checkpoint, bytes_that_were_changed_are_refused_or_another_value)
{
    struct hz_buffer bytes = {0};
    hz_value *value = sample();
    HZ_ASSERT(hz_checkpoint_put_value(&bytes, value, 0));
    unsigned refused = 0;
    for (size_t at = 0; at < bytes.len; at++)
        for (unsigned change = 1; change < 256; change *= 3) {
            char old = bytes.data[at];
            bytes.data[at] = (char)(old ^ (char)change);
            struct hz_checkpoint_reader reader = {.at = (const unsigned char *)bytes.data,
                    .end = (const unsigned char *)bytes.data + bytes.len};
            const hz_value *got = hz_checkpoint_get_value(&reader, 0);
            refused += got == NULL;
            hz_value_unref(got);
            bytes.data[at] = old;
        }
    HZ_ASSERT_GT(refused, 100);
    hz_value_unref(value);
    hz_buffer_fini(&bytes);
}

HZ_TEST(checkpoint, a_value_nested_too_deep_is_refused_both_ways)
{
    hz_value *inner = hz_value_array();
    for (unsigned i = 0; i < HZ_VALUE_DEPTH + 10; i++) {
        hz_value *outer = hz_value_array();
        HZ_ASSERT_EQ(hz_value_push(outer, inner), 0);
        hz_value_unref(inner);
        inner = outer;
    }
    struct hz_buffer bytes = {0};
    HZ_ASSERT(!hz_checkpoint_put_value(&bytes, inner, 0));
    hz_buffer_fini(&bytes);
    hz_value_unref(inner);
    unsigned char deep[9 * 2000];
    for (size_t i = 0; i < 2000; i++) {
        uint64_t one = 1;
        deep[9 * i] = 7; /* an array of one member */
        memcpy(deep + 9 * i + 1, &one, sizeof one);
    }
    struct hz_checkpoint_reader reader = {.at = deep, .end = deep + sizeof deep};
    HZ_ASSERT(hz_checkpoint_get_value(&reader, 0) == NULL);
}
