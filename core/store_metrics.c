/*
 * store_metrics.c - samples thinned with age: a second's for an hour, a minute's for a day, a quarter of an hour's for a year; and
 * their reads. Thinning runs on the writer thread, reads on any.
 */
#include "store_db.h"

#include <string.h>

#define LATE_S 5 /* samples of a span that arrive later than this after its end are not in its mean */

enum how { MEAN, MAX, SUM };
static const struct {
    const char *key;
    enum how how;
} fields[] = {
#define FIELD(name, key, how) {key, how},
        HZ_STORE_METRICS(FIELD)
#undef FIELD
};
#define FIELDS HZ_COUNT_OF(fields)
_Static_assert(sizeof(struct hz_store_metric) == FIELDS * sizeof(double), "a sample is its numbers and nothing else");

static const struct {
    int64_t step_s, keep_s;
} levels[] = {{1, 3600}, {60, 86400}, {900, INT64_C(366) * 86400}};

static int get_number(struct hz_store_connection *c, enum hz_store_sql which, int64_t step_s, int64_t *ret)
{
    sqlite3_stmt *s = hz_store_statement(c, which);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, step_s);
    int code = sqlite3_step(s);
    int err = code == SQLITE_ROW ? 0 : hz_store_db_error(c->db, "thinning samples");
    *ret = !err && sqlite3_column_type(s, 0) != SQLITE_NULL ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    return err;
}

/* What has other numbers than this program's is cut or filled with zeros: fields are only ever added at the end. */
static void sample_of(sqlite3_stmt *s, int column, double ret[FIELDS])
{
    size_t len = (size_t)sqlite3_column_bytes(s, column);
    memset(ret, 0, FIELDS * sizeof *ret);
    if (len)
        memcpy(ret, sqlite3_column_blob(s, column), HZ_MIN(len, FIELDS * sizeof *ret));
}

static int length_of(const double sample[FIELDS])
{
    size_t n = FIELDS;
    while (n > 0 && sample[n - 1] == 0)
        n--;
    return (int)(n * sizeof *sample);
}

int hz_store_metric_len(const struct hz_store_metric *sample)
{
    double numbers[FIELDS];
    memcpy(numbers, sample, sizeof numbers);
    return length_of(numbers);
}

static int put(struct hz_store_connection *c, int64_t step_s, int64_t at_s, const char *subject, const double sum[FIELDS], int64_t count)
{
    double sample[FIELDS];
    for (size_t i = 0; i < FIELDS; i++)
        sample[i] = fields[i].how == MEAN ? sum[i] / (double)count : sum[i];
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_METRIC);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, step_s);
    sqlite3_bind_int64(s, 2, at_s);
    sqlite3_bind_text(s, 3, subject, -1, SQLITE_STATIC);
    sqlite3_bind_blob(s, 4, sample, length_of(sample), SQLITE_STATIC);
    int err = hz_store_step(c, s, "thinning samples");
    hz_store_retention_samples(sqlite3_changes(c->db));
    sqlite3_clear_bindings(s);
    return err;
}

struct span {
    char subject[160];
    double sum[FIELDS], last[FIELDS]; /* last: the sample whose weight in the means is not known yet */
    int64_t count, last_s; /* count: seconds of sum's means; last_s 0: none */
};

/* The last sample stands for the seconds up to the next one, or to the end of its span: what does not change is not written. */
static void add_last(struct span *span, int64_t next_s, int64_t step_s)
{
    int64_t weight = step_s == 1 ? HZ_MAX((int64_t)1, HZ_MIN(next_s - span->last_s, (int64_t)HZ_STORE_METRIC_HOLE)) : 1;
    for (size_t i = 0; i < FIELDS; i++)
        switch (fields[i].how) {
        case MEAN:
            span->sum[i] += span->last[i] * (double)weight;
            break;
        case MAX:
            span->sum[i] = HZ_MAX(span->sum[i], span->last[i]);
            break;
        case SUM:
            span->sum[i] += span->last[i];
            break;
        }
    span->count += weight;
}

static int roll_span(struct hz_store_connection *c, int64_t from_step, int64_t step_s, int64_t at_s)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_METRIC_SPAN);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, from_step);
    sqlite3_bind_int64(s, 2, at_s);
    sqlite3_bind_int64(s, 3, at_s + step_s);
    struct span span = {.count = 0};
    int code, err = 0;
    while (!err && (code = sqlite3_step(s)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(s, 0);
        bool other = span.last_s && name && strcmp(name, span.subject) != 0;
        if (span.last_s)
            add_last(&span, other ? at_s + step_s : sqlite3_column_int64(s, 2), from_step);
        if (other)
            err = put(c, step_s, at_s, span.subject, span.sum, span.count);
        if (other || !span.last_s) {
            memset(&span, 0, sizeof span);
            hz_store_column_copy(s, 0, span.subject, sizeof span.subject);
        }
        span.last_s = sqlite3_column_int64(s, 2);
        sample_of(s, 1, span.last);
    }
    if (!err && code != SQLITE_DONE)
        err = hz_store_db_error(c->db, "thinning samples");
    sqlite3_reset(s);
    if (err || !span.last_s)
        return err;
    add_last(&span, at_s + step_s, from_step);
    return put(c, step_s, at_s, span.subject, span.sum, span.count);
}

