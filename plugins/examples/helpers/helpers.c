/*
 * helpers - calls every helper a worker offers its nodes, one after another, and emits each answer on `answer` as
 * {helper, route, success, data?, message?, sent?}. An asynchronous node: between question and answer it holds no
 * thread.
 *
 * The five messages nobody waits for (hz_tell_*) are sent first and then asked once more as questions, to show what the
 * manager says to them.
 */
#include <horizon/node.h>

struct step {
    const char *helper, *route;
    int (*tell)(hz_call *call); /* NULL: only a question */
    int (*ask)(hz_call *call, hz_answer_fn *answer, void *arg);
};

static int next(hz_call *call, size_t step);

/* ---- questions ---- */

static int ask_node(hz_call *call, hz_answer_fn *answer, void *arg)
{
    return hz_ask_node(call, hz_param_str(call, "nodeType", "").data, answer, arg);
}

static int ask_workflow(hz_call *call, hz_answer_fn *answer, void *arg)
{
    hz_str id = hz_param_str(call, "workflow", "");
    return hz_ask_workflow(call, id.len ? id.data : hz_workflow_id(call).data, answer, arg);
}

static int ask_environment(hz_call *call, hz_answer_fn *answer, void *arg)
{
    hz_str key = hz_param_str(call, "key", "");
    return hz_ask_environment(call, key.len ? key.data : NULL, answer, arg);
}

static int ask_credentials(hz_call *call, hz_answer_fn *answer, void *arg)
{
    return hz_ask_credentials(call, hz_param_str(call, "credential", "").data, answer, arg);
}

static int ask_database(hz_call *call, hz_answer_fn *answer, void *arg)
{
    return hz_ask_database(call, "select", hz_object(call), answer, arg);
}

static int ask_external(hz_call *call, hz_answer_fn *answer, void *arg)
{
    hz_value *request = hz_object(call);
    if (!request || hz_set(request, "url", hz_text(call, "http://127.0.0.1/")) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_ask_external(call, request, answer, arg);
}

static int ask_file(hz_call *call, hz_answer_fn *answer, void *arg)
{
    hz_value *request = hz_object(call);
    if (!request || hz_set(request, "operation", hz_text(call, "read")) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(request, "path", hz_text(call, "note.txt")) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_ask_file(call, request, answer, arg);
}

static int ask_unknown(hz_call *call, hz_answer_fn *answer, void *arg)
{
    return hz_ask(call, "no:such:route", hz_object(call), answer, arg);
}

/* ---- messages ---- */

static hz_value *log_entries(hz_call *call)
{
    hz_value *entries = hz_array(call);
    return entries && hz_push(entries, hz_log_entry(call, "info", "one of several")) == HZ_OK ? entries : NULL;
}

static hz_value *metrics(hz_call *call)
{
    hz_value *object = hz_object(call);
    return object && hz_set(object, "nodesProcessed", hz_int(call, 1)) == HZ_OK ? object : NULL;
}

static int tell_log(hz_call *call)
{
    return hz_tell_log(call, "info", "hello from a node", NULL);
}
static int tell_logs(hz_call *call)
{
    return hz_tell_logs(call, log_entries(call));
}
static int tell_progress(hz_call *call)
{
    return hz_tell_progress(call, "helpers", 50, "half way");
}
static int tell_metrics(hz_call *call)
{
    return hz_tell_metrics(call, metrics(call));
}
static int tell_debug(hz_call *call)
{
    return hz_tell_debug(call, hz_object(call));
}

static int ask_log(hz_call *call, hz_answer_fn *answer, void *arg)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "level", hz_text(call, "info")) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(data, "message", hz_text(call, "hello, asked")) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_ask(call, HZ_TELL_LOG, data, answer, arg);
}

static int ask_logs(hz_call *call, hz_answer_fn *answer, void *arg)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "data", log_entries(call)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_ask(call, HZ_TELL_LOGS, data, answer, arg);
}

static int ask_progress(hz_call *call, hz_answer_fn *answer, void *arg)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "percentage", hz_int(call, 75)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_ask(call, HZ_TELL_PROGRESS, data, answer, arg);
}

static int ask_metrics(hz_call *call, hz_answer_fn *answer, void *arg)
{
    return hz_ask(call, HZ_TELL_METRICS, metrics(call), answer, arg);
}

