/* release.c - `horizon release`: a parked workflow may be started again. */
#include "client.h"
#include "command.h"

#include <stdio.h>
#include <stdlib.h>

static int list(struct hz_client *client, bool json)
{
    json_t *answer = hz_client_ask(client, "GET", "/api/v1/parked", NULL);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (json)
        return hz_cli_print_json(answer);
    const json_t *parked = json_object_get(answer, "parked"), *entry;
    size_t i;
    static const char *const titles[] = {"WORKFLOW", "PARKED FOR", "CRASH", "REASON"};
    struct hz_table *table = json_array_size(parked) > 0 ? hz_table_new((int)HZ_COUNT_OF(titles), titles) : NULL;
    if (!table) {
        puts("no workflow is parked");
        json_decref(answer);
        return HZ_EXIT_OK;
    }
    json_array_foreach(parked, i, entry) {
        char span[16];
        const char *crash = json_string_value(json_object_get(entry, "crashId")), *reason = json_string_value(json_object_get(entry, "reason"));
        hz_cli_span(span, hz_base_wall_ms() - json_integer_value(json_object_get(entry, "since")));
        const char *id = json_string_value(json_object_get(entry, "workflowId"));
        hz_table_cell(table, "%s", id ? id : "?");
        hz_table_cell(table, "%s", span);
        hz_table_cell(table, "%.8s", crash && *crash ? crash : "-");
        hz_table_cell(table, "%s", reason ? reason : "?");
    }
    hz_table_print(&table);
    json_decref(answer);
    return HZ_EXIT_OK;
}

static int run(const struct hz_args *args)
{
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    int code = HZ_EXIT_FAILED;
    if (args->count == 0) {
        code = list(client, hz_args_has(args, "--json"));
        hz_client_close(&client);
        return code;
    }
    char *path = hz_client_path("/api/v1/workflows/", args->words[0], "/release");
    json_t *answer = path ? hz_client_ask(client, "POST", path, NULL) : NULL;
    free(path);
    hz_client_close(&client);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    printf("%s is released; `horizon start %s` starts it\n", args->words[0], args->words[0]);
    json_decref(answer);
    return HZ_EXIT_OK;
}

const struct hz_command hz_command_release = {.name = "release",
        .words = "[WORKFLOW] [--data DIR] [--json]",
        .summary = "Lets a parked workflow go, or lists what is parked",
        .text = "A workflow whose resident worker ended five times within a minute is parked: nothing of it is started, also after a\n"
                "restart of the server, until it is released. Without WORKFLOW: what is parked, since when, and why.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 1,
        .run = run};
