/*
 * resources.h - operations of route.h as resources of REST: lists with pages, filters and order, records with an ETag. One table.
 */
#ifndef HZ_CORE_API_RESOURCES_H
#define HZ_CORE_API_RESOURCES_H

#include "route.h"

struct hz_http_request;
enum hz_resource_kind { HZ_RESOURCE_LIST, HZ_RESOURCE_RECORD, HZ_RESOURCE_WHOLE, HZ_RESOURCE_NOTHING };
struct hz_resource {
    const char *method, *pattern, *operation; /* operation: name in route.h */
    const char *member;                       /* of the acknowledgement that is the answer */
    enum hz_resource_kind kind;
    uint32_t status;                          /* of success; NOTHING: 204 */
    const char *id;                           /* field of the request that :id becomes; NULL none */
    const char *query;                        /* names of the query that become fields: "workspaceId,kind"; NULL none */
};
const struct hz_resource *hz_resources_table(size_t *ret_count);
/* Registers them. */
HZ_MUST_CHECK int hz_resources_init(void);
/* If-Match: the revision it names; 0 any. False: answered. */
bool hz_resources_precondition(struct hz_http_request *request, uint64_t *ret);
/* A handler; arg: its row. */
void hz_resources_handle(struct hz_http_request *request, void *arg);
/* {plural: [...], "next": ...} of a list by the request's limit, cursor, sort and field=value. NULL: answered. Takes list. */
json_t *hz_resources_page(struct hz_http_request *request, const char *plural, json_t *list, const char *taken);

#endif
