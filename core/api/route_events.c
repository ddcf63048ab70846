/* route_events.c - what happened in the last days (`events:list`). On a thread that may wait for the store. */
#include "route.h"

#include "core/store_records.h"

#include <string.h>

enum { LIMIT_DEFAULT = 100, LIMIT_MOST = 1000 };

/* {kind? "crashed,stopped", workflowId?, cursor?, limit?}: newest first; next: `cursor` of the next page, or null. */
static json_t *events_list(struct hz_route_work *w)
{
    const char *kind = hz_route_text(w->data, "kind"), *workflow = hz_route_text(w->data, "workflowId");
    json_int_t before = json_integer_value(json_object_get(w->data, "cursor")), limit = json_integer_value(json_object_get(w->data, "limit"));
    limit = limit > 0 ? HZ_MIN(limit, (json_int_t)LIMIT_MOST) : LIMIT_DEFAULT;
    json_t *list = hz_store_events(kind, workflow, before > 0 ? (uint64_t)before : 0, 0, (size_t)limit);
    if (!list)
        return NULL;
    size_t count = json_array_size(list);
    json_t *next = count == (size_t)limit ? json_object_get(json_array_get(list, count - 1), "sequence") : NULL;
    return json_pack("{s:b, s:o, s:O?}", "success", 1, "events", list, "next", next);
}

const struct hz_route hz_route_events[] = {
        {"events:list", "events:list", NULL, "Error al cargar eventos", NULL, events_list, false},
        {NULL, NULL, NULL, NULL, NULL, NULL, false},
};
