/*
 * test_builtin.c - what the built-in nodes say of themselves: names, groups, connectors, flags, every property with
 * type, default and options, as flows and clients rely on them.
 */
#include "node_host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* title|group|inputs|outputs|flags, then one line a property: key type default [h: hidden] [= options]. `*` is any. */
struct wanted {
    const char *type, *info;
    const char *const *properties;
};

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* whole lines, because neighbouring literals in a list look like a missing comma */
#define CONTENT_TYPES                                                                                                  \
    "responseContentType options \"application/json\" h = \"application/json\" \"text/html\" \"text/plain\" "          \
    "\"application/xml\""
#define STATUS_CODES                                                                                                   \
    "status options 200 = 100 101 200 201 202 204 206 300 301 302 304 307 308 400 401 403 404 405 409 410 429 500 "    \
    "501 503 504"

static const struct wanted nodes[] = {
        {"workflow_init", "Iniciador|Triggers||init|20",
                LINES("typeExec options \"local\" = \"local\" \"global\"", "schema code *",
                        "valueDefault code \"{\\n}\"")},
        {"webhook_handler", "Webhook|Triggers|input|response,error|5",
                LINES("url box *", "endpoint string \"/\"",
                        "type options \"get\" = \"get\" \"post\" \"patch\" \"put\" \"delete\"", "timeout number 50",
                        "security options \"null\" = \"null\" \"basic\" \"jwt\" \"bearer\"",
                        "securityBasicUser string \"\" h", "securityBasicPass string \"\" h",
                        "securityBearerToken string \"\" h", "securityJWTSecret string \"\" h",
                        "advancedOptions switch false", "enableRedirect switch false h", "redirectUrl string \"\" h",
                        "redirectStatusCode options 302 h = 301 302 303 307 308", "enableProxy switch false h",
                        "proxyUrl string \"\" h", "proxyPreserveHeaders switch true h", "enableCors switch false h",
                        "corsOrigin string \"*\" h", "corsMethods string \"GET,POST,PUT,DELETE,OPTIONS\" h",
                        "corsHeaders string \"Content-Type,Authorization\" h", "customResponse switch false h",
                        "responseStatusCode number 200 h", (CONTENT_TYPES),
                        "responseBody code \"{\\n  \\\"success\\\": true\\n}\" h")},
        {"http_response", "Response|Input/Output|input|response,error|4",
                LINES("contentType options \"application/json\" = *", (STATUS_CODES), "isFile switch false",
                        "nameFile string \"\" h", "response code \"{\\n}\"", "header code \"{\\n}\"")},
        {"http_request", "Request|Input/Output|input|response,error|4",
                LINES("type options \"get\" = \"get\" \"post\" \"put\" \"delete\"", "url string \"\"",
                        "contentType string \"application/json\"", "headers code \"{\\n}\"", "body code \"{\\n}\"")},
        {"data_transformer", "Data Transformer|Utilities|input|output,error|20",
                LINES("mapping code *", "helperFunctions code *")},
        {"conditional", "Conditional|Control Flow / Logic|input|error|22", LINES("conditions list []")},
        {"iteration", "Iteration|Procesamiento|init,add,next,finish|response,finish,error|22",
                LINES("valor code \"{{input.data}}\"")},
        {"parallelism", "Parallelism|Procesamiento|input|response,error|22",
                LINES("type options \"allParallel\" = \"allParallel\" \"firstParallel\"")},
        {"delay", "Delay|Timer|input|response|20", LINES("delay number 3")},
        {"console_output", "Console|Utilities|input|response|4", LINES("delay switch false")},
        {"manual_trigger", "Event Manual|Integrations|input|response|20", LINES("delay switch false")},
        {"validator", "Validación|Utilities|input|valid,invalid,error|20",
                LINES("inputPath string \"\"", "validationSchema code *", "errorDetails switch true",
                        "customKeywords code *", "advancedOptions switch false", "customErrorMessages switch true h",
                        "globalErrorMessages code * h")},
        {"cache", "Cache|Utilities|get,set|response,noExist|6",
                LINES("key string \"\"", "stdTTL number 600", "checkperiod number 120")},
};

#define EACH                                                                                                           \
    for (const struct wanted *w = nodes; w < nodes + sizeof nodes / sizeof nodes[0]; w++)                              \
        for (struct node_host *host = node_host_open(w->type); host; node_host_close(&host))

static void join(char *to, size_t size, const char *const *names)
{
    to[0] = 0;
    for (; names && *names; names++) {
        size_t used = strlen(to);
        snprintf(to + used, size - used, "%s%s", used ? "," : "", *names);
    }
}

