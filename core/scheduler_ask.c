/*
 * scheduler_ask.c - questions of workers to the manager, and what they tell without asking. Whoever serves the questions (core/api)
 * registered itself; the answer goes back as a record if the worker still lives. On the worker's shard.
 */
#include "executions.h"

#include "logs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MOST 1024u                 /* questions of one worker that wait for an answer */
#define ROUTE_MOST 256u
#define LATEST_MOST ((size_t)16 << 10)  /* of a progress or metrics report */
#define LOG_MOST ((size_t)256 << 10)    /* of a batch of log lines ... */
#define LOG_LINES 1000u                 /* ... of which so many are shown: 256 KiB may be 17,000 empty ones */

static hz_ask_fn *ask_fn; /* before the shards run */

struct answer {
    struct hz_mail mail;
    struct hz_shard *shard;
    struct hz_uuid worker;
    uint64_t request;
    bool success;
    char *data, *message;
    size_t len;
    struct hz_worker_info info; /* the callee may look at it later */
    char route[ROUTE_MOST + 1];
    char question[];
};

void hz_scheduler_on_ask(hz_ask_fn *fn)
{
    ask_fn = fn;
}

static void respond(struct hz_worker *w, uint64_t request, bool success, const char *message, const char *data, size_t len)
{
    struct hz_msg_response response = {.request = request, .success = success, .message_len = (uint32_t)strlen(message), .data_len = len};
    struct hz_part parts[] = {{&response, sizeof response}, {message, response.message_len}, {data, len}};
    int err = hz_worker_send(w, HZ_MSG_RESPONSE, parts, HZ_COUNT_OF(parts));
    if (!err || err == HZ_ECLOSED || err == HZ_EPOISON)
        return;
    if (w->answers_dropped++ == 0) /* who asks and never reads must not fill the log */
        HZ_LOG(WARN, "worker %s: an answer of %zu bytes was dropped, further ones without a word: %s", w->info.id_text, len,
                hz_err_text(err));
}

static void run_answer(struct hz_mail *mail)
{
    struct answer *a = HZ_CONTAINER_OF(mail, struct answer, mail);
    struct hz_yard *yard = hz_yard_here();
    struct hz_worker *w = yard ? hz_worker_find(yard, &a->worker) : NULL;
    if (w) {
        w->asks_open--;
        w->last_activity_ns = hz_base_now_ns();
        respond(w, a->request, a->success, a->message ? a->message : "", a->data ? a->data : "", a->len);
    }
    free(a->data);
    free(a->message);
    free(a);
}

/* Any thread, once per question. */
static void done(void *ctx, bool success, const char *data, size_t len, const char *message)
{
    struct answer *a = ctx;
    a->success = success;
    a->data = len ? malloc(len) : NULL;
    a->len = a->data ? len : 0;
    a->message = message ? strdup(message) : NULL;
    if (a->data)
        memcpy(a->data, data, len);
    else if (len)
        a->success = false;
    a->mail.run = run_answer;
    hz_shard_post(a->shard, &a->mail);
}

void hz_ask_take(struct hz_worker *w, const struct hz_msg *msg)
{
    const struct hz_msg_ask *ask = msg->body;
    size_t route_len = msg->str[0].len, len = msg->str[1].len;
    char text[ROUTE_MOST + 64];
    w->last_activity_ns = hz_base_now_ns();
    struct hz_desk *desk = hz_desk_here();
    struct hz_execution *e = desk && ask->execution ? hz_execution_by_number(desk, ask->execution, w) : NULL;
    if (e)
        e->bytes_out += len;
    if (!ask_fn || route_len > ROUTE_MOST || memchr(msg->str[0].data, 0, route_len)) {
        snprintf(text, sizeof text, "Ruta no encontrada: %.*s", (int)HZ_MIN(route_len, (size_t)ROUTE_MOST), msg->str[0].data);
        respond(w, ask->request, false, text, "", 0);
        return;
    }
    struct answer *a = w->asks_open < OPEN_MOST ? calloc(1, sizeof *a + len + 1) : NULL;
    if (!a) {
        respond(w, ask->request, false, "Error interno del servidor", "", 0);
        return;
    }
    w->asks_open++;
    a->shard = w->yard->shard;
    a->worker = w->info.id;
    a->request = ask->request;
    a->info = w->info;
    memcpy(a->route, msg->str[0].data, route_len);
    if (len)
        memcpy(a->question, msg->str[1].data, len);
    ask_fn(&a->info, a->route, a->question, len, done, a);
}

