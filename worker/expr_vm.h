/*
 * expr_vm.h - one evaluation: cells, the stack machine, JavaScript behind it. Internal to the expression files of the
 * worker; everybody else uses expression.h.
 */
#ifndef HZ_WORKER_EXPR_VM_H
#define HZ_WORKER_EXPR_VM_H

#include "expression.h"

/* A JavaScript value on the stack. Nothing here owns memory: values belong to the scope, texts to the plan or a value,
 * what an evaluation makes itself to its hz_vm. */
enum hz_cell_kind {
    HZ_CELL_UNDEFINED,
    HZ_CELL_NULL,
    HZ_CELL_BOOL,
    HZ_CELL_NUMBER,
    HZ_CELL_TEXT,
    HZ_CELL_VALUE, /* object or array */
    HZ_CELL_INPUT, /* {idNode, inputName, data}, not built yet */
    HZ_CELL_NODE   /* {data, meta?} of a node, not built yet */
};
struct hz_cell {
    enum hz_cell_kind kind;
    /* objects: where its path began (0 input, 1 env, 2 + node): two objects are the same only within one root, because
     * JavaScript gets a copy of each binding */
    uint32_t root;
    const hz_value *value; /* the value behind it, NULL if it was computed; HZ_CELL_NODE: data */
    union {
        double number; /* HZ_CELL_BOOL too: 0 or 1 */
        struct {
            const char *data;
            size_t len;
        } text;
        const hz_value *meta; /* HZ_CELL_NODE, may be NULL */
    };
};

enum hz_vm_result {
    HZ_VM_OK,
    HZ_VM_THROW,  /* vm->error says what */
    HZ_VM_SCRIPT, /* only JavaScript itself can answer */
};

struct hz_vm_block;
/* One evaluation or a row of them with one scope. */
struct hz_vm {
    const struct hz_plan *plan;
    const struct hz_scope *scope;
    const hz_value *input;      /* the whole input, built when somebody needs it; owned */
    struct hz_vm_block *blocks; /* memory of this evaluation */
    const char *error;          /* thread-local text after HZ_VM_THROW */
};
static inline void hz_vm_init(struct hz_vm *vm, const struct hz_plan *plan, const struct hz_scope *scope)
{
    *vm = (struct hz_vm){.plan = plan, .scope = scope};
}
/* Gives back everything; cells of this vm are gone afterwards. */
void hz_vm_fini(struct hz_vm *vm);
/* Memory until hz_vm_fini; NULL: out of memory. */
void *hz_vm_alloc(struct hz_vm *vm, size_t size);
/* Takes the reference and returns its argument; NULL stays NULL. */
const hz_value *hz_vm_keep(struct hz_vm *vm, const hz_value *value);
/* Sets vm->error, at most 1 KiB; returns HZ_VM_THROW. */
enum hz_vm_result hz_vm_throw(struct hz_vm *vm, const char *format, ...) HZ_PRINTF(2, 3);

/* Evaluates expression `expr`, by machine or script. force_script: JavaScript even if it is native. */
HZ_MUST_CHECK enum hz_vm_result hz_vm_eval(
        struct hz_vm *vm, uint32_t expr, bool force_script, struct hz_cell *ret_cell);
/* Only the machine (expr_vm.c); only the script (expr_script.c). */
HZ_MUST_CHECK enum hz_vm_result hz_vm_run(struct hz_vm *vm, const struct hz_plan_expr *expr, struct hz_cell *ret_cell);
HZ_MUST_CHECK enum hz_vm_result hz_vm_script(
        struct hz_vm *vm, const struct hz_plan_expr *expr, struct hz_cell *ret_cell);

/* ---- cells (expr_cell.c). What can fail returns an hz_vm_result. ---- */
void hz_cell_load(struct hz_cell *cell, const hz_value *value, uint32_t root);
bool hz_cell_truthy(const struct hz_cell *cell);
static inline bool hz_cell_nullish(const struct hz_cell *cell)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): hz_plan_check() proved that the cell is set */
    return cell->kind == HZ_CELL_UNDEFINED || cell->kind == HZ_CELL_NULL;
}
static inline bool hz_cell_is_object(const struct hz_cell *cell)
{
    return cell->kind >= HZ_CELL_VALUE;
}
static inline void hz_cell_set_bool(struct hz_cell *cell, bool v)
{
    *cell = (struct hz_cell){.kind = HZ_CELL_BOOL, .number = v};
}
static inline void hz_cell_set_number(struct hz_cell *cell, double v)
{
    *cell = (struct hz_cell){.kind = HZ_CELL_NUMBER, .number = v};
}
static inline void hz_cell_set_text(struct hz_cell *cell, const char *data, size_t len)
{
    *cell = (struct hz_cell){.kind = HZ_CELL_TEXT, .text = {data, len}};
}
/* JavaScript's ToPrimitive, in place: objects and arrays become text. */
HZ_MUST_CHECK enum hz_vm_result hz_cell_primitive(struct hz_vm *vm, struct hz_cell *cell);
HZ_MUST_CHECK enum hz_vm_result hz_cell_number(struct hz_vm *vm, const struct hz_cell *cell, double *ret_number);
/* ToString, in place. */
HZ_MUST_CHECK enum hz_vm_result hz_cell_text(struct hz_vm *vm, struct hz_cell *cell);
HZ_MUST_CHECK enum hz_vm_result hz_cell_add(struct hz_vm *vm, struct hz_cell *left, struct hz_cell *right);
/* `left < right`: 1, 0, or -1 when one is NaN. Both become primitive. */
HZ_MUST_CHECK enum hz_vm_result hz_cell_less(
        struct hz_vm *vm, struct hz_cell *left, struct hz_cell *right, int *ret_less);
HZ_MUST_CHECK enum hz_vm_result hz_cell_equal(
        struct hz_vm *vm, struct hz_cell *left, struct hz_cell *right, bool *ret_equal);
bool hz_cell_same(const struct hz_cell *left, const struct hz_cell *right); /* === */
const char *hz_cell_typeof(const struct hz_cell *cell);
/* Length in UTF-16 units of UTF-8 text. */
size_t hz_cell_utf16_length(const char *data, size_t len);

/* A new reference to the cell as a value; NULL: out of memory. */
const hz_value *hz_cell_value(struct hz_vm *vm, const struct hz_cell *cell);
/* The cell's text by the rules of templates: objects and arrays as compact JSON, undefined as nothing. */
void hz_cell_print(struct hz_vm *vm, const struct hz_cell *cell, struct hz_buffer *buffer);
/* The whole input {idNode, inputName, data} and a node's {data, meta?} as values; borrowed from vm, NULL: no memory. */
const hz_value *hz_cell_input(struct hz_vm *vm);
const hz_value *hz_cell_node(struct hz_vm *vm, const hz_value *data, const hz_value *meta);

#endif
