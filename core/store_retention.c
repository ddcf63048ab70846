/*
 * store_retention.c - what is forgotten, so that the file keeps below its bound: finished executions beyond a number, an age, a size;
 * log lines and samples beyond an age, and the oldest of them when the file grows. Writer thread only.
 *
 * By size: pages in use (not the free ones) may fill the bound less a reserve for the log (-wal) and the batch at hand. What is deleted
 * leaves free pages that the next rows take; those that nobody takes are given back between batches. Log lines and samples have a
 * share of the bound each, so that they never push executions out: the oldest lines, the finest samples go at its end.
 */
#include "store_db.h"

#include "shm/log.h"

#define EVERY_ROWS 1024u                  /* between two looks at number and size */
#define TICK_NS UINT64_C(1000000000)
#define WAL_RESERVE (UINT64_C(24) << 20)  /* the log's limit and a large batch */
#define DAY_MS INT64_C(86400000)
#define LOG_DAYS 7
#define FREE_PAGES 512                    /* fewer are kept for the next rows */
#define VACUUM_STEP "PRAGMA incremental_vacuum(256)"
#define SHARE 4u                          /* of the bound, for log lines and for samples */
#define LINE_BYTES 64u                    /* of a line besides its text and workflow, with its place in the index */
#define SAMPLE_BYTES 320u                 /* of a sample with its place in the index, at most */
#define SWEEP_ROWS 2000u                  /* looked at at once: the limit of its statement */
#define SWEEPS 8u                         /* rows that stay may stand in front of those that go */
#define CRASH_BYTES 256u                  /* of a crash besides its report */
#define CRASHES_LEAST 100u
#define EVENT_BYTES 128u                  /* of an event besides its text */
#define EVENTS_MOST 4000.0
#define CRASHES_MOST 500.0                /* forgotten in one look */
#define DEAD_ROWS 2000u                   /* deleted in one look at most: keeps a batch short */

bool hz_store_retention_due(const struct hz_store_retention *retention)
{
    return hz_base_now_ns() >= retention->next_tick_ns;
}

static int pages(struct hz_store_connection *c, uint64_t *ret_used, uint64_t *ret_free, uint64_t *ret_size)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_PAGES);
    if (!s)
        return HZ_EFORMAT;
    int err = sqlite3_step(s) == SQLITE_ROW ? 0 : hz_store_db_error(c->db, "measuring the file");
    if (!err) {
        *ret_free = (uint64_t)sqlite3_column_int64(s, 1);
        *ret_used = (uint64_t)sqlite3_column_int64(s, 0) - *ret_free;
        *ret_size = (uint64_t)sqlite3_column_int64(s, 2);
    }
    sqlite3_reset(s);
    return err;
}

/* Bytes in use beyond the bound; 0: below it. */
static int excess(struct hz_store_connection *c, uint64_t *ret)
{
    uint64_t bound = hz_store_bounds()->max_bytes, used, unused, size;
    *ret = 0;
    if (bound == 0)
        return 0;
    int err = pages(c, &used, &unused, &size);
    uint64_t reserve = HZ_MIN(WAL_RESERVE, bound / 2);
    if (!err && used * size > bound - reserve)
        *ret = used * size - (bound - reserve);
    return err;
}

static int delete_execution(struct hz_store_connection *c, int64_t sequence)
{
    static const enum hz_store_sql parts[] = {HZ_SQL_DELETE_PAYLOAD, HZ_SQL_DELETE_NODE_RUNS, HZ_SQL_DELETE_EXECUTION};
    int err = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(parts) && !err; i++) {
        sqlite3_stmt *s = hz_store_statement(c, parts[i]);
        if (!s)
            return HZ_EFORMAT;
        sqlite3_bind_int64(s, 1, sequence);
        err = hz_store_step(c, s, "forgetting old executions");
    }
    return err;
}

static int newest(struct hz_store_connection *c, int64_t *ret)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_NEWEST);
    if (!s)
        return HZ_EFORMAT;
    int err = sqlite3_step(s) == SQLITE_ROW ? 0 : hz_store_db_error(c->db, "forgetting old executions");
    *ret = err ? 0 : sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return err;
}

