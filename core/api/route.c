/*
 * route.c - finds an operation, makes the checks in their order, and runs it: on the shard, or on a thread of libuv's pool when it reads or
 * writes the store. Whatever goes wrong in between is the operation's own text of failure.
 */
#include "route.h"

#include "news.h"

#include "core/audit.h"
#include "core/flow/json_text.h"
#include "core/shard.h"

#include "shm/err.h"
#include "shm/log.h"
#include "shm/text.h"

#include <stdarg.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

enum { SAID_MOST = 10 }; /* refusals in the log, a second and shard */

static const struct hz_route *const tables[] = {hz_route_workers, hz_route_workflows, hz_route_execute, hz_route_pages, hz_route_nodes,
        hz_route_account, hz_route_events};

const struct hz_route *hz_route_at(size_t index)
{
    for (size_t i = 0; i < HZ_COUNT_OF(tables); i++)
        for (const struct hz_route *route = tables[i]; route->name; route++)
            if (index-- == 0)
                return route;
    return NULL;
}

const struct hz_route *hz_route_find(const char *name)
{
    for (size_t i = 0; i < HZ_COUNT_OF(tables); i++)
        for (const struct hz_route *route = tables[i]; route->name; route++)
            if (strcmp(route->name, name) == 0)
                return route;
    return NULL;
}

/* ---- answers ---- */
static json_t *message(const char *text)
{
    json_t *object = json_pack("{s:b, s:s}", "success", 0, "message", text);
    char *mended = object ? NULL : strdup(text); /* it may quote what is no text */
    if (mended) {
        hz_text_mend(mended);
        object = json_pack("{s:b, s:s}", "success", 0, "message", mended);
    }
    free(mended);
    return object;
}

static void fail(const struct hz_route_call *call, uint32_t status, const char *text, const char *detail)
{
    static const char nothing[] = "{\"success\":false,\"message\":\"Error interno del servidor\"}";
    json_t *object = message(text);
    struct hz_route_answer answer = {.status = status, .object = object, .detail = detail};
    if (!object) {
        answer.text = nothing;
        answer.len = sizeof nothing - 1;
    }
    call->done(call->arg, &answer);
    json_decref(object);
}

void hz_route_failf(const struct hz_route_call *call, uint32_t status, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    hz_route_fail(call, status, text ? text : "Error interno del servidor");
    free(text);
}

void hz_route_fail(const struct hz_route_call *call, uint32_t status, const char *text)
{
    fail(call, status, text, NULL);
}

json_t *hz_route_yes(const char *key, json_t *value)
{
    json_t *object = value ? json_pack("{s:b}", "success", 1) : NULL;
    if (object && (key ? json_object_set(object, key, value) : json_object_update(object, value))) {
        json_decref(object);
        object = NULL;
    }
    json_decref(value);
    return object;
}

json_t *hz_route_no(struct hz_route_work *w, uint32_t status, const char *text)
{
    w->status = status;
    return message(text);
}

json_t *hz_route_wrong(struct hz_route_work *w, uint32_t status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(w->detail, sizeof w->detail, format, list);
    va_end(list);
    w->status = status;
    return NULL;
}

/* Is one of names ("name, color") a member of data? */
static bool has_one(const json_t *data, const char *names)
{
    for (size_t size; *names; names += size + strspn(names + size, ", ")) {
        size = strcspn(names, ",");
        if (json_object_getn(data, names, size))
            return true;
    }
    return false;
}

bool hz_route_changes(struct hz_route_work *w, const char *names)
{
    if (!w->anywhere || has_one(w->data, names))
        return true;
    (void)hz_route_wrong(w, 422, "nothing in it can be changed: expected one or more of %s", names);
    return false;
}

void hz_route_answer(const struct hz_route_call *call, const char *key, json_t *value)
{
    json_t *object = hz_route_yes(key, value);
    if (object)
        call->done(call->arg, &(struct hz_route_answer){.status = 200, .object = object});
    else
        hz_route_fail(call, 500, "Error interno del servidor");
    json_decref(object);
}

void hz_route_answer_text(const struct hz_route_call *call, const char *text, size_t len)
{
    call->done(call->arg, &(struct hz_route_answer){.status = 200, .text = text, .len = len});
}

const char *hz_route_text(const json_t *data, const char *key)
{
    const char *text = json_string_value(json_object_get(data, key));
    return text && *text ? text : NULL;
}

/* ---- the order of one client's calls ---- */
struct hz_route_line {
    uint32_t references;
    bool changing;            /* a call that changes something is under way */
    struct job *first, *last; /* what waits for its end */
};

