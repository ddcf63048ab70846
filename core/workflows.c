/*
 * workflows.c - the flows the manager knows. The store is the truth; DIR/workflows/<id>/flow.json is its export, and an import
 * when somebody else changed it. Compiled versions are cached per catalogue version. Any thread.
 *
 * Synchronisation: `lock` guards the cache's chains and serialises put() so that two writers of one workflow get two version
 * numbers. A compiled workflow is immutable; its count is atomic. The lock is held during a compilation (below a millisecond).
 */
#include "workflows.h"

#include "catalog.h"
#include "config.h"
#include "policy.h"
#include "store.h"
#include "store_records.h"
#include "workflow_files.h"
#include "workflow.h"
#include "workflow_settings.h"

#include "core/flow/json_text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 256u
#define CACHE_LIMIT 4096u

struct cached {
    struct cached *next;
    struct hz_workflow *workflow;
    uint64_t catalog_version;
    bool newest; /* was the newest version when it was compiled; put() clears it */
};

static struct {
    pthread_mutex_t lock;
    const struct hz_config *config;
    struct cached *buckets[BUCKETS];
    size_t count;
} flows = {.lock = PTHREAD_MUTEX_INITIALIZER};

int hz_workflows_open_store(const struct hz_config *config)
{
    const struct hz_store_options options = {.history = config->history,
            .history_days = config->history_days,
            .max_bytes = (uint64_t)config->store_mb << 20,
            .checked = config->follows};
    return hz_store_open_with(config->data_dir, &options);
}

int hz_workflows_init(const struct hz_config *config)
{
    flows.config = config;
    return 0;
}

static void free_cached(struct cached **link)
{
    struct cached *c = *link;
    *link = c->next;
    hz_workflow_unref(&c->workflow);
    free(c);
    flows.count--;
}

void hz_workflows_fini(void)
{
    for (size_t i = 0; i < BUCKETS; i++)
        while (flows.buckets[i])
            free_cached(&flows.buckets[i]);
}

bool hz_workflows_valid_id(const char *id, size_t len)
{
    if (len == 0 || len > 127 || id[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)id[i];
        if (c < 0x20 || c == 0x7f || c == '/' || c == '\\' || (c == '.' && i + 1 < len && id[i + 1] == '.'))
            return false;
    }
    return true;
}

static struct cached **bucket_of(const char *id)
{
    return &flows.buckets[hz_workflow_files_hash(id, strlen(id)) % BUCKETS];
}

static struct cached *find_cached(const char *id, const char *version, uint64_t catalog_version)
{
    for (struct cached **link = bucket_of(id); *link;) {
        struct cached *c = *link;
        if (c->catalog_version != catalog_version) {
            free_cached(link); /* the node types changed: compiled anew when next asked for */
            continue;
        }
        if (strcmp(c->workflow->id, id) == 0 && (version ? strcmp(c->workflow->version, version) == 0 : c->newest))
            return c;
        link = &c->next;
    }
    return NULL;
}

static hz_workflows_stored_fn *stored_fn; /* set before the shards run */

/* The text of this version has changed: whoever asks next compiles it anew. */
static void forget_version(const char *id, const char *version)
{
    for (struct cached *c = *bucket_of(id); c; c = c->next)
        if (strcmp(c->workflow->id, id) == 0) {
            c->newest = false;
            if (strcmp(c->workflow->version, version) == 0)
                c->catalog_version = UINT64_MAX;
        }
}

/*
 * flow.json holds the newest version, or an older one that was run by name: then its sum is kept, so that the next start does not take it
 * for a change somebody made. older: it is such a one.
 */
static void note_export(const char *id, uint64_t sum, bool older)
{
    struct hz_doc doc;
    if (hz_store_record_get(HZ_DOC_EXPORT, id, &doc)) {
        if (!older)
            return;
        doc = (struct hz_doc){.kind = HZ_DOC_EXPORT, .created_ms = hz_base_wall_ms()};
        snprintf(doc.id, sizeof doc.id, "%s", id);
    }
    json_decref(doc.data);
    doc.data = json_pack("{s:I}", "hash", (json_int_t)sum);
    doc.revision = HZ_DOC_ANY;
    doc.updated_ms = hz_base_wall_ms();
    if (!doc.data || hz_store_record_put(&doc, NULL))
        HZ_LOG(WARN, "workflow %s: %s", id, hz_err_last());
    hz_doc_fini(&doc);
}

