/*
 * uids.c - which user a worker runs as. Limits, signals, files and /proc of a stranger's process are then out of reach by the oldest rule
 * of the system, whatever the sandbox knows. Synchronisation: `lock` guards bitmap and cursor.
 */
#include "uids.h"

#include "config.h"
#include "shm/err.h"
#include "shm/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    uint32_t first, count, cursor; /* count 0: off */
    uint8_t *used;                 /* one byte a number */
} uids = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Are all numbers of the range known in `map` (uid_map or gid_map)? One line of it must hold them all. */
static bool is_mapped(const char *map, uint32_t first, uint32_t last)
{
    FILE *file = fopen(map, "re");
    unsigned long inside, outside, length;
    bool found = false;
    while (file && !found && fscanf(file, "%lu %lu %lu", &inside, &outside, &length) == 3)
        found = first >= inside && last - inside < length;
    if (file)
        fclose(file);
    return found;
}

enum state { OFF, NOT_ROOT, UNMAPPED, ON };

static enum state judge(const struct hz_config *config)
{
    if (config->worker_uids == HZ_WORKER_UIDS_OFF)
        return OFF;
    if (geteuid() != 0)
        return NOT_ROOT;
    bool mapped = is_mapped("/proc/self/uid_map", config->worker_uid_first, config->worker_uid_last) &&
            is_mapped("/proc/self/gid_map", config->worker_uid_first, config->worker_uid_last);
    return mapped ? ON : UNMAPPED;
}

const char *hz_uids_text(const struct hz_config *config, bool *ret_weak, char *buf, size_t size)
{
    enum state state = judge(config);
    *ret_weak = state == UNMAPPED || (state == OFF && geteuid() == 0);
    switch (state) {
    case OFF:
        snprintf(buf, size, "workers run as the server's own user %u (HORIZON_WORKER_UID=off)", (unsigned)geteuid());
        break;
    case NOT_ROOT:
        snprintf(buf, size, "workers run as the server's own user %u; a server started as root gives each a user of its own",
                (unsigned)geteuid());
        break;
    case UNMAPPED:
        snprintf(buf, size, "workers run as root: users %" PRIu32 " to %" PRIu32 " do not exist in this user namespace", config->worker_uid_first,
                config->worker_uid_last);
        break;
    case ON:
        if (config->worker_uid_first == config->worker_uid_last)
            snprintf(buf, size, "workers run as user %" PRIu32, config->worker_uid_first);
        else
            snprintf(buf, size, "each worker runs as a user of its own, %" PRIu32 " to %" PRIu32, config->worker_uid_first,
                    config->worker_uid_last);
        break;
    }
    return buf;
}

int hz_uids_init(const struct hz_config *config)
{
    char text[256];
    bool weak;
    enum state state = judge(config);
    free(uids.used);
    uids.used = NULL;
    uids.count = uids.cursor = 0;
    const char *said = hz_uids_text(config, &weak, text, sizeof text);
    if (config->worker_uids == HZ_WORKER_UIDS_RANGE && state != ON)
        return hz_err_set(HZ_EREFUSED, "HORIZON_WORKER_UID: %s", said);
    if (weak)
        HZ_LOG(WARN, "%s", said);
    if (state != ON)
        return 0;
    uids.first = config->worker_uid_first;
    uids.count = config->worker_uid_last - config->worker_uid_first + 1;
    uids.used = calloc(uids.count, 1);
    return uids.used ? 0 : hz_err_set(HZ_ENOMEM, "users of the workers");
}

uint32_t hz_uids_take(bool *ret_alone)
{
    uint32_t uid = 0;
    *ret_alone = false;
    pthread_mutex_lock(&uids.lock);
    for (uint32_t i = 0; i < uids.count && uid == 0; i++) {
        uint32_t at = (uids.cursor + i) % uids.count;
        if (uids.used[at] && uids.count > 1 && i + 1 < uids.count)
            continue;
        *ret_alone = !uids.used[at] && uids.count > 1;
        uids.used[at] = 1;
        uids.cursor = (at + 1) % uids.count;
        uid = uids.first + at;
    }
    pthread_mutex_unlock(&uids.lock);
    return uid;
}

void hz_uids_claim(uint32_t uid)
{
    pthread_mutex_lock(&uids.lock);
    if (uids.count > 0 && uid >= uids.first && uid - uids.first < uids.count)
        uids.used[uid - uids.first] = 1;
    pthread_mutex_unlock(&uids.lock);
}

void hz_uids_give(uint32_t uid)
{
    pthread_mutex_lock(&uids.lock);
    if (uids.count > 0 && uid >= uids.first && uid - uids.first < uids.count)
        uids.used[uid - uids.first] = 0;
    pthread_mutex_unlock(&uids.lock);
}
