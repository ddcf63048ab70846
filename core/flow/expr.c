/*
 * expr.c - the native expression parser: plain JavaScript expressions to postfix code. What it does not know is not an
 * error but JavaScript's business (HZ_EXPR_IS_SCRIPT); only what no parser could accept is refused here.
 * Manager, `horizon check`, and the worker when it words an error. No state.
 */
#include "expr.h"
#include "limits.h"
#include "plan_op.h"
#include <stdlib.h>
#include <string.h>

struct parser {
    const char *text;
    size_t len, at;
    struct hz_expr_code *code;
    hz_expr_resolve_fn *resolve;
    void *arg;
    enum hz_expr_verdict verdict; /* HZ_EXPR_IS_NATIVE while all goes well */
    const char *reason;
    unsigned nesting;
};

static bool ternary(struct parser *p);

static bool script(struct parser *p)
{
    if (p->verdict == HZ_EXPR_IS_NATIVE)
        p->verdict = HZ_EXPR_IS_SCRIPT;
    return false;
}

static bool broken(struct parser *p, const char *reason)
{
    if (p->verdict == HZ_EXPR_IS_NATIVE) {
        p->verdict = HZ_EXPR_IS_BROKEN;
        p->reason = reason;
    }
    return false;
}

static bool no_memory(struct parser *p)
{
    p->verdict = HZ_EXPR_NO_MEMORY;
    return false;
}

static char peek(const struct parser *p, size_t ahead)
{
    return p->at + ahead < p->len ? p->text[p->at + ahead] : '\0';
}

static bool looking_at(const struct parser *p, const char *token)
{
    size_t n = strlen(token);

    return p->len - p->at >= n && memcmp(p->text + p->at, token, n) == 0;
}

static void blanks(struct parser *p)
{
    while (p->at < p->len) {
        if (strchr(" \t\n\v\f\r", p->text[p->at]) && p->text[p->at] != '\0')
            p->at++;
        else if (looking_at(p, "\xc2\xa0")) /* no-break space */
            p->at += 2;
        else
            break;
    }
}

/* Appends an operation; the result is valid until the next one. */
static struct hz_expr_step *emit(struct parser *p, enum hz_expr_op op, size_t from)
{
    struct hz_expr_code *code = p->code;
    const struct hz_plan_op_info *info = hz_plan_op_info(op);
    struct hz_expr_step *step;

    if (code->count == code->capacity) {
        uint32_t capacity = code->capacity ? code->capacity * 2 : 16;
        struct hz_expr_step *grown = realloc(code->steps, capacity * sizeof(*grown));

        if (!grown) {
            no_memory(p);
            return NULL;
        }
        code->steps = grown;
        code->capacity = capacity;
    }
    step = &code->steps[code->count];
    *step = (struct hz_expr_step){.op = op, .from = (uint32_t)from, .to = (uint32_t)p->at};
    code->depth = code->depth - info->takes + info->leaves;
    code->max_stack = HZ_MAX(code->max_stack, code->depth);
    if (++code->count > HZ_FLOW_MAX_EXPR_OPS || code->depth > HZ_FLOW_MAX_EXPR_STACK) {
        script(p);
        return NULL;
    }
    return step;
}

static bool emit_text(struct parser *p, enum hz_expr_op op, size_t from, const char *text, size_t len)
{
    struct hz_expr_code *code = p->code;
    struct hz_expr_step *step;

    if (code->texts_capacity - code->texts_len < len + 1) {
        size_t capacity = (code->texts_capacity + len + 1) * 2;
        char *grown = realloc(code->texts, capacity);

        if (!grown)
            return no_memory(p);
        code->texts = grown;
        code->texts_capacity = capacity;
    }
    step = emit(p, op, from);
    if (!step)
        return false;
    step->a = (uint32_t)code->texts_len;
    step->len = (uint32_t)len;
    memcpy(code->texts + code->texts_len, text, len);
    code->texts_len += len;
    code->texts[code->texts_len++] = '\0';
    return true;
}

static bool emit_jump(struct parser *p, enum hz_expr_op op, uint32_t *ret_step)
{
    *ret_step = p->code->count;
    return emit(p, op, p->at) != NULL;
}

static void land(struct parser *p, uint32_t step)
{
    p->code->steps[step].a = p->code->count;
}

