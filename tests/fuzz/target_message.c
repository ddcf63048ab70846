/*
 * target_message.c - what a worker says to its manager, record by record: the decoder, and everything behind it that acts on a record (ready,
 * beginnings and ends of executions, checkpoints, answers, log lines, questions, webhook routes). One worker, one shard on this thread;
 * the store is played, and so is the kill: a poisoned worker is the end of an input.
 *
 * An input is a byte that says what the manager has in hand, and records. Most have lengths that are right and numbers that are near those
 * in use, else the decoder would refuse nearly all. After each the books must add up; at the end nothing may be left.
 */
#include "core/shard.c" /* not a mistake: this thread must be shard 0, and only shard.c can say so */

#include "core/api/internal.h"
#include "core/catalog.h"
#include "core/config.h"
#include "core/executions.h"
#include "core/lines.h"
#include "core/logs.h"
#include "core/secrets.h"
#include "core/webhooks.h"
#include "core/workflow.h"
#include "fuzz.h"

#include <stddef.h>
#include <stdio.h>

#define RECORDS_MOST 64u
#define RING_BYTES   UINT64_C(65536)
#define STRING_MOST  2048u

enum { HAND_READY = 1, HAND_EXECUTIONS = 2, HAND_REQUEST = 4, HAND_QUESTION = 8, HAND_SPARE = 16, HAND_DISK = 32 };

static struct hz_config config;
static struct hz_yard yard;
static struct hz_workflow *workflow;
static struct hz_worker *w; /* the one worker */
static struct hz_ring_shared *ring;
static bool poisoned, disk_works;
static unsigned open_tickets, open_questions;

/* ---- played: store, kill, tables of the shard ---- */

int hz_store_put(struct hz_store_execution *row, bool durable, hz_store_done_fn *done, void *arg)
{
    (void)durable;
    hz_store_execution_fini(row);
    if (done)
        done(disk_works ? 0 : -ENOSPC, arg);
    return 0;
}

int hz_store_checkpoint_put(const struct hz_uuid *execution, uint32_t ordinal, bool base, void *data, size_t len, bool durable,
        hz_store_done_fn *done, void *arg)
{
    (void)execution, (void)ordinal, (void)base, (void)durable;
    fuzz_touch(data, len);
    free(data);
    if (done)
        done(disk_works ? 0 : -ENOSPC, arg);
    return 0;
}

uint64_t hz_store_pending(void)
{
    return 0;
}

bool hz_store_degraded(void)
{
    return false;
}

int hz_store_unfinished(struct hz_store_execution **ret_rows, size_t *ret_count)
{
    *ret_rows = NULL;
    *ret_count = 0;
    return 0;
}

void hz_worker_poison(struct hz_worker *worker, const char *reason)
{
    FUZZ_CHECK(worker == w && reason && *reason);
    hz_link_poison(&w->link, reason);
    poisoned = true;
}

void hz_worker_kill(struct hz_worker *worker, enum hz_intent intent, uint64_t execution)
{
    (void)worker, (void)intent, (void)execution;
    poisoned = true;
}

struct hz_worker *hz_worker_find(struct hz_yard *here, const struct hz_uuid *id)
{
    (void)here;
    return w && hz_uuid_equal(&w->info.id, id) ? w : NULL;
}

void hz_spares_warm(struct hz_worker *worker)
{
    worker->warm = true;
}

/* What questions are answered from: each a little of what there would be. */
json_t *hz_catalog_public(void)
{
    return json_pack("{s:{s:s}}", "delay", "type", "delay");
}

int hz_workflows_get(const char *id, const char *version, struct hz_workflow **ret_workflow, char **ret_text)
{
    (void)version;
    *ret_text = NULL;
    if (strcmp(id, "flow") != 0)
        return HZ_ENOTFOUND;
    *ret_workflow = hz_workflow_ref(workflow);
    return 0;
}

json_t *hz_workflows_record(const char *id)
{
    return json_pack("{s:s}", "id", id);
}

int hz_secrets_open(char *const *names, const char *workflow_id, struct hz_secret_set **ret_set)
{
    (void)names, (void)workflow_id;
    *ret_set = NULL;
    return HZ_ENOTFOUND;
}

void hz_health_worker(struct hz_json *json)
{
    hz_json_open(json, '{');
    hz_json_close(json, '}');
}

static void say_nothing(enum hz_log_level level, const char *text, size_t len, void *arg)
{
    (void)level, (void)arg;
    fuzz_touch(text, len);
}

static void on_line(void *arg, const struct hz_worker_info *info, int level, bool console, const char *text, size_t len)
{
    (void)arg, (void)info, (void)console;
    FUZZ_CHECK(level >= 0 && level <= 3);
    fuzz_touch(text, len);
}

