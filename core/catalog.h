/*
 * catalog.h - node types, learnt from a probe process (`horizon-worker --describe`): the manager never loads a node.
 * Any thread that is registered with RCU (liburcu memb) reads the current catalogue; a refresh replaces it as a whole.
 */
#ifndef HZ_CORE_CATALOG_H
#define HZ_CORE_CATALOG_H

#include "shm/base.h"
#include <jansson.h>

struct hz_config;
/* Probes every shared object of the built-in and extra folders; refused ones are logged with reason and remembered. */
HZ_MUST_CHECK int hz_catalog_refresh(const struct hz_config *config);
void hz_catalog_fini(void);
/* New reference to the catalogue (flow.h describes its shape); treat as immutable. Never NULL after a refresh. */
json_t *hz_catalog_get(void);
uint64_t hz_catalog_version(void);
/* The types as clients see them (contract 5.1): {type: {type, info, group, dependencies, properties, typeDescription}}. New reference. */
json_t *hz_catalog_public(void);
/* Array of {file, reason} of refused files. New reference. */
json_t *hz_catalog_refused(void);
/* Both as clients get them: {"nodes": [by type], "refused": [...], "next": null}. New reference; NULL: no memory. */
json_t *hz_catalog_list(void);
/* Runs `horizon-worker --check` on script expressions: `texts` JSON array of strings; answers an array of the same length with
 * null or the reason. NULL: hz_err_last(). */
json_t *hz_catalog_check_scripts(const struct hz_config *config, const json_t *texts);
/* Describes one file (node inspect). New reference, or NULL with hz_err_last(). */
json_t *hz_catalog_inspect(const struct hz_config *config, const char *file);

#endif
