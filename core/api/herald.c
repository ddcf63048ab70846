/*
 * herald.c - turns what happens to workers and executions into what pages hear: `workers:created`, `-stopped`, `-restarted` for everybody but
 * who asked, and the three events of an execution for who started it. Also the feed of events.h.
 *
 * Called on workers' shards. One lock guards both tables; it is held for a look-up among a few entries, never while anything is sent.
 */
#include "herald.h"

#include "events.h"
#include "json.h"
#include "news.h"
#include "pages.h"

#include "core/alerts.h"
#include "core/scheduler.h"
#include "core/shard.h"
#include "core/supervisor.h"

#include "shm/err.h"
#include "shm/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AUTHORS_MOST = 4096, WATCHED_MOST = 65536, WATCHED_BUCKETS = 1024 };

struct author {
    struct author *next;
    char worker_id[HZ_UUID_TEXT];
    struct hz_sio_socket *origin;
    bool restart;
    bool gone; /* restart: the old worker has ended, and nobody was told yet */
};
struct watched {
    struct watched *next;
    struct hz_heralded is;
    struct hz_sio_socket *origin;
};
struct waiting {
    struct hz_mail mail;
    struct waiting *next;
    struct hz_shard *shard;
    struct hz_uuid worker;
    hz_herald_ready_fn *fn;
    void *arg;
    bool ready;
};

static struct {
    pthread_mutex_t lock;
    struct author *authors; /* newest first */
    unsigned author_count, watched_count;
    struct watched *watched[WATCHED_BUCKETS]; /* by execution */
    struct waiting *waiting;
} herald = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- authors ---- */
static void free_author(struct author *a)
{
    if (!a)
        return;
    hz_news_drop(a->origin);
    free(a);
}

void hz_herald_author(const char *worker_id, struct hz_sio_socket *origin, bool restart)
{
    struct author *a = origin || restart ? calloc(1, sizeof *a) : NULL, *last = NULL;
    if (!a)
        return; /* then he hears of it himself */
    memcpy(a->worker_id, worker_id, sizeof a->worker_id);
    a->origin = hz_news_keep(origin);
    a->restart = restart;
    pthread_mutex_lock(&herald.lock);
    a->next = herald.authors;
    herald.authors = a;
    if (++herald.author_count > AUTHORS_MOST) {
        struct author **link = &herald.authors;
        while ((*link)->next)
            link = &(*link)->next;
        last = *link;
        *link = NULL;
        herald.author_count--;
    }
    pthread_mutex_unlock(&herald.lock);
    free_author(last);
}

/* The oldest entry of that worker: who came first. Caller frees. */
static struct author *take_author(const char *worker_id, bool restart)
{
    struct author *found = NULL, **where = NULL;
    pthread_mutex_lock(&herald.lock);
    for (struct author **link = &herald.authors; *link; link = &(*link)->next)
        if ((*link)->restart == restart && strcmp((*link)->worker_id, worker_id) == 0)
            where = link;
    if (where) {
        found = *where;
        *where = found->next;
        herald.author_count--;
    }
    pthread_mutex_unlock(&herald.lock);
    return found;
}

/* It has ended. True: somebody restarts it, and will say what came of it. */
static bool is_restarting(const char *worker_id)
{
    bool found = false;
    pthread_mutex_lock(&herald.lock);
    for (struct author *a = herald.authors; a; a = a->next)
        if (a->restart && strcmp(a->worker_id, worker_id) == 0)
            found = a->gone = true;
    pthread_mutex_unlock(&herald.lock);
    return found;
}

/* ---- executions ---- */
static unsigned bucket_of(const char *id)
{
    uint32_t hash = UINT32_C(2166136261);
    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * UINT32_C(16777619);
    return hash % WATCHED_BUCKETS;
}

static void tell(struct hz_sio_socket *origin, const char *name, json_t *payload)
{
    hz_news_one(origin, name, payload);
    json_decref(payload);
}

void hz_herald_execution(const struct hz_heralded *watched, struct hz_sio_socket *origin)
{
    struct watched *entry = calloc(1, sizeof *entry);
    if (!entry)
        return;
    entry->is = *watched;
    entry->origin = hz_news_keep(origin);
    pthread_mutex_lock(&herald.lock);
    bool room = herald.watched_count < WATCHED_MOST;
    if (room) {
        struct watched **bucket = &herald.watched[bucket_of(watched->execution_id)];
        entry->next = *bucket;
        *bucket = entry;
        herald.watched_count++;
    }
    pthread_mutex_unlock(&herald.lock);
    if (!room) {
        hz_news_drop(entry->origin);
        free(entry);
    }
}

