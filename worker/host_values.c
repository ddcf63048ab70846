/*
 * host_values.c - memory and values for nodes. Worker, the thread that runs the call. What a node may change is known by
 * the call that built it (call.h); hz_set() and hz_push() have no call argument and ask the one that runs on this thread.
 */
#include "host.h"
#include "worker.h"

#include <math.h>
#include <string.h>

static void *host_alloc(hz_call *call, size_t size)
{
    return hz_host_is_open(call) ? hz_call_alloc(call, size) : NULL;
}

static hz_value *own(hz_call *call, hz_value *value)
{
    if (hz_host_is_open(call))
        return hz_call_own(call, value);
    hz_value_unref(value);
    return NULL;
}

static hz_value *own_container(hz_call *call, hz_value *value)
{
    if (hz_host_is_open(call))
        return hz_call_own_container(call, value);
    hz_value_unref(value);
    return NULL;
}

static hz_value *make_null(hz_call *call)
{
    return own(call, hz_value_null());
}

static hz_value *make_bool(hz_call *call, bool v)
{
    return own(call, hz_value_bool(v));
}

static hz_value *make_int(hz_call *call, int64_t v)
{
    return own(call, hz_value_int(v));
}

static hz_value *make_num(hz_call *call, double v)
{
    return own(call, hz_value_number(v));
}

static hz_value *make_str(hz_call *call, const char *data, size_t len)
{
    return data || len == 0 ? own(call, hz_value_string(data ? data : "", len)) : NULL;
}

static hz_value *make_object(hz_call *call)
{
    return own_container(call, hz_value_object());
}

static hz_value *make_array(hz_call *call)
{
    return own_container(call, hz_value_array());
}

static bool may_change(const hz_value *container, enum hz_type type)
{
    return container && hz_thread_call && hz_value_type(container) == type && hz_call_may_change(hz_thread_call, container);
}

static int host_set(hz_value *object, const char *key, size_t len, const hz_value *value)
{
    if (!object || !value)
        return HZ_ERR_NOMEM;
    if (!key || object == value || !may_change(object, HZ_OBJECT))
        return HZ_ERR_INVALID;
    return hz_value_set(object, key, len, value) == 0 ? HZ_OK : HZ_ERR_NOMEM;
}

static int host_push(hz_value *array, const hz_value *value)
{
    if (!array || !value)
        return HZ_ERR_NOMEM;
    if (array == value || !may_change(array, HZ_ARRAY))
        return HZ_ERR_INVALID;
    return hz_value_push(array, value) == 0 ? HZ_OK : HZ_ERR_NOMEM;
}

static hz_value *host_copy(hz_call *call, const hz_value *value)
{
    if (!value)
        return NULL;
    hz_value *copy = hz_value_copy(value);
    enum hz_type type = hz_value_type(value);
    return type == HZ_OBJECT || type == HZ_ARRAY ? own_container(call, copy) : own(call, copy);
}

static hz_value *host_parse(hz_call *call, const char *text, size_t len, hz_str *ret_error)
{
    const char *error = "out of memory";
    hz_value *value = text ? hz_value_parse(text, len, &error) : NULL;
    if (!value) {
        if (ret_error && hz_host_is_open(call)) { /* the text is only valid until the next parse: keep it for the call */
            size_t n = strlen(error);
            char *copy = hz_call_alloc(call, n + 1);
            if (copy)
                memcpy(copy, error, n + 1);
            *ret_error = copy ? (hz_str){copy, n} : (hz_str){"out of memory", 13};
        }
        return NULL;
    }
    enum hz_type type = hz_value_type(value);
    return type == HZ_OBJECT || type == HZ_ARRAY ? own_container(call, value) : own(call, value);
}

static hz_str host_print(hz_call *call, const hz_value *value)
{
    struct hz_buffer buffer = {0};
    hz_str none = {NULL, 0};
    if (!hz_host_is_open(call))
        return none;
    hz_value_print(&buffer, value);
    char *copy = buffer.failed ? NULL : hz_call_alloc(call, buffer.len + 1);
    size_t len = buffer.len;
    if (copy) {
        if (len > 0)
            memcpy(copy, buffer.data, len);
        copy[len] = '\0';
    }
    hz_buffer_fini(&buffer);
    return copy ? (hz_str){copy, len} : none;
}

static enum hz_type host_type(const hz_value *value)
{
    return value ? hz_value_type(value) : HZ_UNDEFINED;
}

static bool host_bool(const hz_value *value)
{
    return value && hz_value_truthy(value);
}

static double host_num(const hz_value *value)
{
    return value ? hz_value_num(value) : (double)NAN;
}

static hz_str host_str(const hz_value *value)
{
    return value ? hz_value_str(value) : (hz_str){"", 0};
}

static size_t host_length(const hz_value *value)
{
    return value ? hz_value_length(value) : 0;
}

static const hz_value *host_get(const hz_value *object, const char *key, size_t len)
{
    return object && key ? hz_value_get(object, key, len) : NULL;
}

static const hz_value *host_at(const hz_value *array, size_t index)
{
    return array ? hz_value_at(array, index) : NULL;
}

static bool host_next(const hz_value *object, void **cursor, hz_str *ret_key, const hz_value **ret_value)
{
    if (!object) {
        hz_value_next_stop(cursor);
        return false;
    }
    return hz_value_next(object, cursor, ret_key, ret_value);
}

static bool host_equal(const hz_value *a, const hz_value *b)
{
    if (!a || !b)
        return host_type(a) == host_type(b) && host_type(a) == HZ_UNDEFINED;
    return hz_value_equal(a, b);
}

static const hz_value *host_keep(const hz_value *value)
{
    if (value && hz_thread_call)
        hz_call_freeze(hz_thread_call, value);
    return hz_value_ref(value);
}

static void host_drop(const hz_value *value)
{
    hz_value_unref(value);
}

void hz_host_set_values(struct hz_host *host)
{
    host->make_null = make_null;
    host->make_bool = make_bool;
    host->make_int = make_int;
    host->make_num = make_num;
    host->make_str = make_str;
    host->make_object = make_object;
    host->make_array = make_array;
    host->set = host_set;
    host->push = host_push;
    host->copy = host_copy;
    host->parse = host_parse;
    host->print = host_print;
    host->type = host_type;
    host->as_bool = host_bool;
    host->as_num = host_num;
    host->as_str = host_str;
    host->length = host_length;
    host->get = host_get;
    host->at = host_at;
    host->next = host_next;
    host->equal = host_equal;
    host->keep = host_keep;
    host->drop = host_drop;
    host->alloc = host_alloc;
}
