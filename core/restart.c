/*
 * restart.c - the old image: asks the new binary for its layout, brings every shard to rest, collects what they hand
 * over, and executes the binary from the main thread. Whatever fails before the exec calls it off, and everything goes
 * on as it was.
 *
 * Synchronisation
 *   busy      any shard sets it by exchange when it asks; cleared by whoever ends the attempt. It alone decides who may
 *             begin.
 *   calm, quiet, ran
 *             of a part: its shard stores, the main thread loads. In order: who sees a quiet shard sees that it has run
 *             its last mail of ours, whose memory the next one uses.
 *   parts     a shard's own until the barrier behind its carrying, the main thread's from there to the next barrier.
 *   verdict   the main thread's, written between two barriers and read behind the second.
 *   failure   under `lock`.
 *
 * While they meet no shard runs its loop, so nothing is sent that the rounds do not see: what a round's mail sends, the
 * next one runs. Only the store's thread posts from outside, and none of its answers is due when no desk waits for a
 * commit.
 */
#include "restart.h"

#include "access.h"
#include "alerts.h"
#include "alerts_send.h"
#include "catalog.h"
#include "executions.h"
#include "http/http.h"
#include "policy.h"
#include "probe.h"
#include "services.h"
#include "shard.h"
#include "webhooks.h"

#include "shm/err.h"
#include "shm/log.h"
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* mail is owned by the shard it is posted to */

#define LOOK_MS  1u
#define CUT_MS   20u
#define SLOW_MS  1000u /* who does not read an answer that is made */
#define LATE_MS  8000u /* behind the drain: what was ended for it must be gone, and the disk must have answered */
#define CHECK_MS 5000u /* for the binary to say its layout */
#define ALERTS_MS 10u
#define ROUNDS   1000u
#define ROWS     2000u /* of the store, about one commit: they are written while nobody is served */

enum verdict { AGAIN, CARRY, LATER };

struct part { /* of a shard */
    struct hz_mail mail, resting, waking;
    struct hz_timer look;
    struct hz_shard *shard;
    struct hz_carry_out out, ids, names;
    atomic_bool calm, quiet, ran; /* calm: no request is in work; quiet: all can be carried */
    unsigned hurried;             /* steps taken */
    int err;
    char error[512];
};

struct asked {
    struct hz_mail mail;
    struct hz_shard *from;
    char *binary;
    uint32_t drain_ms;
    hz_restart_fn *fn;
    void *arg;
    int err;
    char error[768];
};

