/*
 * policy.c - reads and applies policy.json. Rights add up: a node has what stands for its kind (`builtin` or `plugins`), its type
 * (`nodes`), its workflow (`workflows`), and its type in that workflow. Nothing is taken away again, so the order does not matter.
 *
 * Synchronisation: `lock` guards everything; a judgement takes it for some microseconds, once per compilation.
 */
#include "policy.h"

#include "config.h"
#include "shm/err.h"
#include "shm/log.h"

#define HZ_HOST_SIDE
#include <horizon/node.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1u << 20)
#define LOOK_NS UINT64_C(1000000000)

static const struct {
    const char *name;
    uint32_t cap;
    char kind; /* of its paths; 0: it takes none, and is true or false */
} known[] = {{"net", HZ_CAP_NET, 0}, {"fs:read", HZ_CAP_FS_READ, 'r'}, {"fs:write", HZ_CAP_FS_WRITE, 'w'}, {"exec", HZ_CAP_EXEC, 'x'},
        {"jit", HZ_CAP_JIT, 0}};

static struct {
    pthread_mutex_t lock;
    char *path, *data_dir; /* path NULL: never opened */
    json_t *root;          /* NULL: the default */
    struct timespec changed;
    off_t size;
    ino_t inode;
    bool there;
    _Atomic uint64_t version, looked_ns; /* written under the lock, read by any thread */
} policy = {.lock = PTHREAD_MUTEX_INITIALIZER};

const char *hz_policy_names(uint32_t caps, char buf[64])
{
    size_t used = 0;
    buf[0] = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(known); i++)
        if (caps & known[i].cap)
            used += (size_t)snprintf(buf + used, 64 - used, "%s%s", used ? ", " : "", known[i].name);
    return buf;
}

/* ---- reading ---- */

static bool lies_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strcmp(folder, "/") == 0 || (strncmp(path, folder, n) == 0 && (path[n] == 0 || path[n] == '/'));
}

/* Neither what holds everybody's secrets nor what holds everybody's memory is given to a worker, whole or in part. */
static int check_path(const char *where, const char *cap, const char *path, const char *data_dir)
{
    char real[PATH_MAX];
    if (path[0] != '/' || strstr(path, "/../") || strlen(path) >= PATH_MAX)
        return hz_err_set(HZ_EFORMAT, "%s.%s: \"%.200s\" is no absolute path without ..", where, cap, path);
    if (!realpath(path, real))
        snprintf(real, sizeof real, "%s", path);
    const char *const kept[] = {data_dir, "/dev/shm", "/proc"};
    for (size_t i = 0; i < HZ_COUNT_OF(kept); i++)
        if (kept[i] && (lies_in(real, kept[i]) || lies_in(kept[i], real)))
            return hz_err_set(HZ_EFORMAT, "%s.%s: \"%.200s\" and %s overlap, which no worker may touch", where, cap, path, kept[i]);
    return 0;
}

static int check_paths(const char *where, const char *cap, const json_t *paths, const char *data_dir)
{
    int err = json_is_array(paths) && json_array_size(paths) > 0
            ? 0 : hz_err_set(HZ_EFORMAT, "%s.%s: expected a list of absolute paths, one at least", where, cap);
    for (size_t i = 0; i < json_array_size(paths) && !err; i++) {
        const char *path = json_string_value(json_array_get(paths, i));
        err = path ? check_path(where, cap, path, data_dir) : hz_err_set(HZ_EFORMAT, "%s.%s[%zu]: expected a text", where, cap, i);
    }
    return err;
}

static int check_types(const char *where, json_t *types, const char *data_dir);

static int check_rights(const char *where, json_t *rights, bool workflow, const char *data_dir)
{
    const char *key;
    json_t *value;
    if (!json_is_object(rights))
        return hz_err_set(HZ_EFORMAT, "%s: expected an object of capabilities", where);
    json_object_foreach(rights, key, value) {
        size_t i = 0;
        while (i < HZ_COUNT_OF(known) && strcmp(known[i].name, key) != 0)
            i++;
        int err = 0;
        if (workflow && strcmp(key, "nodes") == 0) {
            char inner[300];
            snprintf(inner, sizeof inner, "%.280s.nodes", where);
            err = check_types(inner, value, data_dir);
        } else if (workflow && strcmp(key, "uid") == 0) {
            if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) >= UINT32_MAX)
                err = hz_err_set(HZ_EFORMAT, "%s.uid: expected a user's number above 0", where);
        } else if (i == HZ_COUNT_OF(known))
            err = hz_err_set(HZ_EFORMAT, "%s: there is no capability \"%.80s\", expected net, fs:read, fs:write, exec or jit", where, key);
        else if (known[i].kind)
            err = check_paths(where, key, value, data_dir);
        else if (!json_is_boolean(value))
            err = hz_err_set(HZ_EFORMAT, "%s.%s: expected true or false", where, key);
        if (err)
            return err;
    }
    return 0;
}

