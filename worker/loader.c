/*
 * loader.c - dlopen(RTLD_NOW | RTLD_LOCAL), the ABI check that says what differs, and the list of what is open. Zygote and
 * worker: main thread, before executions; the probe: one file per process.
 */
#include "loader.h"
#include "host.h"
#include "shm/err.h"
#include "shm/log.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static struct hz_loaded *loaded_first, *loaded_last;

const struct hz_loaded *hz_loader_first(void)
{
    return loaded_first;
}

const struct hz_loaded *hz_loader_find(const char *type, const char *file)
{
    for (const struct hz_loaded *l = loaded_first; l; l = l->next)
        if (strcmp(l->file, file) == 0 && (!type || strcmp(l->desc->type, type) == 0))
            return l;
    return NULL;
}

static int remember(const struct hz_node_desc *desc, uint32_t property_size, const char *file, bool trusted,
        const struct hz_loaded **ret_loaded)
{
    struct hz_loaded *loaded = calloc(1, sizeof(*loaded));
    char *copy = strdup(file);
    if (!loaded || !copy) {
        free(loaded);
        free(copy);
        return hz_err_set(HZ_ENOMEM, "%s", file);
    }
    *loaded = (struct hz_loaded){.desc = desc, .property_size = property_size, .trusted = trusted, .file = copy};
    if (loaded_last)
        loaded_last->next = loaded;
    else
        loaded_first = loaded;
    loaded_last = loaded;
    *ret_loaded = loaded;
    return 0;
}

static int check_abi(const struct hz_node_abi *abi)
{
    if (abi->magic != HZ_ABI_MAGIC)
        return hz_err_set(HZ_EREFUSED, "hz_node_abi has magic 0x%08x, expected 0x%08x", abi->magic, HZ_ABI_MAGIC);
    if (abi->major != HZ_ABI_MAJOR || abi->minor > HZ_ABI_MINOR)
        return hz_err_set(HZ_EREFUSED, "built for node ABI %u.%u, this host runs ABI %u.0 to %u.%u", abi->major, abi->minor,
                HZ_ABI_MAJOR, HZ_ABI_MAJOR, HZ_ABI_MINOR);
    if (abi->size < sizeof(struct hz_node_abi))
        return hz_err_set(HZ_EREFUSED, "hz_node_abi has %u bytes, expected %zu", abi->size, sizeof(struct hz_node_abi));
    const struct {
        const char *name;
        uint32_t theirs;
        size_t ours;
    } sizes[] = {{"struct hz_node_desc", abi->desc_size, sizeof(struct hz_node_desc)},
            {"struct hz_host", abi->host_size, sizeof(struct hz_host)},
            {"struct hz_property", abi->property_size, sizeof(struct hz_property)}};
    for (size_t i = 0; i < HZ_COUNT_OF(sizes); i++) {
        /* ABI 1.0 is the only minor version so far: an equal version has equal sizes, no node has larger ones. */
        bool wrong = abi->minor == HZ_ABI_MINOR ? sizes[i].theirs != sizes[i].ours : sizes[i].theirs > sizes[i].ours;
        if (wrong)
            return hz_err_set(HZ_EREFUSED, "%s has %u bytes in the node and %zu in this host (ABI %u.%u)", sizes[i].name,
                    sizes[i].theirs, sizes[i].ours, abi->major, abi->minor);
    }
    if (!abi->host)
        return hz_err_set(HZ_EREFUSED, "hz_node_abi has no place for the host's table");
    return 0;
}

static bool good_type(const char *type)
{
    size_t len = strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return len > 0 && len <= 63 && type[len] == '\0';
}

static int check_json(const char *property, const char *what, const char *text)
{
    json_error_t error;
    json_t *json = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error) : NULL;
    if (text && !json)
        return hz_err_set(HZ_EREFUSED, "property `%s`: %s is not JSON: %s", property, what, error.text);
    bool object = strcmp(what, "extra") != 0 || !json || json_is_object(json);
    bool array = strcmp(what, "options") != 0 || !json || json_is_array(json);
    json_decref(json);
    if (!object || !array)
        return hz_err_set(HZ_EREFUSED, "property `%s`: %s is not %s", property, what, object ? "an array" : "an object");
    return 0;
}

