/*
 * store_schema.c - which schema the file has, and how it gets the newest: one step a version in one transaction, a copy of the file
 * beside it before (DIR/horizon.db.before-N). Also the quick check at start. Start of the manager, one thread.
 */
#include "store_db.h"

#include "shm/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUICK_NS UINT64_C(2000000000) /* the quick check's time; what is larger is checked in full by `horizon db check` */
#define PROGRESS_EVERY 100000          /* virtual machine steps between two looks at the clock */

static const char schema_1[] = {
#include "schema_1.inc"
};
static const char schema_2[] = {
#include "schema_2.inc"
};
static const char schema_3[] = {
#include "schema_3.inc"
};
static const char *const steps[HZ_STORE_SCHEMA] = {schema_1, schema_2, schema_3};

static int past_deadline(void *arg)
{
    return hz_base_now_ns() > *(const uint64_t *)arg;
}

/* "*** in database main ***\nPage 6: ..." as one line of a sentence. */
static int damaged(const char *finding)
{
    char text[200];
    const char *line = strrchr(finding, '\n');
    snprintf(text, sizeof text, "%s", line ? line + 1 : finding);
    return hz_err_set(HZ_EFORMAT, "store: horizon.db is damaged (%s); look with `horizon db check`, put a backup in its place with"
                                  " `horizon db restore FILE`", text);
}

/* Every page's structure, as far as two seconds reach. */
static int quick_check(sqlite3 *db)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL) != SQLITE_OK)
        return hz_store_db_error(db, "the quick check");
    uint64_t deadline = hz_base_now_ns() + QUICK_NS;
    sqlite3_progress_handler(db, PROGRESS_EVERY, past_deadline, &deadline);
    int code = sqlite3_step(statement), err = 0;
    sqlite3_progress_handler(db, 0, NULL, NULL);
    if (code == SQLITE_INTERRUPT)
        HZ_LOG(INFO, "store: the quick check stopped after 2 s without a finding; `horizon db check` looks at everything");
    else if (code != SQLITE_ROW)
        err = hz_store_db_error(db, "the quick check");
    else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0)
        err = damaged((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    return err;
}

static int back_up(const char *path, int version)
{
    char *target = NULL;
    if (asprintf(&target, "%s.before-%d", path, version) < 0)
        return hz_err_set(HZ_ENOMEM, "store: copying the file before its schema changes");
    if (unlink(target) && errno != ENOENT) /* of a migration that did not come to its end */
        HZ_LOG(WARN, "store: cannot remove the old %s: %s", target, strerror(errno));
    int err = hz_store_copy(path, target);
    if (err)
        (void)hz_err_prefix(err, "the file stays as it is, as it cannot be copied to %s", target);
    else
        HZ_LOG(INFO, "store: schema %d becomes %d; the file as it was is kept in %s", version - 1, version, target);
    free(target);
    return err;
}

/* Steps from..to-1, all or none. */
static int apply(sqlite3 *db, int from, int to)
{
    int err = hz_store_exec(db, "BEGIN IMMEDIATE", "changing the schema");
    for (int i = from; i < to && !err; i++)
        err = hz_store_exec(db, steps[i], "changing the schema");
    if (!err)
        err = hz_store_exec(db, "COMMIT", "changing the schema");
    if (err && !sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

/* Files of before could not give free pages back: rebuilt once. */
static void make_shrinkable(sqlite3 *db)
{
    int64_t mode = 0;
    if (hz_store_number(db, "PRAGMA auto_vacuum", &mode) || mode == 2)
        return;
    if (hz_store_exec(db, "PRAGMA auto_vacuum=INCREMENTAL; VACUUM", "rebuilding the file"))
        HZ_LOG(WARN, "%s; the file keeps its size until a later start", hz_err_last());
}

int hz_store_schema(const char *path, struct hz_store_connection *connection)
{
    sqlite3 *db = connection->db;
    int64_t version = 0;
    int err = hz_store_number(db, "PRAGMA user_version", &version);
    if (err)
        return err;
    if (version > HZ_STORE_SCHEMA)
        return hz_err_set(HZ_EVERSION, "store: horizon.db has schema version %d, this program knows up to %d; start the newer program, or put"
                                       " an older backup in its place with `horizon db restore FILE`", (int)version, HZ_STORE_SCHEMA);
    if (version == 0)
        return apply(db, 0, HZ_STORE_SCHEMA);
    err = hz_store_bounds()->checked ? 0 : quick_check(db);
    if (!err && version == HZ_STORE_SCHEMA)
        make_shrinkable(db); /* a start before had no room for it */
    if (err || version == HZ_STORE_SCHEMA)
        return err;
    for (int i = (int)version; i < HZ_STORE_SCHEMA && !err; i++) {
        err = back_up(path, i + 1);
        if (!err)
            err = apply(db, i, i + 1);
    }
    if (!err)
        make_shrinkable(db);
    return err;
}
