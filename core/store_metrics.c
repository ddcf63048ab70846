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
    sqlite3_bind_blob(s, 4, sample, sizeof sample, SQLITE_STATIC);
    int err = hz_store_step(c, s, "thinning samples");
    sqlite3_clear_bindings(s);
    return err;
}

static int roll_span(struct hz_store_connection *c, int64_t from_step, int64_t step_s, int64_t at_s)
{
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_METRIC_SPAN);
    if (!s)
        return HZ_EFORMAT;
    sqlite3_bind_int64(s, 1, from_step);
    sqlite3_bind_int64(s, 2, at_s);
    sqlite3_bind_int64(s, 3, at_s + step_s);
    char subject[160] = "";
    double sum[FIELDS] = {0}, one[FIELDS];
    int64_t count = 0;
    int code, err = 0;
    while (!err && (code = sqlite3_step(s)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(s, 0);
        if (count && name && strcmp(name, subject) != 0) {
            err = put(c, step_s, at_s, subject, sum, count);
            count = 0;
        }
        if (count == 0) {
            memset(sum, 0, sizeof sum);
            hz_store_column_copy(s, 0, subject, sizeof subject);
        }
        sample_of(s, 1, one);
        for (size_t i = 0; i < FIELDS; i++)
            sum[i] = fields[i].how == MAX ? HZ_MAX(sum[i], one[i]) : sum[i] + one[i];
        count++;
    }
    if (!err && code != SQLITE_DONE)
        err = hz_store_db_error(c->db, "thinning samples");
    sqlite3_reset(s);
    return err || count == 0 ? err : put(c, step_s, at_s, subject, sum, count);
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
    }
    return 0;
}

static json_t *sample_json(sqlite3_stmt *s)
{
    double sample[FIELDS];
    sample_of(s, 1, sample);
    json_t *object = json_pack("{s:I}", "at", (json_int_t)sqlite3_column_int64(s, 0));
    for (size_t i = 0; object && i < FIELDS; i++)
        if (json_object_set_new(object, fields[i].key, json_real(sample[i]))) {
            json_decref(object);
            object = NULL;
        }
    return object;
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
    if (s) {
        sqlite3_bind_int64(s, 1, step_s);
        hz_store_bind_text(s, 2, subject);
        sqlite3_bind_int64(s, 3, from_s);
        sqlite3_bind_int64(s, 4, to_s);
    }
    while (samples && (code = sqlite3_step(s)) == SQLITE_ROW)
        if (json_array_append_new(samples, sample_json(s))) {
            json_decref(samples);
            samples = NULL;
        }
    if (samples && code != SQLITE_DONE) {
        (void)hz_store_db_error(c->db, "reading samples");
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
