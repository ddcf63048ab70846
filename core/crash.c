/* crash.c - see crash.h. */
#include "crash.h"

#include "scheduler.h"
#include "secrets.h"
#include "store.h"

#include "core/flow/json_text.h"
#include "core/flow/plan.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENTS 1000u
#define FRAMES 32u
#define TOP_FRAMES 3u /* that make two crashes the same */
#define OOM_RECENT_NS UINT64_C(2000000000)

bool hz_crash_oom_rose(void)
{
    static _Atomic uint64_t known = UINT64_MAX, rose_ns; /* hints of one sentence in a report: relaxed would do */
    uint64_t count = 0, now = hz_base_now_ns();
    char line[128];
    bool found = false;
    FILE *file = fopen("/proc/vmstat", "re");
    while (file && !found && fgets(line, sizeof line, file))
        found = sscanf(line, "oom_kill %" SCNu64, &count) == 1;
    if (file)
        fclose(file);
    if (!found)
        return false;
    uint64_t before = atomic_exchange(&known, count);
    if (before != UINT64_MAX && count > before)
        atomic_store(&rose_ns, now);
    uint64_t rose = atomic_load(&rose_ns);
    return rose != 0 && now - rose < OOM_RECENT_NS;
}

bool hz_crash_wanted(const struct hz_worker *w, const struct hz_death *death)
{
    if (!w->workflow || w->info.pid <= 0 || w->yard->ending)
        return false;
    switch (death->kind) {
    case HZ_DEATH_STOPPED:
        return false;
    case HZ_DEATH_ENDED:
        return !death->expected && death->exit_code != 0;
    case HZ_DEATH_CRASH:
    case HZ_DEATH_EXIT:
    case HZ_DEATH_MEMORY:
    case HZ_DEATH_LIMIT:
    case HZ_DEATH_TIMEOUT:
    case HZ_DEATH_KILLED:
    case HZ_DEATH_POISON:
        return true;
    }
    return false;
}

/* A JSON string of bytes that may be anything. */
static json_t *text_of(const char *data, size_t len)
{
    json_t *text = json_stringn(data, len);
    if (text)
        return text;
    char *copy = malloc(len + 1);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < len; i++)
        copy[i] = (unsigned char)data[i] < 0x80 ? data[i] : '?';
    text = json_stringn(copy, len);
    free(copy);
    return text;
}

static json_t *plan_text(const struct hz_plan *plan, struct hz_plan_text text)
{
    return text_of(hz_plan_chars(plan, text), text.len);
}

static json_t *hex(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, value);
    return json_string(text);
}

static void put(json_t *object, const char *key, json_t *value)
{
    if (value)
        (void)json_object_set_new(object, key, value); /* a member that no memory is left for is left out */
}

static json_t *iso(int64_t wall_ms)
{
    char text[40];
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + n, sizeof text - n, ".%03dZ", (int)(wall_ms % 1000));
    return json_string(text);
}

/* ---- parts ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Where the file of a module is, as far as the manager knows it. */
static json_t *file_of(const struct hz_worker *w, const char *module)
{
    const struct hz_plan *plan = w->workflow->plan;
    for (uint32_t i = 0; i < plan->plugin_count; i++) {
        struct hz_plan_text file = hz_plan_plugin(plan, i)->file;
        const char *path = hz_plan_chars(plan, file);
        if (strcmp(base_name(path), module) == 0 && path[0] == '/')
            return plan_text(plan, file);
    }
    const char *worker = w->yard->config->worker_path;
    if (worker && strcmp(base_name(worker), module) == 0)
        return json_string(worker);
    return NULL;
}

static json_t *backtrace_of(const struct hz_worker *w, const struct hz_crash_frame *frames, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *frame = json_object();
        put(frame, "address", hex(frames[i].address));
        if (frames[i].module[0]) {
            put(frame, "module", json_string(frames[i].module));
            put(frame, "offset", hex(frames[i].address - frames[i].base));
            put(frame, "file", file_of(w, frames[i].module));
        }
        (void)json_array_append_new(list, frame);
    }
    return list;
}

static json_t *events_of(const struct hz_worker *w, uint32_t lane)
{
    const struct hz_plan *plan = w->workflow->plan;
    struct hz_event *events = calloc(EVENTS, sizeof *events);
    json_t *list = json_array();
    size_t count = events ? hz_recorder_read(w->link.segment.lanes[lane].recorder, events, EVENTS) : 0;
    uint64_t end = count ? events[count - 1].time_ns : 0;
    for (size_t i = 0; i < count; i++) {
        const struct hz_event *e = &events[i];
        json_t *event = json_object();
        put(event, "beforeUs", json_integer((json_int_t)((end - HZ_MIN(end, e->time_ns)) / 1000)));
        put(event, "kind", json_string(hz_event_kind_name(e->kind)));
        if (e->node < plan->node_count)
            put(event, "node", plan_text(plan, hz_plan_node(plan, e->node)->name));
        put(event, "execution", json_integer((json_int_t)(e->execution & INT64_MAX)));
        (void)json_array_append_new(list, event);
    }
    free(events);
    return list;
}

