/*
 * expr_skeleton.c - values from JSON text with expressions without printing and parsing that text in every run.
 * Measured on `{"n": {{input.data.n + 1}}, "clase": "{{input.data.clase}}"}`: see core/flow/DESIGN.md. Worker process;
 * made once per program, read by any thread.
 */
#include "expr_program.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A hole's mark inside the text: NUL, 'H', eight digits, NUL. Text that has an escaped NUL of its own gets no skeleton.
 */
#define MARK_LEN      11u
#define MARK_JSON_LEN 21u
/* Deeper values go the way of text, which refuses what is deeper than values may be; a loop that wraps its message in
 * every turn so ends where it would end with text. */
#define EMBED_DEPTH (HZ_VALUE_DEPTH - 128)

static bool mark_at(const char *text, size_t len, size_t at, uint32_t *ret_hole)
{
    char digits[9];

    if (len - at < MARK_LEN || text[at] != '\0' || text[at + 1] != 'H' || text[at + MARK_LEN - 1] != '\0')
        return false;
    memcpy(digits, text + at + 2, 8);
    digits[8] = '\0';
    *ret_hole = (uint32_t)strtoul(digits, NULL, 10);
    return true;
}

struct making {
    uint32_t parts;
    uint8_t *used; /* per part: holes found so far */
    bool failed;
};

static bool is_hole(struct making *making, const char *text, size_t len, size_t at, uint32_t *ret_hole)
{
    if (!mark_at(text, len, at, ret_hole) || *ret_hole >= making->parts)
        return false;
    making->used[*ret_hole]++;
    return true;
}

static void make_const_text(struct making *making, struct hz_skeleton *to, const char *text, size_t len)
{
    to->kind = HZ_SKELETON_CONST;
    to->value = hz_value_string(text, len);
    if (!to->value)
        making->failed = true;
}

/* A string: constant, one hole that is the whole string, or pieces. */
static void make_text(struct making *making, struct hz_skeleton *to, const hz_value *value)
{
    hz_str text = hz_value_str(value);
    uint32_t marks = 0, hole;
    size_t from = 0;

    for (size_t i = 0; i < text.len; i++)
        marks += mark_at(text.data, text.len, i, &hole);
    if (marks == 0) {
        to->kind = HZ_SKELETON_CONST;
        to->value = hz_value_ref(value);
        return;
    }
    to->kind = HZ_SKELETON_TEXT;
    to->children = calloc(marks * 2u + 1u, sizeof(*to->children));
    if (!to->children) {
        making->failed = true;
        return;
    }
    for (size_t i = 0; i < text.len;) {
        if (!is_hole(making, text.data, text.len, i, &hole)) {
            i++;
            continue;
        }
        if (i > from)
            make_const_text(making, &to->children[to->count++], text.data + from, i - from);
        to->children[to->count].kind = HZ_SKELETON_HOLE;
        to->children[to->count++].hole = hole;
        i += MARK_LEN;
        from = i;
    }
    if (from < text.len)
        make_const_text(making, &to->children[to->count++], text.data + from, text.len - from);
}

static void make(struct making *making, struct hz_skeleton *to, const hz_value *value);

static void make_container(struct making *making, struct hz_skeleton *to, const hz_value *value, bool object)
{
    size_t count = hz_value_length(value);
    void *cursor = NULL;
    hz_str key;
    const hz_value *child;

    to->kind = object ? HZ_SKELETON_OBJECT : HZ_SKELETON_ARRAY;
    to->children = calloc(count + 1, sizeof(*to->children));
    if (!to->children) {
        making->failed = true;
        return;
    }
    if (!object)
        for (size_t i = 0; i < count; i++)
            make(making, &to->children[to->count++], hz_value_at(value, i));
    while (object && to->count < count && hz_value_next(value, &cursor, &key, &child)) {
        struct hz_skeleton *member = &to->children[to->count++];

        member->key = malloc(key.len + 1);
        if (!member->key || memchr(key.data, '\0', key.len)) {
            making->failed = true;
            break;
        }
        memcpy(member->key, key.data, key.len);
        member->key[key.len] = '\0';
        member->key_len = key.len;
        make(making, member, child);
    }
    hz_value_next_stop(&cursor);
}

static bool all_const(const struct hz_skeleton *skeleton)
{
    for (uint32_t i = 0; i < skeleton->count; i++)
        if (skeleton->children[i].kind != HZ_SKELETON_CONST)
            return false;
    return true;
}

