/*
 * spawner.c - asks zygotes for processes, and brings their answers back. State and sockets belong to the main thread; shards
 * speak with it by mail. A zygote is a child of the main thread, because PR_SET_PDEATHSIG follows the parent's thread and the
 * main thread is the only one that never ends before the process does.
 *
 * A job's life: asked (mail to main, holds children.h's mark) -> waiting in a zygote's queue -> sent (at most IN_FLIGHT) -> answered,
 * or lost with its zygote -> mail to the asking shard. The mark is released after the pid was noted, or when there is no pid. A
 * process whose pid was lost with its zygote is nobody's: children.h ends it.
 */
#include "spawner.h"

#include "children.h"
#include "config.h"
#include "shm/err.h"
#include "shm/log.h"

#include "spawner_process.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define IN_FLIGHT 4u
#define ANSWER_MS 5000u /* a zygote that answers later is killed */
#define AGAIN_MS 1000u  /* between starts of a zygote that dies young */
#define YOUNG_MS 2000u

struct hz_spawn_job {
    struct hz_mail mail;
    struct hz_spawn_job *next;
    struct hz_shard *from;
    unsigned kind;
    struct hz_spawn_request request;
    int fds[3];
    unsigned hold;
    int32_t result;
    char error[256];
    hz_spawned_fn *fn;
    void *arg;
};

struct queue {
    struct hz_spawn_job *first, *last;
    unsigned count;
};

struct zygote {
    unsigned kind;
    int32_t pid; /* 0: none */
    int fd;
    uv_poll_t *poll; /* heap: libuv closes late */
    struct queue waiting, sent;
    uint64_t started_ns;
    bool hello;
    unsigned young; /* deaths in a row before it did anything useful */
    struct hz_timer again, answer;
};

static struct {
    const struct hz_config *config;
    struct zygote zygotes[HZ_SPAWNER_KINDS];
    uint64_t requests;
    _Atomic uint64_t starts; /* written by the main thread, read by anybody */
    bool open;
} spawner;

static const char *const kind_names[HZ_SPAWNER_KINDS] = {"base", "net", "js"};

static void put(struct queue *queue, struct hz_spawn_job *job)
{
    job->next = NULL;
    struct hz_spawn_job *last = queue->last;
    if (last)
        last->next = job;
    else
        queue->first = job;
    queue->last = job;
    queue->count++;
}

static struct hz_spawn_job *take(struct queue *queue)
{
    struct hz_spawn_job *job = queue->first;
    if (!job)
        return NULL;
    queue->first = job->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    return job;
}

static void run_answer(struct hz_mail *mail)
{
    struct hz_spawn_job *job = HZ_CONTAINER_OF(mail, struct hz_spawn_job, mail);
    job->fn(job->arg, job->result, job->error);
    free(job);
}

/* pid > 0, or a negative code with hz_err_last(). */
static void answer(struct hz_spawn_job *job, int32_t pid)
{
    if (pid > 0) {
        int err = hz_children_add(pid);
        if (err) {
            (void)kill(pid, SIGKILL); /* unknown to the table: reaped as a stranger */
            pid = err;
        }
    }
    hz_children_release(job->hold);
    job->result = pid;
    if (pid <= 0)
        strncpy(job->error, hz_err_last(), sizeof job->error - 1);
    job->mail.run = run_answer;
    hz_shard_post(job->from, &job->mail);
}

static struct hz_timers *timers(void)
{
    return hz_shard_timers(hz_shard_main());
}

static void start_zygote(struct zygote *z);
static void pump(struct zygote *z);

