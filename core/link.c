/*
 * link.c - the manager's end of one worker's segment. Every rule for bytes of a worker is kept below (ring, stream, msg); this file
 * bounds the visits, asks the guard before anything copied is acted on, and owns the descriptors. On the worker's shard only.
 */
#include "link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int hz_link_open_streams(struct hz_link *link, size_t backlog)
{
    uint32_t lanes = link->segment.geometry.lanes;
    struct hz_segment_header *header = link->segment.header;
    link->streams = calloc(2 * (size_t)lanes, sizeof *link->streams);
    if (!link->streams)
        return hz_err_set(HZ_ENOMEM, "link");
    for (uint32_t i = 0; i < lanes; i++) {
        int err = hz_stream_in_init(&link->streams[2 * (size_t)i], &link->segment.lanes[i].results, 'R', true);
        if (!err)
            err = hz_stream_in_init(&link->streams[2 * (size_t)i + 1], &link->segment.lanes[i].metrics, 'M', true);
        if (err)
            return err;
    }
    hz_stream_out_init(&link->commands, &link->segment.commands, &header->worker_sleep, link->worker_bell, backlog);
    hz_doorbell_attach(&link->bell, &header->manager_sleep, link->manager_bell);
    return 0;
}

int hz_link_open(struct hz_link *ret_link, const char *instance, const struct hz_uuid *worker_id, const struct hz_geometry *geometry,
        size_t backlog, int ret_far[HZ_LINK_FDS])
{
    struct hz_link *link = ret_link;
    int far[HZ_LINK_FDS] = {-1, -1, -1};
    memset(link, 0, sizeof *link);
    link->magic = HZ_LINK_MAGIC;
    link->guard = link->worker_bell = link->manager_bell = -1;
    int err = hz_segment_create(&link->segment, instance, worker_id, geometry, &far[0]);
    if (err) {
        link->magic = 0;
        return err;
    }
    link->guard = hz_guard_add(link->segment.base, link->segment.total_bytes);
    if (link->guard < 0)
        err = link->guard;
    if (!err) {
        err = hz_doorbell_pair(&far[1], &link->worker_bell);
        if (!err)
            err = hz_doorbell_pair(&link->manager_bell, &far[2]);
        if (err)
            err = hz_err_set(err, "cannot make a doorbell");
    }
    if (!err)
        err = hz_link_open_streams(link, backlog);
    if (err) {
        for (unsigned i = 0; i < HZ_LINK_FDS; i++)
            close_fd(&far[i]);
        hz_link_close(link);
        return err;
    }
    memcpy(ret_far, far, sizeof far);
    return 0;
}

void hz_link_close(struct hz_link *link)
{
    if (link->magic == 0)
        return;
    HZ_CHECK_OBJ(link, HZ_LINK_MAGIC);
    if (link->streams) {
        hz_stream_out_fini(&link->commands);
        for (uint32_t i = 0; i < 2 * link->segment.geometry.lanes; i++)
            hz_stream_in_fini(&link->streams[i]);
        free(link->streams);
    }
    char name[HZ_SEGMENT_NAME];
    memcpy(name, link->segment.name, sizeof name);
    /* The guard goes before the mapping: its slot must not outlive what it covers. This thread is the only reader. */
    if (link->guard >= 0)
        hz_guard_remove(link->guard);
    hz_segment_detach(&link->segment);
    if (name[0])
        (void)hz_segment_unlink(name);
    close_fd(&link->worker_bell);
    close_fd(&link->manager_bell);
    link->magic = 0;
}

void hz_link_poison(struct hz_link *link, const char *reason)
{
    if (link->poisoned)
        return;
    link->poisoned = true;
    snprintf(link->poison_reason, sizeof link->poison_reason, "%s", reason);
}

/* A fault in the mapping left zeros under everything: nothing copied since is worth a decision. */
static bool faulted(struct hz_link *link)
{
    if (link->guard >= 0 && hz_guard_poisoned(link->guard))
        hz_link_poison(link, "the segment was made shorter, or pages were taken out of it");
    return link->poisoned;
}

