/* Values from text and to text: JSON.parse and JSON.stringify by their rules, and numbers by Number::toString's. */
#include "tests/harness.h"
#include "tests/unit/memory.h"
#include "worker/value.h"

#include "shm/base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_SUITE_INIT(value_text)
{
    HZ_ASSERT_EQ(hz_value_init(), 0);
}

static void round_trip(const char *text, size_t len, const char *expected)
{
    const char *error = "";
    hz_value *value = hz_value_parse(text, len, &error);
    if (!value)
        HZ_FAIL("%s: %s", text, error);
    struct hz_buffer buffer = {0};
    hz_value_print(&buffer, value);
    hz_value_unref(value);
    HZ_ASSERT_STR_EQ(buffer.data, expected);
    HZ_ASSERT_EQ(buffer.len, strlen(expected));
    hz_buffer_fini(&buffer);
}

HZ_TEST(value_text, text_reads_and_prints_as_javascript_does)
{
    static const struct {
        const char *text, *expected;
    } rows[] = {{" { \"a\" : [ 1 , true , false , null ] } ", "{\"a\":[1,true,false,null]}"}, {"0.1", "0.1"},
            {"1.0", "1"}, {"-0", "0"}, {"1E2", "100"}, {"1e21", "1e+21"}, {"1e-7", "1e-7"},
            {"123456789012345678", "123456789012345680"}, {"9007199254740993", "9007199254740992"},
            {"[9223372036854775807,{\"a\":-9223372036854775808}]",
                    "[9223372036854776000,{\"a\":-9223372036854776000}]"},
            {"18446744073709551616", "18446744073709552000"}, {"[1E400,-1E400]", "[null,null]"}, {"1e-400", "0"},
            {"\"\\u0000\\u001f\\u007f\"", "\"\\u0000\\u001f\x7f\""}, {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
            {"\"\\ud83d\"", "\"\xef\xbf\xbd\""}, {"\"\\ude00\\ud83d\"", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
            {"\"\\ud83d\\u0041\"", "\"\xef\xbf\xbd"
                                   "A\""},
            {"\"\\ud83d\\ud83d\\ude00\"", "\"\xef\xbf\xbd\xf0\x9f\x98\x80\""},
            {"{\"\\u0000k\":1e400,\"\\ud800\":2}", "{\"\\u0000k\":null,\"\xef\xbf\xbd\":2}"},
            {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
            {"{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"}, {"\"\xe2\x80\xa8\"", "\"\xe2\x80\xa8\""},
            {"\"\xff\"", "\"\xef\xbf\xbd\""}, {"{\"__proto__\":1}", "{\"__proto__\":1}"},
            {"[[],{},\"\"]", "[[],{},\"\"]"}, {"\"12345678\\\"1234567\\n\"", "\"12345678\\\"1234567\\n\""},
            {"0.30000000000000004", "0.30000000000000004"},
            {"[1e400,\"\\ud800\",{\"k\":[1,-2.5e-3]}]", "[null,\"\xef\xbf\xbd\",{\"k\":[1,-0.0025]}]"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        round_trip(rows[i].text, strlen(rows[i].text), rows[i].expected);
    round_trip("\"a\"x", 3, "\"a\""); /* the length counts, not the NUL */
}

HZ_TEST(value_text, wrong_text_is_refused_with_a_place)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {{"", "unexpected end at byte 0"}, {"  ", "unexpected end at byte 2"}, {"{", "unexpected end at byte 1"},
            {"{\"a\" 1}", "unexpected character at byte 5"}, {"[1,]", "unexpected character at byte 3"},
            {"[1 2]", "unexpected character at byte 3"}, {"{\"a\":1,}", "unexpected character at byte 7"},
            {"01", "unexpected character at byte 1"}, {"-", "unexpected end at byte 1"},
            {"1.", "unexpected end at byte 2"}, {".5", "unexpected character at byte 0"},
            {"1e+", "unexpected end at byte 3"}, {"+1", "unexpected character at byte 0"},
            {"nul", "unexpected end at byte 3"}, {"nulL", "unexpected character at byte 3"},
            {"'a'", "unexpected character at byte 0"}, {"\"a", "unterminated string at byte 2"},
            {"\"\t\"", "control character in a string at byte 1"}, {"\"\\x\"", "bad escape"},
            {"\"\\u12g4\"", "bad escape"}, {"1 2", "unexpected character at byte 2"},
            {"\xef\xbb\xbf"
             "1",
                    "unexpected character at byte 0"},
            {"NaN", "unexpected character at byte 0"}, {"{a:1}", "unexpected character at byte 1"},
            {"// x\n1", "unexpected character at byte 0"}, {"{\"a\":1]", "unexpected character at byte 6"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *error = NULL;
        HZ_ASSERT_NULL(hz_value_parse(rows[i].text, strlen(rows[i].text), &error));
        HZ_ASSERT_STR_HAS(error, rows[i].reason);
        HZ_ASSERT_NULL(hz_value_parse(rows[i].text, strlen(rows[i].text), NULL));
    }
    HZ_ASSERT_NULL(hz_value_parse("1\0", 2, NULL));
    HZ_ASSERT_NULL(hz_value_parse("[1\0]", 4, NULL));
    HZ_ASSERT_NULL(hz_value_parse("\"a\0b\"", 5, NULL));
    HZ_ASSERT_NULL(hz_value_parse(NULL, 0, NULL));
}

static char *nested(size_t levels, const char *open, const char *core, const char *close)
{
    size_t each = strlen(open) + strlen(close);
    char *text = must_alloc(levels * each + strlen(core) + 1), *to = text;
    for (size_t i = 0; i < levels; i++)
        to = stpcpy(to, open);
    to = stpcpy(to, core);
    for (size_t i = 0; i < levels; i++)
        to = stpcpy(to, close);
    return text;
}

HZ_TEST(value_text, nesting_ends_at_512_levels)
{
    static const char *const forms[][3] = {{"[", "1", "]"}, {"{\"a\":", "1", "}"}, {"[\"]]]\\\"]\",", "1", "]"},
            {"[", "1e400", "]"}, {"[", "9007199254740993", "]"}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const char *error = NULL;
        char *right = nested(512, forms[i][0], forms[i][1], forms[i][2]);
        char *deep = nested(513, forms[i][0], forms[i][1], forms[i][2]);
        hz_value *value = hz_value_parse(right, strlen(right), &error);
        HZ_ASSERT_NOT_NULL(value);
        struct hz_buffer buffer = {0};
        hz_value_print(&buffer, value);
        HZ_ASSERT_FALSE(buffer.failed);
        hz_buffer_fini(&buffer);
        hz_value *around = hz_value_array();
        HZ_ASSERT_EQ(hz_value_push(around, value), 0);
        hz_value_print(&buffer, around);
        HZ_ASSERT_TRUE(buffer.too_deep);
        hz_buffer_fini(&buffer);
        hz_value_unref(around);
        hz_value_unref(value);
        HZ_ASSERT_NULL(hz_value_parse(deep, strlen(deep), &error));
        HZ_ASSERT_STR_HAS(error, "nested deeper than 512 levels");
        free(right);
        free(deep);
    }
    char *bomb = nested(1000000, "[", "", "");
    HZ_ASSERT_NULL(hz_value_parse(bomb, strlen(bomb), NULL));
    free(bomb);
}

HZ_TEST(value_text, numbers_print_shortest)
{
    static const struct {
        double number;
        const char *text;
    } rows[] = {{0, "0"}, {-0.0, "0"}, {1, "1"}, {-1.5, "-1.5"}, {0.1, "0.1"}, {0.1 + 0.2, "0.30000000000000004"},
            {1.0 / 3, "0.3333333333333333"}, {2.0 / 3, "0.6666666666666666"}, {1e20, "100000000000000000000"},
            {1e21, "1e+21"}, {1.5e21, "1.5e+21"}, {123456789012345680000.0, "123456789012345680000"},
            {0.000001, "0.000001"}, {0.0000015, "0.0000015"}, {0.0000001, "1e-7"}, {1.25e-7, "1.25e-7"},
            {5e-324, "5e-324"}, {1e-323, "1e-323"}, {2.2250738585072014e-308, "2.2250738585072014e-308"},
            {1.7976931348623157e308, "1.7976931348623157e+308"}, {9007199254740992, "9007199254740992"},
            {9007199254740994, "9007199254740994"}, {4.35, "4.35"}, {1.005, "1.005"}, {100.25, "100.25"},
            {999999999999999.9, "999999999999999.9"}, {123456.789e3, "123456789"},
            {5.684341886080801e-14, "5.684341886080801e-14"}, {9.5367431640625e-7, "9.5367431640625e-7"},
            {1e23, "1e+23"}, {4.5e15, "4500000000000000"}, {(double)INFINITY, "Infinity"},
            {-(double)INFINITY, "-Infinity"}, {(double)NAN, "NaN"}};
    char text[32];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = hz_value_format_number(rows[i].number, text);
        HZ_ASSERT_STR_EQ(text, rows[i].text);
        HZ_ASSERT_EQ(len, strlen(text));
    }
}

/* No text with fewer digits may read back: checked against every shorter precision. */
static void check_shortest(double v)
{
    char text[32], other[64];
    size_t len = hz_value_format_number(v, text);
    HZ_ASSERT_EQ(len, strlen(text));
    HZ_ASSERT_DBL_EQ(strtod(text, NULL), v);
    size_t digits = 0, zeros = 0;
    for (const char *p = text; *p && *p != 'e'; p++) {
        if (*p < '0' || *p > '9' || (digits == 0 && *p == '0'))
            continue;
        digits++;
        zeros = *p == '0' ? zeros + 1 : 0;
    }
    digits -= zeros;
    for (size_t precision = 1; precision < digits; precision++) {
        (void)snprintf(other, sizeof other, "%.*e", (int)precision - 1, v);
        double back = strtod(other, NULL);
        if (!(back < v) && !(back > v))
            HZ_FAIL("%s has %zu digits, %s reads back too", text, digits, other);
    }
}

HZ_TEST(value_text, shortest_holds_for_random_numbers)
{
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 30000; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        double v;
        memcpy(&v, &state, sizeof v);
        if (isfinite(v))
            check_shortest(v);
        check_shortest((double)(state % 100000000) / 1000.0);
        check_shortest((double)(state >> 11) * 0x1p-53);
    }
    for (int e = -1074; e < 1024; e++)
        check_shortest(ldexp(1.0, e));
}

HZ_TEST(value_text, text_form_is_that_of_a_template)
{
    static const struct {
        const char *json, *text;
    } rows[] = {{"\"a\\\"b\"", "a\"b"}, {"1.50", "1.5"}, {"true", "true"}, {"null", "null"}, {"[1,\"a\"]", "[1,\"a\"]"},
            {"{\"a\":1}", "{\"a\":1}"}, {"1e400", "Infinity"}, {"\"\"", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hz_buffer buffer = {0};
        hz_value *value = hz_value_parse(rows[i].json, strlen(rows[i].json), NULL);
        hz_value_print_text(&buffer, value);
        HZ_ASSERT_STR_EQ(buffer.data, rows[i].text);
        hz_value_unref(value);
        hz_buffer_fini(&buffer);
    }
    struct hz_buffer buffer = {0};
    hz_value_print_text(&buffer, hz_value_undefined());
    HZ_ASSERT_EQ(buffer.len, 0);
    HZ_ASSERT_STR_EQ(buffer.data, "");
    hz_value_print_text(&buffer, hz_value_number((double)NAN));
    HZ_ASSERT_STR_EQ(buffer.data, "NaN");
    hz_buffer_fini(&buffer);
}

HZ_TEST(value_text, escaping_covers_every_byte)
{
    char all[256];
    struct hz_buffer quoted = {0};
    for (unsigned i = 0; i < 128; i++)
        all[i] = (char)i;
    for (size_t start = 0; start < 128; start++) { /* every alignment of every character in an 8-byte step */
        quoted.len = 0;
        hz_buffer_add(&quoted, "\"", 1);
        hz_value_escape(&quoted, all + start, 128 - start);
        hz_buffer_add(&quoted, "\"", 1);
        json_t *back = json_loadb(quoted.data, quoted.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        HZ_ASSERT_NOT_NULL(back);
        HZ_ASSERT_EQ(json_string_length(back), 128 - start);
        HZ_ASSERT_MEM_EQ(json_string_value(back), all + start, 128 - start);
        json_decref(back);
    }
    hz_buffer_fini(&quoted);
}

HZ_TEST(value_text, a_buffer_that_cannot_grow_stays_failed)
{
    struct hz_buffer buffer = {0};
    hz_buffer_add(&buffer, "abc", 3);
    HZ_ASSERT_NULL(hz_buffer_reserve(&buffer, SIZE_MAX - 2));
    HZ_ASSERT_TRUE(buffer.failed);
    hz_buffer_add(&buffer, "d", 1);
    HZ_ASSERT_STR_EQ(buffer.data, "abc");
    hz_buffer_fini(&buffer);
}

HZ_TEST(value_text, own_parser_and_jansson_agree)
{
    /* Each text is read by jansson and, with a lone surrogate in front, by the parser behind it: same values. */
    static const char *const texts[] = {"[1,2.5,-3e2,\"a\\u00e9\\n\",{\"k\":[],\"l\":{}},true,false,null]",
            "{\"a\":{\"b\":{\"c\":\"\xf0\x9f\x98\x80\"}},\"1\":0}", "\"\\ud83d\\ude00\"", "[[[[[[[]]]]]]]",
            "-1.7976931348623157e308"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char both[512];
        int len = snprintf(both, sizeof both, "[\"\\ud800\",%s]", texts[i]);
        hz_value *own = hz_value_parse(both, (size_t)len, NULL);
        hz_value *direct = hz_value_parse(texts[i], strlen(texts[i]), NULL);
        HZ_ASSERT_NOT_NULL(direct);
        HZ_ASSERT_TRUE(hz_value_equal(hz_value_at(own, 1), direct));
        hz_value_unref(own);
        hz_value_unref(direct);
    }
}
