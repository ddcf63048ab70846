/* check.c - `horizon check`: are these flows right? Strict: unknown types and connections that lead nowhere are errors
 * too. */
#include "command.h"
#include "flow_file.h"

#include "core/catalog.h"
#include "core/policy.h"

#include "shm/err.h"

#include <stdio.h>
#include <string.h>
#include <urcu/urcu-memb.h>

struct checking {
    const struct hz_config *config;
    json_t *results; /* NULL: for people */
    bool wrong, failed;
};

static void add_failure(struct checking *checking, const char *path)
{
    checking->wrong = true;
    if (!checking->results) {
        hz_cli_error(HZ_EXIT_USAGE, "%s", hz_err_last());
        return;
    }
    json_t *finding = json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:i}", "severity", "error", "node", "", "property", "",
            "message", hz_err_last(), "expected", "", "line", 0, "column", 0);
    json_array_append_new(checking->results, json_pack("{s:s,s:b,s:[o]}", "file", path, "ok", 0, "findings", finding));
}

static void check_one(const char *path, void *arg)
{
    struct checking *checking = arg;
    struct hz_flow_file file;
    struct hz_flow_report report;
    if (hz_flow_file_read(&file, path)) {
        add_failure(checking, path);
        return;
    }
    int err = hz_flow_file_check(&file, checking->config, &report, NULL);
    checking->wrong |= err == HZ_EFORMAT;
    if (err && err != HZ_EFORMAT) {
        checking->failed = true;
        hz_cli_error(HZ_EXIT_FAILED, "%s: %s", file.path, hz_err_last());
    } else if (checking->results)
        json_array_append_new(checking->results, hz_flow_file_json(&file, &report));
    else {
        hz_flow_file_print(&file, &report);
        if (!err)
            printf("%s: ok\n", file.path);
    }
    hz_flow_report_fini(&report);
    hz_flow_file_fini(&file);
}

static int check_all(const struct hz_args *args, const struct hz_config *config)
{
    struct checking checking = {.config = config, .results = hz_args_has(args, "--json") ? json_array() : NULL};
    for (int i = 0; i < args->count; i++) {
        int found = hz_flow_file_each(args->words[i], check_one, &checking);
        if (found <= 0) {
            hz_err_set(found < 0 ? found : HZ_ENOTFOUND, "%s holds no flow.json", args->words[i]);
            add_failure(&checking, args->words[i]);
        }
    }
    if (checking.results && hz_cli_print_json(checking.results))
        return HZ_EXIT_FAILED;
    return checking.wrong ? HZ_EXIT_USAGE : checking.failed ? HZ_EXIT_FAILED : HZ_EXIT_OK;
}

static int run(const struct hz_args *args)
{
    struct hz_config config;
    int code = hz_cli_config(&config);
    if (code)
        return code;
    urcu_memb_register_thread();
    if (hz_policy_open(&config, hz_args_data(args)))
        code = hz_cli_error(HZ_EXIT_USAGE, "%s", hz_err_last());
    else if (hz_catalog_refresh(&config))
        code = hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    else
        code = check_all(args, &config);
    hz_catalog_fini();
    hz_policy_close();
    urcu_memb_unregister_thread();
    hz_config_fini(&config);
    return code;
}

const struct hz_command hz_command_check = {.name = "check",
        .words = "FLOW... [--data DIR] [--json]",
        .summary = "Checks flows without running them",
        .text = "FLOW is a flow.json, a folder with one, or a folder of such folders. Every finding is a line on "
                "standard error: file, node,\n"
                "property, what is wrong and what was expected. Exit code 2 if there is an error.\n"
                "Capabilities are judged by the policy of the data directory (DIR/policy.json).",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 1,
        .most = -1,
        .run = run};
