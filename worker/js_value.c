/*
 * js_value.c - values into the engine and out of it, as JSON text where they are containers. What an expression does to
 * its input it does to its own copy. Worker process, the thread of the context.
 */
#include "js_internal.h"

#include "utf8.h"
#include "value_internal.h"

#include <stdio.h>
#include <string.h>

static const void *value_no_memory(struct hz_js *js)
{
    (void)snprintf(js->error, sizeof js->error, "RangeError: out of memory");
    return NULL;
}

static JSValueRef value_in_json(struct hz_js *js, const hz_value *value)
{
    js->text.len = 0;
    bool nan = hz_value_print_script(&js->text, value, js->nan_mark);
    if (js->text.failed) {
        bool deep = js->text.too_deep;
        hz_buffer_fini(&js->text);
        if (!deep)
            return value_no_memory(js);
        (void)snprintf(
                js->error, sizeof js->error, "RangeError: a value is nested deeper than %d levels", HZ_VALUE_DEPTH);
        return NULL;
    }
    JSValueRef made, exception = NULL;
    JSStringRef text = JS(JSStringCreateWithUTF8CString)(js->text.data);
    if (nan) {
        JSValueRef argument = JS(JSValueMakeString)(js->context, text);
        made = JS(JSObjectCallAsFunction)(js->context, js->revive, NULL, 1, &argument, &exception);
    } else {
        made = JS(JSValueMakeFromJSONString)(js->context, text);
    }
    JS(JSStringRelease)(text);
    if (!made)
        hz_js_value_error(js, exception);
    return made;
}

JSValueRef hz_js_value_in(struct hz_js *js, const hz_value *value)
{
    switch (hz_value_type(value)) {
    case HZ_UNDEFINED:
        return JS(JSValueMakeUndefined)(js->context);
    case HZ_NULL:
        return JS(JSValueMakeNull)(js->context);
    case HZ_BOOL:
        return JS(JSValueMakeBoolean)(js->context, hz_value_truthy(value));
    case HZ_NUMBER:
        return JS(JSValueMakeNumber)(js->context, hz_value_num(value));
    case HZ_STRING:
    case HZ_ARRAY:
    case HZ_OBJECT:
        break;
    }
    return value_in_json(js, value);
}

bool hz_js_value_text(struct hz_buffer *buffer, JSStringRef string)
{
    const JSChar *units = JS(JSStringGetCharactersPtr)(string);
    size_t count = JS(JSStringGetLength)(string);
    char *to = hz_buffer_reserve(buffer, count > SIZE_MAX / 4 ? SIZE_MAX : count * 3); /* a unit is at most 3 bytes */
    if (!to)
        return false;
    char *at = to;
    for (size_t i = 0; i < count; i++) {
        uint32_t cp = units[i];
        if (cp < 0x80) {
            *at++ = (char)cp;
            continue;
        }
        if (cp >= 0xd800 && cp <= 0xdbff && i + 1 < count && units[i + 1] >= 0xdc00 && units[i + 1] <= 0xdfff)
            cp = 0x10000 + ((cp - 0xd800) << 10) + (units[++i] - 0xdc00u);
        char utf8[4];
        size_t size = hz_utf8_put(cp, utf8);
        memcpy(at, utf8, size);
        at += size;
    }
    *at = '\0';
    buffer->len += (size_t)(at - to);
    return true;
}

void hz_js_value_error(struct hz_js *js, JSValueRef exception)
{
    if (js->stopped) {
        (void)snprintf(js->error, sizeof js->error, "time limit of %u ms exceeded", js->time_limit_ms);
        return;
    }
    /* Text of an exception may be the expression's own code, which may fail or run out of time in turn. */
    JSStringRef string = exception ? JS(JSValueToStringCopy)(js->context, exception, NULL) : NULL;
    js->text.len = 0;
    if (js->stopped)
        (void)snprintf(js->error, sizeof js->error, "time limit of %u ms exceeded", js->time_limit_ms);
    else if (string && hz_js_value_text(&js->text, string))
        (void)snprintf(js->error, sizeof js->error, "%s", js->text.data);
    else
        (void)snprintf(js->error, sizeof js->error, "Error: an exception without text");
    if (string)
        JS(JSStringRelease)(string);
    if (js->text.failed)
        hz_buffer_fini(&js->text);
    js->error[hz_utf8_prefix(js->error, strlen(js->error))] = '\0'; /* where it was cut */
}

static hz_value *value_out_string(struct hz_js *js, JSValueRef value, bool json)
{
    JSValueRef exception = NULL;
    JSStringRef string = json ? JS(JSValueCreateJSONString)(js->context, value, 0, &exception)
                              : JS(JSValueToStringCopy)(js->context, value, &exception);
    if (!string && (exception || js->stopped)) {
        hz_js_value_error(js, exception);
        return NULL;
    }
    if (!string)
        return hz_value_undefined(); /* a toJSON() that answers nothing */
    js->text.len = 0;
    bool ok = hz_js_value_text(&js->text, string);
    JS(JSStringRelease)(string);
    const char *reason = "out of memory";
    hz_value *made = !ok    ? NULL
                     : json ? hz_value_parse(js->text.data, js->text.len, &reason)
                            : hz_value_string(js->text.data, js->text.len);
    if (!made)
        (void)snprintf(js->error, sizeof js->error, "RangeError: result refused: %s", reason);
    if (js->text.failed || js->text.capacity > 1u << 20) /* one large result must not stay for ever */
        hz_buffer_fini(&js->text);
    return made;
}

hz_value *hz_js_value_out(struct hz_js *js, JSValueRef value)
{
    hz_value *made;
    switch (JS(JSValueGetType)(js->context, value)) {
    case kJSTypeNull:
        made = hz_value_null();
        break;
    case kJSTypeBoolean:
        made = hz_value_bool(JS(JSValueToBoolean)(js->context, value));
        break;
    case kJSTypeNumber:
        made = hz_value_number(JS(JSValueToNumber)(js->context, value, NULL));
        break;
    case kJSTypeString:
    case kJSTypeBigInt:
        return value_out_string(js, value, false);
    case kJSTypeObject: {
        JSObjectRef object = JS(JSValueToObject)(js->context, value, NULL);
        if (object && !JS(JSObjectIsFunction)(js->context, object))
            return value_out_string(js, value, true);
        return hz_value_undefined();
    }
    case kJSTypeUndefined:
    case kJSTypeSymbol:
    default:
        return hz_value_undefined();
    }
    if (!made)
        (void)value_no_memory(js);
    return made;
}