static int check_types(const char *where, json_t *types, const char *data_dir)
{
    const char *key;
    json_t *value;
    bool workflows = strcmp(where, "workflows") == 0;
    if (!json_is_object(types))
        return hz_err_set(HZ_EFORMAT, "%s: expected an object of %s", where, workflows ? "workflow ids" : "node types");
    json_object_foreach(types, key, value) {
        char inner[300];
        snprintf(inner, sizeof inner, "%.140s.%.140s", where, key);
        int err = check_rights(inner, value, workflows, data_dir);
        if (err)
            return err;
    }
    return 0;
}

static int check_root(json_t *root, const char *data_dir)
{
    const char *key;
    json_t *value;
    if (!json_is_object(root))
        return hz_err_set(HZ_EFORMAT, "expected an object");
    json_object_foreach(root, key, value) {
        int err;
        if (strcmp(key, "builtin") == 0 || strcmp(key, "plugins") == 0)
            err = check_rights(key, value, false, data_dir);
        else if (strcmp(key, "nodes") == 0 || strcmp(key, "workflows") == 0)
            err = check_types(key, value, data_dir);
        else
            err = hz_err_set(HZ_EFORMAT, "\"%.80s\" means nothing here, expected builtin, plugins, nodes or workflows", key);
        if (err)
            return err;
    }
    return 0;
}

/* Who may write this file decides what workers may do. */
static int check_owner(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return hz_err_set(HZ_EREFUSED, "is no file");
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return hz_err_set(HZ_EREFUSED, "belongs to user %u, expected the one the server runs as, or root", (unsigned)st->st_uid);
    if (st->st_mode & 022)
        return hz_err_set(HZ_EREFUSED, "may be written by others (mode %03o): chmod go-w", (unsigned)(st->st_mode & 0777));
    return st->st_size > (off_t)FILE_BYTES_MAX ? hz_err_set(HZ_ETOOBIG, "has more than %u bytes", FILE_BYTES_MAX) : 0;
}

static int parse(int fd, json_t **ret_root)
{
    json_error_t error;
    json_t *root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return hz_err_set(HZ_EFORMAT, "line %d: %s", error.line, error.text);
    int err = check_root(root, policy.data_dir);
    if (err)
        json_decref(root);
    else
        *ret_root = root;
    return err;
}