int hz_link_send(struct hz_link *link, uint32_t type, const struct hz_part *parts, size_t count)
{
    HZ_CHECK_OBJ(link, HZ_LINK_MAGIC);
    if (faulted(link))
        return HZ_EPOISON;
    int err = hz_stream_send(&link->commands, type, parts, count, false);
    if (err == HZ_EPOISON)
        hz_link_poison(link, "the command ring's head is impossible");
    return err;
}

bool hz_link_flush(struct hz_link *link)
{
    HZ_CHECK_OBJ(link, HZ_LINK_MAGIC);
    bool all = hz_stream_flush(&link->commands);
    if (link->commands.ring->poisoned)
        hz_link_poison(link, "the command ring's head is impossible");
    return all || faulted(link);
}

/* One ring of one lane; returns the records taken. The budget is what is left of the visit's. */
static unsigned visit_stream(struct hz_link *link, struct hz_stream_in *in, unsigned *records, size_t *bytes, hz_link_fn *fn, void *arg)
{
    unsigned begin = *records, charged = link->charged;
    struct hz_msg msg;
    enum hz_ring_result result;
    hz_stream_in_begin(in, *records, *bytes);
    link->visited = in;
    while ((result = hz_stream_in_next(in, &msg)) == HZ_RING_OK) {
        if (faulted(link))
            break;
        fn(arg, &msg, in->direction == 'M');
        if (link->poisoned)
            break;
    }
    link->visited = NULL;
    hz_stream_in_end(in);
    *records = in->records_left;
    *bytes = in->bytes_left;
    if (result == HZ_RING_POISON)
        hz_link_poison(link, in->poison_reason ? in->poison_reason : "a record that cannot be");
    return begin - *records - (link->charged - charged);
}

void hz_link_charge(struct hz_link *link, unsigned records)
{
    HZ_ASSERT(link->visited != NULL);
    unsigned part = HZ_MIN(records, link->visited->records_left);
    link->visited->records_left -= part;
    link->charged += part;
    link->debt += records - part;
}

unsigned hz_link_visit(struct hz_link *link, hz_link_fn *fn, void *arg)
{
    HZ_CHECK_OBJ(link, HZ_LINK_MAGIC);
    uint32_t lanes = link->segment.geometry.lanes;
    unsigned records = HZ_LINK_RECORDS, taken = 0;
    size_t bytes = HZ_LINK_BYTES;
    HZ_ASSERT(lanes > 0);
    unsigned owed = HZ_MIN(link->debt, records);
    link->visits++;
    link->debt -= owed;
    records -= owed;
    for (uint32_t i = 0; i < lanes && records > 0 && bytes > 0 && !faulted(link); i++) {
        uint32_t lane = (link->next + i) % lanes;
        struct hz_stream_in *results = &link->streams[2 * (size_t)lane], *metrics = results + 1;
        if (hz_ring_has_data(results->ring))
            taken += visit_stream(link, results, &records, &bytes, fn, arg);
        /* Metrics never take the last of a visit from results: a flood of them costs its own lane's metrics only. */
        if (records > 0 && bytes > 0 && !link->poisoned && hz_ring_has_data(metrics->ring)) {
            unsigned share = HZ_MAX(1u, records / 2), left = share;
            taken += visit_stream(link, metrics, &left, &bytes, fn, arg);
            records -= share - left;
        }
    }
    (void)faulted(link); /* also when the zeros looked like an empty ring */
    link->next = (link->next + 1) % lanes;
    link->records += taken;
    return taken;
}

bool hz_link_has_data(struct hz_link *link)
{
    for (uint32_t i = 0; i < 2 * link->segment.geometry.lanes; i++)
        if (hz_ring_has_data(link->streams[i].ring))
            return true;
    return false;
}

bool hz_link_sleep(struct hz_link *link)
{
    hz_doorbell_sleep(&link->bell);
    if (!hz_link_has_data(link) && !faulted(link))
        return true;
    hz_doorbell_awake(&link->bell, false);
    return false;
}

void hz_link_awake(struct hz_link *link)
{
    hz_doorbell_awake(&link->bell, true);
}
