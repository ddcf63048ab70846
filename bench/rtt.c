/*
 * rtt.c - round trips between two processes through the whole path (encode, ring, dispatch, ring, decode), awake and
 * asleep; what a parked worker costs; records over the metrics ring; results while the metrics ring overflows.
 *
 * A segment of the default size between a "manager" (this process, which trusts nobody) and a "worker" (a child), wired
 * as the real ones are: hz_stream_* with doorbells at both ends.
 */
#include "bench.h"
#include "shm/ring_inline.h"
#include "shm/shm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST        2000u /* turns; as in hz_bench_distance(), the median of the bursts counts */
#define BURSTS       100u
#define AWAKE_TURNS  ((uint64_t)BURST * BURSTS)
#define ASLEEP_TURNS 4000u
#define SPINS        200u /* looks before a sleep */

struct link {
    struct hz_segment segment; /* the manager's view; inherited by the child, which makes its own of the same pages */
    int fd;
    int down_wait, down_ring; /* manager rings, worker waits */
    int up_wait, up_ring;
};

static bool link_open(struct link *link)
{
    struct hz_uuid id = hz_uuid_new();
    struct hz_geometry geometry = hz_segment_geometry(1);
    signal(SIGPIPE, SIG_IGN);
    if (hz_segment_create(&link->segment, "benchrtt", &id, &geometry, &link->fd) != 0)
        return hz_bench_skip("%s", hz_err_last());
    (void)hz_segment_unlink(link->segment.name);
    if (hz_doorbell_pair(&link->down_wait, &link->down_ring) != 0 ||
            hz_doorbell_pair(&link->up_wait, &link->up_ring) != 0)
        return hz_bench_skip("no doorbells");
    return true;
}

static void link_close(struct link *link)
{
    hz_segment_detach(&link->segment);
    close(link->fd);
    close(link->down_wait);
    close(link->down_ring);
    close(link->up_wait);
    close(link->up_ring);
}

/* One end: a stream each way and its own bell. */
struct end {
    struct hz_segment segment;
    struct hz_stream_out out, metrics_out;
    struct hz_stream_in in, metrics_in;
    struct hz_doorbell bell;
    int epoll;
};

static void end_common(struct end *end, struct hz_doorbell_cell *cell, int wait_fd)
{
    hz_doorbell_attach(&end->bell, cell, wait_fd);
    end->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    HZ_ASSERT(end->epoll >= 0 && epoll_ctl(end->epoll, EPOLL_CTL_ADD, wait_fd, &event) == 0);
}

static void manager_open(struct end *end, const struct link *link)
{
    end->segment = link->segment;
    struct hz_segment_header *header = end->segment.header;
    hz_stream_out_init(&end->out, &end->segment.commands, &header->worker_sleep, link->down_ring, 1 << 20);
    HZ_ASSERT(hz_stream_in_init(&end->in, &end->segment.lanes[0].results, 'R', true) == 0);
    HZ_ASSERT(hz_stream_in_init(&end->metrics_in, &end->segment.lanes[0].metrics, 'M', true) == 0);
    end_common(end, &header->manager_sleep, link->up_wait);
}

static void worker_open(struct end *end, const struct link *link)
{
    HZ_ASSERT(hz_segment_attach(&end->segment, link->fd, &link->segment.geometry) == 0);
    struct hz_segment_header *header = end->segment.header;
    hz_stream_out_init(&end->out, &end->segment.lanes[0].results, &header->manager_sleep, link->up_ring, 1 << 20);
    hz_stream_out_init(&end->metrics_out, &end->segment.lanes[0].metrics, &header->manager_sleep, link->up_ring, 0);
    HZ_ASSERT(hz_stream_in_init(&end->in, &end->segment.commands, 'C', false) == 0);
    end_common(end, &header->worker_sleep, link->down_wait);
}

static void manager_close(struct end *end)
{
    hz_stream_out_fini(&end->out);
    hz_stream_in_fini(&end->in);
    hz_stream_in_fini(&end->metrics_in);
    close(end->epoll);
}

