/* dead.c - `horizon dead`: executions that failed for good, listed and driven again. */
#include "client.h"
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

static void print_table(const json_t *executions)
{
    static const char *const titles[] = {"ID", "WORKFLOW", "STATE", "ATTEMPTS", "ENDED", "ERROR"};
    struct hz_table *table = hz_table_new((int)HZ_COUNT_OF(titles), titles);
    size_t i;
    const json_t *row;
    if (!table) {
        hz_cli_error(HZ_EXIT_FAILED, "out of memory");
        return;
    }
    json_array_foreach(executions, i, row)
    {
        hz_table_cell(table, "%s", text_of(row, "id"));
        hz_table_cell(table, "%s", text_of(row, "workflowId"));
        hz_table_cell(table, "%s", text_of(row, "state"));
        hz_table_cell(table, "%lld", (long long)json_integer_value(json_object_get(row, "attempt")));
        hz_table_cell(table, "%s", text_of(row, "endedAt"));
        hz_table_cell(table, "%.60s", text_of(json_object_get(row, "error"), "message"));
    }
    hz_table_print(&table);
}

static int list(const struct hz_args *args, struct hz_client *client)
{
    json_t *answer = hz_client_list(client, "/api/v1/dead", "executions", UINT64_MAX);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    const json_t *executions = json_object_get(answer, "executions");
    if (json_array_size(executions) == 0)
        puts("no dead letters");
    else
        print_table(executions);
    json_decref(answer);
    return HZ_EXIT_OK;
}

static int redrive(const struct hz_args *args, struct hz_client *client, const char *id)
{
    char *path = hz_client_path("/api/v1/dead/", id, "/redrive");
    json_t *answer = path ? hz_client_ask(client, "POST", path, NULL) : NULL;
    free(path);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    printf("%s runs again as %s\n", text_of(answer, "deadId"), text_of(answer, "executionId"));
    json_decref(answer);
    return HZ_EXIT_OK;
}

static int run(const struct hz_args *args)
{
    const char *verb = args->words[0];
    bool drive = verb && strcmp(verb, "redrive") == 0;
    if (verb && !drive)
        return hz_cli_error(HZ_EXIT_USAGE, "dead %s: expected redrive ID, or nothing for the list", verb);
    if (drive && !args->words[1])
        return hz_cli_error(HZ_EXIT_USAGE, "dead redrive: expected the id of a dead letter");
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    int code = drive ? redrive(args, client, args->words[1]) : list(args, client);
    hz_client_close(&client);
    return code;
}

const struct hz_command hz_command_dead = {.name = "dead",
        .words = "[redrive ID] [--data DIR] [--json]",
        .summary = "Lists executions that failed for good; runs one again",
        .text = "A flow with properties.horizon.retry keeps what fails after its last attempt as a dead letter. redrive "
                "runs its input\nagain, as a new execution of the newest version.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 2,
        .run = run};