/* Under the lock. Leaves what held before when the file is wrong. */
static int load(void)
{
    json_t *root = NULL;
    struct stat st;
    memset(&st, 0, sizeof st);
    int err = 0, fd = open(policy.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool there = fd >= 0;
    if (!there && errno != ENOENT && errno != ENOTDIR)
        err = hz_err_set(-errno, "cannot be opened");
    if (there) {
        err = fstat(fd, &st) ? hz_err_set(-errno, "cannot be looked at") : check_owner(&st);
        if (!err)
            err = parse(fd, &root);
        close(fd);
    }
    policy.there = there;
    policy.changed = st.st_mtim;
    policy.size = st.st_size;
    policy.inode = st.st_ino;
    if (err)
        return hz_err_prefix(err, "policy %s", policy.path);
    json_decref(policy.root);
    policy.root = root;
    atomic_fetch_add(&policy.version, 1);
    return 0;
}

int hz_policy_open(const struct hz_config *config, const char *data_dir)
{
    char *path = NULL, *data = realpath(data_dir, NULL);
    if (config->policy_path)
        path = strdup(config->policy_path);
    else if (asprintf(&path, "%s/policy.json", data_dir) < 0)
        path = NULL;
    pthread_mutex_lock(&policy.lock);
    free(policy.path);
    free(policy.data_dir);
    policy.path = path;
    policy.data_dir = data;
    json_decref(policy.root);
    policy.root = NULL;
    int err = path ? load() : hz_err_set(HZ_ENOMEM, "reading the policy");
    if (!err && config->policy_path && !policy.there)
        err = hz_err_set(HZ_ENOTFOUND, "policy %s, which HORIZON_POLICY names, is not there", path);
    atomic_store(&policy.looked_ns, hz_base_now_ns());
    pthread_mutex_unlock(&policy.lock);
    return err;
}

int hz_policy_check(void)
{
    pthread_mutex_lock(&policy.lock);
    int err = policy.path ? load() : 0;
    pthread_mutex_unlock(&policy.lock);
    return err;
}

void hz_policy_close(void)
{
    pthread_mutex_lock(&policy.lock);
    free(policy.path);
    free(policy.data_dir);
    json_decref(policy.root);
    policy.path = policy.data_dir = NULL;
    policy.root = NULL;
    pthread_mutex_unlock(&policy.lock);
}

uint64_t hz_policy_version(void)
{
    uint64_t now = hz_base_now_ns();
    if (now - atomic_load_explicit(&policy.looked_ns, memory_order_relaxed) < LOOK_NS)
        return atomic_load(&policy.version);
    pthread_mutex_lock(&policy.lock);
    atomic_store(&policy.looked_ns, now);
    struct stat st;
    if (policy.path) {
        bool there = stat(policy.path, &st) == 0;
        bool same = there == policy.there && (!there || (st.st_size == policy.size && st.st_ino == policy.inode &&
                st.st_mtim.tv_sec == policy.changed.tv_sec && st.st_mtim.tv_nsec == policy.changed.tv_nsec));
        if (!same && load())
            HZ_LOG(ERROR, "%s; what held before goes on", hz_err_last());
        else if (!same)
            HZ_LOG(INFO, "policy %s was read again", policy.path);
    }
    uint64_t version = atomic_load(&policy.version);
    pthread_mutex_unlock(&policy.lock);
    return version;
}

/* ---- judging ---- */

struct verdict {
    struct hz_policy_rights rights;
    bool failed; /* out of memory, or more paths than fit */
};

static void add_path(struct verdict *verdict, char kind, const char *path)
{
    struct hz_policy_rights *rights = &verdict->rights;
    size_t n = strlen(path) + 1;
    for (size_t at = 0; at < rights->paths_len; at += strlen(rights->paths + at) + 1)
        if (rights->paths[at] == kind && strcmp(rights->paths + at + 1, path) == 0)
            return;
    char *grown = rights->paths_len + n + 1 <= HZ_POLICY_PATHS_MAX ? realloc(rights->paths, rights->paths_len + n + 1) : NULL;
    if (!grown) {
        verdict->failed = true;
        return;
    }
    grown[rights->paths_len] = kind;
    memcpy(grown + rights->paths_len + 1, path, n);
    rights->paths = grown;
    rights->paths_len += n + 1;
}

/* Takes from one object of rights what is wanted; returns what it grants of it. */
static uint32_t take(const json_t *rights, uint32_t wanted, struct verdict *verdict)
{
    uint32_t granted = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(known); i++) {
        const json_t *value = json_object_get(rights, known[i].name);
        if (!(wanted & known[i].cap) || !value || json_is_false(value))
            continue;
        granted |= known[i].cap;
        for (size_t k = 0; k < json_array_size(value); k++)
            add_path(verdict, known[i].kind, json_string_value(json_array_get(value, k)));
    }
    return granted;
}

static uint32_t grant(const struct hz_plan *plan, const struct hz_plan_node *node, const char *type, const char *workflow_id,
        struct verdict *verdict)
{
    bool builtin = node->plugin < plan->plugin_count && (hz_plan_plugin(plan, node->plugin)->flags & 1) != 0;
    const json_t *workflow = json_object_get(json_object_get(policy.root, "workflows"), workflow_id);
    const json_t *kind = json_object_get(policy.root, builtin ? "builtin" : "plugins");
    uint32_t granted = builtin && !kind ? HZ_CAP_NET : 0;
    granted |= take(kind, node->caps, verdict);
    granted |= take(json_object_get(json_object_get(policy.root, "nodes"), type), node->caps, verdict);
    granted |= take(workflow, node->caps, verdict);
    granted |= take(json_object_get(json_object_get(workflow, "nodes"), type), node->caps, verdict);
    return granted;
}

static void refuse(const struct hz_plan *plan, const struct hz_plan_node *node, const char *type, const char *workflow_id, uint32_t missing,
        struct hz_flow_report *report)
{
    char name[160], message[400], expected[700];
    snprintf(name, sizeof name, "%.*s", (int)HZ_MIN(node->name.len, 159u), hz_plan_chars(plan, node->name));
    for (size_t i = 0; i < HZ_COUNT_OF(known); i++) {
        if (!(missing & known[i].cap))
            continue;
        snprintf(message, sizeof message, "a node of type %.160s asks for the capability %s, which is not granted", type, known[i].name);
        snprintf(expected, sizeof expected, "\"%s\": %s under nodes.%.160s or workflows.%.160s in %s", known[i].name,
                known[i].kind ? "[paths]" : "true", type, workflow_id, policy.path ? policy.path : "policy.json");
        hz_flow_report_add(report, HZ_FLOW_ERROR, name, "", message, expected);
    }
}