static struct {
    const struct hz_config *config;
    char **argv;
    char binary[PATH_MAX];
    int lock_fd;
    atomic_bool busy, forbidden;
    pthread_mutex_t lock;
    char *failure;
    pthread_t checker; /* under the lock; joined before the next one begins, and before anything it uses goes */
    bool has_checker;
    /* of the attempt under way */
    struct part *parts;
    char *next;
    uint64_t begun_ns, rest_ns, deadline_ns;
    struct hz_timer timer;
    enum verdict verdict;
    bool resting, held; /* the desks were told; the signals that end the server wait */
    /* of all attempts: a thread that is late in leaving one meeting finds the barrier of the next */
    pthread_barrier_t meeting;
    bool has_meeting;
} restart = {.lock_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

void hz_restart_set_arguments(char **argv)
{
    restart.argv = argv;
}

void hz_restart_set_lock(int lock_fd)
{
    restart.lock_fd = lock_fd;
}

const char *hz_restart_binary(void)
{
    return restart.binary;
}

int hz_restart_init(const struct hz_config *config)
{
    restart.config = config;
    atomic_store(&restart.busy, false);
    atomic_store(&restart.forbidden, false);
    /* By its path: another file may be put there meanwhile, which is the newer one. */
    ssize_t n = readlink("/proc/self/exe", restart.binary, sizeof restart.binary - 1);
    restart.binary[HZ_MAX(n, (ssize_t)0)] = 0;
    return 0;
}

void hz_restart_end(void)
{
    HZ_ASSERT(atomic_load(&restart.forbidden));
    pthread_mutex_lock(&restart.lock);
    pthread_t checker = restart.checker; /* nobody makes another any more */
    bool has_checker = restart.has_checker;
    restart.has_checker = false;
    pthread_mutex_unlock(&restart.lock);
    if (has_checker)
        pthread_join(checker, NULL);
    hz_shard_run_mail(hz_shard_main()); /* what it wanted to begin is answered while there is somebody to hear it */
}

void hz_restart_fini(void)
{
    if (restart.has_meeting)
        pthread_barrier_destroy(&restart.meeting);
    restart.has_meeting = false;
    free(restart.failure);
    free(restart.parts);
    free(restart.next);
    restart.failure = restart.next = NULL;
    restart.parts = NULL;
}

char *hz_restart_failure(void)
{
    pthread_mutex_lock(&restart.lock);
    char *copy = restart.failure ? strdup(restart.failure) : NULL;
    pthread_mutex_unlock(&restart.lock);
    return copy;
}

static void set_failure(const char *text)
{
    pthread_mutex_lock(&restart.lock);
    free(restart.failure);
    restart.failure = text ? strdup(text) : NULL;
    pthread_mutex_unlock(&restart.lock);
}

/* ---- asked for ---- */

static int check_binary(const char *path)
{
    char own[64], *said = NULL, *argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)"--layout-version", NULL};
    size_t len;
    if (path[0] != '/' || access(path, X_OK))
        return hz_err_set(HZ_EREFUSED, "%s cannot be executed: %s; nothing was touched", path,
                path[0] == '/' ? strerror(errno) : "no absolute path");
    int err = hz_probe_run(argv, "", 0, CHECK_MS, 4096, &said, &len);
    if (err)
        return hz_err_set(HZ_EREFUSED, "%s does not say its layout (%s); nothing was touched", path, hz_err_last());
    said[strcspn(said, "\n")] = 0;
    hz_restart_layout(own, sizeof own);
    if (!hz_restart_fits(said))
        err = hz_err_set(HZ_EREFUSED,
                "%s has %.64s, this server has %s: it could not go on with what runs here, so nothing was touched; "
                "stop the server and start that one",
                path, said, own);
    free(said);
    return err;
}

/* What the next image reads at its start, and this one would live without. */
static int check_files(void)
{
    int err = hz_policy_check();
    if (!err)
        err = hz_alerts_check();
    if (!err)
        err = hz_catalog_refresh(restart.config); /* check_flows() judges by it */
    return err ? hz_err_prefix(HZ_EREFUSED, "nothing was touched") : 0;
}

/* An alert that is being delivered would be forgotten. */
static void await_alerts(uint32_t most_ms)
{
    for (uint32_t waited = 0; waited < most_ms && !atomic_load(&restart.forbidden) && !(hz_hook_idle() && hz_notify_idle()); waited += ALERTS_MS)
        nanosleep(&(struct timespec){.tv_nsec = ALERTS_MS * 1000000L}, NULL);
}

static void run_answer(struct hz_mail *mail)
{
    struct asked *a = HZ_CONTAINER_OF(mail, struct asked, mail);
    a->fn(a->arg, a->err, a->err ? a->error : NULL);
    free(a->binary);
    free(a);
}

static void answer(struct asked *a)
{
    a->mail.run = run_answer;
    hz_shard_post(a->from, &a->mail);
}

static void run_begin(struct hz_mail *mail);

static void *check_main(void *arg)
{
    struct asked *a = arg;
    urcu_memb_register_thread();
    a->err = check_binary(a->binary);
    if (!a->err)
        a->err = atomic_load(&restart.forbidden) ? hz_err_set(HZ_EREFUSED, "the server ends") : check_files();
    if (!a->err)
        await_alerts(a->drain_ms);
    if (a->err) {
        snprintf(a->error, sizeof a->error, "%s", hz_err_last());
        HZ_LOG(WARN, "restart refused: %s", a->error);
        atomic_store(&restart.busy, false);
        answer(a);
    } else {
        a->mail.run = run_begin;
        hz_shard_post(hz_shard_main(), &a->mail);
    }
    urcu_memb_unregister_thread();
    return NULL;
}

