/*
 * expression.h - evaluates what core/flow compiled: templates and expressions of a node's properties.
 *
 * A program is a plan made ready in this process: constants parsed once. A scope is what one run sees.
 */
#ifndef HZ_WORKER_EXPRESSION_H
#define HZ_WORKER_EXPRESSION_H

#include "core/flow/plan.h"
#include "value.h"

struct hz_js; /* js.h: one JavaScript context per thread */

struct hz_scope {
    /* {idNode, inputName, data}: built lazily from these */
    const char *input_node, *input_name;
    const hz_value *input_data;
    /* last emission of node `index` on this branch: true and borrowed data / meta (meta may be NULL) */
    bool (*node)(void *arg, uint32_t index, const hz_value **ret_data, const hz_value **ret_meta);
    void *arg;
    const hz_value *env;      /* object */
    struct hz_js *(*js)(void *arg); /* this thread's context, made on first need; NULL: JavaScript is not available here */
    /* called for each failed evaluation: the expression's text and the reason */
    void (*failed)(void *arg, const char *expression, size_t len, const char *reason);
};

struct hz_program;
/* Parses the plan's constants. plan must outlive the program and have passed hz_plan_check(). */
HZ_MUST_CHECK int hz_program_new(const struct hz_plan *plan, struct hz_program **ret_program);
void hz_program_free(struct hz_program **program);

/* Evaluates every property of `node`: ret_values[prop_count] new references (undefined for a failed one). Returns the
 * number of failed strings, or HZ_ENOMEM. Constant properties cost a reference. */
HZ_MUST_CHECK int hz_program_params(struct hz_program *program, uint32_t node, const struct hz_scope *scope, const hz_value **ret_values);
/* One tree as text (meta.logs templates). */
HZ_MUST_CHECK int hz_program_text(struct hz_program *program, uint32_t tree, const struct hz_scope *scope, struct hz_buffer *ret_text);
/* One expression; new reference, or NULL with the reason in ret_error (thread-local text). For tests and the double check
 * that both engines agree: force_script runs a native one through JavaScript. */
const hz_value *hz_program_expr(struct hz_program *program, uint32_t expr, const struct hz_scope *scope, bool force_script, const char **ret_error);

#endif
