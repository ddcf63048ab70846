/*
 * catalog.c - the node types there are. A probe process opens the shared objects and says what they are; this file keeps its
 * answer, replaced as a whole. Any thread.
 *
 * Synchronisation: `current` is published with release and read under the RCU read lock; a reader takes a jansson reference (an
 * atomic count) before it leaves the lock, and the writer gives the old one up only after a grace period, so the count a
 * reader raises never was zero. Writers exclude each other by `lock`.
 */
#include "catalog.h"

#include "config.h"
#include "edges.h"
#include "probe.h"
#include "shm/err.h"
#include "shm/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

#define DESCRIBE_TIMEOUT_MS 60000u
#define CHECK_TIMEOUT_MS 10000u
#define OUTPUT_LIMIT ((size_t)64 << 20)

struct catalog {
    json_t *types, *public, *refused;
    uint64_t version;
};

static struct {
    pthread_mutex_t lock;
    struct catalog *current;
    uint64_t versions;
} catalog = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* jansson's decrement releases and does not acquire: what others read before they gave theirs back comes before we free. */
static void give_back(json_t *json)
{
    if (json)
        (void)__atomic_load_n(&json->refcount, __ATOMIC_ACQUIRE);
    json_decref(json);
}

static void free_catalog(struct catalog *old)
{
    if (!old)
        return;
    give_back(old->types);
    give_back(old->public);
    give_back(old->refused);
    free(old);
}

static json_t *run_json(char *const argv[], const char *input, size_t len, uint32_t timeout_ms)
{
    char *output;
    size_t output_len;
    if (hz_probe_run(argv, input, len, timeout_ms, OUTPUT_LIMIT, &output, &output_len))
        return NULL;
    json_error_t error;
    json_t *json = json_loadb(output, output_len, JSON_DECODE_ANY, &error);
    if (!json)
        (void)hz_err_set(HZ_EFORMAT, "%s %s answered what is not JSON: %s", argv[0], argv[1], error.text);
    free(output);
    return json;
}

/* Folders after the built-in one come later; a type that is there already is refused, so nobody replaces a built-in node. */
static json_t *describe(const struct hz_config *config, const char *const *paths, size_t count)
{
    char **argv = calloc(count + 3, sizeof *argv);
    if (!argv) {
        (void)hz_err_set(HZ_ENOMEM, "describing the nodes");
        return NULL;
    }
    argv[0] = config->worker_path;
    argv[1] = strdup("--describe");
    bool whole = argv[1] != NULL;
    for (size_t i = 0; i < count; i++) {
        argv[i + 2] = strdup(paths[i]);
        whole &= argv[i + 2] != NULL;
    }
    json_t *answer = NULL;
    if (whole)
        answer = run_json(argv, NULL, 0, DESCRIBE_TIMEOUT_MS);
    else
        (void)hz_err_set(HZ_ENOMEM, "describing the nodes");
    for (size_t i = 1; i < count + 2; i++)
        free(argv[i]);
    free(argv);
    if (answer && (!json_is_object(json_object_get(answer, "types")) || !json_is_array(json_object_get(answer, "refused")))) {
        json_decref(answer);
        answer = NULL;
        (void)hz_err_set(HZ_EFORMAT, "%s --describe answered without types or refused", config->worker_path);
    }
    return answer;
}

static json_t *public_entry(const char *type, json_t *entry)
{
    json_t *info = json_object_get(entry, "info"), *group = json_object_get(info, "group");
    return json_pack("{s:s, s:O, s:O, s:[], s:O, s:O}", "type", type, "info", info, "group", group, "dependencies", "properties",
            json_object_get(entry, "properties"), "typeDescription", group);
}

static struct catalog *make_catalog(json_t *answer, const char *builtin)
{
    struct catalog *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->types = json_incref(json_object_get(answer, "types"));
    made->refused = json_incref(json_object_get(answer, "refused"));
    made->public = json_object();
    const char *type;
    json_t *entry;
    size_t builtin_len = strlen(builtin);
    json_object_foreach(made->types, type, entry) {
        const char *file = json_string_value(json_object_get(entry, "file"));
        bool trusted = file && strncmp(file, builtin, builtin_len) == 0 && file[builtin_len] == '/';
        if (json_object_set_new(entry, "trusted", json_boolean(trusted)) ||
                json_object_set_new(made->public, type, public_entry(type, entry))) {
            free_catalog(made);
            return NULL;
        }
    }
    return made;
}

static void log_refused(const json_t *refused)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)refused, i, item) {
        const char *file = json_string_value(json_object_get(item, "file")), *reason = json_string_value(json_object_get(item, "reason"));
        HZ_LOG(WARN, "node %s refused: %s", file ? file : "?", reason ? reason : "no reason given");
    }
}

