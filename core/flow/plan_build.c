/*
 * plan_build.c - the tables of a plan while they grow, and their layout as one block without pointers.
 * Manager and `horizon check`; one thread owns a build.
 */
#include "plan_build.h"
#include "limits.h"
#include "shm/err.h"
#include <stdlib.h>
#include <string.h>

#define TABLE_ALIGN 8u
#define INTERN_MAX  64u /* longer texts are rarely equal */
/* Room for the message around a plan that goes to a worker in one piece. */
#define PLAN_MAX (HZ_FLOW_MAX_TEXT - 65536u)

void hz_plan_build_init(struct hz_plan_build *build)
{
    *build = (struct hz_plan_build){.nodes.size = sizeof(struct hz_plan_node),
            .outputs.size = sizeof(struct hz_plan_output),
            .edges.size = sizeof(struct hz_plan_edge),
            .props.size = sizeof(struct hz_plan_prop),
            .trees.size = sizeof(struct hz_plan_tree),
            .members.size = sizeof(struct hz_plan_member),
            .parts.size = sizeof(struct hz_plan_part),
            .exprs.size = sizeof(struct hz_plan_expr),
            .ops.size = sizeof(struct hz_plan_op),
            .refs.size = sizeof(uint32_t),
            .plugins.size = sizeof(struct hz_plan_plugin),
            .texts.size = 1};
}

void hz_plan_build_fini(struct hz_plan_build *build)
{
    struct hz_plan_table *tables[] = {&build->nodes, &build->outputs, &build->edges, &build->props, &build->trees,
            &build->members, &build->parts, &build->exprs, &build->ops, &build->refs, &build->plugins, &build->texts};

    for (size_t i = 0; i < HZ_COUNT_OF(tables); i++)
        free(tables[i]->data);
    free(build->interned);
    *build = (struct hz_plan_build){.failed = HZ_ENOMEM};
}

/* Room for `more` further elements. */
static bool grow(struct hz_plan_build *build, struct hz_plan_table *table, size_t more)
{
    size_t capacity = HZ_MAX((size_t)16, (size_t)table->capacity * 2);
    void *grown;

    if (build->failed != 0)
        return false;
    if (table->capacity - table->count >= more)
        return true;
    capacity = HZ_MAX(capacity, table->count + more);
    if (capacity > 2ull * PLAN_MAX / table->size) {
        build->failed = HZ_ETOOBIG;
        return false;
    }
    grown = realloc(table->data, capacity * table->size);
    if (!grown) {
        build->failed = HZ_ENOMEM;
        return false;
    }
    table->data = grown;
    table->capacity = (uint32_t)capacity;
    return true;
}

uint32_t hz_plan_build_add(struct hz_plan_build *build, struct hz_plan_table *table, const void *element)
{
    if (!grow(build, table, 1))
        return 0;
    memcpy((char *)table->data + (size_t)table->count * table->size, element, table->size);
    return table->count++;
}

