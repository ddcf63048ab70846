/* history.h - what the commands on the past share. Private to this folder. */
#ifndef HZ_CORE_CLI_HISTORY_H
#define HZ_CORE_CLI_HISTORY_H

#include "command.h"

/* --since: a span back from now (90s, 10m, 2h, 7d) or a time, in ms since the epoch; untouched if it is not given.
 * False: said why not. */
HZ_MUST_CHECK bool hz_cli_since(const struct hz_args *args, int64_t *ret_ms);
/* `horizon logs` with --since, --grep, --level or --workflow: prints the newest lines found, oldest first. An exit
 * code. */
int hz_cli_logs_history(const struct hz_args *args);

#endif
