/*
 * executions.c - run a flow, look at its record, end it. A caller who does not wait hears "accepted" when the row is
 * committed; one who waits hears the record in its final state, or, for a flow with a trigger, when its worker is
 * ready.
 */
#include "events.h"
#include "internal.h"

#include "core/flow/json_text.h"
#include "core/scheduler.h"

#include "shm/err.h"

#include <stdlib.h>
#include <string.h>

struct running {
    hz_api_done_fn *done; /* NULL once answered */
    void *arg;
    bool wait;
    char workflow_id[128], version[32];
};

static const char *state_name(enum hz_exec_state state)
{
    switch (state) {
    case HZ_EXEC_QUEUED:
        return "queued";
    case HZ_EXEC_RUNNING:
        return "running";
    case HZ_EXEC_WAITING:
        return "waiting";
    case HZ_EXEC_SUCCESS:
        return "success";
    case HZ_EXEC_FAILED:
        return "failed";
    case HZ_EXEC_CANCELLED:
        return "cancelled";
    case HZ_EXEC_TIMED_OUT:
        return "timed_out";
    case HZ_EXEC_CRASHED:
        return "crashed";
    case HZ_EXEC_INTERRUPTED:
        return "interrupted";
    }
    return "unknown";
}

static void add_time(struct hz_json *json, const char *key, int64_t wall_ms)
{
    hz_json_key(json, key, strlen(key));
    if (wall_ms)
        hz_json_iso(json, wall_ms);
    else
        hz_json_null(json);
}

static void add_json(struct hz_json *json, const char *key, const char *text)
{
    hz_json_key(json, key, strlen(key));
    if (text && *text)
        hz_json_raw(json, text, strlen(text));
    else
        hz_json_null(json);
}

static void add_error(struct hz_json *json, const struct hz_store_execution *row)
{
    HZ_JSON_KEY(json, "error");
    if (!row->error || !*row->error) {
        hz_json_null(json);
        return;
    }
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "message");
    hz_json_text(json, row->error);
    if (row->error_node && *row->error_node) {
        HZ_JSON_KEY(json, "node");
        hz_json_text(json, row->error_node);
    }
    if (row->error_code && *row->error_code) {
        HZ_JSON_KEY(json, "code");
        hz_json_text(json, row->error_code);
    }
    hz_json_close(json, '}');
}

void hz_json_execution(struct hz_json *json, const struct hz_store_execution *row, bool payloads)
{
    char id[HZ_UUID_TEXT];
    hz_json_open(json, '{');
    hz_uuid_format(&row->id, id);
    HZ_JSON_KEY(json, "id");
    hz_json_text(json, id);
    HZ_JSON_KEY(json, "workflowId");
    hz_json_text(json, row->workflow_id);
    HZ_JSON_KEY(json, "version");
    hz_json_text(json, row->version);
    HZ_JSON_KEY(json, "state");
    hz_json_text(json, state_name(row->state));
    HZ_JSON_KEY(json, "trigger");
    hz_json_text(json, row->trigger);
    HZ_JSON_KEY(json, "activation");
    hz_json_bool(json, row->is_activation != 0);
    if (!hz_uuid_is_nil(&row->activation)) {
        hz_uuid_format(&row->activation, id);
        HZ_JSON_KEY(json, "activationId");
        hz_json_text(json, id);
    }
    HZ_JSON_KEY(json, "attempt");
    hz_json_uint(json, row->attempt);
    HZ_JSON_KEY(json, "workerId");
    if (row->worker_id[0])
        hz_json_text(json, row->worker_id);
    else
        hz_json_null(json);
    if (row->priority) {
        HZ_JSON_KEY(json, "priority");
        hz_json_uint(json, (uint64_t)row->priority);
    }
    if (row->due_wall_ms)
        add_time(json, "dueAt", row->due_wall_ms);
    if (row->deadline_wall_ms)
        add_time(json, "deadlineAt", row->deadline_wall_ms);
    add_time(json, "createdAt", row->created_wall_ms);
    add_time(json, "startedAt", row->started_wall_ms);
    add_time(json, "endedAt", row->ended_wall_ms);
    if (payloads) {
        add_json(json, "input", row->input);
        add_json(json, "result", row->result);
    }
    add_error(json, row);
    HZ_JSON_KEY(json, "bill");
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "nodeRuns");
    hz_json_uint(json, row->node_runs);
    HZ_JSON_KEY(json, "cpuNs");
    hz_json_uint(json, row->cpu_ns);
    HZ_JSON_KEY(json, "peakBytes");
    hz_json_uint(json, row->peak_bytes);
    HZ_JSON_KEY(json, "bytesIn");
    hz_json_uint(json, row->bytes_in);
    HZ_JSON_KEY(json, "bytesOut");
    hz_json_uint(json, row->bytes_out);
    hz_json_close(json, '}');
    hz_json_close(json, '}');
}

