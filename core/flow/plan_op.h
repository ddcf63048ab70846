/* plan_op.h - what each operation of the stack machine takes, leaves and carries: one table for the parser that counts
 * the stack and the check that proves it. Internal to core/flow. */
#ifndef HZ_FLOW_PLAN_OP_H
#define HZ_FLOW_PLAN_OP_H

#include "plan.h"

enum hz_plan_op_operand { HZ_PLAN_OP_BARE, HZ_PLAN_OP_NODE, HZ_PLAN_OP_TEXT, HZ_PLAN_OP_NUMBER, HZ_PLAN_OP_JUMP };
struct hz_plan_op_info {
    uint8_t takes, leaves; /* cells, on the way to the next operation */
    uint8_t landing;       /* HZ_PLAN_OP_JUMP: cells left on the way that jumps */
    uint8_t operand;       /* enum hz_plan_op_operand */
};

/* NULL: there is no such operation. */
const struct hz_plan_op_info *hz_plan_op_info(uint32_t op);

#endif
