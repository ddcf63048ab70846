/* The validator as the loader sees it: what it emits for good data, bad data and unusable schemas. */
#include "node_host.h"

#include <string.h>

#define SCHEMA "{\"type\":\"object\",\"properties\":{\"edad\":{\"type\":\"integer\"}},\"required\":[\"nombre\"]}"

static struct node_host *host;

HZ_SETUP(validator)
{
    host = node_host_open("validator");
    node_host_param(host, "validationSchema", SCHEMA);
}

HZ_TEARDOWN(validator)
{
    node_host_close(&host);
}

HZ_TEST(validator, good_data_go_out_on_valid)
{
    HZ_ASSERT_EQ(node_host_run(host, "input", "{\"nombre\":\"Ana\",\"edad\":3}"), HZ_OK);
    HZ_ASSERT_STR_EQ(node_host_only(host), "valid {\"valid\":true,\"data\":{\"nombre\":\"Ana\",\"edad\":3}}");
}

HZ_TEST(validator, bad_data_go_out_on_invalid_with_every_error)
{
    node_host_param(host, "errorDetails", "false");
    HZ_ASSERT_EQ(node_host_run(host, "input", "{\"edad\":\"3\"}"), HZ_OK);
    HZ_ASSERT_STR_EQ(node_host_only(host),
            "invalid {\"valid\":false,\"errors\":[{\"message\":\"debe ser "
            "integer\",\"path\":\"/edad\",\"keyword\":\"type\",\"params\":{\"type\":\"integer\"}},"
            "{\"message\":\"debe tener la propiedad requerida "
            "nombre\",\"path\":\"/\",\"keyword\":\"required\",\"params\":{\"missingProperty\":\"nombre\"}}],"
            "\"data\":{\"edad\":\"3\"}}");
    node_host_param(host, "errorDetails", "true");
    HZ_ASSERT_EQ(node_host_run(host, "input", "{\"a\":1}"), HZ_OK);
    HZ_ASSERT_STR_HAS(node_host_only(host), "\"originalErrors\":[{\"instancePath\":\"\",\"keyword\":\"required\"");
}

HZ_TEST(validator, own_texts_are_used_when_switched_on)
{
    node_host_param(host, "globalErrorMessages", "{\"required\":\"falta el nombre\"}");
    HZ_ASSERT_EQ(node_host_run(host, "input", "{\"a\":1}"), HZ_OK);
    HZ_ASSERT_STR_HAS(node_host_only(host), "\"message\":\"falta el nombre\"");
    node_host_param(host, "customErrorMessages", "false");
    HZ_ASSERT_EQ(node_host_run(host, "input", "{\"a\":1}"), HZ_OK);
    HZ_ASSERT_STR_HAS(node_host_only(host), "\"message\":\"debe tener la propiedad requerida nombre\"");
}

HZ_TEST(validator, a_part_of_the_payload_can_be_checked)
{
    node_host_param(host, "inputPath", "\"gente.1\"");
    HZ_ASSERT_EQ(node_host_run(host, "input", "{\"gente\":[{},{\"nombre\":\"Eva\"}]}"), HZ_OK);
    HZ_ASSERT_STR_EQ(node_host_only(host), "valid {\"valid\":true,\"data\":{\"nombre\":\"Eva\"}}");
    HZ_ASSERT_EQ(node_host_run(host, "input", "{\"gente\":[]}"), HZ_OK);
    HZ_ASSERT_STR_EQ(node_host_only(host), "error {\"error\":\"Ruta de entrada inválida: gente.1\"}");
}

HZ_TEST(validator, what_cannot_be_checked_goes_out_on_error)
{
    static const char *const empty[] = {"null", "0", "false", "\"\""};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        HZ_ASSERT_EQ(node_host_run(host, "input", empty[i]), HZ_OK);
        HZ_ASSERT_STR_EQ(node_host_only(host), "error {\"error\":\"No se encontraron datos en la entrada\"}");
    }
    node_host_param(host, "validationSchema", "{\"type\":\"texto\"}");
    HZ_ASSERT_EQ(node_host_run(host, "input", "{}"), HZ_OK);
    HZ_ASSERT_STR_EQ(node_host_only(host), "error {\"error\":\"Error al parsear el esquema de validación: /type: debe "
                                           "ser igual a uno de los valores permitidos\"}");
    node_host_param(host, "validationSchema", "\"{mal\"");
    HZ_ASSERT_EQ(node_host_run(host, "input", "{}"), HZ_OK);
    HZ_ASSERT_STR_HAS(node_host_only(host), "error {\"error\":\"Error al parsear el esquema de validación: ");
    node_host_param(host, "customKeywords", "\"ajv.addKeyword('x')\"");
    HZ_ASSERT_EQ(node_host_run(host, "input", "{}"), HZ_OK);
    HZ_ASSERT_STR_EQ(node_host_only(host), "error {\"error\":\"Error en keywords personalizados: no soportado\"}");
}
