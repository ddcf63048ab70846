/*
 * js.h - JavaScript for expressions: JavaScriptCore's C API, one context per thread, started when a flow first needs
 * it.
 *
 * The library is loaded with dlopen() (by the js zygote before it forks, RTLD_NOW; nothing runs then), contexts are
 * made after the fork. JIT off unless granted. Every evaluation has a time limit.
 */
#ifndef HZ_WORKER_JS_H
#define HZ_WORKER_JS_H

#include "value.h"

struct hz_js;

/* Loads the library into this process without starting it: no thread, no context. 0 or HZ_ENOTFOUND. Idempotent. */
HZ_MUST_CHECK int hz_js_preload(void);
/* jit: false sets JSC_useJIT=0 before the first context of the process. */
HZ_MUST_CHECK int hz_js_new(bool jit, uint32_t time_limit_ms, struct hz_js **ret_js);
void hz_js_free(struct hz_js **js);

/* A named value the expression sees: `input`, `env`, or a node's name. Only these and the pure globals exist. */
struct hz_js_binding {
    const char *name;
    size_t len;
    const hz_value *value;
};
/* Evaluates one expression (compiled functions are cached by text and names). New reference (undefined is a value), or
 * NULL: *ret_error (owned by js, until the next call) holds `TypeError: ...`, or `time limit of 1000 ms exceeded`. */
const hz_value *hz_js_eval(struct hz_js *js, const char *text, size_t len, const struct hz_js_binding *bindings,
        size_t count, const char **ret_error);
/* Is it one expression? NULL, or the reason. */
const char *hz_js_check(struct hz_js *js, const char *text, size_t len);

#endif
