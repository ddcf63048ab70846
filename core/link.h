/*
 * link.h - one worker's segment and doorbells seen from the manager: commands out with a bounded backlog, results and metrics in
 * from a writer that is not trusted. Knows records, not their meaning. Runs on the shard that owns the worker.
 */
#ifndef HZ_CORE_LINK_H
#define HZ_CORE_LINK_H

#include "carry.h"
#include "shm/shm.h"

#define HZ_LINK_FDS 3
#define HZ_LINK_RECORDS 64u              /* a visit takes at most so many records ... */
#define HZ_LINK_BYTES ((size_t)256 << 10) /* ... and so many bytes, then the next link has its turn */

struct hz_link {
    uint32_t magic;
#define HZ_LINK_MAGIC 0x11e4c0deu
    struct hz_segment segment;
    int guard;                     /* slot of the SIGBUS guard, -1 none */
    int worker_bell, manager_bell; /* our ends of two pipes: we ring the one and wait for the other; -1 closed */
    struct hz_doorbell bell;       /* ours */
    struct hz_stream_out commands;
    struct hz_stream_in *streams;  /* per lane: results, metrics */
    uint32_t next;                 /* lane the next visit begins with */
    bool poisoned;
    char poison_reason[160];
    struct hz_stream_in *visited; /* of the message that fn is looking at; NULL outside a visit */
    unsigned charged, debt;       /* records charged in all (wraps); charged beyond a visit's budget: later visits are shorter */
    uint64_t records, visits;
};

/* Makes segment and doorbells. ret_far: what the spawn request carries to the worker, in its order (segment, the bell it waits for,
 * the bell it rings); the caller closes them. No open file of these is one that the manager reads or writes: flags that the worker
 * sets change nothing here. backlog: bytes that may wait for room in the command ring. Errors: those of hz_segment_create(),
 * HZ_ELIMIT (guard), -EMFILE. Leaves nothing behind, and ret_far untouched. */
HZ_MUST_CHECK int hz_link_open(struct hz_link *ret_link, const char *instance, const struct hz_uuid *worker_id,
        const struct hz_geometry *geometry, size_t backlog, int ret_far[HZ_LINK_FDS]);
/* For the next image of the manager: everything private, with the descriptors; segment_fd: hz_segment_reopen()'s.
 * Nothing may be unflushed or under way. */
void hz_link_carry(const struct hz_link *link, struct hz_carry_out *out, int segment_fd);
/* The other side of it. Takes the descriptors, also on failure: HZ_EFORMAT, HZ_ELIMIT, HZ_ENOMEM, -errno. */
HZ_MUST_CHECK int hz_link_adopt(struct hz_link *ret_link, struct hz_carry_in *in, size_t backlog);
/* Forgets the guard, unmaps, removes the name, closes the doorbells. Safe on a zeroed link. */
void hz_link_close(struct hz_link *link);

/* One message, parts[0] the fixed struct; not yet rung for: hz_link_flush(). Errors of hz_stream_send(). */
HZ_MUST_CHECK int hz_link_send(struct hz_link *link, uint32_t type, const struct hz_part *parts, size_t count);
/* Publishes and rings; true when nothing waits for room any more. */
bool hz_link_flush(struct hz_link *link);
static inline bool hz_link_blocked(const struct hz_link *link)
{
    return link->commands.first != NULL;
}

/* Takes records and hands them to fn (message valid during the call; lossy: of a metrics ring). At most HZ_LINK_RECORDS and HZ_LINK_BYTES
 * a visit. Returns how many records were taken; a broken rule poisons the link for good and ends the visit. fn must not close the link. */
typedef void hz_link_fn(void *arg, const struct hz_msg *msg, bool lossy);
unsigned hz_link_visit(struct hz_link *link, hz_link_fn *fn, void *arg);
/* From fn: this message was as much work as so many more records. They are taken from this visit's budget, and what it has not got, from
 * the next ones': a link gets the same share of a loop's time whatever its records cost. */
void hz_link_charge(struct hz_link *link, unsigned records);
/* Is there anything to take? */
bool hz_link_has_data(struct hz_link *link);
/* Marks it poisoned because of what a message said. */
void hz_link_poison(struct hz_link *link, const char *reason);

/* Announces sleep on our doorbell; false (and awake again) when something came in meanwhile. Then wait for manager_bell. */
bool hz_link_sleep(struct hz_link *link);
void hz_link_awake(struct hz_link *link);

/* Of the link's own files: the handles over a segment that is mapped and guarded. */
HZ_MUST_CHECK int hz_link_open_streams(struct hz_link *link, size_t backlog);

#endif
