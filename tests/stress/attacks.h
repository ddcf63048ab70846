/*
 * attacks.h - what a hostile worker process does once it has an execution, by the name of its workflow: `attack-<kind>`, and the honest
 * twin of each, `attack-honest-<kind>`, which does like amounts of what a worker may do. Runs in the worker's process; included by
 * one file, before fake_worker.h is.
 */
#ifndef HZ_TESTS_ATTACKS_H
#define HZ_TESTS_ATTACKS_H

#include "shm/shm.h"

static void attack_run(const struct hz_msg *msg);
#define FAKE_ATTACK attack_run

#include "tests/unit/core/fake_worker.h"

#include <fcntl.h>

#define PLAUSIBLE_EVERY 20000u /* records between two changes that a reader must refuse */
#define HONEST_BURST 64u       /* lines, then a pause: about 20,000 a second */
#define OWN_MANY 60000u        /* executions it says it began: just below what it may */

static uint64_t attack_seed;

static uint64_t attack_random(void)
{
    attack_seed ^= attack_seed << 13, attack_seed ^= attack_seed >> 7, attack_seed ^= attack_seed << 17;
    return attack_seed;
}

static void attack_ring(void)
{
    uint64_t one = 1;
    ssize_t n = write(fake_results.ringer.fd, &one, sizeof one);
    (void)n;
}

/* As fast as the ring takes it; full: the manager gets the CPU. */
static void attack_put(struct hz_stream_out *out, uint32_t type, const struct hz_part *parts, size_t count)
{
    while (hz_stream_try(out, type, parts, count, true) == HZ_EBUSY)
        sched_yield();
}

static void attack_line(void)
{
    static const char text[] = "una linea como cualquier otra";
    struct hz_msg_line m = {.wall_ms = hz_base_wall_ms(), .level = 1, .node = HZ_NO_NODE, .console = 1, .text_len = sizeof text - 1};
    struct hz_part parts[] = {{&m, sizeof m}, {text, m.text_len}};
    attack_put(&fake_results, HZ_MSG_LINE, parts, 2);
}

/* ---- over everything ---- */

static void attack_words(void)
{
    uint64_t *words = fake_segment.base;
    size_t count = fake_segment.total_bytes / 8;
    for (;;) {
        for (int i = 0; i < 20000; i++) {
            uint64_t r = attack_random();
            __atomic_store_n(&words[r % count], r * 7, __ATOMIC_RELAXED);
        }
        attack_ring();
    }
}

/* A fixed part that is a HOP whatever it holds, and a LOG line of 16 characters as long as its length says so: the type in the header
 * may flip at any moment, and all words but one. */
struct attack_both {
    struct hz_msg_log log;
    char text[sizeof(struct hz_msg_hop) - sizeof(struct hz_msg_log)];
};

/* Somewhere in the records just published: changes nobody can refuse, and now and then one that must be. */
static void attack_change(struct hz_ring *ring, bool must_refuse)
{
    size_t step = 8 + sizeof(struct attack_both), behind = (attack_random() % 200 + 1) * step;
    size_t at = ((ring->index - behind) & ring->mask) / 8;
    uint64_t *words = (uint64_t *)(void *)ring->bytes, old = __atomic_load_n(&words[at], __ATOMIC_RELAXED);
    if (must_refuse) {
        uint64_t r = attack_random();
        if (r % 3 == 0)
            atomic_store_explicit(&ring->shared->tail, ring->index + (r >> 8) % (4 * ring->capacity), memory_order_release);
        else
            __atomic_store_n(&words[at], (uint64_t)(HZ_MSG_LOG + r % 3) << 32 | (r >> 8) % 256, __ATOMIC_RELAXED);
    } else if ((uint32_t)old == sizeof(struct attack_both)) {
        uint64_t type = attack_random() % 2 ? HZ_MSG_LOG : HZ_MSG_HOP;
        __atomic_store_n(&words[at], type << 32 | sizeof(struct attack_both), __ATOMIC_RELAXED);
        __atomic_store_n(&words[(at + 1 + attack_random() % 2) & (ring->mask / 8)], attack_random(), __ATOMIC_RELAXED);
    }
}

static void attack_plausible(bool honest)
{
    struct attack_both both = {.log = {.level = 1, .text_len = sizeof both.text}};
    memset(both.text, 'p', sizeof both.text);
    struct hz_part part = {&both, sizeof both};
    for (unsigned i = 1; !honest || i < PLAUSIBLE_EVERY; i++) {
        attack_put(&fake_metrics, HZ_MSG_LOG, &part, 1);
        if (!honest)
            attack_change(&fake_segment.lanes[0].metrics, i % PLAUSIBLE_EVERY == 0);
    }
}

