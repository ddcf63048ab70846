/*
 * checkpoint_value.c - values as bytes and back: exact where JSON is not (undefined, NaN, infinities, -0). Worker, any thread.
 *
 * A tag, then: numbers 8 bytes of the double (integers within +-2^53 are exact in it), strings a length and bytes, containers
 * a count and their members in order.
 */
#include "checkpoint.h"

#include <string.h>

enum { TAG_UNDEFINED = 1, TAG_NULL, TAG_FALSE, TAG_TRUE, TAG_NUMBER, TAG_STRING, TAG_ARRAY, TAG_OBJECT };

static void put_tag(struct hz_buffer *buffer, unsigned char tag)
{
    hz_buffer_add(buffer, &tag, 1);
}

static void put_text(struct hz_buffer *buffer, hz_str text)
{
    uint64_t len = text.len;
    hz_buffer_add(buffer, &len, sizeof(len));
    hz_buffer_add(buffer, text.data, text.len);
}

static bool put_object(struct hz_buffer *buffer, const hz_value *value, unsigned depth)
{
    uint64_t count = hz_value_length(value);
    void *cursor = NULL;
    hz_str key;
    const hz_value *member;
    put_tag(buffer, TAG_OBJECT);
    hz_buffer_add(buffer, &count, sizeof(count));
    while (hz_value_next(value, &cursor, &key, &member)) {
        put_text(buffer, key);
        if (!hz_checkpoint_put_value(buffer, member, depth + 1)) {
            hz_value_next_stop(&cursor);
            return false;
        }
    }
    return true;
}

bool hz_checkpoint_put_value(struct hz_buffer *buffer, const hz_value *value, unsigned depth)
{
    if (depth > HZ_VALUE_DEPTH)
        return false;
    switch (hz_value_type(value)) {
    case HZ_UNDEFINED:
        put_tag(buffer, TAG_UNDEFINED);
        break;
    case HZ_NULL:
        put_tag(buffer, TAG_NULL);
        break;
    case HZ_BOOL:
        put_tag(buffer, hz_value_truthy(value) ? TAG_TRUE : TAG_FALSE);
        break;
    case HZ_NUMBER: {
        double number = hz_value_num(value);
        put_tag(buffer, TAG_NUMBER);
        hz_buffer_add(buffer, &number, sizeof(number));
        break;
    }
    case HZ_STRING:
        put_tag(buffer, TAG_STRING);
        put_text(buffer, hz_value_str(value));
        break;
    case HZ_ARRAY: {
        uint64_t count = hz_value_length(value);
        put_tag(buffer, TAG_ARRAY);
        hz_buffer_add(buffer, &count, sizeof(count));
        for (size_t i = 0; i < count; i++)
            if (!hz_checkpoint_put_value(buffer, hz_value_at(value, i), depth + 1))
                return false;
        break;
    }
    case HZ_OBJECT:
        return put_object(buffer, value, depth);
    }
    return !buffer->failed;
}

const char *hz_checkpoint_get_bytes(struct hz_checkpoint_reader *reader, size_t len)
{
    if (reader->bad || len > (size_t)(reader->end - reader->at)) {
        reader->bad = true;
        return NULL;
    }
    const unsigned char *bytes = reader->at;
    reader->at += len;
    return (const char *)bytes;
}

uint32_t hz_checkpoint_get32(struct hz_checkpoint_reader *reader)
{
    uint32_t v = 0;
    const char *bytes = hz_checkpoint_get_bytes(reader, sizeof(v));
    if (bytes)
        memcpy(&v, bytes, sizeof(v));
    return v;
}

uint64_t hz_checkpoint_get64(struct hz_checkpoint_reader *reader)
{
    uint64_t v = 0;
    const char *bytes = hz_checkpoint_get_bytes(reader, sizeof(v));
    if (bytes)
        memcpy(&v, bytes, sizeof(v));
    return v;
}

static const hz_value *fail(struct hz_checkpoint_reader *reader, const hz_value *value)
{
    reader->bad = true;
    hz_value_unref(value);
    return NULL;
}

/* Every member takes at least one byte, so a false count ends at the end of the bytes. */
static const hz_value *get_container(struct hz_checkpoint_reader *reader, bool is_object, unsigned depth)
{
    uint64_t count = hz_checkpoint_get64(reader);
    hz_value *container = is_object ? hz_value_object() : hz_value_array();
    if (!container || reader->bad)
        return fail(reader, container);
    for (uint64_t i = 0; i < count; i++) {
        size_t key_len = is_object ? (size_t)hz_checkpoint_get64(reader) : 0;
        const char *key = is_object ? hz_checkpoint_get_bytes(reader, key_len) : "";
        const hz_value *member = key ? hz_checkpoint_get_value(reader, depth + 1) : NULL;
        if (!member)
            return fail(reader, container);
        int r = hz_value_type(member) == HZ_UNDEFINED ? HZ_EFORMAT /* never inside a container */
                : is_object                           ? hz_value_set(container, key, key_len, member)
                                                      : hz_value_push(container, member);
        hz_value_unref(member);
        if (r != 0)
            return fail(reader, container);
    }
    return container;
}

const hz_value *hz_checkpoint_get_value(struct hz_checkpoint_reader *reader, unsigned depth)
{
    const char *tag = hz_checkpoint_get_bytes(reader, 1);
    const hz_value *value = NULL;
    if (!tag || depth > HZ_VALUE_DEPTH)
        return fail(reader, NULL);
    switch (*tag) {
    case TAG_UNDEFINED:
        return hz_value_undefined();
    case TAG_NULL:
        return hz_value_null();
    case TAG_FALSE:
    case TAG_TRUE:
        return hz_value_bool(*tag == TAG_TRUE);
    case TAG_NUMBER: {
        double number;
        const char *bytes = hz_checkpoint_get_bytes(reader, sizeof(number));
        if (bytes) {
            memcpy(&number, bytes, sizeof(number));
            value = hz_value_number(number);
        }
        break;
    }
    case TAG_STRING: {
        size_t len = (size_t)hz_checkpoint_get64(reader);
        const char *bytes = hz_checkpoint_get_bytes(reader, len);
        value = bytes ? hz_value_string(bytes, len) : NULL;
        break;
    }
    case TAG_ARRAY:
    case TAG_OBJECT:
        return get_container(reader, *tag == TAG_OBJECT, depth);
    default:
        break;
    }
    return value ? value : fail(reader, NULL);
}
