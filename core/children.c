/*
 * children.c - which processes below us are ours. Workers (children of ours by CLONE_PARENT), zygotes and helpers are reaped by
 * those who started them; everything else is an orphan of a worker, adopted because we are the subreaper: killed and reaped.
 *
 * Proof that no worker, zygote or helper is ever taken for a stranger
 *   A pid of ours exists only after its starter called hold() (count of the current phase up) and is in the table before the same
 *   starter calls release() (that count down); it stays there until it has been reaped. A search works in two steps. First it
 *   notes the candidates C: children of ours (by the kernel's word) that are not in the table. Then it waits until nobody holds
 *   in the other phase, flips the phase, and waits until nobody holds in the one that was current. Everybody who held when C was
 *   noted held in one of the two, so by now each has released: if one of C were theirs, it would be in the table. Who held
 *   after C was noted starts processes that did not exist then; their pids differ from those in C, because a pid in C cannot
 *   be used again before it is reaped, and only this file reaps it. Hence what is in C and still not in the table is nobody's:
 *   it may be killed and reaped. Holds may be taken without end; each wait ends all the same, since new ones count elsewhere.
 *
 * Synchronisation: `lock` guards table, phase and counts; short, no call under it blocks. Everything else: main thread.
 */
#include "children.h"

#include "shard.h"
#include "shm/err.h"
#include "shm/log.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 1024u
#define CANDIDATES 256u
#define AGAIN_MS 20u /* between two looks while a phase runs out or a stranger dies */
#define LOOKS 250u   /* then give up until the next reason to search */

struct child {
    struct child *next;
    int32_t pid;
};

static struct {
    pthread_mutex_t lock;
    struct child *buckets[BUCKETS];
    uint64_t holds[2];
    unsigned phase;
    struct hz_shard *shard;
    uv_signal_t watch;
    struct hz_timer timer;
    int32_t candidates[CANDIDATES];
    unsigned count, looks;
    enum { REST, FLIP, RUN_OUT, END } step; /* of the search that is under way */
    bool open, again, inherited;
    hz_children_stopped_fn *stopped;
    struct hz_timer round; /* finds what no signal told of */
    uint32_t period_ms;
    atomic_bool asked; /* a search is on its way: set by exchange by whoever posts it, cleared by the main thread */
    _Atomic uint64_t strangers;
} children = {.lock = PTHREAD_MUTEX_INITIALIZER};

unsigned hz_children_hold(void)
{
    pthread_mutex_lock(&children.lock);
    unsigned phase = children.phase;
    children.holds[phase]++;
    pthread_mutex_unlock(&children.lock);
    return phase;
}

void hz_children_release(unsigned hold)
{
    pthread_mutex_lock(&children.lock);
    HZ_ASSERT(hold < 2 && children.holds[hold] > 0);
    children.holds[hold]--;
    pthread_mutex_unlock(&children.lock);
}

int hz_children_add(int32_t pid)
{
    struct child *child = malloc(sizeof *child);
    if (!child)
        return hz_err_set(HZ_ENOMEM, "process %d", pid);
    child->pid = pid;
    struct child **bucket = &children.buckets[(uint32_t)pid % BUCKETS];
    pthread_mutex_lock(&children.lock);
    child->next = *bucket;
    *bucket = child;
    pthread_mutex_unlock(&children.lock);
    return 0;
}

void hz_children_remove(int32_t pid)
{
    struct child *found = NULL;
    pthread_mutex_lock(&children.lock);
    for (struct child **link = &children.buckets[(uint32_t)pid % BUCKETS]; *link; link = &(*link)->next) {
        if ((*link)->pid == pid) {
            found = *link;
            *link = found->next;
            break;
        }
    }
    pthread_mutex_unlock(&children.lock);
    free(found);
}

/* Under the lock. */
static bool known(int32_t pid)
{
    for (struct child *child = children.buckets[(uint32_t)pid % BUCKETS]; child; child = child->next)
        if (child->pid == pid)
            return true;
    return false;
}

