/* Claims our version but sizes no release ever had. */
#include "bad.h"

BAD_ABI_NODE("abi_sizes", HZ_ABI_MAGIC, sizeof(struct hz_node_abi), HZ_ABI_MAJOR, HZ_ABI_MINOR,
        sizeof(struct hz_node_desc) + 8, sizeof(struct hz_host), sizeof(struct hz_property) + 3, 0)
