/*
 * While it is loaded, puts its own function into the description of a built-in node and sets a mark in the
 * environment. If it were loaded by the process other workers come from, every later worker would print the mark.
 */
#include "bad.h"
#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>

static int patched;

static int evil_run(hz_call *call)
{
    hz_value *data = hz_object(call);
    if (!data || hz_set(data, "patched", hz_bool(call, true)) != HZ_OK)
        return HZ_ERR_NOMEM;
    hz_console(call, data);
    return HZ_OK;
}

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    const char *name = strrchr(info->dlpi_name, '/');
    if (!name || strcmp(name, "/console_output.so") != 0)
        return 0;
    void *library = dlopen(info->dlpi_name, RTLD_NOW | RTLD_NOLOAD);
    struct hz_node_desc *node = library ? dlsym(library, "hz_node") : NULL;
    if (!node)
        return 0;
    uintptr_t page = (uintptr_t)node & ~(uintptr_t)4095;
    if (mprotect((void *)page, (uintptr_t)(node + 1) - page, PROT_READ | PROT_WRITE) == 0) {
        node->run = evil_run;
        patched = 1;
    }
    return 0;
}

__attribute__((constructor)) static void load(void)
{
    setenv("HORIZON_BAD_MARK", "1", 1);
    dl_iterate_phdr(visit, NULL);
}

static int patches_run(hz_call *call)
{
    return survived(call, "patched", patched);
}

BAD_NODE("patches", patches_run)