/* Waits until the ring in `in` has something: `spins` looks, then asleep in epoll until rung or timeout_ms is over. */
static bool wait_data(struct end *end, unsigned spins, int timeout_ms)
{
    for (unsigned i = 0; i < spins; i++) {
        if (hz_ring_has_data(end->in.ring))
            return true;
        ck_pr_stall();
    }
    hz_doorbell_sleep(&end->bell);
    bool rung = false;
    if (!hz_ring_has_data(end->in.ring)) {
        struct epoll_event event;
        rung = epoll_wait(end->epoll, &event, 1, timeout_ms) > 0;
    }
    hz_doorbell_awake(&end->bell, rung);
    return hz_ring_has_data(end->in.ring);
}

static const char route[] = "cache:get";
static const char payload[] = "{\"key\":\"user-42\",\"scope\":\"workflow\"}";

static int send_request(struct end *end, uint64_t number)
{
    struct hz_msg_request body = {.request = number, .route_len = sizeof(route) - 1, .data_len = sizeof(payload) - 1};
    struct hz_part parts[] = {{&body, sizeof(body)}, {route, sizeof(route) - 1}, {payload, sizeof(payload) - 1}};
    return hz_stream_send(&end->out, HZ_MSG_REQUEST, parts, HZ_COUNT_OF(parts), true);
}

/* The worker's dispatch: answers requests with their own data; 0 when told to shut down. */
static bool worker_serve(struct end *end)
{
    struct hz_msg msg;
    bool go_on = true;
    hz_stream_in_begin(&end->in, 0, 0);
    while (hz_stream_in_next(&end->in, &msg) == HZ_RING_OK) {
        if (msg.type == HZ_MSG_SHUTDOWN)
            go_on = false;
        if (msg.type != HZ_MSG_REQUEST)
            continue;
        const struct hz_msg_request *request = msg.body;
        struct hz_msg_answer body = {.request = request->request, .success = 1, .data_len = msg.str[1].len};
        struct hz_part parts[] = {{&body, sizeof(body)}, {msg.str[1].data, msg.str[1].len}};
        HZ_ASSERT(hz_stream_send(&end->out, HZ_MSG_ANSWER, parts, HZ_COUNT_OF(parts), true) == 0);
    }
    hz_stream_in_end(&end->in);
    return go_on;
}

/* The manager's: the number of the request that is answered, 0 if none. */
static uint64_t manager_take(struct end *end)
{
    struct hz_msg msg;
    uint64_t number = 0;
    hz_stream_in_begin(&end->in, 64, 256 << 10);
    while (hz_stream_in_next(&end->in, &msg) == HZ_RING_OK) {
        HZ_ASSERT(msg.type == HZ_MSG_ANSWER);
        const struct hz_msg_answer *answer = msg.body;
        HZ_ASSERT(msg.str[1].len == sizeof(payload) - 1 && memcmp(msg.str[1].data, payload, msg.str[1].len) == 0);
        number = answer->request;
    }
    hz_stream_in_end(&end->in);
    return number;
}

static void send_shutdown(struct end *end)
{
    struct hz_msg_shutdown body = {0};
    struct hz_part part = {&body, sizeof(body)};
    HZ_ASSERT(hz_stream_send(&end->out, HZ_MSG_SHUTDOWN, &part, 1, true) == 0);
}

struct worker_options {
    const struct link *link;
    bool spin_only; /* never sleeps */
    unsigned spins;
    bool flood; /* pushes metrics records whenever it has nothing else to do */
};

/* A record of the usual size on the metrics ring. */
static int send_hop(struct end *end, uint64_t number, bool flush)
{
    struct hz_msg_hop hop = {.execution = number, .from = 1, .to = 2};
    struct hz_part part = {&hop, sizeof(hop)};
    return hz_stream_try(&end->metrics_out, HZ_MSG_HOP, &part, 1, flush);
}

