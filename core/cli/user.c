/* user.c - `horizon user`: add, list, password, role, disable, enable. Passwords come from standard input, never from the command line. */
#include "accounts.h"
#include "client.h"

#include "core/access.h"

#include "shm/err.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum what { ADD, LIST, PASSWORD, ROLE, DISABLE, ENABLE, WHATS };

/* The account as REST shows it. NULL: it is not there, or no memory. */
static json_t *account_here(const char *who)
{
    json_t *list = hz_access_users_json(NULL), *row, *found = NULL;
    size_t i;
    json_array_foreach(list, i, row)
    {
        const char *id = json_string_value(json_object_get(row, "id")), *email = json_string_value(json_object_get(row, "email"));
        if (!found && ((id && strcmp(id, who) == 0) || (email && strcasecmp(email, who) == 0)))
            found = json_incref(row);
    }
    json_decref(list);
    return found;
}

static int add(const struct hz_args *args, struct hz_accounts *accounts, enum hz_role role, const char *password)
{
    const char *email = args->words[1], *name = hz_args_value(args, "--name");
    json_t *answer = NULL;
    struct hz_uuid id;
    if (!accounts->client) {
        int err = hz_access_user_add(NULL, email, name, role, password, &id);
        if (err)
            return hz_accounts_fail(err);
        hz_accounts_note(accounts, "users:create", email);
        answer = account_here(email);
    } else {
        json_t *body = json_pack(
                "{s:s, s:s, s:s, s:s*}", "email", email, "role", hz_role_name(role), "password", password, "name", name);
        if (!body)
            return hz_cli_error(HZ_EXIT_USAGE, "mail, name and password are UTF-8 text");
        answer = hz_client_ask(accounts->client, "POST", "/api/v1/users", body);
        if (!answer)
            return HZ_EXIT_FAILED;
    }
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    json_decref(answer);
    printf("%s is an account (%s)\n", email, hz_role_name(role));
    return HZ_EXIT_OK;
}

static int change(const struct hz_args *args, struct hz_accounts *accounts, const struct hz_user_change *wanted, json_t **ret_answer)
{
    const char *email = args->words[1];
    if (!accounts->client) {
        int err = hz_access_user_change(NULL, email, wanted);
        if (err)
            return hz_accounts_fail(err);
        hz_accounts_note(accounts, "users:update", email);
        *ret_answer = account_here(email);
        return HZ_EXIT_OK;
    }
    json_t *body = json_pack("{s:s*, s:s*, s:o*}", "password", wanted->password, "role",
            wanted->role >= 0 ? hz_role_name((enum hz_role)wanted->role) : NULL, "active", wanted->active >= 0 ? json_boolean(wanted->active) : NULL);
    char *path = hz_client_path("/api/v1/users/", email, "");
    json_t *answer = body && path ? hz_client_ask(accounts->client, "PATCH", path, body) : NULL;
    int code = answer ? HZ_EXIT_OK : body && path ? HZ_EXIT_FAILED : hz_cli_error(HZ_EXIT_USAGE, "the password is not UTF-8 text");
    free(path);
    *ret_answer = answer;
    return code;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : "-";
}

static int list(const struct hz_args *args, struct hz_accounts *accounts)
{
    static const char *const titles[] = {"MAIL", "NAME", "ROLE", "STATUS", "LAST LOGIN", "ID"};
    json_t *answer = accounts->client ? hz_client_ask(accounts->client, "GET", "/api/v1/users", NULL)
                                      : json_pack("{s:o, s:n}", "users", hz_access_users_json(NULL), "next");
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
    json_array_foreach(json_object_get(answer, "users"), i, row)
    {
        hz_table_cell(table, "%s", text_of(row, "email"));
        hz_table_cell(table, "%s", text_of(row, "name"));
        hz_table_cell(table, "%s", text_of(json_object_get(row, "role"), "name"));
        hz_table_cell(table, "%s", text_of(row, "status"));
        hz_table_cell(table, "%s", text_of(row, "lastLoginAt"));
        hz_table_cell(table, "%s", text_of(row, "id"));
    }
    hz_table_print(&table);
    json_decref(answer);
    return HZ_EXIT_OK;
}

static int act(const struct hz_args *args, enum what what, struct hz_accounts *accounts, enum hz_role role, const char *password)
{
    static const char *const said[WHATS] = {[PASSWORD] = "has a new password; its sessions have ended", [ROLE] = "has the role",
            [DISABLE] = "is disabled; its sessions and tokens have ended", [ENABLE] = "is active again"};
    struct hz_user_change wanted = {.role = what == ROLE ? (int)role : -1, .active = what == DISABLE ? 0 : what == ENABLE ? 1 : -1,
            .password = what == PASSWORD ? password : NULL};
    if (what == LIST)
        return list(args, accounts);
    if (what == ADD)
        return add(args, accounts, role, password);
    json_t *answer = NULL;
    int code = change(args, accounts, &wanted, &answer);
    if (code == HZ_EXIT_OK && hz_args_has(args, "--json"))
        return hz_cli_print_json(answer);
    json_decref(answer);
    if (code == HZ_EXIT_OK)
        printf("%s %s%s%s\n", args->words[1], said[what], what == ROLE ? " " : "", what == ROLE ? hz_role_name(role) : "");
    return code;
}

static int run(const struct hz_args *args)
{
    static const struct {
        const char *word;
        int words;
    } known[WHATS] = {[ADD] = {"add", 2}, [LIST] = {"list", 1}, [PASSWORD] = {"password", 2}, [ROLE] = {"role", 3}, [DISABLE] = {"disable", 2},
            [ENABLE] = {"enable", 2}};
    char password[1026] = "";
    enum hz_role role = HZ_ROLE_USER;
    size_t what = 0;
    while (what < WHATS && strcmp(known[what].word, args->words[0]) != 0)
        what++;
    if (what == WHATS || args->count != known[what].words)
        return hz_cli_error(HZ_EXIT_USAGE, "expected add MAIL --role ROLE, list, password MAIL, role MAIL ROLE, disable MAIL or enable MAIL");
    const char *wanted = what == ADD ? hz_args_value(args, "--role") : what == ROLE ? args->words[2] : "User";
    if (!wanted || !hz_role_parse(wanted, &role))
        return hz_cli_error(HZ_EXIT_USAGE, "the role is one of SuperAdmin, Admin, Manager, User, Viewer");
    bool reads = what == ADD || what == PASSWORD;
    int code = reads ? hz_accounts_password(args->words[1], password) : 0;
    if (code)
        return code;
    struct hz_accounts accounts;
    bool first = what == PASSWORD && strcmp(args->words[1], HZ_ACCESS_ADMIN) == 0;
    code = hz_accounts_open(hz_args_data(args), first ? password : NULL, &accounts);
    if (!code) {
        code = act(args, (enum what)what, &accounts, role, password);
        hz_accounts_close(&accounts);
    }
    sodium_memzero(password, sizeof password);
    return code;
}

const struct hz_command hz_command_user = {.name = "user",
        .words = "add MAIL --role ROLE | list | password MAIL | role MAIL ROLE | disable MAIL | enable MAIL [--data DIR] [--json]",
        .summary = "Keeps the accounts of people",
        .text = "add and password read the password from standard input (8 to 1024 bytes). A new password ends the account's sessions, disable\n"
                "also its tokens. ROLE is SuperAdmin, Admin, Manager, User or Viewer in any letter case. Works while a server runs and\n"
                "without.",
        .options = {{"--role", 0, "ROLE", "role of the new account"}, {"--name", 0, "NAME", "name for people (default: the mail's first part)"},
                HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = 3,
        .run = run};
