/* exec.c - `horizon exec`, `horizon cancel`, `horizon executions`: executions of a running server, from acceptance to end. */
#include "client.h"
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- exec ---- */

static bool put_number(const struct hz_args *args, json_t *body, const char *option, const char *key, int64_t lowest, int64_t highest)
{
    int64_t value = hz_args_value(args, option) ? hz_args_number(args, option, lowest, highest, 0) : -2;
    return value != -1 && (value == -2 || json_object_set_new(body, key, json_integer(value)) == 0);
}

static bool put_text(const struct hz_args *args, json_t *body, const char *option, const char *key)
{
    const char *text = hz_args_value(args, option);
    return !text || json_object_set_new(body, key, json_string(text)) == 0;
}

/* NULL after saying why not. */
static json_t *body_of(const struct hz_args *args)
{
    json_error_t error;
    const char *input = args->words[1];
    json_t *body = json_object(), *data = input ? json_loads(input, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error) : json_object();
    if (!data)
        hz_cli_error(HZ_EXIT_USAGE, "JSON is no JSON: line %d, column %d: %s", error.line, error.column, error.text);
    bool ok = data && json_object_set_new(body, "data", data) == 0 && put_number(args, body, "--priority", "priority", 1, 9) &&
              put_number(args, body, "--delay", "delayMs", 0, INT64_C(31536000000)) &&
              put_number(args, body, "--deadline", "deadlineMs", 1, 2000000000) && put_text(args, body, "--at", "startAt") &&
              put_text(args, body, "--key", "dedupKey") &&
              json_object_set_new(body, "wait", json_boolean(hz_args_has(args, "--wait"))) == 0;
    if (ok)
        return body;
    json_decref(body);
    return NULL;
}

static const char *text_of(const json_t *object, const char *key, const char *missing)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : missing;
}

static int run_exec(const struct hz_args *args)
{
    json_t *body = body_of(args);
    if (!body)
        return HZ_EXIT_USAGE;
    struct hz_client *client = hz_client_open(hz_args_data(args));
    char *path = client ? hz_client_path("/api/v1/workflows/", args->words[0], "/executions") : NULL;
    json_t *answer = path ? hz_client_ask(client, "POST", path, json_incref(body)) : NULL;
    json_decref(body);
    free(path);
    hz_client_close(&client);
    if (!answer)
        return HZ_EXIT_FAILED;
    bool waited = hz_args_has(args, "--wait");
    int code = waited && strcmp(text_of(answer, "state", "success"), "success") != 0 ? HZ_EXIT_FAILED : HZ_EXIT_OK;
    if (waited || hz_args_has(args, "--json"))
        return hz_cli_print_json(answer) ? HZ_EXIT_FAILED : code;
    printf("%s%s\n", text_of(answer, "executionId", "?"), json_is_true(json_object_get(answer, "duplicate")) ? "  (was there)" : "");
    json_decref(answer);
    return code;
}

const struct hz_command hz_command_exec = {.name = "exec",
        .words = "WORKFLOW [JSON] [--wait] [--priority N] [--delay MS | --at TIME] [--deadline MS] [--key KEY] [--data DIR] [--json]",
        .summary = "Has a running server execute a workflow",
        .text = "JSON is the input (default {}). Prints the execution's id when it is accepted, with --wait its record when it is "
                "over (exit code\n1 unless it succeeded).",
        .options = {{"--wait", 0, NULL, "until it is over"}, {"--priority", 0, "N", "1 to 9, the most urgent; default the workflow's, or 5"},
                {"--delay", 0, "MS", "starts so much later"}, {"--at", 0, "TIME", "starts then: 2026-11-24T03:00:00Z"},
                {"--deadline", 0, "MS", "is ended so long after it was accepted, or due"},
                {"--key", 0, "KEY", "one that was accepted with this key answers instead"}, HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = 2,
        .run = run_exec};

/* ---- cancel ---- */

static int run_cancel(const struct hz_args *args)
{
    struct hz_client *client = hz_client_open(hz_args_data(args));
    int code = client ? HZ_EXIT_OK : HZ_EXIT_FAILED;
    for (int i = 0; client && i < args->count; i++) {
        char *path = hz_client_path("/api/v1/executions/", args->words[i], "/cancel");
        json_t *answer = path ? hz_client_ask(client, "POST", path, NULL) : NULL;
        free(path);
        if (!answer || (hz_args_has(args, "--json") && hz_cli_print_json(json_incref(answer))))
            code = HZ_EXIT_FAILED;
        json_decref(answer);
    }
    hz_client_close(&client);
    return code;
}

const struct hz_command hz_command_cancel = {.name = "cancel",
        .words = "ID... [--data DIR] [--json]",
        .summary = "Cancels executions of a running server",
        .text = "One that waits is over at once; one that runs ends between two node runs, and with its worker if a node does not return\n"
                "within HORIZON_STOP_GRACE.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = -1,
        .run = run_cancel};

/* ---- executions ---- */

static int run_executions(const struct hz_args *args)
{
    int64_t limit = hz_args_number(args, "--limit", 1, 1000000, 100);
    if (limit < 0)
        return HZ_EXIT_USAGE;
    struct hz_client *client = hz_client_open(hz_args_data(args));
    const char *state = hz_args_value(args, "--state");
    const char *of = args->words[0];
    char *filter = state ? hz_client_path(of ? "&state=" : "?state=", state, "") : strdup("");
    char *path = client && filter ? hz_client_path(of ? "/api/v1/executions?workflowId=" : "/api/v1/executions", of ? of : "", filter) : NULL;
    json_t *answer = path ? hz_client_list(client, path, "executions", (uint64_t)limit) : NULL;
    free(filter);
    free(path);
    hz_client_close(&client);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    static const char *const titles[] = {"ID", "WORKFLOW", "STATE", "PRIORITY", "ATTEMPT", "AGE", "ERROR"};
    struct hz_table *table = hz_table_new((int)HZ_COUNT_OF(titles), titles);
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(answer, "executions"), i, row)
    {
        char age[16];
        if (!table)
            break;
        hz_cli_span(age, hz_base_wall_ms() - hz_cli_parse_iso(text_of(row, "createdAt", "")));
        hz_table_cell(table, "%s", text_of(row, "id", "?"));
        hz_table_cell(table, "%s", text_of(row, "workflowId", "?"));
        hz_table_cell(table, "%s", text_of(row, "state", "?"));
        hz_table_cell(table, "%lld", (long long)json_integer_value(json_object_get(row, "priority")));
        hz_table_cell(table, "%lld", (long long)json_integer_value(json_object_get(row, "attempt")));
        hz_table_cell(table, "%s", age);
        hz_table_cell(table, "%.60s", text_of(json_object_get(row, "error"), "message", "-"));
    }
    json_decref(answer);
    if (!table)
        return hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    hz_table_print(&table);
    return HZ_EXIT_OK;
}

const struct hz_command hz_command_executions = {.name = "executions",
        .words = "[WORKFLOW] [--state STATE] [--limit N] [--data DIR] [--json]",
        .summary = "Lists executions of a running server, the newest first",
        .text = "STATE is queued, running, waiting (for its time), success, failed, cancelled, timed_out, crashed or interrupted.",
        .options = {{"--state", 0, "STATE", "only those in this state"}, {"--limit", 0, "N", "at most so many (default 100, at most 1000000)"},
                HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 1,
        .run = run_executions};
