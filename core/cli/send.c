/* send.c - `horizon send`: asks a worker of a running server something, and prints its answer. */
#include "client.h"
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* {"route", "data"}; NULL after saying why not. */
static json_t *message_of(const char *route, const char *data)
{
    json_error_t error;
    json_t *value = json_loads(data ? data : "{}", JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!value) {
        hz_cli_error(HZ_EXIT_USAGE, "DATA is no JSON: line %d, column %d: %s", error.line, error.column, error.text);
        return NULL;
    }
    json_t *message = json_pack("{s:s,s:o}", "route", route, "data", value);
    if (!message)
        hz_cli_error(HZ_EXIT_USAGE, "the route is not UTF-8 text");
    return message;
}

static int run(const struct hz_args *args)
{
    const char *id = args->words[0], *route = args->words[1];
    if (!*id || !*route)
        return hz_cli_error(HZ_EXIT_USAGE, "ID de worker y ruta requeridos");
    json_t *message = message_of(route, args->words[2]);
    if (!message)
        return HZ_EXIT_USAGE;
    struct hz_client *client = hz_client_open(hz_args_data(args));
    char *path = client ? hz_client_path("/api/v1/workers/", id, "/messages") : NULL;
    json_t *answer = path ? hz_client_ask(client, "POST", path, json_incref(message)) : NULL;
    json_decref(message);
    free(path);
    hz_client_close(&client);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    json_t *response = json_incref(json_object_get(answer, "response"));
    json_decref(answer);
    return hz_cli_print_json(response);
}

const struct hz_command hz_command_send = {.name = "send",
        .words = "ID ROUTE [DATA] [--data DIR] [--json]",
        .summary = "Asks a worker something and prints its answer",
        .text = "ID is a worker's id, or its first characters (at least 4). DATA is JSON (default {}). A worker answers "
                "the routes\n"
                "nodes:list, nodes:get {\"type\": \"delay\"}, system:health and worker:status, within 30 s.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 2,
        .most = 3,
        .run = run};