/* From the oldest on, at most 2,000 rows looked at; open rows are passed over, the cursor remembers them until it is at the end of
 * what is to go. */
static int sweep(struct hz_store_retention *r, struct hz_store_connection *c, bool too_large, bool *ret_again)
{
    const struct hz_store_options *bounds = hz_store_bounds();
    int64_t last, oldest_ms = bounds->history_days ? hz_base_wall_ms() - bounds->history_days * DAY_MS : INT64_MIN;
    int err = newest(c, &last);
    sqlite3_stmt *s = err ? NULL : hz_store_statement(c, HZ_SQL_SWEEP);
    if (!s)
        return err ? err : HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, r->cursor);
    int64_t gone[DEAD_ROWS];
    size_t count = 0, looked = 0;
    bool done = false;
    int code = SQLITE_DONE;
    while (!done && count < HZ_COUNT_OF(gone) && (code = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t sequence = sqlite3_column_int64(s, 0);
        bool open = sqlite3_column_int(s, 1) < HZ_EXEC_SUCCESS, letter = sqlite3_column_int(s, 3) != 0;
        bool old = sqlite3_column_int64(s, 2) < oldest_ms, surplus = sequence <= last - (int64_t)bounds->history;
        looked++;
        if (!open && (old || too_large || (surplus && !letter)))
            gone[count++] = sequence;
        done = !old && !surplus && !too_large; /* all behind it are younger */
        if (!done)
            r->cursor = sequence;
    }
    sqlite3_reset(s);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return hz_store_db_error(c->db, "forgetting old executions");
    bool end = done || (code == SQLITE_DONE && looked < SWEEP_ROWS); /* of what is to go, or of the table */
    *ret_again = !end && count == 0;
    if (end && count == 0)
        r->cursor = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = delete_execution(c, gone[i]);
    return err;
}

static int prune_logs(struct hz_store_connection *c, int64_t before_ms, int most)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_LOG_PRUNE);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, before_ms);
    sqlite3_bind_int(s, 2, most);
    return hz_store_step(c, s, "forgetting log lines");
}

static int64_t samples; /* in the file; writer thread */

void hz_store_retention_samples(int64_t more)
{
    samples += more;
}

/* The finest first: what is left of them are their minutes and quarters. */
static int prune_samples(struct hz_store_connection *c)
{
    static const int steps[] = {1, 60, 900};
    for (size_t i = 0; i < HZ_COUNT_OF(steps); i++) {
        sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_METRIC_PRUNE);
        if (!s)
            return HZ_EFORMAT;
        sqlite3_bind_int(s, 1, steps[i]);
        sqlite3_bind_int64(s, 2, INT64_MAX);
        int err = hz_store_step(c, s, "forgetting samples");
        int gone = err ? 0 : sqlite3_changes(c->db);
        hz_store_retention_samples(-gone);
        if (err || gone > 0)
            return err;
    }
    return 0;
}

static int number(struct hz_store_connection *c, enum hz_store_sql which, double *ret)
{
    sqlite3_stmt *s = hz_store_statement(c, which);
    if (!s)
        return HZ_EFORMAT;
    int err = sqlite3_step(s) == SQLITE_ROW ? 0 : hz_store_db_error(c->db, "measuring the history");
    *ret = err ? 0 : sqlite3_column_double(s, 0);
    sqlite3_reset(s);
    return err;
}

static int bounded(struct hz_store_connection *c, enum hz_store_sql which, int64_t bound)
{
    sqlite3_stmt *s = hz_store_statement(c, which);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, bound);
    return hz_store_step(c, s, "forgetting what is old");
}

/* A flow that dies all the time leaves reports faster than they grow old. */
static int share_crashes(struct hz_store_connection *c, double share)
{
    double reports, width = 0;
    int err = number(c, HZ_SQL_CRASH_SPAN, &reports);
    if (err || reports <= CRASHES_LEAST)
        return err;
    err = number(c, HZ_SQL_CRASH_WIDTH, &width);
    double room = HZ_MAX(share / (width + CRASH_BYTES), (double)CRASHES_LEAST);
    return !err && reports > room ? bounded(c, HZ_SQL_CRASH_OLDEST, (int64_t)HZ_MIN(reports - room, CRASHES_MOST)) : err;
}

