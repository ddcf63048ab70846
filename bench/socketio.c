/*
 * socketio.c - what pages cost through Socket.IO: how long the workers' page takes, what clients that follow cost, what idle ones weigh,
 * how many calls busy ones make. The clients are a process of their own, begun before the manager, so that the manager's CPU time is its own.
 */
#include "manager.h"
#include "sio.h"

#include "core/access.h"
#include "core/manager.h"

#include "shm/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 1000, WARM = 50, FOLLOWERS = 50, FOLLOWED = 1000, BUSY = 200, BUSY_WORKERS = 100, IDLE = 10000 };
enum { REFRESH_S = 5, WINDOW_S = 10, HEARTBEAT_S = 25 };
static const char ask_dashboard[] = "421[\"workers:dashboard\",{}]", ask_list[] = "422[\"workers:list\",{}]", ask_stats[] = "423[\"workers:stats\",{}]";

struct shared; /* of three processes: who begins, the manager, the clients */
struct job {
    void (*clients)(struct shared *shared); /* in the clients' process; sets `failed` */
    bool (*drive)(struct shared *shared);   /* in the manager, once the clients may come */
    unsigned workers, count, idle; /* idle: further clients, who do nothing */
};
struct shared {
    const struct job *job;
    struct hz_bench_echo echo;
    char token[HZ_ACCESS_SECRET];
    _Atomic uint32_t port;          /* the manager: come */
    _Atomic bool ready, stop, done; /* the clients: all are in; the manager: enough; the clients: it is over */
    _Atomic bool failed;
    double p50_ms, p99_ms, floor_p50_ms, floor_p99_ms, rate, floor_rate; /* the clients */
    double bytes_s; /* that a client got in a second */
    double events_s;
    double cpu_percent, base_percent, kib; /* the manager */
};

static void set(_Atomic bool *flag)
{
    atomic_store_explicit(flag, true, memory_order_release);
}

static bool is(_Atomic bool *flag)
{
    return atomic_load_explicit(flag, memory_order_acquire);
}

static double seconds_since(uint64_t ns)
{
    return (double)(hz_base_now_ns() - ns) / 1e9;
}

/* ---- the workers' page: both calls in one segment, until both answers are there ---- */
static size_t page_request(char request[128])
{
    size_t len = hz_bench_sio_frame(request, ask_dashboard, sizeof ask_dashboard - 1);
    return len + hz_bench_sio_frame(request + len, ask_list, sizeof ask_list - 1);
}

static bool page_rounds(struct shared *shared, struct hz_bench_sio *client, double *ms)
{
    char request[128];
    size_t len = page_request(request);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < WARM + ROUNDS; i++) {
        uint64_t begun = hz_base_now_ns(), wanted = client->messages + 2;
        if (i == WARM)
            bytes = client->bytes;
        if (send(client->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
            return false;
        while (client->messages < wanted)
            if (!hz_bench_sio_take(client, true, NULL, NULL))
                return false;
        if (i >= WARM)
            ms[i - WARM] = seconds_since(begun) * 1e3;
    }
    shared->echo.request = (uint32_t)len;
    shared->echo.answer = (uint32_t)((client->bytes - bytes) / ROUNDS);
    shared->p50_ms = hz_bench_percentile(ms, ROUNDS, 50);
    shared->p99_ms = hz_bench_percentile(ms, ROUNDS, 99);
    return true;
}

static bool floor_rounds(struct shared *shared, double *ms)
{
    static char sink[1u << 18];
    char request[128];
    size_t len = page_request(request);
    int pid = hz_bench_echo_start(&shared->echo);
    int fd = hz_bench_sio_tcp((uint16_t)atomic_load_explicit(&shared->echo.port, memory_order_acquire));
    for (unsigned i = 0; i < WARM + ROUNDS; i++) {
        uint64_t begun = hz_base_now_ns();
        if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
            return false;
        for (size_t got = 0; got < shared->echo.answer;) {
            ssize_t n = recv(fd, sink, sizeof sink, 0);
            if (n <= 0)
                return false;
            got += (size_t)n;
        }
        if (i >= WARM)
            ms[i - WARM] = seconds_since(begun) * 1e3;
    }
    close(fd);
    shared->floor_p50_ms = hz_bench_percentile(ms, ROUNDS, 50);
    shared->floor_p99_ms = hz_bench_percentile(ms, ROUNDS, 99);
    return hz_bench_wait(pid);
}

static void page_clients(struct shared *shared)
{
    static double ms[ROUNDS];
    struct hz_bench_sio client;
    bool good = hz_bench_sio_open(&client, (uint16_t)shared->port, shared->token) && page_rounds(shared, &client, ms);
    set(&shared->ready);
    if (!good || !floor_rounds(shared, ms))
        set(&shared->failed);
}

/* ---- many clients in one loop ---- */
struct crowd {
    struct hz_bench_sio *clients;
    unsigned count;
    int epoll;
    uint64_t answers;
};

static bool gather(struct shared *shared, struct crowd *crowd, unsigned count)
{
    crowd->count = count;
    crowd->clients = calloc(crowd->count + 1, sizeof *crowd->clients);
    crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
    bool good = crowd->clients && crowd->epoll >= 0;
    for (unsigned i = 0; good && i < crowd->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        good = hz_bench_sio_open(&crowd->clients[i], (uint16_t)shared->port, shared->token) &&
               epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, crowd->clients[i].fd, &event) == 0;
        if (!good)
            fprintf(stderr, "client %u of %u did not get in\n", i, crowd->count);
    }
    return good;
}