HZ_TEST(builtin, names_groups_connectors_and_flags)
{
    EACH
    {
        const struct hz_node_desc *d = node_host_desc(host);
        char inputs[256], outputs[256], info[1024];
        join(inputs, sizeof inputs, d->inputs);
        join(outputs, sizeof outputs, d->outputs);
        snprintf(info, sizeof info, "%s|%s|%s|%s|%u", d->title, d->group, inputs, outputs, d->flags);
        HZ_ASSERT_STR_EQ(d->type, w->type);
        HZ_ASSERT_STR_EQ(info, w->info);
        HZ_ASSERT_EQ(d->caps, strcmp(w->type, "http_request") == 0 ? HZ_CAP_NET : 0);
    }
}

HZ_TEST(builtin, have_description_glyph_colour_and_licence)
{
    EACH
    {
        const struct hz_node_desc *d = node_host_desc(host);
        HZ_ASSERT_TRUE(d->desc && d->desc[0] && d->author && d->license);
        HZ_ASSERT_STR_EQ(d->version, HZ_VERSION);
        HZ_ASSERT_TRUE(strlen(d->color) == 7 && d->color[0] == '#' && strspn(d->color + 1, "0123456789ABCDEF") == 6);
        /* one character of the private plane the icon font uses: F3 Bx in UTF-8 */
        HZ_ASSERT_EQ(strlen(d->icon), 4);
        HZ_ASSERT_TRUE((unsigned char)d->icon[0] == 0xf3 && (unsigned char)d->icon[1] >= 0xb0);
    }
}

/* The property as a line of the table above; default and options as compact JSON. */
static void describe(const struct hz_property *p, const char *line, char *to, size_t size)
{
    const char *error = NULL;
    hz_value *value = hz_value_parse(p->value, strlen(p->value), &error), *extra = NULL;
    HZ_ASSERT_NOT_NULL(value);
    struct hz_buffer text = {0};
    hz_value_print(&text, value);
    snprintf(to, size, "%s %s %s", p->key, p->type, strstr(line, " *") ? "*" : text.data);
    if (strstr(line, " = *"))
        snprintf(to, size, "%s %s %s", p->key, p->type, text.data);
    hz_buffer_fini(&text);
    hz_value_unref(value);
    HZ_ASSERT_TRUE(p->name && p->name[0]);
    if (p->extra) {
        extra = hz_value_parse(p->extra, strlen(p->extra), &error);
        HZ_ASSERT_EQ(hz_value_type(extra), HZ_OBJECT);
        if (hz_value_get(extra, "show", 4))
            strncat(to, hz_value_truthy(hz_value_get(extra, "show", 4)) ? "" : " h", size - strlen(to) - 1);
        hz_value_unref(extra);
    }
    if (!p->options)
        return;
    strncat(to, " =", size - strlen(to) - 1);
    if (strstr(line, " = *"))
        strncat(to, " *", size - strlen(to) - 1);
    hz_value *options = hz_value_parse(p->options, strlen(p->options), &error);
    HZ_ASSERT_EQ(hz_value_type(options), HZ_ARRAY);
    for (size_t i = 0; i < hz_value_length(options); i++) {
        const hz_value *option = hz_value_at(options, i);
        HZ_ASSERT_EQ(hz_value_type(hz_value_get(option, "label", 5)), HZ_STRING);
        struct hz_buffer one = {0};
        hz_value_print(&one, hz_value_get(option, "value", 5));
        if (!strstr(line, " = *")) {
            strncat(to, " ", size - strlen(to) - 1);
            strncat(to, one.data, size - strlen(to) - 1);
        }
        hz_buffer_fini(&one);
    }
    hz_value_unref(options);
}

HZ_TEST(builtin, every_property_has_its_type_default_and_options)
{
    EACH
    {
        const struct hz_property *p = node_host_desc(host)->properties;
        for (const char *const *line = w->properties; *line; line++, p++) {
            char text[1024];
            HZ_ASSERT_TRUE(p && p->key);
            if (!p)
                return;
            describe(p, *line, text, sizeof text);
            HZ_ASSERT_STR_EQ(text, *line);
        }
        HZ_ASSERT_TRUE(p && !p->key);
    }
}

HZ_TEST(builtin, code_properties_name_their_language)
{
    EACH for (const struct hz_property *p = node_host_desc(host)->properties; p->key;
              p++) if (strcmp(p->type, "code") == 0) HZ_ASSERT_STR_HAS(p->extra, "\"lang\":\"");
}

HZ_TEST(builtin, the_media_types_are_many_and_none_is_twice)
{
    struct node_host *host = node_host_open("http_response");
    const char *error = NULL, *text = node_host_desc(host)->properties[0].options;
    hz_value *options = hz_value_parse(text, strlen(text), &error);
    HZ_ASSERT_GE(hz_value_length(options), 150);
    for (size_t i = 0; i < hz_value_length(options); i++)
        for (size_t j = 0; j < i; j++)
            HZ_ASSERT_FALSE(hz_value_equal(hz_value_at(options, i), hz_value_at(options, j)));
    HZ_ASSERT_STR_HAS(node_host_desc(host)->properties[0].extra, "\"custom\":true");
    hz_value_unref(options);
    node_host_close(&host);
}
