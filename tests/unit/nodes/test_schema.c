/* The validator's schemas beyond the public suite: texts, paths, figures, own messages, refusals, bounds, many threads.
 */
#include "schema_host.h"
#include "tests/unit/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The errors as JSON, or "! reason". */
static const char *validate_with(const char *schema_text, const char *data_text, const char *messages_text)
{
    static char result[8192];
    hz_call *call = schema_host_begin();
    hz_value *schema = schema_host_parse(schema_text), *data = schema_host_parse(data_text);
    hz_value *messages = messages_text ? schema_host_parse(messages_text) : NULL;
    hz_str reason = {"", 0};
    const hz_value *errors = schema_validate(call, schema, data, messages, &reason);
    if (errors) {
        struct hz_buffer buffer = {0};
        hz_value_print(&buffer, errors);
        (void)snprintf(result, sizeof result, "%s", buffer.data);
        hz_buffer_fini(&buffer);
    } else {
        (void)snprintf(result, sizeof result, "! %s", reason.data);
    }
    schema_host_end(call);
    hz_value_unref(schema);
    hz_value_unref(data);
    hz_value_unref(messages);
    return result;
}

static const char *validate(const char *schema, const char *data)
{
    return validate_with(schema, data, NULL);
}

HZ_TEST(schema, every_keyword_says_what_is_wrong_and_where)
{
    static const struct {
        const char *schema, *data, *error;
    } rows[] = {{"{\"type\":\"string\"}", "5",
                        "{\"message\":\"debe ser "
                        "string\",\"path\":\"/\",\"keyword\":\"type\",\"params\":{\"type\":\"string\"}}"},
            {"{\"type\":[\"string\",\"null\"]}", "5",
                    "{\"message\":\"debe ser string, "
                    "null\",\"path\":\"/\",\"keyword\":\"type\",\"params\":{\"type\":[\"string\",\"null\"]}}"},
            {"{\"enum\":[1,\"a\"]}", "2",
                    "{\"message\":\"debe ser igual a uno de los valores "
                    "permitidos\",\"path\":\"/\",\"keyword\":\"enum\",\"params\":{\"allowedValues\":[1,\"a\"]}}"},
            {"{\"const\":{\"a\":1}}", "{}",
                    "{\"message\":\"debe ser igual al valor "
                    "constante\",\"path\":\"/\",\"keyword\":\"const\",\"params\":{\"allowedValue\":{\"a\":1}}}"},
            {"{\"multipleOf\":0.01}", "0.075",
                    "{\"message\":\"debe ser múltiplo de "
                    "0.01\",\"path\":\"/\",\"keyword\":\"multipleOf\",\"params\":{\"multipleOf\":0.01}}"},
            {"{\"maximum\":3}", "4",
                    "{\"message\":\"debe ser <= "
                    "3\",\"path\":\"/\",\"keyword\":\"maximum\",\"params\":{\"comparison\":\"<=\",\"limit\":3}}"},
            {"{\"minimum\":3}", "2",
                    "{\"message\":\"debe ser >= "
                    "3\",\"path\":\"/\",\"keyword\":\"minimum\",\"params\":{\"comparison\":\">=\",\"limit\":3}}"},
            {"{\"exclusiveMaximum\":3}", "3",
                    "{\"message\":\"debe ser < "
                    "3\",\"path\":\"/"
                    "\",\"keyword\":\"exclusiveMaximum\",\"params\":{\"comparison\":\"<\",\"limit\":3}}"},
            {"{\"exclusiveMinimum\":3}", "3",
                    "{\"message\":\"debe ser > "
                    "3\",\"path\":\"/"
                    "\",\"keyword\":\"exclusiveMinimum\",\"params\":{\"comparison\":\">\",\"limit\":3}}"},
            {"{\"maxLength\":1}", "\"ab\"",
                    "{\"message\":\"no debe tener más de 1 "
                    "carácter\",\"path\":\"/\",\"keyword\":\"maxLength\",\"params\":{\"limit\":1}}"},
            {"{\"minLength\":3}", "\"\xf0\x9f\x98\x80\xc3\xb1\"",
                    "{\"message\":\"no debe tener menos de 3 "
                    "caracteres\",\"path\":\"/\",\"keyword\":\"minLength\",\"params\":{\"limit\":3}}"},
            {"{\"maxItems\":1}", "[1,2]",
                    "{\"message\":\"no debe tener más de 1 "
                    "elemento\",\"path\":\"/\",\"keyword\":\"maxItems\",\"params\":{\"limit\":1}}"},
            {"{\"minProperties\":2}", "{}",
                    "{\"message\":\"no debe tener menos de 2 "
                    "propiedades\",\"path\":\"/\",\"keyword\":\"minProperties\",\"params\":{\"limit\":2}}"},
            {"{\"pattern\":\"^a\"}", "\"b\"",
                    "{\"message\":\"debe coincidir con el patrón "
                    "\\\"^a\\\"\",\"path\":\"/\",\"keyword\":\"pattern\",\"params\":{\"pattern\":\"^a\"}}"},
            {"{\"format\":\"date\"}", "\"x\"",
                    "{\"message\":\"debe cumplir el formato "
                    "\\\"date\\\"\",\"path\":\"/\",\"keyword\":\"format\",\"params\":{\"format\":\"date\"}}"},
            {"{\"required\":[\"a\"]}", "{}",
                    "{\"message\":\"debe tener la propiedad requerida "
                    "a\",\"path\":\"/\",\"keyword\":\"required\",\"params\":{\"missingProperty\":\"a\"}}"},
            {"{\"additionalProperties\":false}", "{\"z\":1}",
                    "{\"message\":\"no debe tener propiedades "
                    "adicionales\",\"path\":\"/"
                    "\",\"keyword\":\"additionalProperties\",\"params\":{\"additionalProperty\":\"z\"}}"},
            {"{\"items\":[true],\"additionalItems\":false}", "[1,2]",
                    "{\"message\":\"no debe tener más de 1 "
                    "elemento\",\"path\":\"/\",\"keyword\":\"additionalItems\",\"params\":{\"limit\":1}}"},
            {"{\"uniqueItems\":true}", "[1,2,1.0]",
                    "{\"message\":\"no debe tener elementos duplicados (los elementos 0 y 2 son "
                    "iguales)\",\"path\":\"/\",\"keyword\":\"uniqueItems\",\"params\":{\"i\":2,\"j\":0}}"},
            {"{\"contains\":{\"type\":\"null\"}}", "[1]",
                    "{\"message\":\"debe contener un elemento "
                    "válido\",\"path\":\"/\",\"keyword\":\"contains\",\"params\":{\"minContains\":1}}"},
            {"{\"not\":{}}", "1",
                    "{\"message\":\"no debe cumplir el esquema de "
                    "\\\"not\\\"\",\"path\":\"/\",\"keyword\":\"not\",\"params\":{}}"},
            {"{\"dependencies\":{\"a\":[\"b\",\"c\"]}}", "{\"a\":1,\"c\":1}",
                    "{\"message\":\"debe tener la propiedad b cuando existe la propiedad "
                    "a\",\"path\":\"/\",\"keyword\":\"dependencies\","
                    "\"params\":{\"property\":\"a\",\"missingProperty\":\"b\",\"depsCount\":2,\"deps\":\"b, c\"}}"},
            {"{\"oneOf\":[true,{\"type\":\"string\"},{\"type\":\"number\"}]}", "1",
                    "{\"message\":\"debe cumplir exactamente un esquema de "
                    "\\\"oneOf\\\"\",\"path\":\"/\",\"keyword\":\"oneOf\",\"params\":{\"passingSchemas\":[0,2]}}"},
            {"{\"properties\":{\"a/b\":{\"items\":{\"properties\":{\"~\":false}}}}}", "{\"a/b\":[0,{\"~\":1}]}",
                    "{\"message\":\"el esquema no admite ningún valor\",\"path\":\"/a~1b/1/~0\",\"keyword\":\"false "
                    "schema\",\"params\":{}}"},
            {"false", "1",
                    "{\"message\":\"el esquema no admite ningún valor\",\"path\":\"/\",\"keyword\":\"false "
                    "schema\",\"params\":{}}"}};
    char expected[1024];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(expected, sizeof expected, "[%s]", rows[i].error);
        HZ_ASSERT_STR_EQ(validate(rows[i].schema, rows[i].data), expected);
    }
}