static void worker_main(void *arg)
{
    const struct worker_options *options = arg;
    struct end end;
    worker_open(&end, options->link);
    uint64_t number = 0;
    for (;;) {
        if (options->flood) {
            number++;
            if (send_hop(&end, number, number % 16 == 0) == HZ_EBUSY)
                ck_pr_stall();
        }
        if (options->spin_only || options->flood) {
            if (!hz_ring_has_data(end.in.ring))
                continue;
        } else if (!wait_data(&end, options->spins, -1)) {
            continue;
        }
        if (!worker_serve(&end))
            return;
    }
}

/* ## Awake */

static double awake_ns(bool flood, uint64_t *ret_drained)
{
    struct link link;
    int first, second;
    hz_bench_cpus(&first, &second);
    if (!link_open(&link))
        return 0;
    hz_bench_pin(first);
    struct worker_options options = {.link = &link, .spin_only = true, .flood = flood};
    int pid = hz_bench_child(worker_main, &options, second);
    struct end end;
    manager_open(&end, &link);
    static double bursts[BURSTS];
    uint64_t start = hz_base_now_ns(), drained = 0;
    for (uint64_t turn = 1; turn <= AWAKE_TURNS; turn++) {
        HZ_ASSERT(send_request(&end, turn) == 0);
        for (;;) {
            if (hz_ring_has_data(end.in.ring) && manager_take(&end) == turn)
                break;
            /* As the manager's link does: results first, then at most half a visit of metrics. */
            if (flood && hz_ring_has_data(end.metrics_in.ring)) {
                struct hz_msg msg;
                hz_stream_in_begin(&end.metrics_in, 32, 256 << 10);
                while (hz_stream_in_next(&end.metrics_in, &msg) == HZ_RING_OK)
                    drained++;
                hz_stream_in_end(&end.metrics_in);
            }
        }
        if (turn % BURST == 0) {
            uint64_t now = hz_base_now_ns();
            bursts[turn / BURST - 1] = (double)(now - start) / BURST;
            start = now;
        }
    }
    double ns = hz_bench_median(bursts, BURSTS);
    send_shutdown(&end);
    bool ok = hz_bench_wait(pid);
    manager_close(&end);
    link_close(&link);
    if (ret_drained != NULL)
        *ret_drained = drained;
    return ok ? ns : 0;
}

static bool run_awake(struct hz_bench_pair *ret_pair)
{
    /* The floor before and after: the distance of this very moment. */
    double before = hz_bench_distance();
    ret_pair->ours = awake_ns(false, NULL);
    ret_pair->reference = (before + hz_bench_distance()) / 2;
    return ret_pair->ours > 0;
}

static bool run_flood(struct hz_bench_pair *ret_pair)
{
    uint64_t drained = 0;
    ret_pair->reference = awake_ns(false, NULL);
    ret_pair->ours = awake_ns(true, &drained);
    if (drained < AWAKE_TURNS / 10)
        return hz_bench_skip("only %llu records of the flood arrived", (unsigned long long)drained);
    return ret_pair->ours > 0 && ret_pair->reference > 0;
}

/* ## Asleep: nobody spins, every message wakes a process out of epoll_wait */

static double asleep_us(void)
{
    struct link link;
    int first, second;
    hz_bench_cpus(&first, &second);
    if (!link_open(&link))
        return 0;
    hz_bench_pin(first);
    struct worker_options options = {.link = &link, .spins = 0};
    int pid = hz_bench_child(worker_main, &options, second);
    struct end end;
    manager_open(&end, &link);
    uint64_t start = 0;
    const uint32_t warm = ASLEEP_TURNS / 10;
    for (uint64_t turn = 1; turn <= ASLEEP_TURNS + warm; turn++) {
        if (turn == warm + 1)
            start = hz_base_now_ns();
        HZ_ASSERT(send_request(&end, turn) == 0);
        while (!wait_data(&end, 0, -1) || manager_take(&end) != turn) {
        }
    }
    double us = (double)(hz_base_now_ns() - start) / ASLEEP_TURNS / 1000;
    send_shutdown(&end);
    bool ok = hz_bench_wait(pid);
    manager_close(&end);
    link_close(&link);
    return ok ? us : 0;
}

