/*
 * link_carry.c - a link goes from one image of the manager to the next: geometry, indices, epochs, what waits for room,
 * and the part of a message that has come, all from private memory. Of the segment nothing is read. On the worker's
 * shard.
 */
#include "link.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAITING_MOST (1u << 20) /* messages */

static void put_place(struct hz_carry_out *out, const struct hz_ring *ring)
{
    struct hz_ring_place place = hz_ring_place(ring);
    hz_carry_put(out, place.index);
    hz_carry_put(out, place.published);
    hz_carry_put(out, place.peer);
}

static void put_message(void *arg, uint32_t type, uint64_t total, uint32_t sequence, const void *data, size_t len)
{
    struct hz_carry_out *out = arg;
    hz_carry_put(out, type);
    hz_carry_put(out, total);
    hz_carry_put(out, sequence);
    hz_carry_put_bytes(out, data, len);
}

static void count_message(void *arg, uint32_t type, uint64_t total, uint32_t sequence, const void *data, size_t len)
{
    (void)type;
    (void)total;
    (void)sequence;
    (void)data;
    (void)len;
    ++*(uint64_t *)arg;
}

void hz_link_carry(const struct hz_link *link, struct hz_carry_out *out, int segment_fd)
{
    HZ_CHECK_OBJ(link, HZ_LINK_MAGIC);
    const struct hz_geometry *geometry = &link->segment.geometry;
    uint64_t waiting = 0;
    hz_carry_put_text(out, link->segment.name);
    hz_carry_put(out, geometry->lanes);
    hz_carry_put(out, geometry->command_bytes);
    hz_carry_put(out, geometry->result_bytes);
    hz_carry_put(out, geometry->metrics_bytes);
    hz_carry_put_fd(out, segment_fd);
    hz_carry_put_fd(out, link->worker_bell);
    hz_carry_put_fd(out, link->manager_bell);
    hz_carry_put(out, link->bell.epoch);
    hz_carry_put(out, link->commands.ringer.rung);
    hz_carry_put(out, link->next);
    put_place(out, link->commands.ring);
    hz_stream_each_waiting(&link->commands, count_message, &waiting);
    hz_carry_put(out, waiting);
    hz_stream_each_waiting(&link->commands, put_message, out);
    for (uint32_t i = 0; i < 2 * geometry->lanes; i++) {
        const struct hz_stream_in *in = &link->streams[i];
        size_t len;
        put_place(out, in->ring);
        const void *part = hz_stream_in_part(in, &len);
        hz_carry_put(out, len > 0);
        if (len > 0)
            put_message(out, in->joined_type, in->joined_total, in->joined_sequence, part, len);
    }
}

/* ---- the other side ---- */

static int take_place(struct hz_carry_in *in, struct hz_ring *ring)
{
    struct hz_ring_place place = {.index = hz_carry_take(in)};
    place.published = hz_carry_take(in);
    place.peer = hz_carry_take(in);
    return !in->bad && hz_ring_put_back(ring, &place) ? 0
                                                      : hz_err_set(HZ_EFORMAT, "the indices of a ring that cannot be");
}

struct message {
    uint32_t type, sequence;
    uint64_t total;
    const void *data;
    size_t len;
};

static bool take_message(struct hz_carry_in *in, struct message *m)
{
    m->type = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    m->total = hz_carry_take_most(in, HZ_MSG_MAX);
    m->sequence = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    m->data = hz_carry_take_bytes(in, HZ_MSG_MAX, &m->len);
    return !in->bad;
}

static int take_commands(struct hz_link *link, struct hz_carry_in *in)
{
    struct message m;
    int err = take_place(in, link->commands.ring);
    size_t waiting = hz_carry_take_count(in, WAITING_MOST);
    for (size_t i = 0; i < waiting && !err; i++)
        err = take_message(in, &m) ? hz_stream_put_back(&link->commands, m.type, m.total, m.sequence, m.data, m.len)
                                   : HZ_EFORMAT;
    return err;
}

static int take_streams(struct hz_link *link, struct hz_carry_in *in)
{
    int err = 0;
    for (uint32_t i = 0; i < 2 * link->segment.geometry.lanes && !err; i++) {
        struct hz_stream_in *stream = &link->streams[i];
        struct message m;
        err = take_place(in, stream->ring);
        if (!err && hz_carry_take_most(in, 1))
            err = take_message(in, &m) ? hz_stream_in_put_back(stream, m.type, m.total, m.sequence, m.data, m.len)
                                       : HZ_EFORMAT;
    }
    return err;
}

int hz_link_adopt(struct hz_link *ret_link, struct hz_carry_in *in, size_t backlog)
{
    struct hz_link *link = ret_link;
    char name[HZ_SEGMENT_NAME];
    struct hz_geometry geometry;
    memset(link, 0, sizeof *link);
    memset(&geometry, 0, sizeof geometry);
    link->magic = HZ_LINK_MAGIC;
    link->guard = -1;
    hz_carry_take_text(in, name, sizeof name);
    geometry.lanes = (uint32_t)hz_carry_take_most(in, HZ_MAX_LANES);
    geometry.command_bytes = hz_carry_take(in);
    geometry.result_bytes = hz_carry_take(in);
    geometry.metrics_bytes = hz_carry_take(in);
    int fd = hz_carry_take_fd(in);
    link->worker_bell = hz_carry_take_fd(in);
    link->manager_bell = hz_carry_take_fd(in);
    uint32_t epoch = (uint32_t)hz_carry_take_most(in, UINT32_MAX), rung = (uint32_t)hz_carry_take_most(in, UINT32_MAX);
    link->next = (uint32_t)hz_carry_take_most(in, HZ_MAX_LANES);
    bool whole = !in->bad && fd >= 0 && link->worker_bell >= 0 && link->manager_bell >= 0;
    int err = whole ? hz_segment_adopt(&link->segment, fd, &geometry, name)
                    : hz_err_set(HZ_EFORMAT, "a worker's link that cannot be");
    if (fd >= 0)
        close(fd);
    if (!err) {
        link->guard = hz_guard_add(link->segment.base, link->segment.total_bytes);
        err = link->guard < 0 ? link->guard : hz_link_open_streams(link, backlog);
    }
    if (!err) {
        link->bell.epoch = epoch;
        link->commands.ringer.rung = rung;
        link->next %= geometry.lanes;
        err = take_commands(link, in);
    }
    if (!err)
        err = take_streams(link, in);
    if (!err && in->bad)
        err = HZ_EFORMAT;
    if (err)
        hz_link_close(link);
    return err == HZ_EFORMAT ? hz_err_set(err, "a worker's link that cannot be") : err;
}
