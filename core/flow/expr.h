/*
 * expr.h - one JavaScript expression to code for the worker's small stack machine, or the verdict that JavaScript
 * itself is needed. Used by the compiler, and by the worker to find the source range an error belongs to.
 */
#ifndef HZ_FLOW_EXPR_H
#define HZ_FLOW_EXPR_H

#include "plan.h"

/* One operation. `from`..`to`: the bytes of the source an error message quotes. Texts lie in hz_expr_code.texts. */
struct hz_expr_step {
    uint32_t op; /* enum hz_expr_op */
    uint32_t from, to;
    uint32_t a; /* node index or jump target; offset in `texts` for HZ_OP_MEMBER, HZ_OP_MEMBER_OPT, HZ_OP_TEXT */
    uint32_t len;
    double number;
};
struct hz_expr_code {
    struct hz_expr_step *steps;
    uint32_t count, capacity, depth, max_stack;
    char *texts;
    size_t texts_len, texts_capacity;
    uint32_t unknown_from, unknown_to; /* a name that nothing defines, in an otherwise plain expression; equal: none */
};

enum hz_expr_verdict {
    HZ_EXPR_IS_NATIVE, /* `steps` end with HZ_OP_END */
    HZ_EXPR_IS_SCRIPT, /* valid or not: JavaScript has to say */
    HZ_EXPR_IS_BROKEN, /* no JavaScript parser accepts it; see ret_reason, ret_at */
    HZ_EXPR_NO_MEMORY
};

/* Index of the node a name stands for; HZ_EXPR_UNKNOWN: nothing has that name; HZ_EXPR_FOREIGN: only JavaScript knows
 * (its own globals, a name that several nodes share). */
enum { HZ_EXPR_UNKNOWN = -1, HZ_EXPR_FOREIGN = -2 };
typedef int64_t hz_expr_resolve_fn(void *arg, const char *name, size_t len);

/*
 * hz_expr_parse - parses one expression: literals, input, env, node names, member paths, index, optional chaining,
 * ! - + typeof, arithmetic, comparisons, && || ??, the conditional, parentheses.
 *
 * resolve     NULL: every name is node 0 (to find source ranges again)
 * ret_code    filled; hz_expr_code_fini() in every case
 * ret_reason  HZ_EXPR_IS_BROKEN: static text; ret_at: offset in the text
 * Source      precedence climbing (Richards 1979); jumps only forward
 */
enum hz_expr_verdict hz_expr_parse(const char *text, size_t len, hz_expr_resolve_fn *resolve, void *arg,
        struct hz_expr_code *ret_code, const char **ret_reason, size_t *ret_at);
void hz_expr_code_fini(struct hz_expr_code *code);

/*
 * hz_expr_scan - tokens of any JavaScript expression: calls `name` for each identifier (also those inside strings and
 * templates: a superset), checks brackets and quotes. NULL, or a static reason with *ret_at.
 */
const char *hz_expr_scan(
        const char *text, size_t len, void (*name)(void *arg, const char *name, size_t len), void *arg, size_t *ret_at);

/* Length of the identifier that starts at text, 0 if none. Letters beyond ASCII count; symbols and punctuation do not.
 */
size_t hz_expr_identifier(const char *text, size_t len);
/* Is it a word that no variable can have? */
bool hz_expr_reserved(const char *word, size_t len);
/* Members every object (string, array, number, boolean: by kind) has from JavaScript itself, such as `toString`. */
enum hz_expr_proto { HZ_EXPR_OF_OBJECT = 1, HZ_EXPR_OF_STRING = 2, HZ_EXPR_OF_ARRAY = 4, HZ_EXPR_OF_NUMBER = 8 };
bool hz_expr_inherited(const char *member, size_t len, unsigned kinds);
/* Is it a global of JavaScript or one of the helper functions (`_length`)? */
bool hz_expr_global(const char *name, size_t len);

#endif