int hz_catalog_refresh(const struct hz_config *config)
{
    const char *paths[64] = {config->nodes_path};
    size_t count = 1;
    char *extra = config->extra_nodes_path ? strdup(config->extra_nodes_path) : NULL, *save = NULL;
    for (char *p = extra ? strtok_r(extra, ":", &save) : NULL; p && count < HZ_COUNT_OF(paths); p = strtok_r(NULL, ":", &save))
        paths[count++] = p;
    json_t *answer = describe(config, paths, count);
    free(extra);
    if (!answer)
        return hz_err_prefix(HZ_EREFUSED, "cannot learn the node types");
    struct catalog *made = make_catalog(answer, config->nodes_path);
    json_decref(answer);
    if (!made)
        return hz_err_set(HZ_ENOMEM, "learning the node types");
    log_refused(made->refused);
    pthread_mutex_lock(&catalog.lock);
    made->version = ++catalog.versions;
    HZ_EDGE_OUT(made);
    struct catalog *old = rcu_xchg_pointer(&catalog.current, made);
    pthread_mutex_unlock(&catalog.lock);
    if (old)
        urcu_memb_synchronize_rcu();
    HZ_EDGE_IN(old);
    free_catalog(old);
    return 0;
}

void hz_catalog_fini(void)
{
    free_catalog(rcu_xchg_pointer(&catalog.current, NULL));
}

enum part { TYPES, PUBLIC, REFUSED };
static json_t *take_part(enum part part)
{
    json_t *json = NULL;
    urcu_memb_read_lock();
    struct catalog *now = rcu_dereference(catalog.current);
    if (now) {
        HZ_EDGE_IN(now); /* the publication before our look */
        json = json_incref(part == TYPES ? now->types : part == PUBLIC ? now->public : now->refused);
        HZ_EDGE_OUT(now); /* our look before the end of the grace period */
    }
    urcu_memb_read_unlock();
    return json;
}

json_t *hz_catalog_get(void)
{
    return take_part(TYPES);
}

json_t *hz_catalog_public(void)
{
    return take_part(PUBLIC);
}

json_t *hz_catalog_refused(void)
{
    return take_part(REFUSED);
}

static int compare_types(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

json_t *hz_catalog_list(void)
{
    json_t *types = take_part(PUBLIC), *refused = take_part(REFUSED), *list = json_array(), *entry;
    const char **names = calloc(json_object_size(types) + 1, sizeof *names), *name;
    size_t count = 0;
    if (names)
        json_object_foreach(types, name, entry)
            names[count++] = name;
    if (count > 0)
        qsort(names, count, sizeof *names, compare_types);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append(list, json_object_get(types, names[i]));
    bool ok = names && json_array_size(list) == json_object_size(types);
    free(names);
    json_decref(types);
    if (!ok) {
        json_decref(list);
        json_decref(refused);
        return NULL;
    }
    return json_pack("{s:o, s:o?, s:n}", "nodes", list, "refused", refused, "next");
}

uint64_t hz_catalog_version(void)
{
    urcu_memb_read_lock();
    struct catalog *now = rcu_dereference(catalog.current);
    uint64_t version = 0;
    if (now) {
        HZ_EDGE_IN(now);
        version = now->version;
        HZ_EDGE_OUT(now);
    }
    urcu_memb_read_unlock();
    return version;
}

json_t *hz_catalog_check_scripts(const struct hz_config *config, const json_t *texts)
{
    char *input = json_dumps(texts, JSON_COMPACT);
    char check[] = "--check";
    char *argv[] = {config->worker_path, check, NULL};
    json_t *answer = NULL;
    if (input)
        answer = run_json(argv, input, strlen(input), CHECK_TIMEOUT_MS);
    else
        (void)hz_err_set(HZ_ENOMEM, "checking scripts");
    free(input);
    if (answer && (!json_is_array(answer) || json_array_size(answer) != json_array_size(texts))) {
        json_decref(answer);
        answer = NULL;
        (void)hz_err_set(HZ_EFORMAT, "%s --check answered another number of results", config->worker_path);
    }
    return answer;
}

json_t *hz_catalog_inspect(const struct hz_config *config, const char *file)
{
    json_t *answer = describe(config, &file, 1);
    if (!answer)
        return NULL;
    json_t *refused = json_array_get(json_object_get(answer, "refused"), 0), *entry = NULL;
    const char *type;
    json_t *item;
    json_object_foreach(json_object_get(answer, "types"), type, item)
        entry = item;
    json_incref(entry);
    if (!entry) {
        const char *reason = json_string_value(json_object_get(refused, "reason"));
        (void)hz_err_set(HZ_EREFUSED, "%s: %s", file, reason ? reason : "no node in it");
    }
    json_decref(answer);
    return entry;
}