/* Events are kept by age and number; a bound that is small for them takes the oldest. */
static int share_events(struct hz_store_connection *c)
{
    double share = (double)hz_store_bounds()->max_bytes / SHARE / 2, events, width = 0;
    if (share <= 0)
        return 0;
    int err = number(c, HZ_SQL_EVENT_COUNT, &events);
    if (err || events <= CRASHES_LEAST)
        return err;
    err = number(c, HZ_SQL_EVENT_WIDTH, &width);
    double room = HZ_MAX(share / (width + EVENT_BYTES), (double)CRASHES_LEAST);
    return !err && events > room ? bounded(c, HZ_SQL_EVENT_OLDEST, (int64_t)HZ_MIN(events - room, EVENTS_MOST)) : err;
}

/* Lines and samples within their shares. Lines go from the oldest on, so that their numbers have no holes worth counting; the newest
 * 200 tell how long one is. */
static int share_out(struct hz_store_retention *r, struct hz_store_connection *c)
{
    double share = (double)hz_store_bounds()->max_bytes / SHARE, lines, width, count;
    if (share <= 0)
        return 0;
    int err = 0;
    if (!r->counted) {
        err = number(c, HZ_SQL_METRIC_COUNT, &count);
        if (!err)
            samples = (int64_t)count;
        r->counted = !err;
    }
    if (!err && (double)samples * SAMPLE_BYTES > share)
        err = prune_samples(c);
    if (!err)
        err = number(c, HZ_SQL_LOG_SPAN, &lines);
    if (!err && lines * LINE_BYTES > share / 64) /* few: not worth the look at their length */
        err = number(c, HZ_SQL_LOG_WIDTH, &width);
    else
        width = 0;
    if (!err && lines * (width + LINE_BYTES) > share)
        err = prune_logs(c, INT64_MAX, 4000);
    return err ? err : share_crashes(c, share / 2);
}

/* Once a second, whatever is written. */
static int tick(struct hz_store_retention *r, struct hz_store_connection *c)
{
    int64_t now_ms = hz_base_wall_ms(), days = hz_store_bounds()->history_days, oldest = days ? now_ms - days * DAY_MS : 0;
    int err = hz_store_metrics_roll(r, c, now_ms / 1000);
    if (!err)
        err = prune_logs(c, now_ms - LOG_DAYS * DAY_MS, 2000);
    if (!err)
        err = share_events(c);
    if (!err)
        err = bounded(c, HZ_SQL_CRASH_PRUNE, oldest);
    if (!err)
        err = bounded(c, HZ_SQL_ALERT_PRUNE, oldest);
    if (!err)
        err = bounded(c, HZ_SQL_COUNTER_PRUNE, oldest / 3600000);
    r->next_tick_ns = hz_base_now_ns() + TICK_NS;
    return err;
}

int hz_store_retain(struct hz_store_retention *r, struct hz_store_connection *c, uint64_t rows)
{
    bool due = hz_store_retention_due(r);
    r->rows += rows;
    if (!due && r->rows < EVERY_ROWS)
        return 0;
    r->rows = 0;
    uint64_t over;
    int err = share_out(r, c);
    if (!err)
        err = excess(c, &over);
    bool again = !err;
    for (unsigned i = 0; i < SWEEPS && again && !err; i++)
        err = sweep(r, c, over > 0, &again);
    /* Half of the room may be log lines and samples: they go with the executions. */
    if (!err && over > 0)
        err = prune_logs(c, INT64_MAX, 4000);
    if (!err && over > 0)
        err = prune_samples(c);
    if (!err && due)
        err = tick(r, c);
    return err;
}

bool hz_store_vacuum(struct hz_store_connection *c)
{
    uint64_t used, unused, size, left;
    if (pages(c, &used, &unused, &size) || unused <= FREE_PAGES)
        return false;
    if (hz_store_exec(c->db, VACUUM_STEP, "giving space back")) {
        HZ_LOG(WARN, "%s", hz_err_last());
        return false;
    }
    return pages(c, &used, &left, &size) == 0 && left < unused; /* a file that cannot shrink would keep us busy */
}
