/* once.c - see once.h. */
#include "once.h"

#include "command.h"

#include "shm/err.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int hz_once_run(struct hz_config *config, void (*started)(void *arg), void *arg)
{
    const char *base = getenv("TMPDIR");
    char dir[PATH_MAX];
    int lock = -1;
    snprintf(dir, sizeof dir, "%s/horizon-run-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(dir))
        return hz_cli_error(HZ_EXIT_FAILED, "cannot make the temporary directory %s: %s", dir, strerror(errno));
    config->clusters = 1;
    config->spares = 0; /* nobody would take them */
    hz_cli_raise_limits();
    int code;
    if (hz_config_open_data(config, dir, &lock))
        code = hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    else
        code = hz_cli_host->run(config, false, true, started, arg);
    if (lock >= 0)
        close(lock);
    hz_cli_remove_tree(dir);
    return code;
}