static void attack_truncate(void)
{
    unsigned lines = (unsigned)(attack_random() % 2000);
    for (unsigned i = 0; i < lines; i++)
        attack_line();
    while (atomic_load(&fake_segment.lanes[0].results.shared->head) == 0)
        usleep(50); /* who erases what nobody has seen yet has said nothing: the start's time-out ends it */
    switch (getpid() % 3) {
    case 0:
        (void)!ftruncate(fake_segment_fd, 0);
        break;
    case 1:
        (void)!ftruncate(fake_segment_fd, 4096);
        break;
    default:
        (void)!fallocate(fake_segment_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)fake_segment.total_bytes);
        (void)!ftruncate(fake_segment_fd, (off_t)(attack_random() % fake_segment.total_bytes));
        break;
    }
    for (;;) {
        attack_ring();
        usleep(100);
    }
}

/* ---- floods of what is allowed ---- */

static void attack_results(void)
{
    struct hz_msg_ready ready = {1, 1};
    struct hz_msg_answer answer = {.request = 7, .success = 1};
    struct hz_msg_http_answer http = {.execution = 5, .status = 200};
    struct hz_msg_fatal fatal = {.message_len = 5};
    struct hz_part ready_part = {&ready, sizeof ready}, answer_part = {&answer, sizeof answer}, http_part = {&http, sizeof http};
    struct hz_part fatal_parts[] = {{&fatal, sizeof fatal}, {"nadie", 5}};
    for (;;) {
        attack_line();
        attack_put(&fake_results, HZ_MSG_READY, &ready_part, 1);
        attack_put(&fake_results, HZ_MSG_ANSWER, &answer_part, 1);
        attack_put(&fake_results, HZ_MSG_HTTP_ANSWER, &http_part, 1);
        attack_put(&fake_results, HZ_MSG_FATAL, fatal_parts, 2);
    }
}

static void attack_metrics(void)
{
    static const char route[] = "worker:progress", data[] = "{\"a\":1}";
    struct hz_msg_hop hop = {.wall_ms = 1};
    struct hz_msg_tell tell = {.node = HZ_NO_NODE, .route_len = sizeof route - 1, .data_len = sizeof data - 1};
    struct hz_msg_log log = {.level = 1, .text_len = 5};
    struct hz_part hop_part = {&hop, sizeof hop};
    struct hz_part tell_parts[] = {{&tell, sizeof tell}, {route, sizeof route - 1}, {data, sizeof data - 1}};
    struct hz_part log_parts[] = {{&log, sizeof log}, {"linea", 5}};
    for (;;) {
        attack_put(&fake_metrics, HZ_MSG_HOP, &hop_part, 1);
        attack_put(&fake_metrics, HZ_MSG_TELL, tell_parts, 3);
        attack_put(&fake_metrics, HZ_MSG_LOG, log_parts, 2);
    }
}

/* Few bytes, much work: a batch of as many log lines as fit into a record. */
static void attack_logs(void)
{
    static const char route[] = "worker:logs", line[] = "{\"message\":\"\"},";
    char data[8000] = "{\"data\":[";
    size_t len = strlen(data);
    while (len + sizeof line + 4 < sizeof data) {
        memcpy(data + len, line, sizeof line - 1);
        len += sizeof line - 1;
    }
    memcpy(data + len - 1, "]}", 2);
    struct hz_msg_tell m = {.node = HZ_NO_NODE, .route_len = sizeof route - 1, .data_len = len + 1};
    struct hz_part parts[] = {{&m, sizeof m}, {route, sizeof route - 1}, {data, len + 1}};
    for (;;)
        attack_put(&fake_metrics, HZ_MSG_TELL, parts, 3);
}

/* Numbers and ids of its own choice: those that a multiplication by 2^64 divided by the golden ratio, or a look at the id's last
 * bytes, puts into one bucket. */
static uint64_t attack_number(uint64_t i)
{
    uint64_t inverse = UINT64_C(0x9e3779b97f4a7c15), number;
    for (int k = 0; k < 6; k++) /* Newton: the inverse modulo 2^64 */
        inverse *= 2 - UINT64_C(0x9e3779b97f4a7c15) * inverse;
    for (;; i += UINT64_C(1) << 24) {
        number = inverse * ((i >> 20) << 52 | (i & 0xfffff));
        if (number >> 63)
            return number;
    }
}

static void attack_executions(void)
{
    static uint64_t numbers[OWN_MANY];
    for (uint64_t i = 0; i < OWN_MANY; i++)
        numbers[i] = attack_number(i + 1);
    for (uint64_t turn = 0;; turn++) {
        for (uint64_t i = 0; i < OWN_MANY; i++) {
            struct hz_uuid id = {{0}};
            uint64_t unique = turn * OWN_MANY + i + 1, who = (uint64_t)getpid();
            memcpy(id.bytes, &unique, 7);
            memcpy(id.bytes + 7, &who, 4);
            struct hz_msg_started m = {.execution = numbers[i], .id = id};
            struct hz_part part = {&m, sizeof m};
            attack_put(&fake_results, HZ_MSG_STARTED, &part, 1);
        }
        for (uint64_t i = 0; i < OWN_MANY; i++) {
            struct hz_msg_finished m = {.execution = numbers[i], .state = HZ_EXEC_FAILED, .node = HZ_NO_NODE};
            struct hz_part part = {&m, sizeof m};
            attack_put(&fake_results, HZ_MSG_FINISHED, &part, 1);
        }
    }
}