static bool number(struct parser *p, size_t from)
{
    char copy[64];
    char *end;
    size_t at = p->at, n;
    bool digits = false;
    struct hz_expr_step *step;

    if (peek(p, 0) == '0' && peek(p, 1) != '.' && peek(p, 1) != '\0' && strchr("0123456789xXoObB_n", peek(p, 1)))
        return script(p);
    while (at < p->len && p->text[at] >= '0' && p->text[at] <= '9')
        at++, digits = true;
    if (at < p->len && p->text[at] == '.') {
        at++;
        while (at < p->len && p->text[at] >= '0' && p->text[at] <= '9')
            at++, digits = true;
    }
    if (!digits)
        return script(p);
    if (at < p->len && (p->text[at] | 32) == 'e') {
        size_t mark = at + 1;

        if (mark < p->len && (p->text[mark] == '+' || p->text[mark] == '-'))
            mark++;
        if (mark == p->len || p->text[mark] < '0' || p->text[mark] > '9')
            return script(p);
        while (mark < p->len && p->text[mark] >= '0' && p->text[mark] <= '9')
            mark++;
        at = mark;
    }
    n = at - p->at;
    if (n >= sizeof(copy) || (at < p->len && (p->text[at] == '\\' || p->text[at] == '_' || p->text[at] == '.')) ||
            hz_expr_identifier(p->text + at, p->len - at) > 0)
        return script(p);
    memcpy(copy, p->text + p->at, n);
    copy[n] = '\0';
    p->at = at;
    step = emit(p, HZ_OP_NUMBER, from);
    if (!step)
        return false;
    step->number = strtod(copy, &end);
    return true;
}

static int hex(const struct parser *p, size_t at, unsigned digits)
{
    int value = 0;

    if (p->len - at < digits)
        return -1;
    for (unsigned i = 0; i < digits; i++) {
        int c = (unsigned char)p->text[at + i];

        if (c >= '0' && c <= '9')
            value = value * 16 + c - '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            value = value * 16 + (c | 32) - 'a' + 10;
        else
            return -1;
    }
    return value;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* Behind a backslash: appends what the escape stands for. False: leave it to JavaScript (octal, lone surrogates,
 * errors). */
static bool escape(struct parser *p, char *out, size_t *len)
{
    static const char named[] = "n\nt\tr\rb\bf\fv\v";
    char c = peek(p, 0);
    const char *mark;
    int unit;

    if (c == '\0' || c == '\n' || c == '\r' || (c >= '1' && c <= '9') || (unsigned char)c >= 0x80)
        return false;
    if (c == '0') {
        if (peek(p, 1) >= '0' && peek(p, 1) <= '9')
            return false;
        out[(*len)++] = '\0';
        p->at++;
        return true;
    }
    if (c == 'x') {
        unit = hex(p, p->at + 1, 2);
        if (unit < 0)
            return false;
        *len += put_utf8(out + *len, (uint32_t)unit);
        p->at += 3;
        return true;
    }
    if (c == 'u') {
        unit = hex(p, p->at + 1, 4);
        if (unit < 0)
            return false; /* \u{...} too */
        p->at += 5;
        if (unit >= 0xd800 && unit <= 0xdfff) {
            int low = looking_at(p, "\\u") ? hex(p, p->at + 2, 4) : -1;

            if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff)
                return false;
            p->at += 6;
            unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        }
        *len += put_utf8(out + *len, (uint32_t)unit);
        return true;
    }
    mark = NULL;
    for (size_t i = 0; i + 1 < sizeof(named); i += 2)
        if (named[i] == c)
            mark = &named[i + 1];
    out[(*len)++] = mark ? *mark : c;
    p->at++;
    return true;
}

/* A string literal, decoded into *ret_text (malloc'ed). */
static bool string_literal(struct parser *p, char **ret_text, size_t *ret_len)
{
    char quote = p->text[p->at++];
    char *out = malloc(p->len - p->at + 1); /* no escape is shorter than what it stands for */
    size_t len = 0;

    if (!out)
        return no_memory(p);
    while (p->at < p->len && p->text[p->at] != quote) {
        char c = p->text[p->at];

        if (c == '\n' || c == '\r') {
            free(out);
            return broken(p, "a line break inside a string");
        }
        p->at++;
        if (c != '\\') {
            out[len++] = c;
        } else if (!escape(p, out, &len)) {
            free(out);
            return script(p);
        }
    }
    if (p->at == p->len) {
        free(out);
        return broken(p, "a string without its closing quote");
    }
    p->at++;
    *ret_text = out;
    *ret_len = len;
    return true;
}

static bool is_word(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(text, word, len) == 0;
}

