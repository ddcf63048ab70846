/*
 * route_pages.c - workspaces:* and projects:*. On threads that may wait for the store. A workspace belongs to an account, or to nobody: then
 * everybody sees it. What is in a workspace is open to whoever knows its id and has the permission, as the pages expect.
 */
#include "pages.h"
#include "route.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fields of a request that are copied into a record; type: 's' text, 't' text or null, 'o' anything. */
struct field {
    const char *name;
    char type;
};
static const struct field workspace_fields[] = {{"name", 's'}, {"description", 't'}, {"color", 's'}, {"icon", 's'}, {NULL, 0}};
static const struct field project_fields[] = {
        {"name", 's'}, {"description", 't'}, {"transportType", 't'}, {"transportPattern", 't'}, {"transportConfig", 'o'}, {NULL, 0}};

/* False: one has a wrong type, and that is said. */
static bool take_fields(struct hz_route_work *w, const struct field *fields, json_t *to)
{
    for (; fields->name; fields++) {
        json_t *value = json_object_get(w->data, fields->name);
        if (!value)
            continue;
        bool fits = fields->type == 'o' || json_is_string(value) || (fields->type == 't' && json_is_null(value));
        if (!fits || (fields->type == 's' && json_string_length(value) == 0)) {
            (void)hz_route_wrong(w, 400, "%s: expected a text%s", fields->name, fields->type == 't' ? " or null" : " that is not empty");
            return false;
        }
        (void)json_object_set(to, fields->name, value);
    }
    return true;
}

static bool take_default(struct hz_route_work *w, json_t *to)
{
    json_t *value = json_object_get(w->data, "isDefault");
    if (value && !json_is_boolean(value)) {
        (void)hz_route_wrong(w, 400, "isDefault: expected true or false");
        return false;
    }
    if (value)
        (void)json_object_set(to, "isDefault", value);
    return true;
}

static bool is_common(const struct hz_doc *doc)
{
    return strcmp(doc->id, HZ_PAGES_WORKSPACE) == 0 || strcmp(doc->id, HZ_PAGES_PROJECT) == 0;
}

static void account_text(const struct hz_caller *caller, char ret_text[HZ_UUID_TEXT])
{
    hz_uuid_format(&caller->user, ret_text);
}

/* ---- workspaces ---- */
static bool may_change(const struct hz_caller *caller, const struct hz_doc *doc)
{
    char account[HZ_UUID_TEXT];
    account_text(caller, account);
    return caller->role <= HZ_ROLE_ADMIN || strcmp(doc->parent, account) == 0;
}

/* Nobody's workspaces are shown to each as his own. */
static struct hz_uuid owner_of(const struct hz_caller *caller, const struct hz_doc *doc)
{
    struct hz_uuid owner = caller->user;
    if (doc->parent[0])
        (void)hz_uuid_parse(doc->parent, strlen(doc->parent), &owner);
    return owner;
}

/* For the caller alone: he may find the handle of his login in it, which opens everything he may do. */
static json_t *shown_workspace(const struct hz_caller *caller, const struct hz_doc *doc, bool is_default)
{
    struct hz_uuid owner = owner_of(caller, doc);
    char shown[HZ_UUID_TEXT];
    hz_access_shown_id(caller, &owner, shown);
    return hz_pages_workspace_json(doc, shown, is_default);
}

/* For all others: with the account's id, which opens nothing. */
static json_t *told_workspace(const struct hz_caller *caller, const struct hz_doc *doc, bool is_default)
{
    struct hz_uuid owner = owner_of(caller, doc);
    char id[HZ_UUID_TEXT];
    hz_uuid_format(&owner, id);
    return hz_pages_workspace_json(doc, id, is_default);
}

static bool wants_default(const struct hz_doc *doc)
{
    return json_is_true(json_object_get(doc->data, "isDefault"));
}

static json_t *workspaces_list(struct hz_route_work *w)
{
    const char *asked = hz_route_text(w->data, "userId");
    struct hz_uuid user = w->caller->user, other;
    char account[HZ_UUID_TEXT];
    struct hz_doc *docs;
    size_t count, best = SIZE_MAX;
    if (asked && w->caller->role == HZ_ROLE_SUPERADMIN && hz_access_meant(w->caller, asked, &other))
        user = other;
    hz_uuid_format(&user, account);
    if (hz_store_records(HZ_DOC_WORKSPACE, NULL, &docs, &count))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        bool seen = strcmp(docs[i].status, "active") == 0 && (!docs[i].parent[0] || strcmp(docs[i].parent, account) == 0);
        if (!seen)
            docs[i].kind = 0;
        /* The account's own default; else the common one; else the oldest. */
        else if (best == SIZE_MAX || (wants_default(&docs[i]) && (!wants_default(&docs[best]) || !docs[best].parent[0])))
            best = i;
    }
    json_t *list = json_array();
    if (best != SIZE_MAX)
        (void)json_array_append_new(list, shown_workspace(w->caller, &docs[best], true));
    for (size_t i = 0; i < count; i++)
        if (docs[i].kind && i != best)
            (void)json_array_append_new(list, shown_workspace(w->caller, &docs[i], false));
    hz_store_records_free(&docs, count);
    return hz_route_yes("workspaces", list);
}

