/* flow_file.h - flow.json files as the commands read them: find, read, name, check. One thread. */
#ifndef HZ_CORE_CLI_FLOW_FILE_H
#define HZ_CORE_CLI_FLOW_FILE_H

#include "core/config.h"
#include "core/flow/flow.h"

struct hz_flow_file {
    char *path;   /* as given, or with /flow.json behind it */
    char id[128]; /* name of the file's folder, for a file of another name the file's without .json */
    char *text;
    size_t len;
};
/* path: a file, or a folder with flow.json in it. 0, or a negative code with hz_err_last(). */
HZ_MUST_CHECK int hz_flow_file_read(struct hz_flow_file *ret_file, const char *path);
void hz_flow_file_fini(struct hz_flow_file *file);

/* Parses and compiles strictly, scripts included; the catalogue must have been refreshed and this thread be known to
 * RCU. config NULL: scripts are not checked. 0 or HZ_EFORMAT (findings in *report, which the caller frees either way);
 * other codes: hz_err_last(). ret_plan: caller frees; NULL if not wanted. */
HZ_MUST_CHECK int hz_flow_file_check(const struct hz_flow_file *file, const struct hz_config *config,
        struct hz_flow_report *report, struct hz_plan **ret_plan);
/* The findings on standard error, one a line. */
void hz_flow_file_print(const struct hz_flow_file *file, const struct hz_flow_report *report);
/* The same for findings as text, a line each, that name the flow by its id: the file's path goes in its place. */
void hz_flow_file_print_text(const struct hz_flow_file *file, const char *text);
/* {file, ok, findings: [{severity, node, property, message, expected, line, column}]}. New reference. */
json_t *hz_flow_file_json(const struct hz_flow_file *file, const struct hz_flow_report *report);
/* Each flow of a word of the command line: a file, a folder with flow.json, or a folder of such folders (sorted). Calls
 * fn with a path for hz_flow_file_read(); returns how many, or -errno. */
int hz_flow_file_each(const char *word, void (*fn)(const char *path, void *arg), void *arg);

#endif
