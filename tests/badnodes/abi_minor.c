/* Built against a newer minor version: it may call what this host does not have. */
#include "bad.h"

BAD_ABI_NODE("abi_minor", HZ_ABI_MAGIC, sizeof(struct hz_node_abi), HZ_ABI_MAJOR, HZ_ABI_MINOR + 7,
        sizeof(struct hz_node_desc), sizeof(struct hz_host) + 56, sizeof(struct hz_property), 0)
