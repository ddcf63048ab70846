/* command.h - what a command is, and what the commands share: options, tables, errors. Private to this folder. */
#ifndef HZ_CORE_CLI_COMMAND_H
#define HZ_CORE_CLI_COMMAND_H

#include "cli.h"
#include <jansson.h>

/* ---- options ---- */
#define HZ_ARGS_OPTIONS 8
struct hz_option {
    const char *name;  /* "--data" */
    char letter;       /* 'n' for -n, 0 none */
    const char *value; /* what its value is called; NULL: none is taken */
    const char *meaning;
};
#define HZ_OPTION_DATA                                                                                                 \
    {                                                                                                                  \
        "--data", 0, "DIR", "data directory of the server (default ./data)"                                            \
    }
#define HZ_OPTION_JSON                                                                                                 \
    {                                                                                                                  \
        "--json", 0, NULL, "for programs: JSON instead of a table"                                                     \
    }

struct hz_args; /* args.c */
struct hz_command {
    const char *name, *words, *summary, *text;
    struct hz_option options[HZ_ARGS_OPTIONS];
    int least, most; /* words; most -1: any number */
    int (*run)(const struct hz_args *args);
};
struct hz_args {
    const struct hz_command *command;
    const char *values[HZ_ARGS_OPTIONS]; /* by option; "" for one without value */
    const char **words;                  /* NULL-terminated */
    int count;
};
/* Fills *args from the words behind the command's name; 0, HZ_EXIT_USAGE with a sentence on standard error, or -1: help
 * was asked for and printed. hz_args_fini() afterwards. */
HZ_MUST_CHECK int hz_args_parse(struct hz_args *args, const struct hz_command *command, int argc, char **argv);
void hz_args_fini(struct hz_args *args);
const char *hz_args_value(const struct hz_args *args, const char *option); /* NULL: not given */
bool hz_args_has(const struct hz_args *args, const char *option);
const char *hz_args_data(const struct hz_args *args); /* --data or "data" */
/* A whole number; -1 with a sentence on standard error if it is none within bounds. */
HZ_MUST_CHECK int64_t hz_args_number(
        const struct hz_args *args, const char *option, int64_t lowest, int64_t highest, int64_t initial);
void hz_args_help(const struct hz_command *command);

/* ---- the commands ---- */
extern const struct hz_command hz_command_serve, hz_command_run, hz_command_check, hz_command_import, hz_command_ps, hz_command_start,
        hz_command_exec, hz_command_cancel, hz_command_executions, hz_command_stop, hz_command_restart, hz_command_release, hz_command_send,
        hz_command_logs, hz_command_metrics, hz_command_crash, hz_command_top, hz_command_secret, hz_command_dead, hz_command_nodes, hz_command_node,
        hz_command_doctor, hz_command_db, hz_command_alerts, hz_command_token, hz_command_user, hz_command_login, hz_command_audit;
extern const struct hz_cli_host *hz_cli_host;

/* ---- saying things ---- */
/* "horizon: ..." on standard error; returns `code`. */
int hz_cli_error(int code, const char *format, ...) HZ_PRINTF(2, 3);
/* Prints and takes a JSON value, one line unless a terminal looks. */
int hz_cli_print_json(json_t *value);

/* ---- tables: cells are kept, columns are as wide as their widest cell ---- */
struct hz_table;
struct hz_table *hz_table_new(int columns, const char *const *titles); /* NULL: out of memory */
void hz_table_cell(struct hz_table *table, const char *format, ...) HZ_PRINTF(2, 3);
void hz_table_print(struct hz_table **table);     /* and frees */
void hz_cli_bytes(char text[16], uint64_t bytes); /* "12.3 MB", 1 KB = 1024 B */
void hz_cli_span(char text[16], int64_t ms);      /* "5 s", "12 min", "3 h", "2 d" */
int64_t hz_cli_parse_iso(const char *text);       /* ms since the epoch, -1 if it is no such date */

/* ---- settings ---- */
/* hz_config_load() with its error printed; 0 or HZ_EXIT_USAGE. */
HZ_MUST_CHECK int hz_cli_config(struct hz_config *ret_config);
/* As many descriptors as this user may have: a thousand workers need some thousands. */
void hz_cli_raise_limits(void);
/* Removes a tree; links are removed, not followed. */
void hz_cli_remove_tree(const char *path);
/* First existing one of ../share/horizon/<name> beside the executable; NULL. Caller frees. */
char *hz_cli_share(const char *name);

#endif
