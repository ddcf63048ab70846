/* ps.c - `horizon ps`: the workers of a running server. */
#include "client.h"
#include "command.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key, const char *missing)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : missing;
}

static void print_table(const json_t *workers)
{
    static const char *const titles[] = {
            "ID", "WORKFLOW", "VERSION", "STATUS", "PROGRESS", "PORT", "PID", "UP", "MEMORY", "RESTARTS", "IN WORK", "QUEUED"};
    struct hz_table *table = hz_table_new((int)HZ_COUNT_OF(titles), titles);
    if (!table) {
        hz_cli_error(HZ_EXIT_FAILED, "out of memory");
        return;
    }
    size_t i;
    const json_t *worker;
    json_array_foreach(workers, i, worker)
    {
        char up[16], memory[16] = "-";
        int64_t port = json_integer_value(json_object_get(worker, "port"));
        hz_cli_span(up, hz_base_wall_ms() - hz_cli_parse_iso(text_of(worker, "startTime", "")));
        if (json_is_integer(json_object_get(worker, "memoryUsage")))
            hz_cli_bytes(memory, (uint64_t)json_integer_value(json_object_get(worker, "memoryUsage")));
        hz_table_cell(table, "%.8s", text_of(worker, "id", "?"));
        hz_table_cell(table, "%s", text_of(worker, "workflowId", "?"));
        hz_table_cell(table, "%s", text_of(worker, "version", "-"));
        hz_table_cell(table, "%s", text_of(worker, "status", "?"));
        const json_t *progress = json_object_get(worker, "progress");
        const char *node = text_of(progress, "node", "");
        hz_table_cell(table, "%s%s%s%s", text_of(progress, "state", "-"), *node ? " (" : "", node, *node ? ")" : "");
        if (port)
            hz_table_cell(table, "%lld", (long long)port);
        else
            hz_table_cell(table, "-");
        hz_table_cell(table, "%lld", (long long)json_integer_value(json_object_get(worker, "processId")));
        hz_table_cell(table, "%s", up);
        hz_table_cell(table, "%s", memory);
        hz_table_cell(table, "%lld", (long long)json_integer_value(json_object_get(worker, "restarts")));
        hz_table_cell(table, "%lld", (long long)json_integer_value(json_object_get(worker, "inFlight")));
        hz_table_cell(table, "%lld", (long long)json_integer_value(json_object_get(worker, "queued")));
    }
    hz_table_print(&table);
}

static int run(const struct hz_args *args)
{
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    json_t *answer = hz_client_ask(client, "GET", "/api/v1/workers", NULL);
    hz_client_close(&client);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    const json_t *workers = json_object_get(answer, "workers");
    if (json_array_size(workers) == 0)
        puts("no worker is alive; `horizon start WORKFLOW` starts one");
    else
        print_table(workers);
    json_decref(answer);
    return HZ_EXIT_OK;
}

const struct hz_command hz_command_ps = {.name = "ps",
        .words = "[--data DIR] [--json]",
        .summary = "Lists the workers of a running server",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 0,
        .run = run};
