/*
 * workflow_files.c - flow.json files below the data directory, the check of scripts by the probe, and the record that clients
 * get of a flow. Any thread; file operations block.
 */
#include "workflow_files.h"

#include "catalog.h"
#include "shm/err.h"
#include "shm/log.h"
#include "workflows.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_LIMIT ((off_t)64 << 20)

uint64_t hz_workflow_files_hash(const char *bytes, size_t len)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

int hz_workflow_files_read(const char *path, char **ret_text, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0)
        return hz_err_set(-errno, "cannot open %s", path);
    int err = 0;
    if (fstat(fd, &st))
        err = hz_err_set(-errno, "cannot read %s", path);
    else if (!S_ISREG(st.st_mode))
        err = hz_err_set(HZ_EFORMAT, "%s is no regular file", path);
    else if (st.st_size > FILE_LIMIT)
        err = hz_err_set(HZ_ETOOBIG, "%s has %lld bytes, at most %lld are read", path, (long long)st.st_size, (long long)FILE_LIMIT);
    char *text = err ? NULL : malloc((size_t)st.st_size + 1);
    size_t len = 0;
    if (!err && !text)
        err = hz_err_set(HZ_ENOMEM, "reading %s", path);
    while (!err && len < (size_t)st.st_size) {
        ssize_t n = read(fd, text + len, (size_t)st.st_size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = hz_err_set(-errno, "cannot read %s", path);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    if (err) {
        free(text);
        return err;
    }
    text[len] = 0;
    *ret_text = text;
    *ret_len = len;
    return 0;
}

static int write_all(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) ? -errno : 0;
}

static int make_dir(const char *path)
{
    return mkdir(path, 0700) && errno != EEXIST ? hz_err_set(-errno, "cannot make %s", path) : 0;
}

int hz_workflow_files_write(const struct hz_config *config, const char *id, const char *version, const char *text, size_t len,
        bool only_if_missing)
{
    char *top = NULL, *dir = NULL, *path = NULL, *temporary = NULL;
    int err = 0;
    if (asprintf(&top, "%s/workflows", config->data_dir) < 0 || asprintf(&dir, "%s/%s", top, id) < 0 ||
            asprintf(&path, "%s/flow.json", dir) < 0 || asprintf(&temporary, "%s/.flow.json.new", dir) < 0)
        err = hz_err_set(HZ_ENOMEM, "writing workflow %s", id);
    if (!err && only_if_missing && access(path, F_OK) == 0)
        goto out;
    if (!err)
        err = make_dir(top);
    if (!err)
        err = make_dir(dir);
    if (!err) {
        int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int code = fd < 0 ? -errno : write_all(fd, text, len);
        if (fd >= 0)
            close(fd);
        if (!code && rename(temporary, path))
            code = -errno;
        if (code) {
            (void)unlink(temporary);
            err = hz_err_set(code, "cannot write %s", path);
        }
    }
    if (!err)
        HZ_LOG(INFO, "Flujo v%s guardado en: %s", version, path);
out:
    free(top);
    free(dir);
    free(path);
    free(temporary);
    return err;
}

void hz_workflow_files_each(const struct hz_config *config, void (*fn)(const char *id, const char *path, void *arg), void *arg)
{
    char *top = NULL;
    if (asprintf(&top, "%s/workflows", config->data_dir) < 0)
        return;
    DIR *dir = opendir(top);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char *path = NULL;
        if (!hz_workflows_valid_id(entry->d_name, strlen(entry->d_name)) || asprintf(&path, "%s/%s/flow.json", top, entry->d_name) < 0)
            continue;
        if (access(path, F_OK) == 0)
            fn(entry->d_name, path, arg);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(top);
}

struct scripts {
    json_t *texts;
    struct script {
        uint32_t node;
        struct hz_plan_text property, text;
    } *items;
    size_t count, capacity;
    bool failed;
};

static void add_script(void *arg, uint32_t node, struct hz_plan_text property, const struct hz_plan_expr *expr)
{
    struct scripts *scripts = arg;
    if (scripts->count == scripts->capacity) {
        size_t capacity = scripts->capacity ? 2 * scripts->capacity : 16;
        struct script *grown = realloc(scripts->items, capacity * sizeof *grown);
        if (!grown) {
            scripts->failed = true;
            return;
        }
        scripts->items = grown;
        scripts->capacity = capacity;
    }
    scripts->items[scripts->count++] = (struct script){node, property, expr->text};
}

