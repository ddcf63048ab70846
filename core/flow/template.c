/*
 * template.c - values with expressions inside: finds {{X}} in every string of a property, follows the rules of
 * `evaluation`, `options` and list templates, and notes where JSON text needs escaping. Runs while a flow is compiled.
 */
#include "compile.h"
#include "expr.h"
#include "json_text.h"
#include "limits.h"
#include "shm/err.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool string_is(const json_t *object, const char *key, const char *text)
{
    return strcmp(hz_model_text(object, key, ""), text) == 0;
}

unsigned hz_template_rules(const json_t *property, const json_t *known)
{
    const json_t *evaluation = hz_model_get(property, "evaluation");
    unsigned rules = HZ_TEMPLATE_VALUE;

    if (!evaluation)
        evaluation = hz_model_get(known, "evaluation");
    if (json_is_false(hz_model_get(evaluation, "active")))
        rules |= HZ_TEMPLATE_SKIP;
    if (json_is_true(hz_model_get(evaluation, "all")))
        rules |= HZ_TEMPLATE_ALL;
    if (string_is(hz_model_get(property, "type") ? property : known, "type", "code") &&
            string_is(hz_model_get(property, "lang") ? property : known, "lang", "json"))
        rules |= HZ_TEMPLATE_CODE;
    return rules;
}

/* Two bytes that open or close an expression. */
static bool pair(const char *text, size_t len, size_t at, char c)
{
    return at + 1 < len && text[at] == c && text[at + 1] == c;
}

/* A line break as JavaScript's `.` sees it: also U+2028 and U+2029. */
static bool line_break(const char *text, size_t len, size_t at)
{
    return text[at] == '\n' || text[at] == '\r' ||
           (len - at >= 3 && (memcmp(text + at, "\xe2\x80\xa8", 3) == 0 || memcmp(text + at, "\xe2\x80\xa9", 3) == 0));
}

bool hz_template_find(const char *text, size_t len, size_t start, size_t *ret_from, size_t *ret_to)
{
    const char *open;

    for (size_t at = start; at + 4 <= len; at++) {
        size_t end;

        open = memchr(text + at, '{', len - at - 1);
        if (!open)
            return false;
        at = (size_t)(open - text);
        if (!pair(text, len, at, '{'))
            continue;
        for (end = at + 2; end < len; end++)
            if (pair(text, len, end, '{') || pair(text, len, end, '}') || line_break(text, len, end))
                break;
        if (pair(text, len, end, '}')) {
            *ret_from = at + 2;
            *ret_to = end;
            return true;
        }
        if (end >= len) /* nothing closes from here on, for later openings neither */
            return false;
        /* an inner opening: the next try includes its first brace; a line break: no expression crosses it */
        at = pair(text, len, end, '{') ? end - 2 : end;
    }
    return false;
}

static int64_t resolve(void *arg, const char *name, size_t len)
{
    struct hz_compile *compile = arg;
    const json_t *index = json_object_getn(compile->names, name, len);

    if (!index)
        return hz_expr_global(name, len) ? HZ_EXPR_FOREIGN : HZ_EXPR_UNKNOWN;
    if (compile->same_name[json_integer_value(index)] != HZ_MODEL_NONE)
        return HZ_EXPR_FOREIGN;
    return json_integer_value(index);
}

static uint32_t add_native(struct hz_compile *compile, const struct hz_expr_code *code, struct hz_plan_text source)
{
    struct hz_plan_build *build = &compile->build;
    struct hz_plan_expr expr = {.kind = HZ_EXPR_NATIVE,
            .first_op = build->ops.count,
            .op_count = code->count,
            .max_stack = code->max_stack,
            .text = source};

    for (uint32_t i = 0; i < code->count; i++) {
        const struct hz_expr_step *step = &code->steps[i];
        struct hz_plan_op op = {.op = step->op, .len = step->len};

        if (step->op == HZ_OP_NUMBER)
            op.number = step->number;
        else if (step->op == HZ_OP_MEMBER || step->op == HZ_OP_MEMBER_OPT || step->op == HZ_OP_TEXT)
            op.a = hz_plan_build_text(build, code->texts + step->a, step->len).offset;
        else
            op.a = step->a;
        hz_plan_build_add(build, &build->ops, &op);
    }
    return hz_plan_build_add(build, &build->exprs, &expr);
}

