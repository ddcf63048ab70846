/* pages.c - the rules of the records of workspaces, projects and workflows. Any thread that may wait for the store. */
#include "pages.h"

#include "archived.h"
#include "drawing.h"

#include "core/catalog.h"
#include "core/flow/json_text.h"
#include "core/scheduler.h"
#include "core/workflow.h"
#include "core/workflows.h"

#include "shm/err.h"
#include "shm/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 5 };

static json_t *or_null(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

static json_t *iso(int64_t wall_ms)
{
    char text[HZ_ISO_TEXT];
    hz_base_iso(wall_ms, text);
    return json_string(text);
}

static json_t *member(const struct hz_doc *doc, const char *key)
{
    return or_null(json_object_get(doc->data, key));
}

json_t *hz_pages_workspace_json(const struct hz_doc *doc, const char *user_id, bool is_default)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:b, s:s, s:o, s:o}", "id", doc->id, "name", member(doc, "name"), "description",
            member(doc, "description"), "color", member(doc, "color"), "icon", member(doc, "icon"), "userId", user_id, "isDefault", is_default,
            "status", doc->status, "createdAt", iso(doc->created_ms), "updatedAt", iso(doc->updated_ms));
}

json_t *hz_pages_project_json(const struct hz_doc *doc)
{
    return json_pack("{s:s, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "id", doc->id, "name", member(doc, "name"), "description",
            member(doc, "description"), "workspaceId", doc->parent, "status", doc->status, "transportType", member(doc, "transportType"),
            "transportPattern", member(doc, "transportPattern"), "transportConfig", member(doc, "transportConfig"), "createdAt",
            iso(doc->created_ms), "updatedAt", iso(doc->updated_ms));
}

/* A text in every record: pages take it apart without asking whether it is there. */
static json_t *duration(const struct hz_doc *doc)
{
    json_t *known = json_object_get(doc->data, "duration");
    return json_is_string(known) ? json_incref(known) : json_string("0s");
}

json_t *hz_pages_workflow_json(const struct hz_doc *doc)
{
    return json_pack("{s:s, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", doc->id, "name", member(doc, "name"), "description",
            member(doc, "description"), "projectId", doc->parent, "status", doc->status, "lastRun", member(doc, "lastRun"), "duration",
            duration(doc), "workflowData", member(doc, "workflowData"), "properties", member(doc, "properties"), "version",
            member(doc, "version"), "isPublished", member(doc, "isPublished"), "createdAt", iso(doc->created_ms), "updatedAt",
            iso(doc->updated_ms));
}

static json_t *merge_node(const json_t *node, const json_t *definitions)
{
    json_t *merged = json_copy((json_t *)(uintptr_t)node), *properties = json_object(), *stored = json_object_get(node, "properties"), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)definitions, key, value) {
        json_t *full = json_copy(value), *given = json_object_get(stored, key);
        if (json_is_object(given))
            (void)json_object_update(full, given);
        (void)json_object_set_new(properties, key, full);
    }
    json_object_foreach(stored, key, value)
        if (!json_object_get(definitions, key))
            (void)json_object_set(properties, key, value);
    (void)json_object_set_new(merged, "properties", properties);
    return merged;
}

void hz_pages_merge(json_t *workflow)
{
    json_t *data = json_object_get(workflow, "workflowData"), *nodes = json_object(), *types = hz_catalog_public(), *node;
    const char *key;
    if (json_is_object(data)) {
        json_object_foreach(json_object_get(data, "nodes"), key, node) {
            const char *type = json_string_value(json_object_get(node, "type"));
            const json_t *entry = type ? json_object_get(types, type) : NULL;
            if (entry)
                (void)json_object_set_new(nodes, key, merge_node(node, json_object_get(entry, "properties")));
        }
        hz_drawing_complete(nodes, json_object_get(data, "connections"), types);
        json_t *shown = json_copy(data); /* the record's own stays as it is */
        (void)json_object_set(shown, "nodes", nodes);
        (void)json_object_set_new(workflow, "workflowData", shown);
    }
    json_decref(nodes);
    json_decref(types);
}