/* What comes within `ms`. */
static bool listen_for(struct crowd *crowd, int ms, hz_bench_sio_fn *fn)
{
    struct epoll_event events[256];
    int n = epoll_wait(crowd->epoll, events, 256, ms);
    for (int i = 0; i < n; i++)
        if (!hz_bench_sio_take(&crowd->clients[events[i].data.u32], false, fn, crowd)) {
            fprintf(stderr, "client %u was dropped\n", events[i].data.u32);
            return false;
        }
    return true;
}

static uint64_t sum_bytes(const struct crowd *crowd)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < crowd->count; i++)
        sum += crowd->clients[i].bytes;
    return sum;
}

/* ---- followers: deltas all the time, and the page's refresh each five seconds, spread over the clients ---- */
static void count_delta(struct hz_bench_sio *client, const char *text, void *arg)
{
    struct crowd *crowd = arg;
    (void)client;
    crowd->answers += strncmp(text, "42[\"events:delta\"", 17) == 0;
}

static void follow_clients(struct shared *shared)
{
    struct crowd crowd = {0};
    char request[128];
    size_t len = page_request(request);
    bool good = gather(shared, &crowd, shared->job->count);
    for (unsigned i = 0; good && i < crowd.count; i++)
        good = hz_bench_sio_send(&crowd.clients[i], "429[\"events:follow\",{}]");
    for (int i = 0; good && i < 10; i++)
        good = listen_for(&crowd, 20, NULL);
    uint64_t begun = hz_base_now_ns(), before = sum_bytes(&crowd);
    unsigned asked = 0;
    set(&shared->ready);
    while (good && !is(&shared->stop)) {
        good = listen_for(&crowd, REFRESH_S * 1000 / FOLLOWERS / 2, count_delta);
        for (; good && asked < (unsigned)(seconds_since(begun) * FOLLOWERS / REFRESH_S); asked++)
            good = send(crowd.clients[asked % crowd.count].fd, request, len, MSG_NOSIGNAL) == (ssize_t)len;
    }
    double seconds = seconds_since(begun);
    shared->bytes_s = (double)(sum_bytes(&crowd) - before) / seconds / crowd.count;
    if (!good || crowd.answers < (uint64_t)(crowd.count * seconds)) { /* of four a second */
        fprintf(stderr, "%llu deltas in %.1f s for %u clients\n", (unsigned long long)crowd.answers, seconds, crowd.count);
        set(&shared->failed);
    }
}

/* ---- busy ones: each has one call on its way ---- */
static void call_again(struct hz_bench_sio *client, const char *text, void *arg)
{
    struct crowd *crowd = arg;
    if (strncmp(text, "433[", 4) != 0)
        return;
    crowd->answers++;
    (void)hz_bench_sio_send(client, ask_stats);
}