int hz_store_metrics_roll(struct hz_store_retention *retention, struct hz_store_connection *c, int64_t now_s)
{
    for (size_t level = 1; level < HZ_COUNT_OF(levels); level++) {
        int64_t step = levels[level].step_s, below = levels[level - 1].step_s, *rolled = &retention->rolled[level - 1];
        if (*rolled == 0) { /* go on where the last process was, or at the oldest sample */
            int64_t newest, oldest;
            int err = get_number(c, HZ_SQL_METRIC_NEWEST, step, &newest);
            if (!err)
                err = get_number(c, HZ_SQL_METRIC_OLDEST, below, &oldest);
            if (err)
                return err;
            if (newest == 0 && oldest == 0)
                continue;
            *rolled = HZ_MAX(newest ? newest + step : 0, oldest / step * step);
        }
        for (unsigned spans = 0; spans < 60 && *rolled + step + LATE_S <= now_s; spans++, *rolled += step) {
            int err = roll_span(c, below, step, *rolled);
            if (err)
                return err;
        }
    }
    for (size_t level = 0; level < HZ_COUNT_OF(levels); level++) {
        sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_METRIC_PRUNE);
        if (!s)
            return HZ_EFORMAT;
        sqlite3_bind_int64(s, 1, levels[level].step_s);
        sqlite3_bind_int64(s, 2, now_s - levels[level].keep_s);
        int err = hz_store_step(c, s, "forgetting samples");
        if (err)
            return err;
        hz_store_retention_samples(-sqlite3_changes(c->db));
    }
    return 0;
}

static json_t *sample_json(int64_t at_s, const double sample[FIELDS])
{
    json_t *object = json_pack("{s:I}", "at", (json_int_t)at_s);
    for (size_t i = 0; object && i < FIELDS; i++)
        if (json_object_set_new(object, fields[i].key, json_real(sample[i]))) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

/* Reads samples into an array; fill: seconds without one are made up of the one before. False: out of memory. */
static bool collect(sqlite3_stmt *s, bool fill, json_t *samples, int *ret_code)
{
    double sample[FIELDS], next[FIELDS];
    int64_t at_s = 0;
    bool ok = true;
    while (ok && json_array_size(samples) < HZ_STORE_METRICS_MOST && (*ret_code = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t next_s = sqlite3_column_int64(s, 0);
        sample_of(s, 1, next);
        if (fill && at_s && next_s - at_s <= HZ_STORE_METRIC_HOLE) {
            for (size_t i = 0; i < FIELDS; i++)
                sample[i] = fields[i].how == SUM ? 0 : sample[i];
            while (ok && ++at_s < next_s && json_array_size(samples) < HZ_STORE_METRICS_MOST)
                ok = json_array_append_new(samples, sample_json(at_s, sample)) == 0;
        }
        at_s = next_s;
        memcpy(sample, next, sizeof sample);
        if (ok && json_array_size(samples) < HZ_STORE_METRICS_MOST)
            ok = json_array_append_new(samples, sample_json(at_s, sample)) == 0;
    }
    return ok;
}

bool hz_store_metric_known(const char *subject)
{
    hz_store_wait_settled(100);
    struct hz_store_connection *c = hz_store_reader_take();
    sqlite3_stmt *s = c ? hz_store_statement(c, HZ_SQL_METRIC_KNOWN) : NULL;
    bool known = false;
    if (s) {
        hz_store_bind_text(s, 1, subject);
        known = sqlite3_step(s) == SQLITE_ROW;
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
    }
    if (c)
        hz_store_reader_give(c);
    return known;
}

json_t *hz_store_metrics(const char *subject, int64_t from_s, int64_t to_s, uint32_t step_s)
{
    int64_t age = hz_base_wall_ms() / 1000 - from_s;
    for (size_t i = 0; step_s == 0 && i < HZ_COUNT_OF(levels); i++)
        if (age <= levels[i].keep_s || i + 1 == HZ_COUNT_OF(levels))
            step_s = (uint32_t)levels[i].step_s;
    hz_store_wait_settled(100);
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return NULL;
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_METRICS);
    json_t *samples = s ? json_array() : NULL;
    int code = SQLITE_DONE;
    bool ok = true;
    if (s) {
        sqlite3_bind_int64(s, 1, step_s);
        hz_store_bind_text(s, 2, subject);
        sqlite3_bind_int64(s, 3, from_s);
        sqlite3_bind_int64(s, 4, to_s);
    }
    if (samples)
        ok = collect(s, step_s == 1, samples, &code);
    if (samples && (!ok || (code != SQLITE_DONE && code != SQLITE_ROW))) {
        (void)(ok ? hz_store_db_error(c->db, "reading samples") : hz_err_set(HZ_ENOMEM, "reading samples"));
        json_decref(samples);
        samples = NULL;
    }
    if (s) {
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
    }
    hz_store_reader_give(c);
    return samples ? json_pack("{s:i, s:o}", "step", (int)step_s, "samples", samples) : NULL;
}