static int ask_debug(hz_call *call, hz_answer_fn *answer, void *arg)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "data", hz_object(call)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(data, "target", hz_text(call, "getDebug")) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_ask(call, HZ_TELL_DEBUG, data, answer, arg);
}

/* ---- one after another ---- */

static const struct step steps[] = {
        {"getNodesFromServer", HZ_ASK_NODES, NULL, hz_ask_nodes},
        {"getNodeFromServer", HZ_ASK_NODE, NULL, ask_node},
        {"getWorkflowFromServer", HZ_ASK_WORKFLOW, NULL, ask_workflow},
        {"getSystemHealthFromServer", HZ_ASK_HEALTH, NULL, hz_ask_health},
        {"getEnvironmentFromServer", HZ_ASK_ENVIRONMENT, NULL, ask_environment},
        {"getCredentialsFromServer", HZ_ASK_CREDENTIALS, NULL, ask_credentials},
        {"requestDatabaseOperation", HZ_ASK_DATABASE, NULL, ask_database},
        {"requestExternalAPI", HZ_ASK_EXTERNAL, NULL, ask_external},
        {"requestFileOperation", HZ_ASK_FILE, NULL, ask_file},
        {"unknown", "no:such:route", NULL, ask_unknown},
        {"sendWorkerLog", HZ_TELL_LOG, tell_log, ask_log},
        {"sendLogs", HZ_TELL_LOGS, tell_logs, ask_logs},
        {"reportProgress", HZ_TELL_PROGRESS, tell_progress, ask_progress},
        {"sendMetrics", HZ_TELL_METRICS, tell_metrics, ask_metrics},
        {"sendDebug", HZ_TELL_DEBUG, tell_debug, ask_debug},
};

#define STEPS (sizeof steps / sizeof steps[0])

/* The answer to step `arg`: emits it and asks the next question, still within the same call. */
static int answered(hz_call *call, bool ok, const hz_value *data, hz_str message, void *arg)
{
    size_t i = (size_t)(uintptr_t)arg;
    hz_value *answer = hz_object(call);
    if (!answer || hz_set(answer, "helper", hz_text(call, steps[i].helper)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(answer, "route", hz_text(call, steps[i].route)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (steps[i].tell && hz_set(answer, "sent", hz_bool(call, steps[i].tell(call) == HZ_OK)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(answer, "success", hz_bool(call, ok)) != HZ_OK || (data && hz_set(answer, "data", data) != HZ_OK))
        return HZ_ERR_NOMEM;
    if (message.len && hz_set(answer, "message", hz_string(call, message.data, message.len)) != HZ_OK)
        return HZ_ERR_NOMEM;
    int r = hz_emit(call, "answer", answer);
    return r == HZ_OK ? next(call, i + 1) : r;
}

static int next(hz_call *call, size_t step)
{
    hz_str only = hz_param_str(call, "only", "");
    while (step < STEPS && only.len && strcmp(only.data, steps[step].helper) != 0)
        step++;
    if (step == STEPS)
        return HZ_OK;
    int r = steps[step].ask(call, answered, (void *)(uintptr_t)step);
    return r == HZ_OK ? HZ_DEFER : hz_fail(call, "%s: not asked (%d)", steps[step].helper, r);
}

static int helpers_run(hz_call *call)
{
    return next(call, 0);
}

HZ_NODE(.type = "helpers", .title = "Helpers", .group = "Examples", .desc = "Calls every helper of the worker",
        .icon = "\U000F02D6", .color = "#2980B9", .version = "1.0.0", .author = "Horizon", .license = "Apache-2.0",
        .flags = HZ_NODE_CONCURRENT, .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("answer", "error"),
        .run = helpers_run,
        .properties = HZ_PROPERTIES(
                {.key = "workflow", .type = "string", .name = "Workflow id (empty: its own)", .value = "\"\""},
                {.key = "nodeType", .type = "string", .name = "Node type", .value = "\"workflow_init\""},
                {.key = "credential", .type = "string", .name = "Credential id", .value = "\"none\""},
                {.key = "key", .type = "string", .name = "Environment name (empty: all)", .value = "\"\""},
                {.key = "only", .type = "string", .name = "Only this helper (empty: all)", .value = "\"\""}))
