/*
 * workflows.h - the flows the manager knows: the store's records, compiled plans, flow.json files as import and export.
 * Any thread; guarded inside. A compiled plan is reference counted and immutable.
 */
#ifndef HZ_CORE_WORKFLOWS_H
#define HZ_CORE_WORKFLOWS_H

#include "core/flow/flow.h"
#include "core/flow/queueing.h"
#include "store.h"
#include "shm/base.h"

enum hz_isolation { HZ_ISOLATION_AUTO, HZ_ISOLATION_ISOLATED, HZ_ISOLATION_RESIDENT };
enum hz_durability { HZ_DURABILITY_NONE, HZ_DURABILITY_EXECUTION, HZ_DURABILITY_CHECKPOINT };
enum hz_on_interrupt { HZ_INTERRUPT_FAIL, HZ_INTERRUPT_RESTART, HZ_INTERRUPT_RESUME };
enum hz_zygote_kind { HZ_ZYGOTE_BASE, HZ_ZYGOTE_NET, HZ_ZYGOTE_JS, HZ_ZYGOTE_KINDS };

struct hz_retry { /* properties.horizon.retry */
    bool given; /* then what fails for good is a dead letter */
    uint32_t times, delay_ms, max_ms, jitter; /* jitter: percent of a wait that chance may take off */
};
enum hz_restart { HZ_RESTART_ON_FAILURE, HZ_RESTART_NEVER, HZ_RESTART_ALWAYS };
/* Of each worker of the workflow; 0: none. */
struct hz_workflow_limits {
    uint64_t memory_bytes;             /* resident, as the kernel counts it */
    uint64_t cpu_ms, wall_ms;          /* of the worker's whole life */
    uint32_t open_files, processes;    /* processes: itself and what it started */
};

struct hz_workflow { /* one version, ready to run; immutable */
    uint32_t references; /* atomic */
    char id[128], version[32];
    char *path;          /* of flow.json */
    struct hz_plan *plan;
    enum hz_zygote_kind zygote;
    bool resident;       /* after isolation was decided: a flow with a trigger always is */
    enum hz_durability durability;
    enum hz_on_interrupt on_interrupt;
    enum hz_history history; /* what is kept of executions that are over */
    bool node_stats;         /* what each node of an execution did is kept too */
    uint32_t threads, timeout_ms; /* timeout_ms: deadline of an execution, 0 none */
    struct hz_retry retry;
    uint64_t segment_bytes;       /* 0: default */
    uint32_t caps;                /* HZ_CAP_* its worker gets: all its nodes ask for, granted by the policy */
    uint32_t uid;                 /* the policy's user for it, when the server is root; 0: one of its own for each worker */
    char *paths;                  /* of the policy (policy.h); NULL none */
    size_t paths_len;
    char **secrets;               /* names the flow lists; NULL-terminated or NULL */
    struct hz_queueing queueing;  /* how its executions are queued */
    enum hz_restart restart;
    struct hz_workflow_limits limits;
    char on_error[128];           /* workflow that is started with the crash report as its input; "" none */
    char **env;                   /* pairs name, value of the flow's own names that are set; NULL-terminated */
};
/* properties.horizon in flow.json: {isolation, durability, onInterrupt, history, nodeStats, threads, timeout, segmentBytes, restart, limits, onError,
 * concurrency, queue, priority, share, rate, burst, retry {times, delay, max, jitter}}. */

struct hz_config;
/* hz_store_open_with() the data directory and bounds of `config`. */
HZ_MUST_CHECK int hz_workflows_open_store(const struct hz_config *config);
HZ_MUST_CHECK int hz_workflows_init(const struct hz_config *config);
void hz_workflows_fini(void);
/* Newest version (version NULL) or the given one, compiled against the current catalogue. HZ_ENOTFOUND; HZ_EFORMAT with the
 * findings' text in *ret_text (caller frees) if it does not compile. */
HZ_MUST_CHECK int hz_workflows_get(const char *id, const char *version, struct hz_workflow **ret_workflow, char **ret_text);
struct hz_workflow *hz_workflow_ref(struct hz_workflow *workflow);
void hz_workflow_unref(struct hz_workflow **workflow);
/* Validates and stores `text` as a new version of `id` (same text: nothing happens, *ret_version is the current one). Writes
 * flow.json (temporary file, fsync, rename). version NULL: taken from the file if newer, else patch + 1. HZ_EFORMAT + *ret_text. */
HZ_MUST_CHECK int hz_workflows_put(const char *id, const char *text, size_t len, const char *author, char ret_version[32], char **ret_text);
/*
 * hz_workflows_publish - has exactly this text run as exactly this version: checks it, stores it, writes flow.json.
 *
 * export    whether flow.json is written also; the line of it is the contract's
 * ret_text  findings, caller frees; NULL none
 * HZ_EFORMAT: it does not compile. Blocking, some ten milliseconds; nothing is stored that is there already.
 */
HZ_MUST_CHECK int hz_workflows_publish(const char *id, const char *version, const char *text, size_t len, const char *author, bool export,
        char **ret_text);
/* Writes flow.json alone: the next start does not take it for a change somebody made. */
HZ_MUST_CHECK int hz_workflows_export(const char *id, const char *version, const char *text, size_t len);
/* Hears of each version hz_workflows_put() has stored, on its thread: the records of the pages follow. Before the shards run. */
typedef void hz_workflows_stored_fn(const char *id, const char *version, const json_t *flow, const char *author);
void hz_workflows_on_stored(hz_workflows_stored_fn *fn);
/* At start and by `import`: each DIR/workflows/<id>/flow.json whose hash differs from the last one we wrote. Returns how many
 * were imported; failures are logged with their findings and do not stop the others. */
int hz_workflows_scan(void);
/* Ids and newest versions, as JSON array of {id, name, version, updatedAt, enabled}. New reference. */
json_t *hz_workflows_list(void);
/* The record of contract 1.4 for `workflows:get`, or NULL. */
json_t *hz_workflows_record(const char *id);
/* Is `id` a name a flow may have: 1..127 bytes, no '/', no "..", no control characters, not starting with '.'. */
bool hz_workflows_valid_id(const char *id, size_t len);

#endif
