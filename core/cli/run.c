/*
 * run.c - `horizon run`: one execution of one flow by a manager of its own; console lines on standard output,
 * everything else on standard error. The flow's outcome is the exit code.
 */
#include "command.h"
#include "flow_file.h"
#include "once.h"

#include "core/flow/json_text.h"
#include "core/scheduler.h"
#include "core/supervisor.h"

#include "shm/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DATA_DEPTH = 500, INPUT_MAX = 64 << 20, SECONDS_MAX = 2000000 };

static struct { /* main thread; `lost` is written by the shard's thread and read after it has ended */
    struct hz_flow_file file;
    char *data;
    size_t data_len;
    uint32_t timeout_ms, threads;
    bool ended;
    _Atomic bool lost;
} run;

/* ---- output ---- */
static void write_line(int fd, const char *text, size_t len)
{
    char small[4096], *line = len < sizeof small ? small : malloc(len + 1);
    if (!line) {
        atomic_store(&run.lost, true);
        return;
    }
    memcpy(line, text, len);
    line[len++] = '\n';
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, line + at, len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            atomic_store(&run.lost, true);
            break;
        }
        at += (size_t)n;
    }
    if (line != small)
        free(line);
}

static void on_line(void *arg, const struct hz_worker_info *info, int level, bool console, const char *text, size_t len)
{
    (void)arg;
    (void)info;
    (void)level;
    write_line(console ? STDOUT_FILENO : STDERR_FILENO, text, len);
}

/* ---- the execution: callbacks on the main shard ---- */
static void end(int code)
{
    run.ended = true;
    hz_cli_host->stop(code);
}

static const char *state_text(enum hz_exec_state state)
{
    switch (state) {
    case HZ_EXEC_FAILED:
        return "failed";
    case HZ_EXEC_CANCELLED:
        return "was cancelled";
    case HZ_EXEC_TIMED_OUT:
        return "timed out";
    case HZ_EXEC_CRASHED:
        return "crashed";
    case HZ_EXEC_INTERRUPTED:
        return "was interrupted";
    case HZ_EXEC_QUEUED:
    case HZ_EXEC_RUNNING:
    case HZ_EXEC_WAITING:
    case HZ_EXEC_SUCCESS:
        break;
    }
    return "did not end";
}

static void on_finished(void *arg, const struct hz_store_execution *row)
{
    (void)arg;
    if (row->state == HZ_EXEC_SUCCESS) {
        end(HZ_EXIT_OK);
        return;
    }
    bool node = row->error_node && *row->error_node;
    hz_cli_error(HZ_EXIT_FAILED, "%s %s%s%s%s: %s", run.file.id, state_text(row->state), node ? " in node \"" : "",
            node ? row->error_node : "", node ? "\"" : "",
            row->error && *row->error ? row->error : "no reason was given");
    end(HZ_EXIT_FAILED);
}

static void on_accepted(void *arg, const struct hz_uuid *execution, const struct hz_worker_info *worker,
        const char *error, uint32_t retry_after_s)
{
    (void)arg;
    (void)execution;
    (void)worker;
    (void)retry_after_s;
    if (error)
        end(hz_cli_error(HZ_EXIT_FAILED, "%s", error));
}

/* Options that belong to the flow go into its settings. Takes nothing; the new text replaces the file's. */
static int apply_threads(void)
{
    struct hz_json_text_error error;
    json_t *flow = run.threads ? hz_json_text_parse(run.file.text, run.file.len, DATA_DEPTH, false, &error) : NULL;
    if (!flow)
        return 0;
    json_t *properties = json_object_get(flow, "properties"), *horizon = json_object_get(properties, "horizon");
    if (!json_is_object(properties)) {
        properties = json_object();
        json_object_set_new(flow, "properties", properties);
    }
    if (!json_is_object(horizon)) {
        horizon = json_object();
        json_object_set_new(properties, "horizon", horizon);
    }
    json_object_set_new(horizon, "threads", json_integer((json_int_t)run.threads));
    size_t len;
    char *text = hz_json_text_print(flow, 2, &len);
    json_decref(flow);
    if (!text)
        return HZ_ENOMEM;
    free(run.file.text);
    run.file.text = text;
    run.file.len = len;
    return 0;
}

/* 0, or the exit code after saying why. */
static int check(void)
{
    struct hz_flow_report report;
    struct hz_plan *plan = NULL;
    int err = hz_flow_file_check(&run.file, NULL, &report, &plan), code = 0; /* scripts are checked when it is stored */
    hz_flow_file_print(&run.file, &report);
    if (err == HZ_EFORMAT)
        code = HZ_EXIT_USAGE;
    else if (err)
        code = hz_cli_error(HZ_EXIT_FAILED, "%s: %s", run.file.path, hz_err_last());
    else if (plan->trigger_count)
        code = hz_cli_error(HZ_EXIT_USAGE,
                "%s has a trigger and would wait for events for ever: put it into a data directory with `horizon "
                "import` and use `horizon serve` "
                "and `horizon start`",
                run.file.path);
    free(plan);
    hz_flow_report_fini(&report);
    return code;
}