static void on_event(void *arg, enum hz_worker_event event, const struct hz_worker_info *info, const char *detail)
{
    (void)arg, (void)event, (void)info;
    fuzz_touch(detail, detail ? strlen(detail) : 0);
}

/* ---- the manager around it ---- */

static struct hz_workflow *new_workflow(void)
{
    static const char text[] =
            "{\"info\":{\"uid\":\"u1\",\"name\":\"flow\"},\"version\":\"1.0.0\",\"properties\":{\"basic\":{\"router\":\"/v1/\"},"
            "\"horizon\":{\"durability\":\"checkpoint\",\"isolation\":\"resident\",\"onInterrupt\":\"fail\"}},\"environment\":[],\"secrets\":[],"
            "\"nodes\":{\"a\":{\"type\":\"workflow_init\",\"name\":\"Inicio\",\"properties\":{}},"
            "\"b\":{\"type\":\"conditional\",\"name\":\"Decide\",\"properties\":{}},\"c\":{\"type\":\"delay\",\"name\":\"Espera\",\"properties\":{}}},"
            "\"connections\":[{\"idNodeOrigin\":\"a\",\"connectorOriginName\":\"init\",\"idNodeDestiny\":\"b\",\"connectorDestinyName\":\"input\"}]}";
    struct hz_flow_report report = {0};
    struct hz_flow *flow = NULL;
    struct hz_plan *plan = NULL;
    struct hz_workflow *made = NULL;
    json_t *catalog = json_load_file(fuzz_source_path("tests/fixtures/catalog.json"), 0, NULL);
    HZ_ASSERT(catalog != NULL && hz_flow_parse(text, strlen(text), &report, &flow) == 0);
    if (hz_flow_compile(flow, catalog, false, &report, &plan) != 0)
        FUZZ_FAIL("%s", report.findings[0].message);
    HZ_ASSERT(hz_workflow_new("flow", "1.0.0", hz_flow_json(flow), plan, &config, &made) == 0);
    hz_flow_report_fini(&report);
    hz_flow_free(&flow);
    json_decref(catalog);
    return made;
}

static void prepare(void)
{
    setenv("HORIZON_WORKER", "/bin/true", 1); /* neither is looked at */
    setenv("HORIZON_BUILTIN_NODES", "/", 1);
    urcu_memb_register_thread();
    hz_log_set_sink(say_nothing, NULL);
    hz_lines_quiet(true);
    if (hz_config_load(&config) != 0)
        FUZZ_FAIL("%s", hz_err_last());
    HZ_ASSERT(hz_shard_init(1) == 0);
    self = &all.shards[0];
    HZ_ASSERT(hz_registry_init() == 0 && hz_scheduler_init(&config) == 0);
    HZ_ASSERT(hz_supervisor_listen_lines(on_line, NULL) == 0 && hz_supervisor_listen(on_event, NULL) == 0 && hz_asks_init() == 0);
    yard = (struct hz_yard){.shard = self, .config = &config};
    CDS_INIT_LIST_HEAD(&yard.workers);
    CDS_INIT_LIST_HEAD(&yard.services);
    CDS_INIT_LIST_HEAD(&yard.spares);
    hz_shard_set(self, HZ_SHARD_SUPERVISOR, &yard);
    HZ_ASSERT(hz_worker_poll_begin(&yard) == 0 && hz_scheduler_begin(self) == 0);
    ring = aligned_alloc(HZ_CACHE_LINE, hz_ring_bytes(RING_BYTES));
    HZ_ASSERT(ring != NULL);
    memset(ring, 0, hz_ring_bytes(RING_BYTES));
    workflow = new_workflow();
}

static void on_reply(void *arg, const struct hz_http_reply *reply)
{
    (void)arg;
    FUZZ_CHECK(open_tickets-- == 1 && reply->status >= 200 && reply->status <= 599);
    fuzz_touch(reply->type, reply->type_len);
    fuzz_touch(reply->body, reply->body_len);
    for (size_t i = 0; i < reply->headers_len; i++)
        FUZZ_CHECK((unsigned char)reply->headers[i] >= 0x20 || reply->headers[i] == '\n' || reply->headers[i] == '\t');
    for (size_t i = 0; i < reply->type_len; i++)
        FUZZ_CHECK((unsigned char)reply->type[i] >= 0x20);
}

static void on_answer(void *arg, const char *data, size_t len, const char *error)
{
    (void)arg;
    FUZZ_CHECK(open_questions-- == 1);
    fuzz_touch(data, len);
    fuzz_touch(error, error ? strlen(error) : 0);
}

