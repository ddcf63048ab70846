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
    uint32_t retry_after_s; /* with 503 */
};
typedef void hz_route_done_fn(void *arg, const struct hz_route_answer *answer);

/* Whose socket asked: it is left out of what its call tells the others, and alone hears what follows its call. Zeroed: no socket. */
struct hz_origin {
    uint32_t shard;
    uint64_t number; /* 0: none */
};

struct hz_route_call {
    const struct hz_caller *caller;
    struct hz_origin origin;
    json_t *data; /* borrowed; NULL: the client sent null, or nothing where an object belongs */
    hz_route_done_fn *done;
    void *arg;
};

/* Told to others after the answer, on success. Both NULL: nothing. */
struct hz_route_news {
    const char *name; /* "workflows:created"; a literal */
    json_t *payload;  /* reference is taken */
};

struct hz_route {
    const char *name;
    const char *permission; /* NULL: anybody, also who is not known */
    const char *failure;    /* `message` when something unforeseen goes wrong */
    /* One of the two. run: on the shard, answers by hz_route_*(). work: on a thread that may block (the store); the object of the
     * acknowledgement as a new reference, NULL: `failure`. caller and data are the thread's own copies. */
    void (*run)(const struct hz_route_call *call);
    json_t *(*work)(const struct hz_caller *caller, json_t *data, struct hz_route_news *news);
};

/* All of them, in the order of the tables they come from. Immutable. */
const struct hz_route *hz_route_table(size_t *ret_count);
const struct hz_route *hz_route_find(const char *name); /* NULL: unknown. O(log n) */

/*
 * hz_route_call - the checks in their order (known caller, permission, unknown name), then the operation.
 *
 * name    as the client sent it
 * call    copied as far as it is needed; data is referenced until the answer
 * Calls call->done exactly once.
 */
void hz_route_run(const char *name, const struct hz_route_call *call);

/* ---- for operations ---- */
/* {"success": false, "message": text} */
void hz_route_fail(const struct hz_route_call *call, uint32_t status, const char *message);
/* {"success": true, key: value}; takes value (NULL: out of memory is answered); key NULL: `value` is an object whose members are added. */
void hz_route_answer(const struct hz_route_call *call, const char *key, json_t *value);
/* For `work`: the same as objects. status is kept in a member that the faces take out. NULL: out of memory. */
json_t *hz_route_no(uint32_t status, const char *message);
json_t *hz_route_yes(const char *key, json_t *value);

#endif
