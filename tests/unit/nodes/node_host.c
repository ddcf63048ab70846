/*
 * node_host.c - see node_host.h. The table is filled as a worker's would be, but everything happens on one thread and
 * waiting is a loop in node_host_run().
 */
#include "node_host.h"
#include "tests/unit/memory.h"
#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 64

struct owned {
    struct owned *next;
    const hz_value *value; /* or NULL: the memory behind this header */
    _Alignas(16) char bytes[];
};
struct hz_call {
    struct node_host *host;
    struct owned *owned;
    const hz_value *input;
    const char *input_name;
    int (*continue_fn)(hz_call *, void *);
    void *continue_arg;
    hz_loop_fn *cancel_fn;
    void *cancel_arg;
    bool over, cancelled;
};
struct hz_watch {
    bool used;
    int fd, events; /* fd -1: timer */
    uint64_t due_ms, repeat_ms;
    hz_loop_fn *fn;
    void *arg;
};
struct slot {
    char key[64], reason[256]; /* key "": free */
    const hz_value *value, *meta;
};
struct post {
    hz_loop_fn *fn;
    void *arg;
};
struct node_host {
    void *library;
    const struct hz_node_desc *desc;
    void *self;
    struct slot params[SLOTS], upstream[SLOTS];
    const hz_value *state;
    struct node_emission *first, *last;
    struct hz_buffer only, listened, answer, log;
    int join_result, answer_result;
    uint64_t waited_ms;
};

/* The functions of the loop have no call, as in a worker: there is one loop. */
static struct {
    struct hz_watch watches[SLOTS];
    struct post posts[SLOTS];
    size_t post_count;
    uint64_t now_ms;
} loop;

/* ---- small helpers ---- */

static hz_value *from_json(const char *json)
{
    const char *error = NULL;
    hz_value *value = hz_value_parse(json, strlen(json), &error);
    if (!value)
        HZ_FAIL("not JSON: %s (%s)", json, error);
    return value;
}

static char *to_json(const hz_value *value)
{
    struct hz_buffer buffer = {0};
    hz_value_print(&buffer, value);
    char *text = must_copy(buffer.data ? buffer.data : "");
    hz_buffer_fini(&buffer);
    return text;
}

static void add(struct hz_buffer *buffer, const char *text)
{
    hz_buffer_add(buffer, text, strlen(text));
}

static const char *text_of(const struct hz_buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}

static void clear(struct hz_buffer *buffer)
{
    hz_buffer_fini(buffer);
    *buffer = (struct hz_buffer){0};
}

static struct slot *slot_of(struct slot *slots, const char *key, bool make)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (strcmp(slots[i].key, key) == 0)
            return &slots[i];
        if (!slots[i].key[0] && make) {
            snprintf(slots[i].key, sizeof slots[i].key, "%s", key);
            return &slots[i];
        }
    }
    return NULL;
}

static void slot_set(struct slot *slot, const hz_value *value, const hz_value *meta, const char *reason)
{
    if (!slot) {
        HZ_FAIL("more than %d slots", SLOTS);
        return;
    }
    hz_value_unref(slot->value);
    hz_value_unref(slot->meta);
    slot->value = value;
    slot->meta = meta;
    snprintf(slot->reason, sizeof slot->reason, "%s", reason ? reason : "");
}

/* ---- the table ---- */

static hz_value *own(hz_call *call, hz_value *value)
{
    struct owned *owned = value ? malloc(sizeof *owned) : NULL;
    if (owned) {
        *owned = (struct owned){.next = call->owned, .value = value};
        call->owned = owned;
    }
    return value;
}

static void *h_alloc(hz_call *call, size_t size)
{
    struct owned *owned = malloc(sizeof *owned + size);
    if (!owned)
        return NULL;
    *owned = (struct owned){.next = call->owned};
    call->owned = owned;
    return owned->bytes;
}

static const hz_value *h_param(hz_call *call, const char *key)
{
    struct slot *slot = slot_of(call->host->params, key, false);
    return slot ? slot->value : NULL;
}