static json_t *usage_of(const struct rusage *u)
{
    json_t *usage = json_object();
    put(usage, "userUs", json_integer((json_int_t)u->ru_utime.tv_sec * 1000000 + u->ru_utime.tv_usec));
    put(usage, "systemUs", json_integer((json_int_t)u->ru_stime.tv_sec * 1000000 + u->ru_stime.tv_usec));
    put(usage, "maxResidentBytes", json_integer((json_int_t)u->ru_maxrss * 1024));
    put(usage, "minorFaults", json_integer(u->ru_minflt));
    put(usage, "majorFaults", json_integer(u->ru_majflt));
    put(usage, "voluntarySwitches", json_integer(u->ru_nvcsw));
    put(usage, "involuntarySwitches", json_integer(u->ru_nivcsw));
    return usage;
}

static json_t *limits_of(const struct hz_workflow_limits *l)
{
    json_t *limits = json_object();
    if (l->memory_bytes)
        put(limits, "memory", json_integer((json_int_t)l->memory_bytes));
    if (l->cpu_ms)
        put(limits, "cpu", json_integer((json_int_t)l->cpu_ms));
    if (l->wall_ms)
        put(limits, "wallClock", json_integer((json_int_t)l->wall_ms));
    if (l->open_files)
        put(limits, "openFiles", json_integer(l->open_files));
    if (l->processes)
        put(limits, "processes", json_integer(l->processes));
    return limits;
}

static json_t *signal_of(const struct hz_death *death, const struct hz_crash_cell *cell)
{
    char buf[24];
    json_t *signal = json_object();
    put(signal, "number", json_integer(death->signal));
    put(signal, "name", json_string(hz_attribution_signal(death->signal, buf)));
    if (atomic_load_explicit(&cell->stage, memory_order_acquire) > 0 && cell->signal == death->signal) {
        put(signal, "code", json_integer(cell->code));
        if (death->signal == SIGSYS)
            put(signal, "call", json_integer(cell->syscall_nr));
        if (death->signal != SIGABRT) /* which is raised, and has none */
            put(signal, "address", hex(cell->address));
        put(signal, "instruction", hex(cell->pc));
        put(signal, "stackPointer", hex(cell->sp));
    }
    return signal;
}

static json_t *node_of(const struct hz_worker *w, const struct hz_death *death)
{
    const struct hz_plan *plan = w->workflow->plan;
    json_t *node = json_object();
    put(node, "index", json_integer(death->node));
    if (death->node < plan->node_count) {
        const struct hz_plan_node *n = hz_plan_node(plan, death->node);
        put(node, "id", plan_text(plan, n->id));
        put(node, "name", plan_text(plan, n->name));
        put(node, "type", plan_text(plan, n->type));
    }
    return node;
}

/* FNV-1a over what makes two deaths the same: workflow, kind, signal, node, top frames as module + offset. */
static uint64_t hash(uint64_t h, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * UINT64_C(1099511628211);
    return h;
}

static void sign(const struct hz_worker *w, const struct hz_death *death, const struct hz_crash_frame *frames, uint32_t count, char ret[40])
{
    uint64_t h = UINT64_C(14695981039346656037);
    uint32_t words[3] = {(uint32_t)death->kind, (uint32_t)death->signal, death->node};
    h = hash(h, w->info.workflow_id, strlen(w->info.workflow_id) + 1);
    h = hash(h, words, sizeof words);
    /* Where a loop or a wait was interrupted is chance; where a fault happened is not. */
    for (uint32_t i = 0; i < HZ_MIN(count, TOP_FRAMES) && death->kind == HZ_DEATH_CRASH; i++) {
        uint64_t offset = frames[i].module[0] ? frames[i].address - frames[i].base : 0;
        h = hash(h, frames[i].module, strlen(frames[i].module) + 1);
        h = hash(h, &offset, sizeof offset);
    }
    snprintf(ret, 40, "%016" PRIx64, h);
}

/* ---- the whole ---- */

