/* logs.c - `horizon logs`: the last lines of a worker; with -f also those that come, until the worker has ended. The past is history.c's. */
#include "client.h"
#include "command.h"
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLLOW_US = 250000, LINES = 100 };

/* Prints what is new; *after moves on. False: said why not. */
static bool print_lines(
        struct hz_client *client, const char *base, int64_t lines, uint64_t *after, bool json, bool *ret_found)
{
    char path[1024];
    json_t *answer = NULL;
    snprintf(path, sizeof path, "%s?lines=%lld&after=%llu", base, (long long)lines, (unsigned long long)*after);
    long status = hz_client_call(client, "GET", path, NULL, 0, &answer);
    *ret_found = status == 200;
    const char *detail = json_string_value(json_object_get(answer, "detail"));
    if (status != 200 && status != 0)
        hz_cli_error(HZ_EXIT_FAILED, "%s", detail ? detail : "the server refused");
    if (status != 200) {
        json_decref(answer);
        return false;
    }
    size_t i;
    const json_t *line, *lines_read = json_object_get(answer, "logs");
    if (json && (*after == 0 || json_array_size(lines_read) > 0))
        (void)hz_cli_print_json(json_incref(answer));
    json_array_foreach(lines_read, i, line)
        if (!json)
            puts(json_string_value(line));
    fflush(stdout);
    *after = HZ_MAX(*after, (uint64_t)json_integer_value(json_object_get(answer, "last")));
    json_decref(answer);
    return true;
}

static bool is_alive(struct hz_client *client, const char *id)
{
    json_t *answer = NULL;
    char *path = hz_client_path("/api/v1/workers/", id, "");
    long status = path ? hz_client_call(client, "GET", path, NULL, 0, &answer) : 0;
    free(path);
    json_decref(answer);
    return status == 200;
}

/* The whole id of a living worker, so that it is still known when it has ended; else the word as it is. */
static char *whole_id(struct hz_client *client, const char *word)
{
    json_t *answer = NULL;
    char *path = hz_client_path("/api/v1/workers/", word, "");
    long status = path ? hz_client_call(client, "GET", path, NULL, 0, &answer) : 0;
    const char *id = status == 200 ? json_string_value(json_object_get(answer, "id")) : NULL;
    char *copy = strdup(id ? id : word);
    json_decref(answer);
    free(path);
    return copy;
}

static int run(const struct hz_args *args)
{
    static const char *const past[] = {"--since", "--grep", "--level", "--workflow"};
    for (size_t i = 0; i < HZ_COUNT_OF(past); i++)
        if (hz_args_has(args, past[i]))
            return hz_cli_logs_history(args);
    if (args->count == 0)
        return hz_cli_error(HZ_EXIT_USAGE, "logs needs the ID of a worker, or one of --since, --grep, --level, --workflow; `horizon logs --help` explains");
    int64_t lines = hz_args_number(args, "--lines", 1, 10000, LINES);
    if (lines < 0)
        return HZ_EXIT_USAGE;
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    uint64_t after = 0;
    bool json = hz_args_has(args, "--json"), found = false;
    char *id = whole_id(client, args->words[0]), *base = id ? hz_client_path("/api/v1/workers/", id, "/logs") : NULL;
    bool ok = base && print_lines(client, base, lines, &after, json, &found);
    bool follow = ok && hz_args_has(args, "--follow");
    while (follow && !ferror(stdout)) {
        usleep(FOLLOW_US);
        follow = is_alive(client, id); /* asked first: what it said last is still fetched below */
        if (!print_lines(client, base, 10000, &after, json, &found))
            break;
    }
    free(base);
    free(id);
    hz_client_close(&client);
    return ok ? HZ_EXIT_OK : HZ_EXIT_FAILED;
}

const struct hz_command hz_command_logs = {.name = "logs",
        .words = "[ID] [-f] [-n LINES] [--since TIME] [--grep TEXT] [--level LEVEL] [--workflow ID] [--data DIR] [--json]",
        .summary = "Prints the last lines of a worker, or finds lines of all",
        .text = "ID is a worker's id, or its first characters (at least 4); the whole id also finds one of the last "
                "256 that ended. With --since, --grep, --level or --workflow the store's history is read instead: lines of all\n"
                "workers and of the manager, of the last day if --since does not say otherwise, kept for a week. There ID is a\n"
                "worker's whole id, the first characters of a living one's, or manager; without it lines of all are shown.",
        .options = {{"--follow", 'f', NULL, "go on printing until the worker has ended"},
                {"--lines", 'n', "LINES", "how many (default 100, at most 10000)"},
                {"--since", 0, "TIME", "a span as 90s, 10m, 2h, 7d, or a time as 2026-11-24T03:00:00Z"},
                {"--grep", 0, "TEXT", "lines that contain this text; upper and lower case are the same"},
                {"--level", 0, "LEVEL", "debug, info, warn or error: these and graver ones"},
                {"--workflow", 0, "ID", "lines of this workflow's workers"}, HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 1,
        .run = run};
