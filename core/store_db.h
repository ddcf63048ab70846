/*
 * store_db.h - the SQLite side of the store: connections, statements, what the queue carries. Private to store*.c and its tests.
 */
#ifndef HZ_CORE_STORE_DB_H
#define HZ_CORE_STORE_DB_H

#include "store.h"
#include "store_sql.h"

#include <sqlite3.h>
#include <urcu/wfcqueue.h>

#define HZ_STORE_SCHEMA 3

enum hz_store_sql {
#define HZ_STORE_SQL_NAME(name, text) HZ_SQL_##name,
    HZ_STORE_SQL(HZ_STORE_SQL_NAME)
#undef HZ_STORE_SQL_NAME
    HZ_SQL_COUNT
};
struct hz_store_connection { /* one thread at a time */
    sqlite3 *db;
    sqlite3_stmt *statements[HZ_SQL_COUNT]; /* prepared at first use */
    bool normal;                            /* synchronous=NORMAL is set; else FULL */
    struct hz_store_connection *next;       /* in the readers' pool */
};

/* ---- store_db.c: connections ---- */
enum hz_store_mode { HZ_STORE_WRITER, HZ_STORE_READER, HZ_STORE_FILE };
/* Opens `path`: the writer makes the file if need be; a reader can only look; FILE is for offline work (no WAL set-up). */
HZ_MUST_CHECK int hz_store_connect(const char *path, enum hz_store_mode mode, struct hz_store_connection *ret_connection);
void hz_store_disconnect(struct hz_store_connection *connection);
/* -ENOSPC for a full disk, -EROFS for a read-only one, HZ_EFORMAT for damage and everything else; sets the error text. */
int hz_store_db_error(sqlite3 *db, const char *what);
/* The prepared statement, reset and without bindings; NULL with the error set. */
sqlite3_stmt *hz_store_statement(struct hz_store_connection *connection, enum hz_store_sql which);
/* Steps a statement that gives no row of interest, resets it. */
HZ_MUST_CHECK int hz_store_step(struct hz_store_connection *connection, sqlite3_stmt *statement, const char *what);
HZ_MUST_CHECK int hz_store_exec(sqlite3 *db, const char *sql, const char *what);
HZ_MUST_CHECK int hz_store_number(sqlite3 *db, const char *sql, int64_t *ret); /* first column of the first row */
void hz_store_bind_text(sqlite3_stmt *statement, int index, const char *text); /* NULL: NULL; must live until the step */
void hz_store_bind_id(sqlite3_stmt *statement, int index, const struct hz_uuid *id); /* nil: NULL */
void hz_store_column_copy(sqlite3_stmt *statement, int column, char *to, size_t size);
HZ_MUST_CHECK int hz_store_column_dup(sqlite3_stmt *statement, int column, char **ret);
void hz_store_column_id(sqlite3_stmt *statement, int column, struct hz_uuid *ret); /* else nil */
uint64_t hz_store_sum(const void *data, size_t len); /* FNV-1a, 64 bits */

/* ---- store_schema.c ---- */
/* New file: makes the newest schema. Older: backup, then migration. HZ_EVERSION: newer. Also the quick check. */
HZ_MUST_CHECK int hz_store_schema(const char *path, struct hz_store_connection *connection);

/* ---- store_payload.c: large texts and blobs, compressed, with a checksum ---- */
#define HZ_STORE_PACK_FROM 4096u
/* Binds `text` (NULL: NULL) at index and its checksum at index + 1. *ret_owned must live until the step; caller frees. */
HZ_MUST_CHECK int hz_store_bind_payload(sqlite3_stmt *statement, int index, const char *text, void **ret_owned);
HZ_MUST_CHECK int hz_store_column_payload(sqlite3_stmt *statement, int column, char **ret_text); /* and column + 1; HZ_EFORMAT */
/* One self-describing blob of any bytes. malloc'ed. */
HZ_MUST_CHECK int hz_store_pack(const void *data, size_t len, void **ret_blob, size_t *ret_blob_len);
HZ_MUST_CHECK int hz_store_unpack(const void *blob, size_t blob_len, void **ret_data, size_t *ret_len);

/* ---- store.c: the queue ---- */
enum hz_store_kind { HZ_STORE_ROW, HZ_STORE_FORGET, HZ_STORE_COUNT, HZ_STORE_CHECKPOINT, HZ_STORE_NODE_RUNS, HZ_STORE_CRASH, HZ_STORE_LOG, HZ_STORE_METRIC,
    HZ_STORE_ALERT, HZ_STORE_CALL };
