/* flow_file.c - see flow_file.h. */
#include "flow_file.h"

#include "core/catalog.h"
#include "core/policy.h"
#include "core/workflow_files.h"
#include "core/workflow_settings.h"
#include "core/workflows.h"

#include "shm/err.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* ".../hola/flow.json" is hola; ".../otro.json" is otro. */
static void name_of(const char *path, char id[128])
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        snprintf(real, sizeof real, "%s", path);
    char *slash = strrchr(real, '/'), *name = slash ? slash + 1 : real;
    if (slash && strcmp(name, "flow.json") == 0) {
        *slash = 0;
        slash = strrchr(real, '/');
        name = slash ? slash + 1 : real;
    } else {
        char *dot = strrchr(name, '.');
        if (dot && strcmp(dot, ".json") == 0)
            *dot = 0;
    }
    snprintf(id, 128, "%.127s", name);
}

int hz_flow_file_read(struct hz_flow_file *ret_file, const char *path)
{
    memset(ret_file, 0, sizeof *ret_file);
    ret_file->path = is_folder(path) ? NULL : strdup(path);
    if (!ret_file->path && asprintf(&ret_file->path, "%s/flow.json", path) < 0)
        return hz_err_set(HZ_ENOMEM, "reading %s", path);
    name_of(ret_file->path, ret_file->id);
    int err = hz_workflow_files_read(ret_file->path, &ret_file->text, &ret_file->len);
    if (err) {
        if (!strstr(hz_err_last(), ret_file->path))
            err = hz_err_prefix(err, "%s", ret_file->path);
        hz_flow_file_fini(ret_file);
    }
    return err;
}

void hz_flow_file_fini(struct hz_flow_file *file)
{
    free(file->path);
    free(file->text);
    memset(file, 0, sizeof *file);
}

int hz_flow_file_check(const struct hz_flow_file *file, const struct hz_config *config, struct hz_flow_report *report,
        struct hz_plan **ret_plan)
{
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    memset(report, 0, sizeof *report);
    int err = hz_flow_parse(file->text, file->len, report, &flow);
    if (!err) {
        json_t *catalog = hz_catalog_get();
        err = hz_flow_compile(flow, catalog, true, report, &plan);
        json_decref(catalog);
    }
    if (!err && config)
        err = hz_workflow_files_check_scripts(plan, config, report);
    if (!err)
        err = hz_policy_judge(plan, file->id, report, NULL);
    if (!err && config) {
        struct hz_workflow_settings settings;
        err = hz_workflow_settings_read(hz_flow_json(flow), plan, config, report, &settings);
    }
    hz_flow_free(&flow);
    if (err || !ret_plan) {
        free(plan);
        return err;
    }
    *ret_plan = plan;
    return 0;
}

void hz_flow_file_print(const struct hz_flow_file *file, const struct hz_flow_report *report)
{
    fflush(stdout);
    for (size_t i = 0; i < report->count; i++) {
        const struct hz_flow_finding *finding = &report->findings[i];
        char *text = hz_flow_finding_text(finding, file->path);
        fprintf(stderr, "%s\n", text ? text : finding->message);
        free(text);
    }
    size_t shown = 0;
    for (size_t i = 0; i < report->count; i++)
        shown += report->findings[i].severity == HZ_FLOW_ERROR;
    if (report->errors > shown)
        fprintf(stderr, "%s: and %zu more errors\n", file->path, report->errors - shown);
}

void hz_flow_file_print_text(const struct hz_flow_file *file, const char *text)
{
    size_t id_len = strlen(file->id);
    fflush(stdout);
    while (*text) {
        size_t len = strcspn(text, "\n");
        bool named = len > id_len && strncmp(text, file->id, id_len) == 0 && text[id_len] == ':';
        if (len)
            fprintf(stderr, "%s%s%.*s\n", file->path, named ? "" : ": ", (int)(len - (named ? id_len : 0)),
                    text + (named ? id_len : 0));
        text += len + (text[len] == '\n');
    }
}

json_t *hz_flow_file_json(const struct hz_flow_file *file, const struct hz_flow_report *report)
{
    json_t *findings = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct hz_flow_finding *f = &report->findings[i];
        json_array_append_new(
                findings, json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:i}", "severity",
                                  f->severity == HZ_FLOW_ERROR ? "error" : "warning", "node", f->node ? f->node : "",
                                  "property", f->property ? f->property : "", "message", f->message ? f->message : "",
                                  "expected", f->expected ? f->expected : "", "line", f->line, "column", f->column));
    }
    return json_pack("{s:s,s:b,s:o}", "file", file->path, "ok", report->errors == 0, "findings", findings);
}

int hz_flow_file_each(const char *word, void (*fn)(const char *path, void *arg), void *arg)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/flow.json", word);
    if (!is_folder(word) || access(path, F_OK) == 0) {
        fn(word, arg);
        return 1;
    }
    struct dirent **entries;
    int count = scandir(word, &entries, NULL, alphasort), found = 0;
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s/flow.json", word, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && access(path, F_OK) == 0) {
            fn(path, arg);
            found++;
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}
