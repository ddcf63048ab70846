/*
 * power_vfs.h - a file system layer under SQLite that knows what a power cut leaves: what was fsynced, and of what was written since
 * an arbitrary part, sector by sector. Files lie in their folder as usual; beside each the image of the disk is kept in memory. At
 * the cut these images are frozen; power_restore() writes them to another folder, as a machine finds them that boots again.
 *
 * Synchronisation: one lock around every list and image; `power_is_cut` is read by the acknowledging thread: what it hears later than the
 * cut was never heard.
 */
#ifndef HZ_TESTS_POWER_VFS_H
#define HZ_TESTS_POWER_VFS_H

#include "shm/base.h"
#include "tests/harness.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POWER_SECTOR 512

struct power_write { /* not fsynced yet; len 0: a truncation to `at` */
    struct power_write *next;
    sqlite3_int64 at;
    size_t len;
    unsigned char data[];
};
struct power_disk { /* one file's image */
    struct power_disk *next;
    char name[64]; /* last part of its path */
    unsigned char *bytes;
    size_t size;
    struct power_write *first, **last;
    bool gone;
};
struct power_file {
    sqlite3_file base;
    struct power_disk *disk;
    sqlite3_file *real; /* behind this struct */
};

static struct {
    pthread_mutex_t lock;
    struct power_disk *disks;
    uint64_t random;
    long operations_left; /* until the cut; negative: never */
    _Atomic bool is_cut;
    sqlite3_vfs vfs, *real;
} power = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t power_random(void) /* xorshift, Marsaglia */
{
    power.random ^= power.random << 13;
    power.random ^= power.random >> 7;
    power.random ^= power.random << 17;
    return power.random;
}

static void power_apply(struct power_disk *disk, sqlite3_int64 at, const unsigned char *data, size_t len)
{
    size_t end = (size_t)at + len;
    if (len == 0) { /* a truncation */
        disk->size = HZ_MIN(disk->size, (size_t)at);
        return;
    }
    if (end > disk->size) {
        unsigned char *grown = realloc(disk->bytes, end);
        HZ_ASSERT_NOT_NULL(grown);
        memset(grown + disk->size, 0, end - disk->size);
        disk->bytes = grown;
        disk->size = end;
    }
    memcpy(disk->bytes + at, data, len);
}

/* Everything pending goes to the disk (fsync), or a part of each write, as the controller happened to be (the cut). */
static void power_flush(struct power_disk *disk, bool all)
{
    for (struct power_write *w = disk->first, *next; w; w = next) {
        next = w->next;
        if (all || w->len == 0) {
            if (all || power_random() % 2)
                power_apply(disk, w->at, w->data, w->len);
        } else {
            for (size_t at = 0; at < w->len; at += POWER_SECTOR)
                if (power_random() % 2)
                    power_apply(disk, w->at + (sqlite3_int64)at, w->data + at, HZ_MIN((size_t)POWER_SECTOR, w->len - at));
        }
        free(w);
    }
    disk->first = NULL;
    disk->last = &disk->first;
}

/* Under the lock: counts an operation; at the last one before the cut the images freeze. */
static void power_tick(void)
{
    if (atomic_load(&power.is_cut) || power.operations_left < 0 || power.operations_left-- > 0)
        return;
    for (struct power_disk *disk = power.disks; disk; disk = disk->next)
        power_flush(disk, false);
    atomic_store(&power.is_cut, true);
}

static void power_note(struct power_disk *disk, sqlite3_int64 at, const void *data, size_t len)
{
    pthread_mutex_lock(&power.lock);
    power_tick();
    if (!atomic_load(&power.is_cut)) {
        struct power_write *w = malloc(sizeof *w + len);
        HZ_ASSERT_NOT_NULL(w);
        w->next = NULL;
        w->at = at;
        w->len = len;
        if (len)
            memcpy(w->data, data, len);
        *disk->last = w;
        disk->last = &w->next;
    }
    pthread_mutex_unlock(&power.lock);
}

static struct power_disk *power_disk_of(const char *path)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    struct power_disk *disk;
    pthread_mutex_lock(&power.lock);
    for (disk = power.disks; disk && strcmp(disk->name, name) != 0; disk = disk->next) {
    }
    if (!disk) {
        disk = calloc(1, sizeof *disk);
        HZ_ASSERT_NOT_NULL(disk);
        snprintf(disk->name, sizeof disk->name, "%s", name);
        disk->last = &disk->first;
        disk->next = power.disks;
        power.disks = disk;
    }
    if (!atomic_load(&power.is_cut))
        disk->gone = false;
    pthread_mutex_unlock(&power.lock);
    return disk;
}

/* ---- the layer ---- */

#define POWER_REAL(file) (((struct power_file *)(file))->real)

static int power_close(sqlite3_file *file)
{
    return POWER_REAL(file)->pMethods->xClose(POWER_REAL(file));
}

static int power_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
    return POWER_REAL(file)->pMethods->xRead(POWER_REAL(file), to, len, at);
}

static int power_write_out(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    power_note(((struct power_file *)file)->disk, at, data, (size_t)len);
    return POWER_REAL(file)->pMethods->xWrite(POWER_REAL(file), data, len, at);
}

static int power_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    power_note(((struct power_file *)file)->disk, size, NULL, 0);
    return POWER_REAL(file)->pMethods->xTruncate(POWER_REAL(file), size);
}