/* The helper `_length` with one argument; flows use it so often that it should not cost them a JavaScript engine. */
static bool length_call(struct parser *p, size_t from)
{
    blanks(p);
    if (peek(p, 0) != '(')
        return script(p);
    p->at++;
    if (!ternary(p))
        return false;
    blanks(p);
    if (p->at == p->len)
        return broken(p, "a parenthesis that is never closed");
    if (p->text[p->at] != ')')
        return script(p);
    p->at++;
    return emit(p, HZ_OP_LENGTH, from) != NULL;
}

static bool name(struct parser *p, size_t from, size_t n)
{
    static const struct {
        const char *word;
        enum hz_expr_op op;
    } words[] = {{"input", HZ_OP_INPUT}, {"env", HZ_OP_ENV}, {"true", HZ_OP_TRUE}, {"false", HZ_OP_FALSE},
            {"null", HZ_OP_NULL}, {"undefined", HZ_OP_UNDEFINED}};
    const char *word = p->text + from;
    struct hz_expr_step *step;
    int64_t node;

    p->at = from + n;
    for (size_t i = 0; i < HZ_COUNT_OF(words); i++)
        if (is_word(word, n, words[i].word))
            return emit(p, words[i].op, from) != NULL;
    if (is_word(word, n, "NaN") || is_word(word, n, "Infinity")) {
        step = emit(p, HZ_OP_NUMBER, from);
        if (!step)
            return false;
        step->number = *word == 'N' ? (double)__builtin_nanf("") : (double)__builtin_inff();
        return true;
    }
    if (hz_expr_reserved(word, n))
        return script(p);
    if (is_word(word, n, "_length") && (!p->resolve || p->resolve(p->arg, word, n) < 0))
        return length_call(p, from);
    node = p->resolve ? p->resolve(p->arg, word, n) : 0;
    if (node < HZ_EXPR_UNKNOWN)
        return script(p);
    if (node < 0 && p->code->unknown_from == p->code->unknown_to) {
        p->code->unknown_from = (uint32_t)from;
        p->code->unknown_to = (uint32_t)p->at;
    }
    step = emit(p, HZ_OP_NODE, from);
    if (!step)
        return false;
    step->a = node < 0 ? 0 : (uint32_t)node;
    return true;
}

static bool primary(struct parser *p)
{
    size_t from, n, len;
    char *text;
    bool ok;

    blanks(p);
    from = p->at;
    if (p->at == p->len)
        return broken(p, "the expression ends where a value is expected");
    if (p->text[p->at] == '(') {
        p->at++;
        blanks(p);
        if (peek(p, 0) == ')')
            return script(p); /* perhaps an arrow function without parameters */
        if (!ternary(p))
            return false;
        blanks(p);
        if (p->at == p->len)
            return broken(p, "a parenthesis that is never closed");
        if (p->text[p->at] != ')')
            return script(p);
        p->at++;
        return true;
    }
    if (p->text[p->at] == '"' || p->text[p->at] == '\'') {
        if (!string_literal(p, &text, &len))
            return false;
        ok = emit_text(p, HZ_OP_TEXT, from, text, len);
        free(text);
        return ok;
    }
    if ((p->text[p->at] >= '0' && p->text[p->at] <= '9') || p->text[p->at] == '.')
        return number(p, from);
    n = hz_expr_identifier(p->text + p->at, p->len - p->at);
    return n > 0 ? name(p, from, n) : script(p);
}

/* Does the path go on behind the blanks? `?.5` is a conditional. */
static bool path_goes_on(struct parser *p)
{
    blanks(p);
    if (peek(p, 0) == '?' && peek(p, 1) == '.')
        return !(peek(p, 2) >= '0' && peek(p, 2) <= '9');
    return peek(p, 0) == '.' || peek(p, 0) == '[';
}

static bool member_text(struct parser *p, enum hz_expr_op op, size_t from, const char *text, size_t len)
{
    if (hz_expr_inherited(text, len, HZ_EXPR_OF_OBJECT))
        return script(p);
    return emit_text(p, op, from, text, len);
}

/* `[`...`]`; a constant text is a plain member. */
static bool index_of(struct parser *p, size_t from)
{
    struct hz_expr_code *code = p->code;
    uint32_t before = code->count;

    p->at++;
    if (!ternary(p))
        return false;
    blanks(p);
    if (p->at == p->len)
        return broken(p, "a bracket that is never closed");
    if (p->text[p->at] != ']')
        return script(p);
    p->at++;
    if (code->count == before + 1 && code->steps[before].op == HZ_OP_TEXT) {
        struct hz_expr_step *step = &code->steps[before];

        if (hz_expr_inherited(code->texts + step->a, step->len, HZ_EXPR_OF_OBJECT))
            return script(p);
        step->op = HZ_OP_MEMBER;
        step->from = (uint32_t)from;
        step->to = (uint32_t)p->at;
        code->depth--;
        return true;
    }
    return emit(p, HZ_OP_INDEX, from) != NULL;
}

