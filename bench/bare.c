/* bare.c - what bare.h says. */
#include "bare.h"

#include "core/store_db.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BATCH 100u
#define SYNCS 200u
#define FINAL 4 /* of the states, the first that is over */

static bool execute(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

struct writing { /* one commit's rows */
    sqlite3 *db;
    sqlite3_stmt *insert, *input, *update, *result;
    unsigned char ids[BATCH][16];
};

static bool step(sqlite3_stmt *s)
{
    bool good = sqlite3_step(s) == SQLITE_DONE;
    sqlite3_reset(s);
    return good;
}

static bool insert_row(struct writing *w, unsigned i)
{
    sqlite3_bind_blob(w->insert, 1, w->ids[i], 16, SQLITE_STATIC);
    return step(w->insert) && step(w->input);
}

static bool update_row(struct writing *w, unsigned i, int state)
{
    sqlite3_bind_blob(w->update, 1, w->ids[i], 16, SQLITE_STATIC);
    sqlite3_bind_int(w->update, 2, state);
    if (!step(w->update))
        return false;
    if (state < FINAL)
        return true;
    sqlite3_bind_blob(w->result, 1, w->ids[i], 16, SQLITE_STATIC);
    return step(w->result);
}

static bool write_batch(struct writing *w, int state)
{
    bool good = execute(w->db, "BEGIN");
    for (unsigned i = 0; good && i < BATCH; i++)
        good = state ? update_row(w, i, state) : insert_row(w, i);
    return good && execute(w->db, "COMMIT");
}

static bool prepare(struct writing *w, const char *sql, sqlite3_stmt **ret)
{
    return sqlite3_prepare_v2(w->db, sql, -1, ret, NULL) == SQLITE_OK;
}

double hz_bench_bare_rate(const char *directory, uint32_t total, unsigned updates)
{
    char path[512];
    struct hz_store_connection connection;
    struct writing w = {0};
    snprintf(path, sizeof path, "%s/bare.db", directory);
    if (hz_store_connect(path, HZ_STORE_WRITER, &connection)) /* the store's own settings, tables, indices */
        return 0;
    w.db = connection.db;
    bool good = hz_store_schema(path, &connection) == 0 &&
            prepare(&w, "INSERT INTO executions (id,workflow_id,version,cause,state,attempt,is_activation,created_ms,started_ms,ended_ms,"
                        "worker_id,node_runs,cpu_ns,peak_bytes) VALUES (?1,'durable','0.0.1','bench',1,1,0,1790000000000,0,0,'',0,0,0)",
                    &w.insert) &&
            prepare(&w, "INSERT INTO payloads (sequence,input,input_sum) VALUES (last_insert_rowid(),'{}',1234567890123)", &w.input) &&
            prepare(&w, "UPDATE executions SET state=?2,started_ms=1790000000001,ended_ms=1790000000002,node_runs=5,cpu_ns=12345,"
                        "worker_id='01234567-89ab-4cde-8f01-23456789abcd',bytes_in=2,bytes_out=2 WHERE id=?1",
                    &w.update) &&
            prepare(&w, "UPDATE payloads SET result='{}',result_sum=1234567890123"
                        " WHERE sequence=(SELECT sequence FROM executions WHERE id=?1)",
                    &w.result);
    uint64_t begun = hz_base_now_ns();
    for (uint32_t at = 0; good && at < total; at += BATCH) {
        hz_base_random(w.ids, sizeof w.ids);
        good = write_batch(&w, 0);
        for (unsigned n = 1; good && n <= updates; n++)
            good = write_batch(&w, n == updates ? FINAL : 2);
    }
    double seconds = (double)(hz_base_now_ns() - begun) / 1e9;
    sqlite3_finalize(w.insert);
    sqlite3_finalize(w.input);
    sqlite3_finalize(w.update);
    sqlite3_finalize(w.result);
    hz_store_disconnect(&connection);
    return good ? total / seconds : 0;
}

double hz_bench_sync_ms(const char *directory)
{
    char path[512], block[4096];
    double ms[SYNCS];
    memset(block, 'x', sizeof block);
    snprintf(path, sizeof path, "%s/sync", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    for (unsigned i = 0; i < SYNCS && good; i++) {
        uint64_t begun = hz_base_now_ns();
        good = write(fd, block, sizeof block) == (ssize_t)sizeof block && fdatasync(fd) == 0;
        ms[i] = (double)(hz_base_now_ns() - begun) / 1e6;
    }
    if (fd >= 0)
        close(fd);
    return good ? hz_bench_median(ms, SYNCS) : 0;
}