struct hz_route_line *hz_route_line_new(void)
{
    struct hz_route_line *line = calloc(1, sizeof *line);
    if (line)
        line->references = 1;
    return line;
}

void hz_route_line_unref(struct hz_route_line **line)
{
    if (*line && --(*line)->references == 0) {
        HZ_ASSERT(!(*line)->first && !(*line)->changing); /* each of those has a reference */
        free(*line);
    }
    *line = NULL;
}

/* ---- a call that is answered later ---- */
struct kept {
    struct hz_route_call call; /* first: what others have of it */
    struct hz_caller caller;
};

struct hz_route_call *hz_route_keep(const struct hz_route_call *call)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (!kept) {
        hz_route_fail(call, 500, "Error interno del servidor");
        return NULL;
    }
    kept->caller = *call->caller;
    kept->call = *call;
    kept->call.caller = &kept->caller;
    kept->call.data = json_incref(call->data);
    kept->call.origin = hz_news_keep(call->origin);
    if (call->line)
        call->line->references++;
    return &kept->call;
}

void hz_route_free(struct hz_route_call **call)
{
    if (!*call)
        return;
    struct kept *kept = HZ_CONTAINER_OF(*call, struct kept, call);
    json_decref(kept->call.data);
    hz_news_drop(kept->call.origin);
    hz_route_line_unref(&kept->call.line);
    free(kept);
    *call = NULL;
}

/* ---- on a thread that may block ---- */
struct job {
    uv_work_t work;
    struct hz_route_call *call;
    const struct hz_route *route;
    struct hz_route_work at;
    json_t *object;
    struct job *next; /* in its line */
};
static void launch(struct job *job);

static void run_job(uv_work_t *work)
{
    struct job *job = work->data;
    urcu_memb_register_thread(); /* catalogue and registry are read */
    job->object = job->route->work(&job->at);
    urcu_memb_unregister_thread();
}

/* What waited for a change: up to the next one that changes something. */
static void advance(struct hz_route_line *line)
{
    line->changing = false;
    while (line->first && !line->changing) {
        struct job *job = line->first;
        line->first = job->next;
        if (!line->first)
            line->last = NULL;
        launch(job);
    }
}

static void end_job(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct hz_route_line *line = job->route->changes ? job->call->line : NULL;
    bool success = job->object && json_is_true(json_object_get(job->object, "success"));
    const char *detail = job->at.detail[0] ? job->at.detail : NULL;
    if (status || !job->object)
        fail(job->call, job->at.status ? job->at.status : 500, job->route->failure, detail);
    else
        job->call->done(job->call->arg, &(struct hz_route_answer){.status = job->at.status ? job->at.status
                                                                            : success      ? 200
                                                                                           : 500,
                                                .object = job->object,
                                                .detail = detail,
                                                .revision = job->at.revision});
    if (success && job->at.after)
        job->at.after(&job->at);
    if (success && job->at.news)
        hz_news_all(job->at.news, job->at.payload, job->call->origin);
    json_decref(job->at.payload);
    json_decref(job->object);
    if (line)
        advance(line); /* the call still keeps it */
    hz_route_free(&job->call);
    free(job);
}

static void launch(struct job *job)
{
    struct hz_route_line *line = job->call->line;
    if (uv_queue_work(hz_shard_loop(hz_shard_self()), &job->work, run_job, end_job)) {
        hz_route_fail(job->call, 503, job->route->failure);
        hz_route_free(&job->call);
        free(job);
    } else if (line && job->route->changes) {
        line->changing = true;
    }
}

bool hz_route_takes_null(const struct hz_route *route)
{
    static const char *const names[] = {"auth:me", "workers:list", "workers:stats", "workers:dashboard", "nodes:list", "nodes:groups", "nodes:stats",
            "roles:list", "permissions:list", "users:list"};
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++)
        if (strcmp(names[i], route->name) == 0)
            return true;
    return false;
}

void hz_route_start(const struct hz_route *route, const struct hz_route_call *call, const struct hz_route_work *how)
{
    if (!call->data && !hz_route_takes_null(route)) { /* a field of nothing is read: a thrown error */
        hz_route_fail(call, 400, route->failure);
        return;
    }
    if (route->run) {
        route->run(call);
        return;
    }
    struct hz_route_call *kept = hz_route_keep(call);
    if (!kept)
        return;
    struct job *job = calloc(1, sizeof *job);
    if (job) {
        *job = (struct job){.call = kept, .route = route, .at = {.caller = kept->caller, .data = kept->data}};
        job->at.if_revision = how ? how->if_revision : 0;
        job->at.anywhere = how && how->anywhere;
        job->work.data = job;
    }
    struct hz_route_line *line = kept->line;
    if (!job) {
        hz_route_fail(kept, 503, route->failure);
        hz_route_free(&kept);
    } else if (line && line->changing) {
        if (line->last)
            line->last->next = job;
        else
            line->first = job;
        line->last = job;
    } else {
        launch(job);
    }
}