HZ_TEST(schema, all_errors_are_listed_in_order)
{
    const char *errors = validate("{\"type\":\"object\",\"properties\":{\"edad\":{\"type\":\"integer\",\"minimum\":0},"
                                  "\"nombre\":{\"minLength\":2}},"
                                  "\"required\":[\"nombre\",\"correo\"]}",
            "{\"nombre\":\"\",\"edad\":-1.5}");
    static const char *const parts[] = {"/edad\",\"keyword\":\"type\"", "/edad\",\"keyword\":\"minimum\"",
            "/nombre\",\"keyword\":\"minLength\"",
            "/\",\"keyword\":\"required\",\"params\":{\"missingProperty\":\"correo\"}"};
    const char *at = errors;
    for (size_t i = 0; i < 4; i++) {
        const char *found = strstr(at, parts[i]);
        if (found)
            at = found;
        else
            HZ_FAIL("no %s in its place: %s", parts[i], errors);
    }
    HZ_ASSERT_STR_HAS(validate("{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5}]}", "1"), "\"keyword\":\"type\"");
    HZ_ASSERT_STR_HAS(validate("{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5}]}", "1"), "\"keyword\":\"anyOf\"");
    HZ_ASSERT_STR_EQ(validate("{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5}]}", "7"), "[]");
    HZ_ASSERT_STR_EQ(validate("{\"oneOf\":[{\"type\":\"string\"},{\"minimum\":5}]}", "7"), "[]");
    HZ_ASSERT_STR_HAS(
            validate("{\"oneOf\":[{\"type\":\"string\"},{\"minimum\":5}]}", "1"), "{\"passingSchemas\":null}");
    errors = validate("{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]},\"else\":{\"required\":[\"c\"]}}",
            "{\"a\":1}");
    HZ_ASSERT_STR_HAS(errors, "\"missingProperty\":\"b\"");
    HZ_ASSERT_STR_HAS(errors,
            "\"message\":\"debe cumplir el esquema "
            "\\\"then\\\"\",\"path\":\"/\",\"keyword\":\"if\",\"params\":{\"failingKeyword\":\"then\"}");
    errors = validate("{\"propertyNames\":{\"maxLength\":2}}", "{\"abc\":1}");
    HZ_ASSERT_STR_HAS(errors, "\"keyword\":\"maxLength\"");
    HZ_ASSERT_STR_HAS(errors, "{\"propertyName\":\"abc\"}");
}

