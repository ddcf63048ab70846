/*
 * api.c - puts the operations behind the doors: REST routes, webhooks, questions of workers; and the ways to answer
 * that all operations share.
 */
#include "archived.h"
#include "internal.h"

#include "core/flow/json_text.h"
#include "core/http/http.h"
#include "core/supervisor.h"
#include "core/workflows.h"
#include "events.h"
#include "rest.h"
#include "socket.h"
#include "herald.h"

#include "shm/err.h"

#include <stdlib.h>
#include <string.h>

static const struct hz_config *settings;

const struct hz_config *hz_api_config(void)
{
    return settings;
}

static void on_accept(struct hz_shard *shard, int fd, const void *addr, unsigned addr_len, uint32_t port,
        const struct hz_uuid *worker)
{
    (void)worker; /* the port says whose it is */
    hz_http_add(shard, fd, addr, addr_len, port);
}

int hz_api_init(const struct hz_config *config, bool served)
{
    settings = config;
    hz_health_init();
    hz_webhook_init();
    hz_supervisor_on_accept(on_accept, hz_http_port_free);
    int err = hz_asks_init();
    if (!err)
        err = hz_rest_init();
    if (err || !served)
        return err;
    err = hz_events_init();
    if (!err)
        err = hz_herald_init();
    return err ? err : hz_socket_init();
}

void hz_api_answer(hz_api_done_fn *done, void *arg, uint32_t status, struct hz_json *json)
{
    if (json->failed)
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
    else
        done(arg, &(struct hz_api_result){.status = status, .data = json->data, .len = json->len});
    hz_json_fini(json);
}

void hz_api_fail(hz_api_done_fn *done, void *arg, uint32_t status, const char *error)
{
    done(arg, &(struct hz_api_result){.status = status, .error = error});
}

bool hz_api_find_workflow(
        const char *id, const char *version, hz_api_done_fn *done, void *arg, struct hz_workflow **ret_workflow)
{
    char *text = NULL;
    int err = hz_archived_is(id) ? HZ_ENOTFOUND : hz_workflows_get(id, version, ret_workflow, &text);
    if (err)
        hz_api_fail(done, arg, err == HZ_ENOTFOUND ? 404 : 422,
                text                  ? text
                : err == HZ_ENOTFOUND ? "Workflow no encontrado"
                                      : hz_err_last());
    free(text);
    return err == 0;
}

void hz_api_answer_value(hz_api_done_fn *done, void *arg, uint32_t status, json_t *value)
{
    char *text = value ? hz_json_text_print(value, 0, NULL) : NULL;
    json_decref(value);
    if (text)
        done(arg, &(struct hz_api_result){.status = status, .data = text, .len = strlen(text)});
    else
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
    free(text);
}

bool hz_api_find_worker(
        const char *id, const char *missing, struct hz_worker_info *ret_info, hz_api_done_fn *done, void *arg)
{
    if (!id || !*id) {
        hz_api_fail(done, arg, 400, "ID de worker requerido");
        return false;
    }
    int found = hz_registry_find(id, ret_info);
    if (found == 2)
        hz_api_fail(done, arg, 409, "several workers have an id that begins so: more characters are needed");
    else if (found != 1)
        hz_api_fail(done, arg, 404, missing);
    return found == 1;
}

uint32_t hz_api_start_status(const char *error)
{
    static const char *const passing[] = {
            "puertos", "/dev/shm", "descriptor", "descriptores", "Too many", "memory", "busy", "ocupad"};
    for (size_t i = 0; i < HZ_COUNT_OF(passing); i++)
        if (strstr(error, passing[i]))
            return 503;
    return 500;
}
