/*
 * horizon/node.h - write a Horizon node.
 *
 * This header is everything a node may include of Horizon. A node is one shared object that defines, through HZ_NODE(),
 * exactly two symbols: `hz_node_abi` (what it was built against) and `hz_node` (what it is). It links to nothing of the
 * host: every function below is an inline call through the table the host hands over when it loads the node.
 *
 *     #include <horizon/node.h>
 *
 *     static int upper_run(hz_call *call)
 *     {
 *         hz_str text = hz_param_str(call, "text", "");
 *         ...
 *         return hz_emit(call, "response", hz_string(call, out, text.len));
 *     }
 *     HZ_NODE(.type = "upper", .title = "Upper case", .group = "Text", .inputs = HZ_NAMES("input"),
 *             .outputs = HZ_NAMES("response", "error"), .run = upper_run)
 *
 * ## Lifetime in seven sentences
 *
 * A *call* is one run of a node: one input message, any number of emissions. Everything the host returns from a call
 * (values, strings, memory) belongs to the call and is released by the host when the call is over; a node frees nothing.
 * A call is over when run() returns HZ_OK or an error, or, after it returned HZ_DEFER, when hz_done() was called.
 * hz_keep() takes a reference that outlives the call, hz_drop() gives it back. A value is immutable for everybody but the
 * call that built it, and for that call too once it was emitted, kept or stored as state. Memory of the node's own
 * (hz_self()) lives as long as the worker and must be rebuildable. Pointers handed to a callback are valid until that
 * callback returns.
 *
 * ## Threads
 *
 * run(), event() and every continuation of one execution happen on one thread at a time. Two executions may run the node
 * at once only if it declares HZ_NODE_CONCURRENT. Loop callbacks (timers, watches, hz_loop_post) run on the worker's
 * main loop thread; from there a call is continued with hz_resume(). hz_resume(), hz_loop_post(), hz_fire() and
 * hz_cancelled() may be called from any thread; everything else only from the thread that runs the call.
 *
 * ## ABI history
 *
 *   1.0  first release
 *
 * Rules: the major number changes when a node built earlier can no longer run; the minor number when something was added.
 * Additions go to the end of struct hz_host and struct hz_node_desc; both carry their size, so either side may be older.
 */
#ifndef HORIZON_NODE_H
#define HORIZON_NODE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HZ_ABI_MAGIC 0x485a4e44u /* "HZND" */
#define HZ_ABI_MAJOR 1u
#define HZ_ABI_MINOR 0u

/* ## Results. Functions that can fail return HZ_OK or one of the negative codes; run() returns them too. */
enum {
    HZ_OK = 0,
    HZ_DEFER = 1,        /* from run(), event() or a continuation: the call stays open until hz_done() */
    HZ_ERR_NOMEM = -1,   /* out of memory; the host ends the run with "out of memory" */
    HZ_ERR_INVALID = -2, /* an argument is wrong: bad key, wrong type, value not ours to change */
    HZ_ERR_NOENT = -3,   /* nothing there: no such node upstream, no open HTTP answer */
    HZ_ERR_ALREADY = -4, /* was done before: answer already sent, origin already arrived */
    HZ_ERR_CLOSED = -5,  /* the execution is cancelled or the worker is ending */
    HZ_ERR_LIMIT = -6,   /* a bound was reached: queue, message size, steps */
    HZ_ERR_FAILED = -7   /* the node failed; say why with hz_fail() */
};

typedef struct hz_call hz_call;       /* one run of a node */
typedef struct hz_value hz_value;     /* a JSON value with JavaScript's semantics; reference counted */
typedef struct hz_trigger hz_trigger; /* a started trigger: hz_fire() makes executions of it */
typedef struct hz_watch hz_watch;     /* a descriptor or timer of the main loop */

/* Bytes with a length; `data` is also NUL-terminated when it comes from the host. UTF-8 unless stated otherwise. */
typedef struct hz_str {
    const char *data;
    size_t len;
} hz_str;

enum hz_type { HZ_UNDEFINED = 0, HZ_NULL, HZ_BOOL, HZ_NUMBER, HZ_STRING, HZ_ARRAY, HZ_OBJECT };
enum hz_level { HZ_LEVEL_DEBUG = 0, HZ_LEVEL_INFO, HZ_LEVEL_WARN, HZ_LEVEL_ERROR };
enum { HZ_WATCH_READ = 1, HZ_WATCH_WRITE = 2 };