int hz_loader_check_desc(const struct hz_node_desc *desc, uint32_t property_size)
{
    if (!desc->type || !good_type(desc->type))
        return hz_err_set(HZ_EREFUSED, "type `%.80s` is not 1 to 63 of a-z, 0-9 and _", desc->type ? desc->type : "");
    if (!desc->title || !*desc->title)
        return hz_err_set(HZ_EREFUSED, "node %s has no title", desc->type);
    if (!desc->group || !*desc->group)
        return hz_err_set(HZ_EREFUSED, "node %s has no group", desc->type);
    if (!desc->run)
        return hz_err_set(HZ_EREFUSED, "node %s has no run()", desc->type);
    if ((desc->flags & HZ_NODE_TRIGGER) != 0 && !desc->event)
        return hz_err_set(HZ_EREFUSED, "node %s is a trigger without event()", desc->type);
    if (desc->self_size > (64u << 20))
        return hz_err_set(HZ_EREFUSED, "node %s asks for %u bytes of its own, at most 64 MiB", desc->type, desc->self_size);
    const char *at = (const char *)desc->properties;
    for (unsigned i = 0; at && i < 10000; i++, at += property_size) {
        const struct hz_property *property = (const struct hz_property *)(const void *)at;
        if (!property->key)
            return 0;
        if (!*property->key || !property->type || !property->name)
            return hz_err_set(HZ_EREFUSED, "property %u (`%s`) has no key, type or name", i, property->key);
        int r = check_json(property->key, "value", property->value);
        if (r == 0)
            r = check_json(property->key, "options", property->options);
        if (r == 0)
            r = check_json(property->key, "extra", property->extra);
        if (r != 0)
            return r;
    }
    return at ? hz_err_set(HZ_EREFUSED, "node %s: the list of properties has no end", desc->type) : 0;
}

int hz_loader_open(const char *file, bool trusted, const struct hz_loaded **ret_loaded)
{
    const struct hz_loaded *known = hz_loader_find(NULL, file);
    if (known) {
        *ret_loaded = known;
        return 0;
    }
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *reason = dlerror();
        return hz_err_set(HZ_EREFUSED, "%s", reason ? reason : file);
    }
    int r = 0;
    const struct hz_node_abi *abi = dlsym(handle, "hz_node_abi");
    const struct hz_node_desc *desc = dlsym(handle, "hz_node");
    if (!abi || !desc)
        r = hz_err_set(HZ_EREFUSED, "no symbol `%s`: HZ_NODE() defines it", abi ? "hz_node" : "hz_node_abi");
    if (r == 0)
        r = check_abi(abi);
    if (r == 0 && desc->size != abi->desc_size)
        r = hz_err_set(HZ_EREFUSED, "hz_node says %u bytes, hz_node_abi %u", desc->size, abi->desc_size);
    if (r == 0)
        r = hz_loader_check_desc(desc, abi->property_size);
    if (r == 0) {
        *abi->host = hz_host_table();
        r = remember(desc, abi->property_size, file, trusted, ret_loaded);
    }
    if (r != 0) {
        (void)dlclose(handle);
        return hz_err_prefix(r, "%s", file);
    }
    return 0;
}

int hz_loader_add(const struct hz_node_desc *desc, const char *file)
{
    int r = hz_loader_check_desc(desc, sizeof(struct hz_property));
    const struct hz_loaded *loaded;
    return r != 0 || hz_loader_find(desc->type, file) ? r : remember(desc, sizeof(struct hz_property), file, true, &loaded);
}

static int is_module(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

int hz_loader_preload(const char *folder, bool with_net)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, is_module, alphasort);
    if (n < 0)
        return hz_err_set(-errno, "nodes of %s", folder);
    int count = 0;
    for (int i = 0; i < n; i++) {
        char *file;
        uint32_t caps = 0;
        const struct hz_loaded *loaded;
        if (asprintf(&file, "%s/%s", folder, entries[i]->d_name) < 0)
            file = NULL;
        free(entries[i]);
        if (!file)
            continue;
        if (hz_loader_peek(file, &caps) != 0 || ((caps & HZ_CAP_NET) == 0 || with_net)) {
            if (hz_loader_open(file, true, &loaded) == 0)
                count++;
            else
                HZ_LOG(WARN, "node refused: %s", hz_err_last());
        }
        free(file);
    }
    free(entries);
    return count;
}
