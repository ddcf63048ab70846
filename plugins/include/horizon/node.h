/*
 * horizon/node.h - write a Horizon node. The comments of this header, node_calls.h and node_helpers.h are the manual.
 *
 * A node is one shared object. Through HZ_NODE() it defines exactly two symbols: `hz_node_abi` (what it was built
 * against) and `hz_node` (what it is). It links to nothing of the host: every function below is an inline call
 * through the table that the host hands over when it loads the node.
 *
 *     #include <horizon/node.h>
 *
 *     static int upper_run(hz_call *call)
 *     {
 *         hz_str text = hz_param_str(call, "text", "");
 *         char *out = hz_alloc(call, text.len + 1);
 *         if (!out)
 *             return HZ_ERR_NOMEM;
 *         for (size_t i = 0; i < text.len; i++)
 *             out[i] = text.data[i] >= 'a' && text.data[i] <= 'z' ? (char)(text.data[i] - 32) : text.data[i];
 *         return hz_emit(call, "response", hz_string(call, out, text.len));
 *     }
 *     HZ_NODE(.type = "upper", .title = "Upper case", .group = "Text", .inputs = HZ_NAMES("input"),
 *             .outputs = HZ_NAMES("response", "error"), .flags = HZ_NODE_CONCURRENT, .run = upper_run,
 *             .properties = HZ_PROPERTIES({.key = "text", .type = "string", .name = "Text", .value = "\"\""}))
 *
 * ## Lifetime
 *
 * A *call* is one run of a node: one input message, any number of emissions. Everything the host returns from a call
 * (values, strings, memory) belongs to the call and is released by the host when the call is over; a node frees
 * nothing. A call is over when run() returns HZ_OK or an error. If run() returns HZ_DEFER the call stays open until a
 * continuation returns HZ_OK or an error, or hz_done() was called. hz_keep() takes a reference that outlives the
 * call, hz_drop() gives it back. A value is immutable for everybody but the call that built it, and for that call too
 * once it was emitted, kept or stored as state. Memory of the node's own (hz_self()) lives as long as the worker and
 * must be rebuildable. Pointers handed to a callback are valid until that callback returns.
 *
 * ## Threads
 *
 * run(), event() and every continuation of one execution happen on one thread at a time. Two executions are inside a
 * node at once only if it declares HZ_NODE_CONCURRENT; otherwise the later one waits, without holding a thread. (Static
 * variables are shared by all nodes of the type in a flow: guard them in any case.) Loop callbacks (timers, watches,
 * hz_loop_post(), cancel hooks) run on the worker's main loop thread and must not block; from there a call is
 * continued with hz_resume(). hz_resume(), hz_loop_post(), hz_fire() and hz_cancelled() may be called from any
 * thread; watches and timers only from the main loop thread; everything else only from the thread that runs the call.
 *
 * ## Processes
 *
 * A node runs in a worker process of its own flow, behind a sandbox: no file, no socket, no process unless its
 * description asks for the capability (HZ_CAP_*). A refused system call fails with EPERM. Whatever a node does to its
 * process (crash, exit, endless loop) costs the executions of that worker and nothing else, and is reported with the
 * node's name.
 *
 * ## ABI history
 *
 *   1.0  first release
 *   1.1  hz_idempotency_key(), hz_attempt(), HZ_NODE_PURE
 *
 * Rules: the major number changes when a node built earlier can no longer run; the minor number when something was
 * added. Additions go to the end of struct hz_host, struct hz_node_desc and struct hz_property; all of them carry
 * their size in struct hz_node_abi. A host runs nodes of its own major number whose minor number is not above its
 * own; it refuses others with a sentence that says both versions and what differs. Sizes and offsets of each release:
 * abi/node-abi-1.txt.
 */
#ifndef HORIZON_NODE_H
#define HORIZON_NODE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HZ_ABI_MAGIC 0x485a4e44u /* "HZND" */