static uint64_t begin(unsigned hand)
{
    static struct hz_doorbell_cell cell;
    struct hz_desk *desk = hz_desk_here();
    uint64_t ticket = 0;
    poisoned = false;
    disk_works = !(hand & HAND_DISK);
    w = calloc(1, sizeof *w);
    HZ_ASSERT(w != NULL);
    w->magic = HZ_WORKER_MAGIC;
    w->yard = &yard;
    w->purpose = (hand & HAND_SPARE) ? HZ_PURPOSE_SPARE : HZ_PURPOSE_RESIDENT;
    w->pidfd = w->port_fd = w->statm_fd = -1;
    w->workflow = (hand & HAND_SPARE) ? NULL : hz_workflow_ref(workflow);
    w->info = (struct hz_worker_info){.port = 4000, .status = HZ_WORKER_STARTING, .resident = true};
    memset(w->info.id.bytes, 7, sizeof w->info.id.bytes);
    hz_uuid_format(&w->info.id, w->info.id_text);
    snprintf(w->info.workflow_id, sizeof w->info.workflow_id, "flow");
    CDS_INIT_LIST_HEAD(&w->executions);
    memset(ring, 0, sizeof *ring);
    hz_ring_create(ring, RING_BYTES);
    w->link.magic = HZ_LINK_MAGIC;
    w->link.guard = w->link.worker_bell = w->link.manager_bell = -1;
    hz_ring_attach(&w->link.segment.commands, ring, RING_BYTES, true);
    hz_stream_out_init(&w->link.commands, &w->link.segment.commands, &cell, -1, 1 << 20);
    desk->next_number = desk->next_ticket = 0;
    if (!w->workflow)
        return 0;
    hz_worker_publish(w);
    if (hand & HAND_READY)
        hz_worker_on_ready(w);
    for (int i = 0; i < 2 && (hand & HAND_EXECUTIONS); i++) {
        struct hz_execution *e;
        HZ_ASSERT(hz_execution_new(desk, hz_workflow_ref(workflow), NULL, 0, NULL, true, &e) == 0);
        hz_dispatch_attach(e, w);
    }
    if ((hand & HAND_REQUEST) && w->ready) {
        struct hz_http_call call = {.match = {.worker = w->info.id, .timeout_ms = 1000}, .meta = "{}", .meta_len = 2, .type = "", .body = ""};
        open_tickets++;
        hz_scheduler_http(&call, on_reply, NULL, &ticket);
    }
    if ((hand & HAND_QUESTION) && w->ready) {
        open_questions++;
        hz_worker_ask(w, "worker:state", "{}", 2, on_answer, NULL);
    }
    return ticket;
}

static void end(uint64_t ticket)
{
    struct hz_desk *desk = hz_desk_here();
    struct hz_death death = {.intent = HZ_INTENT_POISON, .node = HZ_NO_NODE, .text = "it broke a rule"};
    w->buried = true;
    hz_shard_run_mail(self);
    if (w->workflow) {
        hz_registry_remove(&w->info.id);
        hz_scheduler_sink()->lost(w, &death, false);
    }
    hz_worker_fail_requests(w, "Worker stopped");
    if (open_tickets)
        hz_scheduler_http_gone(ticket), open_tickets = 0;
    for (int i = 0; i < 4; i++)
        hz_shard_run_mail(self);
    hz_logs_forget(&w->info.id);
    if (w->dirty)
        cds_list_del(&w->dirty_node);
    hz_stream_out_fini(&w->link.commands);
    hz_workflow_unref(&w->workflow);
    free(w->progress);
    free(w->metrics);
    FUZZ_CHECK(open_questions == 0 && cds_list_empty(&w->executions) && w->early_count == 0 && !w->routes);
    FUZZ_CHECK(desk->number_count == 0 && desk->ticket_count == 0 && desk->commits == 0 && hz_executions_admitted() == 0);
    free(w);
    w = NULL;
}

/* ---- records ---- */

