/*
 * drawing.h - what an editor needs of a workflow besides what runs: places, connectors, colours; and what an editor does not send back.
 * Pure, on JSON; the store and the catalogue are the caller's.
 */
#ifndef HZ_CORE_API_DRAWING_H
#define HZ_CORE_API_DRAWING_H

#include "shm/base.h"
#include <jansson.h>

/*
 * hz_drawing_complete - gives nodes that somebody wrote by hand what an editor takes for granted, and changes nothing that is there:
 * `id`; `info` of their type under the node's own name, where it is missing or lacks members; a `design` {x, y} in columns along the
 * connections.
 *
 * nodes        object id -> node, changed in place (info and design are replaced, never written into)
 * connections  array, or NULL; elements that are none are passed over
 * types        the catalogue as hz_catalog_public() has it
 * Cost: one pass over the nodes; where a place is missing, at most 64 passes over the connections.
 */
void hz_drawing_complete(json_t *nodes, const json_t *connections, const json_t *types);

/*
 * hz_drawing_keep - nodes as an editor sent them, with the `name` and `meta` that editors leave out taken from the stored ones of the same
 * id and type: names are what expressions call a node by, meta has its time-outs and credentials. A node that was renamed in the
 * editor (another info.name than stored) gets that name.
 *
 * given   object id -> node, not changed; stored: the same or NULL
 * Result: new reference; `given` itself where nothing is to be kept. NULL: out of memory.
 */
json_t *hz_drawing_keep(json_t *given, const json_t *stored);

#endif