static void skeleton_fini(struct hz_skeleton *skeleton)
{
    for (uint32_t i = 0; i < skeleton->count; i++)
        skeleton_fini(&skeleton->children[i]);
    free(skeleton->children);
    free(skeleton->key);
    hz_value_thaw(skeleton->value);
    hz_value_unref(skeleton->value);
}

/* Recursion is bounded by the nesting the compiler let in. */
static void make(struct making *making, struct hz_skeleton *to, const hz_value *value)
{
    enum hz_type type = hz_value_type(value);

    if (type == HZ_STRING) {
        make_text(making, to, value);
        return;
    }
    if (type == HZ_OBJECT || type == HZ_ARRAY)
        make_container(making, to, value, type == HZ_OBJECT);
    if ((type == HZ_OBJECT || type == HZ_ARRAY) && !all_const(to))
        return;
    /* nothing to fill in below: one constant, shared by all runs */
    for (uint32_t i = 0; i < to->count; i++)
        skeleton_fini(&to->children[i]);
    free(to->children);
    to->children = NULL;
    to->count = 0;
    to->kind = HZ_SKELETON_CONST;
    to->value = hz_value_ref(value);
}

void hz_skeleton_free(struct hz_skeleton *skeleton)
{
    if (!skeleton)
        return;
    skeleton_fini(skeleton);
    free(skeleton);
}

/* The text with a mark for every expression: outside of strings the mark becomes a string of its own. */
static void marked_text(const struct hz_plan *plan, const struct hz_plan_tree *tree, struct hz_buffer *text)
{
    for (uint32_t i = 0; i < tree->b; i++) {
        const struct hz_plan_part *part = hz_plan_part(plan, tree->a + i);
        char mark[MARK_JSON_LEN + 3];

        if (part->expr == UINT32_MAX) {
            hz_buffer_add(text, hz_plan_chars(plan, part->text), part->text.len);
            continue;
        }
        snprintf(mark, sizeof(mark), "\"\\u0000H%08u\\u0000\"", i % 100000000u);
        hz_buffer_add(text, part->in_string ? mark + 1 : mark, strlen(mark) - (part->in_string ? 2 : 0));
    }
}

/* Constants whose text ends in the middle of a number or a word could swallow a hole; they parse no more with a mark.
 */
static bool foreign_nul(const struct hz_plan *plan, const struct hz_plan_tree *tree)
{
    for (uint32_t i = 0; i < tree->b; i++) {
        const struct hz_plan_part *part = hz_plan_part(plan, tree->a + i);

        if (part->expr == UINT32_MAX && (memmem(hz_plan_chars(plan, part->text), part->text.len, "\\u0000", 6) ||
                                                memchr(hz_plan_chars(plan, part->text), '\0', part->text.len)))
            return true;
    }
    return false;
}

/* Holes that are whole values were marked by a string of their own: turn those texts of one hole into plain holes. */
static void unwrap(const struct hz_plan *plan, const struct hz_plan_tree *tree, struct hz_skeleton *skeleton)
{
    for (uint32_t i = 0; i < skeleton->count; i++)
        unwrap(plan, tree, &skeleton->children[i]);
    if (skeleton->kind == HZ_SKELETON_TEXT && skeleton->count == 1 &&
            !hz_plan_part(plan, tree->a + skeleton->children[0].hole)->in_string) {
        skeleton->kind = HZ_SKELETON_HOLE;
        skeleton->hole = skeleton->children[0].hole;
        free(skeleton->children);
        skeleton->children = NULL;
        skeleton->count = 0;
    }
}

static void freeze_constants(struct hz_skeleton *skeleton)
{
    hz_value_freeze(skeleton->value);
    for (uint32_t i = 0; i < skeleton->count; i++)
        freeze_constants(&skeleton->children[i]);
}

struct hz_skeleton *hz_skeleton_new(const struct hz_plan *plan, const struct hz_plan_tree *tree)
{
    struct making making = {.parts = tree->b, .used = calloc(tree->b + 1u, 1)};
    struct hz_skeleton *skeleton = calloc(1, sizeof(*skeleton));
    struct hz_buffer text = {0};
    const char *error;
    hz_value *value = NULL;

    making.failed = !making.used || !skeleton || foreign_nul(plan, tree);
    if (!making.failed) {
        marked_text(plan, tree, &text);
        value = text.failed ? NULL : hz_value_parse(text.data, text.len, &error);
    }
    if (value)
        make(&making, skeleton, value);
    else
        making.failed = true;
    /* each hole exactly once: none in a key, none swallowed by an escape, none dropped with a key that comes twice */
    for (uint32_t i = 0; !making.failed && i < tree->b; i++)
        if (making.used[i] != (hz_plan_part(plan, tree->a + i)->expr != UINT32_MAX))
            making.failed = true;
    hz_value_unref(value);
    hz_buffer_fini(&text);
    free(making.used);
    if (!making.failed) {
        unwrap(plan, tree, skeleton);
        freeze_constants(skeleton);
        return skeleton;
    }
    hz_skeleton_free(skeleton);
    return NULL;
}

