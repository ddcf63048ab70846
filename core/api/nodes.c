/* nodes.c - the node types on offer. */
#include "internal.h"

#include "core/catalog.h"

void hz_api_nodes_list(hz_api_done_fn *done, void *arg)
{
    hz_api_answer_value(done, arg, 200, hz_catalog_list());
}

void hz_api_nodes_get(const char *type, hz_api_done_fn *done, void *arg)
{
    json_t *types = hz_catalog_public(), *node = type ? json_object_get(types, type) : NULL;
    if (node)
        hz_api_answer_value(done, arg, 200, json_incref(node));
    else
        hz_api_fail(done, arg, 404, "Tipo de nodo no encontrado");
    json_decref(types);
}
