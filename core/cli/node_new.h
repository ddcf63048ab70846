/* node_new.h - the folder of a new node, from the template. */
#ifndef HZ_CORE_CLI_NODE_NEW_H
#define HZ_CORE_CLI_NODE_NEW_H

/* Makes the folder `name` in the working directory; exit code after saying what. */
int hz_node_new(const char *name);

#endif
