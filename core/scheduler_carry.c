/*
 * scheduler_carry.c - a desk goes from one image of the manager to the next. Executions that a worker has go with it,
 * whatever their durability; those that wait are rows of the store, where the next image's recovery finds them as not
 * begun. On the desk's shard.
 */
#include "executions.h"
#include "restart.h"

#include "core/flow/plan.h"

#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* a row is taken by the store, what is read belongs to the execution */

#define SERVICES_MOST   65536u
#define LANES_MOST      (1u << 20)
#define WORKERS_MOST    65536u
#define EXECUTIONS_MOST (2u << 20)
#define INPUT_MOST      ((size_t)1 << 30)
#define NO_SERVICE      UINT64_MAX

enum flag {
    ACTIVATION = 1, WANTS_PORT = 2, STORED = 4, REPLAYABLE = 8, CLAIMED = 16, TAKEN = 32, STUCK = 64,
    INPUT = 128, CHECKPOINT = 256, ANSWER = 512, SERVED = 1024
};

/* ---- what waits goes to the store ---- */

static int leave_one(struct hz_execution *e)
{
    struct hz_store_execution row;
    bool later = hz_timer_armed(&e->later);
    if (e->is_activation || (e->stored && !e->claimed && !later))
        return 0; /* its row says so already */
    if (!hz_execution_row(e, &row))
        return hz_err_set(HZ_ENOMEM, "an execution that waits");
    uint64_t now = hz_base_now_ns();
    if (later && e->later.due_ns > now)
        row.due_wall_ms = hz_base_wall_ms() + (int64_t)((e->later.due_ns - now) / 1000000u);
    int err = hz_store_put(&row, true, NULL, NULL);
    if (err)
        hz_store_execution_fini(&row);
    else
        e->stored = true;
    return err;
}

static int leave_list(struct cds_list_head *list)
{
    struct hz_execution *e;
    int err = 0;
    cds_list_for_each_entry(e, list, node)
        if (!err)
            err = leave_one(e);
    return err;
}

int hz_desk_leave(struct hz_desk *desk)
{
    struct hz_service *service;
    int err = leave_list(&desk->singles);
    if (!err)
        err = leave_list(&desk->idle);
    cds_list_for_each_entry(service, &desk->yard->services, node)
        if (!err)
            err = leave_list(&service->queue);
    return err;
}

/* It goes on here after all: what was left as not begun is sent without a further claim. */
static void stay_list(struct cds_list_head *list)
{
    struct hz_store_execution row;
    struct hz_execution *e;
    cds_list_for_each_entry(e, list, node) {
        if (!e->stored || !e->claimed || e->is_activation || !hz_execution_row_bare(e, &row))
            continue;
        row.state = HZ_EXEC_RUNNING;
        hz_execution_store(e->desk, &row);
    }
}

void hz_desk_stay(struct hz_desk *desk)
{
    struct hz_service *service;
    stay_list(&desk->singles);
    stay_list(&desk->idle);
    cds_list_for_each_entry(service, &desk->yard->services, node)
        stay_list(&service->queue);
}

/* ---- what runs is carried ---- */

static void put_id(struct hz_carry_out *out, const struct hz_uuid *id)
{
    hz_carry_put_bytes(out, id, sizeof *id);
}

