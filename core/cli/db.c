/*
 * db.c - `horizon db`: the store's file checked, copied, replaced, measured. check, backup and stats read the file beside a running
 * server, each one snapshot of it; restore needs the data directory to itself.
 */
#include "command.h"

#include "core/config.h"
#include "core/store.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *text, void *arg)
{
    (void)arg;
    printf("%s\n", text);
}

static int fail(void)
{
    return hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
}

static int check(const char *file)
{
    if (hz_store_check(file, say, NULL))
        return fail();
    printf("%s is sound\n", file);
    return HZ_EXIT_OK;
}

static int back_up(const char *file, const char *target)
{
    if (hz_store_copy(file, target))
        return fail();
    printf("%s holds a copy of %s\n", target, file);
    return HZ_EXIT_OK;
}

static int restore(const char *data, const char *file)
{
    struct hz_config config;
    int lock = -1, code = hz_cli_config(&config);
    if (code)
        return code;
    if (hz_config_open_data(&config, data, &lock))
        code = hz_cli_error(HZ_EXIT_FAILED, "%s; stop the server before its store is replaced", hz_err_last());
    else if (hz_store_restore(config.data_dir, file))
        code = fail();
    else
        printf("%s/horizon.db is the copy of %s; what was there is kept as horizon.db.before-restore\n", config.data_dir, file);
    if (lock >= 0)
        close(lock);
    hz_config_fini(&config);
    return code;
}

static int stats(const struct hz_args *args, const char *data)
{
    static const struct {
        const char *key, *title;
    } sizes[] = {{"bytes", "file"}, {"walBytes", "log"}, {"freeBytes", "free in it"}};
    json_t *all = hz_store_file_stats(data);
    if (!all)
        return fail();
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(all);
    printf("%-12s %s\n", "store", json_string_value(json_object_get(all, "file")));
    printf("%-12s %lld\n", "schema", (long long)json_integer_value(json_object_get(all, "schema")));
    for (size_t i = 0; i < HZ_COUNT_OF(sizes); i++) {
        char text[16];
        hz_cli_bytes(text, (uint64_t)json_integer_value(json_object_get(all, sizes[i].key)));
        printf("%-12s %s\n", sizes[i].title, text);
    }
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(all, "rows"), key, value)
        printf("%-12s %lld\n", key, (long long)json_integer_value(value));
    json_decref(all);
    return HZ_EXIT_OK;
}

static int run(const struct hz_args *args)
{
    static const struct {
        const char *verb;
        int least, most;
    } verbs[] = {{"check", 1, 2}, {"backup", 2, 2}, {"restore", 2, 2}, {"stats", 1, 1}};
    const char *verb = args->words[0], *data = hz_args_data(args);
    size_t which = 0;
    while (which < HZ_COUNT_OF(verbs) && strcmp(verb, verbs[which].verb) != 0)
        which++;
    if (which == HZ_COUNT_OF(verbs))
        return hz_cli_error(HZ_EXIT_USAGE, "there is no `horizon db %s`; expected check, backup FILE, restore FILE or stats", verb);
    if (args->count < verbs[which].least || args->count > verbs[which].most)
        return hz_cli_error(HZ_EXIT_USAGE, "horizon db %s %s", verb, verbs[which].least == 2 ? "needs one file" : "takes no such word");
    if (which == 2)
        return restore(data, args->words[1]);
    if (which == 3)
        return stats(args, data);
    char *file = NULL;
    if (asprintf(&file, "%s/horizon.db", data) < 0)
        return hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    int code;
    if (which == 0)
        code = check(args->count == 2 ? args->words[1] : file);
    else if (access(file, R_OK))
        code = hz_cli_error(HZ_EXIT_FAILED, "%s holds no store (horizon.db)", data);
    else
        code = back_up(file, args->words[1]);
    free(file);
    return code;
}

const struct hz_command hz_command_db = {.name = "db",
        .words = "check [FILE] | backup FILE | restore FILE | stats [--data DIR] [--json]",
        .summary = "Checks, copies, replaces, measures the store",
        .text = "check looks at every page and every checksum of the store (or of a copy); backup copies it while the server runs;\n"
                "restore puts a checked copy in its place (the server must be stopped; the old file is kept); stats says how\n"
                "large it is and how many rows it has.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = 2,
        .run = run};
