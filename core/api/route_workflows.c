/*
 * route_workflows.c - workflows:* without running them: list, record, changes, versions, files. On threads that may wait for the store. A
 * record is what people draw; the version of it that compiles is what runs (pages.h).
 */
#include "drawing.h"
#include "internal.h"
#include "options.h"
#include "pages.h"
#include "route.h"

#include "core/config.h"
#include "core/flow/json_text.h"
#include "core/registry.h"
#include "core/supervisor.h"
#include "core/workflow.h"
#include "core/workflows.h"

#include "shm/err.h"
#include "shm/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DURATION_MAX = 32 };

static const char unknown[] = "Workflow no encontrado";

static json_t *not_found(struct hz_route_work *w, int err)
{
    return err == HZ_ENOTFOUND ? hz_route_no(w, 404, unknown) : NULL;
}

static json_t *workflows_list(struct hz_route_work *w)
{
    const char *workspace = hz_route_text(w->data, "workspaceId"), *id = hz_route_text(w->data, "projectId");
    struct hz_doc project = {0}, *docs = NULL;
    size_t count = 0;
    int err = workspace && id ? hz_store_record_get(HZ_DOC_PROJECT, id, &project) : HZ_ENOTFOUND;
    if (!err && strcmp(project.parent, workspace) == 0)
        err = hz_store_records(HZ_DOC_WORKFLOW, id, &docs, &count);
    if (err && err != HZ_ENOTFOUND) {
        hz_doc_fini(&project);
        return NULL;
    }
    json_t *list = json_array(), *shown = project.data ? hz_pages_project_json(&project) : NULL;
    for (size_t i = count; i-- > 0;) {
        if (strcmp(docs[i].status, "archived") == 0)
            continue;
        hz_pages_settle(&docs[i]);
        json_t *record = hz_pages_workflow_json(&docs[i]);
        (void)json_object_set(record, "project", shown);
        (void)json_array_append_new(list, record);
    }
    json_decref(shown);
    hz_doc_fini(&project);
    hz_store_records_free(&docs, count);
    return hz_route_yes("workflows", list);
}

static json_t *workflows_get(struct hz_route_work *w)
{
    struct hz_doc doc, project;
    const char *workspace = hz_route_text(w->data, "workspaceId");
    int err = workspace || w->anywhere ? hz_pages_workflow(hz_route_text(w->data, "id"), workspace, &doc, &project) : HZ_ENOTFOUND;
    if (err)
        return not_found(w, err);
    json_t *record = hz_pages_workflow_json(&doc), *shown = hz_pages_project_json(&project);
    w->revision = doc.revision;
    hz_pages_merge(record);
    (void)json_object_set_new(record, "project",
            json_pack("{s:s, s:O, s:O, s:O}", "id", project.id, "name", json_object_get(shown, "name"), "description",
                    json_object_get(shown, "description"), "transportType", json_object_get(shown, "transportType")));
    json_decref(shown);
    hz_doc_fini(&doc);
    hz_doc_fini(&project);
    return hz_route_yes("workflow", record);
}

static json_t *iso(int64_t wall_ms)
{
    char text[HZ_ISO_TEXT];
    hz_base_iso(wall_ms, text);
    return json_string(text);
}

static bool is_status(const char *text)
{
    static const char *const names[] = {"pending", "running", "success", "failed"};
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++)
        if (strcmp(names[i], text) == 0)
            return true;
    return false;
}

/* False: a member is there and has another type; that is said. */
static bool fits(struct hz_route_work *w, const char *name, bool right, const char *expected)
{
    if (json_object_get(w->data, name) && !right)
        (void)hz_route_wrong(w, 400, "%s: expected %s", name, expected);
    return w->status == 0;
}

