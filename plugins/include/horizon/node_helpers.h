/*
 * horizon/node_helpers.h - one call for each helper function a Horizon worker offers its nodes. Included by
 * horizon/node.h.
 *
 * Questions (hz_ask_*): return HZ_DEFER afterwards; `fn` goes on with the call when the answer is there, at the latest
 * after 30 s. On success `data` is the route's whole answer, {"success":true, ...}. Messages (hz_tell_*) are not
 * answered and may be lost when the manager is behind. All of them only from the thread that runs the call; results
 * as hz_ask() and hz_tell(); objects handed in are not changed and not kept.
 */
#ifndef HORIZON_NODE_HELPERS_H
#define HORIZON_NODE_HELPERS_H

#include <time.h>

/* ---- Questions ------------------------------------------------------------------------------------------------- */

/* getNodesFromServer: all node types. Answer {success, nodes: {type: {...}}}. */
static inline int hz_ask_nodes(hz_call *call, hz_answer_fn *fn, void *arg)
{
    return hz_ask(call, HZ_ASK_NODES, hz_object(call), fn, arg);
}

/* One-member question {key: text}; text NULL leaves the member out. */
static inline int hz_ask_text_(
        hz_call *call, const char *route, const char *key, const char *text, hz_answer_fn *fn, void *arg)
{
    hz_value *data = hz_object(call);
    if (data && text && hz_set(data, key, hz_text(call, text)) != HZ_OK)
        data = NULL;
    return data ? hz_ask(call, route, data, fn, arg) : HZ_ERR_NOMEM;
}

/* getNodeFromServer: one node type. Answer {success, node}. */
static inline int hz_ask_node(hz_call *call, const char *type, hz_answer_fn *fn, void *arg)
{
    return hz_ask_text_(call, HZ_ASK_NODE, "type", type, fn, arg);
}

/* getWorkflowFromServer: a workflow of this worker's workspace. Answer {success, workflow}. */
static inline int hz_ask_workflow(hz_call *call, const char *id, hz_answer_fn *fn, void *arg)
{
    return hz_ask_text_(call, HZ_ASK_WORKFLOW, "id", id, fn, arg);
}

/* getSystemHealthFromServer: answer {success, status: "OK", timestamp, uptime (s), workers}. */
static inline int hz_ask_health(hz_call *call, hz_answer_fn *fn, void *arg)
{
    return hz_ask(call, HZ_ASK_HEALTH, hz_object(call), fn, arg);
}

/* getEnvironmentFromServer: the flow's own environment names; key NULL: all. Answer {success, envs: {...}}. */
static inline int hz_ask_environment(hz_call *call, const char *key, hz_answer_fn *fn, void *arg)
{
    return hz_ask_text_(call, HZ_ASK_ENVIRONMENT, "key", key, fn, arg);
}

/* getCredentialsFromServer: answer {success, name, result: {...}}. */
static inline int hz_ask_credentials(hz_call *call, const char *id, hz_answer_fn *fn, void *arg)
{
    return hz_ask_text_(call, HZ_ASK_CREDENTIALS, "id", id, fn, arg);
}

/* requestDatabaseOperation {operation, params}: params may be NULL. A manager need not serve it. */
static inline int hz_ask_database(
        hz_call *call, const char *operation, const hz_value *params, hz_answer_fn *fn, void *arg)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "operation", hz_text(call, operation)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (params && hz_set(data, "params", params) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_ask(call, HZ_ASK_DATABASE, data, fn, arg);
}

/* requestExternalAPI: request is {url, method?, headers?, data?, timeout?}. A manager need not serve it. */
static inline int hz_ask_external(hz_call *call, const hz_value *request, hz_answer_fn *fn, void *arg)
{
    return hz_ask(call, HZ_ASK_EXTERNAL, request, fn, arg);
}

/* requestFileOperation: request is {operation: read|write|delete|list, path, data?, encoding?}. A manager need not
 * serve it. */
static inline int hz_ask_file(hz_call *call, const hz_value *request, hz_answer_fn *fn, void *arg)
{
    return hz_ask(call, HZ_ASK_FILE, request, fn, arg);
}

/* ---- Messages -------------------------------------------------------------------------------------------------- */

/* Wall clock as 2025-07-11T10:20:30.456Z. Source of the calendar arithmetic: days are counted from 0000-03-01 so that
 * the leap day is a year's last, in eras of 400 years (146,097 days). */