static int power_sync(sqlite3_file *file, int flags)
{
    int code = POWER_REAL(file)->pMethods->xSync(POWER_REAL(file), flags);
    pthread_mutex_lock(&power.lock);
    power_tick(); /* the cut may come before the disk did it */
    if (code == SQLITE_OK && !atomic_load(&power.is_cut))
        power_flush(((struct power_file *)file)->disk, true);
    pthread_mutex_unlock(&power.lock);
    return code;
}

static int power_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    return POWER_REAL(file)->pMethods->xFileSize(POWER_REAL(file), ret);
}
static int power_lock_file(sqlite3_file *file, int lock)
{
    return POWER_REAL(file)->pMethods->xLock(POWER_REAL(file), lock);
}
static int power_unlock_file(sqlite3_file *file, int lock)
{
    return POWER_REAL(file)->pMethods->xUnlock(POWER_REAL(file), lock);
}
static int power_reserved(sqlite3_file *file, int *ret)
{
    return POWER_REAL(file)->pMethods->xCheckReservedLock(POWER_REAL(file), ret);
}
static int power_control(sqlite3_file *file, int op, void *arg)
{
    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_OK; /* room is made by writes alone, which are seen */
    return POWER_REAL(file)->pMethods->xFileControl(POWER_REAL(file), op, arg);
}
static int power_sector(sqlite3_file *file)
{
    (void)file;
    return POWER_SECTOR;
}
static int power_device(sqlite3_file *file)
{
    (void)file;
    return 0; /* promises nothing: writes tear and overtake each other */
}
static int power_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    return POWER_REAL(file)->pMethods->xShmMap(POWER_REAL(file), page, size, extend, ret);
}
static int power_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return POWER_REAL(file)->pMethods->xShmLock(POWER_REAL(file), offset, n, flags);
}
static void power_shm_barrier(sqlite3_file *file)
{
    POWER_REAL(file)->pMethods->xShmBarrier(POWER_REAL(file));
}
static int power_shm_unmap(sqlite3_file *file, int delete)
{
    return POWER_REAL(file)->pMethods->xShmUnmap(POWER_REAL(file), delete);
}

static const sqlite3_io_methods power_methods = {.iVersion = 2, .xClose = power_close, .xRead = power_read, .xWrite = power_write_out,
        .xTruncate = power_truncate, .xSync = power_sync, .xFileSize = power_size, .xLock = power_lock_file, .xUnlock = power_unlock_file,
        .xCheckReservedLock = power_reserved, .xFileControl = power_control, .xSectorSize = power_sector,
        .xDeviceCharacteristics = power_device, .xShmMap = power_shm_map, .xShmLock = power_shm_lock, .xShmBarrier = power_shm_barrier,
        .xShmUnmap = power_shm_unmap};

static int power_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
    (void)vfs;
    struct power_file *f = (struct power_file *)file;
    f->real = (sqlite3_file *)(f + 1);
    f->base.pMethods = NULL;
    if (!path) /* temporary files of SQLite's own: nothing of them is to survive */
        f->disk = power_disk_of("temporary");
    else
        f->disk = power_disk_of(path);
    int code = power.real->xOpen(power.real, path, f->real, flags, ret_flags);
    if (f->real->pMethods)
        f->base.pMethods = &power_methods;
    return code;
}

static int power_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    (void)vfs;
    struct power_disk *disk = power_disk_of(path);
    pthread_mutex_lock(&power.lock);
    power_tick();
    if (!atomic_load(&power.is_cut)) {
        power_flush(disk, true);
        disk->size = 0;
        disk->gone = true;
    }
    pthread_mutex_unlock(&power.lock);
    return power.real->xDelete(power.real, path, sync);
}

/* From now on every database of this process lies on this layer; power_remove() ends that. seed: not 0. */
static void power_install(uint64_t seed, long operations)
{
    power.real = sqlite3_vfs_find("unix");
    HZ_ASSERT_NOT_NULL(power.real);
    power.vfs = *power.real;
    power.vfs.zName = "power";
    power.vfs.pNext = NULL;
    power.vfs.szOsFile = (int)sizeof(struct power_file) + power.real->szOsFile;
    power.vfs.xOpen = power_open;
    power.vfs.xDelete = power_delete;
    power.random = seed;
    power.operations_left = operations;
    atomic_store(&power.is_cut, false);
    HZ_ASSERT_EQ(sqlite3_vfs_register(&power.vfs, 1), SQLITE_OK);
}

/* Back to the ordinary file system; the images are written to `folder` (the shared index, -shm, never survives) and forgotten. */
static void power_remove(const char *folder)
{
    sqlite3_vfs_unregister(&power.vfs);
    HZ_ASSERT_EQ(sqlite3_vfs_register(power.real, 1), SQLITE_OK);
    for (struct power_disk *disk = power.disks, *next; disk; disk = next) {
        next = disk->next;
        if (!disk->gone && strncmp(disk->name, "horizon.db", 10) == 0) {
            char path[256];
            snprintf(path, sizeof path, "%s/%s", folder, disk->name);
            FILE *file = fopen(path, "w");
            HZ_ASSERT_NOT_NULL(file);
            HZ_ASSERT_EQ(fwrite(disk->bytes, 1, disk->size, file), disk->size);
            HZ_ASSERT_EQ(fclose(file), 0);
        }
        power_flush(disk, true);
        free(disk->bytes);
        free(disk);
    }
    power.disks = NULL;
}

#endif
