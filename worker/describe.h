/*
 * describe.h - a node as JSON, for the catalogue and for those who ask a worker which nodes it knows; and the probe, which
 * opens unknown files in processes that may die.
 */
#ifndef HZ_WORKER_DESCRIBE_H
#define HZ_WORKER_DESCRIBE_H

#include "loader.h"
#include <jansson.h>

/* The catalogue entry {type, info, group, dependencies, properties, typeDescription}, with `catalog` also {flags, caps,
 * file, trusted}. New reference; NULL: out of memory. */
json_t *hz_describe_node(const struct hz_loaded *loaded, bool catalog);
/* `--describe PATH...`: prints {"types": {...}, "refused": [{file, reason}]}; exit code 0, 1 without memory. */
int hz_describe_main(int count, char *const paths[]);
/* `--check`: reads a JSON array of expressions, prints an array of null or reasons; exit code. */
int hz_describe_check(void);

#endif
