/*
 * config.c - reads what an operator can set and opens the data directory. It decides nothing by itself: the meaning of a
 * setting lives where it is used. Main thread, before the shards run.
 */
#include "config.h"

#include "shm/err.h"
#include "uids.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct number {
    const char *variable;
    size_t offset;
    uint32_t initial, lowest, highest;
    const char *unit, *meaning;
};
static const struct number numbers[] = {
#define HZ_CONFIG_NUMBER(variable, field, initial, lowest, highest, unit, meaning)                                     \
    {variable, offsetof(struct hz_config, field), initial, lowest, highest, unit, meaning},
#include "config_table.h"
#undef HZ_CONFIG_NUMBER
};

static uint32_t *field_of(struct hz_config *config, const struct number *n)
{
    return (uint32_t *)(void *)((char *)config + n->offset);
}

static int parse_number(const char *text, uint32_t lowest, uint32_t highest, uint32_t *ret)
{
    if (!isdigit((unsigned char)text[0]))
        return HZ_EFORMAT;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (*end || errno || v < lowest || v > highest)
        return HZ_EFORMAT;
    *ret = (uint32_t)v;
    return 0;
}

static int load_numbers(struct hz_config *config)
{
    for (size_t i = 0; i < HZ_COUNT_OF(numbers); i++) {
        const struct number *n = &numbers[i];
        const char *variable = n->variable, *text = getenv(variable);
        if (strcmp(variable, "SERVER_PORT") == 0 && (!text || !*text)) {
            variable = "PORT"; /* as Horizon v1's server calls it */
            text = getenv(variable);
        }
        *field_of(config, n) = n->initial;
        if (!text || !*text)
            continue;
        if (parse_number(text, n->lowest, n->highest, field_of(config, n)))
            return hz_err_set(HZ_EFORMAT, "%s is \"%s\", expected a whole number from %" PRIu32 " to %" PRIu32 " (%s)", variable,
                    text, n->lowest, n->highest, n->unit);
    }
    if (config->worker_port_start > config->worker_port_end)
        return hz_err_set(HZ_EFORMAT, "WORKER_PORT_START is %" PRIu32 " and WORKER_PORT_END %" PRIu32 ", expected start <= end",
                config->worker_port_start, config->worker_port_end);
    return 0;
}

/* One of `words` (NULL-terminated, first = default) by environment variable. */
static int load_word(const char *variable, const char *const *words, int *ret)
{
    const char *text = getenv(variable);
    *ret = 0;
    if (!text || !*text)
        return 0;
    char expected[256] = "";
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], text) == 0) {
            *ret = i;
            return 0;
        }
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", words[i]);
    }
    return hz_err_set(HZ_EFORMAT, "%s is \"%s\", expected one of: %s", variable, text, expected);
}

/* auto, off, UID or FIRST-LAST. */
static int load_worker_uids(struct hz_config *config)
{
    const char *text = getenv("HORIZON_WORKER_UID");
    char first[16] = "";
    const char *dash = text ? strchr(text, '-') : NULL;
    config->worker_uid_first = HZ_UIDS_FIRST;
    config->worker_uid_last = HZ_UIDS_LAST;
    if (!text || !*text || strcmp(text, "auto") == 0)
        return 0;
    config->worker_uids = strcmp(text, "off") == 0 ? HZ_WORKER_UIDS_OFF : HZ_WORKER_UIDS_RANGE;
    if (config->worker_uids == HZ_WORKER_UIDS_OFF)
        return 0;
    snprintf(first, sizeof first, "%.*s", (int)(dash ? dash - text : 15), text);
    if (parse_number(first, 1, UINT32_MAX - 1, &config->worker_uid_first) ||
            parse_number(dash ? dash + 1 : first, config->worker_uid_first, UINT32_MAX - 1, &config->worker_uid_last) ||
            config->worker_uid_last - config->worker_uid_first > 0xffff)
        return hz_err_set(HZ_EFORMAT, "HORIZON_WORKER_UID is \"%s\", expected auto, off, a user's number above 0, or FIRST-LAST with at most "
                "65536 numbers", text);
    return 0;
}

