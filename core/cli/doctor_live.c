/*
 * doctor_live.c - does it really work: the node files, and messages through the shared memory of a real worker of a
 * manager of our own, in a temporary directory.
 */
#include "doctor.h"
#include "once.h"

#include "core/catalog.h"
#include "core/supervisor.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

enum { TRIPS = 50 };

void hz_doctor_nodes(struct hz_doctor *doctor)
{
    urcu_memb_register_thread();
    if (hz_catalog_refresh(doctor->config))
        hz_doctor_find(doctor, HZ_FINDING_BAD, "nodes", "install Horizon again",
                "the node types could not be learnt: %s", hz_err_last());
    else {
        json_t *types = hz_catalog_public(), *refused = hz_catalog_refused();
        size_t i;
        const json_t *file;
        json_array_foreach(refused, i, file)
        {
            hz_doctor_find(doctor, HZ_FINDING_WARN, "nodes",
                    "build it again against this version of the header, or take it away", "%s is refused: %s",
                    json_string_value(json_object_get(file, "file")),
                    json_string_value(json_object_get(file, "reason")));
        }
        bool none = json_object_size(types) == 0;
        hz_doctor_find(doctor, none ? HZ_FINDING_BAD : HZ_FINDING_OK, "nodes", none ? "install Horizon again" : "",
                "%zu node types in %s", json_object_size(types), doctor->config->nodes_path);
        json_decref(types);
        json_decref(refused);
    }
    hz_catalog_fini();
    urcu_memb_unregister_thread();
}

/* ---- round trip: callbacks on the main shard ---- */
static struct {
    struct hz_doctor *doctor;
    struct hz_uuid worker;
    uint64_t asked_ns, began_ns, ready_ns, trips[TRIPS];
    unsigned count;
    char error[512];
} live;

static void give_up(const char *error)
{
    snprintf(live.error, sizeof live.error, "%s", error);
    hz_cli_host->stop(HZ_EXIT_FAILED);
}

static void ask(void);

static void on_answer(void *arg, const char *data, size_t len, const char *error)
{
    (void)arg;
    (void)data;
    (void)len;
    if (error) {
        give_up(error);
        return;
    }
    live.trips[live.count++] = hz_base_now_ns() - live.asked_ns;
    if (live.count < TRIPS)
        ask();
    else
        hz_cli_host->stop(HZ_EXIT_OK);
}

static void ask(void)
{
    live.asked_ns = hz_base_now_ns();
    hz_supervisor_request(&live.worker, "worker:status", "{}", 2, on_answer, NULL);
}

static void on_worker(void *arg, const struct hz_worker_info *info, const char *error)
{
    (void)arg;
    if (error) {
        give_up(error);
        return;
    }
    live.ready_ns = hz_base_now_ns();
    live.worker = info->id;
    ask();
}

static void started(void *arg)
{
    (void)arg;
    static const char flow[] = "{\"info\":{\"uid\":\"doctor\",\"name\":\"doctor\"},\"properties\":{\"basic\":{"
                               "\"router\":\"\"},\"horizon\":{\"isolation\":"
                               "\"resident\"}},\"version\":\"0.0.1\",\"nodes\":{\"inicio\":{\"id\":\"inicio\",\"type\":"
                               "\"workflow_init\",\"name\":\"Inicio\","
                               "\"properties\":{}}},\"connections\":[]}";
    char version[32], *text = NULL;
    struct hz_workflow *workflow;
    int err = hz_workflows_put("doctor", flow, sizeof flow - 1, "doctor", version, &text);
    if (!err)
        err = hz_workflows_get("doctor", NULL, &workflow, &text);
    if (err)
        give_up(text && *text ? text : hz_err_last());
    free(text);
    if (err)
        return;
    live.began_ns = hz_base_now_ns();
    hz_supervisor_start(&(struct hz_start_options){.workflow = workflow}, on_worker, NULL);
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

void hz_doctor_live(struct hz_doctor *doctor)
{
    struct hz_config config;
    if (hz_config_load(&config))
        return; /* it was loaded a moment ago */
    live.doctor = doctor;
    int code = hz_once_run(&config, started, NULL);
    hz_config_fini(&config);
    if (code == HZ_EXIT_OK && live.count == TRIPS) {
        qsort(live.trips, TRIPS, sizeof *live.trips, compare_times);
        uint64_t median_ns = live.trips[TRIPS / 2];
        hz_doctor_find(doctor, HZ_FINDING_OK, "round trip", "",
                "a worker was ready after %.2f ms; a question and its answer took %.0f us (median of %d)",
                (double)(live.ready_ns - live.began_ns) / 1e6, (double)median_ns / 1e3, TRIPS);
    } else
        hz_doctor_find(doctor, HZ_FINDING_BAD, "round trip",
                "what is wrong above; else run `horizon run` on a small flow and read its log",
                "no message went through a worker: %s", live.error[0] ? live.error : "the manager did not start");
}