/* FNV-1a, 32 bits (Fowler, Noll, Vo): short keys, no adversary: a bad spread only costs compile time. */
static uint32_t hash(const char *text, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

static bool same(const struct hz_plan_build *build, uint32_t offset, const char *text, size_t len)
{
    const char *there = (const char *)build->texts.data + (offset - sizeof(struct hz_plan));
    size_t left = build->texts.count - (offset - sizeof(struct hz_plan));

    return left > len && memcmp(there, text, len) == 0 && there[len] == '\0';
}

static bool intern_grow(struct hz_plan_build *build)
{
    uint32_t capacity = build->interned_capacity ? build->interned_capacity * 2 : 256;
    uint32_t *bigger = calloc(capacity, sizeof(*bigger));

    if (!bigger) {
        build->failed = HZ_ENOMEM;
        return false;
    }
    for (uint32_t i = 0; i < build->interned_capacity; i++) {
        const char *text;
        uint32_t at;

        if (build->interned[i] == 0)
            continue;
        text = (const char *)build->texts.data + (build->interned[i] - sizeof(struct hz_plan));
        at = hash(text, strlen(text)) & (capacity - 1);
        while (bigger[at] != 0)
            at = (at + 1) & (capacity - 1);
        bigger[at] = build->interned[i];
    }
    free(build->interned);
    build->interned = bigger;
    build->interned_capacity = capacity;
    return true;
}

struct hz_plan_text hz_plan_build_text(struct hz_plan_build *build, const char *text, size_t len)
{
    bool intern = len <= INTERN_MAX && (len == 0 || memchr(text, '\0', len) == NULL);
    uint32_t at = 0, offset;

    if (build->failed != 0)
        return (struct hz_plan_text){0, 0};
    if (intern) {
        if (build->interned_count * 2 >= build->interned_capacity && !intern_grow(build))
            return (struct hz_plan_text){0, 0};
        at = hash(text, len) & (build->interned_capacity - 1);
        for (; build->interned[at] != 0; at = (at + 1) & (build->interned_capacity - 1))
            if (same(build, build->interned[at], text, len))
                return (struct hz_plan_text){build->interned[at], (uint32_t)len};
    }
    if (len > PLAN_MAX) {
        build->failed = HZ_ETOOBIG;
        return (struct hz_plan_text){0, 0};
    }
    if (!grow(build, &build->texts, len + 1))
        return (struct hz_plan_text){0, 0};
    offset = (uint32_t)sizeof(struct hz_plan) + build->texts.count;
    memcpy((char *)build->texts.data + build->texts.count, text, len);
    ((char *)build->texts.data)[build->texts.count + len] = '\0';
    build->texts.count += (uint32_t)len + 1;
    if (intern) {
        build->interned[at] = offset;
        build->interned_count++;
    }
    return (struct hz_plan_text){offset, (uint32_t)len};
}

const char *hz_plan_build_chars(const struct hz_plan_build *build, struct hz_plan_text text)
{
    return build->failed != 0 ? "" : (const char *)build->texts.data + (text.offset - sizeof(struct hz_plan));
}

int hz_plan_build_finish(struct hz_plan_build *build, struct hz_plan **ret_plan)
{
    struct hz_plan *head = &build->head;
    struct {
        const struct hz_plan_table *table;
        uint32_t *offset, *count;
    } layout[] = {{&build->texts, &head->texts, &head->text_bytes}, {&build->nodes, &head->nodes, &head->node_count},
            {&build->outputs, &head->outputs, &head->output_count}, {&build->edges, &head->edges, &head->edge_count},
            {&build->props, &head->props, &head->prop_count}, {&build->trees, &head->trees, &head->tree_count},
            {&build->members, &head->members, &head->member_count}, {&build->parts, &head->parts, &head->part_count},
            {&build->exprs, &head->exprs, &head->expr_count}, {&build->ops, &head->ops, &head->op_count},
            {&build->refs, &head->refs, &head->ref_count}, {&build->plugins, &head->plugins, &head->plugin_count}};
    uint64_t size = sizeof(struct hz_plan);
    char *block;
    int code;

    if (build->failed != 0)
        return hz_err_set(build->failed, "cannot make the plan");
    for (size_t i = 0; i < HZ_COUNT_OF(layout); i++) {
        *layout[i].offset = (uint32_t)HZ_MIN(size, (uint64_t)UINT32_MAX);
        *layout[i].count = layout[i].table->count;
        size += HZ_ALIGN_UP((uint64_t)layout[i].table->count * layout[i].table->size, TABLE_ALIGN);
    }
    if (size > PLAN_MAX)
        return hz_err_set(HZ_ETOOBIG, "the plan has %llu bytes", (unsigned long long)size);
    head->magic = HZ_PLAN_MAGIC;
    head->version = HZ_PLAN_VERSION;
    head->size = size;
    block = calloc(1, size);
    if (!block)
        return hz_err_set(HZ_ENOMEM, "plan of %llu bytes", (unsigned long long)size);
    memcpy(block, head, sizeof(*head));
    for (size_t i = 0; i < HZ_COUNT_OF(layout); i++)
        if (layout[i].table->count > 0)
            memcpy(block + *layout[i].offset, layout[i].table->data,
                    (size_t)layout[i].table->count * layout[i].table->size);
    code = hz_plan_check(block, size);
    if (code != 0) {
        free(block);
        return code;
    }
    *ret_plan = (struct hz_plan *)(void *)block;
    return 0;
}
