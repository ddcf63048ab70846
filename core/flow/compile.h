/* compile.h - what the parts of one compilation share: compile.c drives, check.c judges properties, template.c makes
 * values. Internal to core/flow. */
#ifndef HZ_FLOW_COMPILE_H
#define HZ_FLOW_COMPILE_H

#include "model.h"
#include "plan_build.h"
#include "report.h"

#define HZ_COMPILE_PATH 512

struct hz_compile {
    const struct hz_flow *flow;
    const json_t *catalog;
    struct hz_flow_report *report;
    struct hz_plan_build build;
    json_t *names;        /* node name -> index of the last node called so */
    uint32_t *same_name;  /* per node: an earlier node of the same name, or HZ_MODEL_NONE */
    const char *node;     /* the node being compiled, for findings */
    uint32_t expressions; /* met so far */
    size_t path_len;
    char path[HZ_COMPILE_PATH]; /* of the value being looked at: properties.conditions[0].name */
    bool strict;
};

/* A finding about the value at `path`. In strict mode what cannot run well is an error, else a warning. */
void hz_compile_find(struct hz_compile *compile, enum hz_flow_severity severity, const char *expected,
        const char *format, ...) HZ_PRINTF(4, 5);
enum hz_flow_severity hz_compile_severity(const struct hz_compile *compile);
/* Appends `.key` (or `[index]` when key is NULL) to the path; returns the length to go back to. */
size_t hz_compile_enter(struct hz_compile *compile, const char *key, size_t index);
void hz_compile_leave(struct hz_compile *compile, size_t len);

/* check.c: judges a stored property against its catalogue entry (NULL: none). Returns the value to use: the stored one,
 * else the catalogue's default, else NULL. */
const json_t *hz_check_property(struct hz_compile *compile, const json_t *stored, const json_t *known);

/* template.c */
enum {
    HZ_TEMPLATE_SKIP = 1,  /* expressions stay text (evaluation.active is false) */
    HZ_TEMPLATE_ALL = 2,   /* the whole text is one expression (evaluation.all) */
    HZ_TEMPLATE_VALUE = 4, /* the key is `value` */
    HZ_TEMPLATE_CODE = 8   /* code of lang json: text that parses is handed over parsed */
};
/* Index of the tree of a value. */
uint32_t hz_template_tree(struct hz_compile *compile, const json_t *value, unsigned rules);
/* What `type`, `lang` and `evaluation` of a full property say about its value; `known` (may be NULL) is asked second.
 */
unsigned hz_template_rules(const json_t *property, const json_t *known);
/* Does the text hold an expression `{{X}}`? *ret_from, *ret_to: X; the braces lie around it. */
bool hz_template_find(const char *text, size_t len, size_t start, size_t *ret_from, size_t *ret_to);

#endif