/* ---- told, not asked ---- */

static int level_of(const char *name)
{
    if (name && strcmp(name, "error") == 0)
        return HZ_LOG_ERROR;
    if (name && (strcmp(name, "warn") == 0 || strcmp(name, "warning") == 0))
        return HZ_LOG_WARN;
    return name && strcmp(name, "debug") == 0 ? HZ_LOG_DEBUG : HZ_LOG_INFO;
}

static void say_one(struct hz_worker *w, int64_t wall_ms, uint64_t execution, const json_t *line)
{
    const json_t *message = json_object_get(line, "message");
    int level = level_of(json_string_value(json_object_get(line, "level")));
    if (json_is_string(message)) {
        hz_worker_say(w, wall_ms, level, false, execution, json_string_value(message), json_string_length(message));
        return;
    }
    char *text = message ? json_dumps(message, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text)
        hz_worker_say(w, wall_ms, level, false, execution, text, strlen(text));
    free(text);
}

static void say_lines(struct hz_worker *w, const struct hz_msg *msg, bool many)
{
    const struct hz_msg_tell *tell = msg->body;
    json_t *data = msg->str[1].len <= LOG_MOST ? json_loadb(msg->str[1].data, msg->str[1].len, 0, NULL) : NULL;
    if (!many) {
        say_one(w, tell->wall_ms, tell->execution, data);
    } else {
        const json_t *lines = json_object_get(data, "data");
        size_t count = json_array_size(lines), shown = HZ_MIN(count, (size_t)LOG_LINES);
        for (size_t i = 0; i < shown; i++)
            say_one(w, tell->wall_ms, tell->execution, json_array_get(lines, i));
        if (shown < count) {
            char text[64];
            int len = snprintf(text, sizeof text, "%zu further lines of one batch are left out", count - shown);
            hz_worker_say(w, tell->wall_ms, HZ_LOG_WARN, false, tell->execution, text, (size_t)len);
        }
        hz_link_charge(&w->link, (unsigned)shown); /* each is as much work as a record */
    }
    json_decref(data);
}

static void keep_latest(struct hz_worker *w, char **latest, const char *route, const struct hz_msg *msg)
{
    size_t len = msg->str[1].len, route_len = strlen(route);
    char *text = len <= LATEST_MOST ? malloc(len + 1) : NULL, *detail = text ? malloc(route_len + len + 2) : NULL;
    if (!detail) {
        free(text);
        return;
    }
    memcpy(text, msg->str[1].data, len);
    text[len] = 0;
    free(*latest);
    *latest = text;
    snprintf(detail, route_len + len + 2, "%s %s", route, text);
    hz_supervisor_emit(HZ_EVENT_WORKER_CHANGED, &w->info, detail);
    free(detail);
}

static void progress(struct hz_worker *w, const struct hz_msg *msg)
{
    const struct hz_msg_tell *tell = msg->body;
    struct hz_desk *desk = hz_desk_here();
    keep_latest(w, &w->progress, "worker:progress", msg);
    if (msg->str[1].len <= LATEST_MOST)
        hz_execution_tell_progress(desk && tell->execution ? hz_execution_by_number(desk, tell->execution, w) : NULL, w, msg->str[1].data,
                msg->str[1].len);
}

void hz_tell_take(struct hz_worker *w, const struct hz_msg *msg)
{
    const char *route = msg->str[0].data;
    size_t len = msg->str[0].len;
    w->last_activity_ns = hz_base_now_ns();
    if (len == 10 && memcmp(route, "worker:log", len) == 0)
        say_lines(w, msg, false);
    else if (len == 11 && memcmp(route, "worker:logs", len) == 0)
        say_lines(w, msg, true);
    else if (len == 15 && memcmp(route, "worker:progress", len) == 0)
        progress(w, msg);
    else if (len == 14 && memcmp(route, "worker:metrics", len) == 0)
        keep_latest(w, &w->metrics, "worker:metrics", msg);
    /* debug:send and what nobody knows: nobody waits for an answer */
}