static bool is_export(const char *id, uint64_t sum)
{
    struct hz_doc doc;
    if (hz_store_record_get(HZ_DOC_EXPORT, id, &doc))
        return false;
    bool same = (uint64_t)json_integer_value(json_object_get(doc.data, "hash")) == sum;
    hz_doc_fini(&doc);
    return same;
}

static void forget_newest(const char *id)
{
    for (struct cached *c = *bucket_of(id); c; c = c->next)
        if (strcmp(c->workflow->id, id) == 0)
            c->newest = false;
}

/* All findings, a line each. */
static char *report_text(const struct hz_flow_report *report, const char *file)
{
    char *all = NULL;
    size_t used = 0;
    for (size_t i = 0; i < report->count; i++) {
        char *line = hz_flow_finding_text(&report->findings[i], file);
        size_t len = line ? strlen(line) : 0;
        char *grown = line ? realloc(all, used + len + 2) : NULL;
        if (grown) {
            all = grown;
            memcpy(all + used, line, len);
            all[used + len] = '\n';
            all[used + len + 1] = 0;
            used += len + 1;
        }
        free(line);
    }
    return all ? all : strdup(hz_err_last());
}

/* Text to a workflow ready to run. strict: as check() and import do. */
static int compile(const char *id, const char *version, const char *text, size_t len, bool strict, struct hz_workflow **ret_workflow,
        char **ret_text)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    struct hz_policy_rights rights = {0};
    json_t *types = hz_catalog_get();
    int err = types ? 0 : hz_err_set(HZ_ENOTFOUND, "the node types are not known yet");
    if (!err)
        err = hz_flow_parse(text, len, &report, &flow);
    if (!err)
        err = hz_flow_compile(flow, types, strict, &report, &plan);
    if (!err && strict)
        err = hz_workflow_files_check_scripts(plan, flows.config, &report);
    if (!err)
        err = hz_policy_judge(plan, id, &report, &rights);
    if (!err) {
        struct hz_workflow_settings settings;
        err = hz_workflow_settings_read(hz_flow_json(flow), plan, flows.config, &report, &settings);
    }
    if (err && ret_text)
        *ret_text = report_text(&report, id);
    if (err) {
        free(plan);
        plan = NULL;
    }
    if (!err) {
        err = hz_workflow_new(id, version ? version : hz_flow_version(flow), hz_flow_json(flow), plan, flows.config, ret_workflow);
        if (err && ret_text)
            *ret_text = strdup(hz_err_last());
        if (!err) {
            (*ret_workflow)->caps = rights.caps;
            (*ret_workflow)->uid = rights.uid;
            (*ret_workflow)->paths = rights.paths;
            (*ret_workflow)->paths_len = rights.paths_len;
            rights.paths = NULL;
        }
    }
    hz_policy_rights_fini(&rights);
    hz_flow_report_fini(&report);
    hz_flow_free(&flow);
    json_decref(types);
    return err;
}

static int load(const char *id, const char *version, uint64_t catalog_version, struct cached **ret_cached, char **ret_text)
{
    char *text, found[32];
    size_t len;
    uint64_t hash;
    int64_t updated;
    int err = hz_store_workflow_get(id, version, &text, &len, found, &hash, &updated);
    if (err)
        return err;
    struct cached *c = calloc(1, sizeof *c);
    err = c ? compile(id, found, text, len, false, &c->workflow, ret_text) : hz_err_set(HZ_ENOMEM, "workflow %s", id);
    free(text);
    if (err) {
        free(c);
        return err;
    }
    c->catalog_version = catalog_version;
    c->newest = version == NULL;
    struct cached **bucket = bucket_of(id);
    if (flows.count >= CACHE_LIMIT && *bucket)
        free_cached(bucket);
    c->next = *bucket;
    *bucket = c;
    flows.count++;
    *ret_cached = c;
    return 0;
}

int hz_workflows_get(const char *id, const char *version, struct hz_workflow **ret_workflow, char **ret_text)
{
    if (ret_text)
        *ret_text = NULL;
    if (!hz_workflows_valid_id(id, strlen(id)))
        return HZ_ENOTFOUND;
    uint64_t catalog_version = hz_catalog_version() + (hz_policy_version() << 32); /* what a compilation rests on */
    pthread_mutex_lock(&flows.lock);
    struct cached *c = find_cached(id, version, catalog_version);
    int err = c ? 0 : load(id, version, catalog_version, &c, ret_text);
    if (!err)
        *ret_workflow = hz_workflow_ref(c->workflow);
    pthread_mutex_unlock(&flows.lock);
    return err;
}

