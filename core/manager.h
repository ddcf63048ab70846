/* manager.h - wires the rooms of the manager process: start order, signals, orderly end. Main thread. */
#ifndef HZ_CORE_MANAGER_H
#define HZ_CORE_MANAGER_H

#include "config.h"

struct hz_manager_options {
    bool http;         /* serve HTTP on config->server_port and the Unix socket */
    bool quiet;        /* horizon run: contract lines go to the log, not to standard output */
    void (*started)(void *arg); /* on the main thread when everything is up */
    void *arg;
};
/* Runs until hz_manager_stop() or SIGTERM/SIGINT; returns the exit code (0 orderly end). config: data directory opened. */
int hz_manager_run(struct hz_config *config, const struct hz_manager_options *options);
void hz_manager_stop(int exit_code); /* any thread */
uint32_t hz_manager_port(void);      /* the port really bound */

#endif
