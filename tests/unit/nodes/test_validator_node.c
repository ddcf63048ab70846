/*
 * test_validator_node.c - the node around the schema: what is validated, what goes out where, and its errors.
 */
#include "node_host.h"
#include <stdio.h>

static struct node_host *n;

HZ_SETUP(validator_node)
{
    n = node_host_open("validator");
    node_host_param(n, "validationSchema",
            "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"integer\"}}}");
}

HZ_TEARDOWN(validator_node)
{
    node_host_close(&n);
}

static const char *validate(const char *input)
{
    HZ_ASSERT_EQ(node_host_run(n, "input", input), HZ_OK);
    return node_host_only(n);
}

HZ_TEST(validator_node, valid_data_goes_out_whole)
{
    HZ_ASSERT_STR_EQ(validate("{\"a\":1}"), "valid {\"valid\":true,\"data\":{\"a\":1}}");
}

HZ_TEST(validator_node, invalid_data_goes_out_with_all_its_errors)
{
    const char *out = validate("{\"a\":\"x\"}");
    HZ_ASSERT_STR_HAS(out, "invalid {\"valid\":false,\"errors\":[{\"message\":\"");
    HZ_ASSERT_STR_HAS(out, "\"path\":\"/a\",\"keyword\":\"type\",\"params\":{\"type\":\"integer\"}}]");
    HZ_ASSERT_STR_HAS(out, "\"originalErrors\":[{\"instancePath\":\"/a\",\"keyword\":\"type\"");
    HZ_ASSERT_STR_HAS(out, "],\"data\":{\"a\":\"x\"}}");
    out = validate("{\"b\":1}");
    HZ_ASSERT_STR_HAS(out, "\"path\":\"/\",\"keyword\":\"required\"");
    HZ_ASSERT_STR_HAS(out, "\"originalErrors\":[{\"instancePath\":\"\"");
    node_host_param(n, "errorDetails", "false");
    HZ_ASSERT_STR_HAS_NOT(validate("{\"b\":1}"), "originalErrors");
}

HZ_TEST(validator_node, nothing_to_validate_is_an_error)
{
    static const char *const empty[] = {"null", "0", "false", "\"\""};
    for (size_t i = 0; i < 4; i++)
        HZ_ASSERT_STR_EQ(validate(empty[i]), "error {\"error\":\"No se encontraron datos en la entrada\"}");
    HZ_ASSERT_STR_EQ(validate(NULL), "error {\"error\":\"No se encontraron datos en la entrada\"}");
    HZ_ASSERT_STR_HAS(validate("[]"), "invalid ");
}

HZ_TEST(validator_node, a_path_leads_into_the_data)
{
    node_host_param(n, "inputPath", "\"x.1.y\"");
    HZ_ASSERT_STR_EQ(validate("{\"x\":[0,{\"y\":{\"a\":1}}]}"), "valid {\"valid\":true,\"data\":{\"a\":1}}");
    HZ_ASSERT_STR_EQ(validate("{\"x\":[0]}"), "error {\"error\":\"Ruta de entrada inválida: x.1.y\"}");
    HZ_ASSERT_STR_EQ(validate("{\"x\":7}"), "error {\"error\":\"Ruta de entrada inválida: x.1.y\"}");
    static const char *const bad[] = {"a..b", ".", "a.", "a.00000000000000001", "a.-1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char json[64], wanted[128];
        snprintf(json, sizeof json, "\"%s\"", bad[i]);
        node_host_param(n, "inputPath", json);
        snprintf(wanted, sizeof wanted, "error {\"error\":\"Ruta de entrada inválida: %s\"}", bad[i]);
        HZ_ASSERT_STR_EQ(validate("{\"a\":[1,2]}"), wanted);
    }
}

HZ_TEST(validator_node, a_schema_that_cannot_be_used_is_an_error)
{
    static const char prefix[] = "error {\"error\":\"Error al parsear el esquema de validación: ";
    node_host_param(n, "validationSchema", "\"{broken\"");
    HZ_ASSERT_STR_HAS(validate("{\"a\":1}"), prefix);
    node_host_param(n, "validationSchema", "{\"type\":\"strange\"}");
    HZ_ASSERT_STR_HAS(validate("{\"a\":1}"), prefix);
    node_host_param_failed(n, "validationSchema", "ReferenceError: x");
    HZ_ASSERT_STR_EQ(validate("{\"a\":1}"),
            "error {\"error\":\"Error al parsear el esquema de validación: ReferenceError: x\"}");
    HZ_ASSERT_STR_HAS_NOT(node_host_only(n), "stack");
}

HZ_TEST(validator_node, keywords_of_ones_own_are_refused_and_comments_are_not)
{
    node_host_param(n, "customKeywords", "\"ajv.addKeyword('x')\"");
    HZ_ASSERT_STR_EQ(validate("{\"a\":1}"), "error {\"error\":\"Error en keywords personalizados: no soportado\"}");
    node_host_param(n, "customKeywords", "\"  // nothing\"");
    HZ_ASSERT_STR_HAS(validate("{\"a\":1}"), "valid ");
    node_host_param(n, "customKeywords", "\"\"");
    HZ_ASSERT_STR_HAS(validate("{\"a\":1}"), "valid ");
}

HZ_TEST(validator_node, texts_of_ones_own_replace_ours)
{
    node_host_param(n, "globalErrorMessages", "{\"type\":\"Eso no\"}");
    HZ_ASSERT_STR_HAS(validate("{\"a\":\"x\"}"), "\"message\":\"Eso no\"");
    node_host_param(n, "customErrorMessages", "false");
    HZ_ASSERT_STR_HAS_NOT(validate("{\"a\":\"x\"}"), "Eso no");
}
