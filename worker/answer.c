/*
 * answer.c - what a worker answers to the manager's questions (REQUEST): the node types it knows, its health, its state.
 * Worker, main thread.
 */
#include "describe.h"
#include "report.h"
#include "worker.h"

#include "core/flow/json_text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static json_t *list_nodes(void)
{
    json_t *nodes = json_object();
    for (const struct hz_loaded *l = hz_loader_first(); nodes && l; l = l->next)
        if (!json_object_get(nodes, l->desc->type) &&
                json_object_set_new(nodes, l->desc->type, hz_describe_node(l, false)) != 0) {
            json_decref(nodes);
            return NULL;
        }
    return nodes ? json_pack("{s:b, s:o}", "success", 1, "nodes", nodes) : NULL;
}

static json_t *get_node(const char *data, size_t len, const char **ret_error)
{
    json_t *request = json_loadb(data, len, 0, NULL), *answer = NULL;
    const char *type = json_string_value(json_object_get(request, "type"));
    if (!type || !*type) {
        *ret_error = "Tipo de nodo requerido";
    } else {
        *ret_error = "Tipo de nodo no encontrado";
        for (const struct hz_loaded *l = hz_loader_first(); l && !answer; l = l->next)
            if (strcmp(l->desc->type, type) == 0)
                answer = json_pack("{s:b, s:o?}", "success", 1, "node", hz_describe_node(l, false));
    }
    json_decref(request);
    return answer;
}

static json_int_t statistic(const struct hz_stats *stats, enum hz_stat which)
{
    return (json_int_t)HZ_MIN(stats->v[which], (uint64_t)INT64_MAX);
}

static json_t *health(struct hz_worker *worker)
{
    struct hz_thread *thread = worker->threads[0];
    hz_report_stats(thread, true);
    const struct hz_stats *s = &thread->stats;
    char now[HZ_ISO_TEXT];
    int64_t wall_ms = hz_base_wall_ms();
    hz_base_iso(wall_ms, now);
    return json_pack("{s:b, s:s, s:s, s:f, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I}}", "success", 1, "status", "OK", "timestamp", now,
            "uptime", (double)(wall_ms - worker->start_wall_ms) / 1000.0, "memoryUsage", "rss", statistic(s, HZ_STAT_rss_bytes),
            "heapTotal", statistic(s, HZ_STAT_heap_total_bytes), "heapUsed", statistic(s, HZ_STAT_heap_used_bytes), "external",
            statistic(s, HZ_STAT_external_bytes), "cpuUsage", "user", statistic(s, HZ_STAT_cpu_user_us), "system",
            statistic(s, HZ_STAT_cpu_system_us));
}

static json_t *status(struct hz_worker *worker)
{
    /* The other lanes' figures as they last published them: each has one writer, and this is a reader like any. */
    struct hz_stats total = {0}, lane;
    hz_report_stats(worker->threads[0], false);
    for (uint32_t i = 0; i < worker->thread_count; i++)
        if (hz_stats_read(worker->threads[i]->lane->stats, &lane))
            hz_stats_add(&total, &lane);
    char start[HZ_ISO_TEXT];
    hz_base_iso(worker->start_wall_ms, start);
    return json_pack("{s:b, s:s, s:s, s:i, s:s, s:s, s:{s:I, s:I, s:I}, s:I}", "success", 1, "workerId", worker->id_text,
            "workflowId", worker->workflow_id ? worker->workflow_id : "", "port", (int)worker->port, "status",
            worker->ready ? "running" : "starting", "startTime", start, "executions", "started",
            statistic(&total, HZ_STAT_executions_started), "finished", statistic(&total, HZ_STAT_executions_finished), "errors",
            statistic(&total, HZ_STAT_executions_failed), "nodes", (json_int_t)worker->site_count);
}

static void reply(struct hz_worker *worker, uint64_t request, json_t *data, const char *message)
{
    char *text = data ? hz_json_text_print(data, 0, NULL) : NULL;
    if (!text && !message)
        message = "Error interno del servidor";
    size_t len = text ? strlen(text) : 0, message_len = message ? strlen(message) : 0;
    struct hz_msg_answer head = {.request = request, .success = text != NULL, .message_len = (uint32_t)message_len,
            .data_len = len};
    struct hz_part parts[] = {{&head, sizeof(head)}, {message, message_len}, {text, len}};
    (void)hz_report_send(worker->threads[0], HZ_MSG_ANSWER, parts, HZ_COUNT_OF(parts), 0);
    free(text);
    json_decref(data);
}

void hz_answer_request(struct hz_worker *worker, const struct hz_msg *msg)
{
    const struct hz_msg_request *body = msg->body;
    char route[4097], message[sizeof(route) + 32]; /* the manager sends no longer one */
    size_t len = HZ_MIN(msg->str[0].len, sizeof(route) - 1);
    memcpy(route, msg->str[0].data, len);
    route[len] = '\0';
    struct hz_thread *thread = worker->threads[0];
    hz_recorder_add(thread->lane->recorder, HZ_EVENT_REQUEST, 0, 0, HZ_NO_NODE, HZ_MSG_REQUEST, body->request);
    if (strcmp(route, "nodes:list") == 0) {
        reply(worker, body->request, list_nodes(), NULL);
    } else if (strcmp(route, "nodes:get") == 0) {
        const char *error = NULL;
        json_t *data = get_node(msg->str[1].data, msg->str[1].len, &error);
        reply(worker, body->request, data, data ? NULL : error);
    } else if (strcmp(route, "system:health") == 0) {
        reply(worker, body->request, health(worker), NULL);
    } else if (strcmp(route, "worker:status") == 0) {
        reply(worker, body->request, status(worker), NULL);
    } else {
        snprintf(message, sizeof(message), "Ruta no encontrada: %s", route);
        reply(worker, body->request, NULL, message);
    }
}
