/*
 * worker_carry.c - a worker that lives goes from one image of the manager to the next: who it is, how far it is, its
 * link, port and routes. The process itself notices nothing. On the worker's shard.
 */
#include "restart.h"
#include "worker.h"

#include "cgroup.h"
#include "children.h"
#include "history.h"
#include "limits.h"
#include "logs.h"
#include "secrets.h"
#include "uids.h"
#include "webhooks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* what is read belongs to the worker */

#define TEXT_MOST    ((size_t)1 << 20)
#define SECRETS_MOST 4096u

enum flag { READY = 1, DRAINING = 2, MAY_EXIT = 4, STARTING = 8, STOPPED = 16, RESIDENT = 32, GROUPED = 64, PORT = 128 };

bool hz_worker_can_carry(const struct hz_worker *w)
{
    return w->workflow && !w->spawning && !w->stopping && !w->killed && !w->reaped && !w->buried && !w->link.poisoned &&
           w->pidfd >= 0;
}

bool hz_worker_quiet(const struct hz_worker *w)
{
    if (!w->workflow)
        return true; /* a spare is made anew */
    return hz_worker_can_carry(w) && w->asks_open == 0 && !w->requests && !w->waiters && w->early_count == 0;
}

static void put_info(const struct hz_worker_info *info, struct hz_carry_out *out)
{
    hz_carry_put_bytes(out, &info->id, sizeof info->id);
    hz_carry_put_text(out, info->id_text);
    hz_carry_put_text(out, info->execution_text);
    hz_carry_put(out, info->sequence);
    hz_carry_put(out, info->port);
    hz_carry_put(out, info->restarts);
    hz_carry_put(out, info->threads);
    hz_carry_put(out, (uint64_t)info->pid);
    hz_carry_put(out, info->status);
    hz_carry_put(out, (uint64_t)info->start_wall_ms);
    hz_carry_put(out, (uint64_t)info->activity_wall_ms);
    hz_carry_put_text(out, info->warning);
}

static void put_secrets(const struct hz_worker *w, struct hz_carry_out *out)
{
    size_t count = w->secrets ? w->secrets->count : 0;
    hz_carry_put(out, count);
    for (size_t i = 0; i < 2 * count; i++)
        hz_carry_put_text(out, w->secrets->pairs[i]);
}

void hz_worker_carry(const struct hz_worker *w, uint64_t service, struct hz_carry_out *out)
{
    HZ_ASSERT(hz_worker_can_carry(w) && w->carry_fd >= 0);
    unsigned flags = (w->ready ? READY : 0u) | (w->draining ? DRAINING : 0u) | (w->may_exit ? MAY_EXIT : 0u) |
                     (w->counted_starting ? STARTING : 0u) | (w->stopped ? STOPPED : 0u) |
                     (w->port_fd >= 0 ? PORT : 0u) | (w->info.resident ? RESIDENT : 0u) |
                     (w->grouped ? GROUPED : 0u);
    hz_restart_put_workflow(out, w->workflow);
    put_info(&w->info, out);
    hz_carry_put(out, service);
    hz_carry_put(out, w->purpose);
    hz_carry_put(out, flags);
    hz_carry_put_bytes(out, &w->execution, sizeof w->execution);
    hz_carry_put(out, w->uid);
    hz_carry_put_text(out, w->fatal);
    hz_carry_put_text(out, w->replaces);
    hz_carry_put(out, w->created_ns);
    hz_carry_put(out, w->flow_ns);
    hz_carry_put(out, w->last_activity_ns);
    hz_carry_put(out, w->next_request);
    hz_carry_put(out, w->limit_warned);
    hz_carry_put_text(out, w->progress);
    hz_carry_put_text(out, w->metrics);
    hz_carry_put_fd(out, w->port_fd);
    put_secrets(w, out);
    hz_webhooks_carry(w, out);
    hz_logs_carry(&w->info.id, out);
    hz_link_carry(&w->link, out, w->carry_fd);
}

/* ---- the other side ---- */

static void take_id(struct hz_carry_in *in, struct hz_uuid *id)
{
    size_t len;
    const void *bytes = hz_carry_take_bytes(in, sizeof *id, &len);
    in->bad |= len != sizeof *id;
    if (!in->bad)
        memcpy(id, bytes, sizeof *id);
}

static void take_info(struct hz_carry_in *in, struct hz_worker *w)
{
    struct hz_worker_info *info = &w->info;
    take_id(in, &info->id);
    hz_carry_take_text(in, info->id_text, sizeof info->id_text);
    hz_carry_take_text(in, info->execution_text, sizeof info->execution_text);
    info->sequence = hz_carry_take(in);
    info->port = (uint32_t)hz_carry_take_most(in, 65535);
    info->restarts = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    info->threads = (uint32_t)hz_carry_take_most(in, HZ_MAX_LANES);
    info->pid = (int32_t)hz_carry_take_most(in, INT32_MAX);
    info->status = (enum hz_worker_status)hz_carry_take_most(in, HZ_WORKER_ERROR);
    info->start_wall_ms = (int64_t)hz_carry_take(in);
    info->activity_wall_ms = (int64_t)hz_carry_take(in);
    hz_carry_take_text(in, info->warning, sizeof info->warning);
    info->shard = hz_shard_index(w->yard->shard);
    memcpy(info->workflow_id, w->workflow->id, sizeof info->workflow_id);
    memcpy(info->version, w->workflow->version, sizeof info->version);
}

