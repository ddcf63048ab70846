/* Says what it is, but not what it was built against. */
#include "bad.h"

const struct hz_host *hz_host_table;
extern const struct hz_node_desc hz_node;
HZ_EXPORT_ const struct hz_node_desc hz_node = {.size = sizeof(struct hz_node_desc), BAD_MEMBERS("no_abi", pass_on)};