struct eventfds {
    int down, up;
};

static void epoll_turns(int wait_fd, int ring_fd, bool begins, uint32_t turns)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    HZ_ASSERT(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, wait_fd, &event) == 0);
    uint64_t count = 1;
    for (uint32_t i = 0; i < turns; i++) {
        if (begins)
            HZ_ASSERT(write(ring_fd, &count, sizeof(count)) == sizeof(count));
        HZ_ASSERT(epoll_wait(epoll, &event, 1, -1) == 1);
        HZ_ASSERT(read(wait_fd, &count, sizeof(count)) == sizeof(count));
        count = 1;
        if (!begins)
            HZ_ASSERT(write(ring_fd, &count, sizeof(count)) == sizeof(count));
    }
    close(epoll);
}

static void epoll_peer(void *arg)
{
    const struct eventfds *fds = arg;
    epoll_turns(fds->down, fds->up, false, ASLEEP_TURNS);
}

static double eventfd_us(void)
{
    int first, second;
    hz_bench_cpus(&first, &second);
    struct eventfds fds = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    hz_bench_pin(first);
    int pid = hz_bench_child(epoll_peer, &fds, second);
    uint64_t start = hz_base_now_ns();
    epoll_turns(fds.up, fds.down, true, ASLEEP_TURNS);
    double us = (double)(hz_base_now_ns() - start) / ASLEEP_TURNS / 1000;
    bool ok = hz_bench_wait(pid);
    close(fds.down);
    close(fds.up);
    return ok ? us : 0;
}

static bool run_asleep(struct hz_bench_pair *ret_pair)
{
    double before = eventfd_us();
    ret_pair->ours = asleep_us();
    ret_pair->reference = (before + eventfd_us()) / 2;
    return ret_pair->ours > 0 && before > 0;
}

/* ## Parked: each second one message comes, is answered, and the worker spins, announces and sleeps again */

#define PARKED_SECONDS 3

struct parked {
    struct worker_options options;
    _Atomic uint64_t cpu_ns;
};

static uint64_t cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static void parked_worker(void *arg)
{
    struct parked *parked = arg;
    struct end end;
    worker_open(&end, parked->options.link);
    bool counting = false;
    uint64_t begin = 0;
    for (;;) {
        if (!wait_data(&end, SPINS, -1))
            continue;
        bool go_on = worker_serve(&end);
        if (!counting) { /* the first message only says that the measured time begins */
            counting = true;
            begin = cpu_ns();
        }
        if (!go_on)
            break;
    }
    atomic_store(&parked->cpu_ns, cpu_ns() - begin);
}

static bool run_parked(struct hz_bench_pair *ret_pair)
{
    struct link link;
    int first, second;
    hz_bench_cpus(&first, &second);
    if (!link_open(&link))
        return false;
    struct parked *parked = hz_bench_shared(sizeof(*parked));
    parked->options = (struct worker_options){.link = &link};
    hz_bench_pin(first);
    int pid = hz_bench_child(parked_worker, parked, second);
    struct end end;
    manager_open(&end, &link);
    for (uint64_t turn = 1; turn <= PARKED_SECONDS; turn++) {
        HZ_ASSERT(send_request(&end, turn) == 0);
        while (!wait_data(&end, SPINS, -1) || manager_take(&end) != turn) {
        }
        struct timespec second_long = {.tv_sec = 1};
        nanosleep(&second_long, NULL);
    }
    send_shutdown(&end);
    bool ok = hz_bench_wait(pid);
    ret_pair->ours = (double)atomic_load(&parked->cpu_ns) / 1000 / PARKED_SECONDS;
    ret_pair->reference = 0;
    manager_close(&end);
    link_close(&link);
    munmap(parked, sizeof(*parked));
    return ok;
}

/* ## Metrics records: as many as go, none lost on purpose, against the same records over a socket pair */

#define METRICS        UINT64_C(2000000)
#define SOCKET_RECORDS UINT64_C(200000)

