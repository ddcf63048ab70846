/*
 * segment.h - the one shared memory object of a worker: create (manager), attach (worker, observers), unlink.
 *
 * Name: /horizon-<instance, 8 hex digits>-<worker uuid>. Made with shm_open(O_CREAT|O_EXCL, 0600) and posix_fallocate,
 * so that a full /dev/shm is an error here and not a SIGBUS later. Contents: header, doorbell cells, command ring,
 * lanes. Offsets follow from the geometry alone; the creator keeps the geometry in private memory and never reads it
 * back.
 */
#ifndef HZ_SHM_SEGMENT_H
#define HZ_SHM_SEGMENT_H

#include "crash_cell.h"
#include "doorbell.h"
#include "recorder.h"
#include "ring.h"
#include "stats.h"

#define HZ_SEGMENT_MAGIC  UINT64_C(0x314e5a5249524f48) /* "HORIRZN1" */
#define HZ_LAYOUT_VERSION 2u
#define HZ_MAX_LANES      16u
#define HZ_SEGMENT_NAME   64

struct hz_geometry {
    uint32_t lanes;
    uint64_t command_bytes, result_bytes, metrics_bytes; /* ring capacities, powers of two */
};

/* In the mapping, written by the creator before anybody attaches, read-only afterwards (a hostile worker may change it:
 * only observers read it, and they check it). */
struct hz_segment_header {
    uint64_t magic;
    uint32_t layout_version, header_bytes;
    uint64_t total_bytes;
    struct hz_geometry geometry;
    struct hz_uuid worker_id;
    char workflow_id[128]; /* set when the worker gets its flow; NUL-terminated */
    uint32_t generation, manager_pid;
    _Atomic uint32_t worker_pid;
    _Atomic uint32_t port;
    int64_t created_wall_ms;
    /* How it gets on, in the manager's judgement (core/progress.h), for observers: 0 to 4, and the beginning of the node's name. */
    _Atomic uint32_t progress, progress_reserved;
    _Atomic uint64_t progress_node[3];
    _Alignas(HZ_CACHE_LINE) struct hz_doorbell_cell worker_sleep; /* written by the worker's main loop */
    struct hz_doorbell_cell manager_sleep;                        /* written by the manager's shard */
};

struct hz_lane { /* private handle: pointers into one thread's share */
    struct hz_ring results, metrics;
    struct hz_stats_block *stats;
    struct hz_recorder_shared *recorder;
    struct hz_crash_cell *crash;
};

struct hz_segment { /* private handle */
    uint32_t magic;
#define HZ_SEGMENT_HANDLE_MAGIC 0x5e63e47u
    char name[HZ_SEGMENT_NAME]; /* empty when attached by descriptor */
    void *base;
    size_t total_bytes;
    uint64_t device, inode; /* creator: of the object, by the kernel's word */
    struct hz_geometry geometry;
    struct hz_segment_header *header;
    struct hz_ring commands;
    struct hz_lane lanes[HZ_MAX_LANES];
    bool manager_side;
};

/* Default geometry: `lanes` lanes in about 256 KiB for one lane. */
struct hz_geometry hz_segment_geometry(uint32_t lanes);
/* The same with rings of about `total_bytes` in all (clamped to 128 KiB .. 1 GiB). */
struct hz_geometry hz_segment_geometry_for(uint32_t lanes, uint64_t total_bytes);
size_t hz_segment_bytes(const struct hz_geometry *geometry);
void hz_segment_name(char ret_name[HZ_SEGMENT_NAME], const char *instance, const struct hz_uuid *worker_id);

/* Manager. *ret_fd: the descriptor to hand to the worker (caller closes). Errors: -EEXIST, -ENOSPC (with a sentence
 * that names /dev/shm, what is needed and what is free), -EMFILE ... Cost: about 130 us for 256 KiB. */
HZ_MUST_CHECK int hz_segment_create(struct hz_segment *ret_segment, const char *instance,
        const struct hz_uuid *worker_id, const struct hz_geometry *geometry, int *ret_fd);
/* Manager: opens by its name the object that is mapped, for a process image that follows this one. HZ_ENOTFOUND: under
 * that name is another one, or none. */
HZ_MUST_CHECK int hz_segment_reopen(const struct hz_segment *segment, int *ret_fd);
/* Manager, a later image: maps fd (which stays open) as its creator had it. Geometry and name are those the creator
 * kept in private; nothing in the mapping is read. The rings' indices are the caller's to set. HZ_EFORMAT: the geometry
 * cannot be. */
HZ_MUST_CHECK int hz_segment_adopt(
        struct hz_segment *ret_segment, int fd, const struct hz_geometry *geometry, const char *name);
/* Worker: maps fd read-write with the geometry it was told; refuses another magic, version or size (HZ_EVERSION,
 * HZ_EFORMAT). */
HZ_MUST_CHECK int hz_segment_attach(struct hz_segment *ret_segment, int fd, const struct hz_geometry *geometry);
/* Observer: maps by name, read-only; every size in the header is checked against the object's size. */
HZ_MUST_CHECK int hz_segment_observe(struct hz_segment *ret_segment, const char *name);
/* Unmaps; the name stays. Safe on a zeroed handle. */
void hz_segment_detach(struct hz_segment *segment);
/* Removes the name. 0 or -errno. */
int hz_segment_unlink(const char *name);
/* Calls fn for each segment name of `instance` (NULL: of any); returns how many, or -errno. */
int hz_segment_list(const char *instance, void (*fn)(const char *name, void *arg), void *arg);

#endif
