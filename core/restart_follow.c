/*
 * restart_follow.c - the new image: reads the sealed state before anything else, and hands it out to the rooms as they
 * begin. What cannot be ends the process; its workers follow it, and the next start recovers.
 *
 * Synchronisation: written by the main thread before the shards run and after all have begun; each shard reads its own
 * part, the lists of ids and names are read only.
 */
#include "restart.h"

#include "executions.h"
#include "http/http.h"
#include "shard.h"
#include "webhooks.h"

#include "shm/err.h"
#include "shm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* parts are given back by hz_restart_done() */

#define SHARDS_MOST    256u
#define WAIT_NS        100000
#define WAITS          100000u /* ten seconds */
#define LISTENERS_MOST (SHARDS_MOST * 3u)

static struct {
    atomic_bool active;
    uint8_t *data;
    size_t len;
    uint32_t generation, shards, port;
    uint64_t begun_ns, rest_ns, exec_ns, main_ns, sequence, openings;
    int lock_fd;
    int listeners[LISTENERS_MOST];
    size_t listener_count;
    struct hz_carry_in *parts, *names;
    struct hz_uuid *ids; /* sorted */
    size_t id_count;
    _Atomic uint32_t there; /* shards that have their part */
} follow = {.generation = 1, .lock_fd = -1};

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct hz_uuid));
}

static void take_ids(struct hz_carry_in part)
{
    size_t most = part.len / (sizeof(uint64_t) + sizeof(struct hz_uuid)), len;
    struct hz_uuid *grown = realloc(follow.ids, (follow.id_count + most + 1) * sizeof *grown);
    if (!grown)
        return; /* then they are missing, and said to be wrong below */
    follow.ids = grown;
    for (size_t i = 0; i < most; i++) {
        const void *bytes = hz_carry_take_bytes(&part, sizeof(struct hz_uuid), &len);
        if (len == sizeof(struct hz_uuid))
            memcpy(&follow.ids[follow.id_count++], bytes, len);
    }
}

static int read_state(struct hz_carry_in *in)
{
    follow.generation = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    follow.begun_ns = hz_carry_take(in);
    follow.rest_ns = hz_carry_take(in);
    follow.exec_ns = hz_carry_take(in);
    follow.main_ns = hz_base_now_ns();
    follow.shards = (uint32_t)hz_carry_take_most(in, SHARDS_MOST);
    follow.port = (uint32_t)hz_carry_take_most(in, 65535);
    follow.lock_fd = hz_carry_take_fd(in);
    follow.listener_count = hz_carry_take_count(in, LISTENERS_MOST);
    for (size_t i = 0; i < follow.listener_count; i++)
        follow.listeners[i] = hz_carry_take_fd(in);
    follow.sequence = hz_carry_take(in);
    follow.openings = hz_carry_take(in);
    follow.parts = calloc(follow.shards + 1, sizeof *follow.parts);
    follow.names = calloc(follow.shards + 1, sizeof *follow.names);
    if (!follow.parts || !follow.names)
        return hz_err_set(HZ_ENOMEM, "the state handed over");
    for (uint32_t i = 0; i < follow.shards; i++) {
        take_ids(hz_carry_take_part(in));
        follow.names[i] = hz_carry_take_part(in);
        follow.parts[i] = hz_carry_take_part(in);
    }
    if (in->bad || in->at != in->len || follow.shards == 0 || follow.lock_fd < 0 || !follow.ids)
        return hz_err_set(HZ_EFORMAT, "the state handed over cannot be");
    qsort(follow.ids, follow.id_count, sizeof *follow.ids, by_bytes);
    return 0;
}

int hz_restart_open(void)
{
    const char *text = getenv(HZ_RESTART_STATE);
    struct hz_carry_in in;
    char *end;
    if (!text)
        return 0;
    long fd = strtol(text, &end, 10);
    bool number = *text && !*end && fd > 2 && fd < INT32_MAX;
    unsetenv(HZ_RESTART_STATE);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* workers live already */
    /* What is started from here on, nodes of strangers that are looked at among it, has none of them. */
    if (syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC))
        return hz_err_set(-errno, "the descriptors handed over cannot be kept from others");
    if (!number)
        return hz_err_set(
                HZ_EFORMAT, "%s names no descriptor; it is the server's own and not to be set", HZ_RESTART_STATE);
    int err = hz_carry_open((int)fd, &follow.data, &in);
    if (err)
        return err;
    follow.len = in.len;
    err = read_state(&in);
    if (!err)
        atomic_store(&follow.active, true);
    return err;
}