/* ---- the checks ---- */
/* A client can be refused some 100,000 times a second: the log hears of a few of them. A count of this shard alone. */
static bool may_say(void)
{
    static _Thread_local struct {
        uint64_t since_ns, left_out;
        unsigned said;
    } saying;
    uint64_t now = hz_base_now_ns();
    if (now - saying.since_ns > UINT64_C(1000000000)) {
        if (saying.left_out)
            HZ_LOG(INFO, "%llu more refusals are not in the log", (unsigned long long)saying.left_out);
        saying.since_ns = now;
        saying.said = 0;
        saying.left_out = 0;
    }
    if (saying.said < SAID_MOST) {
        saying.said++;
        return true;
    }
    saying.left_out++;
    return false;
}

static void refuse(const struct hz_route_call *call, uint32_t status, const char *text, const char *name)
{
    char shown[400];
    if (may_say()) {
        if (status == 401)
            HZ_LOG(INFO, "No se encontró el usuario");
        (void)hz_text_copy(shown, sizeof shown, name);
        HZ_LOG(INFO, "%s %s", text, shown);
    }
    hz_route_failf(call, status, "%s %s", text, name);
}

/* ---- the audit log ---- */
static const char *target_of(const json_t *data)
{
    static const char *const keys[] = {"id", "workerId", "workflowId", "projectId", "email", "userId"};
    const char *text = NULL;
    for (size_t i = 0; i < HZ_COUNT_OF(keys) && !text; i++)
        text = hz_route_text(data, keys[i]);
    return text;
}

/* What was asked for is noted when it is known what came of it. */
struct noting {
    struct hz_caller caller;
    hz_route_done_fn *done;
    void *arg;
    const char *name; /* the route's */
    char target[512];
};

/* The record an answer is about: what was made has its id only there. */
static const char *record_of(const json_t *answer)
{
    const char *key, *id = NULL;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)answer, key, member)
        if (!id)
            id = hz_route_text(member, "id");
    return id;
}

static void note_done(void *arg, const struct hz_route_answer *answer)
{
    struct noting *noting = arg;
    const char *record = answer->object ? record_of(answer->object) : NULL;
    hz_audit_note(&noting->caller, noting->name, record ? record : noting->target, answer->status);
    noting->done(noting->arg, answer);
    free(noting);
}

/* False: out of memory, and that is answered. */
static bool note_later(const struct hz_route *route, const struct hz_route_call *call, struct hz_route_call *ret)
{
    struct noting *noting = malloc(sizeof *noting);
    *ret = *call;
    if (!noting) {
        hz_route_fail(call, 503, route->failure);
        return false;
    }
    HZ_ASSERT(!call->became || route->permission); /* no login changes anything: who asked stays who he is */
    noting->caller = *call->caller;
    noting->done = call->done;
    noting->arg = call->arg;
    noting->name = route->name;
    (void)hz_text_copy(noting->target, sizeof noting->target, target_of(call->data));
    ret->done = note_done;
    ret->arg = noting;
    ret->became = NULL;
    return true;
}

void hz_route_run(const char *name, const struct hz_route_call *call)
{
    const struct hz_route *route = hz_route_find(name);
    const char *wanted = route ? route->permission : name;
    bool known = call->caller->kind != HZ_CALLER_NONE, noted = route && route->changes && known; /* nobody could fill the log */
    struct hz_route_call later;
    /* Who may do everything may also do what does not exist. */
    bool allowed = !wanted || hz_access_allows(call->caller, wanted) || (route && route->also && hz_access_allows(call->caller, route->also)) ||
                   (known && !route && call->caller->role == HZ_ROLE_SUPERADMIN && !hz_access_known(wanted));
    if (noted && !note_later(route, call, &later))
        return;
    if (noted)
        call = &later;
    if (!allowed)
        refuse(call, known ? 403 : 401, "No cumple permisos para ejecutar el método", name);
    else if (!route)
        refuse(call, 404, "No se encontró el método", name);
    else
        hz_route_start(route, call, NULL);
}
