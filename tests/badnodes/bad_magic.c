/* The first word is not ours: some other shared object that happens to have the two symbols. */
#include "bad.h"

BAD_ABI_NODE("bad_magic", 0x12345678u, sizeof(struct hz_node_abi), HZ_ABI_MAJOR, HZ_ABI_MINOR,
        sizeof(struct hz_node_desc), sizeof(struct hz_host), sizeof(struct hz_property), 0)
