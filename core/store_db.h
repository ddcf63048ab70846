/* store_db.h - the SQLite side of the store: open, statements, rows. Private to store*.c. */
#ifndef HZ_CORE_STORE_DB_H
#define HZ_CORE_STORE_DB_H

#include "store.h"
#include <sqlite3.h>

/* Opens DIR/horizon.db in WAL mode, makes or checks the schema. HZ_EVERSION for a newer one. */
HZ_MUST_CHECK int hz_store_db_open(const char *data_dir, sqlite3 **ret_db);
/* -ENOSPC for a full disk, else HZ_EFORMAT; sets the error text from the connection. */
int hz_store_db_error(sqlite3 *db, const char *what);

struct hz_store_writer { /* prepared statements of the writer's connection */
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *rollback, *upsert, *payload, *prune_payloads, *prune;
    int full; /* synchronous=FULL is set */
};
HZ_MUST_CHECK int hz_store_writer_init(struct hz_store_writer *writer, sqlite3 *db);
void hz_store_writer_fini(struct hz_store_writer *writer);
HZ_MUST_CHECK int hz_store_writer_begin(struct hz_store_writer *writer, bool full);
HZ_MUST_CHECK int hz_store_writer_row(struct hz_store_writer *writer, const struct hz_store_execution *row);
HZ_MUST_CHECK int hz_store_writer_prune(struct hz_store_writer *writer, uint32_t keep);
HZ_MUST_CHECK int hz_store_writer_commit(struct hz_store_writer *writer);
void hz_store_writer_rollback(struct hz_store_writer *writer);

#define HZ_STORE_COLUMNS                                                                                               \
    "e.id, e.activation, e.workflow_id, e.version, e.cause, e.state, e.attempt, e.is_activation, e.created_ms, "       \
    "e.started_ms, e.ended_ms, e.worker_id, e.error, e.error_node, e.error_code, e.node_runs, e.cpu_ns, e.peak_bytes"
/* Reads the row of HZ_STORE_COLUMNS, then input and result if `payloads`. */
HZ_MUST_CHECK int hz_store_db_row(sqlite3_stmt *statement, bool payloads, struct hz_store_execution *ret_row);

#endif