HZ_TEST(schema, own_messages_replace_the_texts)
{
    const char *schema = "{\"properties\":{\"a\":{\"type\":\"string\",\"errorMessage\":{\"type\":\"a es "
                         "texto\"}},\"b\":{\"type\":\"string\"},"
                         "\"c\":{\"minimum\":5,\"errorMessage\":\"c va mal\"}}}";
    const char *errors = validate_with(
            schema, "{\"a\":1,\"b\":1,\"c\":1}", "{\"type\":\"tipo incorrecto\",\"minimum\":\"poco\",\"pattern\":7}");
    HZ_ASSERT_STR_HAS(errors, "{\"message\":\"a es texto\",\"path\":\"/a\"");
    HZ_ASSERT_STR_HAS(errors, "{\"message\":\"tipo incorrecto\",\"path\":\"/b\"");
    HZ_ASSERT_STR_HAS(errors, "{\"message\":\"c va mal\",\"path\":\"/c\"");
    HZ_ASSERT_STR_HAS(validate_with("{\"pattern\":\"a\"}", "\"b\"", "{\"pattern\":7}"), "debe coincidir");
    HZ_ASSERT_STR_HAS(validate_with("{\"pattern\":\"a\"}", "\"b\"", "[]"), "debe coincidir");
}

HZ_TEST(schema, a_schema_that_is_none_is_refused_with_its_place)
{
    static const struct {
        const char *schema, *reason;
    } rows[] = {{"5", "/: debe ser object, boolean"},
            {"{\"type\":\"text\"}", "/type: debe ser igual a uno de los valores permitidos"},
            {"{\"properties\":{\"a\":{\"minLength\":-1}}}", "/properties/a/minLength: debe ser >= 0"},
            {"{\"required\":\"a\"}", "/required: debe ser array"},
            {"{\"pattern\":\"(\"}", "/pattern: debe cumplir el formato \"regex\""},
            {"{\"patternProperties\":{\"[\":{}}}", "/patternProperties: debe cumplir el formato \"regex\""},
            {"{\"$ref\":\"#/definitions/none\"}", "no se puede resolver la referencia #/definitions/none"},
            {"{\"$ref\":\"http://example.com/x\"}", "no se puede resolver la referencia http://example.com/x"},
            {"{\"$ref\":\"#\"}", "una referencia vuelve a sí misma sin avanzar en los datos"},
            {"{\"allOf\":[{\"$ref\":\"#/definitions/a\"}],\"definitions\":{\"a\":{\"$ref\":\"#/definitions/"
             "b\"},\"b\":{\"anyOf\":[{\"$ref\":\"#/definitions/a\"}]}}}",
                    "una referencia vuelve a sí misma"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        HZ_ASSERT_STR_HAS(validate(rows[i].schema, "{}"), rows[i].reason);
    char id[4000];
    (void)snprintf(id, sizeof id, "{\"$id\":\"http://x/%03000d\"}", 1);
    HZ_ASSERT_STR_HAS(validate(id, "1"), "identificador no admitido");
}

HZ_TEST(schema, references_recurse_with_the_data)
{
    const char *tree = "{\"type\":\"object\",\"required\":[\"v\"],\"properties\":{\"v\":{\"type\":\"number\"},\"kids\":"
                       "{\"items\":{\"$ref\":\"#\"}}}}";
    HZ_ASSERT_STR_EQ(validate(tree, "{\"v\":1,\"kids\":[{\"v\":2},{\"v\":3,\"kids\":[{\"v\":4}]}]}"), "[]");
    HZ_ASSERT_STR_HAS(
            validate(tree, "{\"v\":1,\"kids\":[{\"v\":2},{\"v\":3,\"kids\":[{\"v\":null}]}]}"), "\"/kids/1/kids/0/v\"");
    HZ_ASSERT_STR_HAS(
            validate("{\"$ref\":\"http://json-schema.org/draft-07/schema#\"}", "{\"minimum\":\"a\"}"), "\"/minimum\"");
    HZ_ASSERT_STR_EQ(validate("{\"$ref\":\"#/x/0/y\",\"x\":[{\"y\":{\"type\":\"null\"}}]}", "null"), "[]");
}

HZ_TEST(schema, patterns_are_those_of_javascript)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {{"^\\\\d+$", "12", true}, {"^\\\\d$", "\xd9\xa3", false}, {"^\\\\w+$", "\xc3\xb1", false},
            {"^.$", "\xf0\x9f\x98\x80", true}, {"^.$", "\\u2028", false}, {"a$", "a\\n", false}, {"^[^]$", "\\n", true},
            {"[]", "x", false}, {"^[[:alpha:]]$", "a]", true}, {"^\\\\u{1F600}$", "\xf0\x9f\x98\x80", true},
            {"^\\\\ud83d\\\\ude00$", "\xf0\x9f\x98\x80", true}, {"^\\\\s\\\\S$", "\\u00a0x", true},
            {"^[\\\\s]$", "\\ufeff", true}, {"^[^\\\\S]$", "\\u3000", true}, {"^(?<y>a)\\\\k<y>$", "aa", true},
            {"^(a)?\\\\1b$", "b", true}, {"(?<!a)b", "ab", false},
            {"^\\\\p{Lu}\\\\p{Script=Greek}$", "A\xce\xb1", true}, {"^a{,2}$", "a{,2}", true},
            {"^\\\\-\\\\@$", "-@", true}, {"^x{2}?$", "xx", true}};
    char schema[256], data[64];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(schema, sizeof schema, "{\"pattern\":\"%s\"}", rows[i].pattern);
        (void)snprintf(data, sizeof data, "\"%s\"", rows[i].text);
        const char *errors = validate(schema, data);
        if ((strcmp(errors, "[]") == 0) != rows[i].matches)
            HZ_FAIL("%s with %s: %s", rows[i].pattern, rows[i].text, errors);
    }
    static const char *const refused[] = {"(?i)a", "a++", "(*FAIL)", "(?>a)", "\\\\Qa\\\\E", "\\\\A", "\\\\z", "(?#x)",
            "*", "\\\\", "[a", "a)", "\\\\x1", "\\\\u12", "(?P<a>b)", "\\\\p{Nothing}", "(?R)", "a{70000}", "\\\\2(a)",
            "\\\\C"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        (void)snprintf(schema, sizeof schema, "{\"pattern\":\"%s\"}", refused[i]);
        HZ_ASSERT_STR_HAS(validate(schema, "\"a\""), "! /pattern: ");
    }
}

