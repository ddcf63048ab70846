/*
 * access.c - REST of accounts, roles, tokens and the audit log. What changes something waits for a commit, and maybe for a hash: it runs
 * on the helper thread of access and is answered from its shard.
 */
#include "internal.h"

#include "core/access.h"
#include "core/audit.h"
#include "core/http/http.h"
#include "resources.h"
#include "rest.h"

#include "shm/err.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { AUDIT_DEFAULT = 100, AUDIT_MOST = 1000 };

/* ---- one change ---- */
struct change {
    struct hz_http_request *request;
    struct hz_caller caller;
    int (*run)(struct change *change);
    json_t *body, *answer;
    char who[HZ_ACCESS_EMAIL]; /* of the path */
    const char *makes;         /* the body's member that names what is made, NULL: nothing is */
    uint32_t status;           /* of success */
    char error[512];
};

static uint32_t status_of(int err)
{
    switch (err) {
    case HZ_EFORMAT:
        return 422;
    case HZ_ENOTFOUND:
        return 404;
    case HZ_EEXISTS:
        return 409;
    case HZ_EREFUSED:
        return 403;
    default:
        return 503;
    }
}

static const char *text_of(const struct change *change, const char *name)
{
    return json_string_value(json_object_get(change->body, name));
}

void hz_rest_wipe(json_t *body)
{
    static const char *const names[] = {"password", "currentPassword"};
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++) {
        union {
            const char *read;
            char *written;
        } text = {json_string_value(json_object_get(body, names[i]))};
        if (text.read)
            sodium_memzero(text.written, strlen(text.read));
    }
    json_decref(body);
}

static int work(void *arg)
{
    struct change *change = arg;
    int err = change->run(change);
    if (err)
        snprintf(change->error, sizeof change->error, "%s", hz_err_last());
    return err;
}

static void done(void *arg, int result)
{
    struct change *change = arg;
    const char *name = change->makes ? text_of(change, change->makes) : NULL;
    if (name)
        hz_rest_made(change->request, name);
    if (result)
        hz_http_problem(change->request, status_of(result), change->error);
    else if (change->answer)
        hz_api_answer_value(hz_rest_done, change->request, change->status, json_incref(change->answer));
    else
        hz_http_respond(change->request, &(struct hz_http_response){.status = 204});
    json_decref(change->answer);
    hz_rest_wipe(change->body);
    free(change);
}

/* body: wanted, and read here; makes: see above. */
static void begin(struct hz_http_request *request, uint32_t status, bool body, int (*run)(struct change *change), const char *makes)
{
    const char *who = hz_http_param(request, "id");
    struct change *change = calloc(1, sizeof *change);
    if (!change) {
        hz_http_problem(request, 503, "out of memory");
        return;
    }
    change->request = request;
    change->caller = *hz_rest_caller(request);
    change->run = run;
    change->status = status;
    change->makes = makes;
    if (who && strlen(who) >= sizeof change->who) {
        hz_http_problem(request, 404, "there is no such account or token");
        free(change);
        return;
    }
    snprintf(change->who, sizeof change->who, "%s", who ? who : "");
    change->body = body ? hz_rest_body(request) : NULL;
    if (body && !change->body) {
        free(change);
        return;
    }
    if (hz_access_work(work, done, change)) {
        hz_http_problem(request, 503, hz_err_last());
        hz_rest_wipe(change->body);
        free(change);
    }
}