int hz_policy_judge(const struct hz_plan *plan, const char *workflow_id, struct hz_flow_report *report, struct hz_policy_rights *ret_rights)
{
    struct verdict verdict = {.failed = false};
    int err = 0;
    (void)hz_policy_version();
    pthread_mutex_lock(&policy.lock);
    for (uint32_t i = 0; i < plan->node_count; i++) {
        const struct hz_plan_node *node = hz_plan_node(plan, i);
        char type[200];
        if (node->caps == 0)
            continue;
        snprintf(type, sizeof type, "%.*s", (int)HZ_MIN(node->type.len, 199u), hz_plan_chars(plan, node->type));
        uint32_t missing = node->caps & ~grant(plan, node, type, workflow_id, &verdict);
        if (missing) {
            refuse(plan, node, type, workflow_id, missing, report);
            err = HZ_EFORMAT;
        }
        verdict.rights.caps |= node->caps;
    }
    const json_t *uid = json_object_get(json_object_get(json_object_get(policy.root, "workflows"), workflow_id), "uid");
    verdict.rights.uid = (uint32_t)json_integer_value(uid);
    /* A workflow's own grant of jit is for its expressions: JavaScriptCore compiles them. */
    if (plan->needs_script && json_is_true(json_object_get(json_object_get(json_object_get(policy.root, "workflows"), workflow_id), "jit")))
        verdict.rights.caps |= HZ_CAP_JIT;
    pthread_mutex_unlock(&policy.lock);
    if (verdict.failed) {
        hz_flow_report_add(report, HZ_FLOW_ERROR, "", "", "the paths granted to this workflow do not fit", "at most 16384 bytes of them");
        err = HZ_EFORMAT;
    }
    if (err)
        (void)hz_err_set(err, "workflow %s asks for capabilities that are not granted", workflow_id);
    if (err || !ret_rights)
        hz_policy_rights_fini(&verdict.rights);
    else
        *ret_rights = verdict.rights;
    return err;
}

void hz_policy_rights_fini(struct hz_policy_rights *rights)
{
    free(rights->paths);
    memset(rights, 0, sizeof *rights);
}

/* ---- showing ---- */

static void add(char **text, const char *format, ...) HZ_PRINTF(2, 3);
static void add(char **text, const char *format, ...)
{
    char *part = NULL, *all = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&part, format, args) < 0)
        part = NULL;
    va_end(args);
    if (part && *text && asprintf(&all, "%s%s", *text, part) < 0)
        all = NULL;
    free(part);
    free(*text);
    *text = all;
}

static void add_rights(char **text, const char *who, const char *name, const json_t *rights)
{
    char names[64];
    uint32_t caps = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(known); i++) {
        const json_t *value = json_object_get(rights, known[i].name);
        caps |= value && !json_is_false(value) ? known[i].cap : 0;
    }
    add(text, "; %s%s%s: %s", who, *name ? " " : "", name, caps ? hz_policy_names(caps, names) : "nothing");
}

static void add_types(char **text, const char *who, json_t *types)
{
    const char *key;
    json_t *value;
    json_object_foreach(types, key, value) {
        add_rights(text, who, key, value);
        json_t *nodes = json_object_get(value, "nodes");
        if (json_is_object(nodes)) {
            char inner[200];
            snprintf(inner, sizeof inner, "%s %.140s, node", who, key);
            add_types(text, inner, nodes);
        }
    }
}

char *hz_policy_text(void)
{
    pthread_mutex_lock(&policy.lock);
    char *text = policy.there ? strdup(policy.path) : strdup("default");
    json_t *builtin = json_object_get(policy.root, "builtin"), *plugins = json_object_get(policy.root, "plugins");
    if (builtin)
        add_rights(&text, "built-in nodes", "", builtin);
    else
        add(&text, "; built-in nodes: net");
    add_rights(&text, "other nodes", "", plugins);
    add_types(&text, "node", json_object_get(policy.root, "nodes"));
    add_types(&text, "workflow", json_object_get(policy.root, "workflows"));
    pthread_mutex_unlock(&policy.lock);
    return text;
}