struct refs {
    struct hz_compile *compile;
    uint32_t first, shared; /* shared: a name that several nodes have, plus 1 */
};

static void add_ref(struct refs *refs, uint32_t node)
{
    struct hz_plan_table *table = &refs->compile->build.refs;

    for (uint32_t i = refs->first; i < table->count; i++)
        if (((const uint32_t *)table->data)[i] == node)
            return;
    hz_plan_build_add(&refs->compile->build, table, &node);
}

/* Called for each identifier of a script: nodes called so are bound when it runs, the last one in the file last. */
static void note_name(void *arg, const char *name, size_t len)
{
    struct refs *refs = arg;
    const json_t *index = json_object_getn(refs->compile->names, name, len);
    uint32_t node;

    if (!index || hz_expr_reserved(name, len) || (len == 5 && memcmp(name, "input", 5) == 0) ||
            (len == 3 && memcmp(name, "env", 3) == 0))
        return;
    node = (uint32_t)json_integer_value(index);
    if (refs->compile->same_name[node] != HZ_MODEL_NONE)
        refs->shared = node + 1;
    for (; node != HZ_MODEL_NONE; node = refs->compile->same_name[node])
        add_ref(refs, node);
}

static void find_broken(struct hz_compile *compile, const char *text, size_t len, const char *reason, size_t at)
{
    char quoted[HZ_REPORT_QUOTE];

    hz_compile_find(compile, hz_compile_severity(compile), "a JavaScript expression",
            "the expression `%s` is broken: %s, at character %zu", hz_report_quote(text, len, quoted), reason, at + 1);
}

static uint32_t add_script(
        struct hz_compile *compile, const char *text, size_t len, struct hz_plan_text source, bool broken)
{
    struct refs refs = {.compile = compile, .first = compile->build.refs.count};
    struct hz_plan_expr expr = {.kind = HZ_EXPR_SCRIPT, .text = source, .first_ref = refs.first};
    size_t at = 0;
    const char *reason = hz_expr_scan(text, len, note_name, &refs, &at);

    if (reason && !broken)
        find_broken(compile, text, len, reason, at);
    if (refs.shared != 0)
        hz_compile_find(compile, HZ_FLOW_WARNING, "a name of its own for each node an expression speaks of",
                "several nodes are called `%s`: the last one in the file that has run is meant",
                compile->flow->nodes[refs.shared - 1].name);
    expr.ref_count = compile->build.refs.count - refs.first;
    compile->build.head.needs_script = 1;
    return hz_plan_build_add(&compile->build, &compile->build.exprs, &expr);
}

static bool blank_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r')
            return false;
    return true;
}

/* whole: the text of a value that is one expression without braces. */
static uint32_t add_expr(struct hz_compile *compile, const char *text, size_t len, bool whole)
{
    struct hz_plan_text source = hz_plan_build_text(&compile->build, text, len);
    struct hz_expr_code code;
    enum hz_expr_verdict verdict;
    const char *reason = NULL;
    size_t at = 0;
    uint32_t expr = 0;

    compile->expressions++;
    if (whole && blank_text(text, len)) {
        /* an empty condition is what the canvas stores for a new one: it counts as not true */
        hz_compile_find(
                compile, HZ_FLOW_WARNING, "a JavaScript expression", "an expression that is empty always fails");
        return add_script(compile, text, len, source, true);
    }
    if (len > HZ_FLOW_MAX_EXPR)
        hz_compile_find(compile, HZ_FLOW_ERROR, "at most 64 KiB", "an expression has %zu bytes", len);
    verdict = hz_expr_parse(text, len, resolve, compile, &code, &reason, &at);
    if (verdict == HZ_EXPR_IS_BROKEN)
        find_broken(compile, text, len, reason, at);
    if (code.unknown_from != code.unknown_to)
        hz_compile_find(compile, HZ_FLOW_WARNING, "`input`, `env` or the name of a node", "nothing is called `%.*s`",
                (int)HZ_MIN(code.unknown_to - code.unknown_from, 60u), text + code.unknown_from);
    if (verdict == HZ_EXPR_NO_MEMORY)
        compile->build.failed = HZ_ENOMEM;
    else if (verdict == HZ_EXPR_IS_NATIVE)
        expr = add_native(compile, &code, source);
    else
        expr = add_script(compile, text, len, source, verdict == HZ_EXPR_IS_BROKEN);
    hz_expr_code_fini(&code);
    return expr;
}