/* Optional fields of a request. False: one has a wrong type. */
static bool take_optional(struct hz_route_work *w, json_t *data)
{
    json_t *published = json_object_get(w->data, "isPublished"), *properties = json_object_get(w->data, "properties"),
           *duration = json_object_get(w->data, "duration"), *last = json_object_get(w->data, "lastRun");
    int64_t when = json_is_string(last) ? hz_api_parse_time(json_string_value(last)) : -1;
    if (!fits(w, "isPublished", json_is_boolean(published), "true or false") || !fits(w, "properties", json_is_object(properties), "an object") ||
            !fits(w, "lastRun", json_is_null(last) || when >= 0, "a time or null") ||
            !fits(w, "duration", json_is_null(duration) || (json_is_string(duration) && json_string_length(duration) <= DURATION_MAX),
                    "a text of at most 32 bytes, or null"))
        return false;
    if (when >= 0)
        (void)json_object_set_new(data, "lastRun", iso(when));
    if (json_is_string(duration))
        (void)json_object_set(data, "duration", duration);
    (void)json_object_set(data, "isPublished", published);
    (void)json_object_set(data, "properties", properties);
    return true;
}

/* What is drawn: nodes and connections of a request, or of the workflowData in it. */
static bool is_drawing(struct hz_route_work *w, const json_t *from)
{
    const json_t *nodes = json_object_get(from, "nodes"), *connections = json_object_get(from, "connections");
    if (nodes && !json_is_object(nodes))
        (void)hz_route_wrong(w, 400, "nodes: expected an object, node id to node");
    else if (connections && !json_is_array(connections))
        (void)hz_route_wrong(w, 400, "connections: expected a list");
    return w->status == 0;
}

/* The project a new workflow is for: there, and not archived, and neither is its workspace. */
static bool is_open_project(struct hz_route_work *w, const char *id)
{
    struct hz_doc project = {0}, space = {0};
    int err = id ? hz_store_record_get(HZ_DOC_PROJECT, id, &project) : HZ_ENOTFOUND;
    if (!err)
        err = hz_store_record_get(HZ_DOC_WORKSPACE, project.parent, &space);
    bool open = !err && strcmp(project.status, "archived") != 0 && strcmp(space.status, "archived") != 0;
    hz_doc_fini(&project);
    hz_doc_fini(&space);
    if (!open)
        (void)hz_route_wrong(w, err && err != HZ_ENOTFOUND ? 500 : 400, "projectId: there is no project %.128s", id ? id : "without an id");
    return open;
}

static json_t *tell(struct hz_route_work *w, struct hz_doc *doc, const char *news)
{
    json_t *record = hz_pages_workflow_json(doc);
    w->revision = doc->revision;
    hz_doc_fini(doc);
    w->news = news;
    w->payload = json_incref(record);
    return hz_route_yes("workflow", record);
}

static bool may_create(struct hz_route_work *w)
{
    const char *status = hz_route_text(w->data, "status"), *version = hz_route_text(w->data, "version");
    const json_t *drawn = json_object_get(w->data, "workflowData");
    if (!hz_route_text(w->data, "name"))
        (void)hz_route_wrong(w, 400, "name: expected a text that is not empty");
    else if (!json_is_string(json_object_get(w->data, "description")))
        (void)hz_route_wrong(w, 400, "description: expected a text");
    return w->status == 0 && fits(w, "status", !status || is_status(status), "pending, running, success or failed") &&
           fits(w, "workflowData", json_is_null(drawn) || json_is_object(drawn), "an object {nodes, connections}, or null") && is_drawing(w, drawn) &&
           fits(w, "version", !version || hz_workflow_version_number(version), "major.minor.patch, at most 65535.65535.999999999") &&
           is_open_project(w, hz_route_text(w->data, "projectId"));
}

static json_t *workflows_create(struct hz_route_work *w)
{
    const char *status = hz_route_text(w->data, "status"), *version = hz_route_text(w->data, "version");
    json_t *drawn = json_object_get(w->data, "workflowData");
    struct hz_doc doc = {.kind = HZ_DOC_WORKFLOW, .status = "pending", .created_ms = hz_base_wall_ms()};
    struct hz_uuid id;
    if (!may_create(w))
        return NULL;
    id = hz_uuid_new();
    hz_uuid_format(&id, doc.id);
    snprintf(doc.parent, sizeof doc.parent, "%s", hz_route_text(w->data, "projectId"));
    if (status)
        snprintf(doc.status, sizeof doc.status, "%s", status);
    doc.data = json_pack("{s:O, s:O, s:n, s:n, s:o, s:{}, s:s, s:b}", "name", json_object_get(w->data, "name"), "description",
            json_object_get(w->data, "description"), "lastRun", "duration", "workflowData", json_is_object(drawn) ? json_incref(drawn) : json_null(),
            "properties", "version", version ? version : "0.0.1", "isPublished", 0);
    if (!doc.data || !take_optional(w, doc.data) || hz_pages_write(&doc, "created", "Workflow creado", w->caller->name)) {
        hz_doc_fini(&doc);
        return NULL;
    }
    return tell(w, &doc, "workflows:created");
}