static void on_again(struct hz_timer *timer)
{
    struct zygote *z = HZ_CONTAINER_OF(timer, struct zygote, again);
    if (spawner.open && z->pid == 0 && z->waiting.first)
        start_zygote(z);
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

/* The zygote is gone or must go: whatever was sent is lost, whatever waits goes to the next one. */
static void end_zygote(struct zygote *z, const char *why)
{
    if (z->pid == 0)
        return;
    if (spawner.open)
        HZ_LOG(WARN, "zygote %s (process %d): %s", kind_names[z->kind], z->pid, why);
    uv_poll_stop(z->poll);
    uv_close((uv_handle_t *)z->poll, free_handle);
    z->poll = NULL;
    close(z->fd);
    hz_timer_cancel(timers(), &z->answer);
    (void)kill(z->pid, SIGKILL);
    siginfo_t info;
    while (waitid(P_PID, (id_t)z->pid, &info, WEXITED) && errno == EINTR) {
    }
    hz_children_remove(z->pid);
    bool young = !z->hello || hz_base_now_ns() - z->started_ns < (uint64_t)YOUNG_MS * 1000000u;
    z->pid = 0;
    z->young = young ? z->young + 1 : 0;
    bool lost = z->sent.first != NULL;
    for (struct hz_spawn_job *job; (job = take(&z->sent)) != NULL;)
        answer(job, hz_err_set(HZ_ECLOSED, "the zygote died before it answered"));
    if (lost)
        hz_children_search(); /* a process it made without telling us */
    if (!spawner.open)
        return;
    if (z->young >= 3) {
        /* It cannot be started here: those who wait must not wait for ever. */
        for (struct hz_spawn_job *job; (job = take(&z->waiting)) != NULL;)
            answer(job, hz_err_set(HZ_EREFUSED, "the zygote %s does not start: %s", kind_names[z->kind], why));
        z->young = 2;
    }
    if (z->waiting.first)
        hz_timer_after(timers(), &z->again, young ? AGAIN_MS : 0, on_again);
}

static void on_late(struct hz_timer *timer)
{
    end_zygote(HZ_CONTAINER_OF(timer, struct zygote, answer), "did not answer in time");
}

static void watch_answers(struct zygote *z)
{
    if (z->sent.first || !z->hello)
        hz_timer_after(timers(), &z->answer, ANSWER_MS, on_late);
    else
        hz_timer_cancel(timers(), &z->answer);
}

/* One datagram of the zygote; false when it broke the protocol. */
static bool take_datagram(struct zygote *z, const void *data, size_t len)
{
    if (!z->hello) {
        struct hz_spawn_hello hello;
        if (len != sizeof hello)
            return false;
        memcpy(&hello, data, sizeof hello);
        if (hello.magic != HZ_SPAWN_MAGIC || hello.version != HZ_LAYOUT_VERSION || (int32_t)hello.pid != z->pid)
            return false;
        z->hello = true;
        HZ_LOG(DEBUG, "zygote %s: process %d, %u nodes preloaded", kind_names[z->kind], z->pid, hello.nodes);
        return true;
    }
    struct hz_spawn_reply reply;
    if (len != sizeof reply)
        return false;
    memcpy(&reply, data, sizeof reply);
    struct hz_spawn_job *job = z->sent.first;
    if (reply.magic != HZ_SPAWN_MAGIC || reply.version != HZ_LAYOUT_VERSION || !job || reply.request != job->request.request)
        return false;
    (void)take(&z->sent);
    z->young = 0;
    answer(job, reply.pid > 0 ? reply.pid : hz_err_set(reply.pid < 0 ? reply.pid : HZ_EFORMAT, "the zygote cannot make a process"));
    return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct zygote *z = poll->data;
    (void)events;
    if (status < 0) {
        end_zygote(z, "its socket broke");
        return;
    }
    for (;;) {
        uint64_t buffer[32];
        ssize_t n = recv(z->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            end_zygote(z, "died");
            return;
        }
        if (!take_datagram(z, buffer, (size_t)n)) {
            end_zygote(z, "answered what it was not asked");
            return;
        }
    }
    pump(z);
}

static void start_zygote(struct zygote *z)
{
    int err = hz_spawner_process_zygote(spawner.config, kind_names[z->kind], &z->pid, &z->fd);
    uv_poll_t *poll = err ? NULL : calloc(1, sizeof *poll);
    if (!err && !poll)
        err = hz_err_set(HZ_ENOMEM, "zygote");
    if (!err && uv_poll_init(hz_shard_loop(hz_shard_main()), poll, z->fd)) {
        free(poll);
        err = hz_err_set(HZ_EREFUSED, "cannot watch the zygote's socket");
    }
    if (err) {
        if (z->pid > 0) {
            (void)kill(z->pid, SIGKILL);
            (void)waitid(P_PID, (id_t)z->pid, &(siginfo_t){0}, WEXITED);
            hz_children_remove(z->pid);
            close(z->fd);
        }
        z->pid = 0;
        HZ_LOG(ERROR, "zygote %s: %s", kind_names[z->kind], hz_err_last());
        for (struct hz_spawn_job *job; (job = take(&z->waiting)) != NULL;)
            answer(job, err);
        return;
    }
    poll->data = z;
    z->poll = poll;
    z->hello = false;
    z->started_ns = hz_base_now_ns();
    atomic_fetch_add_explicit(&spawner.starts, 1, memory_order_relaxed);
    uv_poll_start(poll, UV_READABLE | UV_DISCONNECT, on_readable);
    watch_answers(z);
}

static void pump(struct zygote *z)
{
    while (z->hello && z->waiting.first && z->sent.count < IN_FLIGHT) {
        struct hz_spawn_job *job = z->waiting.first;
        job->request.request = ++spawner.requests;
        int err = hz_spawner_process_send(z->fd, &job->request, job->fds);
        if (err == -EAGAIN)
            break; /* its next answer brings us here again */
        if (err) {
            end_zygote(z, "its socket broke");
            return;
        }
        (void)take(&z->waiting);
        put(&z->sent, job);
    }
    watch_answers(z);
}

static void run_ask(struct hz_mail *mail)
{
    struct hz_spawn_job *job = HZ_CONTAINER_OF(mail, struct hz_spawn_job, mail);
    if (!spawner.open) {
        answer(job, hz_err_set(HZ_ECLOSED, "the manager ends"));
        return;
    }
    if (spawner.config->spawn == HZ_SPAWN_EXEC) {
        int32_t pid;
        job->request.request = ++spawner.requests;
        int err = hz_spawner_process_worker(spawner.config, &job->request, job->fds, &pid);
        answer(job, err ? err : pid);
        return;
    }
    struct zygote *z = &spawner.zygotes[job->kind];
    put(&z->waiting, job);
    if (z->pid == 0 && !hz_timer_armed(&z->again))
        start_zygote(z);
    else if (z->pid != 0)
        pump(z);
}

int hz_spawner_ask(unsigned kind, const struct hz_spawn_request *request, const int fds[3], hz_spawned_fn *fn, void *arg)
{
    HZ_ASSERT(kind < HZ_SPAWNER_KINDS && hz_shard_self() != NULL);
    struct hz_spawn_job *job = calloc(1, sizeof *job);
    if (!job)
        return hz_err_set(HZ_ENOMEM, "starting a worker");
    job->mail.run = run_ask;
    job->from = hz_shard_self();
    job->kind = kind;
    job->request = *request;
    memcpy(job->fds, fds, sizeof job->fds);
    job->fn = fn;
    job->arg = arg;
    job->hold = hz_children_hold();
    hz_shard_post(hz_shard_main(), &job->mail);
    return 0;
}

int hz_spawner_init(const struct hz_config *config)
{
    HZ_ASSERT(!spawner.open && hz_shard_self() == hz_shard_main());
    memset(&spawner, 0, sizeof spawner);
    spawner.config = config;
    for (unsigned i = 0; i < HZ_SPAWNER_KINDS; i++)
        spawner.zygotes[i].kind = i;
    spawner.open = true;
    return 0;
}

void hz_spawner_fini(void)
{
    if (!spawner.open)
        return;
    spawner.open = false;
    for (unsigned i = 0; i < HZ_SPAWNER_KINDS; i++) {
        struct zygote *z = &spawner.zygotes[i];
        hz_timer_cancel(timers(), &z->again);
        end_zygote(z, "ended");
        for (struct hz_spawn_job *job; (job = take(&z->waiting)) != NULL;)
            answer(job, hz_err_set(HZ_ECLOSED, "the manager ends"));
    }
}

uint64_t hz_spawner_zygote_starts(void)
{
    return atomic_load_explicit(&spawner.starts, memory_order_relaxed);
}
