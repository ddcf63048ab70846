/* test_print.c - flows back to text: two blanks, unknown keys kept, numbers as JavaScript prints them. */
#include "core/flow/json_text.h"
#include "flow_fixture.h"
#include <math.h>

static void check_round(const char *text)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    size_t len = 0;
    char *json = quoted(text), *printed;

    HZ_ASSERT_OK(hz_flow_parse(json, strlen(json), &report, &flow));
    printed = hz_flow_print(flow, &len);
    HZ_ASSERT_STR_EQ(printed, json);
    HZ_ASSERT_EQ(len, strlen(json));
    free(printed);
    free(json);
    hz_flow_free(&flow);
    hz_flow_report_fini(&report);
}

HZ_TEST(print, file_layout_is_that_of_the_clients)
{
    check_round("{\n  `nodes`: {\n    `a`: {\n      `type`: `x`,\n      `design`: {},\n      `connections`: []\n    "
                "}\n  },\n"
                "  `connections`: [],\n  `mine`: [\n    1,\n    [\n      true,\n      null\n    ]\n  ]\n}");
}

HZ_TEST(print, sample_flows_come_back_byte_for_byte)
{
    static const char *const names[] = {
            "conditional", "delay", "error", "hello", "iteration", "large", "parallelism", "webhook"};

    for (size_t i = 0; i < HZ_COUNT_OF(names); i++) {
        struct hz_flow_report report = {0};
        struct hz_flow *flow = NULL;
        size_t len, printed_len;
        char *text = hz_test_read_file(
                     hz_test_path("%s/tests/flows/%s/flow.json", hz_test_source_dir(), names[i]), &len),
             *printed;

        HZ_ASSERT_OK(hz_flow_parse(text, len, &report, &flow));
        printed = hz_flow_print(flow, &printed_len);
        HZ_ASSERT_EQ(printed_len + 1, len); /* the file ends with a line feed */
        HZ_ASSERT_MEM_EQ(printed, text, printed_len);
        free(printed);
        free(text);
        hz_flow_free(&flow);
        hz_flow_report_fini(&report);
    }
}

HZ_TEST(print, strings_escape_what_json_asks_for_and_nothing_else)
{
    check_round("{\n  `nodes`: {},\n  `s`: `\\`\\\\\\b\\f\\n\\r\\t\\u0000\\u001f/ñ€😀\x7f`\n}");
}

HZ_TEST(print, numbers_use_the_shortest_text_that_reads_back)
{
    static const struct {
        double number;
        const char *text;
    } cases[] = {{0.1, "0.1"}, {-0.0, "0"}, {1.5, "1.5"}, {1e21, "1e+21"}, {1e20, "100000000000000000000"},
            {123456789012345678901.0, "123456789012345680000"}, {1e-6, "0.000001"}, {1e-7, "1e-7"},
            {1.25e-7, "1.25e-7"}, {5e-324, "5e-324"}, {1.7976931348623157e308, "1.7976931348623157e+308"},
            {0.1 + 0.2, "0.30000000000000004"}, {-123.456, "-123.456"}, {100.0, "100"}, {(double)INFINITY, "null"},
            {(double)NAN, "null"}};

    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++) {
        json_t *value = json_real(0);
        char *text;

        HZ_ASSERT_NOT_NULL(value);
        if (isfinite(cases[i].number)) {
            json_real_set(value, cases[i].number);
            text = hz_json_text_print(value, 0, NULL);
            HZ_ASSERT_STR_EQ(text, cases[i].text);
            free(text);
        }
        json_decref(value);
    }
}

HZ_TEST(print, compact_text_has_no_blanks)
{
    struct hz_json_text_error error;
    const char text[] = "[ {\"a\" : [1 , 2.50 ,\"x y\"] , \"b\":{} } ]";
    json_t *value = hz_json_text_parse(text, strlen(text), 10, true, &error);
    size_t len;
    char *printed = hz_json_text_print(value, 0, &len);

    HZ_ASSERT_STR_EQ(printed, "[{\"a\":[1,2.5,\"x y\"],\"b\":{}}]");
    HZ_ASSERT_EQ(len, strlen(printed));
    free(printed);
    json_decref(value);
}