/* ---- run ---- */
/* Another one has the key: it answers. */
static void on_duplicate(void *arg, const struct hz_store_execution *row)
{
    struct running *running = arg;
    char id[HZ_UUID_TEXT];
    struct hz_json json = {0};
    if (running->wait) {
        hz_json_execution(&json, row, true);
    } else {
        hz_uuid_format(&row->id, id);
        hz_json_open(&json, '{');
        HZ_JSON_KEY(&json, "executionId");
        hz_json_text(&json, id);
        HZ_JSON_KEY(&json, "workflowId");
        hz_json_text(&json, row->workflow_id);
        HZ_JSON_KEY(&json, "version");
        hz_json_text(&json, row->version);
        HZ_JSON_KEY(&json, "state");
        hz_json_text(&json, state_name(row->state));
        HZ_JSON_KEY(&json, "duplicate");
        hz_json_bool(&json, true);
        hz_json_close(&json, '}');
    }
    hz_api_answer(running->done, running->arg, 200, &json);
    free(running);
}

static void on_finished(void *arg, const struct hz_store_execution *row)
{
    struct running *running = arg;
    if (running->wait) {
        struct hz_json json = {0};
        hz_json_execution(&json, row, true);
        hz_api_answer(running->done, running->arg, 200, &json);
    }
    free(running);
}

static void answer_accepted(
        struct running *running, const struct hz_uuid *execution, const struct hz_worker_info *worker)
{
    char id[HZ_UUID_TEXT];
    struct hz_json json = {0};
    hz_uuid_format(execution, id);
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "executionId");
    hz_json_text(&json, id);
    HZ_JSON_KEY(&json, "workflowId");
    hz_json_text(&json, running->workflow_id);
    HZ_JSON_KEY(&json, "version");
    hz_json_text(&json, running->version);
    if (worker) {
        HZ_JSON_KEY(&json, "workerId");
        hz_json_text(&json, worker->id_text);
        HZ_JSON_KEY(&json, "port");
        hz_json_uint(&json, worker->port);
    }
    hz_json_close(&json, '}');
    hz_api_answer(running->done, running->arg, 202, &json);
}

static void on_accepted(void *arg, const struct hz_uuid *execution, const struct hz_worker_info *worker,
        const char *error, uint32_t retry_after_s)
{
    struct running *running = arg;
    if (error) {
        running->done(running->arg, &(struct hz_api_result){.status = retry_after_s ? 503 : hz_api_start_status(error),
                                            .error = error,
                                            .retry_after_s = retry_after_s});
        free(running);
    } else if (!running->wait)
        answer_accepted(running, execution, worker); /* freed when it has finished */
}

void hz_api_executions_start(const struct hz_api_execute *execute, hz_api_done_fn *done, void *arg)
{
    struct hz_workflow *workflow;
    if (!execute->workflow_id || !hz_workflows_valid_id(execute->workflow_id, strlen(execute->workflow_id))) {
        hz_api_fail(done, arg, 404, "Workflow no encontrado");
        return;
    }
    if (!hz_api_find_workflow(execute->workflow_id, execute->version, done, arg, &workflow))
        return;
    bool triggered = workflow->plan->trigger_count > 0;
    const char *key = triggered && execute->key_if_possible ? NULL : execute->key;
    if (triggered && (execute->priority || execute->deadline_ms || execute->due_ms || key)) {
        hz_workflow_unref(&workflow);
        hz_api_fail(done, arg, 422,
                "priority, delayMs, startAt, deadlineMs and dedupKey are for flows without a trigger: this one is started, and then runs "
                "when its trigger says so");
        return;
    }
    struct running *running = calloc(1, sizeof *running);
    if (!running) {
        hz_workflow_unref(&workflow);
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
        return;
    }
    running->done = done;
    running->arg = arg;
    running->wait = execute->wait;
    memcpy(running->workflow_id, workflow->id, sizeof running->workflow_id);
    memcpy(running->version, workflow->version, sizeof running->version);
    hz_scheduler_submit(&(struct hz_submit){.workflow = workflow,
                                .data = execute->data,
                                .data_len = execute->len,
                                .trigger = execute->trigger,
                                .timeout_ms = execute->deadline_ms,
                                .priority = execute->priority,
                                .due_wall_ms = execute->due_ms,
                                .key = key,
                                .duplicate = on_duplicate,
                                .wants_port = workflow->plan->trigger_count > 0},
            on_accepted, on_finished, running);
}

