/*
 * secret.c - `horizon secret`: set, list, rm, rotate-key; by the running server over its socket, else with its files opened here. A
 * value comes from standard input, never from the command line, which everybody can read.
 */
#include "client.h"
#include "command.h"

#include "core/secrets.h"
#include "core/store.h"

#include "shm/err.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum what { SET, LIST, REMOVE, ROTATE };
struct wish {
    enum what what;
    const char *name;
    char value[HZ_SECRET_VALUE_MAX + 2];
    size_t len;
    bool json;
};

/* All of standard input, without one line end at its end. */
static int read_value(struct wish *wish)
{
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "value of %s, then Ctrl-D: ", wish->name);
    for (ssize_t n = 1; n > 0 && wish->len < sizeof wish->value;) {
        n = read(STDIN_FILENO, wish->value + wish->len, sizeof wish->value - wish->len);
        if (n < 0 && errno != EINTR)
            return hz_cli_error(HZ_EXIT_FAILED, "cannot read the value: %s", strerror(errno));
        wish->len += n > 0 ? (size_t)n : 0;
        n = n < 0 ? 1 : n;
    }
    if (wish->len > 0 && wish->value[wish->len - 1] == '\n')
        wish->len--;
    return 0;
}

static int show(json_t *list)
{
    static const char *const titles[] = {"NAME", "CHANGED"};
    size_t i;
    const json_t *row;
    struct hz_table *table = hz_table_new(2, titles);
    json_array_foreach(list, i, row) {
        char iso[HZ_ISO_TEXT];
        hz_base_iso((int64_t)json_integer_value(json_object_get(row, "updatedMs")), iso);
        hz_table_cell(table, "%s", json_string_value(json_object_get(row, "name")));
        hz_table_cell(table, "%s", iso);
    }
    hz_table_print(&table);
    json_decref(list);
    return HZ_EXIT_OK;
}

/* Of what was done, with the server's answer or one like it. Takes answer. */
static int say(const struct wish *wish, json_t *answer)
{
    int code = HZ_EXIT_OK;
    if (wish->json)
        return hz_cli_print_json(answer);
    if (wish->what == LIST)
        code = show(json_incref(json_object_get(answer, "secrets")));
    else if (wish->what == ROTATE)
        printf("%" JSON_INTEGER_FORMAT " secrets are sealed under the new key\n", json_integer_value(json_object_get(answer, "secrets")));
    json_decref(answer);
    return code;
}

static int by_server(const struct wish *wish, struct hz_client *client)
{
    static const char *const methods[] = {[SET] = "PUT", [LIST] = "GET", [REMOVE] = "DELETE", [ROTATE] = "POST"};
    json_t *answer = NULL;
    char *path = wish->what == ROTATE ? strdup("/api/v1/secret-key")
                 : wish->name         ? hz_client_path("/api/v1/secrets/", wish->name, "") : strdup("/api/v1/secrets");
    long status = path ? hz_client_call(client, methods[wish->what], path, wish->what == SET ? wish->value : NULL, wish->len, &answer) : 0;
    free(path);
    const char *detail = json_string_value(json_object_get(answer, "detail"));
    int code = HZ_EXIT_OK;
    if (status != 200)
        code = status == 0 ? HZ_EXIT_FAILED : hz_cli_error(status == 422 ? HZ_EXIT_USAGE : HZ_EXIT_FAILED, "%s", detail ? detail : "refused");
    else
        code = say(wish, json_incref(answer));
    json_decref(answer);
    return code;
}

static int here(const struct wish *wish)
{
    size_t count = 0;
    int err = 0;
    json_t *list = NULL;
    switch (wish->what) {
    case SET:
        err = hz_secrets_put(wish->name, wish->value, wish->len);
        break;
    case REMOVE:
        err = hz_secrets_remove(wish->name);
        break;
    case ROTATE:
        err = hz_secrets_rotate(&count);
        break;
    case LIST:
        list = hz_secrets_list();
        err = list ? 0 : HZ_EREFUSED;
        break;
    }
    if (!err)
        return say(wish, list ? json_pack("{s:o, s:n}", "secrets", list, "next")
                         : wish->what == ROTATE ? json_pack("{s:I}", "secrets", (json_int_t)count)
                                                : json_pack("{s:s}", "name", wish->name));
    return hz_cli_error(err == HZ_EFORMAT ? HZ_EXIT_USAGE : HZ_EXIT_FAILED, "%s", hz_err_last());
}

/* Opens the data directory as the server would, but forgets nothing: how much is kept is the server's setting, not the
 * shell's. Its lock keeps a server from starting meanwhile. */
static int alone(const struct wish *wish, const char *data_dir)
{
    struct hz_config config;
    int lock = -1, code = hz_cli_config(&config);
    if (code)
        return code;
    if (hz_config_open_data(&config, data_dir, &lock) || hz_store_open(config.data_dir, UINT32_MAX) || hz_secrets_init(config.data_dir))
        code = hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    else
        code = here(wish);
    hz_secrets_fini();
    hz_store_close();
    if (lock >= 0)
        close(lock);
    hz_config_fini(&config);
    return code;
}

static int run(const struct hz_args *args)
{
    static const struct {
        const char *word;
        int words;
    } known[] = {[SET] = {"set", 2}, [LIST] = {"list", 1}, [REMOVE] = {"rm", 2}, [ROTATE] = {"rotate-key", 1}};
    static struct wish wish;
    size_t what = 0;
    while (what < HZ_COUNT_OF(known) && strcmp(known[what].word, args->words[0]) != 0)
        what++;
    if (what == HZ_COUNT_OF(known) || args->count != known[what].words)
        return hz_cli_error(HZ_EXIT_USAGE, "expected set NAME, list, rm NAME or rotate-key");
    wish = (struct wish){.what = (enum what)what, .name = args->count > 1 ? args->words[1] : NULL, .json = hz_args_has(args, "--json")};
    if (wish.name && !hz_secrets_valid_name(wish.name))
        return hz_cli_error(HZ_EXIT_USAGE, "a secret's name is a letter or _, then letters, digits and _, at most 64 bytes");
    int code = wish.what == SET ? read_value(&wish) : 0;
    bool none = false;
    struct hz_client *client = code ? NULL : hz_client_try(hz_args_data(args), &none);
    if (!code && none)
        code = alone(&wish, hz_args_data(args));
    else if (!code)
        code = client ? by_server(&wish, client) : HZ_EXIT_FAILED;
    if (client)
        hz_client_close(&client);
    sodium_memzero(wish.value, sizeof wish.value);
    return code;
}

const struct hz_command hz_command_secret = {.name = "secret",
        .words = "set NAME | list | rm NAME | rotate-key [--data DIR] [--json]",
        .summary = "Keeps the secrets that flows name",
        .text = "set reads the value from standard input (4 to 65536 bytes of UTF-8). A flow lists the names in `secrets` and its worker, no\n"
                "other, gets the values as env.<NAME>. They are sealed under DIR/secret.key (0600), or under the credential horizon-key\n"
                "of the service manager; rotate-key seals all of them under a new key. Values are never shown. Works while a server\n"
                "runs and without; a worker that runs keeps the values it started with.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = 2,
        .run = run};