static json_t *build(const struct hz_worker *w, const struct hz_death *death, const char *execution_id, const char *input, size_t input_len,
        struct hz_store_crash *crash)
{
    const struct hz_crash_cell *cell = w->link.segment.lanes[death->lane].crash;
    struct hz_crash_frame frames[FRAMES];
    bool evidence = death->node != HZ_NO_NODE || death->kind == HZ_DEATH_CRASH, cut;
    uint32_t count = evidence ? hz_attribution_frames(cell, frames, FRAMES) : 0;
    char signature[40];
    sign(w, death, frames, count, signature);
    crash->signature = strdup(signature);
    char id[HZ_UUID_TEXT];
    hz_uuid_format(&crash->id, id);
    json_t *report = json_object();
    put(report, "id", json_string(id));
    put(report, "time", iso(crash->at_wall_ms));
    put(report, "kind", json_string(hz_death_kind_name(death->kind)));
    put(report, "likely", json_boolean(death->likely));
    put(report, "text", text_of(death->text, strlen(death->text)));
    put(report, "signature", json_string(signature));
    put(report, "workflowId", text_of(w->info.workflow_id, strlen(w->info.workflow_id)));
    put(report, "version", text_of(w->info.version, strlen(w->info.version)));
    put(report, "workerId", json_string(w->info.id_text));
    put(report, "processId", json_integer(w->info.pid));
    put(report, "resident", json_boolean(w->info.resident));
    put(report, "restarts", json_integer(w->info.restarts));
    put(report, "livedMs", json_integer((json_int_t)((hz_base_now_ns() - w->created_ns) / 1000000u)));
    put(report, "exitCode", json_integer(death->exit_code));
    if (death->signal)
        put(report, "signal", signal_of(death, cell));
    if (death->node != HZ_NO_NODE)
        put(report, "node", node_of(w, death));
    if (execution_id[0])
        put(report, "executionId", json_string(execution_id));
    if (input) {
        char *masked = hz_crash_mask(input, input_len, HZ_CRASH_INPUT_BYTES, w->workflow->env, &cut);
        json_t *part = json_object();
        put(part, "bytes", json_integer((json_int_t)input_len));
        put(part, "cut", json_boolean(masked ? cut : true));
        put(part, "text", masked ? text_of(masked, strlen(masked)) : NULL);
        put(report, "input", part);
        free(masked);
    }
    put(report, "backtrace", backtrace_of(w, frames, count));
    put(report, "usage", usage_of(&w->usage));
    put(report, "residentBytes", json_integer((json_int_t)w->info.rss_bytes));
    put(report, "limits", limits_of(&w->workflow->limits));
    put(report, "inFlight", json_integer(w->info.in_flight));
    put(report, "events", events_of(w, death->lane));
    return report;
}

char *hz_crash_report(const struct hz_worker *w, struct hz_death *death, const char *execution_id, const char *input, size_t input_len)
{
    struct hz_store_crash crash = {.id = hz_uuid_new(), .at_wall_ms = hz_base_wall_ms()};
    HZ_ASSERT(death->lane < w->link.segment.geometry.lanes);
    json_t *report = build(w, death, execution_id, input, input_len, &crash);
    size_t len = 0;
    char *text = hz_json_text_print(report, 0, &len);
    json_decref(report);
    char *masked = text ? hz_secrets_mask(w->secrets, text, len, &len) : NULL; /* wherever a secret of this worker got into it */
    if (masked) {
        free(text);
        text = masked;
    }
    hz_uuid_format(&crash.id, death->report);
    snprintf(crash.workflow_id, sizeof crash.workflow_id, "%s", w->info.workflow_id);
    snprintf(crash.kind, sizeof crash.kind, "%s", hz_death_kind_name(death->kind));
    snprintf(crash.worker_id, sizeof crash.worker_id, "%s", w->info.id_text);
    if (execution_id[0])
        (void)hz_uuid_parse(execution_id, strlen(execution_id), &crash.execution);
    crash.node = death->node_name[0] ? strdup(death->node_name) : NULL;
    crash.report = text ? strdup(text) : NULL;
    int err = crash.signature && crash.report ? hz_store_crash_put(&crash) : hz_err_set(HZ_ENOMEM, "a crash report");
    if (err) {
        HZ_LOG(WARN, "worker %s: its crash report is not kept: %s", w->info.id_text, hz_err_last());
        death->report[0] = 0;
        hz_store_crash_fini(&crash);
    } else {
        HZ_LOG(WARN, "workflow %s: crash report %s (%s%s)", w->info.workflow_id, death->report, death->likely ? "likely " : "",
                hz_death_kind_name(death->kind));
    }
    return text;
}

void hz_crash_start_error_flow(const struct hz_worker *w, const char *report, bool in_error_flow)
{
    struct hz_workflow *workflow;
    char *text = NULL;
    const char *id = w->workflow->on_error;
    if (!id[0] || w->yard->ending)
        return;
    if (in_error_flow || strcmp(id, w->workflow->id) == 0) {
        HZ_LOG(WARN, "workflow %s: its error flow %s is not started for the death of an error flow", w->workflow->id, id);
        return;
    }
    int err = hz_workflows_get(id, NULL, &workflow, &text);
    if (!err && workflow->plan->trigger_count > 0) {
        hz_workflow_unref(&workflow);
        err = hz_err_set(HZ_EFORMAT, "it has a trigger, an error flow has none");
    }
    if (err) {
        HZ_LOG(ERROR, "workflow %s: its error flow %s cannot be started: %s", w->workflow->id, id, text ? text : hz_err_last());
    } else {
        struct hz_submit submit = {.workflow = workflow, .data = report, .data_len = strlen(report), .trigger = "error"};
        hz_scheduler_submit(&submit, NULL, NULL, NULL);
    }
    free(text);
}
