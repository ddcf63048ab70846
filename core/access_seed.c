/* access_seed.c - roles and permissions: the table of access_table.h, their rows in the store, what a scope's text means. Filled at start,
 * read-only afterwards: any thread. */
#include "access_internal.h"

#include "shm/err.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { S = 1, D = 3, M = 7, U = 15, A = 31 }; /* bits of levels, see the table */
static const struct {
    const char *name, *module, *action, *description;
    uint32_t roles;
} permissions[] = {
#define HZ_ACCESS_PERMISSION(module, action, roles, description) {module ":" action, module, action, description, roles},
#include "access_table.h"
};
static const struct {
    const char *name, *description;
} roles[] = {
#define HZ_ACCESS_ROLE(name, description) {name, description},
#include "access_table.h"
};
#define COUNT HZ_COUNT_OF(permissions)
_Static_assert(HZ_COUNT_OF(roles) == HZ_ROLE_COUNT, "a name for each role");
_Static_assert(COUNT / 32 < HZ_ACCESS_BITS, "a bit for each permission");
static struct hz_store_permission rows[COUNT];

size_t hz_access_permission_count(void)
{
    return COUNT;
}

const char *hz_role_name(enum hz_role role)
{
    return role < HZ_ROLE_COUNT ? roles[role].name : "";
}

bool hz_role_parse(const char *text, enum hz_role *ret_role)
{
    for (unsigned i = 0; i < HZ_ROLE_COUNT; i++)
        if (strcasecmp(text, roles[i].name) == 0 || (text[0] == (char)('0' + i) && text[1] == 0)) {
            *ret_role = (enum hz_role)i;
            return true;
        }
    return false;
}

int hz_access_permission_index(const char *name)
{
    size_t low = 0, high = COUNT;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, permissions[middle].name);
        if (order == 0)
            return (int)middle;
        low = order < 0 ? low : middle + 1;
        high = order < 0 ? middle : high;
    }
    return -1;
}

bool hz_access_known(const char *permission)
{
    return hz_access_permission_index(permission) >= 0;
}

uint32_t hz_access_permission_roles(size_t index)
{
    return permissions[index].roles;
}

static void allow(uint32_t bits[HZ_ACCESS_BITS], size_t index)
{
    bits[index / 32] |= UINT32_C(1) << index % 32;
}

/* One name, or `module:*`. */
static bool allow_named(uint32_t bits[HZ_ACCESS_BITS], const char *name)
{
    size_t len = strlen(name);
    bool found = false;
    if (len > 2 && strcmp(name + len - 2, ":*") == 0) {
        for (size_t i = 0; i < COUNT; i++)
            if (strncmp(permissions[i].name, name, len - 1) == 0) {
                allow(bits, i);
                found = true;
            }
        return found;
    }
    int index = hz_access_permission_index(name);
    if (index < 0)
        return false;
    allow(bits, (size_t)index);
    if (strcmp(name, "workers:message") == 0) /* the older name of the same */
        allow(bits, (size_t)hz_access_permission_index("workers:send-message"));
    return true;
}

int hz_access_scope(const char *text, uint32_t ret_bits[HZ_ACCESS_BITS])
{
    char copy[HZ_ACCESS_SCOPES], *save = NULL;
    int err = 0;
    bool any = false;
    memset(ret_bits, 0, sizeof *ret_bits * HZ_ACCESS_BITS);
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy)
        return hz_err_set(HZ_EFORMAT, "a token's scope has at most %d bytes", HZ_ACCESS_SCOPES - 1);
    for (char *name = strtok_r(copy, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
        any = true;
        if (!allow_named(ret_bits, name))
            err = hz_err_set(HZ_EFORMAT, "there is no permission `%.80s`; expected names such as workers:list or workers:*", name);
    }
    if (!any)
        memset(ret_bits, 0xff, sizeof *ret_bits * HZ_ACCESS_BITS);
    return err;
}

/* ---- rows ---- */

void hz_access_seed_reset(void)
{
    memset(rows, 0, sizeof rows);
    memset(hz_access.roles, 0, sizeof hz_access.roles);
    hz_access.permissions = NULL;
}