static inline void hz_iso_time(char ret_text[25])
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    unsigned second = (unsigned)((unsigned long long)now.tv_sec % 86400u);
    unsigned long day = (unsigned long)((unsigned long long)now.tv_sec / 86400u) + 719468u;
    unsigned long era = day / 146097u, in_era = day % 146097u;
    unsigned long year_of_era = (in_era - in_era / 1460u + in_era / 36524u - in_era / 146096u) / 365u;
    unsigned long day_of_year = in_era - (365u * year_of_era + year_of_era / 4u - year_of_era / 100u);
    unsigned long month = (5u * day_of_year + 2u) / 153u;
    unsigned day_of_month = (unsigned)(day_of_year - (153u * month + 2u) / 5u + 1u);
    month = month < 10u ? month + 3u : month - 9u;
    unsigned long year = year_of_era + era * 400u + (month <= 2u);
    snprintf(ret_text, 25, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year % 10000u, (unsigned)month % 100u,
            day_of_month % 100u, second / 3600u % 100u, second / 60u % 60u, second % 60u,
            (unsigned)(now.tv_nsec / 1000000) % 1000u);
}

/* Sends a copy of `object` (NULL: {}) with the present time as `timestamp`. */
static inline int hz_tell_stamped_(hz_call *call, const char *route, const hz_value *object)
{
    char now[25];
    hz_iso_time(now);
    hz_value *copy = object ? hz_copy(call, object) : hz_object(call);
    if (!copy || hz_set(copy, "timestamp", hz_text(call, now)) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_tell(call, route, copy);
}

/* sendWorkerLog: level `info`, `warn` or `error`; data may be NULL. */
static inline int hz_tell_log(hz_call *call, const char *level, const char *message, const hz_value *data)
{
    hz_value *object = hz_object(call);
    if (!object || hz_set(object, "level", hz_text(call, level)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if (hz_set(object, "message", hz_text(call, message)) != HZ_OK || (data && hz_set(object, "data", data) != HZ_OK))
        return HZ_ERR_NOMEM;
    return hz_tell_stamped_(call, HZ_TELL_LOG, object);
}

/* sendLogs: entries is an array of {date: "DD/MM/YYYY HH:mm:ss.SSS", level, message}; hz_log_entry() makes one. */
static inline int hz_tell_logs(hz_call *call, const hz_value *entries)
{
    hz_value *object = hz_object(call);
    if (!object || hz_set(object, "data", entries) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_tell_stamped_(call, HZ_TELL_LOGS, object);
}

/* One entry for hz_tell_logs(), dated now in UTC. */
static inline hz_value *hz_log_entry(hz_call *call, const char *level, const char *message)
{
    char iso[25], date[25];
    hz_iso_time(iso);
    snprintf(date, sizeof date, "%.2s/%.2s/%.4s %.12s", iso + 8, iso + 5, iso, iso + 11);
    hz_value *entry = hz_object(call);
    if (!entry || hz_set(entry, "date", hz_text(call, date)) != HZ_OK)
        return NULL;
    if (hz_set(entry, "level", hz_text(call, level)) != HZ_OK ||
            hz_set(entry, "message", hz_text(call, message)) != HZ_OK)
        return NULL;
    return entry;
}

/* reportProgress of this node: percentage 0..100; step and message may be NULL. */
static inline int hz_tell_progress(hz_call *call, const char *step, double percentage, const char *message)
{
    hz_value *object = hz_object(call);
    hz_str node = hz_node_id(call);
    if (!object || hz_set(object, "nodeId", hz_string(call, node.data, node.len)) != HZ_OK)
        return HZ_ERR_NOMEM;
    if ((step && hz_set(object, "stepName", hz_text(call, step)) != HZ_OK) ||
            hz_set(object, "percentage", hz_num(call, percentage)) != HZ_OK ||
            (message && hz_set(object, "message", hz_text(call, message)) != HZ_OK))
        return HZ_ERR_NOMEM;
    return hz_tell_stamped_(call, HZ_TELL_PROGRESS, object);
}

/* sendMetrics: metrics is {executionTime?, memoryUsage?, cpuUsage?, nodesProcessed?, errorsCount?, customMetrics?}. */
static inline int hz_tell_metrics(hz_call *call, const hz_value *metrics)
{
    return hz_tell_stamped_(call, HZ_TELL_METRICS, metrics);
}

/* sendDebug: data goes to the people who watch this execution. */
static inline int hz_tell_debug(hz_call *call, const hz_value *data)
{
    hz_value *object = hz_object(call);
    if (!object || hz_set(object, "data", data) != HZ_OK ||
            hz_set(object, "target", hz_text(call, "getDebug")) != HZ_OK)
        return HZ_ERR_NOMEM;
    return hz_tell(call, HZ_TELL_DEBUG, object);
}

#endif
