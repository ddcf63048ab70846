/*
 * once.h - a manager of one's own for the length of a command: temporary data directory, no server, one shard. For
 * `run` and for doctor's live test. Main thread.
 */
#ifndef HZ_CORE_CLI_ONCE_H
#define HZ_CORE_CLI_ONCE_H

#include "core/config.h"

/* Makes the temporary directory and runs the manager in it; `started` is called when everything is up and ends it by
 * hz_cli_host->stop(). config: loaded, finished by the caller. Returns the exit code of stop(), HZ_EXIT_FAILED if it
 * did not start. */
int hz_once_run(struct hz_config *config, void (*started)(void *arg), void *arg);

#endif
