/*
 * import.c - `horizon import`: flows into a data directory, by the running server if there is one, else with its files
 * opened here. Good flows are taken even if others are refused.
 */
#include "client.h"
#include "command.h"
#include "flow_file.h"

#include "core/catalog.h"
#include "core/policy.h"
#include "core/store.h"
#include "core/workflows.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

struct importing {
    struct hz_client *client; /* NULL: the store is open here */
    json_t *results;          /* NULL: for people */
    bool wrong, failed;
};

static void refuse(struct importing *importing, const struct hz_flow_file *file, const char *sentences, bool invalid)
{
    if (invalid)
        importing->wrong = true;
    else
        importing->failed = true;
    hz_flow_file_print_text(file, sentences);
}

/* answer: the server's, borrowed; NULL: the store is open here. */
static void done(struct importing *importing, const struct hz_flow_file *file, const char *version, json_t *answer)
{
    if (importing->results)
        json_array_append_new(importing->results,
                answer ? json_incref(answer) : json_pack("{s:s,s:s,s:s}", "id", file->id, "workflowId", file->id, "version", version));
    else
        printf("%s %s\n", file->id, version);
}

static void put_by_server(struct importing *importing, const struct hz_flow_file *file)
{
    json_t *answer = NULL;
    char *path = hz_client_path("/api/v1/workflows/", file->id, "");
    long status = path ? hz_client_call(importing->client, "PUT", path, file->text, file->len, &answer) : 0;
    const char *version = json_string_value(json_object_get(answer, "version")),
               *detail = json_string_value(json_object_get(answer, "detail"));
    if (status == 200 && version)
        done(importing, file, version, answer);
    else if (status == 0)
        importing->failed = true;
    else
        refuse(importing, file, detail ? detail : "the server refused it",
                status == 400 || status == 413 || status == 422);
    json_decref(answer);
    free(path);
}

static void put_here(struct importing *importing, const struct hz_flow_file *file)
{
    char version[32], *findings = NULL;
    int err = hz_workflows_put(file->id, file->text, file->len, "import", version, &findings);
    if (err)
        refuse(importing, file, findings && *findings ? findings : hz_err_last(),
                err == HZ_EFORMAT || err == HZ_ETOOBIG);
    else
        done(importing, file, version, NULL);
    free(findings);
}

static void import_one(const char *path, void *arg)
{
    struct importing *importing = arg;
    struct hz_flow_file file;
    if (hz_flow_file_read(&file, path)) {
        importing->wrong = true;
        hz_cli_error(HZ_EXIT_USAGE, "%s", hz_err_last());
        return;
    }
    if (!hz_workflows_valid_id(file.id, strlen(file.id)))
        refuse(importing, &file,
                "the folder's name is no workflow id (1 to 127 bytes, no .., not beginning with a dot)", true);
    else if (importing->client)
        put_by_server(importing, &file);
    else
        put_here(importing, &file);
    hz_flow_file_fini(&file);
}

static int import_all(const struct hz_args *args, struct hz_client *client)
{
    struct importing importing = {.client = client, .results = hz_args_has(args, "--json") ? json_array() : NULL};
    for (int i = 0; i < args->count; i++)
        if (hz_flow_file_each(args->words[i], import_one, &importing) <= 0) {
            importing.wrong = true;
            hz_cli_error(HZ_EXIT_USAGE, "%s holds no flow.json", args->words[i]);
        }
    if (importing.results && hz_cli_print_json(importing.results))
        return HZ_EXIT_FAILED;
    return importing.wrong ? HZ_EXIT_USAGE : importing.failed ? HZ_EXIT_FAILED : HZ_EXIT_OK;
}

/* Opens the data directory as the server would; its lock keeps a server from starting meanwhile. */
static int import_alone(const struct hz_args *args)
{
    struct hz_config config;
    int lock = -1, code = hz_cli_config(&config);
    if (code)
        return code;
    config.history = UINT32_MAX; /* how much is kept is the server's setting, not the shell's */
    config.history_days = config.store_mb = 0;
    urcu_memb_register_thread();
    if (hz_config_open_data(&config, hz_args_data(args), &lock) || hz_policy_open(&config, config.data_dir) || hz_catalog_refresh(&config) ||
            hz_workflows_open_store(&config))
        code = hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    else {
        if (hz_workflows_init(&config))
            code = hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
        else
            code = import_all(args, NULL);
        hz_workflows_fini();
        hz_store_close();
    }
    hz_policy_close();
    hz_catalog_fini();
    urcu_memb_unregister_thread();
    if (lock >= 0)
        close(lock);
    hz_config_fini(&config);
    return code;
}

static int run(const struct hz_args *args)
{
    bool alone;
    struct hz_client *client = hz_client_try(hz_args_data(args), &alone);
    if (alone)
        return import_alone(args);
    if (!client)
        return HZ_EXIT_FAILED;
    int code = import_all(args, client);
    hz_client_close(&client);
    return code;
}

const struct hz_command hz_command_import = {.name = "import",
        .words = "FILE|DIR... [--data DIR] [--json]",
        .summary = "Puts flows into a data directory",
        .text = "FILE is a flow.json, DIR a folder with one or a folder of such folders; the workflow's id is the name "
                "of the folder. Each is\n"
                "checked first; a flow that is there already gets a new version if the file differs. Works while a "
                "server runs and without.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = -1,
        .run = run};
