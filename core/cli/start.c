/* start.c - `horizon start`: a worker with a port of its own for a workflow of a running server. */
#include "client.h"
#include "command.h"

#include <stdio.h>

static int run(const struct hz_args *args)
{
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    const char *version = hz_args_value(args, "--version");
    json_t *body = version ? json_pack("{s:s,s:s}", "workflowId", args->words[0], "version", version)
                           : json_pack("{s:s}", "workflowId", args->words[0]);
    json_t *worker = body ? hz_client_ask(client, "POST", "/api/v1/workers", body) : NULL;
    hz_client_close(&client);
    if (!body)
        return hz_cli_error(HZ_EXIT_USAGE, "the workflow's name is not UTF-8 text");
    if (!worker)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(worker);
    printf("%s  %s  port %lld\n", json_string_value(json_object_get(worker, "id")),
            json_string_value(json_object_get(worker, "workflowId")),
            (long long)json_integer_value(json_object_get(worker, "port")));
    json_decref(worker);
    return HZ_EXIT_OK;
}

const struct hz_command hz_command_start = {.name = "start",
        .words = "WORKFLOW [--version V] [--data DIR] [--json]",
        .summary = "Starts a worker for a workflow of a running server",
        .text = "Returns when the worker is ready, and prints its id and port. A flow with triggers begins to answer "
                "them.",
        .options = {{"--version", 0, "V", "version of the workflow (default: the newest)"}, HZ_OPTION_DATA,
                HZ_OPTION_JSON},
        .least = 1,
        .most = 1,
        .run = run};
