/*
 * cli.c - finds the command, prints help, and the few things several commands do the same way. One thread, the
 * process's first.
 */
#include "command.h"
#include "core/restart.h"

#include "shm/err.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const struct hz_cli_host *hz_cli_host;

static const struct hz_command *const commands[] = {&hz_command_serve, &hz_command_run, &hz_command_check, &hz_command_import, &hz_command_ps,
        &hz_command_start, &hz_command_exec, &hz_command_cancel, &hz_command_executions, &hz_command_stop, &hz_command_restart,
        &hz_command_release, &hz_command_send, &hz_command_logs, &hz_command_metrics, &hz_command_crash, &hz_command_alerts,
        &hz_command_top,
        &hz_command_secret, &hz_command_user, &hz_command_token, &hz_command_login, &hz_command_audit, &hz_command_dead, &hz_command_nodes, &hz_command_node, &hz_command_doctor, &hz_command_db};

int hz_cli_error(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("horizon: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

int hz_cli_config(struct hz_config *ret_config)
{
    if (hz_config_load(ret_config) == 0)
        return 0;
    return hz_cli_error(HZ_EXIT_USAGE, "%s", hz_err_last());
}

void hz_cli_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* a try: less is said by doctor */
    }
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    (void)remove(path);
    return 0;
}

void hz_cli_remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

char *hz_cli_share(const char *name)
{
    char exe[PATH_MAX], *path = NULL;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0)
        return NULL;
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = 0;
    if (asprintf(&path, "%s/../share/horizon/%s", exe, name) < 0)
        return NULL;
    char *real = realpath(path, NULL);
    free(path);
    return real;
}

static void overview(void)
{
    printf("usage: horizon COMMAND [WORD...]\n\nRuns workflows, each in a process of its own.\n\ncommands:\n");
    for (size_t i = 0; i < HZ_COUNT_OF(commands); i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("  %-10s %s\n\noptions:\n  --help     this text; horizon help COMMAND: that of a command\n  --version  the "
           "version\n\n"
           "environment of serve and run:\n",
            "help", "Explains a command");
    hz_config_help();
    printf("\nexit codes: 0 done, 1 the operation failed, 2 bad usage or an invalid flow\n");
}

static const struct hz_command *find_command(const char *name)
{
    for (size_t i = 0; i < HZ_COUNT_OF(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int help(int argc, char **argv)
{
    if (argc == 0) {
        overview();
        return HZ_EXIT_OK;
    }
    const struct hz_command *command = find_command(argv[0]);
    if (!command)
        return hz_cli_error(HZ_EXIT_USAGE, "there is no command \"%s\"; `horizon --help` lists them", argv[0]);
    hz_args_help(command);
    return HZ_EXIT_OK;
}

/* What was printed must have been taken: a full disk or a closed pipe is a failure. */
static int flushed(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    return code ? code : hz_cli_error(HZ_EXIT_FAILED, "cannot write the output: %s", strerror(errno));
}

int hz_cli_main(int argc, char **argv, const struct hz_cli_host *host)
{
    hz_cli_host = host;
    if (argc < 2) {
        hz_cli_error(HZ_EXIT_USAGE, "no command was given; `horizon --help` lists them");
        return HZ_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return flushed(help(argc - 2, argv + 2));
    if (strcmp(argv[1], "--version") == 0) {
        printf("horizon %s\n", HZ_VERSION);
        return flushed(HZ_EXIT_OK);
    }
    if (strcmp(argv[1], "--layout-version") == 0) { /* asked by a server before it lets this program take its place */
        char text[64];
        hz_restart_layout(text, sizeof text);
        printf("%s\n", text);
        return flushed(HZ_EXIT_OK);
    }
    const struct hz_command *command = find_command(argv[1]);
    if (!command)
        return hz_cli_error(HZ_EXIT_USAGE, "there is no command \"%s\"; `horizon --help` lists them", argv[1]);
    struct hz_args args;
    int code = hz_args_parse(&args, command, argc - 2, argv + 2);
    if (code == 0)
        code = command->run(&args);
    else if (code < 0)
        code = HZ_EXIT_OK;
    hz_args_fini(&args);
    return flushed(code);
}