static struct watched *take_watched(const char *execution_id)
{
    struct watched *found = NULL;
    pthread_mutex_lock(&herald.lock);
    for (struct watched **link = &herald.watched[bucket_of(execution_id)]; *link && !found;)
        if (strcmp((*link)->is.execution_id, execution_id) == 0) {
            found = *link;
            *link = found->next;
            herald.watched_count--;
        } else {
            link = &(*link)->next;
        }
    pthread_mutex_unlock(&herald.lock);
    return found;
}

struct noting { /* the record is written on a thread that may wait */
    uv_work_t work;
    char workflow_id[128], execution_id[HZ_UUID_TEXT];
    struct hz_pages_run run;
};

static void note(uv_work_t *work)
{
    struct noting *noting = work->data;
    hz_pages_note_run(noting->workflow_id, &noting->run);
}

static void noted(uv_work_t *work, int status)
{
    (void)status;
    free(work->data);
}

static void note_later(const struct hz_heralded *is, const char *status, int64_t took_ms)
{
    struct noting *noting = calloc(1, sizeof *noting);
    if (!noting)
        return; /* whoever reads the record corrects it */
    snprintf(noting->workflow_id, sizeof noting->workflow_id, "%s", is->workflow_id);
    memcpy(noting->execution_id, is->execution_id, sizeof noting->execution_id);
    noting->run = (struct hz_pages_run){.status = status, .execution = noting->execution_id, .took_ms = took_ms};
    noting->work.data = noting;
    if (uv_queue_work(hz_shard_loop(hz_shard_self()), &noting->work, note, noted))
        free(noting);
}

static void tell_end(const struct watched *w, const struct hz_execution_news *news)
{
    const char *status = news->state == HZ_EXEC_SUCCESS ? "success" : "failed";
    int64_t now = hz_base_wall_ms(), took = now - (news->started_ms ? news->started_ms : news->created_ms);
    char duration[32];
    snprintf(duration, sizeof duration, "%llds", (long long)(took / 1000));
    if (news->state != HZ_EXEC_SUCCESS)
        tell(w->origin, "workflows:execution-error",
                json_pack("{s:s, s:s, s:s, s:s}", "workflowId", w->is.workflow_id, "executionId", w->is.execution_id, "workerId", news->worker_id,
                        "error", news->error ? news->error : "Worker error"));
    tell(w->origin, "workflows:execution-completed",
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "workflowId", w->is.workflow_id, "executionId", w->is.execution_id, "status", status,
                    "version", w->is.version, "duration", duration, "workerId", news->worker_id));
    if (w->is.record)
        note_later(&w->is, status, took);
}

static void on_news(const struct hz_execution_news *news)
{
    char id[HZ_UUID_TEXT];
    hz_uuid_format(news->id, id);
    hz_events_execution(id, news);
    struct watched *w = news->state >= HZ_EXEC_SUCCESS ? take_watched(id) : NULL;
    if (!w)
        return;
    tell_end(w, news);
    hz_news_drop(w->origin);
    free(w);
}

static void on_progress(const struct hz_uuid *execution, const struct hz_worker_info *worker, const char *json, size_t len)
{
    char id[HZ_UUID_TEXT] = "";
    if (execution)
        hz_uuid_format(execution, id);
    else
        memcpy(id, worker->execution_text, sizeof id);
    if (id[0])
        hz_events_progress(id, worker, json, len);
}

/* ---- readiness ---- */
static void run_waiting(struct hz_mail *mail)
{
    struct waiting *w = HZ_CONTAINER_OF(mail, struct waiting, mail);
    w->fn(w->arg, w->ready);
    free(w);
}

static void wake(const struct hz_uuid *worker, bool ready)
{
    struct waiting *woken = NULL, *next;
    pthread_mutex_lock(&herald.lock);
    for (struct waiting **link = &herald.waiting; *link;)
        if (hz_uuid_equal(&(*link)->worker, worker)) {
            struct waiting *w = *link;
            *link = w->next;
            w->next = woken;
            woken = w;
        } else {
            link = &(*link)->next;
        }
    pthread_mutex_unlock(&herald.lock);
    for (; woken; woken = next) {
        next = woken->next;
        woken->ready = ready;
        woken->mail.run = run_waiting;
        hz_shard_post(woken->shard, &woken->mail);
    }
}