static bool busy_floor(struct shared *shared)
{
    static char sink[1u << 16], request[64];
    size_t len = hz_bench_sio_frame(request, ask_stats, sizeof ask_stats - 1);
    struct {
        int fd;
        uint32_t got;
    } all[BUSY];
    int pid = hz_bench_echo_start(&shared->echo), epoll = epoll_create1(EPOLL_CLOEXEC);
    bool good = true;
    for (unsigned i = 0; good && i < BUSY; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        all[i].fd = hz_bench_sio_tcp((uint16_t)atomic_load_explicit(&shared->echo.port, memory_order_acquire));
        all[i].got = 0;
        good = epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event) == 0 && send(all[i].fd, request, len, MSG_NOSIGNAL) == (ssize_t)len;
    }
    uint64_t begun = hz_base_now_ns(), answers = 0;
    while (good && seconds_since(begun) < 1) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, 1000);
        for (int i = 0; good && i < n; i++) {
            uint32_t who = events[i].data.u32;
            ssize_t got = recv(all[who].fd, sink, sizeof sink, MSG_DONTWAIT);
            all[who].got += got > 0 ? (uint32_t)got : 0;
            if (all[who].got >= shared->echo.answer) {
                all[who].got = 0;
                answers++;
                good = send(all[who].fd, request, len, MSG_NOSIGNAL) == (ssize_t)len;
            }
        }
    }
    shared->floor_rate = (double)answers / seconds_since(begun);
    for (unsigned i = 0; i < BUSY; i++)
        close(all[i].fd);
    return good && hz_bench_wait(pid);
}

static void busy_clients(struct shared *shared)
{
    struct crowd crowd = {0}, others = {0};
    /* Idle ones first; their heartbeats come later than the measurement ends. */
    bool good = gather(shared, &others, shared->job->idle) && gather(shared, &crowd, shared->job->count);
    for (unsigned i = 0; good && i < crowd.count; i++)
        good = hz_bench_sio_send(&crowd.clients[i], ask_stats);
    uint64_t begun = hz_base_now_ns(), bytes = 0;
    for (unsigned half = 0; half < 2; half++) { /* the first is for warming up */
        begun = hz_base_now_ns();
        crowd.answers = 0;
        bytes = sum_bytes(&crowd);
        while (good && seconds_since(begun) < (half ? 1 : 0.2))
            good = listen_for(&crowd, 1000, call_again);
    }
    shared->rate = (double)crowd.answers / seconds_since(begun);
    shared->echo.request = (uint32_t)(sizeof ask_stats - 1 + 6);
    shared->echo.answer = crowd.answers ? (uint32_t)((sum_bytes(&crowd) - bytes) / crowd.answers) : 1;
    for (unsigned i = 0; i < crowd.count; i++)
        hz_bench_sio_close(&crowd.clients[i]);
    for (unsigned i = 0; i < others.count; i++)
        hz_bench_sio_close(&others.clients[i]);
    set(&shared->ready);
    if (!good || crowd.answers == 0 || !busy_floor(shared))
        set(&shared->failed);
}

/* ---- idle ones: heartbeats alone ---- */
static void idle_clients(struct shared *shared)
{
    struct crowd crowd = {0};
    uint64_t begun = hz_base_now_ns(), pings = 0;
    bool good = gather(shared, &crowd, shared->job->count);
    fprintf(stderr, "%u clients came in %.2f s\n", crowd.count, seconds_since(begun));
    set(&shared->ready);
    while (good && !is(&shared->stop))
        good = listen_for(&crowd, 100, NULL);
    for (unsigned i = 0; i < crowd.count; i++)
        pings += crowd.clients[i].pings;
    if (!good || pings < crowd.count / 2)
        set(&shared->failed);
}

/* ---- in the manager ---- */
static bool wait_for(_Atomic bool *flag, struct shared *shared)
{
    while (!is(flag) && !is(&shared->failed) && !is(&shared->done))
        usleep(10000);
    return is(flag) && !is(&shared->failed);
}

static double own_cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool let_them_finish(struct shared *shared)
{
    return wait_for(&shared->done, shared);
}

/* A hundred executions a second and two workers that come and go, for `seconds`: the CPU's share that this takes the manager. */
static bool activity(struct hz_workflow *workflow, double seconds, double *ret_percent)
{
    double before = own_cpu_s();
    uint64_t begun = hz_base_now_ns(), next = begun;
    for (unsigned i = 0; seconds_since(begun) < seconds; i++, next += 10000000u) {
        struct hz_uuid worker;
        if (hz_bench_executions(workflow, 1, 1) == 0)
            return false;
        if (i % 50 == 0 && (hz_bench_worker_start(workflow, &worker) == 0 || !hz_bench_worker_stop(&worker)))
            return false;
        uint64_t now = hz_base_now_ns();
        if (now < next)
            usleep((useconds_t)((next - now) / 1000));
    }
    *ret_percent = (own_cpu_s() - before) / seconds_since(begun) * 100;
    return true;
}