/* ---- reading ---- */
int hz_pages_workflow(const char *id, const char *workspace, struct hz_doc *ret_doc, struct hz_doc *ret_project)
{
    struct hz_doc project = {0};
    int err = id ? hz_store_record_get(HZ_DOC_WORKFLOW, id, ret_doc) : HZ_ENOTFOUND;
    if (err)
        return err;
    if (strcmp(ret_doc->status, "archived") == 0)
        err = HZ_ENOTFOUND;
    if (!err && (workspace || ret_project))
        err = hz_store_record_get(HZ_DOC_PROJECT, ret_doc->parent, &project);
    if (!err && workspace && strcmp(project.parent, workspace) != 0)
        err = HZ_ENOTFOUND;
    if (err) {
        hz_doc_fini(ret_doc);
        hz_doc_fini(&project);
        return err;
    }
    hz_pages_settle(ret_doc);
    if (ret_project)
        *ret_project = project;
    else
        hz_doc_fini(&project);
    return 0;
}

static void set_duration(json_t *data, int64_t took_ms)
{
    char text[32];
    snprintf(text, sizeof text, "%llds", (long long)(took_ms / 1000));
    (void)json_object_set_new(data, "duration", json_string(text));
}

/* Nobody could note the end if the manager ended in between: then the execution's row says it. */
static void correct(struct hz_doc *run)
{
    const char *execution = json_string_value(json_object_get(run->data, "execution"));
    struct hz_uuid id;
    struct hz_store_execution row;
    if (strcmp(run->status, "running") != 0 || !execution || !hz_uuid_parse(execution, strlen(execution), &id) || hz_scheduler_get(&id, &row))
        return;
    if (row.state >= HZ_EXEC_SUCCESS) {
        snprintf(run->status, sizeof run->status, "%s", row.state == HZ_EXEC_SUCCESS ? "success" : "failed");
        if (row.ended_wall_ms && row.started_wall_ms)
            set_duration(run->data, row.ended_wall_ms - row.started_wall_ms);
    }
    hz_store_execution_fini(&row);
}

void hz_pages_settle(struct hz_doc *doc)
{
    static const char *const keys[] = {"lastRun", "duration"};
    struct hz_doc run;
    if (hz_store_record_get(HZ_DOC_RUN, doc->id, &run))
        return;
    correct(&run);
    if (strcmp(doc->status, "archived") != 0)
        memcpy(doc->status, run.status, sizeof doc->status);
    for (size_t i = 0; i < HZ_COUNT_OF(keys); i++)
        if (json_object_get(run.data, keys[i]))
            (void)json_object_set(doc->data, keys[i], json_object_get(run.data, keys[i]));
    hz_doc_fini(&run);
}

/* ---- writing ---- */
char *hz_pages_flow_text(const char *id, const json_t *data, bool lists, size_t *ret_len)
{
    const json_t *drawn = json_object_get(data, "workflowData");
    json_t *info = json_pack("{s:s, s:O}", "uid", id, "name", json_object_get(data, "name")), *flow = json_object(), *value;
    json_t *extra = json_object_get(data, "extra"), *nodes = json_object_get(drawn, "nodes"), *connections = json_object_get(drawn, "connections");
    const char *key;
    (void)json_object_update_missing(info, json_object_get(extra, "info"));
    if (lists)
        (void)json_object_del(info, "description");
    else
        (void)json_object_set(info, "description", json_object_get(data, "description"));
    if (!json_object_get(info, "disabled"))
        (void)json_object_set_new(info, "disabled", json_false());
    (void)json_object_set_new(flow, "info", info);
    value = json_object_get(data, "properties");
    (void)json_object_set_new(flow, "properties", json_is_object(value) ? json_incref(value) : json_object());
    (void)json_object_set(flow, "version", json_object_get(data, "version"));
    json_object_foreach(extra, key, value)
        if (strcmp(key, "info") != 0)
            (void)json_object_set(flow, key, value);
    for (size_t i = 0; lists && i < 2; i++)
        if (!json_object_get(flow, i ? "secrets" : "environment"))
            (void)json_object_set_new(flow, i ? "secrets" : "environment", json_array());
    (void)json_object_set_new(flow, "nodes", nodes ? json_incref(nodes) : json_object());
    (void)json_object_set_new(flow, "connections", connections ? json_incref(connections) : json_array());
    char *text = hz_json_text_print(flow, 2, ret_len);
    json_decref(flow);
    return text;
}