/* ---- one string ---- */

/* Follows JSON string literals through a piece of text. */
static void follow(const char *text, size_t len, bool *in_string, bool *escaped)
{
    for (size_t i = 0; i < len; i++) {
        if (*escaped)
            *escaped = false;
        else if (*in_string && text[i] == '\\')
            *escaped = true;
        else if (text[i] == '"')
            *in_string = !*in_string;
    }
}

/* The text with every expression replaced by a token of its place: does it parse? */
static bool is_json_skeleton(struct hz_compile *compile, const char *text, size_t len)
{
    char *skeleton = malloc(len + 1);
    struct hz_json_text_error error;
    size_t from, to, at = 0, out = 0;
    bool in_string = false, escaped = false;
    json_t *value;

    if (!skeleton) {
        compile->build.failed = HZ_ENOMEM;
        return false;
    }
    while (hz_template_find(text, len, at, &from, &to)) {
        follow(text + at, from - 2 - at, &in_string, &escaped);
        memcpy(skeleton + out, text + at, from - 2 - at);
        out += from - 2 - at;
        skeleton[out++] = in_string ? 'x' : '0';
        at = to + 2;
    }
    memcpy(skeleton + out, text + at, len - at);
    out += len - at;
    value = hz_json_text_parse(skeleton, out, HZ_FLOW_MAX_DEPTH, false, &error);
    free(skeleton);
    json_decref(value);
    return value != NULL;
}

/* Text of a json editor between braces or brackets: JSON even if an expression brings whole members along. */
static bool looks_like_json(const char *text, size_t len)
{
    size_t first = 0, last = len;

    while (first < len && strchr(" \t\r\n", text[first]))
        first++;
    while (last > first && strchr(" \t\r\n", text[last - 1]))
        last--;
    return last - first >= 2 && ((text[first] == '{' && text[last - 1] == '}' && text[first + 1] != '{') ||
                                        (text[first] == '[' && text[last - 1] == ']'));
}

static void add_part(struct hz_compile *compile, struct hz_plan_text text, uint32_t expr, bool in_string)
{
    struct hz_plan_part part = {.text = text, .expr = expr, .in_string = in_string};

    hz_plan_build_add(&compile->build, &compile->build.parts, &part);
}

/* The parts of a text; expressions have been compiled already, in order, from `first_expr`. */
static uint32_t add_template(
        struct hz_compile *compile, const char *text, size_t len, unsigned rules, uint32_t first_expr)
{
    struct hz_plan_build *build = &compile->build;
    struct hz_plan_tree tree = {
            .kind = HZ_TREE_TEMPLATE, .a = build->parts.count, .flags = rules & HZ_TEMPLATE_VALUE ? HZ_TPL_VALUE : 0};
    bool in_string = false, escaped = false, json;
    size_t from, to, at = 0;