/* Continuation of a call on its execution's thread. Returns what run() may return. */
typedef int hz_continue_fn(hz_call *call, void *arg);
/* Answer to a question (hz_ask). ok: the route answered success. data: what it answered, NULL if nothing. message: its
 * message, or `Request timeout`, `Request failed`, `No parent port available`, `Worker stopped`. */
typedef int hz_answer_fn(hz_call *call, bool ok, const hz_value *data, hz_str message, void *arg);
/* On the main loop. events: HZ_WATCH_* bits for a descriptor, 0 for a timer or a post. */
typedef void hz_loop_fn(void *arg, int events);

/* An HTTP answer. Header names and values must not hold CR, LF or NUL (HZ_ERR_INVALID). */
struct hz_http_header {
    const char *name, *value;
};
struct hz_http_answer {
    int status;               /* 100..599 */
    const char *content_type; /* NULL: none */
    const void *body;
    size_t body_len;
    const struct hz_http_header *headers;
    size_t header_count;
};

/* ## The host's table. Grows at the end only; `size` says how much of it this host has. */
struct hz_host {
    uint32_t size, major, minor, reserved;
    /* parameters and input */
    const hz_value *(*param)(hz_call *, const char *key);
    const hz_value *(*input)(hz_call *);
    hz_str (*input_name)(hz_call *);
    hz_str (*input_node)(hz_call *);
    hz_str (*node_id)(hz_call *);
    hz_str (*node_name)(hz_call *);
    hz_str (*execution_id)(hz_call *);
    hz_str (*workflow_id)(hz_call *);
    hz_str (*worker_id)(hz_call *);
    hz_str (*env)(hz_call *, const char *name);
    bool (*is_development)(hz_call *);
    void *(*self)(hz_call *);
    /* emissions */
    int (*emit)(hz_call *, const char *output, const hz_value *data, const hz_value *meta);
    int (*fail)(hz_call *, const char *text, size_t len);
    int (*done)(hz_call *);
    int (*join)(hz_call *);
    int (*upstream)(hz_call *, const char *type, const hz_value **ret_data, const hz_value **ret_meta);
    /* state of this node within this execution */
    const hz_value *(*state_get)(hz_call *);
    int (*state_set)(hz_call *, const hz_value *);
    /* memory and values */
    void *(*alloc)(hz_call *, size_t size);
    hz_value *(*make_null)(hz_call *);
    hz_value *(*make_bool)(hz_call *, bool);
    hz_value *(*make_int)(hz_call *, int64_t);
    hz_value *(*make_num)(hz_call *, double);
    hz_value *(*make_str)(hz_call *, const char *, size_t);
    hz_value *(*make_object)(hz_call *);
    hz_value *(*make_array)(hz_call *);
    int (*set)(hz_value *object, const char *key, size_t key_len, const hz_value *);
    int (*push)(hz_value *array, const hz_value *);
    hz_value *(*copy)(hz_call *, const hz_value *);
    hz_value *(*parse)(hz_call *, const char *text, size_t len, hz_str *ret_error);
    hz_str (*print)(hz_call *, const hz_value *);
    enum hz_type (*type)(const hz_value *);
    bool (*as_bool)(const hz_value *);
    double (*as_num)(const hz_value *);
    hz_str (*as_str)(const hz_value *);
    size_t (*length)(const hz_value *);
    const hz_value *(*get)(const hz_value *, const char *key, size_t key_len);
    const hz_value *(*at)(const hz_value *, size_t index);
    bool (*next)(const hz_value *object, void **cursor, hz_str *ret_key, const hz_value **ret_value);
    bool (*equal)(const hz_value *, const hz_value *);
    const hz_value *(*keep)(const hz_value *);
    void (*drop)(const hz_value *);
    /* waiting */
    int (*after)(hz_call *, uint64_t delay_ms, hz_continue_fn *, void *arg);
    int (*resume)(hz_call *, hz_continue_fn *, void *arg);
    int (*on_cancel)(hz_call *, hz_loop_fn *, void *arg);
    bool (*cancelled)(hz_call *);
    int (*loop_post)(hz_loop_fn *, void *arg);
    hz_watch *(*watch)(int fd, int events, hz_loop_fn *, void *arg);
    hz_watch *(*timer)(uint64_t delay_ms, uint64_t repeat_ms, hz_loop_fn *, void *arg);
    int (*watch_events)(hz_watch *, int events);
    void (*watch_stop)(hz_watch *);
    /* triggers and the HTTP side */
    hz_trigger *(*trigger)(hz_call *);
    int (*fire)(hz_trigger *, const hz_value *data);
    int (*http_listen)(hz_call *, const char *method, const char *endpoint, uint32_t timeout_ms);
    int (*http_answer)(hz_call *, const struct hz_http_answer *);
    /* messages to people and to the manager */
    void (*log)(hz_call *, enum hz_level, const char *text, size_t len);
    int (*console)(hz_call *, const hz_value *);
    int (*ask)(hz_call *, const char *route, const hz_value *data, hz_answer_fn *, void *arg);
    int (*tell)(hz_call *, const char *route, const hz_value *data);
};