static char *path_of(const char *dir, const char *rest)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", dir, rest) < 0 ? NULL : path;
}

static bool is_there(const char *path, int mode)
{
    return path && access(path, mode) == 0;
}

/* First existing one of the places relative to the executable's folder: the build tree, then the installed tree. */
static char *beside_executable(const char *const *places, int mode)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0)
        return NULL;
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; places[i]; i++) {
        char *path = path_of(exe, places[i]);
        char *real = is_there(path, mode) ? realpath(path, NULL) : NULL;
        free(path);
        if (real)
            return real;
    }
    return NULL;
}

static int load_paths(struct hz_config *config)
{
    static const char *const worker_places[] = {"horizon-worker", "../libexec/horizon/horizon-worker", NULL};
    static const char *const node_places[] = {"../lib/horizon/nodes", NULL};
    const char *text = getenv("HORIZON_WORKER");
    config->worker_path = text && *text ? realpath(text, NULL) : beside_executable(worker_places, X_OK);
    if (!config->worker_path)
        return hz_err_set(HZ_ENOTFOUND, "horizon-worker was not found beside horizon or in ../libexec/horizon (HORIZON_WORKER names it)");
    text = getenv("HORIZON_BUILTIN_NODES");
    config->nodes_path = text && *text ? realpath(text, NULL) : beside_executable(node_places, R_OK);
    if (!config->nodes_path)
        return hz_err_set(HZ_ENOTFOUND, "the folder of the built-in nodes was not found at ../lib/horizon/nodes beside horizon "
                "(HORIZON_BUILTIN_NODES names it)");
    return 0;
}

static int keep_text(const char *variable, char **ret)
{
    const char *text = getenv(variable);
    if (!text || !*text)
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : hz_err_set(HZ_ENOMEM, "reading %s", variable);
}

static bool is_true(const char *variable)
{
    const char *text = getenv(variable);
    return text && (strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0);
}

/* SCHEME://HOST[:PORT], as a browser says it; a slash at the end is forgiven. */
static bool is_origin(const char *text, size_t len)
{
    const char *authority = memmem(text, len, "://", 3);
    while (len > 0 && text[len - 1] == '/')
        len--;
    if (!authority || authority == text || authority + 3 >= text + len)
        return false;
    for (const char *p = authority + 3; p < text + len; p++)
        if (*p == '/' || strchr("?#@*\"'", *p) || isspace((unsigned char)*p))
            return false;
    return true;
}

static int check_origins(const char *list)
{
    for (const char *p = list; p && *p;) {
        size_t whole = strcspn(p, ","), len = whole;
        const char *from = p;
        for (; len > 0 && isspace((unsigned char)*from); from++, len--)
            ;
        while (len > 0 && isspace((unsigned char)from[len - 1]))
            len--;
        if (len > 0 && !is_origin(from, len))
            return hz_err_set(HZ_EFORMAT, "CLIENT_URL names \"%.*s\", expected the address of a page without its path, such as http://localhost:5173; "
                    "several: commas", (int)HZ_MIN(len, (size_t)200), from);
        p += whole + (p[whole] == ',');
    }
    return 0;
}

static uint32_t online_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (uint32_t)n;
}

