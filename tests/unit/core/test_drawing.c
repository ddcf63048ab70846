/* test_drawing.c - nodes written by hand become something that can be drawn; what editors leave out is not lost. */
#include "core/api/drawing.h"
#include "tests/harness.h"

#include <stdlib.h>

static json_t *parsed(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    HZ_ASSERT_NOT_NULL(value);
    return value;
}

static void expect(const json_t *value, const char *json)
{
    char *printed = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    HZ_ASSERT_STR_EQ(printed, json);
    free(printed);
}

static json_t *completed(const char *nodes, const char *connections)
{
    json_t *object = parsed(nodes), *list = connections ? parsed(connections) : NULL;
    json_t *types = parsed("{\"t\":{\"info\":{\"name\":\"Type\",\"icon\":\"*\",\"connectors\":{\"inputs\":[\"in\"],\"outputs\":[\"out\"]}}}}");
    hz_drawing_complete(object, list, types);
    json_decref(types);
    json_decref(list);
    return object;
}

HZ_TEST(drawing, a_node_of_nothing_but_a_type_gets_its_id_info_and_a_place)
{
    json_t *nodes = completed("{\"a\":{\"type\":\"t\"}}", NULL);
    expect(nodes, "{\"a\":{\"type\":\"t\",\"info\":{\"name\":\"Type\",\"icon\":\"*\",\"connectors\":{\"inputs\":[\"in\"],\"outputs\":[\"out\"]}},"
                  "\"id\":\"a\",\"design\":{\"x\":60,\"y\":60}}}");
    json_decref(nodes);
}

HZ_TEST(drawing, what_is_there_stays)
{
    json_t *nodes = completed("{\"a\":{\"id\":\"a\",\"type\":\"t\",\"name\":\"N\",\"info\":{\"name\":\"I\",\"icon\":\"\","
                              "\"connectors\":{\"outputs\":[\"x\"]}},\"design\":{\"x\":-5.5,\"y\":7,\"width\":1}}}",
            "[]");
    expect(nodes, "{\"a\":{\"id\":\"a\",\"type\":\"t\",\"name\":\"N\",\"info\":{\"name\":\"I\",\"icon\":\"*\",\"connectors\":{\"outputs\":[\"x\"]}},"
                  "\"design\":{\"x\":-5.5,\"y\":7,\"width\":1}}}");
    json_decref(nodes);
    nodes = completed("{\"a\":{\"type\":\"t\",\"name\":\"N\"}}", NULL);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_object_get(json_object_get(nodes, "a"), "info"), "name")), "N");
    json_decref(nodes);
}

HZ_TEST(drawing, places_follow_the_connections_and_no_two_are_the_same)
{
    /* a -> b -> d, a -> c, a circle e <-> f, something that is no connection, one to nowhere */
    json_t *nodes = completed("{\"d\":{\"type\":\"t\"},\"a\":{\"type\":\"t\"},\"b\":{\"type\":\"t\"},\"c\":{\"type\":\"t\"},\"e\":{\"type\":\"t\"},"
                              "\"f\":{\"type\":\"t\"}}",
            "[{\"idNodeOrigin\":\"b\",\"idNodeDestiny\":\"d\"},{\"idNodeOrigin\":\"a\",\"idNodeDestiny\":\"b\"},{\"idNodeOrigin\":\"a\",\"idNodeDestiny\":\"c\"},"
            "{\"idNodeOrigin\":\"e\",\"idNodeDestiny\":\"f\"},{\"idNodeOrigin\":\"f\",\"idNodeDestiny\":\"e\"},7,{\"idNodeOrigin\":\"a\",\"idNodeDestiny\":\"z\"}]");
    static const struct {
        const char *id, *design;
    } wanted[] = {{"a", "{\"x\":60,\"y\":60}"}, {"b", "{\"x\":240,\"y\":60}"}, {"c", "{\"x\":240,\"y\":200}"}, {"d", "{\"x\":420,\"y\":60}"},
            {"e", "{\"x\":60,\"y\":200}"}, {"f", "{\"x\":60,\"y\":340}"}};
    for (size_t i = 0; i < HZ_COUNT_OF(wanted); i++)
        expect(json_object_get(json_object_get(nodes, wanted[i].id), "design"), wanted[i].design);
    HZ_ASSERT_EQ(json_object_size(nodes), HZ_COUNT_OF(wanted));
    json_decref(nodes);
}

static void kept(const char *given, const char *stored, const char *wanted)
{
    json_t *a = parsed(given), *b = stored ? parsed(stored) : NULL, *c = hz_drawing_keep(a, b);
    expect(c, wanted);
    expect(a, given);
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

HZ_TEST(drawing, name_and_meta_that_an_editor_left_out_are_kept)
{
    kept("{\"a\":{\"type\":\"t\",\"info\":{\"name\":\"I\"}}}", "{\"a\":{\"type\":\"t\",\"name\":\"N\",\"info\":{\"name\":\"I\"},\"meta\":{\"timeout\":5}}}",
            "{\"a\":{\"type\":\"t\",\"info\":{\"name\":\"I\"},\"name\":\"N\",\"meta\":{\"timeout\":5}}}");
    kept("{\"a\":{\"type\":\"t\"}}", "{\"a\":{\"type\":\"t\",\"name\":\"N\"}}", "{\"a\":{\"type\":\"t\",\"name\":\"N\"}}");
    /* What is said counts, and what is no longer the same node keeps nothing. */
    kept("{\"a\":{\"type\":\"t\",\"name\":\"M\",\"meta\":{}}}", "{\"a\":{\"type\":\"t\",\"name\":\"N\",\"meta\":{\"x\":1}}}",
            "{\"a\":{\"type\":\"t\",\"name\":\"M\",\"meta\":{}}}");
    kept("{\"a\":{\"type\":\"u\"}}", "{\"a\":{\"type\":\"t\",\"name\":\"N\"}}", "{\"a\":{\"type\":\"u\"}}");
    kept("{\"b\":{\"type\":\"t\"}}", "{\"a\":{\"type\":\"t\",\"name\":\"N\"}}", "{\"b\":{\"type\":\"t\"}}");
    kept("{\"a\":{\"type\":\"t\"}}", NULL, "{\"a\":{\"type\":\"t\"}}");
    kept("{\"a\":5}", "{\"a\":{\"type\":\"t\",\"name\":\"N\"}}", "{\"a\":5}");
}

HZ_TEST(drawing, a_node_renamed_in_the_editor_has_that_name)
{
    kept("{\"a\":{\"type\":\"t\",\"info\":{\"name\":\"New\"}}}", "{\"a\":{\"type\":\"t\",\"name\":\"N\",\"info\":{\"name\":\"I\"}}}",
            "{\"a\":{\"type\":\"t\",\"info\":{\"name\":\"New\"},\"name\":\"New\"}}");
    kept("{\"a\":{\"type\":\"t\",\"info\":{\"name\":\"New\"}}}", "{\"a\":{\"type\":\"t\",\"name\":\"N\"}}",
            "{\"a\":{\"type\":\"t\",\"info\":{\"name\":\"New\"},\"name\":\"New\"}}");
    kept("{\"a\":{\"type\":\"t\",\"info\":{\"name\":\"N\"}}}", "{\"a\":{\"type\":\"t\",\"name\":\"N\"}}",
            "{\"a\":{\"type\":\"t\",\"info\":{\"name\":\"N\"},\"name\":\"N\"}}");
}
