/*
 * restart_meet.c - all shards and the main thread meet: rounds until nothing is under way between them, then everybody carries what is his
 * into what the next image is handed, and the main thread executes it.
 */
#include "restart_internal.h"

#include "access.h"
#include "executions.h"
#include "http/http.h"
#include "sdnotify.h"
#include "services.h"
#include "webhooks.h"

#include "shm/err.h"
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 1000u

static bool reopen_segments(struct hz_yard *yard)
{
    struct hz_worker *w, *next;
    bool good = true;
    cds_list_for_each_entry_safe(w, next, &yard->workers, all_node) {
        if (!hz_worker_can_carry(w) || w->carry_fd >= 0 || hz_segment_reopen(&w->link.segment, &w->carry_fd) == 0)
            continue;
        hz_worker_poison(w, hz_err_last()); /* a worker took its own segment's name away */
        good = false;
    }
    return good;
}

static void one_round(struct hz_restart_part *part)
{
    struct hz_desk *desk = hz_desk_here();
    bool ran = hz_shard_has_mail(part->shard);
    hz_shard_run_mail(part->shard);
    hz_worker_poll_flush(desk->yard);
    atomic_store(&part->ran, ran || hz_shard_has_mail(part->shard));
    atomic_store(&part->quiet,
            hz_http_quiet(part->shard) && desk->resting && hz_desk_quiet(desk) && reopen_segments(desk->yard));
}

static int check_flow(const struct hz_workflow *of, const char *whose, const char *id, const char *what_first)
{
    struct hz_workflow *workflow = NULL;
    char *text = NULL;
    int err = hz_workflows_get(of->id, of->version, &workflow, &text);
    if (err)
        err = hz_err_set(HZ_EREFUSED, "version %s of workflow %s, %s%s, cannot be loaded any more: %s that first (%.200s)",
                of->version, of->id, whose, id, what_first, text ? text : hz_err_last());
    free(text);
    hz_workflow_unref(&workflow);
    return err;
}

/* The version a worker runs, or that is kept alive, must be one that the next image can make of the store. */
static int check_flows(const struct hz_yard *yard)
{
    const struct hz_worker *w;
    const struct hz_service *service;
    int err = 0;
    cds_list_for_each_entry(w, &yard->workers, all_node)
        if (!err && w->workflow)
            err = check_flow(w->workflow, "which is run by worker ", w->info.id_text, "stop");
    cds_list_for_each_entry(service, &yard->services, node)
        if (!err && !service->worker && hz_service_goes_along(service, hz_base_now_ns()))
            err = check_flow(service->workflow, service->parked ? "which is parked" : "whose worker ended lately", "",
                    service->parked ? "release" : "stop");
    return err;
}

static void carry(struct hz_restart_part *part)
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_worker *w;
    part->err = check_flows(desk->yard);
    if (!part->err)
        part->err = hz_desk_leave(desk);
    if (!part->err) {
        hz_desk_carry(desk, &part->out, &part->ids);
        hz_http_carry(part->shard, &part->out);
        cds_list_for_each_entry(w, &desk->yard->workers, all_node)
            if (w->workflow)
                hz_carry_put_text(&part->names, w->link.segment.name);
    }
    if (part->err)
        snprintf(part->error, sizeof part->error, "%s", hz_err_last());
}

static void meet(void)
{
    (void)pthread_barrier_wait(&hz_restart.meeting);
}

/* On each shard: holds its thread until the main one has executed the next image, or has let it go. */
static void run_meet(struct hz_mail *mail)
{
    struct hz_restart_part *part = HZ_CONTAINER_OF(mail, struct hz_restart_part, mail);
    enum hz_restart_verdict verdict;
    do {
        meet();
        one_round(part);
        meet();
        meet(); /* the verdict stands */
        verdict = hz_restart.verdict;
    } while (verdict == HZ_RESTART_AGAIN);
    if (verdict == HZ_RESTART_LATER)
        return;
    carry(part);
    meet();
    meet(); /* it was called off */
    hz_restart_wake(part);
}