typedef int hz_store_call_fn(struct hz_store_connection *connection, void *arg);
struct hz_store_entry {
    struct cds_wfcq_node node;
    struct hz_store_entry *next; /* writer: within its batch */
    enum hz_store_kind kind;
    bool durable;
    int result;      /* writer: this entry alone could not be written */
    size_t bytes;    /* what it holds in memory */
    uint64_t at_ns;  /* handed over */
    hz_store_done_fn *done;
    void *arg;
    union {
        struct hz_store_execution row; /* ROW, FORGET, COUNT */
        struct {
            struct hz_uuid execution;
            uint32_t ordinal;
            bool base;
            void *data;
            size_t len;
        } piece; /* CHECKPOINT, NODE_RUNS */
        struct hz_store_crash crash;
        struct {
            int64_t at_ms;
            int level;
            char workflow_id[128], worker_id[HZ_UUID_TEXT];
            struct hz_uuid execution;
            size_t len;
            char *text;
        } log;
        struct {
            char subject[160];
            int64_t at_s;
            struct hz_store_metric sample;
        } metric;
        struct hz_store_alert *alert;
        struct {
            hz_store_call_fn *run;
            void *arg;
        } call;
    };
};
struct hz_store_entry *hz_store_entry_new(enum hz_store_kind kind, size_t bytes); /* NULL with the error set */
void hz_store_entry_free(struct hz_store_entry *entry);                           /* with what it holds */
/* Hands an entry over (taken on success). lossy: HZ_EBUSY already at half of the bound. */
HZ_MUST_CHECK int hz_store_hand_over(struct hz_store_entry *entry, bool lossy);
/* Runs `run` inside the writer's next transaction (FULL) and waits for its commit. An error of `run` is returned; what it wrote before
 * stays, so it checks first and writes then. */
HZ_MUST_CHECK int hz_store_write_alert(struct hz_store_connection *c, const struct hz_store_alert *alert); /* the writer, within a transaction */
HZ_MUST_CHECK int hz_store_call(hz_store_call_fn *run, void *arg);
/* Waits until what was handed over before is settled, at most `ms`; not at all while the store is degraded. */
void hz_store_wait_settled(uint32_t ms);
const char *hz_store_path(void); /* of the open store's file */
const struct hz_store_options *hz_store_bounds(void);

/* ---- store_put.c: executions that are only counted ---- */
bool hz_store_counters_waiting(void);
HZ_MUST_CHECK int hz_store_counters_flush(struct hz_store_connection *connection); /* writer, in the transaction */
void hz_store_counters_flushed(bool committed);                                    /* writer, after it */
void hz_store_counters_drop(void);                                                 /* at the end */

/* ---- store_write.c: on the writer thread ---- */
/* In the transaction. An error that concerns the entry alone (too big, a rule of the table) becomes entry->result and 0 is returned. */
HZ_MUST_CHECK int hz_store_write(struct hz_store_connection *connection, struct hz_store_entry *entry);
HZ_MUST_CHECK int hz_store_begin(struct hz_store_connection *connection, bool full);
HZ_MUST_CHECK int hz_store_commit(struct hz_store_connection *connection);
void hz_store_rollback(struct hz_store_connection *connection);

/* ---- store_row.c ---- */
HZ_MUST_CHECK int hz_store_row_write(struct hz_store_connection *connection, const struct hz_store_execution *row, bool *ret_changed);
/* Reads the row of HZ_STORE_COLUMNS, then the payloads if `payloads`; a damaged one is left out, ret_row->damaged says so. */
HZ_MUST_CHECK int hz_store_row_read(sqlite3_stmt *statement, bool payloads, struct hz_store_execution *ret_row);

/* ---- store_read.c: the readers' pool ---- */
/* A connection nobody else uses meanwhile; NULL with the error set. */
struct hz_store_connection *hz_store_reader_take(void);
void hz_store_reader_give(struct hz_store_connection *connection);
void hz_store_readers_open(void); /* as many as usually read at once; more are opened when needed and kept */
void hz_store_readers_close(void);

/* ---- store_retention.c: on the writer thread ---- */
struct hz_store_retention {
    int64_t cursor;        /* executions up to this sequence were looked at and stay for now */
    uint64_t rows;         /* written since the last look */
    uint64_t next_tick_ns; /* age, metrics, vacuum: by the clock */
    bool counted;          /* samples in the file are known (hz_store_retention_samples) */
    int64_t rolled[2];     /* up to where samples were thinned: to 60 s, to 900 s; 0: not known yet */
};
/* In the transaction of a batch of `rows`: forgets what the bounds say, at most some thousands rows. */
HZ_MUST_CHECK int hz_store_retain(struct hz_store_retention *retention, struct hz_store_connection *connection, uint64_t rows);
/* Writer: so many samples more (or fewer) are in the file. */
void hz_store_retention_samples(int64_t more);
bool hz_store_retention_due(const struct hz_store_retention *retention); /* something is due by the clock */
/* Between transactions: gives free pages back, a few at a time. True: there are more. */
bool hz_store_vacuum(struct hz_store_connection *connection);
/* store_metrics.c: bytes of a sample without the zeros at its end, which need not be stored. */
int hz_store_metric_len(const struct hz_store_metric *sample);
/* store_metrics.c: thins finished minutes and quarters of an hour, in the transaction. */
HZ_MUST_CHECK int hz_store_metrics_roll(struct hz_store_retention *retention, struct hz_store_connection *connection, int64_t now_s);

#endif
