/* login.c - `horizon login`: an address with a one-time code; `horizon audit`: who did what. */
#include "client.h"
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int log_in(const struct hz_args *args)
{
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    json_t *body = args->count ? json_pack("{s:s}", "email", args->words[0]) : json_object();
    json_t *answer = body ? hz_client_ask(client, "POST", "/api/v1/login-codes", body) : NULL;
    hz_client_close(&client);
    if (!body)
        return hz_cli_error(HZ_EXIT_USAGE, "the mail address is not UTF-8 text");
    const char *url = json_string_value(json_object_get(answer, "url"));
    if (url && hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    if (url)
        printf("%s\n", url);
    json_decref(answer);
    return url ? HZ_EXIT_OK : HZ_EXIT_FAILED;
}

const struct hz_command hz_command_login = {.name = "login",
        .words = "[MAIL] [--data DIR] [--json]",
        .summary = "Prints an address that logs a browser in",
        .text = "The address carries a code that is good once and for ten minutes. MAIL is the account, by default the administrator.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 1,
        .run = log_in};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : "-";
}

static void print_audit(const json_t *rows)
{
    static const char *const titles[] = {"TIME", "WHO", "BY", "FROM", "WHAT", "STATUS", "TARGET"};
    struct hz_table *table = hz_table_new((int)HZ_COUNT_OF(titles), titles);
    if (!table) {
        hz_cli_error(HZ_EXIT_FAILED, "out of memory");
        return;
    }
    for (size_t i = json_array_size(rows); i-- > 0;) { /* the newest last, where people look */
        const json_t *row = json_array_get(rows, i);
        static const char *const keys[] = {"at", "user", "kind", "address", "action"};
        for (size_t k = 0; k < HZ_COUNT_OF(keys); k++)
            hz_table_cell(table, "%s", text_of(row, keys[k]));
        hz_table_cell(table, "%lld", (long long)json_integer_value(json_object_get(row, "status")));
        hz_table_cell(table, "%s", text_of(row, "target"));
    }
    hz_table_print(&table);
}

static int show(const struct hz_args *args)
{
    int64_t lines = hz_args_number(args, "--lines", 1, 1000, 50);
    if (lines < 0)
        return HZ_EXIT_USAGE;
    struct hz_client *client = hz_client_open(hz_args_data(args));
    if (!client)
        return HZ_EXIT_FAILED;
    const char *user = hz_args_value(args, "--user"), *action = hz_args_value(args, "--action");
    char start[64];
    snprintf(start, sizeof start, "/api/v1/audit?limit=%lld", (long long)lines);
    char *one = user ? hz_client_path("&user=", user, "") : strdup(""), *two = action ? hz_client_path("&action=", action, "") : strdup("");
    char *path = NULL;
    json_t *answer = one && two && asprintf(&path, "%s%s%s", start, one, two) >= 0 ? hz_client_ask(client, "GET", path, NULL) : NULL;
    free(one);
    free(two);
    free(path);
    hz_client_close(&client);
    if (!answer)
        return HZ_EXIT_FAILED;
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    print_audit(json_object_get(answer, "audit"));
    json_decref(answer);
    return HZ_EXIT_OK;
}

const struct hz_command hz_command_audit = {.name = "audit",
        .words = "[--lines N] [--user MAIL] [--action NAME] [--data DIR] [--json]",
        .summary = "Shows who did what",
        .text = "Each change that somebody asked for, allowed or refused, each login, and who was refused what he wanted to see. The newest\n"
                "100,000 rows are kept.",
        .options = {{"--lines", 'n', "N", "how many, the newest (default 50)"}, {"--user", 0, "MAIL", "of one account"},
                {"--action", 0, "NAME", "of one kind, such as workers:stop or auth:login"}, HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 0,
        .run = show};