/* The flow's text as it is kept: two blanks of indentation and the version it gets. */
static char *print_version(const char *text, size_t len, const char *version, size_t *ret_len)
{
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    char *printed = NULL;
    if (hz_flow_parse(text, len, &report, &flow) == 0 &&
            json_object_set_new((json_t *)(uintptr_t)hz_flow_json(flow), "version", json_string(version)) == 0)
        printed = hz_flow_print(flow, ret_len);
    hz_flow_report_fini(&report);
    hz_flow_free(&flow);
    return printed;
}

/* Under the lock: chooses the version, stores, exports. */
static int store_version(const char *id, const char *text, size_t len, const char *wanted, const char *author, char ret_version[32])
{
    char *old = NULL, newest[32] = "", version[32];
    size_t old_len = 0, printed_len = 0;
    uint64_t old_hash;
    int64_t updated;
    int err = hz_store_workflow_get(id, NULL, &old, &old_len, newest, &old_hash, &updated);
    if (err && err != HZ_ENOTFOUND)
        return err;
    if (old) {
        char *same = print_version(text, len, newest, &printed_len);
        bool unchanged = same && printed_len == old_len && memcmp(same, old, old_len) == 0;
        free(same);
        free(old);
        if (unchanged) {
            snprintf(ret_version, 32, "%s", newest);
            /* The stored text is the truth: a file that went missing or was reformatted is written again. */
            return hz_workflow_files_write(flows.config, id, newest, text, len, true);
        }
    }
    if (!newest[0] || hz_workflow_version_number(wanted) > hz_workflow_version_number(newest))
        snprintf(version, sizeof version, "%s", hz_workflow_version_number(wanted) ? wanted : "0.0.1");
    else
        hz_workflow_version_next(newest, version);
    char *printed = print_version(text, len, version, &printed_len);
    if (!printed)
        return hz_err_set(HZ_ENOMEM, "workflow %s", id);
    err = hz_store_workflow_put(id, version, printed, printed_len, author, hz_workflow_files_hash(printed, printed_len));
    if (!err)
        err = hz_workflow_files_write(flows.config, id, version, printed, printed_len, false);
    if (!err) {
        forget_newest(id);
        note_export(id, hz_workflow_files_hash(printed, printed_len), false);
        snprintf(ret_version, 32, "%s", version);
    }
    free(printed);
    return err;
}

int hz_workflows_put(const char *id, const char *text, size_t len, const char *author, char ret_version[32], char **ret_text)
{
    struct hz_workflow *workflow = NULL;
    *ret_text = NULL;
    if (!hz_workflows_valid_id(id, strlen(id))) {
        int err = hz_err_set(HZ_EFORMAT, "workflow id \"%.140s\": expected 1 to 127 bytes without '/', '\\', '..' and control characters, not "
                "starting with '.'", id);
        *ret_text = strdup(hz_err_last());
        return err;
    }
    int err = compile(id, NULL, text, len, true, &workflow, ret_text);
    if (err)
        return err;
    pthread_mutex_lock(&flows.lock);
    err = store_version(id, text, len, workflow->version, author, ret_version);
    pthread_mutex_unlock(&flows.lock);
    if (err)
        *ret_text = strdup(hz_err_last());
    hz_workflow_unref(&workflow);
    json_t *flow = !err && stored_fn ? hz_json_text_read(text, len) : NULL;
    if (flow)
        stored_fn(id, ret_version, flow, author);
    json_decref(flow);
    return err;
}

static int publish(const char *id, const char *version, const char *text, size_t len, const char *author, bool export)
{
    char *old = NULL, found[32];
    size_t old_len = 0, printed_len = 0;
    uint64_t hash;
    int64_t updated;
    int err = hz_store_workflow_get(id, version, &old, &old_len, found, &hash, &updated);
    if (err && err != HZ_ENOTFOUND)
        return err;
    char *printed = print_version(text, len, version, &printed_len);
    bool same = printed && old && printed_len == old_len && memcmp(printed, old, old_len) == 0;
    free(old);
    err = !printed ? hz_err_set(HZ_ENOMEM, "workflow %s", id)
          : same   ? 0
                   : hz_store_workflow_put(id, version, printed, printed_len, author, hz_workflow_files_hash(printed, printed_len));
    if (!err && !same)
        forget_version(id, version);
    if (!err && export)
        err = hz_workflow_files_write(flows.config, id, version, printed, printed_len, false);
    if (!err && export) {
        char *newest = NULL;
        if (hz_store_workflow_get(id, NULL, &newest, &old_len, found, &hash, &updated) == 0)
            note_export(id, hz_workflow_files_hash(printed, printed_len), strcmp(found, version) != 0);
        free(newest);
    }
    free(printed);
    return err;
}