static hz_str h_param_error(hz_call *call, const char *key)
{
    struct slot *slot = slot_of(call->host->params, key, false);
    return slot && slot->reason[0] ? (hz_str){slot->reason, strlen(slot->reason)} : (hz_str){"", 0};
}

static const hz_value *h_input(hz_call *call)
{
    return call->input;
}
static hz_str h_input_name(hz_call *call)
{
    return (hz_str){call->input_name, strlen(call->input_name)};
}
static hz_str h_name(hz_call *call)
{
    return (void)call, (hz_str){"node-1", 6};
}
static uint32_t h_attempt(hz_call *call)
{
    return (void)call, 1;
}
static hz_str h_env(hz_call *call, const char *name)
{
    return (void)call, (void)name, (hz_str){NULL, 0};
}
static bool h_is_development(hz_call *call)
{
    return (void)call, true;
}
static void *h_self(hz_call *call)
{
    return call->host->self;
}

static int h_emit(hz_call *call, const char *output, const hz_value *data, const hz_value *meta)
{
    if (!data)
        return HZ_ERR_NOMEM;
    HZ_ASSERT_FALSE(call->over);
    struct node_host *host = call->host;
    struct node_emission *emission = must_alloc(sizeof *emission);
    emission->next = NULL;
    emission->output = must_copy(output);
    emission->data = to_json(data);
    emission->meta = meta ? to_json(meta) : NULL;
    *(host->last ? &host->last->next : &host->first) = emission;
    host->last = emission;
    return HZ_OK;
}

static int h_fail(hz_call *call, const char *text, size_t len)
{
    hz_value *data = hz_value_object(), *message = hz_value_string(text, len);
    hz_value_set(data, "error", 5, message);
    int r = h_emit(call, "error", data, NULL);
    hz_value_unref(message);
    hz_value_unref(data);
    return r;
}

static int h_done(hz_call *call)
{
    if (call->over)
        return HZ_ERR_ALREADY;
    call->over = true;
    return HZ_OK;
}

static int h_join(hz_call *call)
{
    return call->host->join_result;
}

static int h_upstream(hz_call *call, const char *type, const hz_value **ret_data, const hz_value **ret_meta)
{
    struct slot *slot = slot_of(call->host->upstream, type, false);
    if (!slot || !slot->value)
        return HZ_ERR_NOENT;
    if (ret_data)
        *ret_data = slot->value;
    if (ret_meta)
        *ret_meta = slot->meta;
    return HZ_OK;
}

static const hz_value *h_state_get(hz_call *call)
{
    return call->host->state;
}

static int h_state_set(hz_call *call, const hz_value *value)
{
    if (!value)
        return HZ_ERR_NOMEM;
    hz_value_ref(value);
    hz_value_unref(call->host->state);
    call->host->state = value;
    return HZ_OK;
}

static hz_value *h_null(hz_call *call)
{
    return own(call, hz_value_null());
}
static hz_value *h_bool(hz_call *call, bool v)
{
    return own(call, hz_value_bool(v));
}
static hz_value *h_int(hz_call *call, int64_t v)
{
    return own(call, hz_value_int(v));
}
static hz_value *h_num(hz_call *call, double v)
{
    return own(call, hz_value_number(v));
}
static hz_value *h_str(hz_call *call, const char *data, size_t len)
{
    return own(call, hz_value_string(data, len));
}
static hz_value *h_object(hz_call *call)
{
    return own(call, hz_value_object());
}
static hz_value *h_array(hz_call *call)
{
    return own(call, hz_value_array());
}
static hz_value *h_copy(hz_call *call, const hz_value *value)
{
    return own(call, hz_value_copy(value));
}

static int h_set(hz_value *object, const char *key, size_t len, const hz_value *value)
{
    if (!object || !value)
        return HZ_ERR_NOMEM;
    return hz_value_set(object, key, len, value) == 0 ? HZ_OK : HZ_ERR_INVALID;
}

static int h_push(hz_value *array, const hz_value *value)
{
    if (!array || !value)
        return HZ_ERR_NOMEM;
    return hz_value_push(array, value) == 0 ? HZ_OK : HZ_ERR_INVALID;
}