static void metrics_worker(void *arg)
{
    struct end end;
    worker_open(&end, arg);
    for (uint64_t i = 0; i < METRICS;) {
        if (send_hop(&end, i, i % 16 == 15) == 0)
            i++;
        else
            ck_pr_stall();
    }
    (void)hz_stream_flush(&end.metrics_out);
}

static double metrics_rate(void)
{
    struct link link;
    int first, second;
    hz_bench_cpus(&first, &second);
    if (!link_open(&link))
        return 0;
    hz_bench_pin(first);
    struct end end;
    manager_open(&end, &link);
    int pid = hz_bench_child(metrics_worker, &link, second);
    uint64_t taken = 0, start = 0;
    while (taken < METRICS) {
        struct hz_msg msg;
        hz_stream_in_begin(&end.metrics_in, 64, 256 << 10);
        while (hz_stream_in_next(&end.metrics_in, &msg) == HZ_RING_OK) {
            const struct hz_msg_hop *hop = msg.body;
            HZ_ASSERT(msg.type == HZ_MSG_HOP && hop->execution == taken);
            if (taken++ == 0)
                start = hz_base_now_ns();
        }
        hz_stream_in_end(&end.metrics_in);
        hz_ring_spin(end.metrics_in.ring);
    }
    double seconds = (double)(hz_base_now_ns() - start) / 1e9;
    bool ok = hz_bench_wait(pid);
    manager_close(&end);
    link_close(&link);
    return ok ? (double)METRICS / seconds : 0;
}

static void socket_worker(void *arg)
{
    const int *fds = arg;
    struct hz_msg_hop hop = {.from = 1, .to = 2};
    for (uint64_t i = 0; i < SOCKET_RECORDS; i++) {
        hop.execution = i;
        HZ_ASSERT(send(fds[1], &hop, sizeof(hop), MSG_NOSIGNAL) == (ssize_t)sizeof(hop));
    }
}

static double socket_rate(void)
{
    int fds[2], first, second;
    hz_bench_cpus(&first, &second);
    HZ_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    hz_bench_pin(first);
    int pid = hz_bench_child(socket_worker, fds, second);
    uint64_t start = hz_base_now_ns();
    for (uint64_t i = 0; i < SOCKET_RECORDS; i++) {
        struct hz_msg_hop hop;
        HZ_ASSERT(recv(fds[0], &hop, sizeof(hop), 0) == (ssize_t)sizeof(hop) && hop.execution == i);
    }
    double seconds = (double)(hz_base_now_ns() - start) / 1e9;
    bool ok = hz_bench_wait(pid);
    close(fds[0]);
    close(fds[1]);
    return ok ? (double)SOCKET_RECORDS / seconds : 0;
}

static bool run_metrics(struct hz_bench_pair *ret_pair)
{
    ret_pair->ours = metrics_rate() / 1e6;
    ret_pair->reference = socket_rate() / 1e6;
    return ret_pair->ours > 0 && ret_pair->reference > 0;
}

int main(int argc, char **argv)
{
    static const struct hz_bench_row rows[] = {
            {.name = "rtt_awake",
                    .unit = "ns",
                    .reach = 2.5,
                    .reference = "two-line cache ping-pong",
                    .run = run_awake,
                    .two_cpus = true},
            {.name = "rtt_asleep",
                    .unit = "us",
                    .reach = 1.2,
                    .reference = "eventfd + epoll ping-pong",
                    .run = run_asleep,
                    .two_cpus = true},
            {.name = "parked_cpu", .unit = "us/s", .reach = 100, .reach_of = HZ_BENCH_OURS, .run = run_parked},
            {.name = "metrics_records",
                    .unit = "M records/s",
                    .higher_is_better = true,
                    .reach = 5,
                    .reference = "the same records over a socket pair",
                    .run = run_metrics,
                    .two_cpus = true},
            {.name = "metrics_flood",
                    .unit = "ns",
                    .reach = 3,
                    .reference = "the same round trip without the flood",
                    .run = run_flood,
                    .two_cpus = true},
    };
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
