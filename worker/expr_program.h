/* expr_program.h - a plan made ready in this process. Internal to expression.c and expr_template.c. */
#ifndef HZ_WORKER_EXPR_PROGRAM_H
#define HZ_WORKER_EXPR_PROGRAM_H

#include "expr_vm.h"

/*
 * JSON text with expressions, parsed once: values are built straight from it instead of printing and parsing text in
 * every run. The result is the same as long as every hole is a value that survives printing (hz_skeleton_build()).
 */
enum hz_skeleton_kind { HZ_SKELETON_CONST, HZ_SKELETON_HOLE, HZ_SKELETON_TEXT, HZ_SKELETON_OBJECT, HZ_SKELETON_ARRAY };
struct hz_skeleton {
    enum hz_skeleton_kind kind;
    uint32_t count;        /* TEXT, OBJECT, ARRAY: children; TEXT: they are CONST texts and HOLEs */
    uint32_t hole;         /* HOLE: number of the template's part */
    const hz_value *value; /* CONST: owned */
    char *key;             /* member of an OBJECT: owned */
    size_t key_len;
    struct hz_skeleton *children;
};

struct hz_program {
    uint32_t magic;
#define HZ_PROGRAM_MAGIC 0x4d415247u /* "GRAM" */
    const struct hz_plan *plan;
    const hz_value **consts;        /* per tree: HZ_TREE_CONST parsed, else NULL */
    struct hz_skeleton **skeletons; /* per tree: templates that have one, else NULL */
};

/* Skeleton of a template, NULL if it has none (or memory ran out: the text path serves as well). */
struct hz_skeleton *hz_skeleton_new(const struct hz_plan *plan, const struct hz_plan_tree *tree);
void hz_skeleton_free(struct hz_skeleton *skeleton);
/* New reference, or NULL: a hole needs the text path. cells: one for each part, expressions evaluated. */
const hz_value *hz_skeleton_build(struct hz_vm *vm, const struct hz_skeleton *skeleton, const struct hz_cell *cells);

/* A template's value: new reference, or NULL with vm->error and *ret_expr the expression that failed. */
const hz_value *hz_template_value(struct hz_program *program, struct hz_vm *vm, uint32_t tree, uint32_t *ret_expr);
/* Its text, appended. False: as above. */
bool hz_template_text(struct hz_vm *vm, const struct hz_plan_tree *tree, struct hz_buffer *buffer, uint32_t *ret_expr);

#endif
