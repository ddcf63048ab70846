/*
 * workflows.c - the flows: list, record, save. Saving compiles, asks the probe process and writes files, some ten
 * milliseconds, so it runs on a thread of libuv's pool and comes back to the shard that asked.
 */
#include "internal.h"

#include "core/shard.h"
#include "core/store_records.h"
#include "core/workflows.h"

#include "shm/err.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>
#include <uv.h>

void hz_api_workflows_list(hz_api_done_fn *done, void *arg)
{
    hz_api_answer_value(done, arg, 200, json_pack("{s:o,s:n}", "workflows", hz_workflows_list(), "next"));
}

void hz_api_workflows_get(const char *id, hz_api_done_fn *done, void *arg)
{
    json_t *record = id && hz_workflows_valid_id(id, strlen(id)) ? hz_workflows_record(id) : NULL;
    if (record)
        hz_api_answer_value(done, arg, 200, record);
    else
        hz_api_fail(done, arg, 404, "Workflow no encontrado");
}

struct saving {
    uv_work_t work;
    hz_api_done_fn *done;
    void *arg;
    char *id, *text, *author;
    size_t len;
    uint64_t revision; /* the record must have, then: has; 0: any, it has none */
    int result;
    char *findings;
    char version[32];
    char error[512];
};

static void saving_free(struct saving *saving)
{
    free(saving->id);
    free(saving->text);
    free(saving->author);
    free(saving->findings);
    free(saving);
}

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

static uint64_t revision_of(const char *id)
{
    struct hz_doc doc;
    if (hz_store_record_get(HZ_DOC_WORKFLOW, id, &doc))
        return 0;
    hz_doc_fini(&doc);
    return doc.revision;
}

static void save(uv_work_t *work) /* a thread of the pool */
{
    struct saving *saving = work->data;
    urcu_memb_register_thread(); /* the catalogue is read */
    uint64_t seen = saving->revision;
    pthread_mutex_lock(&one); /* nobody else's save comes between the look and the save */
    if (seen && revision_of(saving->id) != seen)
        saving->result = hz_err_set(HZ_EEXISTS, "somebody changed it: it is at r%llu now", (unsigned long long)revision_of(saving->id));
    else
        saving->result = hz_workflows_put(saving->id, saving->text, saving->len, saving->author, saving->version, &saving->findings);
    if (saving->result)
        strncpy(saving->error, hz_err_last(), sizeof saving->error - 1);
    else
        saving->revision = revision_of(saving->id);
    pthread_mutex_unlock(&one);
    urcu_memb_unregister_thread();
}

static void on_saved(uv_work_t *work, int status)
{
    struct saving *saving = work->data;
    if (status || saving->result) {
        bool invalid = saving->result == HZ_EFORMAT || saving->result == HZ_ETOOBIG;
        const char *error = saving->findings && *saving->findings ? saving->findings
                            : *saving->error                      ? saving->error
                                                                  : "the flow was not saved";
        hz_api_fail(saving->done, saving->arg, invalid ? 422 : saving->result == HZ_EEXISTS ? 412 : 500, error);
    } else {
        struct hz_json json = {0};
        hz_json_open(&json, '{');
        HZ_JSON_KEY(&json, "id");
        hz_json_text(&json, saving->id);
        HZ_JSON_KEY(&json, "workflowId");
        hz_json_text(&json, saving->id);
        HZ_JSON_KEY(&json, "version");
        hz_json_text(&json, saving->version);
        hz_json_close(&json, '}');
        if (json.failed)
            hz_api_fail(saving->done, saving->arg, 500, hz_err_text(HZ_ENOMEM));
        else
            saving->done(saving->arg, &(struct hz_api_result){.status = 200, .data = json.data, .len = json.len, .revision = saving->revision});
        hz_json_fini(&json);
    }
    saving_free(saving);
}

void hz_api_workflows_put(
        const char *id, const char *text, size_t len, const char *author, uint64_t if_revision, hz_api_done_fn *done, void *arg)
{
    if (!id || !hz_workflows_valid_id(id, strlen(id))) {
        hz_api_fail(done, arg, 400, "a workflow id has 1 to 127 bytes, no slash, no .. and does not begin with a dot");
        return;
    }
    struct saving *saving = calloc(1, sizeof *saving);
    if (saving) {
        *saving = (struct saving){.done = done,
                .arg = arg,
                .len = len,
                .revision = if_revision,
                .id = strdup(id),
                .author = strdup(author),
                .text = malloc(len + 1)};
        saving->work.data = saving;
    }
    if (!saving || !saving->id || !saving->author || !saving->text) {
        if (saving)
            saving_free(saving);
        hz_api_fail(done, arg, 500, hz_err_text(HZ_ENOMEM));
        return;
    }
    memcpy(saving->text, text, len);
    saving->text[len] = 0;
    if (uv_queue_work(hz_shard_loop(hz_shard_self()), &saving->work, save, on_saved)) {
        saving_free(saving);
        hz_api_fail(done, arg, 503, "the flow was not saved: no thread");
    }
}
