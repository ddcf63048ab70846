/*
 * store_db.c - SQLite behind the store: connections, their prepared statements, errors as codes and sentences, columns.
 * A connection belongs to one thread at a time: the writer's to the writer, the readers' to who took one from the pool.
 */
#include "store_db.h"

#include "shm/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int hz_store_db_error(sqlite3 *db, const char *what)
{
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    const char *text = db ? sqlite3_errmsg(db) : "out of memory";
    switch (code & 0xff) {
    case SQLITE_FULL:
        return hz_err_set(-ENOSPC, "store: %s", what);
    case SQLITE_READONLY:
        return hz_err_set(-EROFS, "store: %s", what);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return hz_err_set(HZ_EFORMAT, "store: %s: horizon.db is damaged (%s); stop the server, look with `horizon db check`, put a backup in its"
                          " place with `horizon db restore FILE`", what, text);
    case SQLITE_IOERR: {
        int number = db ? sqlite3_system_errno(db) : 0;
        if (number == ENOSPC || number == EDQUOT || number == EFBIG || number == EROFS || code == SQLITE_IOERR_WRITE)
            return hz_err_set(number == EROFS ? -EROFS : -ENOSPC, "store: %s", what);
        return hz_err_set(number ? -number : -EIO, "store: %s: %s (%d)", what, text, code);
    }
    default:
        return hz_err_set(HZ_EFORMAT, "store: %s: %s (%d)", what, text, code);
    }
}

int hz_store_exec(sqlite3 *db, const char *sql, const char *what)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : hz_store_db_error(db, what);
}

int hz_store_number(sqlite3 *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return hz_store_db_error(db, sql);
    int err = sqlite3_step(statement) == SQLITE_ROW ? 0 : hz_store_db_error(db, sql);
    if (!err)
        *ret = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return err;
}

int hz_store_connect(const char *path, enum hz_store_mode mode, struct hz_store_connection *ret_connection)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (mode == HZ_STORE_WRITER ? SQLITE_OPEN_CREATE : 0);
    sqlite3 *db = NULL;
    memset(ret_connection, 0, sizeof *ret_connection);
    int err = sqlite3_open_v2(path, &db, flags, NULL) == SQLITE_OK ? 0 : hz_store_db_error(db, path);
    if (!err)
        err = hz_store_exec(db, "PRAGMA busy_timeout=5000; PRAGMA cache_size=-4096", path);
    /* Only an empty file takes the mode of vacuuming; store_schema.c gives it to older files. */
    if (!err && mode == HZ_STORE_WRITER)
        err = hz_store_exec(db,
                "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=16777216;"
                "PRAGMA wal_autocheckpoint=2000", path);
    if (!err && mode == HZ_STORE_READER)
        err = hz_store_exec(db, "PRAGMA query_only=1", path);
    if (err) {
        sqlite3_close(db);
        return err;
    }
    ret_connection->db = db;
    return 0;
}

void hz_store_disconnect(struct hz_store_connection *connection)
{
    for (size_t i = 0; i < HZ_SQL_COUNT; i++)
        sqlite3_finalize(connection->statements[i]);
    sqlite3_close(connection->db);
    memset(connection, 0, sizeof *connection);
}

sqlite3_stmt *hz_store_statement(struct hz_store_connection *connection, enum hz_store_sql which)
{
    static const char *const texts[] = {
#define HZ_STORE_SQL_TEXT(name, text) text,
            HZ_STORE_SQL(HZ_STORE_SQL_TEXT)
#undef HZ_STORE_SQL_TEXT
    };
    sqlite3_stmt *statement = connection->statements[which];
    if (!statement) {
        if (sqlite3_prepare_v3(connection->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK) {
            (void)hz_store_db_error(connection->db, "preparing a statement");
            return NULL;
        }
        connection->statements[which] = statement;
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
}

int hz_store_step(struct hz_store_connection *connection, sqlite3_stmt *statement, const char *what)
{
    int code = sqlite3_step(statement);
    int err = code == SQLITE_DONE || code == SQLITE_ROW ? 0 : hz_store_db_error(connection->db, what);
    sqlite3_reset(statement);
    return err;
}

void hz_store_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    if (text)
        sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(statement, index);
}

void hz_store_bind_id(sqlite3_stmt *statement, int index, const struct hz_uuid *id)
{
    if (hz_uuid_is_nil(id))
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_blob(statement, index, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

void hz_store_column_copy(sqlite3_stmt *statement, int column, char *to, size_t size)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    (void)hz_text_copy(to, size, (const char *)text);
}

int hz_store_column_dup(sqlite3_stmt *statement, int column, char **ret)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    *ret = text ? strdup((const char *)text) : NULL;
    return text && !*ret ? hz_err_set(HZ_ENOMEM, "reading the store") : 0;
}

void hz_store_column_id(sqlite3_stmt *statement, int column, struct hz_uuid *ret)
{
    memset(ret, 0, sizeof *ret);
    if (sqlite3_column_bytes(statement, column) == (int)sizeof ret->bytes)
        memcpy(ret->bytes, sqlite3_column_blob(statement, column), sizeof ret->bytes);
}

/* Fowler, Noll, Vo: FNV-1a with 64 bits. Finds damage, not intent. */
uint64_t hz_store_sum(const void *data, size_t len)
{
    const unsigned char *bytes = data;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}
