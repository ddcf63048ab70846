/*
 * route.h - the operations a client may call by name ("workers:list"), one table for every face: Socket.IO, REST, the description in
 * OpenAPI. An operation is asked on a shard, looks at nothing of the network, and answers once, on that shard, now or later.
 */
#ifndef HZ_CORE_API_ROUTE_H
#define HZ_CORE_API_ROUTE_H

#include "core/access.h"
#include "shm/base.h"
#include <jansson.h>

/* What came of a call: the whole object for the acknowledgement, `success` in it. Valid during the call of done. */
struct hz_route_answer {
    uint32_t status;  /* as HTTP has it: 2xx if and only if `success` is true */
    json_t *object;   /* borrowed; or NULL and */
    const char *text; /* the same as JSON text: large answers are printed, not built */
    size_t len;
    uint64_t revision; /* of the record in it; 0: it has none */
    const char *detail; /* of a failure: what is wrong where `message` has only a set text, for a face that may say it; NULL: nothing */
};
typedef void hz_route_done_fn(void *arg, const struct hz_route_answer *answer);

struct hz_sio_socket; /* whose socket asked, for news.h; operations only hand it on */

/*
 * The calls of one client on records in the order it sent them: one that changes something is over before a later one of the same client
 * begins, so who creates and then lists, without waiting for the first answer, sees what was created. Reads run side by side, other
 * clients do not wait, and neither does an operation that answers on the shard. Everything of a line happens on one shard.
 */
struct hz_route_line;
struct hz_route_line *hz_route_line_new(void); /* one reference; NULL: out of memory */
/* Drops it and sets *line NULL; calls under way keep theirs. NULL in *line: nothing. */
void hz_route_line_unref(struct hz_route_line **line);

struct hz_route_call {
    const struct hz_caller *caller;
    struct hz_sio_socket *origin; /* NULL: it came another way */
    struct hz_route_line *line;   /* NULL: in no order with other calls */
    json_t *data;                 /* borrowed; NULL: the client sent null, or nothing where an object belongs */
    hz_route_done_fn *done;
    void *arg;
    /* Before `done`: who asked is from now on this one (login). NULL: the face cannot use it. */
    void (*became)(void *arg, const struct hz_caller *caller);
};

/* An operation on a thread that may block (it reads or writes the store). */
struct hz_route_work {
    const struct hz_caller *caller;
    const json_t *data;
    uint32_t status;       /* of the answer, if not 200 or, where it is none, 500 */
    const char *news;      /* told to all others on success: "workflows:created", a literal; NULL: nothing */
    json_t *payload;       /* of news; reference is taken */
    uint64_t if_revision;  /* of an update: the revision the record must have; 0: any */
    uint64_t revision;     /* of the record in the answer; 0: it has none */
    bool anywhere;         /* the workspace a record is in need not be said (REST) */
    void (*after)(const struct hz_route_work *w); /* on the shard, once it has succeeded and was answered; NULL nothing */
    char detail[320];      /* of a failure (hz_route_wrong); "" none */
};

struct hz_route {
    const char *name;
    const char *permission, *also; /* permission NULL: anybody, also who is not known; also: grants it too, NULL none */
    const char *failure;           /* `message` when something unforeseen goes wrong */
    /* One of the two. run: on the shard, answers by hz_route_*(). work: the object of the acknowledgement as a new reference, NULL:
     * `failure` with w->status. */
    void (*run)(const struct hz_route_call *call);
    json_t *(*work)(struct hz_route_work *w);
    bool changes; /* something: for the audit log */
};

/* All of them by number, in the order of the tables they come from; NULL behind the last. */
const struct hz_route *hz_route_at(size_t index);
const struct hz_route *hz_route_find(const char *name); /* NULL: unknown. One pass over some fifty names */

bool hz_route_takes_null(const struct hz_route *route); /* it looks at no field of its data: null is as good as {} */

/*
 * hz_route_run - the checks in their order (known caller, permission, unknown name), then the operation.
 *
 * name    as the client sent it
 * call    copied as far as it is needed; data is referenced until the answer, origin until then too
 * Calls call->done exactly once, on this shard.
 */
void hz_route_run(const char *name, const struct hz_route_call *call);
/* The operation itself, when the checks have been made (REST: its gate asks before the body is read). how: if_revision and anywhere of it;
 * NULL: neither. */
void hz_route_start(const struct hz_route *route, const struct hz_route_call *call, const struct hz_route_work *how);

/* ---- for operations ---- */
/* {"success": false, "message": text} */
void hz_route_fail(const struct hz_route_call *call, uint32_t status, const char *message);
/* The same of a text as printf makes it, however long. */
void hz_route_failf(const struct hz_route_call *call, uint32_t status, const char *format, ...) HZ_PRINTF(3, 4);
/* {"success": true, key: value}; takes value (NULL: out of memory is answered). key NULL: the members of the object `value` are added. */
void hz_route_answer(const struct hz_route_call *call, const char *key, json_t *value);
/* A text that is the whole object. */
void hz_route_answer_text(const struct hz_route_call *call, const char *text, size_t len);
/* The same for `work`. NULL: out of memory. */
json_t *hz_route_no(struct hz_route_work *w, uint32_t status, const char *message);
json_t *hz_route_yes(const char *key, json_t *value);
/* The operation's `failure` with this status, and a detail (what, where, expected) for faces that are not bound to set texts. NULL. */
json_t *hz_route_wrong(struct hz_route_work *w, uint32_t status, const char *format, ...) HZ_PRINTF(3, 4);
/* Over REST a change that names none of names ("name, color") is refused, since its sender believes that it changed something. False: done. */
bool hz_route_changes(struct hz_route_work *w, const char *names);
/* A member that is a string and not empty, else NULL. */
const char *hz_route_text(const json_t *data, const char *key);
/* A run's own copy of its call, for what answers later; hz_route_free() after the answer. NULL: out of memory, and that is answered. */
struct hz_route_call *hz_route_keep(const struct hz_route_call *call);
void hz_route_free(struct hz_route_call **call);

/* The tables hz_route_at() goes through, one a subject; each ends with a name that is NULL. */
extern const struct hz_route hz_route_workers[], hz_route_workflows[], hz_route_execute[], hz_route_pages[], hz_route_nodes[], hz_route_account[],
        hz_route_events[];

#endif
