/* js_internal.h - the engine's calls behind dlsym, one context, and the functions the js_*.c files share. */
#ifndef HZ_WORKER_JS_INTERNAL_H
#define HZ_WORKER_JS_INTERNAL_H

#include "js.h"

#include <JavaScriptCore/JavaScript.h>

#define HZ_JS_CALLS(X)                                                                                                 \
    X(JSContextGroupCreate)                                                                                            \
    X(JSContextGroupRelease)                                                                                           \
    X(JSGlobalContextCreateInGroup)                                                                                    \
    X(JSGlobalContextRelease)                                                                                          \
    X(JSEvaluateScript)                                                                                                \
    X(JSCheckScriptSyntax)                                                                                             \
    X(JSObjectCallAsFunction)                                                                                          \
    X(JSObjectIsFunction)                                                                                              \
    X(JSObjectGetPropertyAtIndex)                                                                                      \
    X(JSValueProtect)                                                                                                  \
    X(JSValueUnprotect)                                                                                                \
    X(JSValueGetType)                                                                                                  \
    X(JSValueMakeUndefined)                                                                                            \
    X(JSValueMakeNull)                                                                                                 \
    X(JSValueMakeBoolean)                                                                                              \
    X(JSValueMakeNumber)                                                                                               \
    X(JSValueMakeString)                                                                                               \
    X(JSValueMakeFromJSONString)                                                                                       \
    X(JSValueCreateJSONString)                                                                                         \
    X(JSValueToBoolean)                                                                                                \
    X(JSValueToNumber)                                                                                                 \
    X(JSValueToObject)                                                                                                 \
    X(JSValueToStringCopy)                                                                                             \
    X(JSStringCreateWithUTF8CString)                                                                                   \
    X(JSStringGetLength)                                                                                               \
    X(JSStringGetCharactersPtr)                                                                                        \
    X(JSStringRelease)

/* Exported by the library but not declared in its public headers. */
typedef bool hz_js_stop_fn(JSContextRef context, void *arg);
typedef void hz_js_set_limit_fn(JSContextGroupRef group, double seconds, hz_js_stop_fn *stop, void *arg);
typedef void hz_js_set_eval_fn(JSGlobalContextRef context, bool enabled, JSStringRef message);

struct hz_js_api {
#define HZ_JS_MEMBER(name) __typeof__(&name) name;
    HZ_JS_CALLS(HZ_JS_MEMBER)
#undef HZ_JS_MEMBER
    hz_js_set_limit_fn *JSContextGroupSetExecutionTimeLimit;
    hz_js_set_eval_fn *JSGlobalContextSetEvalEnabled;
};
/* Filled once by hz_js_preload() (pthread_once), never written again. */
extern struct hz_js_api hz_js_api;
#define JS(call) hz_js_api.call

/* The text of js_prelude.js, NUL-terminated; made by CMake. */
extern const char hz_js_prelude_text[];

#define HZ_JS_NAMES     64         /* names one expression may use */
#define HZ_JS_FUNCTIONS 1024       /* compiled functions kept */
#define HZ_JS_TEXT      (4u << 20) /* bytes of text of the functions kept */
#define HZ_JS_BUCKETS   512

struct hz_js_function; /* js_cache.c */
struct hz_js_cache {
    struct hz_js_function *buckets[HZ_JS_BUCKETS];
    struct hz_js_function *newest, *oldest; /* by last use */
    size_t count, bytes;
};

struct hz_js {
    uint32_t magic, time_limit_ms;
    JSContextGroupRef group;
    JSGlobalContextRef context;
    JSObjectRef revive, forget; /* functions of the prelude, protected */
    bool stopped;               /* the time limit ended the call under way */
    struct hz_js_cache cache;
    struct hz_buffer text; /* scratch of js_value.c and js_cache.c */
    char nan_mark[24];     /* no payload holds it: random per context */
    char error[1024];
};

/* A function ready to be called with the values of `names` (indices into the bindings given). */
struct hz_js_ready {
    JSObjectRef function;
    bool reads_match; /* the text may read the engine's memory of the last match (RegExp.$1) */
    size_t count;
    size_t bindings[HZ_JS_NAMES];
};
/* Finds or compiles. false: js->error says why. */
bool hz_js_cache_get(struct hz_js *js, const char *text, size_t len, const struct hz_js_binding *bindings, size_t count,
        struct hz_js_ready *ret);
/* One expression and nothing else? false: js->error says why. */
bool hz_js_cache_check(struct hz_js *js, const char *text, size_t len);
void hz_js_cache_fini(struct hz_js *js);

/* NULL: js->error says why. The result is kept alive by the caller's stack only. */
JSValueRef hz_js_value_in(struct hz_js *js, const hz_value *value);
hz_value *hz_js_value_out(struct hz_js *js, JSValueRef value);
/* UTF-8 of an engine's string, lone surrogates replaced. Appends; false: out of memory. */
bool hz_js_value_text(struct hz_buffer *buffer, JSStringRef string);
/* Puts the text of an exception (or of the time limit) into js->error. */
void hz_js_value_error(struct hz_js *js, JSValueRef exception);

#endif
