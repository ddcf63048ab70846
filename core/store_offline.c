/*
 * store_offline.c - the file as a whole: copies while it is in use, the full check, restore, figures. A copy reads one snapshot, so it
 * is whole and of one moment whatever is written meanwhile. Any thread that may wait, or a process of its own.
 */
#include "store_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_PAGES 256
#define FINDINGS 100u

static void sync_folder(const char *file)
{
    char *folder = strdup(file);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash)
        slash[slash == folder] = 0;
    int fd = folder ? open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd); /* some file systems cannot; the name is then as safe as they make it */
        close(fd);
    }
    free(folder);
}

/* The copy proper. The source's read transaction is held from begin to end: otherwise each commit of another connection would begin the
 * copy anew. */
static int copy_pages(const struct hz_store_connection *from, const char *path)
{
    sqlite3 *to = NULL;
    if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        int err = hz_store_db_error(to, path);
        sqlite3_close(to);
        return err;
    }
    int64_t version;
    int err = hz_store_exec(to, "PRAGMA synchronous=FULL; PRAGMA journal_mode=OFF", path);
    if (!err)
        err = hz_store_exec(from->db, "BEGIN", "copying the store");
    if (!err)
        err = hz_store_number(from->db, "SELECT COUNT(*) FROM sqlite_schema", &version);
    sqlite3_backup *backup = err ? NULL : sqlite3_backup_init(to, "main", from->db, "main");
    if (!err && !backup)
        err = hz_store_db_error(to, "copying the store");
    int code = SQLITE_OK;
    while (backup && (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)) {
        code = sqlite3_backup_step(backup, COPY_PAGES);
        if (code != SQLITE_OK && code != SQLITE_DONE)
            sqlite3_sleep(5);
    }
    if (backup && (sqlite3_backup_finish(backup) != SQLITE_OK || code != SQLITE_DONE))
        err = hz_store_db_error(to, "copying the store");
    if (!sqlite3_get_autocommit(from->db))
        (void)sqlite3_exec(from->db, "COMMIT", NULL, NULL, NULL);
    /* A copy stands alone: no log belongs to it. */
    if (!err)
        err = hz_store_exec(to, "PRAGMA journal_mode=DELETE", path);
    if (sqlite3_close(to) != SQLITE_OK && !err)
        err = hz_err_set(-EIO, "store: closing %s", path);
    return err;
}

static int copy_from(const struct hz_store_connection *from, const char *target)
{
    struct stat info;
    char *temporary = NULL;
    if (lstat(target, &info) == 0)
        return hz_err_set(HZ_EEXISTS, "store: %s", target);
    if (asprintf(&temporary, "%s.part", target) < 0)
        return hz_err_set(HZ_ENOMEM, "copying the store");
    (void)unlink(temporary);
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int err = fd < 0 ? hz_err_set(-errno, "store: cannot make %s", temporary) : copy_pages(from, temporary);
    if (!err && fsync(fd))
        err = hz_err_set(-errno, "store: writing %s", temporary);
    if (fd >= 0)
        close(fd);
    if (!err && link(temporary, target)) /* unlike a rename it never replaces */
        err = hz_err_set(errno == EEXIST ? HZ_EEXISTS : -errno, "store: %s", target);
    (void)unlink(temporary);
    if (!err)
        sync_folder(target);
    free(temporary);
    return err;
}

int hz_store_copy(const char *file, const char *target)
{
    struct hz_store_connection from;
    int err = hz_store_connect(file, HZ_STORE_FILE, &from);
    if (err)
        return err;
    err = copy_from(&from, target);
    hz_store_disconnect(&from);
    return err;
}

int hz_store_backup(const char *file)
{
    struct hz_store_connection *from = hz_store_reader_take();
    if (!from)
        return HZ_EFORMAT;
    int err = copy_from(from, file);
    hz_store_reader_give(from);
    return err;
}

/* ---- check ---- */

struct findings {
    void (*say)(const char *text, void *arg);
    void *arg;
    uint64_t count;
};

