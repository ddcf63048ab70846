/*
 * segment.c - the shared memory object of one worker: make, map, look at, remove. Set-up and tear-down only; nothing
 * here runs while records flow. Manager (create, unlink, list), worker (attach), any tool of the same user (observe).
 *
 * Every offset follows from the geometry, so that the creator's private copy is all it ever needs. The header in the
 * mapping repeats it for observers, who check each figure against the size of the object before they use it.
 */
#include "segment.h"
#include "err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SHM_FOLDER "/dev/shm"
#define PREFIX     "horizon-"
#define PAGE       UINT64_C(4096)
#define LINE       ((uint64_t)2 * HZ_CACHE_LINE) /* CPUs fetch lines in pairs: two parts never share a pair */
#define RING_LEAST (UINT64_C(4) << 10)
#define RING_MOST  (UINT64_C(1) << 30)

_Static_assert(offsetof(struct hz_segment_header, worker_sleep) == 256, "layout 1");
_Static_assert(offsetof(struct hz_segment_header, manager_sleep) == 320, "layout 1");
_Static_assert(sizeof(struct hz_segment_header) == 384, "layout 1");

static uint64_t power_below(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n));
}

struct hz_geometry hz_segment_geometry(uint32_t lanes)
{
    return (struct hz_geometry){
            .lanes = lanes, .command_bytes = 64 << 10, .result_bytes = 64 << 10, .metrics_bytes = 64 << 10};
}

struct hz_geometry hz_segment_geometry_for(uint32_t lanes, uint64_t total_bytes)
{
    HZ_ASSERT(lanes >= 1 && lanes <= HZ_MAX_LANES);
    total_bytes = HZ_MAX(UINT64_C(128) << 10, HZ_MIN(total_bytes, UINT64_C(1) << 30));
    /* A quarter for the way down, half for results, a quarter for metrics. */
    return (struct hz_geometry){
            .lanes = lanes,
            .command_bytes = power_below(total_bytes / 4),
            .result_bytes = HZ_MAX(RING_LEAST, power_below(total_bytes / 2 / lanes)),
            .metrics_bytes = HZ_MAX(RING_LEAST, power_below(total_bytes / 4 / lanes)),
    };
}

static bool ring_capacity_ok(uint64_t bytes)
{
    return bytes >= 1024 && bytes <= RING_MOST && (bytes & (bytes - 1)) == 0;
}

static bool geometry_ok(const struct hz_geometry *geometry)
{
    return geometry->lanes >= 1 && geometry->lanes <= HZ_MAX_LANES && ring_capacity_ok(geometry->command_bytes) &&
           ring_capacity_ok(geometry->result_bytes) && ring_capacity_ok(geometry->metrics_bytes);
}

/* Offsets of one lane's parts from the lane's beginning. */
struct lane_layout {
    uint64_t stats, crash, recorder, results, metrics, bytes;
};

static uint64_t place(uint64_t *at, uint64_t bytes)
{
    uint64_t here = *at;
    *at = HZ_ALIGN_UP(here + bytes, LINE);
    return here;
}

static struct lane_layout lane_layout(const struct hz_geometry *geometry)
{
    struct lane_layout layout;
    uint64_t at = 0;
    layout.stats = place(&at, sizeof(struct hz_stats_block));
    layout.crash = place(&at, sizeof(struct hz_crash_cell));
    layout.results = place(&at, hz_ring_bytes(geometry->result_bytes));
    layout.metrics = place(&at, hz_ring_bytes(geometry->metrics_bytes));
    layout.recorder = place(&at, sizeof(struct hz_recorder_shared));
    layout.bytes = at;
    return layout;
}

static uint64_t commands_offset(void)
{
    return HZ_ALIGN_UP((uint64_t)sizeof(struct hz_segment_header), LINE);
}

static uint64_t lanes_offset(const struct hz_geometry *geometry)
{
    return HZ_ALIGN_UP(commands_offset() + hz_ring_bytes(geometry->command_bytes), LINE);
}

