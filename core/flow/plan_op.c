/* plan_op.c - the table of operations. A switch, so that the compiler names an operation that is missing here. */
#include "plan_op.h"

static const struct hz_plan_op_info push = {0, 1, 0, HZ_PLAN_OP_BARE};
static const struct hz_plan_op_info push_node = {0, 1, 0, HZ_PLAN_OP_NODE};
static const struct hz_plan_op_info push_text = {0, 1, 0, HZ_PLAN_OP_TEXT};
static const struct hz_plan_op_info push_number = {0, 1, 0, HZ_PLAN_OP_NUMBER};
static const struct hz_plan_op_info unary = {1, 1, 0, HZ_PLAN_OP_BARE};
static const struct hz_plan_op_info member = {1, 1, 0, HZ_PLAN_OP_TEXT};
static const struct hz_plan_op_info binary = {2, 1, 0, HZ_PLAN_OP_BARE};
static const struct hz_plan_op_info jump = {0, 0, 0, HZ_PLAN_OP_JUMP};
static const struct hz_plan_op_info jump_false = {1, 0, 0, HZ_PLAN_OP_JUMP};
static const struct hz_plan_op_info short_circuit = {1, 0, 1, HZ_PLAN_OP_JUMP};
static const struct hz_plan_op_info jump_nullish = {1, 1, 1, HZ_PLAN_OP_JUMP};

const struct hz_plan_op_info *hz_plan_op_info(uint32_t op)
{
    switch ((enum hz_expr_op)op) {
    case HZ_OP_INPUT:
    case HZ_OP_ENV:
    case HZ_OP_TRUE:
    case HZ_OP_FALSE:
    case HZ_OP_NULL:
    case HZ_OP_UNDEFINED:
        return &push;
    case HZ_OP_NODE:
        return &push_node;
    case HZ_OP_TEXT:
        return &push_text;
    case HZ_OP_NUMBER:
        return &push_number;
    case HZ_OP_NOT:
    case HZ_OP_NEGATE:
    case HZ_OP_PLUS:
    case HZ_OP_TYPEOF:
    case HZ_OP_LENGTH:
    case HZ_OP_END:
        return &unary;
    case HZ_OP_MEMBER:
    case HZ_OP_MEMBER_OPT:
        return &member;
    case HZ_OP_INDEX:
    case HZ_OP_ADD:
    case HZ_OP_SUB:
    case HZ_OP_MUL:
    case HZ_OP_DIV:
    case HZ_OP_MOD:
    case HZ_OP_LT:
    case HZ_OP_LE:
    case HZ_OP_GT:
    case HZ_OP_GE:
    case HZ_OP_EQ:
    case HZ_OP_NE:
    case HZ_OP_SEQ:
    case HZ_OP_SNE:
        return &binary;
    case HZ_OP_JUMP:
        return &jump;
    case HZ_OP_JUMP_FALSE:
        return &jump_false;
    case HZ_OP_AND:
    case HZ_OP_OR:
    case HZ_OP_COALESCE:
        return &short_circuit;
    case HZ_OP_JUMP_NULLISH:
        return &jump_nullish;
    }
    return NULL;
}
