/* drawing.c - completes nodes for an editor, and keeps what editors leave out. Pure, any thread. */
#include "drawing.h"

#include <string.h>

enum { LEFT = 60, TOP = 60, COLUMN = 180, ROW = 140, PASSES = 64 };

static json_t *plain(const json_t *value)
{
    return (json_t *)(uintptr_t)value; /* jansson's iterators take no const */
}

static bool is_empty(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
}

/* ---- what a type says of itself ---- */
static json_t *complete_info(const json_t *node, const json_t *type_info)
{
    json_t *given = json_object_get(node, "info"), *name = json_object_get(node, "name");
    json_t *info = json_is_object(given) ? json_copy(given) : json_object(), *value;
    const char *key;
    if (json_is_string(name) && is_empty(json_object_get(info, "name")))
        (void)json_object_set(info, "name", name);
    json_object_foreach(plain(type_info), key, value)
        if (is_empty(json_object_get(info, key)))
            (void)json_object_set(info, key, value);
    return info;
}

/* ---- places ---- */
static bool has_place(const json_t *node)
{
    const json_t *design = json_object_get(node, "design");
    return json_is_number(json_object_get(design, "x")) && json_is_number(json_object_get(design, "y"));
}

/* One pass: who is led to by a node that has a column stands in the next one. False: nothing changed. */
static bool spread(json_t *columns, const json_t *nodes, const json_t *connections)
{
    const json_t *connection;
    size_t i;
    bool changed = false;
    json_array_foreach(plain(connections), i, connection) {
        const char *from = json_string_value(json_object_get(connection, "idNodeOrigin"));
        const char *to = json_string_value(json_object_get(connection, "idNodeDestiny"));
        const json_t *column = from ? json_object_get(columns, from) : NULL;
        if (!column || !to || json_object_get(columns, to) || !json_object_get(nodes, to))
            continue;
        changed |= json_object_set_new(columns, to, json_integer(json_integer_value(column) + 1)) == 0;
    }
    return changed;
}

/* id -> column. Who nothing leads to stands in the first one; so does who is only in a circle. */
static json_t *find_columns(const json_t *nodes, const json_t *connections)
{
    json_t *columns = json_object(), *led_to = json_object();
    const json_t *item;
    const char *key;
    size_t i;
    json_array_foreach(plain(connections), i, item) {
        const char *to = json_string_value(json_object_get(item, "idNodeDestiny"));
        if (to)
            (void)json_object_set_new(led_to, to, json_true());
    }
    json_object_foreach(plain(nodes), key, item)
        if (!json_object_get(led_to, key))
            (void)json_object_set_new(columns, key, json_integer(0));
    json_decref(led_to);
    for (unsigned pass = 0; pass < PASSES && spread(columns, nodes, connections); pass++)
        ;
    return columns;
}

/* From the top of its column: below the nodes that were placed there before. */
static json_int_t next_row(json_t *rows, json_int_t column)
{
    while ((json_int_t)json_array_size(rows) <= column)
        if (json_array_append_new(rows, json_integer(0)))
            return 0;
    json_int_t row = json_integer_value(json_array_get(rows, (size_t)column));
    (void)json_array_set_new(rows, (size_t)column, json_integer(row + 1));
    return row;
}

static void place(json_t *nodes, const json_t *connections)
{
    json_t *columns = NULL, *rows = NULL, *node;
    const char *key;
    json_object_foreach(nodes, key, node) {
        if (has_place(node))
            continue;
        if (!columns) {
            columns = find_columns(nodes, connections);
            rows = json_array();
        }
        json_int_t column = json_integer_value(json_object_get(columns, key));
        const json_t *given = json_object_get(node, "design");
        json_t *design = json_is_object(given) ? json_copy(plain(given)) : json_object();
        (void)json_object_set_new(design, "x", json_integer(LEFT + column * COLUMN));
        (void)json_object_set_new(design, "y", json_integer(TOP + next_row(rows, column) * ROW));
        (void)json_object_set_new(node, "design", design);
    }
    json_decref(columns);
    json_decref(rows);
}

void hz_drawing_complete(json_t *nodes, const json_t *connections, const json_t *types)
{
    json_t *node;
    const char *key;
    json_object_foreach(nodes, key, node) {
        const char *type = json_string_value(json_object_get(node, "type"));
        (void)json_object_set_new(node, "info", complete_info(node, json_object_get(type ? json_object_get(types, type) : NULL, "info")));
        if (!json_object_get(node, "id"))
            (void)json_object_set_new(node, "id", json_string(key));
    }
    place(nodes, connections);
}

/* ---- what editors leave out ---- */
static const char *shown_name(const json_t *node)
{
    return json_string_value(json_object_get(json_object_get(node, "info"), "name"));
}

static json_t *name_of(const json_t *given, const json_t *stored)
{
    json_t *name = json_object_get(stored, "name");
    const char *now = shown_name(given), *before = shown_name(stored);
    if (!before || !*before)
        before = json_string_value(name);
    bool renamed = json_is_string(name) && now && *now && before && strcmp(now, before) != 0;
    return renamed ? json_string(now) : json_incref(name);
}

json_t *hz_drawing_keep(json_t *given, const json_t *stored)
{
    json_t *kept = NULL;
    const json_t *node;
    const char *key;
    json_object_foreach(given, key, node) {
        const json_t *before = json_object_get(stored, key);
        bool same = json_is_object(node) && json_is_object(before) && json_equal(json_object_get(node, "type"), json_object_get(before, "type"));
        bool name = same && !json_object_get(node, "name") && json_object_get(before, "name");
        bool meta = same && !json_object_get(node, "meta") && json_object_get(before, "meta");
        if (!name && !meta)
            continue;
        if (!kept && !(kept = json_copy(given)))
            return NULL;
        json_t *whole = json_copy(plain(node));
        if ((name && json_object_set_new(whole, "name", name_of(node, before))) ||
                (meta && json_object_set(whole, "meta", json_object_get(before, "meta"))) || json_object_set(kept, key, whole)) {
            json_decref(whole);
            json_decref(kept);
            return NULL;
        }
        json_decref(whole);
    }
    return kept ? kept : json_incref(given);
}