static bool drive_follow(struct shared *shared)
{
    char *text = hz_bench_chain("data_transformer", 5, "{\"isolation\":\"resident\",\"threads\":1,\"durability\":\"none\"}", NULL, NULL);
    struct hz_workflow *workflow = hz_bench_workflow("work", text);
    double total, base;
    free(text);
    bool good = workflow && activity(workflow, 1, &base) && activity(workflow, WINDOW_S / 2, &base);
    shared->base_percent = base;
    atomic_store_explicit(&shared->port, hz_manager_port(), memory_order_release);
    good = good && wait_for(&shared->ready, shared) && activity(workflow, WINDOW_S, &total);
    set(&shared->stop);
    if (!good)
        return false;
    shared->cpu_percent = total;
    hz_workflow_unref(&workflow);
    return wait_for(&shared->done, shared);
}

static bool drive_idle(struct shared *shared)
{
    sleep(1);
    double before = hz_bench_pss_mib(getpid());
    atomic_store_explicit(&shared->port, hz_manager_port(), memory_order_release);
    if (!wait_for(&shared->ready, shared))
        return false;
    sleep(1);
    shared->kib = (hz_bench_pss_mib(getpid()) - before) * 1024 / shared->job->count;
    double cpu = own_cpu_s();
    sleep(HEARTBEAT_S);
    shared->cpu_percent = (own_cpu_s() - cpu) / HEARTBEAT_S * 100;
    set(&shared->stop);
    return wait_for(&shared->done, shared);
}

static bool start_workers(unsigned count)
{
    char *text = hz_bench_chain("manual_trigger", 5, "{\"isolation\":\"resident\",\"threads\":1}", NULL, NULL);
    struct hz_workflow *workflow = hz_bench_workflow("idle", text);
    free(text);
    for (unsigned i = 0; workflow && i < count; i++) {
        struct hz_uuid worker;
        if (hz_bench_worker_start(workflow, &worker) == 0)
            return false;
    }
    bool good = workflow != NULL;
    if (good)
        hz_workflow_unref(&workflow);
    return good;
}

static bool drive(const struct hz_config *config, void *arg)
{
    struct shared *shared = arg;
    struct hz_caller caller;
    (void)config;
    hz_access_unix_caller(&caller);
    if (hz_access_token_create(&caller, "bench", HZ_ROLE_SUPERADMIN, NULL, 0, shared->token) || !start_workers(shared->job->workers)) {
        fprintf(stderr, "no token or no workers: %s\n", hz_err_last());
        set(&shared->failed);
        return false;
    }
    if (shared->job->drive == let_them_finish)
        atomic_store_explicit(&shared->port, hz_manager_port(), memory_order_release);
    return shared->job->drive(shared);
}

/* ---- rows ---- */
static void clients(void *arg)
{
    struct shared *shared = arg;
    while (atomic_load_explicit(&shared->port, memory_order_acquire) == 0) {
        if (is(&shared->failed) || is(&shared->stop))
            _exit(1);
        usleep(1000);
    }
    shared->job->clients(shared);
    set(&shared->done);
    _exit(is(&shared->failed));
}

static bool run(const struct job *job, struct shared **ret_shared)
{
    struct hz_bench_manager options = {.spares = 2, .http = true, .drive = drive};
    struct shared *shared = *ret_shared = hz_bench_shared(sizeof *shared);
    shared->job = job;
    int pid = hz_bench_child(clients, shared, -1);
    bool good = hz_bench_manager_run(&options, shared);
    set(&shared->stop);
    return (hz_bench_wait(pid) && good) || hz_bench_skip("a client failed, or the manager");
}

static bool page(unsigned workers, bool worst, struct hz_bench_pair *ret_pair)
{
    struct job job = {page_clients, let_them_finish, workers, 1, 0};
    struct shared *shared;
    bool good = run(&job, &shared);
    *ret_pair = worst ? (struct hz_bench_pair){shared->p99_ms, shared->floor_p99_ms} : (struct hz_bench_pair){shared->p50_ms, shared->floor_p50_ms};
    return good;
}

static bool dashboard_1(struct hz_bench_pair *ret_pair)
{
    return page(1, false, ret_pair);
}

static bool dashboard_50(struct hz_bench_pair *ret_pair)
{
    return page(50, false, ret_pair);
}

static bool dashboard_100(struct hz_bench_pair *ret_pair)
{
    return page(100, false, ret_pair);
}

static bool dashboard_100_p99(struct hz_bench_pair *ret_pair)
{
    return page(100, true, ret_pair);
}

static bool dashboard_1_p99(struct hz_bench_pair *ret_pair)
{
    return page(1, true, ret_pair);
}

static bool dashboard_1000(struct hz_bench_pair *ret_pair)
{
    return page(1000, false, ret_pair);
}

