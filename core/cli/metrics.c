/* metrics.c - `horizon metrics`: what a worker, or the manager, used and did, second by second, from the store's
 * history. */
#include "client.h"
#include "command.h"
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double number_of(const json_t *sample, const char *key)
{
    return json_number_value(json_object_get(sample, key));
}

static void print_samples(const json_t *samples, bool manager)
{
    static const char *const worker_titles[] = {
            "TIME", "CPU", "MEMORY", "IN FLIGHT", "QUEUED", "EXECUTIONS", "FAILURES", "NODE RUNS", "P50", "P99"};
    static const char *const manager_titles[] = {"TIME", "CPU", "MEMORY", "IN FLIGHT", "QUEUED", "EXECUTIONS",
            "FAILURES", "BYTES IN", "STORE LAG", "STORE QUEUE"};
    struct hz_table *table = hz_table_new(10, manager ? manager_titles : worker_titles);
    char memory[16], bytes[16];
    size_t i;
    const json_t *sample;
    if (!table) {
        hz_cli_error(HZ_EXIT_FAILED, "out of memory");
        return;
    }
    json_array_foreach(samples, i, sample)
    {
        const char *time = json_string_value(json_object_get(sample, "time"));
        hz_cli_bytes(memory, (uint64_t)number_of(sample, "memoryBytes"));
        hz_cli_bytes(bytes, (uint64_t)number_of(sample, "bytesIn"));
        hz_table_cell(table, "%.19s", time ? time : "");
        hz_table_cell(table, "%.1f %%", number_of(sample, "cpuPercent"));
        hz_table_cell(table, "%s", memory);
        hz_table_cell(table, "%.1f", number_of(sample, "inFlight"));
        hz_table_cell(table, "%.1f", number_of(sample, "queued"));
        hz_table_cell(table, "%.0f", number_of(sample, "executions"));
        hz_table_cell(table, "%.0f", number_of(sample, "failures"));
        if (manager) {
            hz_table_cell(table, "%s", bytes);
            hz_table_cell(table, "%.0f ms", number_of(sample, "storeLagMs"));
            hz_table_cell(table, "%.0f", number_of(sample, "storePending"));
        } else {
            hz_table_cell(table, "%.0f", number_of(sample, "nodeRuns"));
            hz_table_cell(table, "%.3f ms", number_of(sample, "latencyP50Us") / 1e3);
            hz_table_cell(table, "%.3f ms", number_of(sample, "latencyP99Us") / 1e3);
        }
    }
    hz_table_print(&table);
}

static int run(const struct hz_args *args)
{
    int64_t from_ms = 0, step = 0;
    const char *word = hz_args_value(args, "--step");
    for (int i = 0; word && i < 3; i++)
        step = strcmp(word, (const char *const[]){"1", "60", "900"}[i]) == 0 ? (const int64_t[]){1, 60, 900}[i] : step;
    if (word && !step)
        return hz_cli_error(HZ_EXIT_USAGE, "--step is \"%s\", expected 1, 60 or 900 (seconds)", word);
    if (!hz_cli_since(args, &from_ms))
        return HZ_EXIT_USAGE;
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    char query[96], step_text[32] = "";
    if (step)
        snprintf(step_text, sizeof step_text, "&step=%lld", (long long)step);
    snprintf(query, sizeof query, "/metrics?from=%lld%s", (long long)(from_ms ? from_ms : hz_base_wall_ms() - 60000),
            step_text);
    char *path = hz_client_path("/api/v1/workers/", args->words[0], query);
    json_t *answer = path ? hz_client_ask(client, "GET", path, NULL) : NULL;
    free(path);
    hz_client_close(&client);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    const json_t *samples = json_object_get(answer, "samples");
    const char *id = json_string_value(json_object_get(answer, "workerId"));
    if (json_array_size(samples) == 0)
        puts("no samples of that time");
    else
        print_samples(samples, id && strcmp(id, "manager") == 0);
    if (json_is_string(json_object_get(answer, "next")))
        printf("there are more; --since with a later time, or a larger --step, shows them\n");
    json_decref(answer);
    return HZ_EXIT_OK;
}

const struct hz_command hz_command_metrics = {.name = "metrics",
        .words = "ID [--since TIME] [--step SECONDS] [--data DIR] [--json]",
        .summary = "Shows what a worker used and did, second by second",
        .text = "ID is a worker's id, the first characters of a living one's (at least 4), or manager. A worker that "
                "has ended keeps its\n"
                "samples: each second's for an hour, each minute's for a day, each quarter of an hour's for a year.",
        .options = {{"--since", 0, "TIME",
                            "a span as 90s, 10m, 2h, 7d, or a time as 2026-11-24T03:00:00Z (default 1m)"},
                {"--step", 0, "SECONDS", "1, 60 or 900 (default: the finest that is kept for the whole time)"},
                HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = 1,
        .run = run};