static void HZ_PRINTF(2, 3) find(struct findings *findings, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (findings->count++ < FINDINGS && findings->say)
        findings->say(text, findings->arg);
}

static int check_structure(sqlite3 *db, struct findings *findings)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db, "PRAGMA integrity_check(100)", -1, &s, NULL) != SQLITE_OK)
        return hz_store_db_error(db, "checking");
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW)
        if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
            find(findings, "%s", (const char *)sqlite3_column_text(s, 0));
    if (code != SQLITE_DONE)
        find(findings, "%s", sqlite3_errmsg(db));
    sqlite3_finalize(s);
    return 0;
}

static int check_payloads(sqlite3 *db, struct findings *findings)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db, "SELECT sequence, input, input_sum, result, result_sum FROM payloads", -1, &s, NULL) != SQLITE_OK)
        return 0; /* of a version without checksums */
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW)
        for (int column = 1; column <= 3; column += 2) {
            char *text;
            if (hz_store_column_payload(s, column, &text))
                find(findings, "%s of execution row %lld: %s", column == 1 ? "input" : "result", (long long)sqlite3_column_int64(s, 0),
                        hz_err_last());
            free(text);
        }
    if (code != SQLITE_DONE)
        find(findings, "payloads: %s", sqlite3_errmsg(db));
    sqlite3_finalize(s);
    return 0;
}

static int check_pieces(sqlite3 *db, const char *sql, struct findings *findings)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        return 0;
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        void *data = NULL;
        size_t len;
        const void *blob = sqlite3_column_blob(s, 0);
        if (hz_store_unpack(blob, (size_t)sqlite3_column_bytes(s, 0), &data, &len))
            find(findings, "%s", hz_err_last());
        free(data);
    }
    if (code != SQLITE_DONE)
        find(findings, "%s", sqlite3_errmsg(db));
    sqlite3_finalize(s);
    return 0;
}

int hz_store_check(const char *file, void (*say)(const char *text, void *arg), void *arg)
{
    struct hz_store_connection c;
    struct findings findings = {.say = say, .arg = arg};
    int64_t version = 0;
    int err = access(file, R_OK) ? hz_err_set(-errno, "store: %s", file) : hz_store_connect(file, HZ_STORE_FILE, &c);
    if (err)
        return err;
    err = hz_store_number(c.db, "PRAGMA user_version", &version);
    if (!err && (version < 1 || version > HZ_STORE_SCHEMA))
        err = hz_err_set(HZ_EVERSION, "store: %s has schema version %d, this program knows 1 to %d", file, (int)version, HZ_STORE_SCHEMA);
    if (!err)
        err = check_structure(c.db, &findings);
    if (!err)
        err = check_payloads(c.db, &findings);
    if (!err)
        err = check_pieces(c.db, "SELECT data FROM checkpoints", &findings);
    if (!err)
        err = check_pieces(c.db, "SELECT data FROM node_runs", &findings);
    hz_store_disconnect(&c);
    if (!err && findings.count)
        err = hz_err_set(HZ_EFORMAT, "store: %s is damaged: %llu findings", file, (unsigned long long)findings.count);
    return err;
}

/* ---- restore ---- */

int hz_store_restore(const char *data_dir, const char *file)
{
    char *path = NULL, *fresh = NULL, *old = NULL, *wal = NULL, *shm = NULL;
    if (asprintf(&path, "%s/horizon.db", data_dir) < 0 || asprintf(&fresh, "%s.restored", path) < 0 ||
            asprintf(&old, "%s.before-restore", path) < 0 || asprintf(&wal, "%s-wal", path) < 0 || asprintf(&shm, "%s-shm", path) < 0) {
        free(path), free(fresh), free(old), free(wal), free(shm);
        return hz_err_set(HZ_ENOMEM, "restoring the store");
    }
    int err = hz_store_check(file, NULL, NULL);
    if (!err) {
        (void)unlink(fresh);
        err = hz_store_copy(file, fresh);
    }
    /* The old file keeps its log beside it under its new name, so it can be opened again. */
    char *old_wal = NULL;
    if (!err && asprintf(&old_wal, "%s-wal", old) < 0)
        err = hz_err_set(HZ_ENOMEM, "restoring the store");
    if (!err) {
        (void)unlink(shm);
        (void)unlink(old_wal);
        if ((rename(wal, old_wal) && errno != ENOENT) || (rename(path, old) && errno != ENOENT) || rename(fresh, path))
            err = hz_err_set(-errno, "store: putting %s in place", path);
        else
            sync_folder(path);
    }
    free(path), free(fresh), free(old), free(wal), free(shm), free(old_wal);
    return err;
}