static hz_value *h_parse(hz_call *call, const char *text, size_t len, hz_str *ret_error)
{
    const char *error = "";
    hz_value *value = hz_value_parse(text, len, &error);
    if (!value && ret_error)
        *ret_error = (hz_str){error, strlen(error)};
    return own(call, value);
}

static hz_str h_print(hz_call *call, const hz_value *value)
{
    char *text = to_json(value);
    char *copy = h_alloc(call, strlen(text) + 1);
    memcpy(copy, text, strlen(text) + 1);
    free(text);
    return (hz_str){copy, strlen(copy)};
}

static int h_continue(hz_call *call, hz_continue_fn *fn, void *arg)
{
    if (call->cancelled)
        return HZ_ERR_CLOSED;
    HZ_ASSERT_NULL(call->continue_fn);
    call->continue_fn = fn;
    call->continue_arg = arg;
    return HZ_OK;
}

struct later {
    hz_call *call;
    hz_continue_fn *fn;
    void *arg;
    hz_watch *watch;
};

static void h_watch_stop(hz_watch *watch)
{
    *watch = (struct hz_watch){0};
}

static hz_watch *new_watch(int fd, int events, uint64_t delay_ms, uint64_t repeat_ms, hz_loop_fn *fn, void *arg)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (!loop.watches[i].used) {
            loop.watches[i] = (struct hz_watch){true, fd, events, loop.now_ms + delay_ms, repeat_ms, fn, arg};
            return &loop.watches[i];
        }
    return NULL;
}

static void after_is_over(void *arg, int events)
{
    struct later *later = arg;
    (void)events;
    h_watch_stop(later->watch);
    h_continue(later->call, later->fn, later->arg);
    free(later);
}

static int h_after(hz_call *call, uint64_t delay_ms, hz_continue_fn *fn, void *arg)
{
    struct later *later = must_alloc(sizeof *later);
    *later = (struct later){call, fn, arg, NULL};
    later->watch = new_watch(-1, 0, delay_ms, 0, after_is_over, later);
    return HZ_OK;
}

static int h_on_cancel(hz_call *call, hz_loop_fn *fn, void *arg)
{
    if (call->cancelled)
        return HZ_ERR_CLOSED;
    call->cancel_fn = fn;
    call->cancel_arg = arg;
    return HZ_OK;
}

static bool h_cancelled(hz_call *call)
{
    return call->cancelled;
}

static int h_loop_post(hz_loop_fn *fn, void *arg)
{
    HZ_ASSERT_LT(loop.post_count, SLOTS);
    loop.posts[loop.post_count++] = (struct post){fn, arg};
    return HZ_OK;
}

static hz_watch *h_watch(int fd, int events, hz_loop_fn *fn, void *arg)
{
    return new_watch(fd, events, 0, 0, fn, arg);
}

static hz_watch *h_timer(uint64_t delay_ms, uint64_t repeat_ms, hz_loop_fn *fn, void *arg)
{
    return new_watch(-1, 0, delay_ms, repeat_ms, fn, arg);
}

static int h_watch_events(hz_watch *watch, int events)
{
    return watch->events = events, HZ_OK;
}

static int h_http_listen(hz_call *call, const char *method, const char *endpoint, uint32_t timeout_ms)
{
    char text[512];
    snprintf(text, sizeof text, "%s %s %u;", method, endpoint, timeout_ms);
    add(&call->host->listened, text);
    return HZ_OK;
}

static int h_http_answer(hz_call *call, const struct hz_http_answer *answer)
{
    struct hz_buffer *to = &call->host->answer;
    char status[32];
    if (call->host->answer_result != HZ_OK)
        return call->host->answer_result;
    for (size_t i = 0; i < answer->header_count; i++)
        if (strpbrk(answer->headers[i].name, "\r\n") || strpbrk(answer->headers[i].value, "\r\n"))
            return HZ_ERR_INVALID;
    if (answer->status < 100 || answer->status > 599)
        return HZ_ERR_INVALID;
    snprintf(status, sizeof status, "%d|", answer->status);
    add(to, status);
    add(to, answer->content_type ? answer->content_type : "-");
    add(to, "|");
    for (size_t i = 0; i < answer->header_count; i++) {
        add(to, answer->headers[i].name);
        add(to, ": ");
        add(to, answer->headers[i].value);
        add(to, "\n");
    }
    add(to, "|");
    hz_buffer_add(to, answer->body, answer->body_len);
    return HZ_OK;
}

