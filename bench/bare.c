/* bare.c - what bare.h says. */
#include "bare.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BATCH 100u
#define SYNCS 200u

static bool execute(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool bind_and_step(sqlite3_stmt *s, uint32_t number, int state)
{
    char id[17];
    snprintf(id, sizeof id, "%016x", number);
    sqlite3_bind_text(s, 1, id, 16, SQLITE_TRANSIENT);
    sqlite3_bind_int(s, 2, state);
    for (int i = 3; i <= 12; i++)
        sqlite3_bind_int64(s, i, (sqlite3_int64)number + i);
    bool good = sqlite3_step(s) == SQLITE_DONE;
    sqlite3_reset(s);
    return good;
}

static bool write_batch(sqlite3 *db, sqlite3_stmt *s, uint32_t first, int state)
{
    bool good = execute(db, "BEGIN");
    for (uint32_t i = first; good && i < first + BATCH; i++)
        good = bind_and_step(s, i, state);
    return good && execute(db, "COMMIT");
}

double hz_bench_bare_rate(const char *directory, uint32_t total, unsigned updates)
{
    char path[512];
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL, *update = NULL;
    snprintf(path, sizeof path, "%s/bare.db", directory);
    bool good = sqlite3_open(path, &db) == SQLITE_OK && execute(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL") &&
            execute(db, "CREATE TABLE e (sequence INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, state INTEGER, a INTEGER, b INTEGER, c INTEGER,"
                        " d INTEGER, e INTEGER, f INTEGER, g INTEGER, h INTEGER, i INTEGER, j INTEGER)") &&
            sqlite3_prepare_v2(db, "INSERT INTO e (id,state,a,b,c,d,e,f,g,h,i,j) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)", -1,
                    &insert, NULL) == SQLITE_OK &&
            sqlite3_prepare_v2(db, "UPDATE e SET state=?2,a=?3,b=?4,c=?5,d=?6,e=?7,f=?8,g=?9,h=?10,i=?11,j=?12 WHERE id=?1", -1,
                    &update, NULL) == SQLITE_OK;
    uint64_t begun = hz_base_now_ns();
    for (uint32_t at = 0; good && at < total; at += BATCH) {
        good = write_batch(db, insert, at, 1);
        for (unsigned n = 0; good && n < updates; n++)
            good = write_batch(db, update, at, 2 + (int)n);
    }
    double seconds = (double)(hz_base_now_ns() - begun) / 1e9;
    sqlite3_finalize(insert);
    sqlite3_finalize(update);
    sqlite3_close(db);
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
