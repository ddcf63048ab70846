/*
 * lists.c - lists that come out of the store: executions, activations, dead letters, crash reports. Read on a thread of libuv's pool: a list
 * may look at many rows, and a shard has others to serve. What lives is looked at on the shard. A page goes on by a cursor, which names
 * the last row it had.
 */
#include "internal.h"

#include "core/scheduler.h"
#include "core/shard.h"
#include "core/store.h"

#include "shm/err.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 64 }; /* more wait in vain */

struct listing {
    uv_work_t work;
    int (*read)(struct listing *listing);
    hz_api_done_fn *done;
    void *arg;
    char *workflow_id;
    struct hz_store_filter filter;
    struct hz_uuid before; /* of a list of what lives */
    bool live;
    struct hz_store_execution *rows;
    size_t count;
    struct hz_json json;
    char error[256];
};
static _Atomic unsigned under_way; /* relaxed: a bound, not an order */

static void add_rows(struct listing *listing);

static void run(uv_work_t *work)
{
    struct listing *listing = work->data;
    if (listing->read(listing)) {
        hz_json_fini(&listing->json);
        snprintf(listing->error, sizeof listing->error, "%s", hz_err_last());
    }
}

static void after(uv_work_t *work, int status)
{
    struct listing *listing = work->data;
    atomic_fetch_sub_explicit(&under_way, 1, memory_order_relaxed);
    if (listing->rows)
        add_rows(listing);
    if (status || listing->error[0])
        hz_api_fail(listing->done, listing->arg, 500, listing->error[0] ? listing->error : "the list was not read");
    else
        hz_api_answer(listing->done, listing->arg, 200, &listing->json);
    free(listing->workflow_id);
    free(listing);
}

/* Takes the listing. */
static void begin(struct listing *listing, const char *workflow_id, hz_api_done_fn *done, void *arg)
{
    listing->done = done;
    listing->arg = arg;
    listing->work.data = listing;
    listing->workflow_id = workflow_id ? strdup(workflow_id) : NULL;
    listing->filter.workflow_id = listing->workflow_id;
    bool whole = !workflow_id || listing->workflow_id;
    bool room = atomic_fetch_add_explicit(&under_way, 1, memory_order_relaxed) < AT_ONCE;
    if (whole && room && uv_queue_work(hz_shard_loop(hz_shard_self()), &listing->work, run, after) == 0)
        return;
    atomic_fetch_sub_explicit(&under_way, 1, memory_order_relaxed);
    done(arg, &(struct hz_api_result){.status = 503, .retry_after_s = 1, .error = "too many lists are read at once"});
    free(listing->workflow_id);
    free(listing);
}

/* ---- executions ---- */

/* Takes the rows. */
static void add_rows(struct listing *listing)
{
    struct hz_store_execution *rows = listing->rows;
    size_t count = listing->count;
    struct hz_json *json = &listing->json;
    const struct hz_store_execution *last = count == listing->filter.limit ? &rows[count - 1] : NULL;
    char next[64], id[HZ_UUID_TEXT];
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "executions");
    hz_json_open(json, '[');
    for (size_t i = 0; i < count; i++) {
        struct hz_store_execution now;
        /* What the store has of one that lives is as old as its acceptance. */
        if (rows[i].state < HZ_EXEC_SUCCESS && !listing->live && hz_scheduler_live(&rows[i].id, &now)) {
            hz_json_execution(json, &now, false);
            hz_store_execution_fini(&now);
        } else {
            hz_json_execution(json, &rows[i], false);
        }
    }
    hz_json_close(json, ']');
    HZ_JSON_KEY(json, "next");
    if (last && listing->live) {
        hz_uuid_format(&last->id, id);
        snprintf(next, sizeof next, "%" PRId64 "-%s", last->created_wall_ms, id);
        hz_json_text(json, next);
    } else if (last) {
        snprintf(next, sizeof next, "%" PRId64 "-%" PRId64, last->created_wall_ms, last->sequence);
        hz_json_text(json, next);
    } else {
        hz_json_null(json);
    }
    hz_json_close(json, '}');
    for (size_t i = 0; i < count; i++)
        hz_store_execution_fini(&rows[i]);
    free(rows);
    listing->rows = NULL;
}