int hz_config_load(struct hz_config *ret_config)
{
    static const char *const spawns[] = {"zygote", "exec", NULL};
    static const char *const sandboxes[] = {"try", "require", "off", NULL};
    static const char *const modes[] = {"production", "development", "test", NULL};
    struct hz_config config;
    memset(&config, 0, sizeof config);
    int spawn, sandbox, mode;
    int err = load_numbers(&config);
    if (!err)
        err = load_word("HORIZON_SPAWN", spawns, &spawn);
    if (!err)
        err = load_word("HORIZON_SANDBOX", sandboxes, &sandbox);
    if (!err)
        err = load_word("NODE_ENV", modes, &mode);
    if (!err)
        err = load_worker_uids(&config);
    if (!err)
        err = load_paths(&config);
    if (!err)
        err = keep_text("HORIZON_NODES", &config.extra_nodes_path);
    if (!err)
        err = keep_text("HORIZON_HOSTS", &config.hosts);
    if (!err)
        err = keep_text("HORIZON_TRUSTED_PROXIES", &config.trusted_proxies);
    if (!err)
        err = keep_text("HORIZON_POLICY", &config.policy_path);
    if (!err)
        err = keep_text("HORIZON_CGROUP", &config.cgroup);
    if (!err && config.cgroup && config.cgroup[0] != '/' && strcmp(config.cgroup, "auto") && strcmp(config.cgroup, "off"))
        err = hz_err_set(HZ_EFORMAT, "HORIZON_CGROUP is \"%s\", expected auto, off, or the path of a control group", config.cgroup);
    if (!err)
        err = keep_text("CLIENT_URL", &config.client_url);
    if (!err)
        err = check_origins(config.client_url);
    if (!err)
        err = keep_text("WORKER_ID", &config.worker_id);
    if (!err)
        err = keep_text("HORIZON_ADMIN_PASSWORD", &config.admin_password);
    if (!err)
        err = keep_text("HORIZON_TLS_CERT", &config.tls_cert);
    if (!err)
        err = keep_text("HORIZON_TLS_KEY", &config.tls_key);
    (void)unsetenv("HORIZON_ADMIN_PASSWORD"); /* nobody this process starts shall see it */
    if (!err) {
        config.listen_host = strdup("127.0.0.1");
        err = config.listen_host ? 0 : hz_err_set(HZ_ENOMEM, "reading the settings");
    }
    if (err) {
        hz_config_fini(&config);
        return err;
    }
    uint32_t cpus = online_cpus();
    if (config.clusters == 0)
        config.clusters = cpus <= 4 ? 1 : cpus / 4;
    if (config.threads == 0)
        config.threads = HZ_MIN(cpus, 4u);
    config.spawn = spawn ? HZ_SPAWN_EXEC : HZ_SPAWN_ZYGOTE;
    config.sandbox = sandbox == 0 ? HZ_SANDBOX_TRY : sandbox == 1 ? HZ_SANDBOX_REQUIRE : HZ_SANDBOX_OFF;
    const char *environment = getenv("NODE_ENV");
    config.development = mode == 1 || !environment || !*environment;
    config.tracking = is_true("TRACKING_EXECUTE");
    config.seed_database = is_true("SEED_DATABASE");
    *ret_config = config;
    return 0;
}

int hz_config_listen(struct hz_config *config, const char *text)
{
    const char *colon = strrchr(text, ':');
    uint32_t port;
    if (!colon || colon == text || parse_number(colon + 1, 0, 65535, &port))
        return hz_err_set(HZ_EFORMAT, "--listen is \"%s\", expected HOST:PORT with a port from 0 to 65535", text);
    char host[64];
    size_t len = (size_t)(colon - text);
    if (len >= sizeof host)
        return hz_err_set(HZ_EFORMAT, "--listen is \"%s\", expected HOST:PORT", text);
    memcpy(host, text, len);
    host[len] = 0;
    if (host[0] == '[' && host[len - 1] == ']') {
        memmove(host, host + 1, len - 2);
        host[len - 2] = 0;
    }
    char *copy = strdup(host);
    if (!copy)
        return hz_err_set(HZ_ENOMEM, "reading --listen");
    free(config->listen_host);
    config->listen_host = copy;
    config->server_port = port;
    config->remote = strncmp(host, "127.", 4) != 0 && strcmp(host, "localhost") != 0 && strcmp(host, "::1") != 0;
    return 0;
}

