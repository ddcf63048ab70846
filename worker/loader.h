/*
 * loader.h - shared objects of nodes: opened, checked against the ABI, remembered. Main thread of a zygote or worker, or the
 * probe process.
 */
#ifndef HZ_WORKER_LOADER_H
#define HZ_WORKER_LOADER_H

#include "shm/base.h"
#define HZ_HOST_SIDE
#include <horizon/node.h>

struct hz_loaded {
    struct hz_loaded *next;
    const struct hz_node_desc *desc;
    uint32_t property_size; /* as the node's compiler saw it: the step through its properties */
    bool trusted;
    char *file;
};

/* Reads flags and capabilities of a node from its file without running anything of it. 0, or HZ_EREFUSED with the reason
 * in hz_err_last(): not a shared object of this machine, no hz_node or hz_node_abi, another ABI. */
HZ_MUST_CHECK int hz_loader_peek(const char *file, uint32_t *ret_caps);
/* Opens (or finds what is open already) and checks. Borrowed for the life of the process. HZ_EREFUSED with a sentence. */
HZ_MUST_CHECK int hz_loader_open(const char *file, bool trusted, const struct hz_loaded **ret_loaded);
/* A node that is linked in (tests). `file`: the name the plan will use. 0 or a code. */
HZ_MUST_CHECK int hz_loader_add(const struct hz_node_desc *desc, const char *file);
/* Opens every *.so of a folder in the order of names, trusted; those that need the network only if with_net. Refused ones
 * are logged. Returns how many are there now, or -errno. */
int hz_loader_preload(const char *folder, bool with_net);
/* The open node of a type: by file if one matches, else NULL. */
const struct hz_loaded *hz_loader_find(const char *type, const char *file);
const struct hz_loaded *hz_loader_first(void);
/* Is the descriptor something the host can run? 0, or HZ_EREFUSED with the reason. */
HZ_MUST_CHECK int hz_loader_check_desc(const struct hz_node_desc *desc, uint32_t property_size);

#endif