/* Calls fn for each child of this process, dead ones included. */
static void each_child(void (*fn)(int32_t pid, void *arg), void *arg)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return;
    int32_t self = getpid();
    for (const struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        char path[64], line[512];
        snprintf(path, sizeof path, "/proc/%.20s/stat", entry->d_name);
        FILE *file = fopen(path, "re");
        size_t len = file ? fread(line, 1, sizeof line - 1, file) : 0;
        if (file)
            fclose(file);
        line[len] = 0;
        /* The name in brackets may hold anything: the fields start behind the last bracket. */
        const char *end = strrchr(line, ')');
        char state;
        int parent;
        if (end && sscanf(end + 1, " %c %d", &state, &parent) == 2 && parent == self)
            fn((int32_t)strtol(entry->d_name, NULL, 10), arg);
    }
    closedir(proc);
}

static void note(int32_t pid, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&children.lock);
    bool ours = known(pid);
    pthread_mutex_unlock(&children.lock);
    if (!ours && children.count < CANDIDATES)
        children.candidates[children.count++] = pid;
}

static bool reap(int32_t pid)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | __WALL))
        return true; /* ECHILD: no child of ours (any more) */
    if (info.si_pid == 0)
        return false;
    if (children.inherited) {
        HZ_LOG(DEBUG, "process %d of the image before was ended", pid);
        return true;
    }
    atomic_fetch_add_explicit(&children.strangers, 1, memory_order_relaxed);
    children.again = true; /* its own children are ours now, and no signal says so */
    HZ_LOG(INFO, "process %d: a worker's child that outlived it was ended", pid);
    return true;
}

/* Step two of the proof; true when both waits are over. */
static bool phases_ran_out(void)
{
    pthread_mutex_lock(&children.lock);
    bool other_empty = children.holds[children.phase ^ 1u] == 0;
    if (children.step == FLIP && other_empty) {
        children.phase ^= 1u;
        children.step = RUN_OUT;
        other_empty = children.holds[children.phase ^ 1u] == 0;
    }
    if (children.step == RUN_OUT && other_empty)
        children.step = END;
    pthread_mutex_unlock(&children.lock);
    return children.step == END;
}

static void end_strangers(void)
{
    unsigned left = 0;
    for (unsigned i = 0; i < children.count; i++) {
        int32_t pid = children.candidates[i];
        pthread_mutex_lock(&children.lock);
        bool ours = known(pid);
        pthread_mutex_unlock(&children.lock);
        if (ours || reap(pid))
            continue;
        (void)kill(pid, SIGKILL); /* a child of ours that nobody else reaps: the pid is still its own */
        if (!reap(pid))
            children.candidates[left++] = pid;
    }
    children.count = left;
}

static void search(void);

static void look(struct hz_timer *timer)
{
    (void)timer;
    if (phases_ran_out())
        end_strangers();
    if (children.count > 0 && ++children.looks < LOOKS)
        hz_timer_after(hz_shard_timers(children.shard), &children.timer, AGAIN_MS, look);
    else {
        children.step = REST;
        children.inherited = false;
    }
    if (children.step == REST && children.again)
        search();
}

/* Step one. A reason to search that comes while one is under way is a reason to search again after it. */
static void search(void)
{
    children.again = children.step != REST;
    if (!children.open || children.step != REST)
        return;
    children.count = 0;
    children.looks = 0;
    each_child(note, NULL);
    if (children.count == 0)
        return;
    children.step = FLIP;
    look(&children.timer);
}

static void run_search(struct hz_mail *mail)
{
    free(mail);
    atomic_store(&children.asked, false);
    search();
}

void hz_children_search(void)
{
    if (!children.open || atomic_exchange(&children.asked, true))
        return;
    struct hz_mail *mail = calloc(1, sizeof *mail);
    if (!mail) {
        atomic_store(&children.asked, false);
        return;
    }
    mail->run = run_search;
    hz_shard_post(children.shard, mail);
}

void hz_children_end_inherited(void)
{
    children.inherited = true; /* nobody else's children are there yet */
    search();
    children.inherited = children.step != REST;
}

/* A child that was stopped or continued tells so once: each is asked for until there is none. */
static void tell_stopped(void)
{
    siginfo_t info;
    for (;;) {
        memset(&info, 0, sizeof info);
        if (waitid(P_ALL, 0, &info, WSTOPPED | WCONTINUED | WNOHANG | __WALL) || info.si_pid == 0)
            return;
        if (children.stopped)
            children.stopped(info.si_pid, info.si_code != CLD_CONTINUED);
    }
}

