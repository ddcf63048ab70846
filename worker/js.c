/*
 * js.c - loading JavaScriptCore and one context: made, used for evaluations, ended. What an expression can reach is set
 * by js_prelude.js, what it may be by js_cache.c, how values cross by js_value.c. Worker process; the zygote only
 * preloads. A hz_js belongs to one thread.
 */
#include "js_internal.h"

#include "shm/err.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JS_MAGIC   0x484a5343u
#define JS_LIBRARY "libjavascriptcoregtk-4.1.so.0"

struct hz_js_api hz_js_api;
static pthread_once_t js_once = PTHREAD_ONCE_INIT;
static int js_load_result; /* written under js_once */
static char js_load_error[256];
static pthread_mutex_t js_first_lock = PTHREAD_MUTEX_INITIALIZER;
static bool js_first_done; /* under js_first_lock: the process has its first context, options are read */

/* The engine asks the zone's name of the environment first; the link behind /etc/localtime is out of reach later. */
static void js_set_zone(void)
{
    static const char folder[] = "zoneinfo/";
    char path[256];
    if (getenv("TZ"))
        return;
    ssize_t len = readlink("/etc/localtime", path, sizeof path - 1);
    if (len <= 0)
        return;
    path[len] = '\0';
    const char *name = strstr(path, folder);
    if (name)
        (void)setenv("TZ", name + strlen(folder), 1);
}

/*
 * The engine reads these at the first context. Garbage is collected on the context's own thread: then its CPU time is
 * on the bill and within the limit of the evaluation that made it, no thread is stopped by a signal in the middle of
 * another library's lock, and there are two threads fewer (5 % slower for an expression that does nothing but
 * allocate).
 */
static void js_set_options(void)
{
    (void)setenv("JSC_useJIT", "0", 1);
    (void)setenv("JSC_useConcurrentGC", "0", 1);
    (void)setenv("JSC_numberOfGCMarkers", "1", 1);
}

