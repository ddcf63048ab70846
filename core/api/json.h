/*
 * json.h - JSON printed straight into a buffer, for answers that must be made fast (a thousand workers in less than a
 * millisecond), and the objects of the contract made that way. Any thread.
 */
#ifndef HZ_CORE_API_JSON_H
#define HZ_CORE_API_JSON_H

#include "core/registry.h"
#include <jansson.h>

struct hz_json { /* zeroed: empty. After a failed allocation nothing more is added and `failed` stays set. */
    char *data;
    size_t len, capacity;
    bool failed, comma; /* comma: the next member or element needs one before it */
};
void hz_json_fini(struct hz_json *json);
/* Takes the text out (NUL-terminated, caller frees) and empties the buffer; NULL if an allocation failed. */
char *hz_json_take(struct hz_json *json, size_t *ret_len);

void hz_json_open(struct hz_json *json, char bracket);  /* '{' or '[', with a comma before it where one is needed */
void hz_json_close(struct hz_json *json, char bracket); /* '}' or ']' */
void hz_json_key(struct hz_json *json, const char *key, size_t len); /* escaped; the value follows */
#define HZ_JSON_KEY(json, literal) hz_json_key(json, literal, sizeof(literal) - 1)
void hz_json_string(struct hz_json *json, const char *text, size_t len); /* bytes that are not UTF-8 become U+FFFD */
void hz_json_text(struct hz_json *json, const char *text);               /* NUL-terminated */
void hz_json_uint(struct hz_json *json, uint64_t value);
void hz_json_int(struct hz_json *json, int64_t value);
void hz_json_double(struct hz_json *json, double value); /* shortest text that reads back */
void hz_json_bool(struct hz_json *json, bool value);
void hz_json_null(struct hz_json *json);
void hz_json_iso(struct hz_json *json, int64_t wall_ms);
void hz_json_raw(struct hz_json *json, const char *text, size_t len); /* JSON text of one value */
void hz_json_value(struct hz_json *json, const json_t *value);

/* A string for jansson of bytes that may not be UTF-8. New reference, NULL: out of memory. */
json_t *hz_json_string_of(const char *data, size_t len);

/* memoryUsage: LISTED has the number of bytes plus `memory`, OBJECT the object. PAGE_: only the fields the pages know, for Socket.IO. */
enum hz_worker_form { HZ_WORKER_LISTED, HZ_WORKER_OBJECT, HZ_WORKER_PAGE_LISTED, HZ_WORKER_PAGE_OBJECT };
void hz_json_worker(struct hz_json *json, const struct hz_worker_info *info, enum hz_worker_form form);
/* The objects over the given workers, in the order given (creation order). */
void hz_json_workers(struct hz_json *json, const struct hz_worker_info *infos, size_t count);
void hz_json_dashboard(struct hz_json *json, const struct hz_worker_info *infos, size_t count, int64_t now_wall_ms);
/* workers:stats */
void hz_json_stats(struct hz_json *json, const struct hz_worker_info *infos, size_t count);
struct hz_store_execution;
void hz_json_execution(struct hz_json *json, const struct hz_store_execution *row, bool payloads); /* payloads: input and result too */
enum hz_exec_state hz_json_execution_state(const char *name);                                     /* 0: none of that name */
struct hz_store_crash;
void hz_json_crash(struct hz_json *json, const struct hz_store_crash *crash); /* report: only its text */
/* The dashboard of the registry as it is now; malloc'ed, NULL: out of memory. */
char *hz_api_dashboard_json(size_t *ret_len);

#endif
