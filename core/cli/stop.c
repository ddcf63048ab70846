/* stop.c - `horizon stop` and `horizon restart`: each returns when it is done, and says how. */
#include "client.h"
#include "command.h"

#include <stdio.h>
#include <stdlib.h>

/* The answer to POST /workers/ID/<verb>, NULL after saying why not. */
static json_t *tell(const struct hz_args *args, const char *verb)
{
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return NULL;
    char *path = hz_client_path("/api/v1/workers/", args->words[0], verb);
    json_t *answer = path ? hz_client_ask(client, "POST", path, NULL) : NULL;
    free(path);
    hz_client_close(&client);
    return answer;
}

static int stop(const struct hz_args *args)
{
    json_t *answer = tell(args, "/stop");
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    printf("%s stopped (%s)\n", json_string_value(json_object_get(answer, "workerId")),
            json_string_value(json_object_get(answer, "how")));
    json_decref(answer);
    return HZ_EXIT_OK;
}

static int restart(const struct hz_args *args)
{
    json_t *answer = tell(args, "/restart");
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    printf("%s  %s  port %lld\n", json_string_value(json_object_get(answer, "id")),
            json_string_value(json_object_get(answer, "workflowId")),
            (long long)json_integer_value(json_object_get(answer, "port")));
    json_decref(answer);
    return HZ_EXIT_OK;
}

const struct hz_command hz_command_stop = {.name = "stop",
        .words = "ID [--data DIR] [--json]",
        .summary = "Stops a worker and waits until it is gone",
        .text = "ID is a worker's id, or its first characters (at least 4). The answer says what ended it: flag (at "
                "once, when it was\n"
                "told), grace (within the 5 s it is given), kill (afterwards, by SIGKILL).",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = 1,
        .run = stop};

const struct hz_command hz_command_restart = {.name = "restart",
        .words = "ID [--data DIR] [--json]",
        .summary = "Stops a worker and starts its workflow again",
        .text = "ID is a worker's id, or its first characters (at least 4). Prints the id and port of the new worker.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = 1,
        .run = restart};
