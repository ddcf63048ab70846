/*
 * test_http_response.c - what the caller of a webhook gets, and what the flow hears about it.
 */
#include "node_host.h"
#include <stdio.h>
#include <string.h>

static struct node_host *n;

HZ_SETUP(http_response)
{
    n = node_host_open("http_response");
    node_host_upstream(n, "webhook_handler", "{}", NULL);
}

HZ_TEARDOWN(http_response)
{
    node_host_close(&n);
}

static const char *answer(void)
{
    HZ_ASSERT_EQ(node_host_run(n, "input", "{}"), HZ_OK);
    return node_host_answer(n);
}

HZ_TEST(http_response, answers_json_with_its_character_set)
{
    node_host_param(n, "response", "{\"a\":\"ñ\",\"b\":1.5}");
    node_host_param(n, "status", "201");
    HZ_ASSERT_STR_EQ(answer(), "201|application/json; charset=utf-8||{\"a\":\"ñ\",\"b\":1.5}");
    HZ_ASSERT_STR_EQ(node_host_only(n),
            "response {\"statusCode\":201,\"response\":{\"a\":\"ñ\",\"b\":1.5},\"contentType\":\"application/json\"}");
}

HZ_TEST(http_response, has_the_defaults_of_an_empty_object_and_200)
{
    HZ_ASSERT_STR_EQ(answer(), "200|application/json; charset=utf-8||{}");
}

HZ_TEST(http_response, sends_text_as_it_is_and_the_rest_as_json)
{
    static const char *const cases[][2] = {{"\"hola\\n\"", "hola\n"}, {"12", "12"}, {"true", "true"},
            {"[1,null]", "[1,null]"}, {"null", "null"}, {"\"\"", ""}};
    node_host_param(n, "contentType", "\"text/plain\"");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char wanted[128];
        node_host_param(n, "response", cases[i][0]);
        snprintf(wanted, sizeof wanted, "200|text/plain; charset=utf-8||%s", cases[i][1]);
        HZ_ASSERT_STR_EQ(answer(), wanted);
    }
}

HZ_TEST(http_response, adds_the_character_set_to_text_types_only)
{
    static const char *const cases[][2] = {{"image/png", "image/png"},
            {"text/html; charset=latin1", "text/html; charset=latin1"},
            {"application/problem+json", "application/problem+json; charset=utf-8"},
            {"image/svg+xml", "image/svg+xml; charset=utf-8"}, {"application/vnd.acme.v2", "application/vnd.acme.v2"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[128], wanted[128];
        snprintf(json, sizeof json, "\"%s\"", cases[i][0]);
        node_host_param(n, "contentType", json);
        snprintf(wanted, sizeof wanted, "200|%s||{}", cases[i][1]);
        HZ_ASSERT_STR_EQ(answer(), wanted);
    }
}

HZ_TEST(http_response, refuses_what_is_no_mime_type_or_status)
{
    static const char *const types[] = {"\"\"", "\"json\"", "\"/x\"", "\"text/\"", "\"text/plain\\r\\nX: 1\"",
            "\"text/plain;\\r\\nX: 1\"", "\"te xt/plain\""};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        node_host_param(n, "contentType", types[i]);
        HZ_ASSERT_STR_EQ(answer(), "500|text/plain; charset=utf-8||Error en respuesta ");
        HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"statusCode\":500,\"error\":\"Tipo de contenido inválido\"}");
    }
    node_host_param(n, "contentType", "\"text/plain\"");
    node_host_param(n, "status", "1000");
    HZ_ASSERT_STR_HAS(answer(), "500|");
    node_host_param(n, "status", "\"404\"");
    HZ_ASSERT_STR_HAS(answer(), "404|");
}

HZ_TEST(http_response, sends_no_body_where_none_belongs)
{
    node_host_param(n, "status", "204");
    HZ_ASSERT_STR_EQ(answer(), "204|-||");
    node_host_param(n, "status", "304");
    HZ_ASSERT_STR_EQ(answer(), "304|-||");
}