    if (hz_template_find(text, len, 0, &from, &to) && from == 2 && to + 2 == len) {
        add_part(compile, hz_plan_build_text(build, text + from, to - from), first_expr, false);
        tree.flags |= HZ_TPL_WHOLE;
        tree.b = 1;
        return hz_plan_build_add(build, &build->trees, &tree);
    }
    json = is_json_skeleton(compile, text, len) || ((rules & HZ_TEMPLATE_CODE) && looks_like_json(text, len));
    if (json)
        tree.flags |= HZ_TPL_JSON;
    while (hz_template_find(text, len, at, &from, &to)) {
        if (from - 2 > at)
            add_part(compile, hz_plan_build_text(build, text + at, from - 2 - at), UINT32_MAX, false);
        follow(text + at, from - 2 - at, &in_string, &escaped);
        add_part(compile, hz_plan_build_text(build, text + from, to - from), first_expr++, json && in_string);
        at = to + 2;
    }
    if (at < len)
        add_part(compile, hz_plan_build_text(build, text + at, len - at), UINT32_MAX, false);
    tree.b = build->parts.count - tree.a;
    return hz_plan_build_add(build, &build->trees, &tree);
}

static uint32_t add_const(struct hz_compile *compile, const char *json, size_t len)
{
    struct hz_plan_text text = hz_plan_build_text(&compile->build, json, len);
    struct hz_plan_tree tree = {.kind = HZ_TREE_CONST, .a = text.offset, .b = text.len};

    return hz_plan_build_add(&compile->build, &compile->build.trees, &tree);
}

static uint32_t add_const_value(struct hz_compile *compile, const json_t *value)
{
    size_t len = 0;
    char *text = hz_json_text_print(value, 0, &len);
    uint32_t tree;

    if (!text) {
        compile->build.failed = HZ_ENOMEM;
        return 0;
    }
    tree = add_const(compile, text, len);
    free(text);
    return tree;
}

/* A string: HZ_MODEL_NONE if it is a constant as it stands. */
static uint32_t string_tree(struct hz_compile *compile, const char *text, size_t len, unsigned rules)
{
    struct hz_json_text_error error;
    size_t from, to, at = 0;
    uint32_t first_expr = compile->build.exprs.count;
    json_t *parsed;

    if (len > HZ_FLOW_MAX_STRING) {
        hz_compile_find(compile, HZ_FLOW_ERROR, "at most 4 MiB", "the text has %zu bytes", len);
        return HZ_MODEL_NONE;
    }
    if (!(rules & HZ_TEMPLATE_SKIP)) {
        if ((rules & HZ_TEMPLATE_ALL) && !hz_template_find(text, len, 0, &from, &to)) {
            struct hz_plan_tree tree = {.kind = HZ_TREE_TEMPLATE, .flags = HZ_TPL_WHOLE | HZ_TPL_VALUE, .b = 1};
            uint32_t expr = add_expr(compile, text, len, true);

            tree.a = compile->build.parts.count;
            add_part(compile, hz_plan_build_text(&compile->build, text, len), expr, false);
            return hz_plan_build_add(&compile->build, &compile->build.trees, &tree);
        }
        while (hz_template_find(text, len, at, &from, &to)) {
            add_expr(compile, text + from, to - from, false);
            at = to + 2;
        }
        if (at > 0)
            return add_template(compile, text, len, rules, first_expr);
    }
    if ((rules & HZ_TEMPLATE_CODE) && len > 0 && text[0] != '\xef') { /* no byte order mark: JSON.parse() refuses it */
        parsed = hz_json_text_parse(text, len, HZ_FLOW_MAX_DEPTH, false, &error);
        if (parsed) {
            json_decref(parsed);
            return add_const(compile, text, len);
        }
    }
    return HZ_MODEL_NONE;
}

/* ---- arrays and objects ---- */
static uint32_t walk(struct hz_compile *compile, const json_t *value, unsigned rules);