/* The same JSON text, with the order of keys. Absent: nothing is changed. */
static bool differs(const json_t *given, const json_t *stored)
{
    if (!given)
        return false;
    char *a = hz_json_text_print(given, 0, NULL), *b = stored ? hz_json_text_print(stored, 0, NULL) : NULL;
    bool same = a && b && strcmp(a, b) == 0;
    free(a);
    free(b);
    return !same;
}

/* Whether something changes; false with w->status: a value that cannot be. */
static bool take_changes(struct hz_route_work *w, json_t *data)
{
    static const char *const simple[] = {"name", "description", "properties", "isPublished"}, *const drawn[] = {"nodes", "connections"};
    const json_t *from = w->data;
    json_t *before = json_object_get(data, "workflowData"), *after;
    bool changed = false, redrawn = false;
    if (!fits(w, "name", hz_route_text(from, "name") != NULL, "a text that is not empty") ||
            !fits(w, "description", json_is_string(json_object_get(from, "description")), "a text") ||
            !fits(w, "properties", json_is_object(json_object_get(from, "properties")), "an object") ||
            !fits(w, "isPublished", json_is_boolean(json_object_get(from, "isPublished")), "true or false") || !is_drawing(w, from))
        return false;
    after = json_is_object(before) ? json_copy(before) : json_object();
    for (size_t i = 0; i < HZ_COUNT_OF(drawn); i++) {
        json_t *given = json_object_get(from, drawn[i]), *stored = json_object_get(before, drawn[i]);
        json_t *value = i == 0 && given ? hz_drawing_keep(given, stored) : json_incref(given);
        if (given && !value)
            w->status = 500;
        if (differs(value, stored)) {
            redrawn = true;
            (void)json_object_set(after, drawn[i], value);
        }
        json_decref(value);
    }
    if (redrawn)
        (void)json_object_set(data, "workflowData", after);
    json_decref(after);
    for (size_t i = 0; i < HZ_COUNT_OF(simple); i++) {
        json_t *value = json_object_get(from, simple[i]);
        if (differs(value, json_object_get(data, simple[i]))) {
            changed = true;
            (void)json_object_set(data, simple[i], value);
        }
    }
    return (changed || redrawn) && w->status == 0;
}

/* Nobody else changed it since it was seen. */
static bool is_seen(struct hz_route_work *w, const struct hz_doc *doc)
{
    if (w->if_revision && doc->revision != w->if_revision)
        (void)hz_route_wrong(w, 412, "somebody changed it: it is at r%llu now", (unsigned long long)doc->revision);
    return w->status == 0;
}

static bool write_change(struct hz_route_work *w, struct hz_doc *doc)
{
    int err = hz_pages_write(doc, "updated", "Workflow actualizado automáticamente", w->caller->name);
    if (err == HZ_EEXISTS)
        (void)hz_route_wrong(w, 412, "somebody else changed it meanwhile");
    return err == 0;
}

static json_t *workflows_update(struct hz_route_work *w)
{
    struct hz_doc doc;
    if (!hz_route_changes(w, "nodes, connections, name, description, properties, isPublished"))
        return NULL;
    int err = hz_pages_workflow(hz_route_text(w->data, "id"), NULL, &doc, NULL);
    if (err)
        return not_found(w, err);
    bool changes = is_seen(w, &doc) && take_changes(w, doc.data);
    if (!changes || !write_change(w, &doc)) {
        hz_doc_fini(&doc);
        return changes || w->status ? NULL : hz_route_no(w, 409, "No se han realizado cambios en el workflow");
    }
    return tell(w, &doc, "workflows:updated");
}