/* ---- building ---- */

/* Does the value survive printing and parsing unchanged? Numbers have to be finite (NaN prints as null) and not -0, the
 * nesting has to stay away from its bound. */
static bool survives(const hz_value *value, unsigned depth)
{
    enum hz_type type = hz_value_type(value);

    if (type == HZ_NUMBER) {
        double v = hz_value_num(value);

        return isfinite(v) && !(v == 0 && signbit(v));
    }
    if (type == HZ_ARRAY) {
        size_t length = hz_value_length(value);

        for (size_t i = 0; i < length; i++)
            if (depth == 0 || !survives(hz_value_at(value, i), depth - 1))
                return false;
    } else if (type == HZ_OBJECT) {
        void *cursor = NULL;
        hz_str key;
        const hz_value *child;

        while (hz_value_next(value, &cursor, &key, &child))
            if (depth == 0 || !survives(child, depth - 1)) {
                hz_value_next_stop(&cursor);
                return false;
            }
    }
    return true;
}

/* A hole outside of strings: what its text would parse to. NULL: the text path has to decide. */
static const hz_value *build_hole(struct hz_vm *vm, const struct hz_cell *cell)
{
    const hz_value *value;

    switch (cell->kind) {
    case HZ_CELL_NULL:
        return hz_value_null();
    case HZ_CELL_BOOL:
        return hz_value_bool(cell->number != 0);
    case HZ_CELL_NUMBER:
        if (!isfinite(cell->number))
            return NULL;
        return cell->value && cell->number != 0 ? hz_value_ref(cell->value) : hz_value_number(cell->number + 0.0);
    case HZ_CELL_VALUE:
    case HZ_CELL_INPUT:
    case HZ_CELL_NODE:
        value = hz_cell_value(vm, cell);
        if (value && survives(value, EMBED_DEPTH))
            return value;
        hz_value_unref(value);
        return NULL;
    case HZ_CELL_UNDEFINED:
    case HZ_CELL_TEXT:
        break;
    }
    return NULL;
}

/* Text with holes; one hole that is a text already costs a reference. */
static const hz_value *build_text(struct hz_vm *vm, const struct hz_skeleton *skeleton, const struct hz_cell *cells)
{
    struct hz_buffer text = {0};
    const hz_value *value = NULL;

    if (skeleton->count == 1) {
        const struct hz_cell *cell = &cells[skeleton->children[0].hole];

        if (cell->kind == HZ_CELL_TEXT)
            return hz_cell_value(vm, cell);
    }
    for (uint32_t i = 0; i < skeleton->count; i++) {
        const struct hz_skeleton *piece = &skeleton->children[i];

        if (piece->kind == HZ_SKELETON_HOLE)
            hz_cell_print(vm, &cells[piece->hole], &text);
        else
            hz_buffer_add(&text, hz_value_str(piece->value).data, hz_value_str(piece->value).len);
    }
    if (!text.failed)
        value = hz_value_string(text.len > 0 ? text.data : "", text.len);
    hz_buffer_fini(&text);
    return value;
}

const hz_value *hz_skeleton_build(struct hz_vm *vm, const struct hz_skeleton *skeleton, const struct hz_cell *cells)
{
    bool object = skeleton->kind == HZ_SKELETON_OBJECT;
    hz_value *made;

    switch (skeleton->kind) {
    case HZ_SKELETON_CONST:
        return hz_value_ref(skeleton->value);
    case HZ_SKELETON_HOLE:
        return build_hole(vm, &cells[skeleton->hole]);
    case HZ_SKELETON_TEXT:
        return build_text(vm, skeleton, cells);
    case HZ_SKELETON_OBJECT:
    case HZ_SKELETON_ARRAY:
        break;
    }
    made = object ? hz_value_object() : hz_value_array();
    for (uint32_t i = 0; made && i < skeleton->count; i++) {
        const struct hz_skeleton *child = &skeleton->children[i];
        const hz_value *value = hz_skeleton_build(vm, child, cells);
        int code = value ? object ? hz_value_set(made, child->key, child->key_len, value) : hz_value_push(made, value)
                         : -1;

        hz_value_unref(value);
        if (code != 0) {
            hz_value_unref(made);
            made = NULL;
        }
    }
    return made;
}