static void js_load(void)
{
    js_load_result = HZ_ENOTFOUND;
    void *library = dlopen(JS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        (void)snprintf(js_load_error, sizeof js_load_error, "%s", dlerror());
        return;
    }
#define JS_FIND(name)                                                                                                  \
    {                                                                                                                  \
        void *found = dlsym(library, #name);                                                                           \
        if (!found) {                                                                                                  \
            (void)snprintf(js_load_error, sizeof js_load_error, JS_LIBRARY " has no " #name);                          \
            return; /* stays loaded: unloading an engine is not supported */                                           \
        }                                                                                                              \
        memcpy(&hz_js_api.name, &found, sizeof found);                                                                 \
    }
    HZ_JS_CALLS(JS_FIND)
    JS_FIND(JSContextGroupSetExecutionTimeLimit)
    JS_FIND(JSGlobalContextSetEvalEnabled)
#undef JS_FIND
    js_set_options();
    js_set_zone();
    js_load_result = 0;
}

int hz_js_preload(void)
{
    pthread_once(&js_once, js_load);
    if (js_load_result < 0)
        return hz_err_set(js_load_result, "cannot load the JavaScript engine: %s", js_load_error);
    return 0;
}

/* Asked by the engine when the limit has passed, on the thread of the context. */
static bool js_stop(JSContextRef context HZ_UNUSED, void *arg)
{
    struct hz_js *js = arg;
    js->stopped = true;
    return true;
}

/* Options are read at the first context of a process: whoever is first decides about the JIT. */
static void js_make_context(struct hz_js *js, bool jit)
{
    pthread_mutex_lock(&js_first_lock);
    if (!js_first_done && jit)
        (void)setenv("JSC_useJIT", "1", 1);
    js_first_done = true;
    js->group = JS(JSContextGroupCreate)();
    js->context = JS(JSGlobalContextCreateInGroup)(js->group, NULL);
    pthread_mutex_unlock(&js_first_lock);
}

/* Runs the prelude; it answers with an array of functions for our side. */
static int js_prepare(struct hz_js *js)
{
    JSValueRef exception = NULL, mark, result = NULL;
    JSStringRef text = JS(JSStringCreateWithUTF8CString)(hz_js_prelude_text);
    JSStringRef url = JS(JSStringCreateWithUTF8CString)("prelude");
    JSValueRef prelude = JS(JSEvaluateScript)(js->context, text, NULL, url, 1, &exception);
    JS(JSStringRelease)(url);
    JS(JSStringRelease)(text);
    text = JS(JSStringCreateWithUTF8CString)(js->nan_mark);
    mark = JS(JSValueMakeString)(js->context, text);
    JS(JSStringRelease)(text);
    if (prelude) {
        JSObjectRef run = JS(JSValueToObject)(js->context, prelude, &exception);
        if (run)
            result = JS(JSObjectCallAsFunction)(js->context, run, NULL, 1, &mark, &exception);
    }
    JSObjectRef list = result ? JS(JSValueToObject)(js->context, result, &exception) : NULL;
    JSObjectRef *const slots[] = {&js->revive, &js->forget};
    for (unsigned i = 0; list && i < HZ_COUNT_OF(slots); i++) {
        JSValueRef item = JS(JSObjectGetPropertyAtIndex)(js->context, list, i, &exception);
        *slots[i] = item ? JS(JSValueToObject)(js->context, item, &exception) : NULL;
        if (*slots[i])
            JS(JSValueProtect)(js->context, *slots[i]);
    }
    if (!js->revive || !js->forget) {
        hz_js_value_error(js, exception);
        return hz_err_set(HZ_EEVAL, "the engine refuses the prelude: %s", js->error);
    }
    /* From here on code comes only from hz_js_cache_get(): no eval, no Function(). */
    text = JS(JSStringCreateWithUTF8CString)("code from text is not allowed in expressions");
    JS(JSGlobalContextSetEvalEnabled)(js->context, false, text);
    JS(JSStringRelease)(text);
    JS(JSContextGroupSetExecutionTimeLimit)(js->group, js->time_limit_ms / 1000.0, js_stop, js);
    return 0;
}

int hz_js_new(bool jit, uint32_t time_limit_ms, struct hz_js **ret_js)
{
    *ret_js = NULL;
    int rc = hz_js_preload();
    if (rc < 0)
        return rc;
    struct hz_js *js = calloc(1, sizeof *js);
    if (!js)
        return hz_err_set(HZ_ENOMEM, "no memory for a JavaScript context");
    uint64_t random;
    hz_base_random(&random, sizeof random);
    *js = (struct hz_js){.magic = JS_MAGIC, .time_limit_ms = time_limit_ms ? time_limit_ms : 1};
    (void)snprintf(js->nan_mark, sizeof js->nan_mark, "NaN %016llx", (unsigned long long)random);
    js_make_context(js, jit);
    rc = js_prepare(js);
    if (rc < 0) {
        hz_js_free(&js);
        return rc;
    }
    *ret_js = js;
    return 0;
}

void hz_js_free(struct hz_js **js)
{
    struct hz_js *gone = *js;
    if (!gone)
        return;
    HZ_CHECK_OBJ(gone, JS_MAGIC);
    *js = NULL;
    hz_js_cache_fini(gone);
    if (gone->revive)
        JS(JSValueUnprotect)(gone->context, gone->revive);
    if (gone->forget)
        JS(JSValueUnprotect)(gone->context, gone->forget);
    JS(JSGlobalContextRelease)(gone->context);
    JS(JSContextGroupRelease)(gone->group);
    hz_buffer_fini(&gone->text);
    gone->magic = 0;
    free(gone);
}

const hz_value *hz_js_eval(struct hz_js *js, const char *text, size_t len, const struct hz_js_binding *bindings,
        size_t count, const char **ret_error)
{
    HZ_CHECK_OBJ(js, JS_MAGIC);
    struct hz_js_ready ready;
    JSValueRef arguments[HZ_JS_NAMES], exception = NULL; /* on the stack, where the collector looks */
    const hz_value *made = NULL;
    js->stopped = false;
    js->error[0] = '\0';
    if (hz_js_cache_get(js, text, len, bindings, count, &ready)) {
        size_t given = 0;
        while (given < ready.count) {
            arguments[given] = hz_js_value_in(js, bindings[ready.bindings[given]].value);
            if (!arguments[given])
                break;
            given++;
        }
        if (given == ready.count) {
            if (ready.reads_match)
                (void)JS(JSObjectCallAsFunction)(js->context, js->forget, NULL, 0, NULL, NULL);
            JSValueRef result =
                    JS(JSObjectCallAsFunction)(js->context, ready.function, NULL, given, arguments, &exception);
            if (result)
                made = hz_js_value_out(js, result);
            else
                hz_js_value_error(js, exception);
        }
    }
    if (!made && ret_error)
        *ret_error = js->error;
    return made;
}

const char *hz_js_check(struct hz_js *js, const char *text, size_t len)
{
    HZ_CHECK_OBJ(js, JS_MAGIC);
    js->stopped = false;
    return hz_js_cache_check(js, text, len) ? NULL : js->error;
}
