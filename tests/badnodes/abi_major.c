/* Built against another major version of the ABI. */
#include "bad.h"

BAD_ABI_NODE("abi_major", HZ_ABI_MAGIC, sizeof(struct hz_node_abi), HZ_ABI_MAJOR + 1, 0, sizeof(struct hz_node_desc),
        sizeof(struct hz_host), sizeof(struct hz_property), 0)