HZ_TEST(http_response, sends_a_download)
{
    node_host_param(n, "isFile", "true");
    node_host_param(n, "nameFile", "\"datos.json\"");
    HZ_ASSERT_STR_EQ(answer(), "200|application/json; charset=utf-8|Content-Disposition: attachment; "
                               "filename=\"datos.json\"\n|{}");
    node_host_param(n, "nameFile", "\"a\\\"b ñ.txt\"");
    HZ_ASSERT_STR_HAS(answer(), "filename=\"a\\\"b ñ.txt\"; filename*=UTF-8''a%22b%20%C3%B1.txt\n");
    node_host_param(n, "nameFile", "\"a\\r\\nX: 1\"");
    HZ_ASSERT_STR_HAS(answer(), "500|");
}

HZ_TEST(http_response, adds_the_flows_headers)
{
    node_host_param(n, "header", "{\"X-One\":\"1\",\"X-Two\":2,\"Content-Length\":99,\"X-No\":null}");
    HZ_ASSERT_STR_EQ(answer(), "200|application/json; charset=utf-8|X-One: 1\nX-Two: 2\n|{}");
    node_host_param(n, "header", "\"{\\\"content-type\\\":\\\"text/x-own\\\"}\"");
    HZ_ASSERT_STR_EQ(answer(), "200|-|content-type: text/x-own\n|{}");
    node_host_param(n, "header", "{\"X-Bad\\r\\nX-Two\":\"1\"}");
    HZ_ASSERT_STR_HAS(answer(), "500|");
    node_host_param(n, "header", "{\"X-Bad\":\"1\\nX-Two: 2\"}");
    HZ_ASSERT_STR_HAS(answer(), "500|");
    node_host_param(n, "header", "\"{broken\"");
    HZ_ASSERT_STR_HAS(answer(), "500|");
}

HZ_TEST(http_response, merges_the_webhooks_headers)
{
    node_host_upstream(n, "webhook_handler", "{}", "{\"headers\":{\"access-control-allow-origin\":\"https://a\"}}");
    HZ_ASSERT_STR_EQ(answer(), "200|application/json; charset=utf-8|access-control-allow-origin: https://a\n|{}");
    node_host_param(n, "header", "{\"Access-Control-Allow-Origin\":\"https://b\"}");
    HZ_ASSERT_STR_EQ(answer(), "200|application/json; charset=utf-8|Access-Control-Allow-Origin: https://b\n|{}");
}

HZ_TEST(http_response, needs_a_webhook_upstream)
{
    node_host_upstream(n, "webhook_handler", NULL, NULL);
    HZ_ASSERT_STR_EQ(answer(), "");
    HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"error\":\"No se encontró el nodo\"}");
}

HZ_TEST(http_response, reports_a_second_answer_on_error_only)
{
    node_host_answer_result(n, HZ_ERR_ALREADY);
    HZ_ASSERT_STR_EQ(answer(), "");
    HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"statusCode\":500,\"error\":\"La solicitud ya fue respondida\"}");
}

HZ_TEST(http_response, runs_once_a_branch)
{
    answer();
    node_host_upstream(n, "http_response", node_host_emissions(n)->data, node_host_emissions(n)->meta);
    HZ_ASSERT_STR_EQ(answer(), "");
    HZ_ASSERT_STR_EQ(node_host_only(n), "");
    node_host_upstream(n, "http_response", "{}", "{\"answeredBy\":\"another node\"}");
    HZ_ASSERT_STR_HAS(answer(), "200|");
}

HZ_TEST(http_response, answers_500_when_an_expression_failed)
{
    node_host_param_failed(n, "response", "TypeError: x");
    HZ_ASSERT_STR_EQ(answer(), "500|text/plain; charset=utf-8||Error en respuesta ");
    HZ_ASSERT_STR_EQ(node_host_only(n), "error {\"statusCode\":500,\"error\":\"TypeError: x\"}");
}