void hz_restart_ask(const struct hz_restart_options *options, hz_restart_fn *fn, void *arg)
{
    char *binary = options->binary ? options->binary : strdup(restart.binary);
    struct asked *a = binary ? calloc(1, sizeof *a) : NULL;
    const char *why =
            !a ? hz_err_text(HZ_ENOMEM)
            : restart.config->safe
                    ? "a server started with --safe leaves open what it found open: stop it and start it instead"
            : atomic_load(&restart.forbidden)      ? "the server ends"
            : atomic_exchange(&restart.busy, true) ? "a restart is under way"
                                                   : NULL;
    if (a && !why) {
        *a = (struct asked){
                .from = hz_shard_self(), .binary = binary, .drain_ms = options->drain_ms, .fn = fn, .arg = arg};
        /* The binary may take its time to answer, and no shard has any. */
        pthread_mutex_lock(&restart.lock);
        if (restart.has_checker) /* it has said its last word: we are the busy one now */
            pthread_join(restart.checker, NULL);
        int code = atomic_load(&restart.forbidden) ? ECANCELED : pthread_create(&restart.checker, NULL, check_main, a);
        restart.has_checker = code == 0;
        pthread_mutex_unlock(&restart.lock);
        if (code == 0)
            return;
        atomic_store(&restart.busy, false);
        why = strerror(code);
    }
    fn(arg, HZ_EREFUSED, why);
    free(binary);
    free(a);
}

/* ---- coming to rest ---- */

/* Time is up. First the desks tell whom they can name an execution, then whoever still waits hears less, then those go
 * who do not read. */
static void hurry(struct part *part, struct hz_desk *desk)
{
    static const uint32_t after_ms[] = {0, CUT_MS, SLOW_MS};
    uint64_t now = hz_base_now_ns();
    while (part->hurried < HZ_COUNT_OF(after_ms) &&
            now > restart.deadline_ns + after_ms[part->hurried] * UINT64_C(1000000)) {
        if (part->hurried == 0)
            hz_desk_hurry(desk);
        else
            hz_http_hurry(part->shard, part->hurried == 2);
        part->hurried++;
    }
}

static void look(struct hz_timer *timer)
{
    struct part *part = HZ_CONTAINER_OF(timer, struct part, look);
    struct hz_desk *desk = hz_desk_here();
    if (!desk)
        return;
    hurry(part, desk);
    bool calm = hz_http_quiet(part->shard) && hz_desk_calm(desk);
    atomic_store(&part->calm, calm);
    atomic_store(&part->quiet, calm && desk->resting && hz_desk_quiet(desk));
    hz_timer_after(hz_shard_timers(part->shard), timer, LOOK_MS, look);
}

static void run_rest(struct hz_mail *mail)
{
    struct part *part = HZ_CONTAINER_OF(mail, struct part, mail);
    struct hz_desk *desk = hz_desk_here();
    if (!desk || desk->ending || desk->yard->ending)
        return;
    hz_http_rest(part->shard);
    hz_desk_close(desk);
    look(&part->look);
}

/* No request waits for an execution any more that waits for its turn. */
static void run_rest_desk(struct hz_mail *mail)
{
    struct hz_desk *desk = hz_desk_here();
    (void)mail;
    if (desk)
        hz_desk_rest(desk);
}

static void wake(struct part *part)
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_worker *w;
    hz_timer_cancel(hz_shard_timers(part->shard), &part->look);
    hz_carry_out_fini(&part->out);
    hz_carry_out_fini(&part->ids);
    hz_carry_out_fini(&part->names);
    if (!desk)
        return;
    cds_list_for_each_entry(w, &desk->yard->workers, all_node) {
        if (w->carry_fd >= 0)
            close(w->carry_fd);
        w->carry_fd = -1;
    }
    hz_desk_wake(desk);
    hz_http_wake(part->shard);
}

static void run_wake(struct hz_mail *mail)
{
    wake(HZ_CONTAINER_OF(mail, struct part, waking));
}

