/* nodes.c - `horizon nodes` and `horizon node inspect|new`: node types, learnt from a probe process each time. */
#include "command.h"
#include "node_new.h"

#include "core/catalog.h"
#include "core/flow/json_text.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <urcu/urcu-memb.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static char *names(const json_t *array)
{
    char *text = strdup("");
    size_t i;
    const json_t *name;
    json_array_foreach(array, i, name)
    {
        char *longer = NULL;
        if (!text || asprintf(&longer, "%s%s%s", text, i ? ", " : "",
                             json_is_string(name) ? json_string_value(name) : "?") < 0)
            longer = NULL;
        free(text);
        text = longer;
    }
    return text;
}

static void add_row(struct hz_table *table, const json_t *node)
{
    const json_t *info = json_object_get(node, "info"), *connectors = json_object_get(info, "connectors");
    char *inputs = names(json_object_get(connectors, "inputs")),
         *outputs = names(json_object_get(connectors, "outputs"));
    hz_table_cell(table, "%s", text_of(node, "type"));
    hz_table_cell(table, "%s", text_of(info, "name"));
    hz_table_cell(table, "%s", text_of(info, "group"));
    hz_table_cell(table, "%s", inputs && *inputs ? inputs : "-");
    hz_table_cell(table, "%s", outputs && *outputs ? outputs : "-");
    free(inputs);
    free(outputs);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

static int print_types(json_t *types)
{
    static const char *const titles[] = {"TYPE", "NAME", "GROUP", "INPUTS", "OUTPUTS"};
    struct hz_table *table = hz_table_new((int)HZ_COUNT_OF(titles), titles);
    const char **sorted = calloc(json_object_size(types) + 1, sizeof *sorted);
    if (!table || !sorted) {
        free(sorted);
        return hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    }
    size_t count = 0;
    for (void *at = json_object_iter(types); at; at = json_object_iter_next(types, at))
        sorted[count++] = json_object_iter_key(at);
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 0; i < count; i++)
        add_row(table, json_object_get(types, sorted[i]));
    hz_table_print(&table);
    free(sorted);
    return HZ_EXIT_OK;
}

static int list_with(const struct hz_args *args, const struct hz_config *config)
{
    if (hz_catalog_refresh(config))
        return hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    json_t *types = hz_catalog_public(), *refused = hz_catalog_refused();
    int code;
    if (hz_args_has(args, "--json"))
        code = hz_cli_print_json(hz_catalog_list());
    else {
        code = print_types(types);
        size_t i;
        const json_t *file;
        json_array_foreach(refused, i, file)
        {
            hz_cli_error(HZ_EXIT_FAILED, "%s was refused: %s", text_of(file, "file"), text_of(file, "reason"));
        }
    }
    json_decref(types);
    json_decref(refused);
    return code;
}

static int inspect_with(const struct hz_args *args, const struct hz_config *config)
{
    struct stat info;
    if (stat(args->words[1], &info) == 0 && !S_ISREG(info.st_mode))
        return hz_cli_error(HZ_EXIT_FAILED, "%s is no regular file", args->words[1]);
    json_t *node = hz_catalog_inspect(config, args->words[1]);
    if (!node) {
        if (strstr(hz_err_last(), args->words[1]))
            return hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
        return hz_cli_error(HZ_EXIT_FAILED, "%s: %s", args->words[1], hz_err_last());
    }
    if (hz_args_has(args, "--json"))
        return hz_cli_print_json(node);
    char *text = hz_json_text_print(node, 2, NULL);
    json_decref(node);
    if (!text)
        return hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    puts(text);
    free(text);
    return HZ_EXIT_OK;
}

static int with_config(
        const struct hz_args *args, int (*run)(const struct hz_args *args, const struct hz_config *config))
{
    struct hz_config config;
    int code = hz_cli_config(&config);
    if (code)
        return code;
    urcu_memb_register_thread();
    code = run(args, &config);
    hz_catalog_fini();
    urcu_memb_unregister_thread();
    hz_config_fini(&config);
    return code;
}

static int list(const struct hz_args *args)
{
    return with_config(args, list_with);
}

static int node(const struct hz_args *args)
{
    if (strcmp(args->words[0], "inspect") == 0 && args->count == 2)
        return with_config(args, inspect_with);
    if (strcmp(args->words[0], "new") == 0 && args->count == 2)
        return hz_node_new(args->words[1]);
    return hz_cli_error(HZ_EXIT_USAGE, "usage: horizon node inspect FILE.so [--json] | horizon node new NAME");
}

const struct hz_command hz_command_nodes = {.name = "nodes",
        .words = "[--json]",
        .summary = "Lists the node types on offer",
        .text = "Built-in ones and those of the folders in HORIZON_NODES. Files that were refused are named with the "
                "reason.",
        .options = {HZ_OPTION_JSON},
        .least = 0,
        .most = 0,
        .run = list};

const struct hz_command hz_command_node = {.name = "node",
        .words = "inspect FILE.so [--json] | new NAME",
        .summary = "Looks at a node's file, or makes a folder for a new one",
        .text = "inspect loads FILE.so in a probe process and prints what it says it is, or why it is refused. new "
                "makes the folder NAME with\n"
                "source, CMakeLists.txt, test flow and README; NAME is the new type: small letters, digits and _.",
        .options = {HZ_OPTION_JSON},
        .least = 2,
        .most = 2,
        .run = node};