size_t hz_segment_bytes(const struct hz_geometry *geometry)
{
    HZ_ASSERT(geometry_ok(geometry));
    return (size_t)HZ_ALIGN_UP(lanes_offset(geometry) + geometry->lanes * lane_layout(geometry).bytes, PAGE);
}

void hz_segment_name(char ret_name[HZ_SEGMENT_NAME], const char *instance, const struct hz_uuid *worker_id)
{
    char id[HZ_UUID_TEXT];
    hz_uuid_format(worker_id, id);
    snprintf(ret_name, HZ_SEGMENT_NAME, "/" PREFIX "%.8s-%s", instance, id);
}

/* Fills the handle's pointers for a mapping of `segment->geometry`. */
static void wire(struct hz_segment *segment, bool manager_side)
{
    uint8_t *base = segment->base;
    const struct hz_geometry *geometry = &segment->geometry;
    segment->magic = HZ_SEGMENT_HANDLE_MAGIC;
    segment->manager_side = manager_side;
    segment->header = segment->base;
    hz_ring_attach(&segment->commands, base + commands_offset(), geometry->command_bytes, manager_side);
    struct lane_layout layout = lane_layout(geometry);
    for (uint32_t i = 0; i < geometry->lanes; i++) {
        uint8_t *lane = base + lanes_offset(geometry) + i * layout.bytes;
        struct hz_lane *handle = &segment->lanes[i];
        handle->stats = (struct hz_stats_block *)(void *)(lane + layout.stats);
        handle->crash = (struct hz_crash_cell *)(void *)(lane + layout.crash);
        handle->recorder = (struct hz_recorder_shared *)(void *)(lane + layout.recorder);
        hz_ring_attach(&handle->results, lane + layout.results, geometry->result_bytes, !manager_side);
        hz_ring_attach(&handle->metrics, lane + layout.metrics, geometry->metrics_bytes, !manager_side);
    }
}