void hz_access_seed_seen(const struct hz_store_role *role)
{
    if (role->level >= 0 && role->level < (int)HZ_ROLE_COUNT) {
        hz_access.roles[role->level].id = role->id;
        hz_access.roles[role->level].created_ms = role->created_ms;
    }
}

void hz_access_seed_permission(const struct hz_store_permission *permission)
{
    char name[128];
    snprintf(name, sizeof name, "%s:%s", permission->module, permission->action);
    int index = hz_access_permission_index(name);
    if (index >= 0)
        rows[index] = *permission; /* one of an older or newer program grants nothing */
}

int hz_access_seed(void)
{
    struct hz_store_role new_roles[HZ_ROLE_COUNT];
    struct hz_store_permission *new_rows = calloc(COUNT, sizeof *new_rows);
    size_t role_count = 0, count = 0;
    int64_t now = hz_base_wall_ms();
    if (!new_rows)
        return hz_err_set(HZ_ENOMEM, "permissions");
    for (unsigned i = 0; i < HZ_ROLE_COUNT; i++) {
        struct hz_store_role *role = &hz_access.roles[i];
        role->level = (int)i;
        role->name = roles[i].name;
        role->description = roles[i].description;
        if (role->created_ms)
            continue;
        role->id = hz_uuid_new();
        role->created_ms = now;
        new_roles[role_count++] = *role;
    }
    for (size_t i = 0; i < COUNT; i++) {
        HZ_ASSERT(i == 0 || strcmp(permissions[i - 1].name, permissions[i].name) < 0);
        bool known = rows[i].created_ms && rows[i].roles == permissions[i].roles;
        snprintf(rows[i].module, sizeof rows[i].module, "%s", permissions[i].module);
        snprintf(rows[i].action, sizeof rows[i].action, "%s", permissions[i].action);
        rows[i].description = permissions[i].description;
        rows[i].roles = permissions[i].roles;
        if (known)
            continue;
        if (!rows[i].created_ms) {
            rows[i].id = hz_uuid_new();
            rows[i].created_ms = now;
        }
        new_rows[count++] = rows[i];
    }
    hz_access.permissions = rows;
    int err = role_count || count ? hz_store_access_seed(new_roles, role_count, new_rows, count) : 0;
    free(new_rows);
    return err;
}

/* ---- as JSON ---- */

static json_t *permission_json(size_t index)
{
    char id[HZ_UUID_TEXT], iso[HZ_ISO_TEXT];
    const struct hz_store_permission *row = &hz_access.permissions[index];
    hz_uuid_format(&row->id, id);
    hz_base_iso(row->created_ms, iso);
    return json_pack("{s:s, s:s, s:s, s:n, s:s, s:s, s:s, s:i, s:s, s:s}", "id", id, "module", row->module, "action", row->action, "resource",
            "scope", "global", "description", row->description, "status", "active", "priority", 0, "createdAt", iso, "updatedAt", iso);
}

static json_t *permissions_of(uint32_t role_bits)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < COUNT; i++)
        if ((permissions[i].roles & role_bits) && json_array_append_new(list, permission_json(i))) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

json_t *hz_access_permissions_json(void)
{
    return permissions_of(A);
}

json_t *hz_access_role_json(enum hz_role level, bool with_permissions)
{
    char id[HZ_UUID_TEXT], iso[HZ_ISO_TEXT];
    const struct hz_store_role *role = &hz_access.roles[level];
    hz_uuid_format(&role->id, id);
    hz_base_iso(role->created_ms, iso);
    json_t *value = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "id", id, "name", role->name, "description", role->description, "level",
            role->level, "status", "active", "createdAt", iso, "updatedAt", iso);
    if (value && with_permissions && json_object_set_new(value, "permissions", permissions_of(UINT32_C(1) << level))) {
        json_decref(value);
        value = NULL;
    }
    return value;
}

json_t *hz_access_roles_json(void)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < HZ_ROLE_COUNT; i++)
        if (json_array_append_new(list, hz_access_role_json((enum hz_role)i, true))) {
            json_decref(list);
            list = NULL;
        }
    return list;
}