/* ---- look ---- */
/* False: answered. */
static bool find_execution(
        const char *id, struct hz_uuid *ret_id, struct hz_store_execution *ret_row, hz_api_done_fn *done, void *arg)
{
    int err = id && hz_uuid_parse(id, strlen(id), ret_id) ? hz_scheduler_get(ret_id, ret_row) : HZ_ENOTFOUND;
    if (err == HZ_ENOTFOUND)
        hz_api_fail(done, arg, 404, "Ejecución no encontrada");
    else if (err)
        hz_api_fail(done, arg, 500, hz_err_last());
    return err == 0;
}

void hz_api_executions_get(const char *id, hz_api_done_fn *done, void *arg)
{
    struct hz_uuid uuid;
    struct hz_store_execution row;
    if (!find_execution(id, &uuid, &row, done, arg))
        return;
    struct hz_json json = {0};
    char text[HZ_UUID_TEXT];
    hz_uuid_format(&uuid, text); /* as it is kept, whatever letter case was asked in */
    char *progress = hz_events_latest_progress(text);
    hz_json_execution(&json, &row, true);
    hz_store_execution_fini(&row);
    if (!json.failed) { /* one member more: what its flow reported last, or null */
        json.len--;
        json.comma = true;
        add_json(&json, "progress", progress);
        hz_json_close(&json, '}');
    }
    free(progress);
    hz_api_answer(done, arg, 200, &json);
}

void hz_api_executions_nodes(const char *id, hz_api_done_fn *done, void *arg)
{
    struct hz_uuid uuid;
    struct hz_store_execution row;
    void *data;
    size_t len;
    if (!find_execution(id, &uuid, &row, done, arg))
        return;
    hz_store_execution_fini(&row);
    int err = hz_store_node_runs(&uuid, &data, &len);
    if (err) {
        hz_api_fail(done, arg, err == HZ_ENOTFOUND ? 404 : 500,
                err == HZ_ENOTFOUND ? "nothing is kept of its nodes: it is not over, its worker died, or its flow does not say "
                                      "properties.horizon.nodeStats: true"
                                    : hz_err_last());
        return;
    }
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "executionId");
    hz_json_text(&json, id);
    HZ_JSON_KEY(&json, "nodes");
    hz_json_raw(&json, data, len);
    hz_json_close(&json, '}');
    free(data);
    hz_api_answer(done, arg, 200, &json);
}

enum hz_exec_state hz_json_execution_state(const char *name)
{
    for (int state = HZ_EXEC_QUEUED; state <= HZ_EXEC_INTERRUPTED; state++)
        if (strcmp(state_name((enum hz_exec_state)state), name) == 0)
            return (enum hz_exec_state)state;
    return 0;
}

/* ---- run again ---- */
/* The node of that id or name, its id in *ret_id; NULL: none. */
static const json_t *find_node(const json_t *flow, const char *wanted, const char **ret_id)
{
    const char *key;
    json_t *nodes = json_object_get(flow, "nodes"), *node = json_object_get(nodes, wanted);
    *ret_id = wanted;
    if (node)
        return node;
    json_object_foreach(nodes, key, node) {
        const char *name = json_string_value(json_object_get(node, "name"));
        *ret_id = key;
        if (name && strcmp(name, wanted) == 0)
            return node;
    }
    return NULL;
}

/* Does the start go to this node and to nothing else? Then what the node was given is what the execution was. */
static bool is_after_start(const json_t *flow, const char *id)
{
    const json_t *connection, *nodes = json_object_get(flow, "nodes");
    size_t i;
    unsigned to_it = 0, elsewhere = 0;
    json_array_foreach(json_object_get(flow, "connections"), i, connection) {
        const char *from = json_string_value(json_object_get(connection, "idNodeOrigin")), *to = json_string_value(json_object_get(connection, "idNodeDestiny"));
        const char *type = from ? json_string_value(json_object_get(json_object_get(nodes, from), "type")) : NULL;
        bool starts = type && strcmp(type, "workflow_init") == 0;
        if (starts && to && strcmp(to, id) == 0)
            to_it++;
        else if (starts)
            elsewhere++;
    }
    return to_it == 1 && elsewhere == 0;
}

/* NULL: what the node was given is the input that the store keeps. */
static const char *why_not_from(const char *workflow_id, const char *version, const char *from)
{
    char *text = NULL, found[32];
    size_t len;
    uint64_t hash;
    int64_t updated;
    const char *id, *why = NULL;
    if (!from)
        return NULL;
    if (hz_store_workflow_get(workflow_id, version, &text, &len, found, &hash, &updated))
        return "from: the version it had is not kept any more, so its nodes are not known";
    json_t *flow = hz_json_text_read(text, len);
    const json_t *node = find_node(flow, from, &id);
    const char *type = json_string_value(json_object_get(node, "type"));
    if (!node)
        why = "from: its flow has no such node";
    else if ((!type || strcmp(type, "workflow_init") != 0) && !is_after_start(flow, id))
        why = "from: what this node was given is not kept. Of an execution that is over the store has its input, which is what the start and the "
              "only node behind it were given; without `from` it runs again from there";
    json_decref(flow);
    free(text);
    return why;
}