/* The account's other workspaces are no default any more. */
static void clear_defaults(const struct hz_doc *kept)
{
    struct hz_doc *docs;
    size_t count;
    if (hz_store_records(HZ_DOC_WORKSPACE, kept->parent, &docs, &count))
        return;
    for (size_t i = 0; i < count; i++)
        if (strcmp(docs[i].id, kept->id) != 0 && wants_default(&docs[i])) {
            (void)json_object_set_new(docs[i].data, "isDefault", json_false());
            if (hz_store_record_put(&docs[i], NULL))
                break; /* the newest default wins when the list is made */
        }
    hz_store_records_free(&docs, count);
}

static json_t *tell_workspace(struct hz_route_work *w, struct hz_doc *doc, const char *news)
{
    json_t *record = shown_workspace(w->caller, doc, wants_default(doc)), *told = told_workspace(w->caller, doc, wants_default(doc));
    w->revision = doc->revision;
    if (wants_default(doc))
        clear_defaults(doc);
    hz_doc_fini(doc);
    w->news = news;
    w->payload = told;
    return hz_route_yes("workspace", record);
}

static void new_doc(struct hz_doc *doc, enum hz_doc_kind kind, json_t *data)
{
    struct hz_uuid id;
    *doc = (struct hz_doc){.kind = kind, .status = "active", .created_ms = hz_base_wall_ms(), .data = data};
    doc->updated_ms = doc->created_ms;
    id = hz_uuid_new();
    hz_uuid_format(&id, doc->id);
}

static json_t *workspaces_create(struct hz_route_work *w)
{
    struct hz_doc doc;
    new_doc(&doc, HZ_DOC_WORKSPACE, json_pack("{s:n, s:s, s:s}", "description", "color", "#3b82f6", "icon", "mdi-briefcase"));
    account_text(w->caller, doc.parent);
    (void)json_object_set_new(doc.data, "isDefault", json_false());
    bool fits = take_fields(w, workspace_fields, doc.data) && take_default(w, doc.data);
    if (!fits || !json_object_get(doc.data, "name")) {
        hz_doc_fini(&doc);
        return fits ? hz_route_wrong(w, 400, "name: expected a text that is not empty") : NULL;
    }
    if (hz_store_record_put(&doc, NULL)) {
        hz_doc_fini(&doc);
        return NULL;
    }
    return tell_workspace(w, &doc, "workspaces:created");
}

/* The record a request means by its id, if it is there (what is archived is not) and the caller may change it; else what is wrong is said. */
static bool open_doc(struct hz_route_work *w, enum hz_doc_kind kind, struct hz_doc *ret_doc)
{
    const char *id = hz_route_text(w->data, "id"), *what = kind == HZ_DOC_WORKSPACE ? "workspace" : "project";
    int err = id ? hz_store_record_get(kind, id, ret_doc) : HZ_ENOTFOUND;
    bool read = !err, there = read && strcmp(ret_doc->status, "archived") != 0;
    if (there && (kind != HZ_DOC_WORKSPACE || may_change(w->caller, ret_doc)) && (!w->if_revision || w->if_revision == ret_doc->revision))
        return true;
    if (there && kind == HZ_DOC_WORKSPACE && !may_change(w->caller, ret_doc))
        (void)hz_route_wrong(w, 403, "the workspace belongs to somebody else");
    else if (there)
        (void)hz_route_wrong(w, 412, "somebody changed it: it is at r%llu now", (unsigned long long)ret_doc->revision);
    else if (read || err == HZ_ENOTFOUND)
        (void)hz_route_wrong(w, 404, "there is no %s %.128s", what, id ? id : "without an id");
    else
        w->status = 500;
    if (read)
        hz_doc_fini(ret_doc);
    return false;
}

