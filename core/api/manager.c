/* manager.c - the operations on the server itself: what it is, and its restart in place. Shard's thread. */
#include "internal.h"

#include "core/restart.h"

#include "shm/err.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct restarting {
    hz_api_done_fn *done;
    void *arg;
};

static json_t *describe(void)
{
    char layout[64], *failure = hz_restart_failure();
    hz_restart_layout(layout, sizeof layout);
    json_t *value = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s?}", "pid", (int)getpid(), "generation",
            (int)hz_restart_generation(), "version", HZ_VERSION, "binary", hz_restart_binary(), "layout", layout,
            "restartFailure", failure);
    free(failure);
    return value;
}

void hz_api_manager_get(hz_api_done_fn *done, void *arg)
{
    hz_api_answer_value(done, arg, 200, describe());
}

static void on_begun(void *arg, int err, const char *error)
{
    struct restarting *restarting = arg;
    if (err)
        hz_api_fail(restarting->done, restarting->arg, 409, error);
    else
        hz_api_answer_value(restarting->done, restarting->arg, 202, describe());
    free(restarting);
}

void hz_api_manager_restart(const char *binary, uint32_t drain_ms, hz_api_done_fn *done, void *arg)
{
    struct restarting *restarting = calloc(1, sizeof *restarting);
    char *copy = restarting && binary ? strdup(binary) : NULL;
    if (!restarting || (binary && !copy)) {
        free(restarting);
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
        return;
    }
    *restarting = (struct restarting){done, arg};
    hz_restart_ask(&(struct hz_restart_options){.binary = copy, .drain_ms = drain_ms}, on_begun, restarting);
}
