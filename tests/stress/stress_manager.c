/*
 * stress_manager.c - a manager with one hostile worker after the other, and an honest resident worker on the same shard that gets
 * executions all the time. The manager may neither crash nor hang, no result may be wrong or missing, nothing may stay behind; what
 * the neighbour gets done is printed against the same with an honest worker in the attacker's place. HZ_STRESS_SECONDS: how long each
 * attack goes on (default 2). Filters choose attacks.
 */
#include "attacks.h"

#include "core/worker.h"
#include "tests/unit/core/manager_world.h"

#define IN_FLIGHT 16u
#define STALL_NS UINT64_C(15000000000) /* so long without any result: the manager hangs */
#define FLOOR_PER_MINUTE 1000000.0
#define LATEST_END_NS UINT64_C(60000000000)

struct phase {
    uint64_t results, wrong, pending, lives, poisoned, timed_out, others;
    double seconds, p50_us, p99_us, worst_us;
};

static struct neighbour {
    uint64_t sequence, sent_ns;
    bool open;
} slots[IN_FLIGHT];

static struct {
    struct hz_workflow *neighbour, *attacker;
    struct phase *phase;
    bool over, attacking;
    uint32_t timeout_ms;
    bool deadly;
    unsigned open;
    uint64_t sequence, last_ns;
    uint32_t *samples; /* 1/10 us */
    size_t count, capacity;
} now;
static _Atomic uint64_t taken; /* records of attackers, counted when they are buried: relaxed, read when the shards are gone */

static double stress_seconds(void)
{
    const char *text = getenv("HZ_STRESS_SECONDS");
    double seconds = text ? strtod(text, NULL) : 2;
    return seconds > 0.2 ? seconds : 2;
}

static void on_event(void *arg, enum hz_worker_event event, const struct hz_worker_info *info, const char *detail)
{
    (void)arg;
    (void)detail;
    if (event != HZ_EVENT_WORKER_STOPPED || strncmp(info->workflow_id, "attack-", 7) != 0)
        return;
    uintptr_t at = (uintptr_t)info - offsetof(struct hz_worker, info);
    const struct hz_worker *w = (const struct hz_worker *)at; /* bury() shows its own info */
    HZ_CHECK_OBJ(w, HZ_WORKER_MAGIC);
    atomic_fetch_add_explicit(&taken, w->link.records, memory_order_relaxed);
}

static void listen_events(void)
{
    HZ_ASSERT_OK(hz_supervisor_listen(on_event, NULL));
}

/* ---- the neighbour ---- */

static void send_next(struct neighbour *slot);

static void keep_sample(uint64_t ns)
{
    if (now.count == now.capacity) {
        now.capacity = now.capacity ? now.capacity * 2 : 65536;
        now.samples = realloc(now.samples, now.capacity * sizeof *now.samples);
        HZ_ASSERT_NOT_NULL(now.samples);
    }
    now.samples[now.count++] = (uint32_t)HZ_MIN(ns / 100, UINT64_C(0xffffffff));
}

static void on_result(void *arg, const struct hz_store_execution *row)
{
    struct neighbour *slot = arg;
    char expected[32];
    snprintf(expected, sizeof expected, "%llu", (unsigned long long)slot->sequence);
    now.last_ns = hz_base_now_ns();
    if (row->state != HZ_EXEC_SUCCESS || !row->result || strcmp(row->result, expected) != 0)
        now.phase->wrong++;
    now.phase->results++;
    keep_sample(now.last_ns - slot->sent_ns);
    slot->open = false;
    now.open--;
    if (!now.over)
        send_next(slot);
}

static void on_taken(void *arg, const struct hz_uuid *id, const struct hz_worker_info *worker, const char *error, uint32_t retry_after_s)
{
    struct neighbour *slot = arg;
    (void)id;
    (void)worker;
    (void)retry_after_s;
    if (!error || !slot->open)
        return;
    fprintf(stderr, "refused: %s\n", error); /* there will be no result */
    now.phase->wrong++;
    slot->open = false;
    now.open--;
}

static void send_next(struct neighbour *slot)
{
    char data[32];
    slot->sequence = ++now.sequence;
    int len = snprintf(data, sizeof data, "%llu", (unsigned long long)slot->sequence);
    struct hz_submit submit = {.workflow = hz_workflow_ref(now.neighbour), .data = data, .data_len = (size_t)len, .trigger = "manual"};
    slot->open = true;
    slot->sent_ns = hz_base_now_ns();
    now.open++;
    hz_scheduler_submit(&submit, on_taken, on_result, slot);
}

/* ---- the attacker, again and again ---- */

static struct world_answer attack;