/* A value and the path behind it. `?.` short-circuits to the end of the path, not beyond parentheses. */
static bool path(struct parser *p)
{
    uint32_t jumps[HZ_FLOW_MAX_EXPR_DEPTH], jump_count = 0;
    size_t from;

    blanks(p);
    from = p->at;
    if (!primary(p))
        return false;
    while (path_goes_on(p)) {
        bool optional = p->text[p->at] == '?', dotted = p->text[p->at] == '.', index;
        size_t n = 0, word = 0;

        p->at += optional ? 2 : dotted ? 1 : 0;
        blanks(p);
        index = peek(p, 0) == '[' && !dotted;
        if (!index) {
            word = p->at;
            n = hz_expr_identifier(p->text + p->at, p->len - p->at);
            if (p->at == p->len)
                return broken(p, "the expression ends where a member's name is expected");
            if (n == 0)
                return script(p);
            p->at += n;
        }
        if (optional) {
            size_t here = p->at;
            bool more = path_goes_on(p);

            p->at = here;
            if (!index && !more) {
                if (!member_text(p, HZ_OP_MEMBER_OPT, from, p->text + word, n))
                    return false;
                continue;
            }
            if (jump_count == HZ_COUNT_OF(jumps))
                return script(p);
            if (!emit_jump(p, HZ_OP_JUMP_NULLISH, &jumps[jump_count++]))
                return false;
        }
        if (index ? !index_of(p, from) : !member_text(p, HZ_OP_MEMBER, from, p->text + word, n))
            return false;
    }
    if (peek(p, 0) == '(' || peek(p, 0) == '`' || looking_at(p, "++") || looking_at(p, "--"))
        return script(p);
    while (jump_count > 0)
        land(p, jumps[--jump_count]);
    return true;
}

static bool unary(struct parser *p)
{
    enum hz_expr_op op;
    size_t from;
    bool ok;
    uint32_t first;

    blanks(p);
    from = p->at;
    if (looking_at(p, "++") || looking_at(p, "--"))
        return script(p);
    if (peek(p, 0) == '!') {
        op = HZ_OP_NOT;
        p->at++;
    } else if (peek(p, 0) == '-') {
        op = HZ_OP_NEGATE;
        p->at++;
    } else if (peek(p, 0) == '+') {
        op = HZ_OP_PLUS;
        p->at++;
    } else if (is_word(p->text + p->at, hz_expr_identifier(p->text + p->at, p->len - p->at), "typeof")) {
        op = HZ_OP_TYPEOF;
        p->at += strlen("typeof");
    } else {
        return path(p);
    }
    if (++p->nesting > HZ_FLOW_MAX_EXPR_DEPTH)
        return script(p);
    first = p->code->count;
    ok = unary(p);
    /* `typeof Name` asks whether a node has run, `typeof (a || Name)` reads it: to the machine they look alike. */
    if (ok && op == HZ_OP_TYPEOF && p->code->count > first + 1 && p->code->steps[p->code->count - 1].op == HZ_OP_NODE)
        return script(p);
    ok = ok && emit(p, op, from) != NULL;
    p->nesting--;
    return ok;
}

struct infix {
    const char *token;
    const char *unless; /* characters that make it another operator when they follow */
    unsigned level;
    enum hz_expr_op op;
};
enum { LEVEL_COALESCE = 1, LEVEL_OR, LEVEL_AND, LEVEL_EQUAL, LEVEL_LESS, LEVEL_ADD, LEVEL_MULTIPLY };

/* Longer tokens first. Assignments, shifts, powers and comments are JavaScript's business: no entry matches them. */
static const struct infix infixes[] = {{"===", "", LEVEL_EQUAL, HZ_OP_SEQ}, {"!==", "", LEVEL_EQUAL, HZ_OP_SNE},
        {"==", "=", LEVEL_EQUAL, HZ_OP_EQ}, {"!=", "=", LEVEL_EQUAL, HZ_OP_NE}, {"<=", "", LEVEL_LESS, HZ_OP_LE},
        {">=", "", LEVEL_LESS, HZ_OP_GE}, {"<", "<=!", LEVEL_LESS, HZ_OP_LT}, {">", ">=", LEVEL_LESS, HZ_OP_GT},
        {"&&", "=", LEVEL_AND, HZ_OP_AND}, {"||", "=", LEVEL_OR, HZ_OP_OR}, {"??", "=", LEVEL_COALESCE, HZ_OP_COALESCE},
        {"+", "+=", LEVEL_ADD, HZ_OP_ADD}, {"-", "-=", LEVEL_ADD, HZ_OP_SUB}, {"*", "*=", LEVEL_MULTIPLY, HZ_OP_MUL},
        {"/", "/*=", LEVEL_MULTIPLY, HZ_OP_DIV}, {"%", "=", LEVEL_MULTIPLY, HZ_OP_MOD}};

