/*
 * schema_host.c - see schema_host.h. What a call makes is remembered in a list and released at its end.
 */
#include "schema_host.h"
#include "tests/unit/memory.h"

#include <stdlib.h>
#include <string.h>

struct owned {
    struct owned *next;
    const hz_value *value; /* NULL: the memory behind this header */
    _Alignas(16) char bytes[];
};
struct hz_call {
    struct owned *first;
};

static void *own(hz_call *call, const hz_value *value, size_t size)
{
    struct owned *owned = must_alloc(sizeof *owned + size);
    owned->next = call->first;
    owned->value = value;
    call->first = owned;
    return owned->bytes;
}

static hz_value *own_value(hz_call *call, hz_value *value)
{
    if (value)
        (void)own(call, value, 0);
    return value;
}

static void *host_alloc(hz_call *call, size_t size)
{
    return own(call, NULL, size);
}

static hz_value *host_null(hz_call *call)
{
    return own_value(call, hz_value_null());
}

static hz_value *host_bool(hz_call *call, bool v)
{
    return own_value(call, hz_value_bool(v));
}

static hz_value *host_int(hz_call *call, int64_t v)
{
    return own_value(call, hz_value_int(v));
}

static hz_value *host_num(hz_call *call, double v)
{
    return own_value(call, hz_value_number(v));
}

static hz_value *host_str(hz_call *call, const char *data, size_t len)
{
    return own_value(call, hz_value_string(data, len));
}

static hz_value *host_object(hz_call *call)
{
    return own_value(call, hz_value_object());
}

static hz_value *host_array(hz_call *call)
{
    return own_value(call, hz_value_array());
}

static int host_set(hz_value *object, const char *key, size_t len, const hz_value *value)
{
    return hz_value_set(object, key, len, value) < 0 ? HZ_ERR_NOMEM : HZ_OK;
}

static int host_push(hz_value *array, const hz_value *value)
{
    return hz_value_push(array, value) < 0 ? HZ_ERR_NOMEM : HZ_OK;
}

static hz_value *host_copy(hz_call *call, const hz_value *value)
{
    return own_value(call, hz_value_copy(value));
}

static hz_value *host_parse(hz_call *call, const char *text, size_t len, hz_str *ret_error)
{
    const char *error = "";
    hz_value *value = hz_value_parse(text, len, &error);
    if (!value && ret_error)
        *ret_error = hz_value_str(own_value(call, hz_value_string(error, strlen(error))));
    return own_value(call, value);
}

static hz_str host_print(hz_call *call, const hz_value *value)
{
    struct hz_buffer buffer = {0};
    hz_value_print(&buffer, value);
    hz_str text = hz_value_str(own_value(call, hz_value_string(buffer.data, buffer.len)));
    hz_buffer_fini(&buffer);
    return text;
}

static const struct hz_host table = {.size = sizeof table,
        .major = HZ_ABI_MAJOR,
        .minor = HZ_ABI_MINOR,
        .alloc = host_alloc,
        .make_null = host_null,
        .make_bool = host_bool,
        .make_int = host_int,
        .make_num = host_num,
        .make_str = host_str,
        .make_object = host_object,
        .make_array = host_array,
        .set = host_set,
        .push = host_push,
        .copy = host_copy,
        .parse = host_parse,
        .print = host_print,
        .type = hz_value_type,
        .as_bool = hz_value_truthy,
        .as_num = hz_value_num,
        .as_str = hz_value_str,
        .length = hz_value_length,
        .get = hz_value_get,
        .at = hz_value_at,
        .next = hz_value_next,
        .equal = hz_value_equal,
        .keep = hz_value_ref,
        .drop = hz_value_unref};

extern const struct hz_host *hz_host_table;
const struct hz_host *hz_host_table = &table;

hz_call *schema_host_begin(void)
{
    hz_call *call = must_alloc(sizeof *call);
    call->first = NULL;
    return call;
}

void schema_host_end(hz_call *call)
{
    while (call->first) {
        struct owned *next = call->first->next;
        hz_value_unref(call->first->value);
        free(call->first);
        call->first = next;
    }
    free(call);
}

hz_value *schema_host_parse(const char *text)
{
    const char *error = "";
    hz_value *value = hz_value_parse(text, strlen(text), &error);
    if (!value)
        HZ_FAIL("%s: %s", text, error);
    return value;
}
