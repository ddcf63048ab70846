/*
 * expr_scan.c - what can be said of any JavaScript expression without parsing it: its identifiers, whether brackets and
 * quotes are closed; and the words JavaScript knows by itself. Same users as expr.c; no state.
 */
#include "expr.h"
#include "limits.h"
#include <string.h>

static bool ascii_start(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}

/* Code point and length of the character at text; a broken byte is U+FFFD of length 1. */
static uint32_t decode(const char *text, size_t len, size_t *ret_len)
{
    const unsigned char *s = (const unsigned char *)text;

    *ret_len = 1;
    if (s[0] < 0x80)
        return s[0];
    if (s[0] >= 0xc2 && s[0] <= 0xdf && len >= 2) {
        *ret_len = 2;
        return (uint32_t)(s[0] & 31) << 6 | (s[1] & 63);
    }
    if ((s[0] & 0xf0) == 0xe0 && len >= 3) {
        *ret_len = 3;
        return (uint32_t)(s[0] & 15) << 12 | (uint32_t)(s[1] & 63) << 6 | (s[2] & 63);
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4 && len >= 4) {
        *ret_len = 4;
        return (uint32_t)(s[0] & 7) << 18 | (uint32_t)(s[1] & 63) << 12 | (uint32_t)(s[2] & 63) << 6 | (s[3] & 63);
    }
    return 0xfffd;
}

/* Blocks of Unicode without letters, as far as a name could meet them. What slips through is refused by JavaScript. */
static bool no_letter(uint32_t c)
{
    static const struct {
        uint32_t from, to;
    } blocks[] = {{0x80, 0xa9}, {0xab, 0xb4}, {0xb6, 0xb9}, {0xbb, 0xbf}, {0xd7, 0xd7}, {0xf7, 0xf7}, {0x2000, 0x206f},
            {0x2070, 0x2070}, {0x2072, 0x207e}, {0x2080, 0x208f}, {0x20a0, 0x2101}, {0x2190, 0x2bff}, {0x2e00, 0x3004},
            {0x3008, 0x3020}, {0xd800, 0xf8ff}, {0xfe00, 0xfe6f}, {0xfeff, 0xff20}, {0xff5b, 0xff65}, {0xffe0, 0xffff},
            {0x1f000, 0x1faff}, {0xe0000, 0x10ffff}};

    for (size_t i = 0; i < HZ_COUNT_OF(blocks); i++)
        if (c >= blocks[i].from && c <= blocks[i].to)
            return true;
    return false;
}

size_t hz_expr_identifier(const char *text, size_t len)
{
    size_t at = 0, n;

    while (at < len) {
        unsigned char c = (unsigned char)text[at];

        if (ascii_start(c) || (at > 0 && c >= '0' && c <= '9')) {
            at++;
            continue;
        }
        if (c < 0x80 || no_letter(decode(text + at, len - at, &n)))
            break;
        at += n;
    }
    return at;
}