static void attack_again(void)
{
    world_forget(&attack);
    world_submit(&attack, hz_workflow_ref(now.attacker), "{}", now.timeout_ms);
    now.attacking = true;
}

static void look_after_attacker(void)
{
    if (!now.attacking || !attack.ended)
        return;
    now.attacking = false;
    now.phase->lives++;
    if (attack.row.state == HZ_EXEC_TIMED_OUT)
        now.phase->timed_out++;
    else if (attack.row.error && strstr(attack.row.error, "broke a rule of the shared memory"))
        now.phase->poisoned++;
    else
        now.phase->others++;
    if (!now.over)
        attack_again();
}

/* ---- a phase ---- */

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* the loop comes back */
}

/* An attack that is found out has to be within the phase, on however busy a machine. */
static bool must_wait_for_an_end(uint64_t until)
{
    return now.deadly && now.phase->poisoned == 0 && hz_base_now_ns() < until + LATEST_END_NS;
}

/* Runs the main shard until `until`, or until everything sent has come back; false: nothing came for too long. */
static bool run_loop(uint64_t until, bool to_the_last)
{
    uv_timer_t tick;
    uv_timer_init(hz_shard_loop(hz_shard_main()), &tick);
    uv_timer_start(&tick, on_tick, 2, 2);
    bool ok = true;
    now.last_ns = hz_base_now_ns();
    while (ok && (to_the_last ? now.open > 0 : hz_base_now_ns() < until || must_wait_for_an_end(until))) {
        uv_run(hz_shard_loop(hz_shard_main()), UV_RUN_ONCE);
        look_after_attacker();
        now.phase->pending = HZ_MAX(now.phase->pending, hz_store_pending());
        ok = hz_base_now_ns() < now.last_ns + STALL_NS;
    }
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(hz_shard_loop(hz_shard_main()), UV_RUN_NOWAIT);
    return ok;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void run_phase(const char *mode, double seconds, uint32_t timeout_ms, bool deadly, struct phase *ret_phase)
{
    memset(ret_phase, 0, sizeof *ret_phase);
    memset(&now, 0, sizeof now);
    memset(&attack, 0, sizeof attack);
    now.phase = ret_phase;
    now.timeout_ms = timeout_ms;
    now.deadly = deadly;
    world_prepare(NULL);
    world_config.clusters = 1; /* one loop for both */
    world_before_start = listen_events;
    world_up();
    now.neighbour = world_flow("ok-neighbour", false, "\"isolation\":\"resident\",\"durability\":\"none\",\"threads\":1");
    now.attacker = world_flow(mode, false, "\"durability\":\"none\",\"threads\":1");
    send_next(&slots[0]); /* its worker starts */
    now.over = true;
    HZ_ASSERT_TRUE(run_loop(0, true));
    now.over = false;
    now.count = 0;
    ret_phase->results = 0;
    attack_again();
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        send_next(&slots[i]);
    uint64_t began = hz_base_now_ns();
    bool went_on = run_loop(began + (uint64_t)(seconds * 1e9), false);
    ret_phase->seconds = (double)(hz_base_now_ns() - began) / 1e9;
    now.over = true;
    HZ_ASSERT_TRUE(went_on);
    HZ_ASSERT_TRUE(run_loop(0, true));
    qsort(now.samples, now.count, sizeof *now.samples, compare);
    HZ_ASSERT_GT(now.count, 0);
    size_t half = now.count / 2, most = now.count * 99 / 100;
    ret_phase->p50_us = now.samples[half] / 10.0;
    ret_phase->p99_us = now.samples[most] / 10.0;
    ret_phase->worst_us = now.samples[now.count - 1] / 10.0;
    free(now.samples);
    hz_workflow_unref(&now.neighbour);
    hz_workflow_unref(&now.attacker);
    world_down();
    world_forget(&attack);
}

static double resident_mib(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long total = 0, resident = 0;
    if (file) {
        if (fscanf(file, "%lu %lu", &total, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

/* floor: records that must have been taken in a minute, 0 none. deadly: the attacker is ended for it. */
static void suffer(const char *kind, const char *twin, uint32_t timeout_ms, double floor, bool deadly, struct phase *ret_phase)
{
    char mode[64];
    struct phase honest;
    double seconds = stress_seconds();
    if (HZ_TEST_TSAN)
        floor /= 20; /* a bound on speed */
    snprintf(mode, sizeof mode, "attack-honest-%s", twin);
    run_phase(mode, HZ_MAX(1.0, seconds / 6), 0, false, &honest);
    atomic_store(&taken, 0);
    snprintf(mode, sizeof mode, "attack-%s", kind);
    run_phase(mode, seconds, timeout_ms, deadly, ret_phase);
    struct phase *p = ret_phase;
    uint64_t records = atomic_load(&taken);
    double before = (double)honest.results / honest.seconds, after = (double)p->results / p->seconds;
    printf("\n%-10s %4.0f s, %llu lives ended (%llu poisoned, %llu at their deadline, %llu else), %llu records taken, manager %.0f MiB\n"
           "%-10s results/s %.0f -> %.0f (%.2f), p50 us %.0f -> %.0f (%.2f), p99 us %.0f -> %.0f (%.2f), worst us %.0f -> %.0f\n",
            kind, p->seconds, (unsigned long long)p->lives, (unsigned long long)p->poisoned, (unsigned long long)p->timed_out,
            (unsigned long long)p->others, (unsigned long long)records, resident_mib(), "neighbour", before, after, after / before,
            honest.p50_us, p->p50_us, p->p50_us / honest.p50_us, honest.p99_us, p->p99_us, p->p99_us / honest.p99_us, honest.worst_us,
            p->worst_us);
    fflush(stdout);
    HZ_ASSERT_EQ(honest.wrong, 0);
    HZ_ASSERT_EQ(p->wrong, 0);
    HZ_ASSERT_EQ(honest.poisoned + honest.timed_out, 0);
    HZ_ASSERT_GE(records, (uint64_t)(floor * seconds / 60));
}

HZ_SUITE_INIT(manager)
{
    urcu_memb_register_thread();
}

HZ_SUITE_CLEANUP(manager)
{
    urcu_memb_unregister_thread();
}

HZ_TEARDOWN(manager)
{
    world_teardown();
}

HZ_TEST(manager, words)
{
    struct phase p;
    suffer("words", "short", 0, 0, true, &p);
    HZ_ASSERT_GT(p.poisoned, 0);
    HZ_ASSERT_EQ(p.poisoned, p.lives);
}

HZ_TEST(manager, plausible)
{
    struct phase p;
    suffer("plausible", "plausible", 0, FLOOR_PER_MINUTE, true, &p);
    HZ_ASSERT_GT(p.poisoned, 0);
    HZ_ASSERT_EQ(p.poisoned, p.lives);
}

HZ_TEST(manager, truncate)
{
    struct phase p;
    uint64_t before = hz_guard_faults();
    suffer("truncate", "short", 0, 0, true, &p);
    HZ_ASSERT_GT(p.poisoned, 0);
    HZ_ASSERT_EQ(p.poisoned, p.lives);
    HZ_ASSERT_GT(hz_guard_faults(), before);
}

HZ_TEST(manager, results)
{
    struct phase p;
    suffer("results", "lines", 0, FLOOR_PER_MINUTE, false, &p);
    HZ_ASSERT_EQ(p.poisoned, 0);
}

HZ_TEST(manager, metrics)
{
    struct phase p;
    suffer("metrics", "lines", 0, FLOOR_PER_MINUTE, false, &p);
    HZ_ASSERT_EQ(p.poisoned, 0);
}

HZ_TEST(manager, logs)
{
    struct phase p;
    suffer("logs", "lines", 0, 0, false, &p);
    HZ_ASSERT_EQ(p.poisoned, 0);
}

/* Executions of its own that begin and end without pause: they wait for the store, and have no bucket of their choice. */
HZ_TEST(manager, executions)
{
    struct phase p;
    suffer("executions", "lines", 0, FLOOR_PER_MINUTE, false, &p);
    HZ_ASSERT_EQ(p.poisoned, 0);
    HZ_ASSERT_LT(p.pending, 200000);
}

HZ_TEST(manager, ends)
{
    struct phase p;
    suffer("ends", "lines", 0, FLOOR_PER_MINUTE, true, &p);
    HZ_ASSERT_GT(p.poisoned, 0);
    HZ_ASSERT_EQ(p.poisoned, p.lives);
}

static unsigned count_logged(const char *part)
{
    unsigned count = 0;
    for (const char *at = world_log; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

HZ_TEST(manager, deaf)
{
    struct phase p;
    suffer("deaf", "lines", 0, FLOOR_PER_MINUTE, false, &p);
    HZ_ASSERT_LE(count_logged("was dropped"), 1 + p.lives);
}

HZ_TEST(manager, bells)
{
    struct phase p;
    suffer("bells", "lines", 0, 0, false, &p);
}

HZ_TEST(manager, silent)
{
    struct phase p;
    suffer("silent", "slow", 500, 0, false, &p);
    HZ_ASSERT_EQ(p.timed_out, p.lives);
    HZ_ASSERT_GT(p.timed_out, 0);
}
