/*
 * metrics.c - GET /metrics: figures in the text form of Prometheus, base units, names by its conventions. Made when asked for, from what is
 * counted anyway; a registry of a thousand workers is one pass without copies.
 */
#include "internal.h"

#include "core/http/http.h"
#include "core/http/socketio.h"
#include "core/registry.h"
#include "core/scheduler.h"
#include "core/store.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sums {
    uint64_t status[HZ_WORKER_ERROR + 1], memory, in_flight, queued, restarts;
};

static void add_worker(const struct hz_worker_info *info, void *arg)
{
    struct sums *sums = arg;
    sums->status[info->status]++;
    sums->memory += info->rss_bytes ? info->rss_bytes : info->stats.v[HZ_STAT_rss_bytes];
    sums->in_flight += info->in_flight;
    sums->queued += info->queued;
    sums->restarts += info->restarts;
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(FILE *out, const char *name, const char *type, const char *help, double value)
{
    head(out, name, type, help);
    fprintf(out, "%s %.17g\n", name, value);
}

static void print(FILE *out)
{
    struct sums sums = {0};
    struct hz_sio_figures sockets;
    hz_registry_visit(add_worker, &sums);
    hz_sio_figures(&sockets);
    head(out, "horizon_build_info", "gauge", "The version that runs.");
    fprintf(out, "horizon_build_info{version=\"%s\"} 1\n", HZ_VERSION);
    head(out, "horizon_workers", "gauge", "Workers that are listed, by status.");
    for (int status = HZ_WORKER_STARTING; status <= HZ_WORKER_ERROR; status++)
        if (status != HZ_WORKER_STOPPED)
            fprintf(out, "horizon_workers{status=\"%s\"} %llu\n", hz_worker_status_name((enum hz_worker_status)status),
                    (unsigned long long)sums.status[status]);
    one(out, "horizon_workers_resident_memory_bytes", "gauge", "Resident memory of all workers.", (double)sums.memory);
    one(out, "horizon_executions_running", "gauge", "Executions that workers have in hand.", (double)sums.in_flight);
    one(out, "horizon_executions_waiting", "gauge", "Executions in the queues in front of workers.", (double)sums.queued);
    one(out, "horizon_executions_admitted", "gauge", "Executions accepted and not over, with those that wait their turn.", hz_scheduler_admitted());
    one(out, "horizon_workers_restarts", "gauge", "Restarts of the workers that are listed.", (double)sums.restarts);
    one(out, "horizon_store_pending_rows", "gauge", "Rows handed over and not yet committed.", (double)hz_store_pending());
    one(out, "horizon_store_lag_seconds", "gauge", "Age of the oldest of them.", (double)hz_store_lag_ms() / 1000);
    one(out, "horizon_store_degraded", "gauge", "1 while the store cannot write.", hz_store_degraded());
    one(out, "horizon_socketio_sessions", "gauge", "Connections of Engine.IO.", (double)sockets.sessions);
    one(out, "horizon_socketio_sockets", "gauge", "Connected sockets of Socket.IO.", (double)sockets.sockets);
    one(out, "horizon_socketio_waiting_bytes", "gauge", "Bytes that wait for clients.", (double)sockets.waiting_bytes);
    one(out, "horizon_socketio_opened_total", "counter", "Connections of Engine.IO since the start.", (double)sockets.opened);
    one(out, "horizon_socketio_dropped_slow_total", "counter", "Clients dropped because they did not read.", (double)sockets.dropped_slow);
    one(out, "horizon_socketio_refused_input_total", "counter", "Connections ended for what they sent.", (double)sockets.refused_input);
    one(out, "horizon_socketio_timed_out_total", "counter", "Clients that did not answer a heartbeat.", (double)sockets.timed_out);
    one(out, "horizon_socketio_received_events_total", "counter", "Events from clients.", (double)sockets.events_in);
    one(out, "horizon_socketio_sent_packets_total", "counter", "Packets to clients.", (double)sockets.packets_out);
    one(out, "horizon_socketio_sent_bytes_total", "counter", "Bytes to clients.", (double)sockets.bytes_out);
}

static void metrics(struct hz_http_request *request, void *arg)
{
    (void)arg;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out)
        print(out);
    if (out && fclose(out) == 0 && text)
        hz_http_respond(
                request, &(struct hz_http_response){.status = 200, .type = "text/plain; version=0.0.4; charset=utf-8", .body = text, .len = len});
    else
        hz_http_problem(request, 500, hz_err_text(HZ_ENOMEM));
    free(text);
}

int hz_metrics_init(void)
{
    return hz_http_route_for("GET", "/metrics", "metrics:get", metrics, NULL);
}