static void run_over(struct hz_mail *mail)
{
    free(mail);
    free(restart.parts); /* every shard's wake is behind us: this mail went round behind it */
    restart.parts = NULL;
    atomic_store(&restart.busy, false);
}

static void run_round(struct hz_mail *mail)
{
    uint32_t next = hz_shard_index(hz_shard_self()) + 1;
    bool last = next == hz_shard_count();
    if (last)
        mail->run = run_over;
    hz_shard_post(last ? hz_shard_main() : hz_shard_at(next), mail);
}

/* The two that end the server are pending over the exec, instead of being delivered to an image that is replaced, or
 * that does not listen yet. */
static void hold_signals(bool hold)
{
    if (restart.held == hold)
        return;
    restart.held = hold;
    hz_restart_hold_signals(hold);
}

/* Main thread. awake: the shards have woken by themselves. */
static void call_off(const char *why, bool awake)
{
    HZ_LOG(WARN, "restart called off, everything goes on as it was: %s", why);
    set_failure(why);
    hold_signals(false);
    hz_timer_cancel(hz_shard_timers(hz_shard_main()), &restart.timer);
    free(restart.next);
    restart.next = NULL;
    for (uint32_t i = 0; i < hz_shard_count() && !awake; i++) {
        restart.parts[i].waking.run = run_wake;
        hz_shard_post(restart.parts[i].shard, &restart.parts[i].waking);
    }
    struct hz_mail *mail = calloc(1, sizeof *mail);
    if (!mail)
        return; /* no other restart is tried then */
    mail->run = run_round;
    hz_shard_post(hz_shard_at(0), mail);
}

/* ---- the meeting ---- */

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

static void one_round(struct part *part)
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

static void carry(struct part *part)
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
    (void)pthread_barrier_wait(&restart.meeting);
}

/* On each shard: holds its thread until the main one has executed the next image, or has let it go. */
static void run_meet(struct hz_mail *mail)
{
    struct part *part = HZ_CONTAINER_OF(mail, struct part, mail);
    enum verdict verdict;
    do {
        meet();
        one_round(part);
        meet();
        meet(); /* the verdict stands */
        verdict = restart.verdict;
    } while (verdict == AGAIN);
    if (verdict == LATER)
        return;
    carry(part);
    meet();
    meet(); /* it was called off */
    wake(part);
}

static enum verdict judge(unsigned round)
{
    bool ran = hz_shard_has_mail(hz_shard_main()), quiet = true;
    hz_shard_run_mail(hz_shard_main());
    for (uint32_t i = 0; i < hz_shard_count(); i++) {
        ran |= atomic_load(&restart.parts[i].ran);
        quiet &= atomic_load(&restart.parts[i].quiet);
    }
    return quiet && !ran ? CARRY : quiet && round < ROUNDS ? AGAIN : LATER;
}

static void compose(struct hz_carry_out *out)
{
    size_t listeners;
    const int *fds = hz_http_listeners(&listeners);
    hz_carry_put(out, (uint64_t)hz_restart_generation() + 1);
    hz_carry_put(out, restart.begun_ns);
    hz_carry_put(out, restart.rest_ns);
    hz_carry_put(out, hz_base_now_ns());
    hz_carry_put(out, hz_shard_count());
    hz_carry_put(out, hz_supervisor_server_port());
    hz_carry_put_fd(out, restart.lock_fd);
    hz_carry_put(out, listeners);
    for (size_t i = 0; i < listeners; i++)
        hz_carry_put_fd(out, fds[i]);
    hz_carry_put(out, hz_worker_sequence());
    hz_carry_put(out, hz_webhooks_openings());
    for (uint32_t i = 0; i < hz_shard_count(); i++) {
        hz_carry_put_part(out, &restart.parts[i].ids);
        hz_carry_put_part(out, &restart.parts[i].names);
        hz_carry_put_part(out, &restart.parts[i].out);
    }
}