/* Absolute, so that a later reload finds it wherever the process stands. */
static int replace_path(char **path, const char *given, const char *option)
{
    if (given) {
        free(*path);
        *path = strdup(given);
        if (!*path)
            return hz_err_set(HZ_ENOMEM, "reading %s", option);
    }
    if (!*path)
        return 0;
    char *real = realpath(*path, NULL);
    if (!real)
        return hz_err_set(HZ_EFORMAT, "%s is \"%s\", which is no file that can be reached", option, *path);
    free(real); /* the name stays as it is given: a renewal may point it elsewhere */
    if (**path == '/')
        return 0;
    char cwd[PATH_MAX];
    real = getcwd(cwd, sizeof cwd) ? path_of(cwd, *path) : NULL;
    if (!real)
        return hz_err_set(HZ_ENOMEM, "reading %s", option);
    free(*path);
    *path = real;
    return 0;
}

int hz_config_tls(struct hz_config *config, const char *cert, const char *key)
{
    int err = replace_path(&config->tls_cert, cert, "--tls-cert");
    if (!err)
        err = replace_path(&config->tls_key, key, "--tls-key");
    if (!err && !config->tls_cert != !config->tls_key)
        err = hz_err_set(HZ_EFORMAT, "--tls-cert and --tls-key belong together: one of them is missing");
    return err;
}

int hz_config_trust(struct hz_config *config, const char *list)
{
    char *copy = list ? strdup(list) : NULL;
    if (!list)
        return 0;
    if (!copy)
        return hz_err_set(HZ_ENOMEM, "reading the options");
    free(config->trusted_proxies);
    config->trusted_proxies = copy;
    return 0;
}

static bool valid_instance(const char *text)
{
    for (int i = 0; i < 8; i++)
        if (!isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i]))
            return false;
    return true;
}

/* Reads DIR/instance, or draws one and writes it through a temporary file so that a crash leaves either none or a whole one. */
static int load_instance(struct hz_config *config)
{
    char *path = path_of(config->data_dir, "instance"), *temporary = path_of(config->data_dir, "instance.new");
    int err = path && temporary ? 0 : hz_err_set(HZ_ENOMEM, "reading the instance");
    int fd = err ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, config->instance, 8);
        close(fd);
        config->instance[8] = 0;
        if (n != 8 || !valid_instance(config->instance))
            err = hz_err_set(HZ_EFORMAT, "%s holds no instance, expected 8 hex digits; remove it to draw a new one", path);
    } else if (!err) {
        uint32_t random;
        hz_base_random(&random, sizeof random);
        snprintf(config->instance, sizeof config->instance, "%08" PRIx32, random);
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ssize_t n = fd < 0 ? -1 : write(fd, config->instance, 8);
        if (n >= 0 && n != 8)
            err = hz_err_set(-ENOSPC, "cannot write %s", path);
        else if (n < 0 || fsync(fd) || rename(temporary, path))
            err = hz_err_set(-errno, "cannot write %s", path);
        if (fd >= 0)
            close(fd);
    }
    free(path);
    free(temporary);
    return err;
}

static int make_dirs(const char *dir)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path)
        return -ENAMETOOLONG;
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(path, 0700) && errno != EEXIST)
            return -errno;
        *p = '/';
    }
    return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

