/* token.c - `horizon token`: create, list, revoke. The token itself is shown once and kept by nobody. */
#include "accounts.h"
#include "client.h"

#include "core/access.h"

#include "shm/err.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "30" or "30d": days; "12h", "15m", "20s". Milliseconds, -1: it is none of these. */
static int64_t parse_span(const char *text)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"", 86400000}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};
    char *end;
    errno = 0;
    long long count = strtoll(text, &end, 10);
    if (end == text || errno || count < 1 || count > 4000000)
        return -1;
    for (size_t i = 0; i < HZ_COUNT_OF(units); i++)
        if (strcmp(end, units[i].unit) == 0 && count * units[i].ms <= INT64_C(36500) * 86400000)
            return count * units[i].ms;
    return -1;
}

static int create(const struct hz_args *args, struct hz_accounts *accounts, enum hz_role role, int64_t span_ms)
{
    const char *name = args->words[1], *scopes = hz_args_value(args, "--scope");
    char made[HZ_ACCESS_SECRET] = "", iso[HZ_ISO_TEXT];
    json_t *answer = NULL;
    const char *token = made;
    int64_t expires = span_ms ? hz_base_wall_ms() + span_ms : 0;
    if (accounts->client) {
        json_t *body = json_pack("{s:s, s:s, s:s*, s:o*}", "name", name, "role", hz_role_name(role), "scopes", scopes, "expiresDays",
                span_ms ? json_real((double)span_ms / 86400000.0) : NULL);
        if (!body)
            return hz_cli_error(HZ_EXIT_USAGE, "the name is not UTF-8 text");
        answer = hz_client_ask(accounts->client, "POST", "/api/v1/tokens", body);
        token = json_string_value(json_object_get(answer, "token"));
        if (!token) {
            json_decref(answer);
            return HZ_EXIT_FAILED;
        }
    } else {
        int err = hz_access_token_create(NULL, name, role, scopes, expires, made);
        if (err)
            return hz_accounts_fail(err);
        hz_accounts_note(accounts, "tokens:create", name);
        hz_base_iso(expires, iso);
        answer = json_pack("{s:s, s:s, s:s, s:s, s:s?}", "name", name, "role", hz_role_name(role), "scopes", scopes ? scopes : "", "token", token,
                "expiresAt", expires ? iso : NULL);
    }
    if (hz_args_has(args, "--json")) {
        sodium_memzero(made, sizeof made);
        return hz_cli_print_json(answer);
    }
    printf("token %s (%s), shown this once: %s\n", name, hz_role_name(role), token);
    json_decref(answer);
    sodium_memzero(made, sizeof made);
    return HZ_EXIT_OK;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : "-";
}

static int list(const struct hz_args *args, struct hz_accounts *accounts)
{
    static const char *const titles[] = {"NAME", "ROLE", "SCOPE", "CREATED", "EXPIRES", "LAST SEEN", "ID"};
    json_t *answer = accounts->client ? hz_client_ask(accounts->client, "GET", "/api/v1/tokens", NULL)
                                      : json_pack("{s:o, s:n}", "tokens", hz_access_tokens_json(NULL), "next");
    if (!answer)
        return accounts->client ? HZ_EXIT_FAILED : hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    struct hz_table *table = hz_table_new((int)HZ_COUNT_OF(titles), titles);
    size_t i;
    const json_t *row;
    if (!table) {
        json_decref(answer);
        return hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    }
    json_array_foreach(json_object_get(answer, "tokens"), i, row)
    {
        static const char *const keys[] = {"name", "role", "scopes", "createdAt", "expiresAt", "lastSeenAt", "id"};
        for (size_t k = 0; k < HZ_COUNT_OF(keys); k++)
            hz_table_cell(table, "%s", text_of(row, keys[k]));
    }
    hz_table_print(&table);
    json_decref(answer);
    return HZ_EXIT_OK;
}

static int revoke(const struct hz_args *args, struct hz_accounts *accounts)
{
    const char *which = args->words[1];
    if (!accounts->client) {
        int err = hz_access_token_revoke(NULL, which);
        if (err)
            return hz_accounts_fail(err);
        hz_accounts_note(accounts, "tokens:revoke", which);
    } else {
        json_t *answer = NULL;
        char *path = hz_client_path("/api/v1/tokens/", which, "");
        long status = path ? hz_client_call(accounts->client, "DELETE", path, NULL, 0, &answer) : 0;
        const char *detail = json_string_value(json_object_get(answer, "detail"));
        int code = status == 204 ? HZ_EXIT_OK : status == 0 ? HZ_EXIT_FAILED : hz_cli_error(HZ_EXIT_FAILED, "%s", detail ? detail : "refused");
        free(path);
        json_decref(answer);
        if (code)
            return code;
    }
    if (!hz_args_has(args, "--json")) /* REST answers 204: nothing */
        printf("token %s is revoked\n", which);
    return HZ_EXIT_OK;
}

static int run(const struct hz_args *args)
{
    const char *verb = args->words[0], *wanted = hz_args_value(args, "--role"), *expires = hz_args_value(args, "--expires");
    bool creates = strcmp(verb, "create") == 0, lists = strcmp(verb, "list") == 0, revokes = strcmp(verb, "revoke") == 0;
    enum hz_role role = HZ_ROLE_VIEWER;
    int64_t span_ms = expires ? parse_span(expires) : 0;
    if ((!creates && !lists && !revokes) || args->count != (lists ? 1 : 2))
        return hz_cli_error(HZ_EXIT_USAGE, "expected create NAME --role ROLE, list, or revoke NAME");
    if (creates && (!wanted || !hz_role_parse(wanted, &role)))
        return hz_cli_error(HZ_EXIT_USAGE, "--role: expected SuperAdmin, Admin, Manager, User or Viewer");
    if (span_ms < 0)
        return hz_cli_error(HZ_EXIT_USAGE, "--expires is \"%s\", expected days (30), or hours, minutes, seconds (12h, 15m, 20s)", expires);
    struct hz_accounts accounts;
    int code = hz_accounts_open(hz_args_data(args), NULL, &accounts);
    if (code)
        return code;
    code = creates ? create(args, &accounts, role, span_ms) : lists ? list(args, &accounts) : revoke(args, &accounts);
    hz_accounts_close(&accounts);
    return code;
}

const struct hz_command hz_command_token = {.name = "token",
        .words = "create NAME --role ROLE [--scope NAMES] [--expires SPAN] | list | revoke NAME [--data DIR] [--json]",
        .summary = "Makes and revokes tokens for programs",
        .text = "create prints the token as its last word, once: only a hash of it is kept. A program sends it as\n"
                "`Authorization: Bearer TOKEN`. ROLE is SuperAdmin, Admin, Manager, User or Viewer in any letter case; --scope narrows it to\n"
                "some permissions, separated by commas, such as workers:list,executions:*. Works while a server runs and without.",
        .options = {{"--role", 0, "ROLE", "what the token may do"},
                {"--scope", 0, "NAMES", "permissions of the role that it has (default: all)"},
                {"--expires", 0, "SPAN", "days, or 12h, 15m, 20s (default: never)"}, HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = 2,
        .run = run};
