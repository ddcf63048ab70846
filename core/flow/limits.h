/* limits.h - every bound of the flow library, each defined here once. Exceeding one is a finding, never a crash. */
#ifndef HZ_FLOW_LIMITS_H
#define HZ_FLOW_LIMITS_H

#define HZ_FLOW_MAX_TEXT        (64u << 20) /* bytes of a flow.json, and of the largest message */
#define HZ_FLOW_MAX_DEPTH       100u        /* nesting of arrays and objects */
#define HZ_FLOW_MAX_NODES       10000
#define HZ_FLOW_MAX_CONNECTIONS 100000
#define HZ_FLOW_MAX_NAME        1024       /* bytes of an id, a name, a type, a connector, a property's key */
#define HZ_FLOW_MAX_STRING      (4u << 20) /* bytes of one string inside a property */
#define HZ_FLOW_MAX_EXPR        65536u     /* bytes of one expression */
#define HZ_FLOW_MAX_EXPR_DEPTH  64u        /* parentheses and operators inside each other that native code takes */
#define HZ_FLOW_MAX_EXPR_STACK  64u        /* cells of the stack machine */
#define HZ_FLOW_MAX_EXPR_OPS    4096u      /* operations of one native expression */
#define HZ_FLOW_MAX_FINDINGS    200u       /* kept in a report; further ones are only counted */
#define HZ_FLOW_MAX_ENVIRONMENT 1000       /* names in `environment` */
#define HZ_FLOW_MAX_TIMEOUT_MS  86400000   /* node.meta.timeout and retryDelay: one day */
#define HZ_FLOW_MAX_RETRIES     1000       /* node.meta.retries */

/* A bound inside a text: HZ_LIMIT("at most ", HZ_FLOW_MAX_NAME, " bytes"). Only for bounds written as one plain number.
 */
#define HZ_LIMIT_TEXT(number)           #number
#define HZ_LIMIT(before, number, after) before HZ_LIMIT_TEXT(number) after

#endif