static void submit(void)
{
    char version[32], *text = NULL;
    struct hz_workflow *workflow;
    const char *id = hz_workflows_valid_id(run.file.id, strlen(run.file.id)) ? run.file.id : "flow";
    int err = apply_threads();
    if (!err)
        err = hz_workflows_put(id, run.file.text, run.file.len, "run", version, &text);
    if (!err)
        err = hz_workflows_get(id, NULL, &workflow, &text);
    if (err) {
        hz_flow_file_print_text(&run.file, text && *text ? text : hz_err_last());
        free(text);
        end(err == HZ_EFORMAT ? HZ_EXIT_USAGE : HZ_EXIT_FAILED);
        return;
    }
    free(text);
    hz_scheduler_submit(&(struct hz_submit){.workflow = workflow,
                                .data = run.data ? run.data : "",
                                .data_len = run.data_len,
                                .trigger = "manual",
                                .timeout_ms = run.timeout_ms},
            on_accepted, on_finished, NULL);
}

static void started(void *arg)
{
    (void)arg;
    int code = check();
    if (code)
        end(code);
    else
        submit();
}

/* ---- before ---- */
static char *read_stdin(size_t *ret_len)
{
    char *text = NULL;
    size_t len = 0, capacity = 0;
    for (;;) {
        if (len + 1 >= capacity) {
            capacity = capacity ? capacity * 2 : 65536;
            char *grown = capacity <= (size_t)2 * INPUT_MAX ? realloc(text, capacity) : NULL;
            if (!grown)
                break;
            text = grown;
        }
        ssize_t n = read(STDIN_FILENO, text + len, capacity - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        if (n == 0) {
            text[len] = 0;
            *ret_len = len;
            return text;
        }
        len += (size_t)n;
    }
    free(text);
    return NULL;
}

static int read_data(const char *option)
{
    if (!option)
        return 0;
    bool from_stdin = strcmp(option, "-") == 0;
    run.data = from_stdin ? read_stdin(&run.data_len) : strdup(option);
    if (!run.data)
        return hz_cli_error(HZ_EXIT_USAGE, "--data: the input could not be read (at most 64 MiB)");
    if (!from_stdin)
        run.data_len = strlen(run.data);
    struct hz_json_text_error error;
    json_t *value = hz_json_text_parse(run.data, run.data_len, DATA_DEPTH, false, &error);
    if (!value)
        return hz_cli_error(
                HZ_EXIT_USAGE, "--data is no JSON: line %d, column %d: %s", error.line, error.column, error.message);
    json_decref(value);
    return 0;
}

/* What can be said of the file before a manager runs. */
static int parse_first(void)
{
    struct hz_flow_report report;
    struct hz_flow *flow = NULL;
    memset(&report, 0, sizeof report);
    int err = hz_flow_parse(run.file.text, run.file.len, &report, &flow);
    if (err)
        hz_flow_file_print(&run.file, &report);
    hz_flow_free(&flow);
    hz_flow_report_fini(&report);
    return err ? HZ_EXIT_USAGE : 0;
}

static int run_flow(struct hz_config *config)
{
    int code = parse_first();
    if (code)
        return code;
    if (hz_supervisor_listen_lines(on_line, NULL))
        return hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    code = hz_once_run(config, started, NULL);
    if (code == HZ_EXIT_OK && !run.ended)
        code = hz_cli_error(HZ_EXIT_FAILED, "stopped before the flow had ended");
    if (code == HZ_EXIT_OK && atomic_load(&run.lost))
        code = hz_cli_error(HZ_EXIT_FAILED, "not all console lines could be written");
    return code;
}

static int command(const struct hz_args *args)
{
    struct hz_config config;
    int64_t timeout = hz_args_number(args, "--timeout", 1, SECONDS_MAX, 0),
            threads = hz_args_number(args, "--threads", 1, 16, 0);
    if (timeout < 0 || threads < 0)
        return HZ_EXIT_USAGE;
    run.timeout_ms = (uint32_t)timeout * 1000u;
    run.threads = (uint32_t)threads;
    int code = hz_cli_config(&config);
    if (code)
        return code;
    code = read_data(hz_args_value(args, "--data"));
    if (!code && hz_flow_file_read(&run.file, args->words[0]))
        code = hz_cli_error(HZ_EXIT_USAGE, "%s", hz_err_last());
    if (!code)
        code = run_flow(&config);
    free(run.data);
    hz_flow_file_fini(&run.file);
    hz_config_fini(&config);
    return code;
}

const struct hz_command hz_command_run = {.name = "run",
        .words = "FLOW [--data JSON|-] [--timeout SECONDS] [--threads N]",
        .summary = "Runs one flow in the foreground",
        .text = "FLOW is a flow.json or a folder with one. Console lines come on standard output as `[console] "
                "<json>`, the log on standard\n"
                "error. Nothing is left behind. Exit code 0: success; 1: any other end; 2: bad usage or an invalid "
                "flow.",
        .options = {{"--data", 0, "JSON|-", "input of the flow (default {}); -: read it from standard input"},
                {"--timeout", 0, "SECONDS", "end the flow after so long (default: what the flow says)"},
                {"--threads", 0, "N", "threads of the worker, 1 to 16 (default: what the flow says)"}},
        .least = 1,
        .most = 1,
        .run = command};
