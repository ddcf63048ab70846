/*
 * plan.h - a compiled flow: one immutable, versioned block with offsets instead of pointers. The manager compiles it once
 * per workflow version and catalogue version; it goes to the worker over the command ring and is used as it is.
 *
 * Every offset counts from the start of the block; tables are arrays of fixed structs, texts lie in one pool, each
 * followed by a NUL. hz_plan_check() proves once that all offsets and indices lie inside; afterwards nobody checks again.
 */
#ifndef HZ_FLOW_PLAN_H
#define HZ_FLOW_PLAN_H

#include "shm/base.h"

#define HZ_PLAN_MAGIC 0x4e4c505au /* "ZPLN" */
#define HZ_PLAN_VERSION 1u

struct hz_plan_text {
    uint32_t offset, len;
};

/* ---- expressions: postfix code for a small stack machine, or JavaScript text ---- */
enum hz_expr_op {
    HZ_OP_INPUT,     /* push the whole input {idNode, inputName, data} */
    HZ_OP_NODE,      /* a: node index; push {data, meta?} of that node on this branch, or throw ReferenceError if it has not run */
    HZ_OP_ENV,       /* push the env object */
    HZ_OP_MEMBER,    /* a: text; pop object, push object.text; throws on undefined/null like JavaScript */
    HZ_OP_MEMBER_OPT, /* a: text; the same for `?.`: undefined instead of an error; short-circuits with HZ_OP_JUMP_NULLISH */
    HZ_OP_INDEX,     /* pop key, object; push object[key] */
    HZ_OP_NUMBER,    /* number */
    HZ_OP_TEXT,      /* a: text */
    HZ_OP_TRUE, HZ_OP_FALSE, HZ_OP_NULL, HZ_OP_UNDEFINED,
    HZ_OP_NOT, HZ_OP_NEGATE, HZ_OP_PLUS, HZ_OP_TYPEOF,
    HZ_OP_LENGTH, /* the helper _length(x): the only call that needs no JavaScript */
    HZ_OP_ADD, HZ_OP_SUB, HZ_OP_MUL, HZ_OP_DIV, HZ_OP_MOD,
    HZ_OP_LT, HZ_OP_LE, HZ_OP_GT, HZ_OP_GE, HZ_OP_EQ, HZ_OP_NE, HZ_OP_SEQ, HZ_OP_SNE,
    HZ_OP_JUMP,               /* a: code index relative to the expression's start */
    HZ_OP_JUMP_FALSE,         /* pop; jump if falsy */
    HZ_OP_AND, HZ_OP_OR, HZ_OP_COALESCE, /* a: target; if the top decides, keep it and jump, else pop and go on */
    HZ_OP_JUMP_NULLISH,       /* a: target; if the top is null or undefined, replace it by undefined and jump */
    HZ_OP_END
};
struct hz_plan_op {
    uint32_t op; /* enum hz_expr_op */
    uint32_t len; /* HZ_OP_MEMBER, HZ_OP_TEXT: text length */
    union {
        uint32_t a; /* offset of the text, node index, jump target */
        double number;
    };
};
enum hz_expr_kind { HZ_EXPR_NATIVE = 1, HZ_EXPR_SCRIPT = 2 };
struct hz_plan_expr {
    uint32_t kind;       /* enum hz_expr_kind */
    uint32_t first_op, op_count; /* native */
    uint32_t max_stack;
    struct hz_plan_text text;    /* the source, also for messages */
    uint32_t first_ref, ref_count; /* script: node indices whose names occur in the text, in hz_plan.refs */
};

/* ---- a property's value: a tree ---- */
enum hz_tree_kind {
    HZ_TREE_CONST,    /* a, b: text offset and length of JSON; parsed once per worker */
    HZ_TREE_TEMPLATE, /* a: first part, b: part count; flags HZ_TPL_* */
    HZ_TREE_OBJECT,   /* a: first member in tree_members, b: count */
    HZ_TREE_ARRAY     /* the same with empty keys */
};
enum {
    HZ_TPL_WHOLE = 1, /* exactly one expression and nothing else: object, array, null replace the string */
    HZ_TPL_VALUE = 2, /* the key is `value`: the resulting text is parsed as JSON if it parses */
    HZ_TPL_JSON = 4   /* the text is JSON around the expressions: escape inside string literals (part flag) */
};
struct hz_plan_tree {
    uint32_t kind, flags, a, b;
};
struct hz_plan_member {
    struct hz_plan_text key;
    uint32_t tree; /* index */
};
/* Part of a template: literal text (expr == UINT32_MAX) or an expression. */
struct hz_plan_part {
    struct hz_plan_text text;
    uint32_t expr;
    uint32_t in_string; /* HZ_TPL_JSON: the expression sits inside a JSON string literal */
};

