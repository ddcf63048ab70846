/* durable.c - what durability costs: executions committed before they are accepted, and steps that are on disk before the next one. */
#include "manager.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 20000u
#define AT_ONCE 512u
#define BARE_BATCH 100u
#define STEPS_RUNS 200u

struct result {
    double ours, reference;
};

/* ---- the peer: bare SQLite, the same rows ---- */

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

/* Executions a second: each is an insert in one commit and an update in a later one, 100 of each a commit, all with FULL. */
static double bare_rate(const char *directory, uint32_t total)
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
    for (uint32_t at = 0; good && at < total; at += BARE_BATCH) {
        good = execute(db, "BEGIN");
        for (uint32_t i = at; good && i < at + BARE_BATCH; i++)
            good = bind_and_step(insert, i, 1);
        good = good && execute(db, "COMMIT") && execute(db, "BEGIN");
        for (uint32_t i = at; good && i < at + BARE_BATCH; i++)
            good = bind_and_step(update, i, 4);
        good = good && execute(db, "COMMIT");
    }
    double seconds = (double)(hz_base_now_ns() - begun) / 1e9;
    sqlite3_finalize(insert);
    sqlite3_finalize(update);
    sqlite3_close(db);
    return good ? total / seconds : 0;
}

static bool drive_many(const struct hz_config *config, void *arg)
{
    struct result *result = arg;
    char *text = hz_bench_chain("manual_trigger", 5, "{\"isolation\":\"resident\",\"threads\":1,\"durability\":\"execution\"}", NULL, NULL);
    struct hz_workflow *workflow = hz_bench_workflow("many", text);
    free(text);
    if (!workflow)
        return false;
    double seconds = hz_bench_executions(workflow, MANY / 10, AT_ONCE) > 0 ? hz_bench_executions(workflow, MANY, AT_ONCE) : 0;
    hz_workflow_unref(&workflow);
    result->ours = seconds > 0 ? MANY / seconds : 0;
    result->reference = bare_rate(config->data_dir, MANY);
    return result->ours > 0 && result->reference > 0;
}

static bool durable_exec(struct hz_bench_pair *ret_pair)
{
    struct hz_bench_manager options = {.drive = drive_many};
    struct result *result = hz_bench_shared(sizeof *result);
    bool good = hz_bench_manager_run(&options, result);
    *ret_pair = (struct hz_bench_pair){result->ours, result->reference};
    return good;
}

/* ---- one at a time ---- */

/* Median of an append of 4 KiB and its fdatasync in the directory, ms. */
static double sync_ms(const char *directory)
{
    char path[512], block[4096];
    double ms[STEPS_RUNS];
    memset(block, 'x', sizeof block);
    snprintf(path, sizeof path, "%s/sync", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    for (unsigned i = 0; i < STEPS_RUNS && good; i++) {
        uint64_t begun = hz_base_now_ns();
        good = write(fd, block, sizeof block) == (ssize_t)sizeof block && fdatasync(fd) == 0;
        ms[i] = (double)(hz_base_now_ns() - begun) / 1e6;
    }
    if (fd >= 0)
        close(fd);
    return good ? hz_bench_median(ms, STEPS_RUNS) : 0;
}

static bool drive_steps(const struct hz_config *config, void *arg)
{
    struct result *result = arg;
    char *text = hz_bench_chain("bench_noop", 4, "{\"isolation\":\"resident\",\"threads\":1,\"durability\":\"checkpoint\"}", NULL, NULL);
    struct hz_workflow *workflow = hz_bench_workflow("steps", text);
    double ms[STEPS_RUNS];
    free(text);
    if (!workflow)
        return false;
    bool good = hz_bench_executions(workflow, 20, 1) > 0;
    for (unsigned i = 0; i < STEPS_RUNS && good; i++) {
        ms[i] = hz_bench_executions(workflow, 1, 1) * 1e3;
        good = ms[i] > 0;
    }
    hz_workflow_unref(&workflow);
    result->ours = good ? hz_bench_median(ms, STEPS_RUNS) : 0;
    result->reference = sync_ms(config->data_dir);
    return good && result->reference > 0;
}

static bool checkpoint_3(struct hz_bench_pair *ret_pair)
{
    struct hz_bench_manager options = {.nodes = HZ_BENCH_NODES "/../bench-nodes", .drive = drive_steps};
    struct result *result = hz_bench_shared(sizeof *result);
    bool good = hz_bench_manager_run(&options, result);
    *ret_pair = (struct hz_bench_pair){result->ours, result->reference};
    return good;
}

static const struct hz_bench_row rows[] = {
        {.name = "durable_exec", .unit = "executions/s", .higher_is_better = true, .reach = 0.6,
                .reference = "SQLite, the same two rows each, 100 a commit", .run = durable_exec, .runs = 3},
        {.name = "checkpoint_3", .unit = "ms", .reach = 4, .reference = "fdatasync of the same disk", .run = checkpoint_3, .runs = 3},
};

int main(int argc, char **argv)
{
    return hz_bench_main(argc, argv, rows, HZ_COUNT_OF(rows));
}
