/*
 * route_account.c - auth:*, settings:*, roles, permissions and users as the pages read them, and worker:environment. Accounts themselves
 * are core/access.h's. Settings are a record of each account.
 */
#include "pages.h"
#include "route.h"

#include "core/workflows.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char inner[] = "Error interno del servidor";

/* Pages show `avatar` as an image and have nothing in its place: head and shoulders for who has none. */
static const char nobody[] = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 40 40'%3E%3Cpath fill='%23cbd5e1' d='M0 0h40v40H0z'/%3E"
                             "%3Ccircle cx='20' cy='15' r='7' fill='%2364748b'/%3E%3Cpath fill='%2364748b' d='M6 40a14 14 0 0 1 28 0z'/%3E%3C/svg%3E";

/* The account as pages have it. New reference or NULL. */
static json_t *user_shown(const struct hz_caller *caller)
{
    json_t *user = hz_access_user_json(caller);
    if (user && json_is_null(json_object_get(user, "avatar")))
        (void)json_object_set_new(user, "avatar", json_string(nobody));
    return user;
}

/* ---- settings ---- */
static json_t *iso(int64_t wall_ms)
{
    char text[HZ_ISO_TEXT];
    hz_base_iso(wall_ms, text);
    return json_string(text);
}

static json_t *settings_default(void)
{
    return json_pack("{s:s, s:i, s:i, s:s, s:{}, s:{}, s:{}}", "theme", "crystal", "fontSize", 16, "canvasRefreshRate", 33, "language", "es",
            "notifications", "performance", "privacy");
}

/* The account's record; made in memory if it has none yet. */
static int settings_doc(const struct hz_uuid *user, struct hz_doc *ret)
{
    char account[HZ_UUID_TEXT];
    hz_uuid_format(user, account);
    int err = hz_store_record_get(HZ_DOC_SETTINGS, account, ret);
    if (err != HZ_ENOTFOUND)
        return err;
    *ret = (struct hz_doc){.kind = HZ_DOC_SETTINGS, .status = "active", .created_ms = hz_base_wall_ms(), .data = settings_default()};
    ret->updated_ms = ret->created_ms;
    memcpy(ret->id, account, sizeof account);
    memcpy(ret->parent, account, sizeof account);
    return ret->data ? 0 : HZ_ENOMEM;
}

static json_t *settings_json(const struct hz_caller *caller, const struct hz_uuid *user, const struct hz_doc *doc)
{
    char shown[HZ_UUID_TEXT];
    hz_access_shown_id(caller, user, shown);
    json_t *settings = json_pack("{s:s, s:s}", "id", doc->id, "userId", shown);
    (void)json_object_update(settings, doc->data);
    (void)json_object_set_new(settings, "createdAt", iso(doc->created_ms));
    (void)json_object_set_new(settings, "updatedAt", iso(doc->updated_ms));
    return settings;
}

/* Whose settings are meant: one's own, or, for who may change users, another's. */
static bool whose(const struct hz_route_work *w, struct hz_uuid *ret_user)
{
    const char *asked = hz_route_text(w->data, "userId");
    *ret_user = w->caller->user;
    if (!asked)
        return true;
    struct hz_uuid user;
    if (!hz_access_meant(w->caller, asked, &user))
        return false;
    *ret_user = user;
    return hz_uuid_equal(&user, &w->caller->user) || hz_access_allows(w->caller, "users:update");
}

static json_t *settings_get(struct hz_route_work *w)
{
    struct hz_uuid user;
    struct hz_doc doc;
    if (!whose(w, &user)) {
        w->status = 403;
        return NULL;
    }
    if (settings_doc(&user, &doc))
        return NULL;
    json_t *settings = settings_json(w->caller, &user, &doc);
    w->revision = doc.revision;
    hz_doc_fini(&doc);
    return hz_route_yes("settings", settings);
}

static json_t *settings_update(struct hz_route_work *w)
{
    static const struct {
        const char *name;
        json_type type;
    } fields[] = {{"theme", JSON_STRING}, {"fontSize", JSON_INTEGER}, {"canvasRefreshRate", JSON_INTEGER}, {"language", JSON_STRING},
            {"notifications", JSON_OBJECT}, {"performance", JSON_OBJECT}, {"privacy", JSON_OBJECT}};
    struct hz_uuid user;
    struct hz_doc doc;
    if (!hz_route_changes(w, "theme, fontSize, canvasRefreshRate, language, notifications, performance, privacy"))
        return NULL;
    if (!whose(w, &user))
        return hz_route_wrong(w, 403, "userId: only who may change accounts changes the settings of another one");
    if (settings_doc(&user, &doc))
        return NULL;
    for (size_t i = 0; i < HZ_COUNT_OF(fields); i++) {
        json_t *value = json_object_get(w->data, fields[i].name);
        if (value && json_typeof(value) != fields[i].type)
            (void)hz_route_wrong(w, 400, "%s: expected %s", fields[i].name,
                    fields[i].type == JSON_STRING ? "a text" : fields[i].type == JSON_INTEGER ? "a whole number" : "an object");
        else if (value)
            (void)json_object_set(doc.data, fields[i].name, value);
    }
    doc.updated_ms = hz_base_wall_ms();
    if (!w->status && w->if_revision && w->if_revision != doc.revision)
        (void)hz_route_wrong(w, 412, "somebody changed them: they are at r%llu now", (unsigned long long)doc.revision);
    if (w->status || hz_store_record_put(&doc, NULL)) {
        hz_doc_fini(&doc);
        return NULL;
    }
    json_t *settings = settings_json(w->caller, &user, &doc);
    w->revision = doc.revision;
    hz_doc_fini(&doc);
    return hz_route_yes("settings", settings);
}

