/* alerts.c - `horizon alerts`: what is raised, what was, silence, test. */
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

static void print_alerts(const json_t *alerts)
{
    static const char *const titles[] = {"RULE", "SUBJECT", "LEVEL", "RAISED", "CLEARED", "SILENCED UNTIL"};
    struct hz_table *table = hz_table_new((int)HZ_COUNT_OF(titles), titles);
    size_t i;
    const json_t *row;
    if (!table) {
        hz_cli_error(HZ_EXIT_FAILED, "out of memory");
        return;
    }
    json_array_foreach(alerts, i, row)
    {
        hz_table_cell(table, "%s", text_of(row, "rule"));
        hz_table_cell(table, "%s", text_of(row, "subject"));
        hz_table_cell(table, "%s", text_of(row, "level"));
        hz_table_cell(table, "%s", text_of(row, "raisedAt"));
        hz_table_cell(table, "%s", text_of(row, "clearedAt"));
        hz_table_cell(table, "%s", text_of(row, "silencedUntil"));
    }
    hz_table_print(&table);
    json_array_foreach(alerts, i, row) if (json_is_null(json_object_get(row, "clearedAt")))
            printf("\n%s, %s: %s\n  %s\n", text_of(row, "rule"), text_of(row, "subject"), text_of(row, "text"),
                    text_of(row, "look"));
}

static int list(const struct hz_args *args, struct hz_client *client)
{
    bool all = hz_args_has(args, "--all");
    json_t *answer = hz_client_ask(client, "GET", all ? "/api/v1/alerts?state=all&limit=1000" : "/api/v1/alerts", NULL);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    const json_t *alerts = json_object_get(answer, "alerts"), *row;
    size_t i;
    if (json_array_size(alerts) == 0)
        puts(all ? "no alert is kept" : "no alert is raised");
    else
        print_alerts(alerts);
    json_array_foreach(json_object_get(answer, "silences"), i, row) printf("silent: %s, %s, until %s\n",
            text_of(row, "rule"), json_is_null(json_object_get(row, "subject")) ? "all" : text_of(row, "subject"),
            text_of(row, "until"));
    json_array_foreach(json_object_get(answer, "targets"), i,
            row) if (json_integer_value(json_object_get(row, "failed")) +
                             json_integer_value(json_object_get(row, "dropped")) >
                     0) printf("%s: %lld not delivered, the last time: %s\n", text_of(row, "target"),
            (long long)(json_integer_value(json_object_get(row, "failed")) +
                        json_integer_value(json_object_get(row, "dropped"))),
            text_of(row, "lastError"));
    json_decref(answer);
    return HZ_EXIT_OK;
}

static int act(const struct hz_args *args, struct hz_client *client, const char *path, int64_t minutes)
{
    json_t *body = json_pack("{s:s, s:s*}", "rule", args->words[1], "subject", args->count > 2 ? args->words[2] : NULL);
    if (body && minutes > 0)
        (void)json_object_set_new(body, "minutes", json_integer(minutes));
    json_t *answer = hz_client_ask(client, "POST", path, body);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    const char *subject = json_string_value(json_object_get(answer, "subject"));
    if (minutes > 0)
        printf("%s, %s: silent until %s\n", text_of(answer, "rule"), subject ? subject : "all",
                text_of(answer, "until"));
    else if (strcmp(args->words[0], "test") == 0)
        printf("a test of %s is on its way to every target\n", text_of(answer, "rule"));
    else
        printf("%s, %s: no longer silent\n", text_of(answer, "rule"), subject ? subject : "all");
    json_decref(answer);
    return HZ_EXIT_OK;
}

static int run(const struct hz_args *args)
{
    static const struct {
        const char *word, *path;
        int least, most;
    } verbs[] = {{"list", NULL, 0, 1}, {"silence", "/api/v1/alerts/silence", 2, 3},
            {"unsilence", "/api/v1/alerts/unsilence", 2, 3}, {"test", "/api/v1/alerts/test", 2, 2}};
    size_t verb = 0;
    while (verb < HZ_COUNT_OF(verbs) && args->count > 0 && strcmp(verbs[verb].word, args->words[0]) != 0)
        verb++;
    if (verb == HZ_COUNT_OF(verbs) || args->count < verbs[verb].least || args->count > verbs[verb].most)
        return hz_cli_error(HZ_EXIT_USAGE,
                "alerts: expected list, silence RULE [SUBJECT] --for MINUTES, unsilence RULE [SUBJECT], or test RULE");
    bool silence = verb == 1;
    if (silence != hz_args_has(args, "--for"))
        return hz_cli_error(HZ_EXIT_USAGE,
                silence ? "alerts silence: --for MINUTES is missing" : "alerts: --for is for silence alone");
    int64_t minutes = silence ? hz_args_number(args, "--for", 1, 527040, 0) : 0;
    if (minutes < 0)
        return HZ_EXIT_USAGE;
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    int code = verb == 0 ? list(args, client) : act(args, client, verbs[verb].path, minutes);
    hz_client_close(&client);
    return code;
}

const struct hz_command hz_command_alerts = {.name = "alerts",
        .words = "[list [--all] | silence RULE [SUBJECT] --for MINUTES | unsilence RULE [SUBJECT] | test RULE] [--data "
                 "DIR] [--json]",
        .summary = "Lists alerts, silences them, tests who is told of them",
        .text = "Rules: worker-down, parked, memory, queue-age, error-rate, disk, store-lag, store-degraded, recovery. "
                "A subject is "
                "workflow:ID, host,\ndata, /dev/shm, store or manager. What is silent is kept and listed; nobody is "
                "told of it until the "
                "silence is over.\nDIR/alerts.json has thresholds, times, web hook and command.",
        .options = {{"--all", 0, NULL, "also what is over, newest first"},
                {"--for", 0, "MINUTES", "how long it is silent, 1 to 527040"}, HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 3,
        .run = run};