/* Turns collected children into a tree; children without one become constants. HZ_MODEL_NONE if all are. */
static uint32_t add_container(struct hz_compile *compile, enum hz_tree_kind kind, struct hz_plan_member *members,
        const json_t **values, uint32_t count)
{
    struct hz_plan_build *build = &compile->build;
    struct hz_plan_tree tree = {.kind = kind};
    bool constant = true;

    for (uint32_t i = 0; i < count; i++)
        if (members[i].tree != HZ_MODEL_NONE)
            constant = false;
    if (constant)
        return HZ_MODEL_NONE;
    for (uint32_t i = 0; i < count; i++)
        if (members[i].tree == HZ_MODEL_NONE)
            members[i].tree = add_const_value(compile, values[i]);
    tree.a = build->members.count;
    tree.b = count;
    for (uint32_t i = 0; i < count; i++)
        hz_plan_build_add(build, &build->members, &members[i]);
    return hz_plan_build_add(build, &build->trees, &tree);
}

static uint32_t walk_array(struct hz_compile *compile, const json_t *array, struct hz_plan_member *members,
        const json_t **values, unsigned rules)
{
    uint32_t count = (uint32_t)json_array_size(array);
    struct hz_plan_text empty = hz_plan_build_text(&compile->build, "", 0);

    for (uint32_t i = 0; i < count; i++) {
        size_t back = hz_compile_enter(compile, NULL, i);

        values[i] = json_array_get(array, i);
        members[i].key = empty;
        members[i].tree = walk(compile, values[i], rules & HZ_TEMPLATE_SKIP);
        hz_compile_leave(compile, back);
    }
    return add_container(compile, HZ_TREE_ARRAY, members, values, count);
}

/* Rules for one member of an object: only `value` is parsed or is a whole expression; a list's template is left alone.
 */
static unsigned member_rules(const json_t *object, const char *key, unsigned rules)
{
    if (strcmp(key, "value") == 0)
        return rules & (HZ_TEMPLATE_SKIP | HZ_TEMPLATE_ALL | HZ_TEMPLATE_VALUE | HZ_TEMPLATE_CODE);
    if (strcmp(key, "object") == 0 && string_is(object, "type", "list"))
        return HZ_TEMPLATE_SKIP;
    return rules & HZ_TEMPLATE_SKIP;
}

static uint32_t walk_object(struct hz_compile *compile, const json_t *value, struct hz_plan_member *members,
        const json_t **values, unsigned rules)
{
    json_t *object = hz_model_json(value);
    uint32_t count = 0;

    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        size_t back = hz_compile_enter(compile, key, 0);

        values[count] = json_object_iter_value(at);
        members[count].key = hz_plan_build_text(&compile->build, key, json_object_iter_key_len(at));
        members[count].tree = walk(compile, values[count], member_rules(value, key, rules));
        hz_compile_leave(compile, back);
        count++;
    }
    return add_container(compile, HZ_TREE_OBJECT, members, values, count);
}

/* Tree of a value, HZ_MODEL_NONE if it is a constant as it stands. Recursion is bounded by the file's nesting. */
static uint32_t walk(struct hz_compile *compile, const json_t *value, unsigned rules)
{
    size_t count = json_is_array(value) ? json_array_size(value) : json_object_size(value);
    struct hz_plan_member *members;
    const json_t **values;
    uint32_t tree = HZ_MODEL_NONE;

    if (json_is_string(value))
        return string_tree(compile, json_string_value(value), json_string_length(value), rules);
    if (count == 0)
        return HZ_MODEL_NONE;
    if (json_is_object(value)) {
        unsigned own = hz_template_rules(value, NULL);

        if (string_is(value, "type", "options"))
            own |= HZ_TEMPLATE_SKIP;
        rules = own | (rules & HZ_TEMPLATE_SKIP);
    }
    members = calloc(count, sizeof(*members));
    values = calloc(count, sizeof(void *));
    if (!members || !values)
        compile->build.failed = HZ_ENOMEM;
    else if (json_is_array(value))
        tree = walk_array(compile, value, members, values, rules);
    else
        tree = walk_object(compile, value, members, values, rules);
    free(members);
    free(values);
    return tree;
}

uint32_t hz_template_tree(struct hz_compile *compile, const json_t *value, unsigned rules)
{
    uint32_t tree = walk(compile, value, rules);

    return tree == HZ_MODEL_NONE ? add_const_value(compile, value) : tree;
}