HZ_TEST(schema, runaway_work_is_given_up)
{
    char *data = must_alloc(200100), *to = data;
    memset(data, 'a', 5002);
    data[0] = '"';
    memcpy(data + 5000, "!\"", 3);
    uint64_t start = hz_test_now_ms();
    HZ_ASSERT_STR_HAS(validate("{\"pattern\":\"^(a+)+$\"}", data), "\"keyword\":\"pattern\"");
    HZ_ASSERT_STR_HAS(validate("{\"pattern\":\"^(a|aa)+$\"}", data), "\"keyword\":\"pattern\"");
    /* Two ways at each level: 2^40 without a bound. */
    for (int i = 0; i < 40; i++)
        to = stpcpy(to, "{\"a\":");
    to = stpcpy(to, "1");
    for (int i = 0; i < 40; i++)
        to = stpcpy(to, "}");
    HZ_ASSERT_STR_EQ(validate("{\"anyOf\":[{\"required\":[\"b\"]},{\"properties\":{\"a\":{\"$ref\":\"#\"}},"
                              "\"minProperties\":9},{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"minProperties\":8}]}",
                             data),
            "! la validación necesita demasiados pasos");
    to = data;
    for (int i = 0; i < 500; i++)
        to = stpcpy(to, "[");
    for (int i = 0; i < 500; i++)
        to = stpcpy(to, "]");
    HZ_ASSERT_STR_EQ(validate("{\"items\":{\"$ref\":\"#\"}}", data), "[]");
    HZ_ASSERT_STR_EQ(
            validate("{\"items\":{\"allOf\":[{\"$ref\":\"#\"}]}}", data), "! la validación anida demasiados niveles");
    to = stpcpy(data, "[0");
    for (int i = 0; i < 20000; i++)
        to = stpcpy(to, ",\"text\"");
    (void)stpcpy(to, "]");
    hz_call *call = schema_host_begin();
    hz_value *schema = schema_host_parse("{\"items\":{\"type\":\"null\"}}"), *list = schema_host_parse(data);
    HZ_ASSERT_EQ(hz_value_length(schema_validate(call, schema, list, NULL, NULL)), SCHEMA_MAX_ERRORS);
    hz_value_unref(schema);
    schema = schema_host_parse("{\"uniqueItems\":true}");
    HZ_ASSERT_EQ(hz_value_length(schema_validate(call, schema, list, NULL, NULL)), 1);
    hz_value_unref(schema);
    hz_value_unref(list);
    schema_host_end(call);
    free(data);
    HZ_ASSERT_LT(hz_test_now_ms() - start, 30000);
}