int hz_workflows_publish(const char *id, const char *version, const char *text, size_t len, const char *author, bool export, char **ret_text)
{
    struct hz_workflow *workflow = NULL;
    *ret_text = NULL;
    if (!hz_workflows_valid_id(id, strlen(id)))
        return hz_err_set(HZ_EFORMAT, "workflow id \"%.140s\"", id);
    int err = compile(id, version, text, len, true, &workflow, ret_text);
    if (err)
        return err;
    pthread_mutex_lock(&flows.lock);
    err = publish(id, version, text, len, author, export);
    pthread_mutex_unlock(&flows.lock);
    hz_workflow_unref(&workflow);
    return err;
}

int hz_workflows_export(const char *id, const char *version, const char *text, size_t len)
{
    if (!hz_workflows_valid_id(id, strlen(id)))
        return hz_err_set(HZ_EFORMAT, "workflow id \"%.140s\"", id);
    int err = hz_workflow_files_write(flows.config, id, version, text, len, false);
    if (!err)
        note_export(id, hz_workflow_files_hash(text, len), true);
    return err;
}

void hz_workflows_on_stored(hz_workflows_stored_fn *fn)
{
    stored_fn = fn;
}

static void import_file(const char *id, const char *path, void *arg)
{
    int *imported = arg;
    char *text = NULL, *stored = NULL, *findings = NULL, version[32];
    size_t len, stored_len;
    uint64_t hash = 0;
    int64_t updated;
    if (hz_workflow_files_read(path, &text, &len)) {
        HZ_LOG(ERROR, "workflow %s: %s", id, hz_err_last());
        return;
    }
    int err = hz_store_workflow_get(id, NULL, &stored, &stored_len, version, &hash, &updated);
    free(stored);
    uint64_t sum = hz_workflow_files_hash(text, len);
    if (err == 0 && (hash == sum || is_export(id, sum))) {
        free(text);
        return;
    }
    err = hz_workflows_put(id, text, len, "file", version, &findings);
    if (err)
        HZ_LOG(ERROR, "workflow %s was not imported:\n%s", id, findings ? findings : hz_err_last());
    else
        ++*imported;
    free(findings);
    free(text);
}

int hz_workflows_scan(void)
{
    int imported = 0;
    hz_workflow_files_each(flows.config, import_file, &imported);
    return imported;
}

json_t *hz_workflows_list(void)
{
    json_t *rows = hz_store_workflow_list(), *list = json_array(), *row;
    size_t i;
    json_array_foreach(rows, i, row) {
        const char *id = json_string_value(json_object_get(row, "id"));
        char iso[HZ_ISO_TEXT];
        hz_base_iso((int64_t)json_integer_value(json_object_get(row, "updatedMs")), iso);
        json_t *record = id ? hz_workflows_record(id) : NULL;
        json_t *name = json_object_get(record, "name");
        json_t *item = json_pack("{s:s, s:O, s:O, s:s, s:O}", "id", id ? id : "", "name", name ? name : json_object_get(row, "id"), "version",
                json_object_get(row, "version"), "updatedAt", iso, "enabled", json_object_get(row, "enabled"));
        json_decref(record);
        if (!item || json_array_append_new(list, item)) {
            json_decref(list);
            list = NULL;
            break;
        }
    }
    json_decref(rows);
    return list;
}

json_t *hz_workflows_record(const char *id)
{
    char *text, version[32];
    size_t len;
    uint64_t hash;
    int64_t updated;
    if (!hz_workflows_valid_id(id, strlen(id)) || hz_store_workflow_get(id, NULL, &text, &len, version, &hash, &updated))
        return NULL;
    json_t *flow = json_loadb(text, len, 0, NULL), *types = hz_catalog_public();
    json_t *record = flow && types ? hz_workflow_files_record(id, version, flow, types, updated) : NULL;
    free(text);
    json_decref(flow);
    json_decref(types);
    return record;
}
