/* history.c - `horizon logs` into the past: pages of the store's lines, newest first from the server, printed oldest
 * first. */
#include "history.h"

#include "client.h"

#include "core/api/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 1000, LINES = 100 };

bool hz_cli_since(const struct hz_args *args, int64_t *ret_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    const char *text = hz_args_value(args, "--since");
    if (!text)
        return true;
    size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; i < HZ_COUNT_OF(units); i++)
        if (digits > 0 && digits < 8 && text[digits] == units[i].unit && text[digits + 1] == 0) {
            *ret_ms = HZ_MAX(INT64_C(1), hz_base_wall_ms() - strtoll(text, NULL, 10) * units[i].ms);
            return true;
        }
    int64_t at = digits == 4 ? hz_api_parse_time(text) : -1;
    if (at > 0)
        *ret_ms = at;
    else
        hz_cli_error(HZ_EXIT_USAGE,
                "--since is \"%s\", expected a span as 90s, 10m, 2h, 7d, or a time as 2026-11-24T03:00:00Z", text);
    return at > 0;
}

/* Appends `&name=value`, escaped. */
static void add_query(char *query, size_t size, const char *name, const char *value)
{
    char *word = value ? hz_client_path("", value, "") : NULL;
    size_t used = strlen(query);
    if (word)
        snprintf(query + used, size - used, "&%s=%s", name, word);
    free(word);
}

static void print_line(const json_t *line)
{
    const char *time = json_string_value(json_object_get(line, "time")),
               *level = json_string_value(json_object_get(line, "level"));
    const char *workflow = json_string_value(json_object_get(line, "workflowId")),
               *worker = json_string_value(json_object_get(line, "workerId"));
    const char *text = json_string_value(json_object_get(line, "text"));
    printf("[%s] %-5s %s%s%.8s  ", time ? time : "", level ? level : "", workflow ? workflow : "", workflow ? " " : "",
            worker ? worker : "");
    for (const char *p = text ? text : ""; *p; p++) /* what comes from workers must not move the cursor */
        putchar(((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f ? ' ' : *p);
    putchar('\n');
}

/* The newest `wanted` lines, newest first, as one answer of the server. NULL: said why not. */
static json_t *collect(struct hz_client *client, const char *query, int64_t wanted)
{
    json_t *all = NULL;
    char path[2048], cursor[64] = "";
    for (;;) {
        json_t *lines = json_object_get(all, "logs");
        int64_t rest = wanted - (int64_t)json_array_size(lines);
        snprintf(path, sizeof path, "/api/v1/logs?limit=%lld%s%s%s", (long long)HZ_MIN(rest, (int64_t)PAGE), query,
                *cursor ? "&cursor=" : "", cursor);
        json_t *answer = hz_client_ask(client, "GET", path, NULL);
        bool ok = answer != NULL;
        const char *next = json_string_value(json_object_get(answer, "next"));
        snprintf(cursor, sizeof cursor, "%s", next ? next : "");
        if (ok && all) {
            ok = json_array_extend(lines, json_object_get(answer, "logs")) == 0 && json_object_set(all, "next", json_object_get(answer, "next")) == 0;
            if (!ok)
                hz_cli_error(HZ_EXIT_FAILED, "out of memory");
            json_decref(answer);
        } else if (ok) {
            all = answer;
        }
        if (!ok) {
            json_decref(all);
            return NULL;
        }
        if (!*cursor || (int64_t)json_array_size(json_object_get(all, "logs")) >= wanted)
            return all;
    }
}

int hz_cli_logs_history(const struct hz_args *args)
{
    int64_t from_ms = hz_base_wall_ms() - 86400000, lines = hz_args_number(args, "--lines", 1, 10000, LINES);
    if (lines < 0 || !hz_cli_since(args, &from_ms))
        return HZ_EXIT_USAGE;
    if (hz_args_has(args, "--follow"))
        return hz_cli_error(
                HZ_EXIT_USAGE, "--follow shows what comes; --since, --grep, --level and --workflow show what was");
    char query[1536] = "", from[24];
    snprintf(from, sizeof from, "%lld", (long long)from_ms);
    add_query(query, sizeof query, "from", from);
    add_query(query, sizeof query, "worker", args->count > 0 ? args->words[0] : NULL);
    add_query(query, sizeof query, "workflow", hz_args_value(args, "--workflow"));
    add_query(query, sizeof query, "level", hz_args_value(args, "--level"));
    add_query(query, sizeof query, "text", hz_args_value(args, "--grep"));
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    json_t *all = collect(client, query, lines);
    hz_client_close(&client);
    if (!all)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(all);
    const json_t *read = json_object_get(all, "logs");
    for (size_t i = json_array_size(read); i > 0; i--)
        print_line(json_array_get(read, i - 1));
    json_decref(all);
    return HZ_EXIT_OK;
}