static void on_stopped(void *arg, enum hz_stop_how how)
{
    (void)arg;
    (void)how; /* whoever follows workers hears of it */
}

/* What goes on by itself, triggers above all, ends; executions that were accepted are finished. */
static void stop_workers(const struct hz_route_work *w)
{
    struct hz_worker_info *workers;
    size_t count;
    if (hz_registry_list(hz_route_text(w->data, "id"), &workers, &count)) {
        HZ_LOG(WARN, "workers of an archived workflow go on: %s", hz_err_last());
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (workers[i].resident)
            hz_supervisor_stop(&workers[i].id, w->caller->name, on_stopped, NULL);
    free(workers);
}

static json_t *workflows_delete(struct hz_route_work *w)
{
    const char *id = hz_route_text(w->data, "id");
    struct hz_doc doc;
    int err = hz_pages_workflow(id, NULL, &doc, NULL);
    if (err == HZ_ENOTFOUND && w->anywhere)
        return not_found(w, err);
    if (!err) {
        snprintf(doc.status, sizeof doc.status, "archived");
        if (!is_seen(w, &doc) || !write_change(w, &doc))
            err = HZ_EEXISTS;
        hz_doc_fini(&doc);
    }
    if (err && err != HZ_ENOTFOUND)
        return NULL;
    if (!err)
        w->after = stop_workers;
    w->news = "workflows:deleted";
    w->payload = json_pack("{s:s?}", "id", id);
    return json_pack("{s:b}", "success", 1);
}

/* For REST: all that are there, without what is drawn. */
static json_t *workflows_all(struct hz_route_work *w)
{
    const char *project = hz_route_text(w->data, "projectId");
    struct hz_doc *docs;
    size_t count;
    if (hz_store_records(HZ_DOC_WORKFLOW, project, &docs, &count))
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        if (strcmp(docs[i].status, "archived") == 0)
            continue;
        hz_pages_settle(&docs[i]);
        json_t *record = hz_pages_workflow_json(&docs[i]);
        (void)json_object_del(record, "workflowData");
        const json_t *info = json_object_get(json_object_get(docs[i].data, "extra"), "info");
        (void)json_object_set_new(record, "enabled", json_boolean(!json_is_true(json_object_get(info, "disabled"))));
        (void)json_array_append_new(list, record);
    }
    hz_store_records_free(&docs, count);
    return hz_route_yes("workflows", list);
}

/* ---- versions ---- */
static bool has_version(const json_t *list, const char *version)
{
    const json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
        if (strcmp(json_string_value(json_object_get(item, "version")), version) == 0)
            return true;
    return false;
}

/* Before the first one that is lower: what is equal stays in its order. */
static void insert_by_version(json_t *list, json_t *item)
{
    uint64_t number = hz_workflow_version_number(json_string_value(json_object_get(item, "version")));
    size_t at = 0;
    while (at < json_array_size(list) &&
            hz_workflow_version_number(json_string_value(json_object_get(json_array_get(list, at), "version"))) >= number)
        at++;
    (void)json_array_insert_new(list, at, item);
}

static json_t *workflows_get_versions(struct hz_route_work *w)
{
    const char *id = hz_route_text(w->data, "workflowId");
    struct hz_doc doc;
    int err = id ? hz_store_record_get(HZ_DOC_WORKFLOW, id, &doc) : HZ_ENOTFOUND;
    if (err)
        return not_found(w, err);
    json_t *history = hz_store_record_history(id), *list = json_array(), *row;
    json_t *version = json_object_get(doc.data, "version");
    insert_by_version(list, json_pack("{s:O, s:s, s:s, s:o, s:b}", "version", version, "changeType", "current", "changeDescription", "Versión actual",
                                    "createdAt", iso(doc.updated_ms), "isCurrent", 1));
    size_t i;
    json_array_foreach(history, i, row) {
        if (has_version(list, json_string_value(json_object_get(row, "version"))))
            continue;
        insert_by_version(list, json_pack("{s:O, s:O, s:O, s:o, s:b}", "version", json_object_get(row, "version"), "changeType",
                                        json_object_get(row, "changeType"), "changeDescription", json_object_get(row, "changeDescription"), "createdAt",
                                        iso((int64_t)json_integer_value(json_object_get(row, "createdMs"))), "isCurrent", 0));
    }
    json_t *answer = history ? json_pack("{s:b, s:o, s:O}", "success", 1, "versions", list, "currentVersion", version) : NULL;
    if (!answer)
        json_decref(list);
    json_decref(history);
    hz_doc_fini(&doc);
    return answer;
}