int hz_pages_write(struct hz_doc *doc, const char *change, const char *description, const char *author)
{
    const char *before = json_string_value(json_object_get(doc->data, "version"));
    char version[32] = "0.0.1", *findings = NULL;
    if (doc->revision > 0 && before)
        hz_workflow_version_next(before, version);
    else if (before && hz_workflow_version_number(before))
        snprintf(version, sizeof version, "%s", before);
    doc->updated_ms = hz_base_wall_ms();
    if (json_object_set_new(doc->data, "version", json_string(version)))
        return hz_err_set(HZ_ENOMEM, "workflow %s", doc->id);
    int err = hz_store_record_put(doc, &(struct hz_doc_change){version, change, description, author});
    if (!err)
        hz_archived_note(doc->id, strcmp(doc->status, "archived") == 0);
    if (err || !json_is_object(json_object_get(doc->data, "workflowData")) || strcmp(doc->status, "archived") == 0)
        return err;
    /* What compiles is the version that runs from now on; a draft that does not yet is only a record. */
    size_t len;
    char *text = hz_pages_flow_text(doc->id, doc->data, false, &len);
    if (text && hz_workflows_publish(doc->id, version, text, len, author, false, &findings))
        HZ_LOG(DEBUG, "workflow %s %s is kept as a draft: %s", doc->id, version, findings ? findings : hz_err_last());
    free(findings);
    free(text);
    return 0;
}

/* Two notes may come in the wrong order: an end is never undone by its own beginning, nor a later run by the end of one before it. */
static bool is_late(const struct hz_doc *doc, const struct hz_pages_run *run)
{
    const char *known = json_string_value(json_object_get(doc->data, "execution"));
    bool begins = run->last_run_ms != 0, same = known && run->execution && strcmp(known, run->execution) == 0;
    return begins ? same && strcmp(doc->status, "running") != 0 : known && run->execution && !same && strcmp(doc->status, "running") == 0;
}

void hz_pages_note_run(const char *id, const struct hz_pages_run *run)
{
    int err = HZ_EEXISTS;
    for (int i = 0; i < TRIES && (err == HZ_EEXISTS || err == HZ_ENOTFOUND); i++) {
        struct hz_doc doc;
        err = hz_store_record_get(HZ_DOC_RUN, id, &doc);
        if (err == HZ_ENOTFOUND) {
            doc = (struct hz_doc){.kind = HZ_DOC_RUN, .created_ms = hz_base_wall_ms(), .data = json_object()};
            snprintf(doc.id, sizeof doc.id, "%s", id);
        } else if (err) {
            break;
        }
        err = 0;
        if (!is_late(&doc, run)) {
            snprintf(doc.status, sizeof doc.status, "%s", run->status);
            if (run->execution)
                (void)json_object_set_new(doc.data, "execution", json_string(run->execution));
            if (run->last_run_ms) {
                (void)json_object_set_new(doc.data, "lastRun", iso(run->last_run_ms));
                (void)json_object_set_new(doc.data, "duration", json_null());
            }
            if (run->took_ms >= 0)
                set_duration(doc.data, run->took_ms);
            doc.updated_ms = hz_base_wall_ms();
            err = hz_store_record_put(&doc, NULL);
        }
        hz_doc_fini(&doc);
    }
    if (err)
        HZ_LOG(WARN, "how workflow %s ran is not noted: %s", id, hz_err_text(err));
}

/* ---- flows that came as files ---- */
static json_t *extra_of(const json_t *flow)
{
    static const char *const known[] = {"nodes", "connections", "properties", "version"};
    json_t *extra = json_copy((json_t *)(uintptr_t)flow);
    for (size_t i = 0; i < HZ_COUNT_OF(known); i++)
        (void)json_object_del(extra, known[i]);
    return extra;
}

