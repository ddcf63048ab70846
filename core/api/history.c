/*
 * history.c - samples and lines of the past: their routes with checks of every parameter, and the operations. The store
 * is read on a thread of libuv's pool, because a search through a week of lines must not hold a shard up; at most a few
 * at once.
 */
#include "internal.h"
#include "options.h"
#include "rest.h"

#include "core/history.h"
#include "core/http/http.h"
#include "core/logs.h"
#include "core/shard.h"
#include "core/store.h"
#include "core/workflows.h"

#include "shm/err.h"
#include "shm/log.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE    3u /* reads; libuv's pool has four threads, and one is left for saving flows */
#define DAY_MS     INT64_C(86400000)
#define WINDOW_MS  (DAY_MS)        /* of lines, when the request names none */
#define SEARCH_MS  (7 * DAY_MS)    /* longest of a text search */
#define SAMPLES_MS INT64_C(600000) /* of samples, when the request names none */
#define LINES_MOST 1000u
#define TEXT_MOST  256u

struct reading {
    uv_work_t work;
    hz_api_done_fn *done;
    void *arg;
    json_t *value; /* what the store has; NULL: error */
    char error[256];
    bool missing;
    /* lines */
    struct hz_store_log_filter filter;
    struct hz_uuid execution;
    char workflow_id[128], text[TEXT_MOST + 1];
    /* samples */
    char worker[HZ_UUID_TEXT];
    bool alive;
    int64_t from_s, to_s;
    uint32_t step_s;
    uint64_t limit;
};
static _Atomic unsigned under_way; /* relaxed: a bound, not an order */

static void reading_free(struct reading *reading)
{
    json_decref(reading->value);
    free(reading);
}

static struct reading *reading_new(hz_api_done_fn *done, void *arg)
{
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading) {
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
        return NULL;
    }
    reading->done = done;
    reading->arg = arg;
    reading->work.data = reading;
    return reading;
}

/* Takes the reading. */
static void begin(struct reading *reading, uv_work_cb work, uv_after_work_cb after)
{
    bool room = atomic_fetch_add_explicit(&under_way, 1, memory_order_relaxed) < AT_ONCE;
    if (room && uv_queue_work(hz_shard_loop(hz_shard_self()), &reading->work, work, after) == 0)
        return;
    atomic_fetch_sub_explicit(&under_way, 1, memory_order_relaxed);
    reading->done(reading->arg,
            &(struct hz_api_result){
                    .status = 503, .retry_after_s = 1, .error = "too much of the history is read at once"});
    reading_free(reading);
}

/* The whole id of a worker, into ret. False: it is neither whole nor the beginning of a living one's. */
static bool whole_id(const char *id, char ret[HZ_UUID_TEXT], bool *ret_alive)
{
    struct hz_worker_info info;
    struct hz_uuid uuid;
    *ret_alive = true;
    if (strcmp(id, HZ_HISTORY_MANAGER) == 0) {
        snprintf(ret, HZ_UUID_TEXT, "%s", id);
        return true;
    }
    if (hz_registry_find(id, &info) == 1) {
        memcpy(ret, info.id_text, HZ_UUID_TEXT);
        return true;
    }
    *ret_alive = false;
    if (!hz_uuid_parse(id, strlen(id), &uuid))
        return false;
    hz_uuid_format(&uuid, ret);
    return true;
}

/* ---- lines ---- */

static void read_lines(uv_work_t *work)
{
    struct reading *reading = work->data;
    reading->value = hz_store_logs(&reading->filter);
    if (!reading->value)
        snprintf(reading->error, sizeof reading->error, "%s", hz_err_last());
}

static void add_line(struct hz_json *json, const json_t *line)
{
    const char *workflow = json_string_value(json_object_get(line, "workflowId"));
    const json_t *worker = json_object_get(line, "workerId"), *execution = json_object_get(line, "executionId"),
                 *text = json_object_get(line, "text");
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "time");
    hz_json_iso(json, (int64_t)json_integer_value(json_object_get(line, "at")));
    HZ_JSON_KEY(json, "level");
    hz_json_text(json, hz_log_level_name((enum hz_log_level)json_integer_value(json_object_get(line, "level"))));
    HZ_JSON_KEY(json, "workflowId");
    if (workflow && *workflow)
        hz_json_text(json, workflow);
    else
        hz_json_null(json);
    HZ_JSON_KEY(json, "workerId");
    hz_json_text(json, json_string_value(worker));
    HZ_JSON_KEY(json, "executionId");
    if (execution)
        hz_json_text(json, json_string_value(execution));
    else
        hz_json_null(json);
    HZ_JSON_KEY(json, "text");
    hz_json_string(json, json_string_value(text), json_string_length(text));
    hz_json_close(json, '}');
}

