/* socketio_packet.c - reads what clients send: every byte is checked here, nothing is believed. Pure functions. */
#include "socketio_packet.h"

#include "core/flow/json_text.h"

#include <stdio.h>
#include <string.h>

enum { ID_DIGITS = 15 };

/* Digits at *at, at most `most` of them. False: none or too many. */
static bool take_number(const char **at, const char *end, unsigned most, uint64_t *ret_number)
{
    const char *from = *at;
    *ret_number = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        if ((size_t)(*at - from) == most)
            return false;
        *ret_number = *ret_number * 10 + (uint64_t)(**at - '0');
    }
    return *at > from;
}

static bool is_reserved(const char *name)
{
    static const char *const names[] = {
            "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"};
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Each {"_placeholder": true, "num": n} has n below count. Nesting is what the parser let in. */
static bool places_fit(const json_t *value, uint32_t count)
{
    const json_t *member;
    size_t index;
    if (json_is_array(value)) {
        json_array_foreach(value, index, member) if (!places_fit(member, count)) return false;
        return true;
    }
    if (!json_is_object(value))
        return true;
    if (json_is_true(json_object_get(value, "_placeholder"))) {
        const json_t *number = json_object_get(value, "num");
        return json_is_integer(number) && json_integer_value(number) >= 0 && json_integer_value(number) < count;
    }
    union { /* the library's iterator is for those who change things, too */
        const json_t *given;
        json_t *wanted;
    } object = {value};
    for (void *at = json_object_iter(object.wanted); at; at = json_object_iter_next(object.wanted, at))
        if (!places_fit(json_object_iter_value(at), count))
            return false;
    return true;
}

static const char *check_event(const struct hz_sio_packet *packet)
{
    const json_t *name = json_is_array(packet->data) ? json_array_get(packet->data, 0) : NULL;
    if (json_is_string(name)) {
        const char *text = json_string_value(name);
        return strlen(text) == json_string_length(name) && !is_reserved(text) ? NULL : "an event's name is reserved";
    }
    return json_is_integer(name) ? NULL : "an event is an array that begins with its name";
}

static const char *check_shape(const struct hz_sio_packet *packet)
{
    switch (packet->type) {
    case HZ_SIO_CONNECT:
        return !packet->has_id && (!packet->data || json_is_object(packet->data)) ? NULL
                                                                                  : "a connect carries an object";
    case HZ_SIO_DISCONNECT:
        return !packet->data && !packet->has_id ? NULL : "a disconnect carries nothing";
    case HZ_SIO_EVENT:
    case HZ_SIO_BINARY_EVENT:
        return check_event(packet);
    case HZ_SIO_ACK:
    case HZ_SIO_BINARY_ACK:
        return packet->has_id && json_is_array(packet->data) ? NULL : "an answer is an array with an id";
    case HZ_SIO_CONNECT_ERROR:
        break;
    }
    return "only a server refuses a connect";
}

static const char *take_namespace(const char **at, const char *end, struct hz_sio_packet *packet)
{
    strcpy(packet->nsp, "/");
    if (*at == end || **at != '/')
        return NULL;
    const char *comma = memchr(*at, ',', (size_t)(end - *at));
    size_t len = (size_t)((comma ? comma : end) - *at);
    if (len > HZ_SIO_NAMESPACE_MAX || memchr(*at, 0, len))
        return "a namespace's name is too long";
    for (size_t i = 0; i < len; i++) /* it is given back in an answer */
        if ((unsigned char)(*at)[i] < 0x20)
            return "a namespace's name has control characters";
    memcpy(packet->nsp, *at, len);
    packet->nsp[len] = 0;
    *at += len + (comma != NULL);
    return NULL;
}

static const char *parse(const char *text, size_t len, struct hz_sio_packet *packet)
{
    const char *at = text, *end = text + len;
    struct hz_json_text_error error;
    uint64_t count = 0;
    if (at == end || *at < '0' || *at > '6')
        return "unknown type of packet";
    packet->type = (enum hz_sio_type)(*at++ - '0');
    if (packet->type == HZ_SIO_BINARY_EVENT || packet->type == HZ_SIO_BINARY_ACK) {
        if (!take_number(&at, end, 3, &count) || at == end || *at++ != '-')
            return "no number of attachments";
        if (count > HZ_SIO_ATTACHMENTS_MAX)
            return "too many attachments";
    }
    packet->attachments = (uint32_t)count;
    const char *wrong = take_namespace(&at, end, packet);
    if (wrong)
        return wrong;
    if (at < end && *at >= '0' && *at <= '9') {
        if (!take_number(&at, end, ID_DIGITS, &packet->id))
            return "an id that is too long";
        packet->has_id = true;
    }
    if (at < end) {
        packet->data = hz_json_text_parse(at, (size_t)(end - at), HZ_SIO_DEPTH, false, &error);
        if (!packet->data)
            return "no JSON";
    }
    wrong = check_shape(packet);
    return wrong || places_fit(packet->data, packet->attachments) || packet->attachments == 0
                   ? wrong
                   : "an attachment that is not there";
}

const char *hz_sio_packet_parse(const char *text, size_t len, struct hz_sio_packet *ret_packet)
{
    memset(ret_packet, 0, sizeof *ret_packet);
    const char *wrong = parse(text, len, ret_packet);
    if (wrong)
        hz_sio_packet_fini(ret_packet);
    return wrong;
}

void hz_sio_packet_fini(struct hz_sio_packet *packet)
{
    json_decref(packet->data);
    packet->data = NULL;
}

size_t hz_sio_packet_head(
        char to[HZ_SIO_HEAD_MAX], enum hz_sio_type type, size_t attachments, const char *nsp, const uint64_t *id)
{
    char number[24] = "", places[24] = "";
    bool binary = type == HZ_SIO_BINARY_EVENT || type == HZ_SIO_BINARY_ACK, main = strcmp(nsp, "/") == 0;
    if (id)
        snprintf(number, sizeof number, "%llu", (unsigned long long)*id);
    if (binary)
        snprintf(places, sizeof places, "%zu-", attachments);
    int len = snprintf(to, HZ_SIO_HEAD_MAX, "4%d%s%s%s%s", (int)type, places, main ? "" : nsp, main ? "" : ",", number);
    HZ_ASSERT(len > 0 && (size_t)len < HZ_SIO_HEAD_MAX);
    return (size_t)len;
}