static int allocate(int fd, const char *name, size_t bytes)
{
    int error;
    do
        error = posix_fallocate(fd, 0, (off_t)bytes);
    while (error == EINTR);
    if (error == ENOSPC) {
        struct statvfs fs;
        uint64_t available = fstatvfs(fd, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
        return hz_err_set(-ENOSPC, "the segment %s needs %zu bytes in " SHM_FOLDER ", %" PRIu64 " bytes are free there",
                name, bytes, available);
    }
    return error == 0
                   ? 0
                   : hz_err_set(-error, "cannot allocate %zu bytes in " SHM_FOLDER " for the segment %s", bytes, name);
}

int hz_segment_create(struct hz_segment *ret_segment, const char *instance, const struct hz_uuid *worker_id,
        const struct hz_geometry *geometry, int *ret_fd)
{
    HZ_ASSERT(geometry_ok(geometry));
    struct hz_segment segment = {.geometry = *geometry, .total_bytes = hz_segment_bytes(geometry)};
    hz_segment_name(segment.name, instance, worker_id);
    int fd = shm_open(segment.name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return hz_err_set(-errno, "cannot create the segment %s in " SHM_FOLDER, segment.name);
    int result = allocate(fd, segment.name, segment.total_bytes);
    if (result != 0)
        goto fail;
    segment.base = mmap(NULL, segment.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (segment.base == MAP_FAILED) {
        result = hz_err_set(-errno, "cannot map the segment %s of %zu bytes", segment.name, segment.total_bytes);
        goto fail;
    }
    wire(&segment, true);
    struct stat st;
    if (fstat(fd, &st) == 0) {
        segment.device = (uint64_t)st.st_dev;
        segment.inode = (uint64_t)st.st_ino;
    }
    struct hz_segment_header *header = segment.header;
    header->layout_version = HZ_LAYOUT_VERSION;
    header->header_bytes = (uint32_t)sizeof(*header);
    header->total_bytes = segment.total_bytes;
    header->geometry = *geometry;
    header->worker_id = *worker_id;
    header->generation = 1;
    header->manager_pid = (uint32_t)getpid();
    header->created_wall_ms = hz_base_wall_ms();
    /* Everything else is right as zeros, which is what a new object holds. The magic comes last, with release: an
     * observer that finds the name early sees either no magic or a whole header. */
    __atomic_store_n(&header->magic, HZ_SEGMENT_MAGIC, __ATOMIC_RELEASE);
    *ret_segment = segment;
    *ret_fd = fd;
    return 0;
fail:
    shm_unlink(segment.name);
    close(fd);
    return result;
}

/* As long as it is mapped its number belongs to no other object of that file system. */
int hz_segment_reopen(const struct hz_segment *segment, int *ret_fd)
{
    HZ_CHECK_OBJ(segment, HZ_SEGMENT_HANDLE_MAGIC);
    struct stat st;
    int fd = shm_open(segment->name, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return hz_err_set(
                HZ_ENOTFOUND, "the segment %s is not there under its name: %s", segment->name, strerror(errno));
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_dev != segment->device || (uint64_t)st.st_ino != segment->inode) {
        close(fd);
        return hz_err_set(HZ_ENOTFOUND, "under the name of the segment %s is another object", segment->name);
    }
    *ret_fd = fd;
    return 0;
}

int hz_segment_adopt(struct hz_segment *ret_segment, int fd, const struct hz_geometry *geometry, const char *name)
{
    if (!geometry_ok(geometry))
        return hz_err_set(HZ_EFORMAT, "a segment of impossible geometry");
    struct hz_segment segment = {.geometry = *geometry, .total_bytes = hz_segment_bytes(geometry)};
    struct stat st;
    if (fstat(fd, &st) != 0)
        return hz_err_set(-errno, "cannot examine the segment %s", name);
    segment.device = (uint64_t)st.st_dev;
    segment.inode = (uint64_t)st.st_ino;
    snprintf(segment.name, sizeof(segment.name), "%s", name);
    /* One that was made shorter meanwhile is the guard's. */
    segment.base = mmap(NULL, segment.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (segment.base == MAP_FAILED)
        return hz_err_set(-errno, "cannot map the segment %s", name);
    wire(&segment, true);
    *ret_segment = segment;
    return 0;
}

int hz_segment_attach(struct hz_segment *ret_segment, int fd, const struct hz_geometry *geometry)
{
    if (!geometry_ok(geometry))
        return hz_err_set(HZ_EFORMAT,
                "the geometry of the segment: %u lanes, rings of %" PRIu64 ", %" PRIu64 ", %" PRIu64 " bytes",
                geometry->lanes, geometry->command_bytes, geometry->result_bytes, geometry->metrics_bytes);
    struct hz_segment segment = {.geometry = *geometry, .total_bytes = hz_segment_bytes(geometry)};
    struct stat st;
    if (fstat(fd, &st) != 0)
        return hz_err_set(-errno, "cannot examine the segment on descriptor %d", fd);
    if (st.st_size != (off_t)segment.total_bytes)
        return hz_err_set(
                HZ_EFORMAT, "the segment has %jd bytes instead of %zu", (intmax_t)st.st_size, segment.total_bytes);
    segment.base = mmap(NULL, segment.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (segment.base == MAP_FAILED)
        return hz_err_set(-errno, "cannot map the segment of %zu bytes", segment.total_bytes);
    wire(&segment, false);
    const struct hz_segment_header *header = segment.header;
    int result = 0;
    if (__atomic_load_n(&header->magic, __ATOMIC_ACQUIRE) != HZ_SEGMENT_MAGIC)
        result = hz_err_set(HZ_EFORMAT, "the object on descriptor %d is no segment", fd);
    else if (header->layout_version != HZ_LAYOUT_VERSION || header->header_bytes != sizeof(*header))
        result = hz_err_set(HZ_EVERSION, "the segment has layout %u, this program knows %u", header->layout_version,
                HZ_LAYOUT_VERSION);
    else if (header->total_bytes != segment.total_bytes)
        result = hz_err_set(HZ_EFORMAT, "the segment says %" PRIu64 " bytes instead of %zu", header->total_bytes,
                segment.total_bytes);
    if (result != 0) {
        munmap(segment.base, segment.total_bytes);
        return result;
    }
    *ret_segment = segment;
    return 0;
}

/* One private copy of a header that a hostile worker may be changing: only the copy is checked, only the copy is used.
 */
static int check_observed(const struct hz_segment_header *copy, const char *name, uint64_t object_bytes)
{
    if (copy->magic != HZ_SEGMENT_MAGIC)
        return hz_err_set(HZ_EFORMAT, "%s is no segment", name);
    if (copy->layout_version != HZ_LAYOUT_VERSION || copy->header_bytes != sizeof(*copy))
        return hz_err_set(HZ_EVERSION, "the segment %s has layout %u, this program knows %u", name,
                copy->layout_version, HZ_LAYOUT_VERSION);
    if (!geometry_ok(&copy->geometry))
        return hz_err_set(HZ_EFORMAT, "the segment %s claims an impossible geometry", name);
    uint64_t needed = hz_segment_bytes(&copy->geometry);
    if (copy->total_bytes != needed || object_bytes != needed)
        return hz_err_set(HZ_EFORMAT, "the segment %s has %" PRIu64 " bytes, its geometry needs %" PRIu64, name,
                object_bytes, needed);
    return 0;
}

int hz_segment_observe(struct hz_segment *ret_segment, const char *name)
{
    if (strnlen(name, HZ_SEGMENT_NAME) >= HZ_SEGMENT_NAME)
        return hz_err_set(HZ_EFORMAT, "a segment name has at most %u characters", HZ_SEGMENT_NAME - 1);
    int fd = shm_open(name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return hz_err_set(-errno, "cannot open the segment %s", name);
    struct hz_segment segment = {.name = ""};
    struct hz_segment_header copy;
    struct stat st;
    int result;
    /* pread, not a load: an object made shorter meanwhile gives fewer bytes instead of a signal. */
    if (fstat(fd, &st) != 0 || pread(fd, &copy, sizeof(copy), 0) != (ssize_t)sizeof(copy)) {
        result = hz_err_set(HZ_EFORMAT, "the segment %s has no header", name);
        goto out;
    }
    result = check_observed(&copy, name, (uint64_t)st.st_size);
    if (result != 0)
        goto out;
    snprintf(segment.name, sizeof(segment.name), "%s", name);
    segment.geometry = copy.geometry;
    segment.total_bytes = (size_t)st.st_size;
    segment.base = mmap(NULL, segment.total_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (segment.base == MAP_FAILED) {
        result = hz_err_set(-errno, "cannot map the segment %s", name);
        goto out;
    }
    wire(&segment, true);
    segment.commands.producer = false; /* an observer writes nowhere */
    *ret_segment = segment;
out:
    close(fd);
    return result;
}

void hz_segment_detach(struct hz_segment *segment)
{
    if (segment->magic == 0)
        return;
    HZ_CHECK_OBJ(segment, HZ_SEGMENT_HANDLE_MAGIC);
    munmap(segment->base, segment->total_bytes);
    *segment = (struct hz_segment){.magic = 0};
}

int hz_segment_unlink(const char *name)
{
    return shm_unlink(name) == 0 ? 0 : hz_err_set(-errno, "cannot remove the segment %s", name);
}

int hz_segment_list(const char *instance, void (*fn)(const char *name, void *arg), void *arg)
{
    char prefix[HZ_SEGMENT_NAME];
    snprintf(prefix, sizeof(prefix), PREFIX "%s%s", instance != NULL ? instance : "", instance != NULL ? "-" : "");
    DIR *folder = opendir(SHM_FOLDER);
    if (folder == NULL)
        return hz_err_set(-errno, "cannot list " SHM_FOLDER);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        size_t len = strnlen(entry->d_name, HZ_SEGMENT_NAME);
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 || len >= HZ_SEGMENT_NAME - 1)
            continue;
        char name[HZ_SEGMENT_NAME + 1] = "/";
        memcpy(name + 1, entry->d_name, len + 1);
        fn(name, arg);
        count++;
    }
    closedir(folder);
    return count;
}