/* A dead child that is not ours is a reason to search; ours are reaped by their pidfd. WNOWAIT shows only the first dead one, which
 * may be one of ours that its shard has not reaped yet: those behind it are found by the search after some worker's end. */
static void on_sigchld(uv_signal_t *watch, int number)
{
    (void)watch;
    (void)number;
    siginfo_t info;
    tell_stopped();
    memset(&info, 0, sizeof info);
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) || info.si_pid == 0)
        return;
    pthread_mutex_lock(&children.lock);
    bool ours = known(info.si_pid);
    pthread_mutex_unlock(&children.lock);
    if (ours)
        return;
    /* Or its shard reaped it, and took it off the table, between the two looks: then it is no child of ours any more. */
    pid_t pid = info.si_pid;
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 && info.si_pid == pid)
        search();
}

static void on_round(struct hz_timer *timer)
{
    search();
    hz_timer_after(hz_shard_timers(children.shard), timer, children.period_ms, on_round);
}

/* Does the environment of this process hold the mark? */
static bool is_marked(int32_t pid, const char *mark)
{
    char path[64], text[16384];
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[len] = 0;
    for (size_t at = 0; at < len; at += strlen(text + at) + 1)
        if (strcmp(text + at, mark) == 0)
            return true;
    return false;
}

unsigned hz_children_end_strays(const char *instance)
{
    char mark[64];
    unsigned count = 0;
    snprintf(mark, sizeof mark, HZ_CHILDREN_MARK "%s", instance);
    DIR *proc = instance[0] ? opendir("/proc") : NULL;
    for (const struct dirent *entry; proc && (entry = readdir(proc)) != NULL;) {
        int32_t pid = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? (int32_t)strtol(entry->d_name, NULL, 10) : 0;
        if (pid <= 1 || pid == getpid() || pid == getppid())
            continue;
        /* The pidfd is opened before the look: what is killed is what was looked at. */
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0)
            continue;
        if (is_marked(pid, mark) && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
            count++;
        close(fd);
    }
    if (proc)
        closedir(proc);
    return count;
}

int hz_children_init(struct hz_shard *main_shard, uint32_t period_ms, hz_children_stopped_fn *stopped)
{
    HZ_ASSERT(!children.open && period_ms > 0);
    children.period_ms = period_ms;
    children.stopped = stopped;
    children.shard = main_shard;
    children.count = children.looks = 0;
    children.step = REST;
    children.again = children.inherited = false;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
        return hz_err_set(-errno, "cannot adopt the orphans of workers");
    int code = uv_signal_init(hz_shard_loop(main_shard), &children.watch);
    if (!code)
        code = uv_signal_start(&children.watch, on_sigchld, SIGCHLD);
    if (code)
        return hz_err_set(code, "cannot watch for dead children");
    uv_unref((uv_handle_t *)&children.watch);
    children.open = true;
    hz_timer_after(hz_shard_timers(main_shard), &children.round, period_ms, on_round);
    return 0;
}

void hz_children_fini(void)
{
    if (!children.open)
        return;
    children.open = false;
    hz_timer_cancel(hz_shard_timers(children.shard), &children.timer);
    hz_timer_cancel(hz_shard_timers(children.shard), &children.round);
    uv_close((uv_handle_t *)&children.watch, NULL);
    /* Nobody starts anything any more: what is below us and not in the table is a stranger. */
    children.again = true;
    for (int i = 0; i < 100 && children.again; i++) {
        children.again = false;
        children.count = 0;
        each_child(note, NULL);
        end_strangers();
        children.again |= children.count > 0;
        nanosleep(&(struct timespec){.tv_nsec = children.count ? 10000000 : 0}, NULL);
    }
    pthread_mutex_lock(&children.lock);
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (children.buckets[i]) {
            struct child *child = children.buckets[i];
            children.buckets[i] = child->next;
            free(child);
        }
    }
    pthread_mutex_unlock(&children.lock);
}

uint64_t hz_children_strangers(void)
{
    return atomic_load_explicit(&children.strangers, memory_order_relaxed);
}