static enum hz_restart_verdict judge(unsigned round)
{
    bool ran = hz_shard_has_mail(hz_shard_main()), quiet = true;
    hz_shard_run_mail(hz_shard_main());
    for (uint32_t i = 0; i < hz_shard_count(); i++) {
        ran |= atomic_load(&hz_restart.parts[i].ran);
        quiet &= atomic_load(&hz_restart.parts[i].quiet);
    }
    return quiet && !ran ? HZ_RESTART_CARRY : quiet && round < ROUNDS ? HZ_RESTART_AGAIN : HZ_RESTART_LATER;
}

static void compose(struct hz_carry_out *out)
{
    size_t listeners;
    const int *fds = hz_http_listeners(&listeners);
    hz_carry_put(out, (uint64_t)hz_restart_generation() + 1);
    hz_carry_put(out, hz_restart.begun_ns);
    hz_carry_put(out, hz_restart.rest_ns);
    hz_carry_put(out, hz_base_now_ns());
    hz_carry_put(out, hz_shard_count());
    hz_carry_put(out, hz_supervisor_server_port());
    hz_carry_put_fd(out, hz_restart.lock_fd);
    hz_carry_put(out, listeners);
    for (size_t i = 0; i < listeners; i++)
        hz_carry_put_fd(out, fds[i]);
    hz_carry_put(out, hz_worker_sequence());
    hz_carry_put(out, hz_webhooks_openings());
    for (uint32_t i = 0; i < hz_shard_count(); i++) {
        hz_carry_put_part(out, &hz_restart.parts[i].ids);
        hz_carry_put_part(out, &hz_restart.parts[i].names);
        hz_carry_put_part(out, &hz_restart.parts[i].out);
    }
}

/* Returns only if it cannot be done. */
static int execute(void)
{
    struct hz_carry_out out = {0};
    char number[16];
    int fd = -1, err = 0;
    for (uint32_t i = 0; i < hz_shard_count() && !err; i++)
        if (hz_restart.parts[i].err)
            err = hz_err_set(hz_restart.parts[i].err, "%s", hz_restart.parts[i].error);
    hz_access_rest();
    if (!err)
        err = hz_store_flush();
    if (!err) {
        compose(&out);
        err = hz_carry_seal(&out, &fd);
    }
    if (!err) {
        snprintf(number, sizeof number, "%d", fd);
        fflush(NULL);
        if (hz_carry_keep_fds(&out, true) || fcntl(fd, F_SETFD, 0) || setenv(HZ_RESTART_STATE, number, 1))
            err = hz_err_set(-errno, "the descriptors cannot be handed over");
        if (!err) {
            hz_sdnotify_reloading();
            execv(hz_restart.next, hz_restart.argv);
        }
        if (!err)
            err = hz_err_set(-errno, "cannot execute %s", hz_restart.next);
        (void)hz_carry_keep_fds(&out, false);
        unsetenv(HZ_RESTART_STATE);
        hz_sdnotify_ready("goes on as it was");
    }
    if (fd >= 0)
        close(fd);
    hz_carry_out_fini(&out);
    return err;
}

void hz_restart_hold_meeting(void)
{
    uint32_t count = hz_shard_count();
    hz_restart.rest_ns = hz_base_now_ns();
    if (!hz_restart.has_meeting)
        hz_restart.has_meeting = pthread_barrier_init(&hz_restart.meeting, NULL, count + 1) == 0;
    HZ_ASSERT(hz_restart.has_meeting);
    for (uint32_t i = 0; i < count; i++) {
        hz_restart.parts[i].mail.run = run_meet;
        hz_shard_post(hz_restart.parts[i].shard, &hz_restart.parts[i].mail);
    }
    for (unsigned round = 0;; round++) {
        meet();
        meet();
        hz_restart.verdict = judge(round);
        meet();
        if (hz_restart.verdict != HZ_RESTART_AGAIN)
            break;
    }
    if (hz_restart.verdict == HZ_RESTART_CARRY) {
        char why[768];
        meet();
        (void)execute();
        snprintf(why, sizeof why, "%s", hz_err_last());
        meet();
        hz_restart_call_off(why, true);
    }
}
