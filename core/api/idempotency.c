/*
 * idempotency.c - requests with an Idempotency-Key: the answer is kept for a day and given again; what is under way with the same key is told
 * so. Shard's thread; what is under way is known to all shards (one lock, held for a look at a short list).
 */
#include "idempotency.h"

#include "internal.h"
#include "rest.h"

#include "core/access.h"
#include "core/http/http.h"
#include "core/shard.h"
#include "core/store_records.h"

#include "shm/err.h"
#include "shm/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_MS  INT64_C(86400000)
#define KEY_MOST 255u

struct hz_pending {
    struct hz_pending *next;
    uv_work_t work;
    struct hz_http_request *request;
    char owner[2 * HZ_UUID_TEXT], key[KEY_MOST + 1];
    uint64_t hash;
    uint32_t status;
    char *body;
    bool kept;
};
static struct {
    pthread_mutex_t lock;
    struct hz_pending *first;
} under_way = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t add_hash(uint64_t hash, const char *bytes, size_t len) /* FNV-1a, 64 bits */
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static bool enter(struct hz_pending *p)
{
    bool taken = false;
    pthread_mutex_lock(&under_way.lock);
    for (const struct hz_pending *other = under_way.first; other && !taken; other = other->next)
        taken = strcmp(other->key, p->key) == 0 && strcmp(other->owner, p->owner) == 0;
    if (!taken) {
        p->next = under_way.first;
        under_way.first = p;
    }
    pthread_mutex_unlock(&under_way.lock);
    return !taken;
}

static void leave(struct hz_pending *p)
{
    pthread_mutex_lock(&under_way.lock);
    for (struct hz_pending **link = &under_way.first; *link; link = &(*link)->next)
        if (*link == p) {
            *link = p->next;
            break;
        }
    pthread_mutex_unlock(&under_way.lock);
    free(p->body);
    free(p);
}

static void again(struct hz_http_request *request, uint32_t status, const char *body)
{
    static const char headers[] = "Idempotency-Replayed: true\n";
    hz_http_respond(request, &(struct hz_http_response){.status = status, .type = "application/json", .body = body, .len = strlen(body),
                                     .headers = headers, .headers_len = sizeof headers - 1});
}

bool hz_idempotency_begin(struct hz_http_request *request, struct hz_pending **ret)
{
    const char *key = hz_http_header(request, "Idempotency-Key"), *path = hz_http_path(request);
    const struct hz_caller *caller = hz_rest_caller(request);
    size_t len, key_len = key ? strlen(key) : 0;
    const char *text = hz_http_body(request, &len);
    *ret = NULL;
    if (!key)
        return true;
    if (key_len == 0 || key_len > KEY_MOST) {
        hz_http_problem(request, 400, "Idempotency-Key: expected 1 to 255 characters");
        return false;
    }
    struct hz_pending *p = calloc(1, sizeof *p);
    if (!p) {
        hz_http_problem(request, 500, hz_err_text(HZ_ENOMEM));
        return false;
    }
    p->request = request;
    hz_uuid_format(&caller->user, p->owner);
    snprintf(p->key, sizeof p->key, "%s", key);
    p->hash = add_hash(add_hash(UINT64_C(0xcbf29ce484222325), path, strlen(path) + 1), text, len) >> 1;
    if (!enter(p)) {
        free(p);
        hz_http_problem_with(request, 409, "a request with this Idempotency-Key is under way", "Retry-After: 1\n");
        return false;
    }
    uint64_t hash;
    uint32_t status;
    char *body = NULL;
    int err = hz_store_answer_get(p->owner, p->key, &hash, &status, &body);
    if (err == HZ_ENOTFOUND) {
        *ret = p;
        return true;
    }
    if (err)
        hz_http_problem(request, 503, hz_err_last());
    else if (hash != p->hash)
        hz_http_problem(request, 422, "this Idempotency-Key was used for another request");
    else
        again(request, status, body);
    free(body);
    leave(p);
    return false;
}

static void keep(uv_work_t *work)
{
    struct hz_pending *p = work->data;
    if (hz_store_answer_put(p->owner, p->key, p->hash, p->status, p->body, KEEP_MS))
        HZ_LOG(WARN, "an answer is not kept for its Idempotency-Key: %s", hz_err_last());
}

static void respond(struct hz_pending *p)
{
    hz_http_respond(p->request,
            &(struct hz_http_response){.status = p->status, .type = "application/json", .body = p->body, .len = strlen(p->body)});
    leave(p);
}

static void kept(uv_work_t *work, int status)
{
    (void)status;
    respond(work->data);
}

void hz_idempotency_done(void *arg, const struct hz_api_result *result)
{
    struct hz_pending *p = arg;
    bool good = result->status >= 200 && result->status <= 299;
    p->body = good ? strndup(result->data, result->len) : NULL;
    if (!p->body) { /* nothing was done: the same key may be used again */
        hz_rest_done(p->request, result);
        leave(p);
        return;
    }
    p->status = result->status;
    p->work.data = p;
    if (uv_queue_work(hz_shard_loop(hz_shard_self()), &p->work, keep, kept))
        respond(p);
}

void hz_idempotency_drop(struct hz_pending *p)
{
    if (p)
        leave(p);
}
