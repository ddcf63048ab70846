/*
 * cli.h - front door of the commands people type. What a command needs of the manager itself comes from above as
 * functions, so that nothing here knows how the manager is wired.
 */
#ifndef HZ_CORE_CLI_CLI_H
#define HZ_CORE_CLI_CLI_H

#include "core/config.h"

struct hz_cli_host {
    /* Runs a manager on this thread until it ends; the exit code. started (may be NULL): when everything is up. */
    int (*run)(struct hz_config *config, bool http, bool quiet, void (*started)(void *arg), void *arg);
    void (*stop)(int exit_code);
    uint32_t (*port)(void); /* the port really bound */
};

/* Exit codes: 0 done, 1 the operation failed, 2 bad usage or an invalid flow. */
enum { HZ_EXIT_OK, HZ_EXIT_FAILED, HZ_EXIT_USAGE };
int hz_cli_main(int argc, char **argv, const struct hz_cli_host *host);

#endif