static void h_log(hz_call *call, enum hz_level level, const char *text, size_t len)
{
    static const char *const names[] = {"debug ", "info ", "warn ", "error "};
    add(&call->host->log, names[level]);
    hz_buffer_add(&call->host->log, text, len);
    add(&call->host->log, "\n");
}

static int h_console(hz_call *call, const hz_value *value)
{
    char *text = to_json(value);
    add(&call->host->log, "[console] ");
    add(&call->host->log, text);
    add(&call->host->log, "\n");
    free(text);
    return HZ_OK;
}

static bool h_next(const hz_value *object, void **cursor, hz_str *ret_key, const hz_value **ret_value)
{
    if (!object) {
        hz_value_next_stop(cursor);
        return false;
    }
    return hz_value_next(object, cursor, ret_key, ret_value);
}

static const struct hz_host table = {.size = sizeof(struct hz_host),
        .major = HZ_ABI_MAJOR,
        .minor = HZ_ABI_MINOR,
        .param = h_param,
        .input = h_input,
        .input_name = h_input_name,
        .input_node = h_name,
        .node_id = h_name,
        .node_name = h_name,
        .execution_id = h_name,
        .workflow_id = h_name,
        .worker_id = h_name,
        .env = h_env,
        .is_development = h_is_development,
        .self = h_self,
        .emit = h_emit,
        .fail = h_fail,
        .done = h_done,
        .join = h_join,
        .upstream = h_upstream,
        .state_get = h_state_get,
        .state_set = h_state_set,
        .alloc = h_alloc,
        .make_null = h_null,
        .make_bool = h_bool,
        .make_int = h_int,
        .make_num = h_num,
        .make_str = h_str,
        .make_object = h_object,
        .make_array = h_array,
        .set = h_set,
        .push = h_push,
        .copy = h_copy,
        .parse = h_parse,
        .print = h_print,
        .type = hz_value_type,
        .as_bool = hz_value_truthy,
        .as_num = hz_value_num,
        .as_str = hz_value_str,
        .length = hz_value_length,
        .get = hz_value_get,
        .at = hz_value_at,
        .next = h_next,
        .equal = hz_value_equal,
        .keep = hz_value_ref,
        .drop = hz_value_unref,
        .after = h_after,
        .resume = h_continue,
        .on_cancel = h_on_cancel,
        .cancelled = h_cancelled,
        .loop_post = h_loop_post,
        .watch = h_watch,
        .timer = h_timer,
        .watch_events = h_watch_events,
        .watch_stop = h_watch_stop,
        .http_listen = h_http_listen,
        .http_answer = h_http_answer,
        .log = h_log,
        .console = h_console,
        .param_error = h_param_error,
        .idempotency_key = h_name,
        .attempt = h_attempt};

/* ---- the loop ---- */

/* One turn: posts, then descriptors, then the next timer if nothing else is there. False: there is nothing to wait
 * for. */
