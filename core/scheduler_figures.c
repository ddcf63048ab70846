/* scheduler_figures.c - what a desk tells of itself once a second: executions that wait, by workflow, and how those
 * that ended did. */
#include "executions.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct hz_tally {                       /* ends of one workflow since the last look */
    const struct hz_workflow *workflow; /* only compared: it may be gone */
    char id[128];
    uint32_t ended, failed;
};

#define TALLIES           256u /* a power of 2 */
#define PROBES            16u
#define SINGLES_LOOKED_AT 256u

void hz_figures_count(struct hz_desk *desk, const struct hz_workflow *workflow, enum hz_exec_state state)
{
    if (state == HZ_EXEC_CANCELLED)
        return;
    if (!desk->tallies)
        desk->tallies = calloc(TALLIES, sizeof *desk->tallies);
    size_t at = (size_t)((uintptr_t)workflow / sizeof(max_align_t));
    at ^= at >> 9;
    for (size_t i = 0; desk->tallies && i < PROBES; i++) {
        struct hz_tally *tally = &desk->tallies[(at + i) & (TALLIES - 1)];
        if (!tally->workflow) {
            tally->workflow = workflow;
            memcpy(tally->id, workflow->id, sizeof tally->id);
        } else if (tally->workflow != workflow || strcmp(tally->id, workflow->id) != 0) {
            continue;
        }
        tally->ended++;
        tally->failed += state != HZ_EXEC_SUCCESS;
        desk->tallied = true;
        return;
    }
}

struct figures {
    struct hz_figure *list;
    size_t count, capacity;
    int64_t now_ns;
    struct hz_figure nowhere;
    bool failed;
};

static struct hz_figure *of(struct figures *f, const char *id)
{
    for (size_t i = f->count; i-- > 0;)
        if (strcmp(f->list[i].workflow_id, id) == 0)
            return &f->list[i];
    if (f->count == f->capacity) {
        size_t capacity = f->capacity ? 2 * f->capacity : 16;
        struct hz_figure *grown = realloc(f->list, capacity * sizeof *grown);
        if (!grown) {
            f->failed = true;
            return &f->nowhere;
        }
        f->list = grown;
        f->capacity = capacity;
    }
    struct hz_figure *figure = &f->list[f->count++];
    memset(figure, 0, sizeof *figure);
    strncpy(figure->workflow_id, id, sizeof figure->workflow_id - 1);
    return figure;
}

static void add_wait(struct figures *f, const char *id, uint32_t waiting, int64_t since_ns)
{
    struct hz_figure *figure = of(f, id);
    figure->waiting += waiting;
    figure->oldest_ms = HZ_MAX(figure->oldest_ms, (f->now_ns - since_ns) / 1000000);
}

static void add_lanes(struct figures *f, struct hz_queues *queues)
{
    struct hz_queue_lane *lane;
    cds_list_for_each_entry(lane, &queues->lanes, all_node)
    {
        int64_t oldest = INT64_MAX;
        for (unsigned i = 0; i <= HZ_PRIORITY_MOST && lane->waiting > 0; i++)
            if (!cds_list_empty(&lane->items[i]))
                oldest = HZ_MIN(oldest, cds_list_first_entry(&lane->items[i], struct hz_queue_item, node)->since_ns);
        if (oldest != INT64_MAX)
            add_wait(f, lane->workflow_id, lane->waiting, oldest);
    }
}

int hz_figures_take(struct hz_figure **ret_list, size_t *ret_count)
{
    struct hz_desk *desk = hz_desk_here();
    struct figures f = {.now_ns = (int64_t)hz_base_now_ns()};
    *ret_list = NULL;
    *ret_count = 0;
    if (!desk || desk->ending)
        return 0;
    add_lanes(&f, &desk->queues);
    /* Whose turn it was and that no worker has taken yet: behind one that does not come up, they wait here. */
    struct hz_execution *e;
    unsigned looked = 0;
    cds_list_for_each_entry(e, &desk->singles, node)
    {
        if (++looked > SINGLES_LOOKED_AT)
            break;
        if (e->item.place == HZ_ITEM_TAKEN)
            add_wait(&f, e->workflow->id, 1, e->item.since_ns);
    }
    struct hz_service *service;
    cds_list_for_each_entry(service, &desk->yard->services, node)
    {
        e = cds_list_empty(&service->queue) ? NULL : cds_list_first_entry(&service->queue, struct hz_execution, node);
        if (e && e->item.place == HZ_ITEM_TAKEN)
            add_wait(&f, service->workflow->id, service->queued, e->item.since_ns);
    }
    for (size_t i = 0; desk->tallied && i < TALLIES; i++) {
        const struct hz_tally *tally = &desk->tallies[i];
        if (!tally->workflow)
            continue;
        struct hz_figure *figure = of(&f, tally->id);
        figure->ended += tally->ended;
        figure->failed += tally->failed;
    }
    if (desk->tallied)
        memset(desk->tallies, 0, TALLIES * sizeof *desk->tallies);
    desk->tallied = false;
    if (f.failed) {
        free(f.list);
        return hz_err_set(HZ_ENOMEM, "figures");
    }
    *ret_list = f.list;
    *ret_count = f.count;
    return 0;
}