/* ## What a node says of itself */
struct hz_property {
    const char *key;
    const char *type;    /* string password textarea number switch options code list secret credential box button */
    const char *name;    /* label */
    const char *value;   /* default, JSON text: "\"get\"", "3", "[]" */
    const char *options; /* JSON array of {label, value}, or NULL */
    const char *extra;   /* JSON object of further keys (show, lang, min, max, description, object ...), or NULL */
};

enum { /* flags */
    HZ_NODE_TRIGGER = 1,    /* run() starts it once; each event is an execution of its own, begun by event() */
    HZ_NODE_SINGLETON = 2,  /* one instance per worker: hz_self() and parameters are those of the first run's instance */
    HZ_NODE_CONCURRENT = 4, /* several executions may be inside this node at once */
    HZ_NODE_BLOCKING = 8    /* run() may block or compute for long: it gets a thread of its own */
};
enum { /* capabilities: what run() needs beyond computing; the worker gets the union over its flow */
    HZ_CAP_NET = 1, HZ_CAP_FS_READ = 2, HZ_CAP_FS_WRITE = 4, HZ_CAP_EXEC = 8, HZ_CAP_JIT = 16
};

struct hz_node_desc {
    uint32_t size; /* set by HZ_NODE */
    uint32_t flags, caps, self_size; /* self_size: bytes of zeroed memory hz_self() returns, 0 for none */
    const char *type, *title, *group, *desc, *icon, *color, *version, *author, *license;
    const char *const *inputs, *const *outputs; /* NULL-terminated */
    const struct hz_property *properties;       /* ends with a NULL key */
    int (*run)(hz_call *);
    int (*event)(hz_call *);   /* triggers: input is the event */
    void (*close)(void *self); /* the worker ends: release what hz_self() holds */
};

struct hz_node_abi {
    uint32_t magic, size, major, minor, desc_size, host_size, property_size, reserved;
    const struct hz_host **host; /* where the loader puts the table */
};

#ifndef HZ_HOST_SIDE

#define HZ_EXPORT_ __attribute__((visibility("default")))
#define HZ_HIDDEN_ __attribute__((visibility("hidden")))
extern const struct hz_host *hz_host_table HZ_HIDDEN_;

#define HZ_NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HZ_PROPERTIES(...) ((const struct hz_property[]){__VA_ARGS__, {NULL, NULL, NULL, NULL, NULL, NULL}})
#define HZ_NODE(...)                                                                                                   \
    const struct hz_host *hz_host_table;                                                                               \
    extern const struct hz_node_abi hz_node_abi;                                                                       \
    extern const struct hz_node_desc hz_node;                                                                          \
    HZ_EXPORT_ const struct hz_node_abi hz_node_abi = {HZ_ABI_MAGIC, sizeof(struct hz_node_abi), HZ_ABI_MAJOR,         \
            HZ_ABI_MINOR, sizeof(struct hz_node_desc), sizeof(struct hz_host), sizeof(struct hz_property), 0,          \
            &hz_host_table};                                                                                           \
    HZ_EXPORT_ const struct hz_node_desc hz_node = {.size = sizeof(struct hz_node_desc), __VA_ARGS__};

#include "node_calls.h"
#endif

#ifdef __cplusplus
}
#endif
#endif