static bool turn(uint64_t limit_ms, int real_ms)
{
    struct pollfd polls[SLOTS];
    struct hz_watch *at[SLOTS], *next = NULL;
    nfds_t count = 0;
    if (loop.post_count) {
        struct post post = loop.posts[0];
        memmove(loop.posts, loop.posts + 1, --loop.post_count * sizeof post);
        post.fn(post.arg, 0);
        return true;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        struct hz_watch *watch = &loop.watches[i];
        if (!watch->used)
            continue;
        if (watch->fd < 0) {
            if (!next || watch->due_ms < next->due_ms)
                next = watch;
            continue;
        }
        polls[count] = (struct pollfd){.fd = watch->fd,
                .events = (short)((watch->events & HZ_WATCH_READ ? POLLIN : 0) |
                                  (watch->events & HZ_WATCH_WRITE ? POLLOUT : 0))};
        at[count++] = watch;
    }
    /* With a descriptor to watch, time is real: wait for it, at most until the next timer. */
    if (count) {
        int wait = next && next->due_ms <= loop.now_ms ? 0 : real_ms < 5 ? real_ms : 5;
        int ready = poll(polls, count, wait);
        loop.now_ms += ready > 0 ? 0 : (uint64_t)wait;
        for (nfds_t i = 0; i < count; i++) {
            int events = (polls[i].revents & (POLLIN | POLLHUP | POLLERR) ? HZ_WATCH_READ : 0) |
                         (polls[i].revents & POLLOUT ? HZ_WATCH_WRITE : 0);
            if (polls[i].revents && at[i]->used && at[i]->fd == polls[i].fd)
                at[i]->fn(at[i]->arg, events);
        }
        if (!next || next->due_ms > loop.now_ms || !next->used)
            return true;
    }
    if (!next || next->due_ms > limit_ms)
        return false;
    if (next->due_ms > loop.now_ms)
        loop.now_ms = next->due_ms;
    next->due_ms = next->repeat_ms ? loop.now_ms + next->repeat_ms : UINT64_MAX;
    next->fn(next->arg, 0);
    return true;
}

void node_host_wait(struct node_host *host, uint64_t ms)
{
    uint64_t end = loop.now_ms + ms;
    (void)host;
    while (turn(end, 5))
        continue;
    loop.now_ms = end;
}

static void forget_emissions(struct node_host *host)
{
    while (host->first) {
        struct node_emission *emission = host->first;
        host->first = emission->next;
        free(emission->output);
        free(emission->data);
        free(emission->meta);
        free(emission);
    }
    host->last = NULL;
}

static int drive(struct node_host *host, int (*fn)(hz_call *), const char *input_name, const char *input, int cancel_ms)
{
    hz_call call = {.host = host, .input = input ? from_json(input) : hz_value_undefined(), .input_name = input_name};
    uint64_t start = loop.now_ms, deadline = hz_test_now_ms() + 40000,
             cancel_at = hz_test_now_ms() + (uint64_t)cancel_ms;
    forget_emissions(host);
    clear(&host->only);
    clear(&host->answer);
    clear(&host->log);
    int r = fn(&call);
    while (r == HZ_DEFER && !call.over) {
        HZ_ASSERT_LT(hz_test_now_ms(), deadline);
        if (cancel_ms >= 0 && hz_test_now_ms() >= cancel_at) {
            call.cancelled = true;
            if (call.cancel_fn)
                call.cancel_fn(call.cancel_arg, 0);
            while (loop.post_count)
                turn(loop.now_ms, 0);
            r = HZ_ERR_CLOSED;
            break;
        }
        if (call.continue_fn) {
            hz_continue_fn *go_on = call.continue_fn;
            call.continue_fn = NULL;
            call.cancel_fn = NULL;
            r = go_on(&call, call.continue_arg);
        } else if (!turn(UINT64_MAX - 1, 5) && cancel_ms < 0) {
            HZ_FAIL("%s: the call waits for nothing", host->desc->type);
        }
    }
    call.over = true;
    host->waited_ms = loop.now_ms - start;
    while (call.owned) {
        struct owned *owned = call.owned;
        call.owned = owned->next;
        hz_value_unref(owned->value);
        free(owned);
    }
    hz_value_unref(call.input);
    return r;
}

int node_host_run(struct node_host *host, const char *input_name, const char *input)
{
    return drive(host, host->desc->run, input_name, input, -1);
}

int node_host_event(struct node_host *host, const char *input)
{
    return drive(host, host->desc->event, "", input, -1);
}

void node_host_run_cancelled(struct node_host *host, const char *input_name, const char *input, int after_ms)
{
    HZ_ASSERT_EQ(drive(host, host->desc->run, input_name, input, after_ms), HZ_ERR_CLOSED);
}