/* ---- nodes and connections ---- */
struct hz_plan_prop {
    struct hz_plan_text key;
    uint32_t tree;
};
struct hz_plan_output {
    struct hz_plan_text name;
    uint32_t first_edge, edge_count; /* in file order */
};
struct hz_plan_edge {
    uint32_t node; /* destination */
    struct hz_plan_text input;
};
enum hz_plan_log_type { HZ_PLAN_LOG_NONE, HZ_PLAN_LOG_DEBUG, HZ_PLAN_LOG_INFO, HZ_PLAN_LOG_WARN, HZ_PLAN_LOG_ERROR };
struct hz_plan_log {
    uint32_t type; /* enum hz_plan_log_type */
    uint32_t tree; /* template of the text; UINT32_MAX if none */
};
enum { HZ_PLAN_NODE_UNKNOWN = 1 << 16, /* no such type: running it is an error. Lower bits: HZ_NODE_* of the catalogue */
    HZ_PLAN_NODE_CONSTANT = 1 << 17 /* no property holds an expression: parameters are the same in every run */ };
struct hz_plan_node {
    struct hz_plan_text id, name, type, title, meta; /* meta: JSON text, "{}" if absent */
    uint32_t flags, caps;
    uint32_t plugin;                  /* index in plugins; UINT32_MAX if unknown */
    uint32_t first_prop, prop_count;  /* every property of the catalogue type, defaults filled in, then unknown stored ones */
    uint32_t first_output, output_count; /* the outputs somebody drew */
    uint32_t first_origin, origin_count; /* refs: distinct origin nodes of the incoming connections, file order */
    uint32_t timeout_ms, retries, retry_delay_ms; /* 0: none */
    struct hz_plan_log log_start, log_exec;
};
struct hz_plan_plugin {
    struct hz_plan_text type, file;
    uint32_t flags; /* 1: trusted (preloaded by the zygote) */
    uint32_t pad;
};

struct hz_plan {
    uint32_t magic, version;
    uint64_t size;
    uint32_t start_node, caps;   /* caps: union over the nodes */
    uint32_t needs_script;       /* some expression is HZ_EXPR_SCRIPT */
    uint32_t trigger_count, untrusted_plugins, reserved;
    struct hz_plan_text uid, name, flow_version, router, environment; /* environment: names, each NUL-terminated */
    uint32_t environment_count, pad;
    uint32_t nodes, node_count, outputs, output_count, edges, edge_count, props, prop_count, trees, tree_count, members, member_count,
        parts, part_count, exprs, expr_count, ops, op_count, refs, ref_count, plugins, plugin_count, texts, text_bytes;
};

/* Proves a block of `size` bytes; 0, or HZ_EFORMAT / HZ_EVERSION with the reason in hz_err_last(). Cost: linear, once. */
HZ_MUST_CHECK int hz_plan_check(const void *block, size_t size);

#define HZ_PLAN_TABLE(name, type, count_member)                                                                        \
    static inline const struct type *hz_plan_##name(const struct hz_plan *plan, uint32_t i)                            \
    {                                                                                                                  \
        HZ_ASSERT(i < plan->count_member);                                                                             \
        return (const struct type *)(const void *)((const char *)plan + plan->name##s) + i;                            \
    }
HZ_PLAN_TABLE(node, hz_plan_node, node_count)
HZ_PLAN_TABLE(output, hz_plan_output, output_count)
HZ_PLAN_TABLE(edge, hz_plan_edge, edge_count)
HZ_PLAN_TABLE(prop, hz_plan_prop, prop_count)
HZ_PLAN_TABLE(tree, hz_plan_tree, tree_count)
HZ_PLAN_TABLE(member, hz_plan_member, member_count)
HZ_PLAN_TABLE(part, hz_plan_part, part_count)
HZ_PLAN_TABLE(expr, hz_plan_expr, expr_count)
HZ_PLAN_TABLE(op, hz_plan_op, op_count)
HZ_PLAN_TABLE(plugin, hz_plan_plugin, plugin_count)
static inline uint32_t hz_plan_ref(const struct hz_plan *plan, uint32_t i)
{
    HZ_ASSERT(i < plan->ref_count);
    return ((const uint32_t *)(const void *)((const char *)plan + plan->refs))[i];
}
static inline const char *hz_plan_chars(const struct hz_plan *plan, struct hz_plan_text text)
{
    return (const char *)plan + text.offset;
}
/* The drawn output `name` of a node, or NULL. */
const struct hz_plan_output *hz_plan_find_output(const struct hz_plan *plan, uint32_t node, const char *name, size_t len);
/* Index of the node's property `key` relative to first_prop, or UINT32_MAX. */
uint32_t hz_plan_find_prop(const struct hz_plan *plan, uint32_t node, const char *key, size_t len);
/* Visits each expression that needs JavaScript with its node and property (len 0: a log text of node.meta): what
 * `horizon-worker --check` has to look at. */
typedef void hz_plan_script_fn(void *arg, uint32_t node, struct hz_plan_text property, const struct hz_plan_expr *expr);
void hz_plan_scripts(const struct hz_plan *plan, hz_plan_script_fn *visit, void *arg);

#endif