void hz_api_executions_rerun(const char *id, const char *from, hz_api_done_fn *done, void *arg)
{
    struct hz_uuid uuid;
    struct hz_store_execution row;
    if (!id || !hz_uuid_parse(id, strlen(id), &uuid) || hz_scheduler_get(&uuid, &row)) {
        hz_api_fail(done, arg, 404, "Ejecución no encontrada");
        return;
    }
    const char *why = why_not_from(row.workflow_id, row.version, from);
    if (row.state < HZ_EXEC_SUCCESS)
        hz_api_fail(done, arg, 409, "it is not over yet");
    else if (!row.is_activation && !hz_uuid_is_nil(&row.activation))
        hz_api_fail(done, arg, 422, "it was begun by a trigger of its flow, and what the trigger gave it is not kept");
    else if (why)
        hz_api_fail(done, arg, 422, why);
    else
        hz_api_executions_start(&(struct hz_api_execute){.workflow_id = row.workflow_id, .version = row.version, .data = row.input ? row.input : "",
                                        .len = row.input ? strlen(row.input) : 0, .trigger = "rerun"},
                done, arg);
    hz_store_execution_fini(&row);
}

/* ---- drive again ---- */
struct driving {
    hz_api_done_fn *done;
    void *arg;
    struct hz_uuid dead;
};

static void answer_driven(struct driving *driving, const struct hz_uuid *execution)
{
    char id[HZ_UUID_TEXT], dead[HZ_UUID_TEXT];
    int err = hz_store_dead_clear(&driving->dead);
    if (err && err != HZ_ENOTFOUND) /* it is shown still; to drive it once more finds this execution */
        HZ_LOG(WARN, "a dead letter was driven again and could not be marked: %s", hz_err_last());
    hz_uuid_format(execution, id);
    hz_uuid_format(&driving->dead, dead);
    hz_api_answer_value(driving->done, driving->arg, 202, json_pack("{s:s, s:s}", "executionId", id, "deadId", dead));
    free(driving);
}

/* Somebody else drove it at the same time, or a crash came between: the same execution. */
static void on_driven_before(void *arg, const struct hz_store_execution *row)
{
    answer_driven(arg, &row->id);
}

static void on_driven(void *arg, const struct hz_uuid *execution, const struct hz_worker_info *worker, const char *error,
        uint32_t retry_after_s)
{
    struct driving *driving = arg;
    (void)worker;
    if (error) {
        driving->done(driving->arg, &(struct hz_api_result){.status = retry_after_s ? 503 : hz_api_start_status(error), .error = error,
                                            .retry_after_s = retry_after_s});
        free(driving);
    } else {
        answer_driven(driving, execution);
    }
}

void hz_api_dead_redrive(const char *id, hz_api_done_fn *done, void *arg)
{
    struct hz_uuid uuid;
    struct driving *driving = calloc(1, sizeof *driving);
    if (!driving) {
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
        return;
    }
    *driving = (struct driving){.done = done, .arg = arg};
    int err = id && hz_uuid_parse(id, strlen(id), &uuid) ? 0 : HZ_ENOTFOUND;
    if (!err) {
        driving->dead = uuid;
        err = hz_scheduler_redrive(&uuid, on_driven, on_driven_before, driving);
    }
    if (!err)
        return;
    free(driving);
    hz_api_fail(done, arg, err == HZ_ENOTFOUND ? 404 : 422,
            err == HZ_ENOTFOUND ? "No hay ninguna ejecución muerta con ese id" : hz_err_last());
}

/* ---- end ---- */
struct cancelling {
    hz_api_done_fn *done;
    void *arg;
    char id[HZ_UUID_TEXT];
};

static void on_cancelled(void *arg, bool found)
{
    struct cancelling *cancelling = arg;
    if (found)
        hz_api_answer_value(cancelling->done, cancelling->arg, 202, json_pack("{s:s}", "executionId", cancelling->id));
    else
        hz_api_fail(cancelling->done, cancelling->arg, 404, "Ejecución no encontrada o ya terminada");
    free(cancelling);
}

void hz_api_executions_cancel(const char *id, const char *reason, hz_api_done_fn *done, void *arg)
{
    struct hz_uuid uuid;
    if (!id || !hz_uuid_parse(id, strlen(id), &uuid)) {
        hz_api_fail(done, arg, 404, "Ejecución no encontrada o ya terminada");
        return;
    }
    struct cancelling *cancelling = calloc(1, sizeof *cancelling);
    if (!cancelling) {
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
        return;
    }
    cancelling->done = done;
    cancelling->arg = arg;
    hz_uuid_format(&uuid, cancelling->id);
    hz_scheduler_cancel(&uuid, reason, on_cancelled, cancelling);
}