/* ---- setting and looking ---- */

void node_host_param(struct node_host *host, const char *key, const char *json)
{
    hz_value *value = from_json(json);
    for (const struct hz_property *p = host->desc->properties; p && p->key; p++)
        if (strcmp(p->key, key) == 0 && strcmp(p->type, "code") == 0 && p->extra &&
                strstr(p->extra, "\"lang\":\"json\"") && hz_value_type(value) == HZ_STRING) {
            const char *error;
            hz_str text = hz_value_str(value);
            hz_value *parsed = hz_value_parse(text.data, text.len, &error);
            if (parsed) {
                hz_value_unref(value);
                value = parsed;
            }
        }
    slot_set(slot_of(host->params, key, true), value, NULL, NULL);
}

void node_host_param_failed(struct node_host *host, const char *key, const char *reason)
{
    slot_set(slot_of(host->params, key, true), hz_value_undefined(), NULL, reason);
}

void node_host_upstream(struct node_host *host, const char *type, const char *data, const char *meta)
{
    slot_set(slot_of(host->upstream, type, true), data ? from_json(data) : NULL, meta ? from_json(meta) : NULL, NULL);
}

void node_host_join(struct node_host *host, int result)
{
    host->join_result = result;
}
void node_host_answer_result(struct node_host *host, int result)
{
    host->answer_result = result;
}

void node_host_fresh(struct node_host *host)
{
    hz_value_unref(host->state);
    host->state = NULL;
}

struct node_host *node_host_open(const char *type)
{
    HZ_ASSERT_OK(hz_value_init());
    struct node_host *host = must_alloc(sizeof *host);
    memset(host, 0, sizeof *host);
    host->library =
            dlopen(hz_test_path("%s/lib/horizon/nodes/%s.so", hz_test_build_dir(), type), RTLD_NOW | RTLD_LOCAL);
    if (!host->library)
        HZ_FAIL("%s", dlerror());
    const struct hz_node_abi *abi = dlsym(host->library, "hz_node_abi");
    host->desc = dlsym(host->library, "hz_node");
    HZ_ASSERT_TRUE(abi && host->desc);
    *abi->host = &table;
    host->self = host->desc->self_size ? calloc(1, host->desc->self_size) : NULL;
    for (const struct hz_property *p = host->desc->properties; p && p->key; p++)
        node_host_param(host, p->key, p->value);
    return host;
}

void node_host_close(struct node_host **host_ptr)
{
    struct node_host *host = *host_ptr;
    *host_ptr = NULL;
    if (!host)
        return;
    while (loop.post_count) /* what was posted runs before close() */
        turn(loop.now_ms, 0);
    if (host->desc->close)
        host->desc->close(host->self);
    forget_emissions(host);
    for (size_t i = 0; i < SLOTS; i++) {
        slot_set(&host->params[i], NULL, NULL, NULL);
        slot_set(&host->upstream[i], NULL, NULL, NULL);
    }
    node_host_fresh(host);
    clear(&host->only);
    clear(&host->listened);
    clear(&host->answer);
    clear(&host->log);
    free(host->self);
    free(host); /* the library stays: sanitizers want its symbols, and curl its state */
}

const struct hz_node_desc *node_host_desc(const struct node_host *host)
{
    return host->desc;
}
const struct node_emission *node_host_emissions(const struct node_host *host)
{
    return host->first;
}
uint64_t node_host_waited(const struct node_host *host)
{
    return host->waited_ms;
}
const char *node_host_listened(const struct node_host *host)
{
    return text_of(&host->listened);
}
const char *node_host_answer(const struct node_host *host)
{
    return text_of(&host->answer);
}
const char *node_host_log(const struct node_host *host)
{
    return text_of(&host->log);
}

const char *node_host_only(struct node_host *host)
{
    clear(&host->only);
    for (struct node_emission *emission = host->first; emission; emission = emission->next) {
        if (emission != host->first)
            add(&host->only, " AND ");
        add(&host->only, emission->output);
        add(&host->only, " ");
        add(&host->only, emission->data);
    }
    return text_of(&host->only);
}