static void put_execution(const struct hz_execution *e, struct hz_carry_out *out, struct hz_carry_out *ids)
{
    unsigned flags = (e->is_activation ? ACTIVATION : 0u) | (e->wants_port ? WANTS_PORT : 0u) |
                     (e->stored ? STORED : 0u) | (e->replayable ? REPLAYABLE : 0u) | (e->claimed ? CLAIMED : 0u) |
                     (e->item.place == HZ_ITEM_TAKEN ? TAKEN : 0u) | (e->stuck ? STUCK : 0u) | (e->input ? INPUT : 0u) |
                     (e->checkpoint ? CHECKPOINT : 0u) | (hz_timer_armed(&e->later) ? ANSWER : 0u) |
                     (e->service ? SERVED : 0u);
    put_id(ids, &e->id);
    hz_restart_put_workflow(out, e->workflow);
    put_id(out, &e->id);
    put_id(out, &e->activation);
    hz_carry_put(out, e->number);
    hz_carry_put(out, flags);
    hz_carry_put(out, e->state);
    hz_carry_put(out, e->attempt);
    hz_carry_put(out, (uint64_t)e->created_ms);
    hz_carry_put(out, (uint64_t)e->started_ms);
    hz_carry_put_text(out, e->worker_id);
    hz_carry_put_text(out, e->trigger);
    hz_carry_put(out, e->item.priority);
    hz_carry_put(out, (uint64_t)e->item.since_ns);
    hz_carry_put(out, (uint64_t)e->due_ms);
    hz_carry_put(out, (uint64_t)e->deadline_ms);
    hz_carry_put(out, e->timeout_ms);
    hz_carry_put(out, e->deadline_ns);
    hz_carry_put(out, e->timer.place ? e->timer.due_ns : 0);
    hz_carry_put_text(out, e->key);
    hz_carry_put(out, e->wanted);
    hz_carry_put_text(out, e->reason);
    hz_carry_put(out, e->spawn_tries);
    hz_carry_put_bytes(out, e->input, e->input ? e->input_len : 0);
    hz_carry_put_bytes(out, e->checkpoint, e->checkpoint ? e->checkpoint_len : 0);
    hz_carry_put(out, e->checkpoint_sequence);
    hz_carry_put(out, e->checkpoint_ordinal);
    hz_carry_put(out, e->checkpoint_state);
    hz_carry_put(out, e->begun_ns);
    hz_carry_put(out, e->bytes_in);
    hz_carry_put(out, e->bytes_out);
}

/* When the next start of a workflow with a rate is on time. */
static void put_rates(const struct hz_desk *desk, struct hz_carry_out *out)
{
    const struct hz_queue_lane *lane;
    uint64_t count = 0;
    cds_list_for_each_entry(lane, &desk->queues.lanes, all_node)
        count += lane->limits.rate_ns != 0;
    hz_carry_put(out, count);
    cds_list_for_each_entry(lane, &desk->queues.lanes, all_node) {
        if (!lane->limits.rate_ns)
            continue;
        hz_carry_put_text(out, lane->workflow_id);
        hz_carry_put(out, lane->limits.rate_ns);
        hz_carry_put(out, lane->limits.burst);
        hz_carry_put(out, lane->rate_due_ns);
    }
}

static void take_rates(struct hz_desk *desk, struct hz_carry_in *in)
{
    size_t count = hz_carry_take_count(in, LANES_MOST);
    for (size_t i = 0; i < count && !in->bad; i++) {
        char id[128];
        struct hz_queueing limits = {.priority = 0}; /* the others come with the next execution */
        hz_carry_take_text(in, id, sizeof id);
        limits.rate_ns = hz_carry_take(in);
        limits.burst = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
        uint64_t due_ns = hz_carry_take(in);
        struct hz_queue_lane *lane = in->bad ? NULL : hz_queues_lane(&desk->queues, id, &limits);
        if (lane)
            lane->rate_due_ns = due_ns;
    }
}

static void put_service(const struct hz_service *service, struct hz_carry_out *out, struct hz_carry_out *ids)
{
    hz_restart_put_workflow(out, service->workflow);
    hz_carry_put(out, service->kind);
    hz_carry_put(out, service->wants_port);
    hz_carry_put(out, service->parked);
    hz_carry_put_text(out, service->reason);
    put_id(out, &service->last_worker);
    hz_carry_put_text(out, service->last_text);
    hz_carry_put(out, service->restarts);
    hz_carry_put(out, service->end_count);
    hz_carry_put(out, service->backoff_ms);
    for (unsigned i = 0; i < HZ_SERVICE_ENDS; i++)
        hz_carry_put(out, service->ends_ns[i]);
    hz_carry_put(out, hz_timer_armed(&service->timer) ? service->timer.due_ns : 0);
    hz_carry_put(out, service->activation != NULL);
    if (service->activation)
        put_execution(service->activation, out, ids);
}

void hz_desk_carry(struct hz_desk *desk, struct hz_carry_out *out, struct hz_carry_out *ids)
{
    struct hz_yard *yard = desk->yard;
    struct hz_service *service;
    struct hz_worker *w;
    struct hz_execution *e;
    uint64_t services = 0, workers = 0, now_ns = hz_base_now_ns();
    hz_carry_put(out, desk->next_number);
    hz_carry_put(out, desk->next_ticket);
    put_rates(desk, out);
    cds_list_for_each_entry(service, &yard->services, node) {
        service->carried = hz_service_goes_along(service, now_ns) ? services++ : NO_SERVICE;
    }
    cds_list_for_each_entry(w, &yard->workers, all_node)
        workers += w->workflow != NULL;
    hz_carry_put(out, services);
    cds_list_for_each_entry(service, &yard->services, node)
        if (service->carried != NO_SERVICE)
            put_service(service, out, ids);
    hz_carry_put(out, workers);
    cds_list_for_each_entry(w, &yard->workers, all_node) {
        if (!w->workflow)
            continue;
        uint64_t count = 0;
        hz_worker_carry(w, w->service ? w->service->carried : NO_SERVICE, out);
        cds_list_for_each_entry(e, &w->executions, node)
            count++;
        hz_carry_put(out, count);
        cds_list_for_each_entry(e, &w->executions, node)
            put_execution(e, out, ids);
    }
}