static void add_window(struct hz_json *json, int64_t from_ms, int64_t to_ms)
{
    HZ_JSON_KEY(json, "from");
    hz_json_iso(json, from_ms);
    HZ_JSON_KEY(json, "to");
    hz_json_iso(json, to_ms);
}

static void answer_lines(uv_work_t *work, int status)
{
    struct reading *reading = work->data;
    (void)status;
    atomic_fetch_sub_explicit(&under_way, 1, memory_order_relaxed);
    if (!reading->value) {
        hz_api_fail(reading->done, reading->arg, 500, reading->error);
        reading_free(reading);
        return;
    }
    struct hz_json json = {0};
    size_t count = json_array_size(reading->value);
    const json_t *last = count ? json_array_get(reading->value, count - 1) : NULL;
    hz_json_open(&json, '{');
    add_window(&json, reading->filter.from_ms, reading->filter.to_ms);
    HZ_JSON_KEY(&json, "logs");
    hz_json_open(&json, '[');
    for (size_t i = 0; i < count; i++)
        add_line(&json, json_array_get(reading->value, i));
    hz_json_close(&json, ']');
    HZ_JSON_KEY(&json, "next"); /* value of `cursor` for the page behind this one */
    if (count == reading->filter.limit) {
        char next[64];
        snprintf(next, sizeof next, "%" JSON_INTEGER_FORMAT ".%" JSON_INTEGER_FORMAT,
                json_integer_value(json_object_get(last, "at")), json_integer_value(json_object_get(last, "sequence")));
        hz_json_text(&json, next);
    } else {
        hz_json_null(&json);
    }
    hz_json_close(&json, '}');
    hz_api_answer(reading->done, reading->arg, 200, &json);
    reading_free(reading);
}

void hz_api_logs(const struct hz_api_logs *query, hz_api_done_fn *done, void *arg)
{
    int64_t to = query->to_ms ? query->to_ms : hz_base_wall_ms() + 1,
            from = query->from_ms ? query->from_ms : to - WINDOW_MS;
    if (from >= to) {
        hz_api_fail(done, arg, 400, "from: expected a time before to");
        return;
    }
    if (query->text && to - from > SEARCH_MS) {
        hz_api_fail(done, arg, 400, "from: expected a time at most 7 days before to, because text is searched for");
        return;
    }
    struct reading *reading = reading_new(done, arg);
    if (!reading)
        return;
    bool alive;
    struct hz_store_log_filter *filter = &reading->filter;
    *filter = (struct hz_store_log_filter){.level_min = query->level,
            .from_ms = HZ_MAX(from, INT64_C(1)),
            .to_ms = to,
            .before_ms = query->before_ms,
            .before_sequence = query->before_sequence,
            .limit = (size_t)query->limit};
    if (query->worker && !whole_id(query->worker, reading->worker, &alive)) {
        hz_api_fail(done, arg, 400,
                "worker: expected the whole id of a worker, the beginning of a living one's (at least 4 characters), "
                "or manager");
        reading_free(reading);
        return;
    }
    if (query->execution && !hz_uuid_parse(query->execution, strlen(query->execution), &reading->execution)) {
        hz_api_fail(done, arg, 400, "execution: expected the whole id of an execution");
        reading_free(reading);
        return;
    }
    snprintf(reading->workflow_id, sizeof reading->workflow_id, "%s", query->workflow_id ? query->workflow_id : "");
    snprintf(reading->text, sizeof reading->text, "%s", query->text ? query->text : "");
    filter->worker_id = query->worker ? reading->worker : NULL;
    filter->execution = query->execution ? &reading->execution : NULL;
    filter->workflow_id = query->workflow_id ? reading->workflow_id : NULL;
    filter->contains = query->text ? reading->text : NULL;
    begin(reading, read_lines, answer_lines);
}

/* ---- samples ---- */