/* Returns only if it cannot be done. */
static int execute(void)
{
    struct hz_carry_out out = {0};
    char number[16];
    int fd = -1, err = 0;
    for (uint32_t i = 0; i < hz_shard_count() && !err; i++)
        if (restart.parts[i].err)
            err = hz_err_set(restart.parts[i].err, "%s", restart.parts[i].error);
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
        if (!err)
            execv(restart.next, restart.argv);
        if (!err)
            err = hz_err_set(-errno, "cannot execute %s", restart.next);
        (void)hz_carry_keep_fds(&out, false);
        unsetenv(HZ_RESTART_STATE);
    }
    if (fd >= 0)
        close(fd);
    hz_carry_out_fini(&out);
    return err;
}

static void hold_meeting(void)
{
    uint32_t count = hz_shard_count();
    restart.rest_ns = hz_base_now_ns();
    if (!restart.has_meeting)
        restart.has_meeting = pthread_barrier_init(&restart.meeting, NULL, count + 1) == 0;
    HZ_ASSERT(restart.has_meeting);
    for (uint32_t i = 0; i < count; i++) {
        restart.parts[i].mail.run = run_meet;
        hz_shard_post(restart.parts[i].shard, &restart.parts[i].mail);
    }
    for (unsigned round = 0;; round++) {
        meet();
        meet();
        restart.verdict = judge(round);
        meet();
        if (restart.verdict != AGAIN)
            break;
    }
    if (restart.verdict == CARRY) {
        char why[768];
        meet();
        (void)execute();
        snprintf(why, sizeof why, "%s", hz_err_last());
        meet();
        call_off(why, true);
    }
}

static void on_look(struct hz_timer *timer)
{
    bool calm = true, quiet = true;
    uint64_t now = hz_base_now_ns();
    for (uint32_t i = 0; i < hz_shard_count(); i++) {
        calm &= atomic_load(&restart.parts[i].calm);
        quiet &= atomic_load(&restart.parts[i].quiet);
    }
    if (!restart.resting && (calm || now > restart.deadline_ns)) {
        restart.resting = true;
        for (uint32_t i = 0; i < hz_shard_count(); i++) {
            restart.parts[i].resting.run = run_rest_desk;
            hz_shard_post(restart.parts[i].shard, &restart.parts[i].resting);
        }
    } else if (quiet && hz_store_pending() < ROWS) {
        if (restart.held)
            hold_meeting();
        else /* the loop hands out what has come before we meet */
            hold_signals(true);
    } else if (now > restart.deadline_ns + LATE_MS * UINT64_C(1000000))
        call_off("what was ended for it did not end, or the disk does not answer", false);
    if (restart.next)
        hz_timer_after(hz_shard_timers(hz_shard_main()), timer, LOOK_MS, on_look);
}

/* Main thread: the binary is a good one. */
static void run_begin(struct hz_mail *mail)
{
    struct asked *a = HZ_CONTAINER_OF(mail, struct asked, mail);
    uint32_t count = hz_shard_count();
    HZ_ASSERT(restart.parts == NULL);
    restart.parts = atomic_load(&restart.forbidden) ? NULL : calloc(count, sizeof *restart.parts);
    if (!restart.parts) {
        a->err = HZ_EREFUSED;
        snprintf(a->error, sizeof a->error, "the server ends, or has no memory");
        atomic_store(&restart.busy, false);
        answer(a);
        return;
    }
    restart.next = a->binary;
    a->binary = NULL;
    restart.resting = false;
    restart.begun_ns = hz_base_now_ns();
    restart.deadline_ns = restart.begun_ns + a->drain_ms * UINT64_C(1000000);
    set_failure(NULL);
    HZ_LOG(INFO, "restart with %s: what is in flight has %u ms", restart.next, a->drain_ms);
    answer(a); /* before its connection rests */
    for (uint32_t i = 0; i < count; i++) {
        struct part *part = &restart.parts[i];
        part->shard = hz_shard_at(i);
        part->mail.run = run_rest;
        hz_shard_post(part->shard, &part->mail);
    }
    hz_timer_after(hz_shard_timers(hz_shard_main()), &restart.timer, LOOK_MS, on_look);
}

void hz_restart_forbid(void)
{
    atomic_store(&restart.forbidden, true);
    if (restart.next)
        call_off("the server was asked to end", false);
}