/* ---- the other side ---- */

static struct hz_uuid take_id(struct hz_carry_in *in)
{
    struct hz_uuid id = {{0}};
    size_t len;
    const void *bytes = hz_carry_take_bytes(in, sizeof id, &len);
    in->bad |= len != sizeof id;
    if (!in->bad)
        memcpy(&id, bytes, sizeof id);
    return id;
}

static int impossible(void)
{
    return hz_err_set(HZ_EFORMAT, "an execution or a service that cannot be");
}

/* The fields behind the flags. ret_due: of its deadline or grace. */
static void take_fields(
        struct hz_carry_in *in, struct hz_execution *e, unsigned flags, uint64_t *ret_due, char ret_key[HZ_SUBMIT_KEY])
{
    struct hz_execution_place place = {.state = (enum hz_exec_state)hz_carry_take_most(in, HZ_EXEC_WAITING)};
    size_t len;
    place.attempt = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    e->created_ms = (int64_t)hz_carry_take(in);
    place.started_ms = (int64_t)hz_carry_take(in);
    hz_carry_take_text(in, place.worker_id, sizeof place.worker_id);
    hz_carry_take_text(in, e->trigger, sizeof e->trigger);
    e->item.priority = (uint8_t)hz_carry_take_most(in, HZ_PRIORITY_MOST);
    e->item.since_ns = (int64_t)hz_carry_take(in);
    e->due_ms = (int64_t)hz_carry_take(in);
    e->deadline_ms = (int64_t)hz_carry_take(in);
    e->timeout_ms = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    e->deadline_ns = hz_carry_take(in);
    *ret_due = hz_carry_take(in);
    hz_carry_take_text(in, ret_key, HZ_SUBMIT_KEY);
    e->wanted = (enum hz_exec_state)hz_carry_take_most(in, HZ_EXEC_INTERRUPTED);
    hz_carry_take_text(in, e->reason, sizeof e->reason);
    e->spawn_tries = (unsigned)hz_carry_take_most(in, UINT32_MAX);
    char *input = hz_carry_take_dup(in, INPUT_MOST, &len);
    if (input && (flags & INPUT))
        hz_execution_set_input(e, input, len);
    else
        free(input);
    char *checkpoint = hz_carry_take_dup(in, INPUT_MOST, &len);
    if (flags & CHECKPOINT) {
        e->checkpoint = checkpoint;
        e->checkpoint_len = len;
    } else {
        free(checkpoint);
    }
    e->checkpoint_sequence = hz_carry_take(in);
    e->checkpoint_ordinal = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    e->checkpoint_state = (enum hz_checkpoint_state)hz_carry_take_most(in, HZ_CHECKPOINT_KEPT);
    e->begun_ns = hz_carry_take(in);
    e->bytes_in = hz_carry_take(in);
    e->bytes_out = hz_carry_take(in);
    e->is_activation = flags & ACTIVATION;
    e->wants_port = flags & WANTS_PORT;
    e->stored = flags & STORED;
    e->replayable = flags & REPLAYABLE;
    e->claimed = flags & CLAIMED;
    e->stuck = flags & STUCK ? HZ_STUCK_TOLD : HZ_STUCK_NO;
    hz_execution_put_back(e, &place);
}

