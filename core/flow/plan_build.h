/*
 * plan_build.h - collects the tables of a plan while they grow and lays them out as one block. Texts lie first,
 * directly behind the head, so that an offset is final the moment a text is added.
 */
#ifndef HZ_FLOW_PLAN_BUILD_H
#define HZ_FLOW_PLAN_BUILD_H

#include "plan.h"

/* One growing table; `size` is the size of an element. */
struct hz_plan_table {
    void *data;
    uint32_t count, capacity, size;
};
struct hz_plan_build {
    struct hz_plan head; /* scalars and texts; tables and sizes are filled by finish */
    struct hz_plan_table nodes, outputs, edges, props, trees, members, parts, exprs, ops, refs, plugins, texts;
    uint32_t *interned; /* open addressing: offset of a short text, 0 empty */
    uint32_t interned_count, interned_capacity;
    int failed; /* HZ_ENOMEM or HZ_ETOOBIG; everything after it does nothing */
};

void hz_plan_build_init(struct hz_plan_build *build);
void hz_plan_build_fini(struct hz_plan_build *build);
/* Copies one element; returns its index (0 once the build failed). */
uint32_t hz_plan_build_add(struct hz_plan_build *build, struct hz_plan_table *table, const void *element);
/* Adds a text and its NUL; short ones are stored once. */
struct hz_plan_text hz_plan_build_text(struct hz_plan_build *build, const char *text, size_t len);
/* An earlier text, e.g. while the build goes on. Valid until the next text is added. */
const char *hz_plan_build_chars(const struct hz_plan_build *build, struct hz_plan_text text);
/* One block of malloc, proven by hz_plan_check(). 0 or a negative code. */
HZ_MUST_CHECK int hz_plan_build_finish(struct hz_plan_build *build, struct hz_plan **ret_plan);

#endif