/* ---- auth ---- */
static void answer_login(void *arg, const struct hz_login *login)
{
    struct hz_route_call *call = arg;
    struct hz_doc doc;
    if (login->result == HZ_LOGIN_OK) {
        json_t *user = user_shown(&login->caller);
        /* Reading one row of a snapshot: no wait for a commit. */
        if (user && settings_doc(&login->caller.user, &doc) == 0) {
            (void)json_object_set_new(user, "settings", settings_json(&login->caller, &login->caller.user, &doc));
            hz_doc_fini(&doc);
        } else if (user) {
            (void)json_object_set_new(user, "settings", json_null());
        }
        if (call->became)
            call->became(call->arg, &login->caller);
        hz_route_answer(call, "user", user);
    } else if (login->result == HZ_LOGIN_FAILED) {
        hz_route_fail(call, 500, inner);
    } else {
        hz_route_fail(call, login->result == HZ_LOGIN_THROTTLED ? 429 : 401, "Credenciales inválidas");
    }
    hz_route_free(&call);
}

static void auth_login(const struct hz_route_call *call)
{
    const char *email = hz_route_text(call->data, "email"), *password = hz_route_text(call->data, "password");
    if (!email || !password) {
        hz_route_fail(call, 401, "Credenciales inválidas");
        return;
    }
    struct hz_route_call *kept = hz_route_keep(call);
    if (kept)
        hz_access_login(HZ_CALLER_HANDLE, email, password, call->caller->address, answer_login, kept);
}

static void auth_me(const struct hz_route_call *call)
{
    json_t *user = call->caller->kind == HZ_CALLER_NONE ? NULL : user_shown(call->caller);
    if (user)
        hz_route_answer(call, "user", user);
    else
        hz_route_fail(call, 401, inner);
}

static void auth_check_permission(const struct hz_route_call *call)
{
    const char *user = hz_route_text(call->data, "userId"), *module = hz_route_text(call->data, "module"),
               *action = hz_route_text(call->data, "action");
    bool has = false;
    if (user && module && action && hz_access_check(call->caller, user, module, action, &has)) {
        hz_route_answer(call, "hasPermission", json_boolean(has));
        return;
    }
    json_t *object = json_pack("{s:b, s:b}", "success", 0, "hasPermission", 0);
    call->done(call->arg, &(struct hz_route_answer){.status = 400, .object = object});
    json_decref(object);
}

/* ---- accounts ---- */
static void roles_list(const struct hz_route_call *call)
{
    hz_route_answer(call, "roles", hz_access_roles_json());
}

static void permissions_list(const struct hz_route_call *call)
{
    hz_route_answer(call, "permissions", hz_access_permissions_json());
}

static void users_list(const struct hz_route_call *call)
{
    hz_route_answer(call, "users", hz_access_users_json(call->caller));
}

/* Only the names a flow lists; without a flow there are none. */
static json_t *worker_environment(struct hz_route_work *w)
{
    const char *id = hz_route_text(w->data, "workflowId"), *key = hz_route_text(w->data, "key");
    struct hz_workflow *workflow = NULL;
    char *text = NULL;
    json_t *envs = json_object();
    if (id && hz_workflows_get(id, NULL, &workflow, &text) == 0) {
        for (char **pair = workflow->env; pair && pair[0] && pair[1]; pair += 2)
            if (!key || strcmp(key, pair[0]) == 0)
                (void)json_object_set_new(envs, pair[0], json_string(pair[1]));
        hz_workflow_unref(&workflow);
    }
    free(text);
    return hz_route_yes("envs", envs);
}

const struct hz_route hz_route_account[] = {
        {"auth:login", NULL, NULL, inner, auth_login, NULL, false},
        {"auth:me", NULL, NULL, inner, auth_me, NULL, false},
        {"auth:check-permission", "auth:check-permission", NULL, inner, auth_check_permission, NULL, false},
        {"settings:get", "settings:get", NULL, "Error al cargar configuraciones", NULL, settings_get, false},
        {"settings:update", "settings:update", NULL, "Error al actualizar configuraciones", NULL, settings_update, true},
        {"roles:list", "roles:list", NULL, "Error al cargar roles", roles_list, NULL, false},
        {"permissions:list", "permissions:list", NULL, "Error al cargar permisos", permissions_list, NULL, false},
        {"users:list", "users:list", NULL, "Error al cargar usuarios", users_list, NULL, false},
        {"worker:environment", "worker:environment", NULL, "Error al cargar workers", NULL, worker_environment, false},
        {NULL, NULL, NULL, NULL, NULL, NULL, false},
};