static void read_samples(uv_work_t *work)
{
    struct reading *reading = work->data;
    reading->value = hz_store_metrics(reading->worker, reading->from_s, reading->to_s, reading->step_s);
    if (!reading->value)
        snprintf(reading->error, sizeof reading->error, "%s", hz_err_last());
    else if (!reading->alive && json_array_size(json_object_get(reading->value, "samples")) == 0)
        reading->missing = !hz_store_metric_known(reading->worker);
}

static void add_sample(struct hz_json *json, const json_t *sample, bool manager)
{
    const char *key;
    json_t *value;
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "time");
    hz_json_iso(json, (int64_t)json_integer_value(json_object_get(sample, "at")) * 1000);
    json_object_foreach((json_t *)(uintptr_t)sample, key, value) /* jansson's macro knows no const */
    {
        bool store = strncmp(key, "store", 5) == 0,
             workers = strncmp(key, "latency", 7) == 0 || strcmp(key, "nodeRuns") == 0;
        if (strcmp(key, "at") == 0 || (manager ? workers || strcmp(key, "restarts") == 0 : store))
            continue;
        hz_json_key(json, key, strlen(key));
        hz_json_double(json, json_number_value(value));
    }
    hz_json_close(json, '}');
}

static void answer_samples(uv_work_t *work, int status)
{
    struct reading *reading = work->data;
    (void)status;
    atomic_fetch_sub_explicit(&under_way, 1, memory_order_relaxed);
    if (!reading->value || reading->missing) {
        hz_api_fail(reading->done, reading->arg, reading->missing ? 404 : 500,
                reading->missing ? "Worker no encontrado" : reading->error);
        reading_free(reading);
        return;
    }
    const json_t *samples = json_object_get(reading->value, "samples");
    size_t count = json_array_size(samples), shown = HZ_MIN(count, (size_t)reading->limit);
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "workerId");
    hz_json_text(&json, reading->worker);
    add_window(&json, reading->from_s * 1000, reading->to_s * 1000);
    HZ_JSON_KEY(&json, "step");
    hz_json_int(&json, json_integer_value(json_object_get(reading->value, "step")));
    HZ_JSON_KEY(&json, "samples");
    hz_json_open(&json, '[');
    for (size_t i = 0; i < shown; i++)
        add_sample(&json, json_array_get(samples, i), strcmp(reading->worker, HZ_HISTORY_MANAGER) == 0);
    hz_json_close(&json, ']');
    HZ_JSON_KEY(&json, "next"); /* value of `from` for the page behind this one */
    if (shown < count || count == HZ_STORE_METRICS_MOST)
        hz_json_iso(&json,
                ((int64_t)json_integer_value(json_object_get(json_array_get(samples, shown - 1), "at")) + 1) * 1000);
    else
        hz_json_null(&json);
    hz_json_close(&json, '}');
    hz_api_answer(reading->done, reading->arg, 200, &json);
    reading_free(reading);
}

void hz_api_workers_metrics(const char *id, int64_t from_ms, int64_t to_ms, uint32_t step_s, uint64_t limit,
        hz_api_done_fn *done, void *arg)
{
    struct reading *reading = reading_new(done, arg);
    if (!reading)
        return;
    int64_t to = to_ms ? to_ms : hz_base_wall_ms() + 1000, from = from_ms ? from_ms : to - SAMPLES_MS;
    if (!id || !whole_id(id, reading->worker, &reading->alive)) {
        hz_api_fail(done, arg, 404, "Worker no encontrado");
        reading_free(reading);
        return;
    }
    reading->from_s = (from + 999) / 1000;
    reading->to_s = (to + 999) / 1000;
    reading->step_s = step_s;
    reading->limit = limit;
    if (from >= to) {
        hz_api_fail(done, arg, 400, "from: expected a time before to");
        reading_free(reading);
        return;
    }
    begin(reading, read_samples, answer_samples);
}

/* ---- parameters ---- */

static bool refuse(struct hz_http_request *request, const char *name, const char *expected, const char *given)
{
    char detail[320];
    snprintf(detail, sizeof detail, "%s: expected %s, not `%.80s`", name, expected, given);
    hz_http_problem(request, 400, detail);
    return false;
}