static bool dashboard_1000_p99(struct hz_bench_pair *ret_pair)
{
    return page(1000, true, ret_pair);
}

static bool follow_50(struct hz_bench_pair *ret_pair)
{
    static const struct job job = {follow_clients, drive_follow, FOLLOWED, FOLLOWERS, 0};
    struct shared *shared;
    bool good = run(&job, &shared);
    fprintf(stderr, "socketio_follow_50: the manager takes %.2f %% of a CPU, %.2f %% without followers; %.0f bytes a second and client\n",
            shared->cpu_percent, shared->base_percent, shared->bytes_s);
    ret_pair->ours = shared->cpu_percent - shared->base_percent;
    return good;
}

static bool busy_200(struct hz_bench_pair *ret_pair)
{
    static const struct job job = {busy_clients, let_them_finish, BUSY_WORKERS, BUSY, 0};
    struct shared *shared;
    bool good = run(&job, &shared);
    *ret_pair = (struct hz_bench_pair){shared->rate, shared->floor_rate};
    return good;
}

/* A manager takes half as many sessions as it may have descriptors. */
static bool many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || (limit.rlim_cur = limit.rlim_max) < 2 * IDLE || setrlimit(RLIMIT_NOFILE, &limit))
        return hz_bench_skip("%u descriptors are not allowed here (ulimit -Hn)", 2u * IDLE);
    return true;
}

static bool busy_200_of_10000(struct hz_bench_pair *ret_pair)
{
    static const struct job alone = {busy_clients, let_them_finish, BUSY_WORKERS, BUSY, 0},
                            among = {busy_clients, let_them_finish, BUSY_WORKERS, BUSY, IDLE - BUSY};
    struct shared *shared, *reference;
    if (!many_descriptors() || !run(&among, &shared) || !run(&alone, &reference))
        return false;
    *ret_pair = (struct hz_bench_pair){shared->rate, reference->rate};
    return true;
}

static bool idle(bool memory, struct hz_bench_pair *ret_pair)
{
    static const struct job job = {idle_clients, drive_idle, 0, IDLE, 0};
    struct shared *shared;
    if (!many_descriptors())
        return false;
    bool good = run(&job, &shared);
    fprintf(stderr, "socketio_idle_10000: %.2f KiB each, %.2f %% of a CPU\n", shared->kib, shared->cpu_percent);
    ret_pair->ours = memory ? shared->kib : shared->cpu_percent;
    return good;
}

static bool idle_10000(struct hz_bench_pair *ret_pair)
{
    return idle(false, ret_pair);
}

static bool idle_10000_memory(struct hz_bench_pair *ret_pair)
{
    return idle(true, ret_pair);
}

int main(int argc, char **argv)
{
    static const char floor[] = "the same bytes, sent by a loop that does nothing else";
    static const struct hz_bench_row rows[] = {
            {"socketio_dashboard_1", "ms", false, 3, HZ_BENCH_RATIO, floor, dashboard_1, 0, false},
            {"socketio_dashboard_1_p99", "ms", false, 3, HZ_BENCH_RATIO, floor, dashboard_1_p99, 0, false},
            {"socketio_dashboard_50", "ms", false, 0.1, HZ_BENCH_OURS, floor, dashboard_50, 0, false},
            {"socketio_dashboard_100", "ms", false, 0.2, HZ_BENCH_OURS, floor, dashboard_100, 0, false},
            {"socketio_dashboard_100_p99", "ms", false, 0.5, HZ_BENCH_OURS, floor, dashboard_100_p99, 0, false},
            {"socketio_dashboard_1000", "ms", false, 2, HZ_BENCH_OURS, floor, dashboard_1000, 0, false},
            {"socketio_dashboard_1000_p99", "ms", false, 5, HZ_BENCH_OURS, floor, dashboard_1000_p99, 0, false},
            {"socketio_follow_50", "% of a CPU", false, 10, HZ_BENCH_OURS, "none", follow_50, 3, false},
            {"socketio_busy_200", "calls/s", true, 20000, HZ_BENCH_OURS, floor, busy_200, 0, false},
            {"socketio_busy_200_of_10000", "calls/s", true, 0.8, HZ_BENCH_RATIO, "the same 200 without the idle ones", busy_200_of_10000, 3, false},
            {"socketio_idle_10000", "% of a CPU", false, 2, HZ_BENCH_OURS, "none", idle_10000, 1, false},
            {"socketio_idle_10000_memory", "KiB", false, 4, HZ_BENCH_OURS, "none", idle_10000_memory, 1, false},
    };
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