void hz_herald_ready(const struct hz_uuid *worker, hz_herald_ready_fn *fn, void *arg)
{
    struct hz_worker_info info;
    bool known = hz_registry_get(worker, &info);
    struct waiting *w = known && info.status == HZ_WORKER_STARTING ? calloc(1, sizeof *w) : NULL;
    if (!w) {
        fn(arg, known && info.status == HZ_WORKER_RUNNING);
        return;
    }
    w->shard = hz_shard_self();
    w->worker = *worker;
    w->fn = fn;
    w->arg = arg;
    pthread_mutex_lock(&herald.lock);
    w->next = herald.waiting;
    herald.waiting = w;
    pthread_mutex_unlock(&herald.lock);
    /* It is published before its event is raised: what came in between is seen here. */
    known = hz_registry_get(worker, &info);
    if (!known || info.status != HZ_WORKER_STARTING)
        wake(worker, known && info.status == HZ_WORKER_RUNNING);
}

/* ---- workers ---- */
static void tell_all(const char *name, struct hz_json *json, struct hz_sio_socket *except)
{
    if (!json->failed)
        hz_news_all_text(name, json->data, json->len, except);
    hz_json_fini(json);
}

static void on_restarted(const struct hz_worker_info *info, const char *old)
{
    struct author *author = take_author(old, true);
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "oldWorkerId");
    hz_json_text(&json, old);
    HZ_JSON_KEY(&json, "newWorker");
    hz_json_worker(&json, info, HZ_WORKER_PAGE_OBJECT);
    hz_json_close(&json, '}');
    tell_all("workers:restarted", &json, author ? author->origin : NULL);
    free_author(author);
}

static void tell_stopped(const char *worker_id)
{
    if (hz_supervisor_ends_here())
        return; /* pages would ask for what is left, and wait for ever for an answer that the end cuts off */
    struct author *author = take_author(worker_id, false);
    struct hz_json json = {0};
    hz_json_open(&json, '{');
    HZ_JSON_KEY(&json, "workerId");
    hz_json_text(&json, worker_id);
    hz_json_close(&json, '}');
    tell_all("workers:stopped", &json, author ? author->origin : NULL);
    free_author(author);
}

void hz_herald_restart_failed(const char *worker_id, struct hz_sio_socket *origin)
{
    struct author *found = NULL, **where = NULL;
    bool others = false;
    pthread_mutex_lock(&herald.lock);
    for (struct author **link = &herald.authors; *link; link = &(*link)->next) {
        if (!(*link)->restart || strcmp((*link)->worker_id, worker_id) != 0)
            continue;
        others |= where != NULL || (*link)->origin != origin;
        if (!where && (*link)->origin == origin)
            where = link;
    }
    if (where) {
        found = *where;
        *where = found->next;
        herald.author_count--;
    }
    pthread_mutex_unlock(&herald.lock);
    if (found && found->gone && !others)
        tell_stopped(worker_id);
    free_author(found);
}

static void on_event(void *arg, enum hz_worker_event event, const struct hz_worker_info *info, const char *detail)
{
    (void)arg;
    struct hz_json json = {0};
    if (event == HZ_EVENT_WORKER_CREATED) {
        hz_json_worker(&json, info, HZ_WORKER_PAGE_OBJECT);
        tell_all("workers:created", &json, NULL);
    } else if (event == HZ_EVENT_WORKER_READY) {
        wake(&info->id, true);
    } else if (event == HZ_EVENT_WORKER_RESTARTED) {
        on_restarted(info, detail ? detail : "");
    } else if (event == HZ_EVENT_WORKER_STOPPED) {
        wake(&info->id, false);
        if (!is_restarting(info->id_text)) /* else workers:restarted follows */
            tell_stopped(info->id_text);
    }
    hz_events_worker(event, info, detail);
}

static void on_alert(const struct hz_alert *alert, const char *json)
{
    static const char workflow[] = "workflow:";
    size_t len = sizeof workflow - 1;
    hz_events_note("alert", strncmp(alert->subject, workflow, len) == 0 ? alert->subject + len : NULL, NULL, json);
}

int hz_herald_init(void)
{
    hz_alerts_listen(on_alert);
    hz_scheduler_on_news(on_news, on_progress);
    return hz_supervisor_listen(on_event, NULL);
}

void hz_herald_fini(void)
{
    hz_alerts_listen(NULL);
    hz_scheduler_on_news(NULL, NULL);
    for (struct author *a = herald.authors, *next; a; a = next) {
        next = a->next;
        free(a);
    }
    for (unsigned i = 0; i < WATCHED_BUCKETS; i++)
        for (struct watched *w = herald.watched[i], *next; w; w = next) {
            next = w->next;
            free(w);
        }
    for (struct waiting *w = herald.waiting, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    herald.authors = NULL;
    herald.waiting = NULL;
    herald.author_count = herald.watched_count = 0;
    memset(herald.watched, 0, sizeof herald.watched);
}