/* False: answered. *ret untouched if it is not there. */
static bool query_time(struct hz_http_request *request, const char *name, int64_t *ret)
{
    const char *text = hz_http_query(request, name);
    if (!text)
        return true;
    size_t digits = strspn(text, "0123456789");
    int64_t ms = -1;
    if (digits > 0 && digits < 16 && text[digits] == 0)
        ms = strtoll(text, NULL, 10);
    else if (digits == 4)
        ms = hz_api_parse_time(text);
    if (ms <= 0)
        return refuse(request, name, "a time as 2026-11-24T03:00:00Z, or milliseconds since 1970", text);
    *ret = ms;
    return true;
}

static bool query_limit(struct hz_http_request *request, uint64_t most, uint64_t *ret)
{
    const char *text = hz_http_query(request, "limit");
    if (!text)
        return true;
    size_t digits = strspn(text, "0123456789");
    uint64_t value = digits > 0 && digits < 10 && text[digits] == 0 ? strtoull(text, NULL, 10) : 0;
    char expected[64];
    snprintf(expected, sizeof expected, "a whole number from 1 to %" PRIu64, most);
    if (value < 1 || value > most)
        return refuse(request, "limit", expected, text);
    *ret = value;
    return true;
}

static bool query_level(struct hz_http_request *request, int *ret)
{
    const char *text = hz_http_query(request, "level");
    if (!text)
        return true;
    for (int level = HZ_LOG_DEBUG; level <= HZ_LOG_ERROR; level++)
        if (strcmp(text, hz_log_level_name((enum hz_log_level)level)) == 0) {
            *ret = level;
            return true;
        }
    return refuse(request, "level", "debug, info, warn or error", text);
}

static bool query_cursor(struct hz_http_request *request, struct hz_api_logs *query)
{
    const char *text = hz_http_query(request, "cursor");
    int end = 0;
    if (!text)
        return true;
    if (sscanf(text, "%15" SCNd64 ".%18" SCNd64 "%n", &query->before_ms, &query->before_sequence, &end) == 2 &&
            text[end] == 0 && query->before_ms > 0 && query->before_sequence > 0)
        return true;
    return refuse(request, "cursor", "what `next` of the page before said", text);
}

static bool query_text(struct hz_http_request *request, const char **ret)
{
    *ret = hz_http_query(request, "text");
    if (*ret && (**ret == 0 || strlen(*ret) > TEXT_MOST))
        return refuse(request, "text", "1 to 256 bytes", *ret);
    return true;
}

static bool query_workflow(struct hz_http_request *request, const char **ret)
{
    *ret = hz_http_query(request, "workflow");
    if (*ret && !hz_workflows_valid_id(*ret, strlen(*ret)))
        return refuse(request, "workflow", "the id of a workflow", *ret);
    return true;
}

static void logs(struct hz_http_request *request, void *arg)
{
    (void)arg;
    struct hz_api_logs query = {
            .limit = 100, .worker = hz_http_query(request, "worker"), .execution = hz_http_query(request, "execution")};
    if (query_workflow(request, &query.workflow_id) && query_text(request, &query.text) &&
            query_level(request, &query.level) && query_time(request, "from", &query.from_ms) &&
            query_time(request, "to", &query.to_ms) && query_limit(request, LINES_MOST, &query.limit) &&
            query_cursor(request, &query))
        hz_api_logs(&query, hz_rest_done, request);
}

static void metrics(struct hz_http_request *request, void *arg)
{
    (void)arg;
    int64_t from = 0, to = 0;
    uint64_t limit = HZ_STORE_METRICS_MOST;
    const char *step = hz_http_query(request, "step");
    static const char *const steps[] = {"1", "60", "900"};
    uint32_t step_s = 0;
    for (size_t i = 0; step && i < HZ_COUNT_OF(steps); i++)
        if (strcmp(step, steps[i]) == 0)
            step_s = (uint32_t)strtoul(step, NULL, 10);
    if (step && !step_s)
        (void)refuse(request, "step", "1, 60 or 900 (seconds)", step);
    else if (query_time(request, "from", &from) && query_time(request, "to", &to) &&
             query_limit(request, HZ_STORE_METRICS_MOST, &limit))
        hz_api_workers_metrics(hz_http_param(request, "id"), from, to, step_s, limit, hz_rest_done, request);
}

int hz_api_history_init(void)
{
    int err = hz_http_route_for("GET", "/api/v1/logs", "logs:list", logs, NULL);
    return err ? err : hz_http_route_for("GET", "/api/v1/workers/:id/metrics", "workers:metrics", metrics, NULL);
}
