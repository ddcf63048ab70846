/*
 * access_work.c - the helper thread of access: hashes passwords, waits for commits, writes the audit log, so that no shard does. One
 * queue, in order: hashing takes one processor at most, however many log in.
 *
 * Synchronisation: `work.lock` guards the queue and the flags. A job belongs to the thread that has it: the caller's until it is queued,
 * the helper's until it is posted, then its shard's.
 */
#include "access_internal.h"

#include "shard.h"

#include "shm/err.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <urcu/urcu-memb.h>

#define JOBS_MOST 256u /* at a tenth of a second a login nobody waits that long */
#define TEND_S    60

struct job {
    struct hz_mail mail;
    struct job *next;
    struct hz_shard *shard;
    int (*work)(void *arg);
    void (*done)(void *arg, int result);
    void *arg;
    int result;
};
static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    struct job *first, **last;
    unsigned count;
    bool running, stopping, woken;
} work = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

bool hz_access_working(void)
{
    pthread_mutex_lock(&work.lock);
    bool running = work.running && !work.stopping;
    pthread_mutex_unlock(&work.lock);
    return running;
}

void hz_access_wake(void)
{
    pthread_mutex_lock(&work.lock);
    work.woken = true;
    pthread_cond_signal(&work.wake);
    pthread_mutex_unlock(&work.lock);
}

static void deliver(struct hz_mail *mail)
{
    struct job *job = HZ_CONTAINER_OF(mail, struct job, mail);
    if (job->done)
        job->done(job->arg, job->result);
    free(job);
}

int hz_access_work(int (*run)(void *arg), void (*done)(void *arg, int result), void *arg)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return hz_err_set(HZ_ENOMEM, "access");
    job->work = run;
    job->done = done;
    job->arg = arg;
    job->shard = hz_shard_self();
    pthread_mutex_lock(&work.lock);
    bool taken = work.running && !work.stopping && work.count < JOBS_MOST;
    if (taken) {
        *work.last = job;
        work.last = &job->next;
        work.count++;
        pthread_cond_signal(&work.wake);
    }
    pthread_mutex_unlock(&work.lock);
    if (taken)
        return 0; // cppcheck-suppress memleak ; the queue has it
    free(job);
    return hz_err_set(HZ_EBUSY, "too many logins and changes of accounts at once");
}

/* The next job; NULL: none, and the clock or the audit log wants something, or *ret_over. */
static struct job *next_job(bool *ret_over)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TEND_S;
    pthread_mutex_lock(&work.lock);
    while (!work.first && !work.stopping && !work.woken)
        if (pthread_cond_timedwait(&work.wake, &work.lock, &until))
            break;
    struct job *job = work.first;
    if (job) {
        work.first = job->next;
        work.last = work.first ? work.last : &work.first;
        work.count--;
    }
    work.woken = false;
    *ret_over = !job && work.stopping;
    pthread_mutex_unlock(&work.lock);
    return job;
}

static void *helper(void *arg)
{
    (void)arg;
    bool over = false;
    uint64_t tended_ns = hz_base_now_ns();
    urcu_memb_register_thread();
    while (!over) {
        struct job *job = next_job(&over);
        if (job) {
            job->result = job->work(job->arg);
            job->mail.run = deliver;
            if (job->shard)
                hz_shard_post(job->shard, &job->mail);
            else
                deliver(&job->mail);
        }
        hz_audit_flush();
        if (hz_base_now_ns() - tended_ns > UINT64_C(1000000000) * TEND_S) {
            tended_ns = hz_base_now_ns();
            hz_access_tend();
        }
    }
    urcu_memb_unregister_thread();
    return NULL;
}

int hz_access_begin(void)
{
    HZ_ASSERT(!work.running);
    work.first = NULL;
    work.last = &work.first;
    work.count = 0;
    work.stopping = work.woken = false;
    int code = pthread_create(&work.thread, NULL, helper, NULL);
    work.running = code == 0;
    return code ? hz_err_set(-code, "cannot start the helper thread of access") : 0;
}

void hz_access_rest(void)
{
    hz_access_tend();
    hz_audit_flush();
}

void hz_access_end(void)
{
    if (!work.running)
        return;
    pthread_mutex_lock(&work.lock);
    work.stopping = true;
    pthread_cond_signal(&work.wake);
    pthread_mutex_unlock(&work.lock);
    pthread_join(work.thread, NULL);
    pthread_mutex_lock(&work.lock);
    work.running = false;
    pthread_mutex_unlock(&work.lock);
    hz_access_rest();
}
