/* Says what it was built against, but not what it is. */
#include "bad.h"

const struct hz_host *hz_host_table;
extern const struct hz_node_abi hz_node_abi;
HZ_EXPORT_ const struct hz_node_abi hz_node_abi = {HZ_ABI_MAGIC, sizeof(struct hz_node_abi), HZ_ABI_MAJOR, HZ_ABI_MINOR,
        sizeof(struct hz_node_desc), sizeof(struct hz_host), sizeof(struct hz_property), 0, &hz_host_table};