#define FIELD(type, member) {offsetof(struct hz_msg_##type, member), sizeof(((struct hz_msg_##type *)0)->member)}
static const struct {
    uint32_t type;
    bool numbered; /* begins with the number of an execution */
    struct {
        size_t at, width;
    } lens[HZ_MSG_STRINGS];
} kinds[] = {
        {HZ_MSG_STARTED, true, {{0, 0}}},
        {HZ_MSG_FINISHED, true, {FIELD(finished, error_len), FIELD(finished, code_len), FIELD(finished, result_len)}},
        {HZ_MSG_CHECKPOINT, true, {FIELD(checkpoint, state_len)}},
        {HZ_MSG_HTTP_ANSWER, true, {FIELD(http_answer, type_len), FIELD(http_answer, headers_len), FIELD(http_answer, body_len)}},
        {HZ_MSG_ASK, false, {FIELD(ask, route_len), FIELD(ask, data_len)}},
        {HZ_MSG_ANSWER, false, {FIELD(answer, message_len), FIELD(answer, data_len)}},
        {HZ_MSG_LISTEN, false, {FIELD(listen, method_len), FIELD(listen, endpoint_len)}},
        {HZ_MSG_LINE, false, {FIELD(line, text_len)}},
        {HZ_MSG_LOG, false, {FIELD(log, text_len)}},
        {HZ_MSG_TELL, false, {FIELD(tell, route_len), FIELD(tell, data_len)}},
        {HZ_MSG_HOP, false, {{0, 0}}},
        {HZ_MSG_READY, false, {{0, 0}}},
        {HZ_MSG_WARM, false, {{0, 0}}},
        {HZ_MSG_FATAL, false, {FIELD(fatal, message_len)}},
        {HZ_MSG_EXECUTE, true, {FIELD(execute, data_len)}}, /* of the other direction */
};

/* A record with lengths that are right: body, then for each string two bytes of length and its text. */
static size_t shape(struct fuzz_bytes *from, size_t kind, uint8_t *to)
{
    size_t body = hz_msg_body_bytes(kinds[kind].type), len, used = body;
    memset(to, 0, body);
    const uint8_t *bytes = fuzz_take_bytes(from, body, &len);
    memcpy(to, bytes, len);
    if (kinds[kind].numbered) {
        uint64_t number;
        memcpy(&number, to, sizeof number);
        number = (number & UINT64_C(0xc000000000000003)) | (number >> 8 & 4);
        memcpy(to, &number, sizeof number);
    }
    for (size_t i = 0; i < HZ_MSG_STRINGS && kinds[kind].lens[i].width > 0; i++) {
        bytes = fuzz_take_bytes(from, (size_t)fuzz_take(from, 2) % STRING_MOST, &len);
        memcpy(to + used, bytes, len);
        memcpy(to + kinds[kind].lens[i].at, &len, kinds[kind].lens[i].width); /* little-endian */
        used += len;
    }
    return used;
}

static void check_books(void)
{
    unsigned own = 0, all_of_them = 0;
    struct hz_execution *e;
    cds_list_for_each_entry(e, &w->executions, node) {
        FUZZ_CHECK(e->worker == w);
        own += (e->number & HZ_NUMBER_WORKER) != 0;
        all_of_them++;
    }
    FUZZ_CHECK(own == w->own_count && all_of_them == w->info.in_flight && w->route_count <= HZ_WEBHOOKS_ROUTES);
    FUZZ_CHECK((w->early_count == 0) == (w->early_bytes == 0) && w->asks_open <= 1024);
}

static void record(struct fuzz_bytes *from)
{
    static uint8_t bytes[512 + HZ_MSG_STRINGS * STRING_MOST];
    unsigned how = (unsigned)fuzz_take(from, 1);
    size_t kind = how % HZ_COUNT_OF(kinds), len;
    uint32_t type = kinds[kind].type;
    bool lossy = type == HZ_MSG_LOG || type == HZ_MSG_TELL || type == HZ_MSG_HOP;
    if (how < 0xe0) {
        len = shape(from, kind, bytes);
    } else { /* as it comes */
        if (how >= 0xf8)
            type = (uint32_t)fuzz_take(from, 1);
        const uint8_t *raw = fuzz_take_bytes(from, (size_t)fuzz_take(from, 2) % sizeof bytes, &len);
        memcpy(bytes, raw, len);
    }
    uint8_t *copy = malloc(len ? len : 1); /* of exactly its size */
    struct hz_msg msg;
    struct hz_stream_in visited = {.records_left = 64};
    HZ_ASSERT(copy != NULL);
    memcpy(copy, bytes, len);
    if (hz_msg_open(&msg, lossy ? 'M' : 'R', type, copy, len) == 0) {
        w->link.visited = &visited;
        hz_worker_on_message(w, &msg, lossy);
        w->link.visited = NULL;
        w->link.debt = 0;
        check_books();
    }
    free(copy);
    hz_shard_run_mail(self);
    /* The worker reads what it is sent. */
    (void)hz_stream_flush(&w->link.commands);
    atomic_store_explicit(&ring->head, w->link.segment.commands.published, memory_order_relaxed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes from = {data, size};
    if (!workflow)
        prepare();
    uint64_t ticket = begin((unsigned)fuzz_take(&from, 1));
    for (unsigned i = 0; i < RECORDS_MOST && from.left > 0 && !poisoned; i++)
        record(&from);
    end(ticket);
    return 0;
}
