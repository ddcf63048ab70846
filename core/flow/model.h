/*
 * model.h - a parsed flow as the rest of this library sees it: nodes and connections with their names resolved, all
 * strings borrowed from the parsed JSON, which is kept so that unknown keys survive a rewrite.
 */
#ifndef HZ_FLOW_MODEL_H
#define HZ_FLOW_MODEL_H

#include "flow.h"

#define HZ_MODEL_MAGIC 0x464c4f57u /* "WOLF" */
#define HZ_MODEL_NONE  UINT32_MAX

/* Every member points into the JSON; `properties`, `meta` and `info` are NULL when absent. */
struct hz_model_node {
    const char *id, *name, *type;
    const json_t *json, *properties, *meta, *info;
};

/* origin, destiny: index of the node, HZ_MODEL_NONE when no node has that id. Texts are "" when absent. */
struct hz_model_link {
    uint32_t origin, destiny, position; /* position: index in `connections` */
    const char *origin_id, *destiny_id, *output, *input;
    const json_t *json;
};

struct hz_flow {
    uint32_t magic, node_count, link_count;
    json_t *root;
    json_t *by_id; /* node id -> index */
    const char *uid, *name, *version, *router;
    const json_t *environment;   /* array or NULL */
    struct hz_model_node *nodes; /* in file order */
    struct hz_model_link *links; /* in file order, all of them */
};

/* jansson takes non-const pointers even to read. */
json_t *hz_model_json(const json_t *value);
/* A member of an object, NULL if `object` is NULL, no object, or has no such key. */
const json_t *hz_model_get(const json_t *object, const char *key);
/* The string at `key`, `fallback` if there is none or it holds a NUL. */
const char *hz_model_text(const json_t *object, const char *key, const char *fallback);
/* Index of the node with this id, or HZ_MODEL_NONE. */
uint32_t hz_model_find(const struct hz_flow *flow, const char *id);
/* "object", "string", ... for messages. */
const char *hz_model_type_name(const json_t *value);

#endif