/* ## Results. Functions that can fail return HZ_OK or one of the negative codes; run() returns them too. A negative
 * code from run(), event() or a continuation makes the host emit `{"error": text}` on "error" unless the call did it
 * already. */
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

/* Bytes with a length; `data` is also NUL-terminated when it comes from the host, and may hold NULs before that. UTF-8
 * unless stated otherwise. Absent: data NULL, len 0. */
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

/* An HTTP answer. Borrowed during hz_http_answer(). Header names are tokens of RFC 9110; names and values must not
 * hold CR, LF or NUL (HZ_ERR_INVALID). Content-Length and what concerns the connection are the host's. */
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

/* ## The host's table. Use the inline functions of node_calls.h, which say what each one does. It grows at the end
 * only; `size` says how much of it this host has. Every member up to there is set. */
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
    hz_str (*param_error)(hz_call *, const char *key);
    /* since 1.1 */
    hz_str (*idempotency_key)(hz_call *);
    uint32_t (*attempt)(hz_call *);
};

/* ## What a node says of itself. Texts are UTF-8 and live as long as the shared object. */
struct hz_property {
    const char *key;
    const char *type;    /* string password textarea number switch options code list secret credential box button */
    const char *name;    /* label people see */
    const char *value;   /* default as JSON text: "\"get\"", "3", "[]" */
    const char *options; /* JSON array of {label, value} for type `options`, or NULL */
    const char *extra;   /* JSON object of further keys for the editor, or NULL: show, lang, min, max, step,
                            description, disabled, size, order, required, placeholder, maxlength, rows, secretType,
                            object (template of a list's item), onTransform, evaluation. Three keys are for the
                            host. {"custom": true}: an `options` property takes values outside its list, too. {"caps":
                            bits, "capsWhen": value}: if the flow stores this value for the property, or an expression,
                            the node also needs these capabilities (HZ_CAP_*). */
};

enum {                      /* flags */
    HZ_NODE_TRIGGER = 1,    /* run() starts it once; each event is an execution of its own, begun by event() */
    HZ_NODE_SINGLETON = 2,  /* one instance per worker, as isSingleton in the catalogue; parameters are per run */
    HZ_NODE_CONCURRENT = 4, /* several executions may be inside this node at once */
    HZ_NODE_BLOCKING = 8,   /* run() may block or compute for long: it gets a thread of its own */
    HZ_NODE_PURE = 16       /* no effect outside, and what it emits follows from parameters, input and state alone: where
                               each step is kept on disk, it may be run again instead. Since 1.1 */
};
enum {                   /* capabilities: what run() needs beyond computing; the worker gets the union over its flow */
    HZ_CAP_NET = 1,      /* sockets to other machines, name resolution, CA certificates */
    HZ_CAP_FS_READ = 2,  /* reading files */
    HZ_CAP_FS_WRITE = 4, /* writing, making and removing files */
    HZ_CAP_EXEC = 8,     /* processes of its own */
    HZ_CAP_JIT = 16      /* memory that is both made and executed */
};

struct hz_node_desc {
    uint32_t size;      /* set by HZ_NODE */
    uint32_t flags;     /* HZ_NODE_* */
    uint32_t caps;      /* HZ_CAP_* */
    uint32_t self_size; /* bytes of zeroed memory hz_self() returns, per node of the flow; 0: none */
    const char *type;   /* what flow.json calls it: [a-z0-9_], at most 63, unique among all nodes of a host. Required */
    const char *title;  /* name people see. Required */
    const char *group;  /* heading in the editor's list. Required */
    const char *desc;   /* one sentence */
    const char *icon;   /* one glyph of the Material Design icon font */
    const char *color;  /* #rrggbb */
    const char *version, *author, *license; /* of the node; shown by `horizon node inspect` */
    const char *const *inputs;              /* connectors, NULL-terminated: HZ_NAMES(...) or HZ_NONE; NULL is HZ_NONE */
    const char *const *outputs;             /* what it emits on; further names may be emitted too */
    const struct hz_property *properties;   /* HZ_PROPERTIES(...), ends with a NULL key; NULL: none */
    /* One run. Required. Returns HZ_OK (over), HZ_DEFER (a continuation follows) or an error. Must not block for long
     * unless HZ_NODE_BLOCKING. Triggers: called once per worker, with parameters but without an input of interest. */
    int (*run)(hz_call *);
    /* Triggers: begins an execution; the input is the event. Required with HZ_NODE_TRIGGER. */
    int (*event)(hz_call *);
    /* The worker ends in good order: release what hz_self() holds. On the main loop, after everything that was posted
     * and after the last call; NULL if there is nothing. */
    void (*close)(void *self);
};