/* ---- figures ---- */

static uint64_t file_bytes(const char *path, const char *suffix)
{
    struct stat info;
    char *name = NULL;
    uint64_t bytes = 0;
    if (asprintf(&name, "%s%s", path, suffix) >= 0 && stat(name, &info) == 0)
        bytes = (uint64_t)info.st_size;
    free(name);
    return bytes;
}

static json_t *figures(struct hz_store_connection *c, const char *path)
{
    static const char *const names[] = {"executions", "open", "dead", "workflows", "checkpoints", "logs", "metrics", "crashes", "alerts",
            "secrets"};
    int64_t version = 0, unused = 0, page = 0;
    if (hz_store_number(c->db, "PRAGMA user_version", &version) || hz_store_number(c->db, "PRAGMA freelist_count", &unused) ||
            hz_store_number(c->db, "PRAGMA page_size", &page))
        return NULL;
    if (version != HZ_STORE_SCHEMA) {
        (void)hz_err_set(HZ_EVERSION, "store: %s has schema version %d, this program reads %d", path, (int)version, HZ_STORE_SCHEMA);
        return NULL;
    }
    sqlite3_stmt *s = hz_store_statement(c, HZ_SQL_ROW_COUNTS);
    if (!s)
        return NULL;
    json_t *rows = json_object();
    if (sqlite3_step(s) != SQLITE_ROW) {
        (void)hz_store_db_error(c->db, "counting");
        json_decref(rows);
        rows = NULL;
    }
    for (int i = 0; rows && i < (int)HZ_COUNT_OF(names); i++)
        if (json_object_set_new(rows, names[i], json_integer(sqlite3_column_int64(s, i)))) {
            json_decref(rows);
            rows = NULL;
        }
    sqlite3_reset(s);
    return rows ? json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "file", path, "bytes", (json_int_t)file_bytes(path, ""), "walBytes",
                          (json_int_t)file_bytes(path, "-wal"), "freeBytes", (json_int_t)(unused * page), "schema", (json_int_t)version, "rows",
                          rows)
                : NULL;
}

json_t *hz_store_file_stats(const char *data_dir)
{
    char *path = NULL;
    struct hz_store_connection c;
    if (asprintf(&path, "%s/horizon.db", data_dir) < 0)
        return NULL;
    json_t *all = NULL;
    if (access(path, R_OK))
        (void)hz_err_set(-errno, "store: %s", path);
    else if (hz_store_connect(path, HZ_STORE_FILE, &c) == 0) {
        all = figures(&c, path);
        hz_store_disconnect(&c);
    }
    free(path);
    return all;
}

json_t *hz_store_stats(void)
{
    struct hz_store_connection *c = hz_store_reader_take();
    if (!c)
        return NULL;
    json_t *all = figures(c, hz_store_path());
    hz_store_reader_give(c);
    if (all && (json_object_set_new(all, "maxBytes", json_integer((json_int_t)hz_store_bounds()->max_bytes)) ||
                       json_object_set_new(all, "pending", json_integer((json_int_t)hz_store_pending())) ||
                       json_object_set_new(all, "lagMs", json_integer((json_int_t)hz_store_lag_ms())) ||
                       json_object_set_new(all, "degraded", json_boolean(hz_store_degraded())))) {
        json_decref(all);
        return NULL;
    }
    return all;
}