static int read_executions(struct listing *listing)
{
    int err = hz_store_list(&listing->filter, &listing->rows, &listing->count);
    if (!err && !listing->rows) /* none is a list too */
        add_rows(listing);
    return err;
}

static void list_live(struct listing *listing, const char *workflow_id, hz_api_done_fn *done, void *arg)
{
    const struct hz_store_filter *filter = &listing->filter;
    if (hz_scheduler_list_live(workflow_id, filter->state, filter->before_ms, filter->before_ms ? &listing->before : NULL, filter->limit,
                &listing->rows, &listing->count)) {
        hz_api_fail(done, arg, 500, hz_err_last());
    } else {
        add_rows(listing);
        hz_api_answer(done, arg, 200, &listing->json);
    }
    free(listing);
}

static bool is_cursor(struct listing *listing, const char *text)
{
    int used = 0;
    struct hz_store_filter *filter = &listing->filter;
    if (*text < '1' || *text > '9' || sscanf(text, "%18" SCNd64 "-%n", &filter->before_ms, &used) != 1 || used == 0)
        return false;
    text += used;
    if (listing->live)
        return hz_uuid_parse(text, strlen(text), &listing->before);
    used = 0;
    return *text >= '0' && *text <= '9' && sscanf(text, "%18" SCNd64 "%n", &filter->before_sequence, &used) == 1 && text[used] == 0;
}

void hz_api_executions_list(const struct hz_api_list *list, hz_api_done_fn *done, void *arg)
{
    enum hz_exec_state state = list->state ? hz_json_execution_state(list->state) : 0;
    if (list->state && !state) {
        hz_api_fail(done, arg, 400, "state is one of queued, running, waiting, success, failed, cancelled, timed_out, crashed, interrupted");
        return;
    }
    struct listing *listing = calloc(1, sizeof *listing);
    if (!listing) {
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
        return;
    }
    listing->read = read_executions;
    listing->live = !list->activations && !list->dead && state && state < HZ_EXEC_SUCCESS;
    listing->filter = (struct hz_store_filter){
            .state = state, .activations = list->activations, .dead = list->dead, .limit = (size_t)list->limit};
    if (list->cursor && !is_cursor(listing, list->cursor)) {
        free(listing);
        hz_api_fail(done, arg, 400, "cursor: expected the `next` of the page before, of the same list");
        return;
    }
    if (listing->live)
        list_live(listing, list->workflow_id, done, arg);
    else
        begin(listing, list->workflow_id, done, arg);
}

/* ---- crash reports ---- */

static int read_crashes(struct listing *listing)
{
    const struct hz_store_filter *filter = &listing->filter;
    struct hz_json *json = &listing->json;
    struct hz_store_crash *list;
    size_t count;
    int err = hz_store_crash_list(filter->workflow_id, filter->before_sequence, filter->limit, &list, &count);
    if (err)
        return err;
    hz_json_open(json, '{');
    HZ_JSON_KEY(json, "crashes");
    hz_json_open(json, '[');
    for (size_t i = 0; i < count; i++)
        hz_json_crash(json, &list[i]);
    hz_json_close(json, ']');
    HZ_JSON_KEY(json, "next");
    if (count == filter->limit) {
        char next[32];
        snprintf(next, sizeof next, "%" PRId64, list[count - 1].sequence);
        hz_json_text(json, next);
    } else {
        hz_json_null(json);
    }
    hz_json_close(json, '}');
    for (size_t i = 0; i < count; i++)
        hz_store_crash_fini(&list[i]);
    free(list);
    return 0;
}

void hz_api_crashes_list(const char *workflow_id, uint64_t limit, uint64_t cursor, hz_api_done_fn *done, void *arg)
{
    struct listing *listing = calloc(1, sizeof *listing);
    if (!listing) {
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
        return;
    }
    listing->read = read_crashes;
    listing->filter = (struct hz_store_filter){.limit = (size_t)limit, .before_sequence = (int64_t)cursor};
    begin(listing, workflow_id, done, arg);
}