/* Is `name` one of "email name password"? */
static bool is_one(const char *names, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = strstr(names, name); len && at; at = strstr(at + 1, name))
        if ((at == names || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
            return true;
    return false;
}

/* Who sends something that is not looked at believes it was done: texts must be texts, and nothing else may be there but `others`, which
 * are checked where they are read. */
static int check_members(const struct change *change, const char *texts, const char *others)
{
    const char *key;
    const json_t *value;
    if (json_object_size(change->body) == 0)
        return hz_err_set(HZ_EFORMAT, "nothing is in it: expected one or more of %s %s", texts, others);
    json_object_foreach(change->body, key, value) {
        if (is_one(texts, key) && !json_is_string(value))
            return hz_err_set(HZ_EFORMAT, "%s: expected a text", key);
        if (!is_one(texts, key) && !is_one(others, key))
            return hz_err_set(HZ_EFORMAT, "%.64s: unknown; expected one or more of %s %s", key, texts, others);
    }
    return 0;
}

/* -1: it is not there. */
static int role_of(const struct change *change, int *ret_role)
{
    const json_t *value = json_object_get(change->body, "role");
    enum hz_role role;
    *ret_role = -1;
    if (!value)
        return 0;
    if (!json_is_string(value) || !hz_role_parse(json_string_value(value), &role))
        return hz_err_set(HZ_EFORMAT, "role: expected SuperAdmin, Admin, Manager, User or Viewer");
    *ret_role = (int)role;
    return 0;
}

/* One account as the list shows it. NULL: it is not there. */
static json_t *one_user(const struct hz_caller *caller, const char *id_or_mail)
{
    json_t *list = hz_access_users_json(caller), *user = NULL;
    struct hz_uuid id;
    char shown[HZ_UUID_TEXT] = "";
    size_t i;
    json_t *row;
    if (hz_access_meant(caller, id_or_mail, &id))
        hz_access_shown_id(caller, &id, shown);
    json_array_foreach(list, i, row)
        if (strcmp(json_string_value(json_object_get(row, "id")), shown) == 0 ||
                strcasecmp(json_string_value(json_object_get(row, "email")), id_or_mail) == 0)
            user = json_incref(row);
    json_decref(list);
    return user;
}

/* ---- accounts ---- */
static int add_user(struct change *change)
{
    int role;
    struct hz_uuid id;
    const char *email = text_of(change, "email"), *password = text_of(change, "password");
    int err = check_members(change, "email name password role", "");
    if (!err)
        err = role_of(change, &role);
    if (!err && (!email || !password || role < 0))
        err = hz_err_set(HZ_EFORMAT, "email, password and role are needed");
    if (!err)
        err = hz_access_user_add(&change->caller, email, text_of(change, "name"), (enum hz_role)role, password, &id);
    if (!err && !(change->answer = one_user(&change->caller, email)))
        err = hz_err_set(HZ_ENOMEM, "out of memory");
    return err;
}

static int change_user(struct change *change)
{
    struct hz_uuid id;
    char who[HZ_UUID_TEXT];
    const json_t *active = json_object_get(change->body, "active");
    struct hz_user_change wanted = {.password = text_of(change, "password"), .name = text_of(change, "name"), .active = -1};
    int err = check_members(change, "name password role", "active");
    if (!err)
        err = role_of(change, &wanted.role);
    if (!err && active && !json_is_boolean(active))
        err = hz_err_set(HZ_EFORMAT, "active: expected true or false");
    if (active)
        wanted.active = json_is_true(active);
    bool meant = hz_access_meant(&change->caller, change->who, &id); /* also one's own handle */
    if (meant)
        hz_uuid_format(&id, who);
    if (!err)
        err = hz_access_user_change(&change->caller, meant ? who : change->who, &wanted);
    if (!err && !(change->answer = one_user(&change->caller, change->who)))
        err = hz_err_set(HZ_ENOMEM, "out of memory");
    return err;
}

static int change_own(struct change *change)
{
    const char *present = text_of(change, "currentPassword"), *fresh = text_of(change, "password");
    if (!present || !fresh)
        return hz_err_set(HZ_EFORMAT, "currentPassword and password are needed");
    return hz_access_own_password(&change->caller, present, fresh);
}

static void me_change(struct hz_http_request *request, void *arg)
{
    (void)arg;
    begin(request, 204, true, change_own, NULL);
}

static void users_add(struct hz_http_request *request, void *arg)
{
    (void)arg;
    begin(request, 201, true, add_user, "email");
}

static void users_change(struct hz_http_request *request, void *arg)
{
    (void)arg;
    begin(request, 200, true, change_user, NULL);
}

static void answer_list(struct hz_http_request *request, const char *name, json_t *list)
{
    json_t *page = NULL;
    if (list && *hz_http_raw_query(request)) {
        page = hz_resources_page(request, name, list, NULL);
        if (!page)
            return; /* answered */
    } else if (list) {
        page = json_pack("{s:o, s:n}", name, list, "next");
    }
    hz_api_answer_value(hz_rest_done, request, 200, page);
}

static void users_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    answer_list(request, "users", hz_access_users_json(hz_rest_caller(request)));
}

static void users_get(struct hz_http_request *request, void *arg)
{
    (void)arg;
    json_t *user = one_user(hz_rest_caller(request), hz_http_param(request, "id"));
    if (user)
        hz_api_answer_value(hz_rest_done, request, 200, user);
    else
        hz_http_problem(request, 404, "there is no such account");
}

static void roles_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    answer_list(request, "roles", hz_access_roles_json());
}

static void permissions_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    answer_list(request, "permissions", hz_access_permissions_json());
}

/* ---- tokens ---- */
/* `scopes` of the body, a text or a list of texts, as one text; *ret NULL: absent or null. Whatever else is there is refused: a scope
 * that is not understood must not mean everything. */
static int scopes_of(const struct change *change, char buffer[HZ_ACCESS_SCOPES], const char **ret)
{
    const json_t *value = json_object_get(change->body, "scopes"), *one;
    size_t i, used = 0;
    *ret = json_string_value(value);
    if (!value || json_is_null(value) || json_is_string(value))
        return 0;
    buffer[0] = 0;
    json_array_foreach(value, i, one) {
        const char *text = json_string_value(one);
        if (!text)
            return hz_err_set(HZ_EFORMAT, "scopes[%zu]: expected a text such as workers:list", i);
        int len = snprintf(buffer + used, HZ_ACCESS_SCOPES - used, "%s%s", i ? " " : "", text);
        if (len < 0 || (size_t)len >= HZ_ACCESS_SCOPES - used)
            return hz_err_set(HZ_EFORMAT, "a token's scope has at most %d bytes", HZ_ACCESS_SCOPES - 1);
        used += (size_t)len;
    }
    *ret = buffer;
    return json_is_array(value) ? 0 : hz_err_set(HZ_EFORMAT, "scopes: expected a text such as \"workers:list executions:*\", a list of texts, or null");
}

