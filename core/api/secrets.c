/*
 * secrets.c - secrets by REST: names out, values in, never a value out; only over the Unix socket, whose peer the kernel vouches for.
 * The store is waited for (a commit, about a millisecond): an operator's rare act. Shard's thread.
 */
#include "internal.h"
#include "rest.h"

#include "core/http/http.h"
#include "core/secrets.h"

#include "shm/err.h"

#include <sodium.h>
#include <string.h>

static bool is_ours(struct hz_http_request *request)
{
    if (hz_http_over_socket(request))
        return true;
    hz_http_problem(request, 403, "secrets are handled over the data directory's socket only (horizon secret)");
    return false;
}

static void answer(struct hz_http_request *request, int err, json_t *value)
{
    if (!err) {
        hz_api_answer_value(hz_rest_done, request, 200, value);
        return;
    }
    json_decref(value);
    hz_http_problem(request, err == HZ_EFORMAT ? 422 : err == HZ_ENOTFOUND ? 404 : 500, hz_err_last());
}

static void list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    if (!is_ours(request))
        return;
    json_t *all = hz_secrets_list();
    answer(request, all ? 0 : HZ_EREFUSED, json_pack("{s:o?, s:n}", "secrets", all, "next"));
}

static void put(struct hz_http_request *request, void *arg)
{
    (void)arg;
    size_t len;
    if (!is_ours(request))
        return;
    const char *value = hz_http_body(request, &len);
    int err = hz_secrets_put(hz_http_param(request, "name"), value ? value : "", len);
    answer(request, err, json_pack("{s:s}", "name", hz_http_param(request, "name")));
}

static void drop(struct hz_http_request *request, void *arg)
{
    (void)arg;
    if (is_ours(request))
        answer(request, hz_secrets_remove(hz_http_param(request, "name")), json_pack("{s:s}", "name", hz_http_param(request, "name")));
}

static void rotate(struct hz_http_request *request, void *arg)
{
    (void)arg;
    size_t count = 0;
    if (!is_ours(request))
        return;
    int err = hz_secrets_rotate(&count);
    answer(request, err, json_pack("{s:I}", "secrets", (json_int_t)count));
}

int hz_api_secrets_init(void)
{
    int err = hz_http_route_for("GET", "/api/v1/secrets", "secrets:list", list, NULL);
    if (!err)
        err = hz_http_route_for("PUT", "/api/v1/secrets/:name", "secrets:update", put, NULL);
    if (!err)
        err = hz_http_route_for("DELETE", "/api/v1/secrets/:name", "secrets:delete", drop, NULL);
    if (!err)
        err = hz_http_route_for("POST", "/api/v1/secret-key", "secrets:rotate", rotate, NULL);
    return err;
}