static bool in_list(const char *word, size_t len, const char *list)
{
    const char *at = list;

    while (*at) {
        size_t n = strcspn(at, " ");

        if (n == len && memcmp(at, word, n) == 0)
            return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

bool hz_expr_reserved(const char *word, size_t len)
{
    return in_list(word, len,
            "await break case catch class const continue debugger default delete do else enum export extends false "
            "finally "
            "for function if import in instanceof new null return super switch this throw true try typeof var void "
            "while "
            "with yield let static implements interface package private protected public eval arguments undefined NaN "
            "Infinity");
}

bool hz_expr_global(const char *name, size_t len)
{
    return in_list(name, len,
            "Math JSON Date Number String Boolean Array Object RegExp Map Set WeakMap WeakSet Symbol BigInt Promise "
            "Proxy "
            "Reflect Function Error TypeError RangeError SyntaxError ReferenceError EvalError URIError AggregateError "
            "Intl "
            "Iterator globalThis console parseInt parseFloat isNaN isFinite escape unescape encodeURI "
            "encodeURIComponent "
            "decodeURI decodeURIComponent ArrayBuffer DataView Atomics WebAssembly WeakRef FinalizationRegistry "
            "Int8Array "
            "Int16Array Int32Array Uint8Array Uint8ClampedArray Uint16Array Uint32Array Float16Array Float32Array "
            "Float64Array BigInt64Array BigUint64Array btoa atob _keys _keysReplace _values _repeat _length _extract "
            "_extractValues _randomInt _randomFloat _randomString _now _dayJs");
}

bool hz_expr_inherited(const char *member, size_t len, unsigned kinds)
{
    if (len < 2) /* the shortest are `at`, `big` */
        return false;
    if (len >= 7 && strchr("tvhpic_", member[0]) && member[0] != '\0' /* asked for each member that is absent */
            && in_list(member, len,
                       "toString toLocaleString valueOf hasOwnProperty propertyIsEnumerable isPrototypeOf constructor "
                       "__proto__ "
                       "__defineGetter__ __defineSetter__ __lookupGetter__ __lookupSetter__"))
        return true;
    if ((kinds & HZ_EXPR_OF_STRING) && in_list(member, len,
                                               "concat match matchAll padStart padEnd repeat replace replaceAll search "
                                               "split anchor big bold blink fixed "
                                               "fontcolor fontsize italics link small strike sub sup charAt charCodeAt "
                                               "codePointAt indexOf lastIndexOf "
                                               "slice substr at substring toLowerCase toUpperCase localeCompare "
                                               "toLocaleLowerCase toLocaleUpperCase trim "
                                               "startsWith endsWith includes normalize trimStart trimLeft trimEnd "
                                               "trimRight isWellFormed toWellFormed"))
        return true;
    if ((kinds & HZ_EXPR_OF_ARRAY) &&
            in_list(member, len,
                    "values concat fill join pop push reverse shift slice sort splice unshift every forEach some "
                    "indexOf "
                    "lastIndexOf filter flat flatMap reduce reduceRight map keys entries find findLast findIndex "
                    "findLastIndex includes copyWithin at toReversed toSorted toSpliced with"))
        return true;
    return (kinds & HZ_EXPR_OF_NUMBER) && in_list(member, len, "toFixed toExponential toPrecision");
}

/* ---- the scan ---- */
struct brackets {
    char open[HZ_FLOW_MAX_EXPR_DEPTH * 4]; /* ( [ { and $ for `${` */
    size_t at[HZ_FLOW_MAX_EXPR_DEPTH * 4]; /* where */
    size_t count;
};

/* Behind the opening quote: to behind the closing one. 0: there is none. */
static size_t skip_quoted(const char *text, size_t len, size_t at, char quote)
{
    while (at < len && text[at] != quote) {
        if (text[at] == '\n')
            return 0;
        at += text[at] == '\\' && at + 1 < len ? 2 : 1;
    }
    return at < len ? at + 1 : 0;
}

/* Behind a template's opening backtick or a closing brace: to behind `${` or the closing backtick. 0: there is none. */
static size_t skip_template(const char *text, size_t len, size_t at, bool *ret_hole)
{
    while (at < len) {
        if (text[at] == '`' || (text[at] == '$' && at + 1 < len && text[at + 1] == '{')) {
            *ret_hole = text[at] == '$';
            return at + (*ret_hole ? 2 : 1);
        }
        at += text[at] == '\\' && at + 1 < len ? 2 : 1;
    }
    return 0;
}

/* Behind a slash that opens a regular expression: to behind the closing one. 0: there is none. */
static size_t skip_regex(const char *text, size_t len, size_t at)
{
    bool in_class = false;

    while (at < len && (in_class || text[at] != '/')) {
        if (text[at] == '\n')
            return 0;
        if (text[at] == '[')
            in_class = true;
        else if (text[at] == ']')
            in_class = false;
        at += text[at] == '\\' && at + 1 < len ? 2 : 1;
    }
    return at < len ? at + 1 : 0;
}

/* Comments end at the line's end or at their mark; the end of the text ends a line comment too. 0: never closed. */
static size_t skip_comment(const char *text, size_t len, size_t at)
{
    if (text[at + 1] == '/') {
        while (at < len && text[at] != '\n')
            at++;
        return at;
    }
    for (at += 2; at + 1 < len; at++)
        if (text[at] == '*' && text[at + 1] == '/')
            return at + 2;
    return 0;
}

static bool closes(char open, char close)
{
    return (open == '(' && close == ')') || (open == '[' && close == ']') || (open == '{' && close == '}') ||
           (open == '$' && close == '}');
}

static void push(struct brackets *stack, char open, size_t at)
{
    stack->at[stack->count] = at;
    stack->open[stack->count++] = open;
}

static const char *scan_brackets(const char *text, size_t len, size_t *ret_at)
{
    struct brackets stack = {.count = 0};
    bool value_before = false; /* the last token was a value: a slash divides */
    size_t at = 0, next;

    while (at < len) {
        char c = text[at];
        bool hole = false;

        *ret_at = at;
        next = hz_expr_identifier(text + at, len - at);
        if (next > 0) {
            value_before = !in_list(text + at, next, "typeof return in of instanceof new delete void case yield await");
            at += next;
            continue;
        }
        if (c == '/' && at + 1 < len && (text[at + 1] == '/' || text[at + 1] == '*')) {
            at = skip_comment(text, len, at);
            if (at == 0)
                return "a comment that is never closed";
            continue;
        }
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            at++;
            continue;
        }
        if (c == '"' || c == '\'') {
            at = skip_quoted(text, len, at + 1, c);
            if (at == 0)
                return "a string without its closing quote";
            value_before = true;
            continue;
        }
        if (c == '/' && !value_before) {
            at = skip_regex(text, len, at + 1);
            if (at == 0)
                return NULL; /* after a closing brace a slash may mean either: leave it to JavaScript */
            value_before = true;
            continue;
        }
        if (c == '`' || (c == '}' && stack.count > 0 && stack.open[stack.count - 1] == '$')) {
            if (c == '}')
                stack.count--;
            at = skip_template(text, len, at + 1, &hole);
            if (at == 0)
                return "a template string without its closing backtick";
            if (hole && stack.count == sizeof(stack.open))
                return NULL;
            if (hole)
                push(&stack, '$', *ret_at);
            value_before = !hole;
            continue;
        }
        if (c == '(' || c == '[' || c == '{') {
            if (stack.count == sizeof(stack.open))
                return NULL;
            push(&stack, c, at);
            value_before = false;
        } else if (c == ')' || c == ']' || c == '}') {
            if (stack.count == 0 || !closes(stack.open[stack.count - 1], c))
                return "a closing bracket without its opening one";
            stack.count--;
            value_before = true;
        } else {
            value_before = (c >= '0' && c <= '9') || c == '.' || (unsigned char)c >= 0x80;
        }
        at++;
    }
    if (stack.count == 0)
        return NULL;
    *ret_at = stack.at[stack.count - 1];
    return "a bracket that is never closed";
}

const char *hz_expr_scan(
        const char *text, size_t len, void (*name)(void *arg, const char *name, size_t len), void *arg, size_t *ret_at)
{
    size_t at = 0;

    while (name && at < len) {
        size_t n = hz_expr_identifier(text + at, len - at);

        if (n > 0)
            name(arg, text + at, n);
        else if (text[at] >= '0' && text[at] <= '9') /* the letters of 1e5 are no name */
            while (at + n < len &&
                    ((text[at + n] >= '0' && text[at + n] <= '9') || ascii_start((unsigned char)text[at + n])))
                n++;
        at += n > 0 ? n : 1;
    }
    return scan_brackets(text, len, ret_at);
}