/* w NULL: an activation, of the service. */
static int take_execution(struct hz_desk *desk, struct hz_worker *w, struct hz_service *service, struct hz_carry_in *in)
{
    struct hz_workflow *workflow;
    struct hz_execution *e;
    char key[HZ_SUBMIT_KEY];
    uint64_t due;
    int err = hz_restart_take_workflow(in, &workflow);
    if (err)
        return err;
    struct hz_uuid id = take_id(in), activation = take_id(in);
    uint64_t number = hz_carry_take(in);
    unsigned flags = (unsigned)hz_carry_take_most(in, 2 * SERVED - 1);
    bool own = number & HZ_NUMBER_WORKER;
    if (in->bad || (own && !w) || (w == NULL) != ((flags & ACTIVATION) != 0) ||
            hz_execution_by_number(desk, number, own ? w : NULL)) {
        hz_workflow_unref(&workflow);
        return impossible();
    }
    err = hz_execution_new(desk, workflow, &id, number, own ? w : NULL, true, &e);
    if (err) {
        hz_workflow_unref(&workflow);
        return err;
    }
    e->activation = activation;
    if (w) {
        e->service = flags & SERVED ? service : NULL;
        hz_dispatch_put_back(e, w);
    } else {
        service->activation = e;
        e->service = service;
    }
    take_fields(in, e, flags, &due, key);
    if (!in->bad && key[0])
        err = hz_admit_set_key(e, key);
    if (!in->bad && !err && (flags & TAKEN))
        err = hz_admit_put_back(e);
    if (in->bad || err)
        return err ? err : impossible();
    if (due)
        hz_dispatch_due(e, due);
    if (w && (flags & CHECKPOINT))
        hz_checkpoint_put_back(e, flags & ANSWER);
    return 0;
}

static int take_service(struct hz_desk *desk, struct hz_carry_in *in, struct hz_service **ret_service)
{
    struct hz_workflow *workflow;
    int err = hz_restart_take_workflow(in, &workflow);
    if (err)
        return err;
    enum hz_service_kind kind = (enum hz_service_kind)hz_carry_take_most(in, HZ_SERVICE_POOL);
    struct hz_service *service = hz_service_new(desk->yard, kind, workflow, hz_carry_take_most(in, 1));
    if (!service)
        return HZ_ENOMEM;
    service->parked = hz_carry_take_most(in, 1);
    hz_carry_take_text(in, service->reason, sizeof service->reason);
    service->last_worker = take_id(in);
    hz_carry_take_text(in, service->last_text, sizeof service->last_text);
    service->restarts = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    service->end_count = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    service->backoff_ms = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    for (unsigned i = 0; i < HZ_SERVICE_ENDS; i++)
        service->ends_ns[i] = hz_carry_take(in);
    uint64_t due = hz_carry_take(in);
    bool activation = hz_carry_take_most(in, 1);
    if (in->bad || activation != (kind == HZ_SERVICE_ACTIVATION))
        return impossible();
    if (due)
        hz_service_wait(service, due);
    *ret_service = service;
    return activation ? take_execution(desk, NULL, service, in) : 0;
}

static int take_worker(struct hz_desk *desk, struct hz_service **services, size_t service_count, struct hz_carry_in *in)
{
    struct hz_worker *w = NULL;
    uint64_t number = NO_SERVICE;
    int err = hz_worker_adopt(desk->yard, in, &number, &w);
    if (err)
        return err;
    struct hz_service *service = number < service_count ? services[number] : NULL;
    if ((number != NO_SERVICE && (!service || service->worker)) ||
            (w->purpose == HZ_PURPOSE_RESIDENT) != (service != NULL))
        return impossible();
    w->service = service;
    if (service)
        service->worker = w;
    if (w->purpose == HZ_PURPOSE_SINGLE) {
        desk->single_live++;
        desk->single_starting += w->counted_starting;
    }
    size_t count = hz_carry_take_count(in, EXECUTIONS_MOST);
    for (size_t i = 0; i < count && !err; i++)
        err = take_execution(desk, w, service && service->kind == HZ_SERVICE_POOL ? service : NULL, in);
    return err ? err : in->bad ? impossible() : 0;
}

int hz_desk_adopt(struct hz_desk *desk, struct hz_carry_in *in)
{
    desk->next_number = hz_carry_take(in);
    desk->next_ticket = hz_carry_take(in);
    take_rates(desk, in);
    size_t service_count = hz_carry_take_count(in, SERVICES_MOST);
    struct hz_service **services = calloc(service_count + 1, sizeof(struct hz_service *));
    if (!services)
        return hz_err_set(HZ_ENOMEM, "services");
    int err = 0;
    for (size_t i = 0; i < service_count && !err; i++)
        err = take_service(desk, in, &services[i]);
    size_t workers = err ? 0 : hz_carry_take_count(in, WORKERS_MOST);
    for (size_t i = 0; i < workers && !err; i++)
        err = take_worker(desk, services, service_count, in);
    free(services);
    return err ? err : in->bad ? impossible() : 0;
}