/* ---- files ---- */
static json_t *workflows_save_to_file(struct hz_route_work *w)
{
    const char *id = hz_route_text(w->data, "workflowId");
    struct hz_doc doc;
    int err = hz_pages_workflow(id, NULL, &doc, NULL);
    if (err)
        return not_found(w, err);
    size_t len;
    char *text = hz_pages_flow_text(id, doc.data, true, &len), *path = NULL;
    const char *version = json_string_value(json_object_get(doc.data, "version"));
    err = text ? hz_workflows_export(id, version, text, len) : HZ_ENOMEM;
    if (asprintf(&path, "%s/workflows/%s/flow.json", hz_api_config()->data_dir, id) < 0)
        path = NULL;
    json_t *answer = !err && path ? json_pack("{s:b, s:s, s:s}", "success", 1, "message", "Flujo guardado exitosamente", "path", path) : NULL;
    free(path);
    free(text);
    hz_doc_fini(&doc);
    return answer;
}

static json_t *workflows_save_to_json(struct hz_route_work *w)
{
    const char *id = hz_route_text(w->data, "id");
    struct hz_doc doc;
    int err = hz_pages_workflow(id, NULL, &doc, NULL);
    if (err)
        return not_found(w, err);
    json_t *record = hz_pages_workflow_json(&doc), *answer = NULL;
    char *text = record ? hz_json_text_print(record, 2, NULL) : NULL, *folder = NULL, *path = NULL, *shown = NULL;
    if (text && hz_workflows_valid_id(id, strlen(id)) && asprintf(&folder, "%s/uploads", hz_api_config()->data_dir) > 0 &&
            asprintf(&path, "%s/workflow_%s.json", folder, id) > 0 && asprintf(&shown, "uploads/workflow_%s.json", id) > 0) {
        (void)mkdir(folder, 0700);
        FILE *file = fopen(path, "we");
        bool written = file && fputs(text, file) >= 0;
        if (file && fclose(file) == 0 && written)
            answer = json_pack("{s:b, s:s}", "success", 1, "filePath", shown);
        else
            HZ_LOG(WARN, "%s was not written", path);
    }
    free(folder);
    free(path);
    free(shown);
    free(text);
    json_decref(record);
    hz_doc_fini(&doc);
    return answer;
}

const struct hz_route hz_route_workflows[] = {
        {"workflows:list", "workflows:list", NULL, "Error al cargar workflows", NULL, workflows_list, false},
        {"workflows:all", "workflows:list", NULL, "Error al cargar workflows", NULL, workflows_all, false},
        {"workflows:get", "workflows:get", NULL, "Error al obtener workflow", NULL, workflows_get, false},
        {"workflows:create", "workflows:create", NULL, "Error al crear workflow", NULL, workflows_create, true},
        {"workflows:update", "workflows:update", NULL, "Error al actualizar workflow", NULL, workflows_update, true},
        {"workflows:delete", "workflows:delete", NULL, "Error al eliminar workflow", NULL, workflows_delete, true},
        {"workflows:getVersions", "workflows:getVersions", NULL, "Error al obtener versiones del workflow", NULL, workflows_get_versions, false},
        {"workflows:saveToFile", "workflows:saveToFile", NULL, "Error al guardar flujo en archivo", NULL, workflows_save_to_file, true},
        {"workflows:save-to-json", "workflows:save-to-json", NULL, "Error al guardar workflow a JSON", NULL, workflows_save_to_json, true},
        {NULL, NULL, NULL, NULL, NULL, NULL, false},
};