static int add_token(struct change *change)
{
    int role;
    int64_t expires = 0;
    char token[HZ_ACCESS_SECRET], buffer[HZ_ACCESS_SCOPES];
    const char *name = text_of(change, "name"), *scopes = NULL;
    const json_t *days = json_object_get(change->body, "expiresDays");
    int err = check_members(change, "name role", "scopes expiresDays");
    if (!err)
        err = role_of(change, &role);
    if (!err && (!name || role < 0))
        err = hz_err_set(HZ_EFORMAT, "name and role are needed");
    if (!err && days && (!json_is_number(days) || json_number_value(days) <= 0 || json_number_value(days) > 36500))
        err = hz_err_set(HZ_EFORMAT, "expiresDays: expected a number above 0, at most 36500");
    if (!err && days)
        expires = hz_base_wall_ms() + (int64_t)(json_number_value(days) * 86400000.0);
    if (!err)
        err = scopes_of(change, buffer, &scopes);
    if (!err)
        err = hz_access_token_create(&change->caller, name, (enum hz_role)role, scopes, expires, token);
    if (err)
        return err;
    char iso[HZ_ISO_TEXT];
    hz_base_iso(expires, iso);
    change->answer = json_pack("{s:s, s:s, s:s, s:s, s:s?}", "name", name, "role", hz_role_name((enum hz_role)role), "scopes", scopes ? scopes : "",
            "token", token, "expiresAt", expires ? iso : NULL);
    sodium_memzero(token, sizeof token);
    return change->answer ? 0 : hz_err_set(HZ_ENOMEM, "out of memory");
}

static int drop_token(struct change *change)
{
    return hz_access_token_revoke(&change->caller, change->who);
}

static void tokens_add(struct hz_http_request *request, void *arg)
{
    (void)arg;
    begin(request, 201, true, add_token, "name");
}

static void tokens_drop(struct hz_http_request *request, void *arg)
{
    (void)arg;
    begin(request, 204, false, drop_token, NULL);
}

static void tokens_list(struct hz_http_request *request, void *arg)
{
    (void)arg;
    answer_list(request, "tokens", hz_access_tokens_json(hz_rest_caller(request)));
}

/* ---- audit log ---- */
static void audit(struct hz_http_request *request, void *arg)
{
    (void)arg;
    uint64_t limit = AUDIT_DEFAULT, before = 0, from = 0;
    if (!hz_rest_number(request, "limit", 1, AUDIT_MOST, &limit) || !hz_rest_number(request, "cursor", 0, INT64_MAX, &before) ||
            !hz_rest_number(request, "from", 0, INT64_MAX, &from))
        return;
    const struct hz_audit_filter filter = {.user = hz_http_query(request, "user"), .action = hz_http_query(request, "action"),
            .from_ms = (int64_t)from, .before_sequence = (int64_t)before, .limit = limit};
    json_t *list = hz_audit_list(&filter);
    if (!list) {
        hz_http_problem(request, 503, hz_err_last());
        return;
    }
    size_t count = json_array_size(list);
    json_t *next = count == limit ? json_incref(json_object_get(json_array_get(list, count - 1), "sequence")) : json_null();
    hz_api_answer_value(hz_rest_done, request, 200, json_pack("{s:o, s:o}", "audit", list, "next", next));
}

int hz_api_access_init(void)
{
    static const struct {
        const char *method, *pattern, *permission;
        hz_http_handler_fn *fn;
    } routes[] = {
            {"GET", "/api/v1/users", "users:list", users_list},
            {"POST", "/api/v1/users", "users:create", users_add},
            {"GET", "/api/v1/users/:id", "users:list", users_get},
            {"PATCH", "/api/v1/users/:id", "users:update", users_change},
            {"PATCH", "/api/v1/me", "", me_change},
            {"GET", "/api/v1/roles", "roles:list", roles_list},
            {"GET", "/api/v1/permissions", "permissions:list", permissions_list},
            {"GET", "/api/v1/tokens", "tokens:list", tokens_list},
            {"POST", "/api/v1/tokens", "tokens:create", tokens_add},
            {"DELETE", "/api/v1/tokens/:id", "tokens:revoke", tokens_drop},
            {"GET", "/api/v1/audit", "audit:list", audit},
    };
    int err = 0;
    for (size_t i = 0; !err && i < HZ_COUNT_OF(routes); i++)
        err = hz_http_route_for(routes[i].method, routes[i].pattern, routes[i].permission, routes[i].fn, NULL);
    return err;
}