bool hz_restart_follows(void)
{
    return atomic_load(&follow.active);
}

uint32_t hz_restart_generation(void)
{
    return follow.generation;
}

int hz_restart_lock_fd(void)
{
    return hz_restart_follows() ? follow.lock_fd : -1;
}

uint32_t hz_restart_shards(void)
{
    return follow.shards;
}

uint32_t hz_restart_port(void)
{
    return follow.port;
}

const int *hz_restart_listeners(size_t *ret_count)
{
    *ret_count = follow.listener_count;
    return follow.listeners;
}

bool hz_restart_has(const struct hz_uuid *execution)
{
    return hz_restart_follows() &&
           bsearch(execution, follow.ids, follow.id_count, sizeof *follow.ids, by_bytes) != NULL;
}

bool hz_restart_has_segment(const char *name)
{
    for (uint32_t i = 0; hz_restart_follows() && i < follow.shards; i++) {
        struct hz_carry_in names = follow.names[i];
        while (!names.bad && names.at < names.len) {
            size_t len;
            const void *one = hz_carry_take_bytes(&names, names.len, &len);
            if (len == strlen(name) && memcmp(one, name, len) == 0)
                return true;
        }
    }
    return false;
}

void hz_restart_prepare(void)
{
    hz_worker_set_sequence(follow.sequence);
    hz_webhooks_set_openings(follow.openings);
}

int hz_restart_adopt_http(struct hz_shard *shard, int err)
{
    struct hz_carry_in *part = &follow.parts[hz_shard_index(shard)];
    if (!err)
        err = hz_http_adopt(shard, part);
    if (!err && (part->bad || part->at != part->len))
        err = hz_err_set(HZ_EFORMAT, "the state handed over cannot be");
    /* No loop runs before every shard has its own. */
    atomic_fetch_add(&follow.there, 1);
    for (unsigned i = 0; i < WAITS && !err && atomic_load(&follow.there) < follow.shards; i++)
        nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
    return err || atomic_load(&follow.there) >= follow.shards ? err
                                                              : hz_err_set(HZ_ETIMEOUT, "another shard did not begin");
}

int hz_restart_adopt_desk(struct hz_shard *shard)
{
    return hz_desk_adopt(hz_shard_get(shard, HZ_SHARD_SCHEDULER), &follow.parts[hz_shard_index(shard)]);
}

void hz_restart_done(void)
{
    if (!hz_restart_follows())
        return;
    uint64_t now = hz_base_now_ns();
    HZ_LOG(INFO,
            "restart: image %u goes on with %zu executions after %.1f ms: %.1f to come to rest, %.1f to hand over, "
            "%.1f to execute, %.1f to begin",
            follow.generation, follow.id_count, (double)(now - follow.begun_ns) / 1e6,
            (double)(follow.rest_ns - follow.begun_ns) / 1e6, (double)(follow.exec_ns - follow.rest_ns) / 1e6,
            (double)(follow.main_ns - follow.exec_ns) / 1e6, (double)(now - follow.main_ns) / 1e6);
    atomic_store(&follow.active, false);
    hz_carry_free(&follow.data, follow.len);
    free(follow.parts);
    free(follow.names);
    free(follow.ids);
    follow.parts = follow.names = NULL;
    follow.ids = NULL;
}

void hz_restart_put_workflow(struct hz_carry_out *out, const struct hz_workflow *workflow)
{
    hz_carry_put_text(out, workflow->id);
    hz_carry_put_text(out, workflow->version);
}

int hz_restart_take_workflow(struct hz_carry_in *in, struct hz_workflow **ret_workflow)
{
    char id[128], version[32], *text = NULL;
    hz_carry_take_text(in, id, sizeof id);
    hz_carry_take_text(in, version, sizeof version);
    if (in->bad || !id[0])
        return hz_err_set(HZ_EFORMAT, "a workflow that cannot be");
    int err = hz_workflows_get(id, version, ret_workflow, &text);
    if (err)
        err = hz_err_set(
                HZ_EFORMAT, "version %s of workflow %s cannot be loaded: %s", version, id, text ? text : hz_err_last());
    free(text);
    return err;
}