static const struct infix *infix_at(struct parser *p)
{
    blanks(p);
    for (size_t i = 0; i < HZ_COUNT_OF(infixes); i++) {
        char next;

        if (!looking_at(p, infixes[i].token))
            continue;
        next = peek(p, strlen(infixes[i].token));
        return next != '\0' && strchr(infixes[i].unless, next) ? NULL : &infixes[i];
    }
    return NULL;
}

/* Operators of `level` and tighter. *ret_logic: which of ?? and || && stood here without parentheses around them. */
static bool binary(struct parser *p, unsigned level, unsigned *ret_logic)
{
    const struct infix *found;
    unsigned logic = 0;

    if (++p->nesting > HZ_FLOW_MAX_EXPR_DEPTH)
        return script(p);
    if (!unary(p))
        return false;
    while ((found = infix_at(p)) != NULL && found->level >= level) {
        bool jumps = found->level <= LEVEL_AND;
        unsigned right = 0;
        uint32_t jump = 0;

        p->at += strlen(found->token);
        if (jumps) {
            logic |= found->level == LEVEL_COALESCE ? 1u : 2u;
            if (!emit_jump(p, found->op, &jump))
                return false;
        }
        if (!binary(p, found->level + 1, &right))
            return false;
        logic |= right;
        if (jumps && logic == 3)
            return script(p); /* `a ?? b || c` is an error that JavaScript words better */
        if (jumps)
            land(p, jump);
        else if (!emit(p, found->op, p->at))
            return false;
    }
    *ret_logic = logic;
    p->nesting--;
    return true;
}

static bool ternary(struct parser *p)
{
    uint32_t otherwise, end;
    unsigned logic;

    if (++p->nesting > HZ_FLOW_MAX_EXPR_DEPTH)
        return script(p);
    if (!binary(p, LEVEL_COALESCE, &logic))
        return false;
    blanks(p);
    if (peek(p, 0) == '?' && peek(p, 1) != '?') {
        p->at++;
        if (!emit_jump(p, HZ_OP_JUMP_FALSE, &otherwise) || !ternary(p))
            return false;
        blanks(p);
        if (p->at == p->len)
            return broken(p, "a conditional `?` without its `:`");
        if (p->text[p->at] != ':')
            return script(p);
        p->at++;
        if (!emit_jump(p, HZ_OP_JUMP, &end))
            return false;
        land(p, otherwise);
        p->code->depth--; /* the other branch starts without the first one's value */
        if (!ternary(p))
            return false;
        land(p, end);
    }
    p->nesting--;
    return true;
}

enum hz_expr_verdict hz_expr_parse(const char *text, size_t len, hz_expr_resolve_fn *resolve, void *arg,
        struct hz_expr_code *ret_code, const char **ret_reason, size_t *ret_at)
{
    struct parser p = {.text = text, .len = len, .code = ret_code, .resolve = resolve, .arg = arg};
    bool parsed;

    *ret_code = (struct hz_expr_code){0};
    *ret_reason = NULL;
    if (len > HZ_FLOW_MAX_EXPR || memchr(text, '\0', len)) /* the engine refuses a NUL, also inside a literal: so do both */
        return HZ_EXPR_IS_SCRIPT;
    blanks(&p);
    if (p.at == p.len) {
        *ret_reason = "the expression is empty";
        *ret_at = 0;
        return HZ_EXPR_IS_BROKEN;
    }
    parsed = ternary(&p);
    if (parsed) {
        blanks(&p);
        if (p.at < p.len)
            script(&p);
        else
            emit(&p, HZ_OP_END, p.at);
    }
    *ret_reason = p.reason;
    *ret_at = p.at;
    if (p.verdict == HZ_EXPR_IS_NATIVE && ret_code->unknown_from != ret_code->unknown_to)
        return HZ_EXPR_IS_SCRIPT;
    if (p.verdict != HZ_EXPR_IS_NATIVE)
        ret_code->unknown_from = ret_code->unknown_to = 0;
    return p.verdict;
}

void hz_expr_code_fini(struct hz_expr_code *code)
{
    free(code->steps);
    free(code->texts);
    *code = (struct hz_expr_code){0};
}
