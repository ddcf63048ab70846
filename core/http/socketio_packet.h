/*
 * socketio_packet.h - packets of Socket.IO 5 as text: type, attachments, namespace, id, JSON. Pure functions, any
 * thread.
 */
#ifndef HZ_CORE_HTTP_SOCKETIO_PACKET_H
#define HZ_CORE_HTTP_SOCKETIO_PACKET_H

#include "shm/base.h"
#include <jansson.h>

#define HZ_SIO_NAMESPACE_MAX   128u /* bytes of a name that is looked at */
#define HZ_SIO_ATTACHMENTS_MAX 16u
#define HZ_SIO_DEPTH           100u /* nesting of what a client sends */

enum hz_sio_type {
    HZ_SIO_CONNECT,
    HZ_SIO_DISCONNECT,
    HZ_SIO_EVENT,
    HZ_SIO_ACK,
    HZ_SIO_CONNECT_ERROR,
    HZ_SIO_BINARY_EVENT,
    HZ_SIO_BINARY_ACK
};

struct hz_sio_packet {
    enum hz_sio_type type;
    uint32_t attachments;
    char nsp[HZ_SIO_NAMESPACE_MAX + 1]; /* "/" by default */
    bool has_id;
    uint64_t id;  /* at most 15 digits: exact in every client */
    json_t *data; /* NULL: none; owned */
};

/*
 * hz_sio_packet_parse - reads and checks a packet: its form, and that the JSON is of the shape its type asks for (an
 * event's first element is a name that is not reserved; places of attachments are below their number).
 *
 * Returns  NULL, or what is wrong with it (nothing is owned then)
 */
HZ_MUST_CHECK const char *hz_sio_packet_parse(const char *text, size_t len, struct hz_sio_packet *ret_packet);
void hz_sio_packet_fini(struct hz_sio_packet *packet);

#define HZ_SIO_HEAD_MAX (HZ_SIO_NAMESPACE_MAX + 64u)
/* What stands before the JSON, with the '4' of the Engine.IO message; length. id: NULL none. */
size_t hz_sio_packet_head(
        char to[HZ_SIO_HEAD_MAX], enum hz_sio_type type, size_t attachments, const char *nsp, const uint64_t *id);

#endif
