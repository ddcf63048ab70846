/*
 * route_nodes.c - nodes:*, the catalogue as pages ask for it. It is immutable and in memory: answered on the shard.
 */
#include "route.h"

#include "core/catalog.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *group_of(const json_t *node)
{
    const char *group = json_string_value(json_object_get(node, "group"));
    return group ? group : "";
}

static void nodes_list(const struct hz_route_call *call)
{
    hz_route_answer(call, "nodes", hz_catalog_public());
}

/* A node of the type asked for, or NULL: answered. *ret_types keeps it alive. */
static json_t *find(const struct hz_route_call *call, json_t **ret_types)
{
    const char *type = hz_route_text(call->data, "type");
    *ret_types = hz_catalog_public();
    json_t *node = type ? json_object_get(*ret_types, type) : NULL;
    if (!node)
        hz_route_fail(call, type ? 404 : 400, type ? "Tipo de nodo no encontrado" : "Tipo de nodo requerido");
    return node;
}

static void nodes_get(const struct hz_route_call *call)
{
    json_t *types, *node = find(call, &types);
    if (node)
        hz_route_answer(call, "node", json_incref(node));
    json_decref(types);
}

static void nodes_info(const struct hz_route_call *call)
{
    json_t *types, *node = find(call, &types);
    if (node) {
        json_t *full = json_copy(node);
        (void)json_object_set(full, "name", json_object_get(json_object_get(node, "info"), "name"));
        hz_route_answer(call, "node", full);
    }
    json_decref(types);
}

static void nodes_list_by_group(const struct hz_route_call *call)
{
    const char *wanted = hz_route_text(call->data, "group"), *type;
    json_t *types = hz_catalog_public(), *found = json_object(), *node;
    json_object_foreach(types, type, node) {
        const char *group = group_of(node);
        size_t len = wanted ? strlen(wanted) : 0;
        if (!wanted || (strncmp(group, wanted, len) == 0 && (group[len] == 0 || group[len] == '/')))
            (void)json_object_set(found, type, node);
    }
    json_decref(types);
    hz_route_answer(call, "nodes", found);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* With the parents of each: what stands before a slash, as it stands there. */
static void nodes_groups(const struct hz_route_call *call)
{
    json_t *types = hz_catalog_public(), *set = json_object(), *node, *list = json_array();
    const char *type, *name;
    json_object_foreach(types, type, node) {
        const char *group = group_of(node);
        for (const char *slash = strchr(group, '/'); slash; slash = strchr(slash + 1, '/'))
            (void)json_object_setn_new(set, group, (size_t)(slash - group), json_true());
        if (*group)
            (void)json_object_set_new(set, group, json_true());
    }
    const char **names = calloc(json_object_size(set) + 1, sizeof *names);
    size_t count = 0;
    json_t *value;
    json_object_foreach(set, name, value)
        if (names)
            names[count++] = name;
    if (names)
        qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, json_string(names[i]));
    if (names)
        hz_route_answer(call, "groups", list);
    else
        hz_route_fail(call, 500, "Error al obtener grupos de nodos");
    if (!names)
        json_decref(list);
    free(names);
    json_decref(set);
    json_decref(types);
}

static bool has(const char *text, const char *query)
{
    return text && strcasestr(text, query);
}

static void nodes_search(const struct hz_route_call *call)
{
    const char *query = hz_route_text(call->data, "query"), *type;
    if (!query) {
        hz_route_fail(call, 400, "Consulta de búsqueda requerida");
        return;
    }
    json_t *types = hz_catalog_public(), *found = json_object(), *node;
    json_object_foreach(types, type, node) {
        const json_t *info = json_object_get(node, "info");
        if (has(json_string_value(json_object_get(info, "name")), query) || has(json_string_value(json_object_get(info, "desc")), query) ||
                has(type, query) || has(group_of(node), query))
            (void)json_object_set(found, type, node);
    }
    json_decref(types);
    hz_route_answer(call, "nodes", found);
}

static void nodes_stats(const struct hz_route_call *call)
{
    json_t *types = hz_catalog_public(), *groups = json_object(), *node, *value;
    const char *type, *name, *most = NULL;
    json_int_t top = 0;
    json_object_foreach(types, type, node)
        (void)json_object_set_new(groups, group_of(node), json_integer(json_integer_value(json_object_get(groups, group_of(node))) + 1));
    json_object_foreach(groups, name, value)
        if (json_integer_value(value) > top) {
            top = json_integer_value(value);
            most = name;
        }
    hz_route_answer(call, "stats",
            json_pack("{s:I, s:O, s:s?}", "totalNodes", (json_int_t)json_object_size(types), "groupStats", groups, "mostUsedGroup", most));
    json_decref(groups);
    json_decref(types);
}

/* No type has such a hook: their properties do not depend on each other. */
static void nodes_change_property(const struct hz_route_call *call)
{
    const char *id = hz_route_text(call->data, "nodeId");
    const json_t *property = json_object_get(call->data, "property");
    bool given = property && !json_is_null(property) && !json_is_false(property) && !(json_is_string(property) && json_string_length(property) == 0);
    json_t *types = hz_catalog_public();
    if (!id)
        hz_route_fail(call, 400, "ID del nodo requerido");
    else if (!given)
        hz_route_fail(call, 400, "Propiedad requerida");
    else if (!json_object_get(types, id))
        hz_route_fail(call, 404, "Tipo de nodo no encontrado");
    else
        hz_route_fail(call, 409, "Sin función onCreate");
    json_decref(types);
}

const struct hz_route hz_route_nodes[] = {
        {"nodes:list", "nodes:list", NULL, "Error al cargar nodos", nodes_list, NULL, false},
        {"nodes:get", "nodes:get", NULL, "Error al obtener nodo", nodes_get, NULL, false},
        {"nodes:info", "nodes:info", NULL, "Error al obtener información del nodo", nodes_info, NULL, false},
        {"nodes:list-by-group", "nodes:list-by-group", NULL, "Error al cargar nodos por grupo", nodes_list_by_group, NULL, false},
        {"nodes:groups", "nodes:groups", NULL, "Error al obtener grupos de nodos", nodes_groups, NULL, false},
        {"nodes:search", "nodes:search", NULL, "Error al buscar nodos", nodes_search, NULL, false},
        {"nodes:stats", "nodes:stats", NULL, "Error al obtener estadísticas de nodos", nodes_stats, NULL, false},
        {"nodes:change-property", "nodes:change-property", NULL, "Error al cambiar propiedad de nodo", nodes_change_property, NULL, false},
        {NULL, NULL, NULL, NULL, NULL, NULL, false},
};