/* Ends of what never began, as many as it likes, each to be looked for when something begins. */
static void attack_ends(void)
{
    for (uint64_t i = 1;; i++) {
        struct hz_msg_finished m = {.execution = UINT64_C(1) << 63 | (i + (UINT64_C(1) << 40)), .state = HZ_EXEC_SUCCESS, .node = HZ_NO_NODE};
        struct hz_part part = {&m, sizeof m};
        attack_put(&fake_results, HZ_MSG_FINISHED, &part, 1);
        if (i % 16 != 0)
            continue;
        struct hz_uuid id = hz_uuid_new();
        struct hz_msg_started s = {.execution = UINT64_C(1) << 63 | i, .id = id};
        struct hz_part begun = {&s, sizeof s};
        attack_put(&fake_results, HZ_MSG_STARTED, &begun, 1);
        struct hz_msg_finished f = {.execution = s.execution, .state = HZ_EXEC_SUCCESS, .node = HZ_NO_NODE};
        struct hz_part end = {&f, sizeof f};
        attack_put(&fake_results, HZ_MSG_FINISHED, &end, 1);
    }
}

/* ---- never reads, rings as it likes, says nothing ---- */

static void attack_question(void)
{
    static const char route[] = "nobody:knows";
    struct hz_msg_ask m = {.request = 9, .node = HZ_NO_NODE, .route_len = sizeof route - 1};
    struct hz_part parts[] = {{&m, sizeof m}, {route, sizeof route - 1}, {"", 0}};
    attack_put(&fake_results, HZ_MSG_ASK, parts, 3);
}

static void attack_deaf(void)
{
    for (;;)
        attack_question();
}

static void attack_bells(void)
{
    char page[4096], path[64];
    int ring = fake_results.ringer.fd, wait = fake_bell.fd;
    memset(page, 1, sizeof page);
    snprintf(path, sizeof path, "/proc/self/fd/%d", wait);
    int stuff = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* the pipe the manager rings */
    snprintf(path, sizeof path, "/proc/self/fd/%d", ring);
    int steal = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* the pipe the manager empties */
    (void)fcntl(ring, F_SETPIPE_SZ, 1 << 20);
    for (;;) {
        for (int i = 0; i < 50; i++) {
            atomic_store(&fake_segment.header->manager_sleep.epoch, (uint32_t)attack_random());
            atomic_store(&fake_segment.header->worker_sleep.epoch, (uint32_t)attack_random() | 1u);
            attack_question(); /* its answer makes the manager ring */
        }
        if (stuff >= 0)
            while (write(stuff, page, sizeof page) > 0)
                ;
        (void)fcntl(ring, F_SETFL, O_NONBLOCK);
        while (write(ring, page, sizeof page) > 0)
            ;
        (void)fcntl(ring, F_SETFL, 0);
        (void)fcntl(wait, F_SETFL, 0);
        if (steal >= 0 && attack_random() % 2)
            (void)!read(steal, page, sizeof page);
        struct hz_msg msg; /* its own commands, so that they never fill up */
        hz_stream_in_begin(&fake_in, 0, 0);
        while (hz_stream_in_next(&fake_in, &msg) == HZ_RING_OK)
            ;
        hz_stream_in_end(&fake_in);
    }
}

/* ---- the honest twins ---- */

static void attack_honest_lines(void)
{
    while (!hz_ring_has_data(&fake_segment.commands)) {
        for (unsigned i = 0; i < HONEST_BURST; i++)
            attack_line();
        usleep(3000);
    }
}

static void attack_run(const struct hz_msg *msg)
{
    const struct hz_msg_execute *m = msg->body;
    attack_seed = hz_base_now_ns() ^ (uint64_t)getpid() << 40;
    if (fake_is("attack-words"))
        attack_words();
    else if (fake_is("attack-plausible"))
        attack_plausible(false);
    else if (fake_is("attack-truncate"))
        attack_truncate();
    else if (fake_is("attack-results"))
        attack_results();
    else if (fake_is("attack-metrics"))
        attack_metrics();
    else if (fake_is("attack-logs"))
        attack_logs();
    else if (fake_is("attack-executions"))
        attack_executions();
    else if (fake_is("attack-ends"))
        attack_ends();
    else if (fake_is("attack-deaf"))
        attack_deaf();
    else if (fake_is("attack-bells"))
        attack_bells();
    else if (fake_is("attack-silent"))
        for (fake_in_node(m->execution, 0);;)
            pause();
    else if (fake_is("attack-honest-plausible"))
        attack_plausible(true);
    else if (fake_is("attack-honest-lines"))
        attack_honest_lines();
    else if (fake_is("attack-honest-slow"))
        usleep(200000);
    fake_finished(&fake_results, m->execution, HZ_EXEC_SUCCESS, NULL, "1", 1);
    _exit(0);
}

#endif