static void follow(const char *id, const char *version, const json_t *flow, const char *author)
{
    struct hz_doc doc;
    const json_t *info = json_object_get(flow, "info");
    json_t *name = json_object_get(info, "name"), *description = json_object_get(info, "description"), *value;
    bool is_new = hz_store_record_get(HZ_DOC_WORKFLOW, id, &doc) != 0;
    if (!is_new && strcmp(version, json_string_value(json_object_get(doc.data, "version"))) == 0) {
        hz_doc_fini(&doc);
        return;
    }
    if (is_new) {
        doc = (struct hz_doc){.kind = HZ_DOC_WORKFLOW, .parent = HZ_PAGES_PROJECT, .status = "pending", .created_ms = hz_base_wall_ms()};
        snprintf(doc.id, sizeof doc.id, "%s", id);
        doc.data = json_pack("{s:s, s:n, s:n, s:b}", "description", "", "lastRun", "duration", "isPublished", 0);
    } else if (strcmp(doc.status, "archived") == 0) {
        snprintf(doc.status, sizeof doc.status, "pending"); /* somebody put its file back */
    }
    json_t *nodes = json_object_get(flow, "nodes"), *connections = json_object_get(flow, "connections");
    (void)json_object_set_new(doc.data, "name", json_is_string(name) ? json_incref(name) : json_string(id));
    if (json_is_string(description))
        (void)json_object_set(doc.data, "description", description);
    (void)json_object_set_new(doc.data, "workflowData",
            json_pack("{s:o, s:o}", "nodes", nodes ? json_incref(nodes) : json_object(), "connections",
                    connections ? json_incref(connections) : json_array()));
    value = json_object_get(flow, "properties");
    (void)json_object_set_new(doc.data, "properties", json_is_object(value) ? json_incref(value) : json_object());
    (void)json_object_set_new(doc.data, "extra", extra_of(flow));
    (void)json_object_set_new(doc.data, "version", json_string(version));
    doc.updated_ms = hz_base_wall_ms();
    doc.revision = is_new ? 0 : HZ_DOC_ANY;
    struct hz_doc_change change = {version, is_new ? "created" : "updated", is_new ? "Workflow creado" : "Workflow actualizado automáticamente",
            author};
    int err = hz_store_record_put(&doc, &change);
    if (!err)
        hz_archived_note(id, strcmp(doc.status, "archived") == 0);
    else
        HZ_LOG(WARN, "workflow %s has no record of version %s: %s", id, version, hz_err_last());
    hz_doc_fini(&doc);
}

static int make(enum hz_doc_kind kind, const char *id, const char *parent, json_t *data)
{
    struct hz_doc doc = {.kind = kind, .status = "active", .created_ms = hz_base_wall_ms(), .data = data};
    doc.updated_ms = doc.created_ms;
    snprintf(doc.id, sizeof doc.id, "%s", id);
    snprintf(doc.parent, sizeof doc.parent, "%s", parent);
    int err = data ? hz_store_record_put(&doc, NULL) : HZ_ENOMEM;
    hz_doc_fini(&doc);
    if (err != HZ_EEXISTS)
        return err;
    err = hz_store_record_get(kind, id, &doc);
    if (!err && strcmp(doc.status, "active") != 0) { /* without it nobody finds the flows in it */
        snprintf(doc.status, sizeof doc.status, "active");
        err = hz_store_record_put(&doc, NULL);
    }
    if (!err)
        hz_doc_fini(&doc);
    return err;
}

static void follow_stored(const char *id)
{
    struct hz_doc doc;
    char *text, version[32];
    size_t len;
    uint64_t hash;
    int64_t updated;
    if (hz_store_record_get(HZ_DOC_WORKFLOW, id, &doc) == 0) {
        hz_doc_fini(&doc);
        return;
    }
    if (hz_store_workflow_get(id, NULL, &text, &len, version, &hash, &updated))
        return;
    json_t *flow = hz_json_text_read(text, len);
    if (flow)
        follow(id, version, flow, "file");
    json_decref(flow);
    free(text);
}

int hz_pages_open(void)
{
    int err = make(HZ_DOC_WORKSPACE, HZ_PAGES_WORKSPACE, "",
            json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", "General", "description", "Lo que todos ven", "color", "#3b82f6", "icon", "mdi-briefcase", "isDefault", 1));
    if (!err)
        err = make(HZ_DOC_PROJECT, HZ_PAGES_PROJECT, HZ_PAGES_WORKSPACE,
                json_pack("{s:s, s:s, s:n, s:n, s:n}", "name", "General", "description", "Flujos de data/workflows", "transportType",
                        "transportPattern", "transportConfig"));
    if (err)
        return err;
    err = hz_archived_open();
    if (err)
        return err;
    json_t *rows = hz_store_workflow_list(), *row;
    size_t i;
    json_array_foreach(rows, i, row)
        follow_stored(json_string_value(json_object_get(row, "id")));
    json_decref(rows);
    hz_workflows_on_stored(follow);
    return 0;
}