static bool put_doc(struct hz_route_work *w, struct hz_doc *doc)
{
    doc->updated_ms = hz_base_wall_ms();
    int err = hz_store_record_put(doc, NULL);
    if (err) {
        if (err == HZ_EEXISTS)
            (void)hz_route_wrong(w, 412, "somebody else changed it meanwhile");
        else
            w->status = 500;
        hz_doc_fini(doc);
    }
    return err == 0;
}

static json_t *workspaces_update(struct hz_route_work *w)
{
    struct hz_doc doc;
    if (!hz_route_changes(w, "name, description, color, icon, isDefault") || !open_doc(w, HZ_DOC_WORKSPACE, &doc))
        return NULL;
    if (!take_fields(w, workspace_fields, doc.data) || !take_default(w, doc.data)) {
        hz_doc_fini(&doc);
        return NULL;
    }
    return put_doc(w, &doc) ? tell_workspace(w, &doc, "workspaces:updated") : NULL;
}

static json_t *delete_doc(struct hz_route_work *w, enum hz_doc_kind kind, const char *news)
{
    struct hz_doc doc;
    if (!open_doc(w, kind, &doc))
        return NULL;
    if (is_common(&doc)) {
        hz_doc_fini(&doc);
        return hz_route_wrong(w, 409, "it is everybody's, and where flows that come as files are kept: it stays");
    }
    snprintf(doc.status, sizeof doc.status, "archived");
    if (!put_doc(w, &doc))
        return NULL;
    w->news = news;
    w->payload = json_pack("{s:s}", "id", doc.id);
    hz_doc_fini(&doc);
    return json_pack("{s:b}", "success", 1);
}

/* For REST: the list has it, too. */
static json_t *workspaces_get(struct hz_route_work *w)
{
    const char *id = hz_route_text(w->data, "id");
    struct hz_doc doc;
    int err = id ? hz_store_record_get(HZ_DOC_WORKSPACE, id, &doc) : HZ_ENOTFOUND;
    bool seen = !err && strcmp(doc.status, "active") == 0 && (!doc.parent[0] || may_change(w->caller, &doc));
    json_t *record = seen ? shown_workspace(w->caller, &doc, wants_default(&doc)) : NULL;
    w->revision = err ? 0 : doc.revision;
    if (!err)
        hz_doc_fini(&doc);
    return seen ? hz_route_yes("workspace", record) : err && err != HZ_ENOTFOUND ? NULL : hz_route_no(w, 404, "Workspace no encontrado");
}

static json_t *workspaces_delete(struct hz_route_work *w)
{
    return delete_doc(w, HZ_DOC_WORKSPACE, "workspaces:deleted");
}

/* ---- projects ---- */
static json_t *projects_list(struct hz_route_work *w)
{
    const char *workspace = hz_route_text(w->data, "workspaceId");
    struct hz_doc *docs = NULL;
    size_t count = 0;
    if ((workspace || w->anywhere) && hz_store_records(HZ_DOC_PROJECT, workspace, &docs, &count))
        return NULL;
    json_t *list = json_array();
    for (size_t i = count; i-- > 0;)
        if (strcmp(docs[i].status, "active") == 0)
            (void)json_array_append_new(list, hz_pages_project_json(&docs[i]));
    hz_store_records_free(&docs, count);
    return hz_route_yes("projects", list);
}

static json_t *projects_get(struct hz_route_work *w)
{
    const char *workspace = hz_route_text(w->data, "workspaceId"), *id = hz_route_text(w->data, "projectId");
    struct hz_doc doc;
    int err = id && (workspace || w->anywhere) ? hz_store_record_get(HZ_DOC_PROJECT, id, &doc) : HZ_ENOTFOUND;
    if (err)
        return err == HZ_ENOTFOUND ? hz_route_no(w, 404, "Project not found") : NULL;
    w->revision = doc.revision;
    json_t *record = (!workspace || strcmp(doc.parent, workspace) == 0) && strcmp(doc.status, "archived") != 0 ? hz_pages_project_json(&doc) : NULL;
    hz_doc_fini(&doc);
    return record ? hz_route_yes("project", record) : hz_route_no(w, 404, "Project not found");
}

static bool is_transport(const json_t *value)
{
    static const char *const types[] = {"tcp", "rabbitmq", "kafka", "nats", "http", "websocket", "mqtt"};
    for (size_t i = 0; i < HZ_COUNT_OF(types); i++)
        if (json_is_string(value) && strcmp(json_string_value(value), types[i]) == 0)
            return true;
    return !value || json_is_null(value);
}