HZ_TEST(schema, numbers_are_multiples_as_people_write_them)
{
    static const struct {
        const char *of, *number;
        bool is;
    } rows[] = {{"0.1", "0.3", true}, {"0.1", "0.35", false}, {"0.01", "19.99", true}, {"1e-8", "12391239123", true},
            {"3", "9007199254740992", false}, {"2", "1e300", true}, {"0.123456789", "1e308", false}, {"7", "0", true},
            {"1e308", "1e-308", false}, {"0.5", "1e308", true}, {"2.5", "-7.5", true}, {"1e22", "3e22", true}};
    char schema[64];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(schema, sizeof schema, "{\"multipleOf\":%s}", rows[i].of);
        if ((strcmp(validate(schema, rows[i].number), "[]") == 0) != rows[i].is)
            HZ_FAIL("%s of %s", rows[i].number, rows[i].of);
    }
}

HZ_TEST(schema, more_schemas_than_are_kept_take_turns)
{
    hz_value *schemas[20], *data = schema_host_parse("7");
    char text[64];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "{\"maximum\":%d,\"pattern\":\"a%d\"}", i, i);
        schemas[i] = schema_host_parse(text);
    }
    for (int round = 0; round < 200; round++) {
        hz_call *call = schema_host_begin();
        int i = round % 3 ? round % 20 : 1;
        HZ_ASSERT_EQ(hz_value_length(schema_validate(call, schemas[i], data, NULL, NULL)), i < 7);
        schema_host_end(call);
    }
    for (int i = 0; i < 20; i++)
        hz_value_unref(schemas[i]);
    hz_value_unref(data);
}

static hz_value *shared[12]; /* written before the threads start */

static void *validate_many(void *arg)
{
    hz_value *data = schema_host_parse("{\"a\":[1,\"x\"]}");
    for (int i = 0; i < 600; i++) {
        hz_call *call = schema_host_begin();
        const hz_value *errors = schema_validate(call, shared[(i * 7 + (i >> 3)) % 12], data, NULL, NULL);
        HZ_ASSERT_EQ(hz_value_length(errors), 1);
        schema_host_end(call);
    }
    hz_value_unref(data);
    return arg;
}

HZ_TEST(schema, threads_share_prepared_schemas)
{
    pthread_t threads[3];
    char text[160];
    for (int i = 0; i < 12; i++) {
        (void)snprintf(text, sizeof text,
                "{\"properties\":{\"a\":{\"items\":{\"$ref\":\"#/definitions/"
                "n\"}}},\"definitions\":{\"n\":{\"type\":\"number\",\"minimum\":-%d}}}",
                i);
        shared[i] = schema_host_parse(text);
    }
    for (int i = 0; i < 3; i++)
        HZ_ASSERT_EQ(pthread_create(&threads[i], NULL, validate_many, NULL), 0);
    for (int i = 0; i < 3; i++)
        HZ_ASSERT_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 12; i++)
        hz_value_unref(shared[i]);
}