/* What the loader reads first, by itself: all sizes as the node's compiler saw them. Made by HZ_NODE. */
struct hz_node_abi {
    uint32_t magic, size, major, minor, desc_size, host_size, property_size, reserved;
    const struct hz_host **host; /* where the loader puts the table */
};

#ifndef HZ_HOST_SIDE

#define HZ_EXPORT_ __attribute__((visibility("default")))
#define HZ_HIDDEN_ __attribute__((visibility("hidden")))
extern const struct hz_host *hz_host_table HZ_HIDDEN_;

/* Lists for HZ_NODE: connector names, no connector, properties. */
#define HZ_NAMES(...)      ((const char *const[]){__VA_ARGS__, NULL})
#define HZ_NONE            ((const char *const[]){NULL})
#define HZ_PROPERTIES(...) ((const struct hz_property[]){__VA_ARGS__, {NULL, NULL, NULL, NULL, NULL, NULL}})

/* Once per shared object, at file scope, with designated members of struct hz_node_desc and without a semicolon. Nodes
 * made of several files put it in one of them; the others just include this header. (C only: a node in C++ keeps this
 * macro in a .c file and gives its functions C linkage.) */
#define HZ_NODE(...)                                                                                                   \
    const struct hz_host *hz_host_table;                                                                               \
    extern const struct hz_node_abi hz_node_abi;                                                                       \
    extern const struct hz_node_desc hz_node;                                                                          \
    HZ_EXPORT_ const struct hz_node_abi hz_node_abi = {HZ_ABI_MAGIC, sizeof(struct hz_node_abi), HZ_ABI_MAJOR,         \
            HZ_ABI_MINOR, sizeof(struct hz_node_desc), sizeof(struct hz_host), sizeof(struct hz_property), 0,          \
            &hz_host_table};                                                                                           \
    HZ_EXPORT_ const struct hz_node_desc hz_node = {.size = sizeof(struct hz_node_desc), __VA_ARGS__};

#include "node_calls.h"
#include "node_helpers.h"
#endif

/* The layouts of ABI 1 on machines with 64-bit pointers; abi/node-abi-1.txt has every member. */
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L && UINTPTR_MAX == UINT64_MAX
_Static_assert(sizeof(hz_str) == 16, "hz_str is part of the ABI");
_Static_assert(sizeof(struct hz_http_header) == 16, "hz_http_header is part of the ABI");
_Static_assert(sizeof(struct hz_http_answer) == 48, "hz_http_answer is part of the ABI");
_Static_assert(sizeof(struct hz_property) == 48, "hz_property is part of the ABI: it grows at its end");
_Static_assert(sizeof(struct hz_node_abi) == 40, "the loader reads hz_node_abi before it knows the version");
_Static_assert(offsetof(struct hz_node_abi, host) == 32, "the loader reads hz_node_abi before it knows the version");
_Static_assert(offsetof(struct hz_node_desc, run) == 112, "hz_node_desc is part of the ABI: it grows at its end");
_Static_assert(sizeof(struct hz_node_desc) == 136, "hz_node_desc is part of the ABI: it grows at its end");
_Static_assert(offsetof(struct hz_host, param) == 16, "hz_host is part of the ABI: it grows at its end");
#endif

#ifdef __cplusplus
}
#endif
#endif