static void take_secrets(struct hz_carry_in *in, struct hz_worker *w)
{
    size_t count = hz_carry_take_count(in, SECRETS_MOST), len;
    char **pairs = count ? calloc(2 * count + 1, sizeof *pairs) : NULL;
    in->bad |= count > 0 && !pairs;
    for (size_t i = 0; pairs && i < 2 * count; i++)
        pairs[i] = hz_carry_take_dup(in, HZ_SECRET_VALUE_MAX, &len);
    if (pairs && (in->bad || hz_secrets_of(pairs, count, &w->secrets))) {
        for (size_t i = 0; i < 2 * count; i++)
            free(pairs[i]);
        free(pairs);
        in->bad = true;
    }
}

static char *take_latest(struct hz_carry_in *in)
{
    size_t len;
    char *text = hz_carry_take_dup(in, TEXT_MOST, &len);
    if (len > 0)
        return text;
    free(text);
    return NULL;
}

static unsigned take_state(struct hz_carry_in *in, struct hz_worker *w)
{
    w->purpose = (enum hz_worker_purpose)hz_carry_take_most(in, HZ_PURPOSE_RESIDENT);
    unsigned flags = (unsigned)hz_carry_take_most(in, 2 * PORT - 1);
    take_id(in, &w->execution);
    w->uid = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    hz_carry_take_text(in, w->fatal, sizeof w->fatal);
    hz_carry_take_text(in, w->replaces, sizeof w->replaces);
    w->created_ns = hz_carry_take(in);
    w->flow_ns = hz_carry_take(in);
    w->last_activity_ns = hz_carry_take(in);
    w->next_request = hz_carry_take(in);
    w->limit_warned = (unsigned)hz_carry_take_most(in, UINT32_MAX);
    w->progress = take_latest(in);
    w->metrics = take_latest(in);
    w->ready = flags & READY;
    w->draining = flags & DRAINING;
    w->may_exit = flags & MAY_EXIT;
    w->counted_starting = flags & STARTING;
    w->stopped = flags & STOPPED;
    w->info.resident = flags & RESIDENT;
    w->grouped = (flags & GROUPED) && hz_cgroup_base();
    return flags;
}

/* From here on it is looked at. Its process may be dead by now: then the loop hears of it. */
static int attach(struct hz_worker *w, int port_fd)
{
    int err = port_fd >= 0 ? hz_worker_port_adopt(w, port_fd) : 0;
    if (!err)
        err = hz_worker_poll_attach(w);
    if (!err)
        err = hz_children_add(w->info.pid);
    if (!err)
        err = hz_reaper_attach(w, w->info.pid);
    return err;
}

int hz_worker_adopt(struct hz_yard *yard, struct hz_carry_in *in, uint64_t *ret_service, struct hz_worker **ret_worker)
{
    struct hz_worker *w = calloc(1, sizeof *w);
    if (!w)
        return hz_err_set(HZ_ENOMEM, "worker");
    w->magic = HZ_WORKER_MAGIC;
    w->yard = yard;
    w->far_fds[0] = w->far_fds[1] = w->far_fds[2] = w->pidfd = w->port_fd = w->statm_fd = w->carry_fd = -1;
    CDS_INIT_LIST_HEAD(&w->executions);
    int err = hz_restart_take_workflow(in, &w->workflow);
    if (err) {
        free(w);
        return err;
    }
    take_info(in, w);
    *ret_service = hz_carry_take(in);
    unsigned flags = take_state(in, w);
    int port_fd = hz_carry_take_fd(in);
    take_secrets(in, w);
    hz_webhooks_adopt(w, in);
    hz_logs_adopt(&w->info.id, in);
    in->bad |= w->info.pid <= 1 || (port_fd >= 0) != ((flags & PORT) != 0) || hz_worker_find(yard, &w->info.id) != NULL;
    if (in->bad)
        return hz_err_set(HZ_EFORMAT, "a worker that cannot be"); /* the process ends with this */
    err = hz_link_adopt(&w->link, in, yard->config->queue_bytes);
    if (err)
        return err;
    memcpy(w->info.segment, w->link.segment.name, sizeof w->info.segment);
    hz_uids_claim(w->uid);
    hz_worker_enter(w);
    err = attach(w, port_fd);
    if (err)
        return err;
    if (hz_link_blocked(&w->link)) { /* it does not ring when it has made room: the first turn tries */
        w->dirty = true;
        cds_list_add_tail(&w->dirty_node, &yard->dirty);
    }
    hz_worker_publish(w);
    if (!w->ready)
        hz_worker_await_ready(w);
    if (w->may_exit)
        hz_worker_done(w);
    hz_limits_begin(w);
    hz_sampler_wake(yard);
    (void)hz_sampler_read(w);
    hz_history_adopted(w);
    *ret_worker = w;
    return 0;
}