/* Is this descriptor the file at `path`? */
static bool is_file(int fd, const char *path)
{
    struct stat a, b;
    return path && fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int hz_config_open_data(struct hz_config *config, const char *dir, int *ret_lock_fd)
{
    int err = make_dirs(dir);
    if (err)
        return hz_err_set(err, "cannot make the data directory %s", dir);
    free(config->data_dir);
    config->data_dir = realpath(dir, NULL);
    if (!config->data_dir)
        return hz_err_set(-errno, "cannot open the data directory %s", dir);
    char *path = path_of(config->data_dir, "lock");
    int inherited = config->held_lock ? config->held_lock : -1;
    int fd = inherited >= 0 ? inherited : path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (inherited >= 0 && !is_file(inherited, path))
        err = hz_err_set(HZ_EFORMAT, "the lock handed over is not that of the data directory %s", config->data_dir);
    else if (fd < 0)
        err = hz_err_set(path ? -errno : HZ_ENOMEM, "cannot open %s/lock", config->data_dir);
    else if (flock(fd, LOCK_EX | LOCK_NB))
        err = errno == EWOULDBLOCK ? hz_err_set(HZ_EREFUSED, "the data directory %s is in use by another manager", config->data_dir)
                                   : hz_err_set(-errno, "cannot lock %s", path);
    free(path);
    if (!err)
        err = load_instance(config);
    if (err) {
        if (fd >= 0)
            close(fd);
        return err;
    }
    *ret_lock_fd = fd;
    return 0;
}

void hz_config_forget_password(struct hz_config *config)
{
    if (config->admin_password)
        explicit_bzero(config->admin_password, strlen(config->admin_password));
    free(config->admin_password);
    config->admin_password = NULL;
}

void hz_config_fini(struct hz_config *config)
{
    free(config->data_dir);
    free(config->listen_host);
    free(config->worker_id);
    free(config->worker_path);
    free(config->nodes_path);
    free(config->extra_nodes_path);
    free(config->hosts);
    free(config->trusted_proxies);
    free(config->policy_path);
    free(config->cgroup);
    free(config->client_url);
    free(config->tls_cert);
    free(config->tls_key);
    hz_config_forget_password(config);
    memset(config, 0, sizeof *config);
}

void hz_config_help(void)
{
    for (size_t i = 0; i < HZ_COUNT_OF(numbers); i++)
        printf("  %-26s %s (%s, %" PRIu32 " to %" PRIu32 ", default %" PRIu32 ")\n", numbers[i].variable, numbers[i].meaning, numbers[i].unit,
                numbers[i].lowest, numbers[i].highest, numbers[i].initial);
    printf("  %-26s %s\n", "PORT", "another name of SERVER_PORT, which wins");
    printf("  %-26s %s\n", "NODE_ENV", "development (default) also serves the /f_<uid>/api paths; production, test");
    printf("  %-26s %s\n", "WORKER_ID", "id of the only worker of `horizon run`");
    printf("  %-26s %s\n", "HORIZON_SPAWN", "zygote (default) or exec, the slow fallback");
    printf("  %-26s %s\n", "HORIZON_SANDBOX", "try (default), require, off");
    printf("  %-26s %s\n", "HORIZON_WORKER_UID", "auto (default: as root each worker is a user of 2000000000-2000065535), off, UID, FIRST-LAST");
    printf("  %-26s %s\n", "HORIZON_CGROUP", "auto (default: our own control group if nobody else is in it), off, or a group's path");
    printf("  %-26s %s\n", "HORIZON_POLICY", "file that grants capabilities to nodes and workflows (default DIR/policy.json)");
    printf("  %-26s %s\n", "HORIZON_NODES", "further node folders, separated by colons");
    printf("  %-26s %s\n", "HORIZON_HOSTS", "further Host names that are answered, separated by commas");
    printf("  %-26s %s\n", "CLIENT_URL", "further Origins that are answered (http://localhost:5173), separated by commas");
    printf("  %-26s %s\n", "HORIZON_TRUSTED_PROXIES", "addresses and networks whose X-Forwarded-For is believed, as --trusted-proxy");
    printf("  %-26s %s\n", "HORIZON_ADMIN_PASSWORD", "of admin@horizon.com at the first start (default: a random one, shown once)");
    printf("  %-26s %s\n", "HORIZON_TLS_CERT", "file with the certificate chain (PEM), as --tls-cert");
    printf("  %-26s %s\n", "HORIZON_TLS_KEY", "file with its key (PEM), as --tls-key");
    printf("  %-26s %s\n", "SEED_DATABASE", "true: demo accounts with passwords that everybody knows; never where others can reach it");
    printf("  %-26s %s\n", "TRACKING_EXECUTE", "true: one log line for each hop of an execution");
    printf("  %-26s %s\n", "TRACKING_ROUTE", "true: one log line for each call over Socket.IO");
    printf("  %-26s %s\n", "WFV_<NAME>", "value of the environment name a flow lists");
}
