/*
 * restart.c - the old image: asks the new binary for its layout, brings every shard to rest, collects what they hand
 * over, and executes the binary from the main thread. Whatever fails before the exec calls it off, and everything goes
 * on as it was.
 */
#include "restart_internal.h"

#include "alerts.h"
#include "alerts_send.h"
#include "catalog.h"
#include "executions.h"
#include "policy.h"
#include "probe.h"
#include "store.h"

#include "shm/err.h"
#include "shm/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* mail is owned by the shard it is posted to */

#define LATE_MS  8000u /* behind the drain: what was ended for it must be gone, and the disk must have answered */
#define CHECK_MS 5000u /* for the binary to say its layout */
#define ALERTS_MS 10u
#define ROWS     2000u /* of the store, about one commit: they are written while nobody is served */

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

struct hz_restart_state hz_restart = {.lock_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

void hz_restart_set_arguments(char **argv)
{
    hz_restart.argv = argv;
}

void hz_restart_set_lock(int lock_fd)
{
    hz_restart.lock_fd = lock_fd;
}

const char *hz_restart_binary(void)
{
    return hz_restart.binary;
}

int hz_restart_init(const struct hz_config *config)
{
    hz_restart.config = config;
    atomic_store(&hz_restart.busy, false);
    atomic_store(&hz_restart.forbidden, false);
    /* By its path: another file may be put there meanwhile, which is the newer one. */
    ssize_t n = readlink("/proc/self/exe", hz_restart.binary, sizeof hz_restart.binary - 1);
    hz_restart.binary[HZ_MAX(n, (ssize_t)0)] = 0;
    return 0;
}

void hz_restart_end(void)
{
    HZ_ASSERT(atomic_load(&hz_restart.forbidden));
    pthread_mutex_lock(&hz_restart.lock);
    pthread_t checker = hz_restart.checker; /* nobody makes another any more */
    bool has_checker = hz_restart.has_checker;
    hz_restart.has_checker = false;
    pthread_mutex_unlock(&hz_restart.lock);
    if (has_checker)
        pthread_join(checker, NULL);
    hz_shard_run_mail(hz_shard_main()); /* what it wanted to begin is answered while there is somebody to hear it */
}

void hz_restart_fini(void)
{
    if (hz_restart.has_meeting)
        pthread_barrier_destroy(&hz_restart.meeting);
    hz_restart.has_meeting = false;
    free(hz_restart.failure);
    free(hz_restart.parts);
    free(hz_restart.next);
    hz_restart.failure = hz_restart.next = NULL;
    hz_restart.parts = NULL;
}

char *hz_restart_failure(void)
{
    pthread_mutex_lock(&hz_restart.lock);
    char *copy = hz_restart.failure ? strdup(hz_restart.failure) : NULL;
    pthread_mutex_unlock(&hz_restart.lock);
    return copy;
}

static void set_failure(const char *text)
{
    pthread_mutex_lock(&hz_restart.lock);
    free(hz_restart.failure);
    hz_restart.failure = text ? strdup(text) : NULL;
    pthread_mutex_unlock(&hz_restart.lock);
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
        err = hz_catalog_refresh(hz_restart.config); /* check_flows() judges by it */
    return err ? hz_err_prefix(HZ_EREFUSED, "nothing was touched") : 0;
}

/* An alert that is being delivered would be forgotten. */
static void await_alerts(uint32_t most_ms)
{
    for (uint32_t waited = 0; waited < most_ms && !atomic_load(&hz_restart.forbidden) && !(hz_hook_idle() && hz_notify_idle()); waited += ALERTS_MS)
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
        a->err = atomic_load(&hz_restart.forbidden) ? hz_err_set(HZ_EREFUSED, "the server ends") : check_files();
    if (!a->err)
        await_alerts(a->drain_ms);
    if (a->err) {
        snprintf(a->error, sizeof a->error, "%s", hz_err_last());
        HZ_LOG(WARN, "restart refused: %s", a->error);
        atomic_store(&hz_restart.busy, false);
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
    char *binary = options->binary ? options->binary : strdup(hz_restart.binary);
    struct asked *a = binary ? calloc(1, sizeof *a) : NULL;
    const char *why =
            !a ? hz_err_text(HZ_ENOMEM)
            : hz_restart.config->safe
                    ? "a server started with --safe leaves open what it found open: stop it and start it instead"
            : atomic_load(&hz_restart.forbidden)      ? "the server ends"
            : atomic_exchange(&hz_restart.busy, true) ? "a restart is under way"
                                                   : NULL;
    if (a && !why) {
        *a = (struct asked){
                .from = hz_shard_self(), .binary = binary, .drain_ms = options->drain_ms, .fn = fn, .arg = arg};
        /* The binary may take its time to answer, and no shard has any. */
        pthread_mutex_lock(&hz_restart.lock);
        if (hz_restart.has_checker) /* it has said its last word: we are the busy one now */
            pthread_join(hz_restart.checker, NULL);
        int code = atomic_load(&hz_restart.forbidden) ? ECANCELED : pthread_create(&hz_restart.checker, NULL, check_main, a);
        hz_restart.has_checker = code == 0;
        pthread_mutex_unlock(&hz_restart.lock);
        if (code == 0)
            return;
        atomic_store(&hz_restart.busy, false);
        why = strerror(code);
    }
    fn(arg, HZ_EREFUSED, why);
    free(binary);
    free(a);
}

/* ---- under way ---- */

static void run_over(struct hz_mail *mail)
{
    free(mail);
    free(hz_restart.parts); /* every shard's wake is behind us: this mail went round behind it */
    hz_restart.parts = NULL;
    atomic_store(&hz_restart.busy, false);
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
    if (hz_restart.held == hold)
        return;
    hz_restart.held = hold;
    hz_restart_hold_signals(hold);
}

void hz_restart_call_off(const char *why, bool awake)
{
    HZ_LOG(WARN, "restart called off, everything goes on as it was: %s", why);
    set_failure(why);
    hold_signals(false);
    hz_timer_cancel(hz_shard_timers(hz_shard_main()), &hz_restart.timer);
    free(hz_restart.next);
    hz_restart.next = NULL;
    for (uint32_t i = 0; i < hz_shard_count() && !awake; i++) {
        hz_restart.parts[i].waking.run = hz_restart_run_wake;
        hz_shard_post(hz_restart.parts[i].shard, &hz_restart.parts[i].waking);
    }
    struct hz_mail *mail = calloc(1, sizeof *mail);
    if (!mail)
        return; /* no other restart is tried then */
    mail->run = run_round;
    hz_shard_post(hz_shard_at(0), mail);
}

static void on_look(struct hz_timer *timer)
{
    bool calm = true, quiet = true;
    uint64_t now = hz_base_now_ns();
    for (uint32_t i = 0; i < hz_shard_count(); i++) {
        calm &= atomic_load(&hz_restart.parts[i].calm);
        quiet &= atomic_load(&hz_restart.parts[i].quiet);
    }
    if (!hz_restart.resting && (calm || now > hz_restart.deadline_ns)) {
        hz_restart.resting = true;
        for (uint32_t i = 0; i < hz_shard_count(); i++) {
            hz_restart.parts[i].resting.run = hz_restart_run_rest_desk;
            hz_shard_post(hz_restart.parts[i].shard, &hz_restart.parts[i].resting);
        }
    } else if (quiet && hz_store_pending() < ROWS) {
        if (hz_restart.held)
            hz_restart_hold_meeting();
        else /* the loop hands out what has come before we meet */
            hold_signals(true);
    } else if (now > hz_restart.deadline_ns + LATE_MS * UINT64_C(1000000))
        hz_restart_call_off("what was ended for it did not end, or the disk does not answer", false);
    if (hz_restart.next)
        hz_timer_after(hz_shard_timers(hz_shard_main()), timer, HZ_RESTART_LOOK_MS, on_look);
}

/* Main thread: the binary is a good one. */
static void run_begin(struct hz_mail *mail)
{
    struct asked *a = HZ_CONTAINER_OF(mail, struct asked, mail);
    uint32_t count = hz_shard_count();
    HZ_ASSERT(hz_restart.parts == NULL);
    hz_restart.parts = atomic_load(&hz_restart.forbidden) ? NULL : calloc(count, sizeof *hz_restart.parts);
    if (!hz_restart.parts) {
        a->err = HZ_EREFUSED;
        snprintf(a->error, sizeof a->error, "the server ends, or has no memory");
        atomic_store(&hz_restart.busy, false);
        answer(a);
        return;
    }
    hz_restart.next = a->binary;
    a->binary = NULL;
    hz_restart.resting = false;
    hz_restart.begun_ns = hz_base_now_ns();
    hz_restart.deadline_ns = hz_restart.begun_ns + a->drain_ms * UINT64_C(1000000);
    set_failure(NULL);
    HZ_LOG(INFO, "restart with %s: what is in flight has %u ms", hz_restart.next, a->drain_ms);
    answer(a); /* before its connection rests */
    for (uint32_t i = 0; i < count; i++) {
        struct hz_restart_part *part = &hz_restart.parts[i];
        part->shard = hz_shard_at(i);
        part->mail.run = hz_restart_run_rest;
        hz_shard_post(part->shard, &part->mail);
    }
    hz_timer_after(hz_shard_timers(hz_shard_main()), &hz_restart.timer, HZ_RESTART_LOOK_MS, on_look);
}

void hz_restart_forbid(void)
{
    atomic_store(&hz_restart.forbidden, true);
    if (hz_restart.next)
        hz_restart_call_off("the server was asked to end", false);
}