/* `none`, as pages say that a project has no transport, is kept as null. False: what is wrong is said. */
static bool take_project(struct hz_route_work *w, struct hz_doc *doc)
{
    const json_t *status = json_object_get(w->data, "status"), *transport = json_object_get(w->data, "transportType");
    const char *text = json_string_value(status);
    bool none = json_is_string(transport) && strcmp(json_string_value(transport), "none") == 0;
    if (status && !(text && (strcmp(text, "active") == 0 || strcmp(text, "inactive") == 0 || strcmp(text, "archived") == 0)))
        (void)hz_route_wrong(w, 400, "status: expected active, inactive or archived");
    else if (text && is_common(doc) && strcmp(text, "active") != 0)
        (void)hz_route_wrong(w, 409, "status: the project is everybody's, and where flows that come as files are kept: it stays active");
    else if (!none && !is_transport(transport))
        (void)hz_route_wrong(w, 400, "transportType: expected none, tcp, rabbitmq, kafka, nats, http, websocket, mqtt or null");
    if (w->status || !take_fields(w, project_fields, doc->data))
        return false;
    if (text)
        snprintf(doc->status, sizeof doc->status, "%s", text);
    return !none || json_object_set_new(doc->data, "transportType", json_null()) == 0;
}

static json_t *tell_project(struct hz_route_work *w, struct hz_doc *doc, const char *news)
{
    json_t *record = hz_pages_project_json(doc);
    w->revision = doc->revision;
    hz_doc_fini(doc);
    w->news = news;
    w->payload = json_incref(record);
    return hz_route_yes("project", record);
}

static json_t *projects_create(struct hz_route_work *w)
{
    const char *workspace = hz_route_text(w->data, "workspaceId");
    struct hz_doc doc, home;
    int err = workspace ? hz_store_record_get(HZ_DOC_WORKSPACE, workspace, &home) : HZ_ENOTFOUND;
    bool archived = !err && strcmp(home.status, "archived") == 0;
    if (!err)
        hz_doc_fini(&home);
    if (err || archived)
        return hz_route_wrong(w, err && err != HZ_ENOTFOUND ? 500 : 400, "workspaceId: there is no workspace %.128s", workspace ? workspace : "without an id");
    new_doc(&doc, HZ_DOC_PROJECT, json_pack("{s:n, s:n, s:n, s:n}", "description", "transportType", "transportPattern", "transportConfig"));
    snprintf(doc.parent, sizeof doc.parent, "%s", workspace);
    bool fits = take_project(w, &doc), named = json_object_get(doc.data, "name") != NULL;
    if (!fits || !named || hz_store_record_put(&doc, NULL)) {
        hz_doc_fini(&doc);
        return fits && !named ? hz_route_wrong(w, 400, "name: expected a text that is not empty") : NULL;
    }
    return tell_project(w, &doc, "projects:created");
}

static json_t *projects_update(struct hz_route_work *w)
{
    struct hz_doc doc;
    if (!hz_route_changes(w, "name, description, status, transportType, transportPattern, transportConfig") || !open_doc(w, HZ_DOC_PROJECT, &doc))
        return NULL;
    if (!take_project(w, &doc)) {
        hz_doc_fini(&doc);
        return NULL;
    }
    return put_doc(w, &doc) ? tell_project(w, &doc, "projects:updated") : NULL;
}

static json_t *projects_delete(struct hz_route_work *w)
{
    return delete_doc(w, HZ_DOC_PROJECT, "projects:deleted");
}

const struct hz_route hz_route_pages[] = {
        {"workspaces:list", "workspaces:list", NULL, "Error al cargar workspaces", NULL, workspaces_list, false},
        {"workspaces:get", "workspaces:list", NULL, "Error al cargar workspaces", NULL, workspaces_get, false},
        {"workspaces:create", "workspaces:create", NULL, "Error al crear workspace", NULL, workspaces_create, true},
        {"workspaces:update", "workspaces:update", NULL, "Error al actualizar workspace", NULL, workspaces_update, true},
        {"workspaces:delete", "workspaces:delete", NULL, "Error al eliminar workspace", NULL, workspaces_delete, true},
        {"projects:list", "projects:list", NULL, "Error al cargar proyectos", NULL, projects_list, false},
        {"projects:get", "projects:get", NULL, "Error al obtener project", NULL, projects_get, false},
        {"projects:create", "projects:create", NULL, "Error al crear proyecto", NULL, projects_create, true},
        {"projects:update", "projects:update", NULL, "Error al actualizar proyecto", NULL, projects_update, true},
        {"projects:delete", "projects:delete", NULL, "Error al eliminar proyecto", NULL, projects_delete, true},
        {NULL, NULL, NULL, NULL, NULL, NULL, false},
};