static json_t *script_texts(const struct hz_plan *plan, const struct scripts *scripts)
{
    json_t *texts = scripts->failed ? NULL : json_array();
    for (size_t i = 0; texts && i < scripts->count; i++) {
        struct hz_plan_text text = scripts->items[i].text;
        if (json_array_append_new(texts, json_stringn(hz_plan_chars(plan, text), text.len))) {
            json_decref(texts);
            texts = NULL;
        }
    }
    return texts;
}

int hz_workflow_files_check_scripts(const struct hz_plan *plan, const struct hz_config *config, struct hz_flow_report *report)
{
    if (!plan->needs_script)
        return 0;
    struct scripts scripts = {0};
    hz_plan_scripts(plan, add_script, &scripts);
    json_t *texts = script_texts(plan, &scripts), *answers = NULL;
    int err = texts ? 0 : hz_err_set(HZ_ENOMEM, "checking scripts");
    if (!err && !(answers = hz_catalog_check_scripts(config, texts)))
        err = hz_err_prefix(HZ_EREFUSED, "checking the scripts");
    for (size_t i = 0; i < scripts.count && answers; i++) {
        const char *reason = json_string_value(json_array_get(answers, i));
        if (!reason)
            continue;
        const struct script *item = &scripts.items[i];
        char property[256], message[1024];
        snprintf(property, sizeof property, "%s%s", item->property.len ? "properties." : "meta.logs", hz_plan_chars(plan, item->property));
        snprintf(message, sizeof message, "the expression {{%.300s}} is not JavaScript: %s", hz_plan_chars(plan, item->text), reason);
        hz_flow_report_add(report, HZ_FLOW_ERROR, hz_plan_chars(plan, hz_plan_node(plan, item->node)->name), property, message,
                "one JavaScript expression");
        err = HZ_EFORMAT;
    }
    json_decref(answers);
    json_decref(texts);
    free(scripts.items);
    return err;
}

/* Definition keys first, then the stored ones, which win. */
static json_t *merge_property(const json_t *definition, const json_t *stored)
{
    json_t *merged = definition ? json_copy((json_t *)(uintptr_t)definition) : json_object();
    if (merged && json_is_object(stored) && json_object_update(merged, (json_t *)(uintptr_t)stored)) {
        json_decref(merged);
        return NULL;
    }
    return merged;
}

static json_t *merge_node(json_t *node, const json_t *definitions)
{
    json_t *merged = json_copy(node), *properties = json_object(), *stored = json_object_get(node, "properties"), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)definitions, key, value)
        (void)json_object_set_new(properties, key, merge_property(value, json_object_get(stored, key)));
    json_object_foreach(stored, key, value)
        if (!json_object_get(definitions, key))
            (void)json_object_set(properties, key, value);
    if (!merged || json_object_set_new(merged, "properties", properties)) {
        json_decref(merged);
        return NULL;
    }
    return merged;
}

json_t *hz_workflow_files_record(const char *id, const char *version, const json_t *flow, const json_t *types, int64_t updated_wall_ms)
{
    const json_t *info = json_object_get(flow, "info");
    json_t *nodes = json_object(), *node, *name = json_object_get(info, "name"), *description = json_object_get(info, "description");
    json_t *connections = json_object_get(flow, "connections"), *properties = json_object_get(flow, "properties");
    const char *key;
    char iso[HZ_ISO_TEXT];
    hz_base_iso(updated_wall_ms, iso);
    json_object_foreach(json_object_get(flow, "nodes"), key, node) {
        const char *type = json_string_value(json_object_get(node, "type"));
        const json_t *entry = type ? json_object_get(types, type) : NULL;
        if (entry)
            (void)json_object_set_new(nodes, key, merge_node(node, json_object_get(entry, "properties")));
    }
    json_t *data = json_pack("{s:o, s:o}", "nodes", nodes, "connections", connections ? json_incref(connections) : json_array());
    return json_pack("{s:s, s:o, s:o, s:n, s:s, s:n, s:n, s:o, s:o, s:s, s:b, s:s, s:s}", "id", id, "name",
            json_is_string(name) ? json_incref(name) : json_string(id), "description",
            json_is_string(description) ? json_incref(description) : json_string(""), "projectId", "status", "pending", "lastRun", "duration",
            "workflowData", data, "properties", json_is_object(properties) ? json_incref(properties) : json_object(), "version", version,
            "isPublished", 0, "createdAt", iso, "updatedAt", iso);
}
