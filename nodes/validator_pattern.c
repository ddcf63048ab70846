/*
 * validator_pattern.c - regular expressions of ECMA 262 (flag u) written in PCRE2's language and run by it. What only
 * PCRE2 knows is refused, what both read differently is rewritten (`.`, `\s`, `$`, `[`, `\u`, `\p{Letter}` ...). A
 * look-behind of varying length is the one thing ECMAScript has and PCRE2 does not. No JIT: workers may not make code.
 */
#include "validator_internal.h"

#include <stdlib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MATCH_LIMIT    1000000u /* steps of the matcher, some 20 ms */
#define HEAP_LIMIT_KIB 16384u
#define PATTERN_MAX    65536u

#define SPACES                                                                                                         \
    "\\t\\n\\x{b}\\f\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}"
#define NOT_SPACES                                                                                                     \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}"   \
    "\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

struct schema_pattern {
    pcre2_code *code;
    pcre2_match_context *limits;
};

struct rewrite {
    const char *at, *end;
    char *out; /* room for all that can come: no character becomes longer than NOT_SPACES */
    size_t len, size;
    const char *wrong;
};

static void put(struct rewrite *r, const char *text, size_t len)
{
    if (len > r->size - r->len) {
        r->wrong = "demasiado largo";
        return;
    }
    memcpy(r->out + r->len, text, len);
    r->len += len;
}

static void put_text(struct rewrite *r, const char *text)
{
    put(r, text, strlen(text));
}

static void put_code(struct rewrite *r, uint32_t cp)
{
    char text[24] = "";
    if (cp >= 0xd800 && cp <= 0xdfff)
        cp = 0xfffd; /* as in the values the pattern is matched with */
    put(r, text, (size_t)snprintf(text, sizeof text, "\\x{%x}", cp));
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool read_hex(struct rewrite *r, int digits, uint32_t *ret)
{
    uint32_t v = 0;
    for (int i = 0; i < digits; i++) {
        int digit = r->at + i < r->end ? hex_digit(r->at[i]) : -1;
        if (digit < 0)
            return false;
        v = v * 16 + (uint32_t)digit;
    }
    r->at += digits;
    *ret = v;
    return true;
}

/* After `\u`: four digits, a pair of surrogates, or {digits}. */
static bool read_unicode(struct rewrite *r, uint32_t *ret)
{
    if (r->at < r->end && *r->at == '{') {
        uint32_t v = 0;
        r->at++;
        const char *start = r->at;
        for (; r->at < r->end && hex_digit(*r->at) >= 0 && v <= 0x10ffff; r->at++)
            v = v * 16 + (uint32_t)hex_digit(*r->at);
        if (r->at == start || r->at == r->end || *r->at != '}' || v > 0x10ffff)
            return false;
        r->at++;
        *ret = v;
        return true;
    }
    uint32_t low;
    if (!read_hex(r, 4, ret))
        return false;
    const char *back = r->at;
    if (*ret >= 0xd800 && *ret <= 0xdbff && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
        r->at += 2;
        if (read_hex(r, 4, &low) && low >= 0xdc00 && low <= 0xdfff)
            *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
        else
            r->at = back;
    }
    return true;
}

/* General categories by the names people write; PCRE2 knows the short ones. */
static const char *short_category(const char *name, size_t len)
{
    static const char *const names[][2] = {{"Letter", "L"}, {"Cased_Letter", "L&"}, {"LC", "L&"},
            {"Uppercase_Letter", "Lu"}, {"Lowercase_Letter", "Ll"}, {"Titlecase_Letter", "Lt"},
            {"Modifier_Letter", "Lm"}, {"Other_Letter", "Lo"}, {"Mark", "M"}, {"Combining_Mark", "M"},
            {"Nonspacing_Mark", "Mn"}, {"Spacing_Mark", "Mc"}, {"Enclosing_Mark", "Me"}, {"Number", "N"},
            {"Decimal_Number", "Nd"}, {"digit", "Nd"}, {"Letter_Number", "Nl"}, {"Other_Number", "No"},
            {"Punctuation", "P"}, {"punct", "P"}, {"Connector_Punctuation", "Pc"}, {"Dash_Punctuation", "Pd"},
            {"Open_Punctuation", "Ps"}, {"Close_Punctuation", "Pe"}, {"Initial_Punctuation", "Pi"},
            {"Final_Punctuation", "Pf"}, {"Other_Punctuation", "Po"}, {"Symbol", "S"}, {"Math_Symbol", "Sm"},
            {"Currency_Symbol", "Sc"}, {"Modifier_Symbol", "Sk"}, {"Other_Symbol", "So"}, {"Separator", "Z"},
            {"Space_Separator", "Zs"}, {"Line_Separator", "Zl"}, {"Paragraph_Separator", "Zp"}, {"Other", "C"},
            {"Control", "Cc"}, {"cntrl", "Cc"}, {"Format", "Cf"}, {"Surrogate", "Cs"}, {"Private_Use", "Co"},
            {"Unassigned", "Cn"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i][0]) == len && memcmp(names[i][0], name, len) == 0)
            return names[i][1];
    }
    return NULL;
}

/* After `\p` or `\P`: {name} or {kind=name}. */
static void property(struct rewrite *r, char letter)
{
    const char *close = r->at < r->end && *r->at == '{' ? memchr(r->at, '}', (size_t)(r->end - r->at)) : NULL;
    if (!close) {
        r->wrong = "\\p sin {nombre}";
        return;
    }
    const char *name = r->at + 1, *equals = memchr(name, '=', (size_t)(close - name));
    char start[4] = {'\\', letter, '{', '\0'};
    put_text(r, start);
    if (equals) {
        size_t kind = (size_t)(equals - name);
        if ((kind == 6 && memcmp(name, "Script", 6) == 0) || (kind == 2 && memcmp(name, "sc", 2) == 0))
            put_text(r, "sc:");
        else if ((kind == 17 && memcmp(name, "Script_Extensions", 17) == 0) ||
                 (kind == 3 && memcmp(name, "scx", 3) == 0))
            put_text(r, "scx:");
        name = equals + 1;
    }
    const char *category = short_category(name, (size_t)(close - name));
    if (category)
        put_text(r, category);
    else
        put(r, name, (size_t)(close - name));
    put_text(r, "}");
    r->at = close + 1;
}

/* After a backslash. */
static void escape(struct rewrite *r, bool in_class)
{
    uint32_t cp;
    if (r->at == r->end) {
        r->wrong = "termina en \\";
        return;
    }
    char c = *r->at++;
    switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W':
        put(r, (char[]){'\\', c}, 2);
        return;
    case 's':
        put_text(r, in_class ? SPACES : "[" SPACES "]");
        return;
    case 'S':
        put_text(r, in_class ? NOT_SPACES : "[" NOT_SPACES "]");
        return;
    case 'b':
        put_text(r, in_class ? "\\x{8}" : "\\b");
        return;
    case 't':
    case 'n':
    case 'f':
    case 'r':
        put(r, (char[]){'\\', c}, 2);
        return;
    case 'v':
        put_text(r, "\\x{b}");
        return;
    case 'p':
    case 'P':
        property(r, c);
        return;
    case 'x':
        if (read_hex(r, 2, &cp))
            put_code(r, cp);
        else
            r->wrong = "\\x sin dos cifras hexadecimales";
        return;
    case 'u':
        if (read_unicode(r, &cp))
            put_code(r, cp);
        else
            r->wrong = "\\u sin un carácter";
        return;
    case 'c':
        if (r->at < r->end && ((*r->at >= 'a' && *r->at <= 'z') || (*r->at >= 'A' && *r->at <= 'Z')))
            put_code(r, (uint32_t)*r->at++ & 31u);
        else
            r->wrong = "\\c sin letra";
        return;
    default:
        break;
    }
    if (c == '0' && (r->at == r->end || *r->at < '0' || *r->at > '9')) {
        put_code(r, 0);
    } else if (!in_class && c == 'B') {
        put_text(r, "\\B");
    } else if (!in_class && c >= '1' && c <= '9') {
        put_text(r, "\\g{");
        put(r, &c, 1);
        for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
            put(r, r->at, 1);
        put_text(r, "}");
    } else if (!in_class && c == 'k' && r->at < r->end && *r->at == '<') {
        put_text(r, "\\k");
    } else if ((unsigned char)c < 0x80 && c > ' ' && !(c >= '0' && c <= '9') &&
               !((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) {
        put(r, (char[]){'\\', c}, 2);
    } else {
        r->wrong = "\\ ante un carácter que no lo admite";
    }
}

static void character_class(struct rewrite *r)
{
    bool negated = r->at < r->end && *r->at == '^';
    r->at += negated;
    if (r->at < r->end && *r->at == ']') { /* nothing, or everything */
        put_text(r, negated ? "[\\x{0}-\\x{10ffff}]" : "(?!)");
        r->at++;
        return;
    }
    put_text(r, negated ? "[^" : "[");
    while (r->at < r->end && !r->wrong) {
        char c = *r->at++;
        if (c == ']') {
            put_text(r, "]");
            return;
        }
        if (c == '\\')
            escape(r, true);
        else if (c == '[')
            put_text(r, "\\[");
        else
            put(r, &c, 1);
    }
    if (!r->wrong)
        r->wrong = "[ sin ]";
}

/* `{n}`, `{n,}`, `{n,m}`: its length with the braces, 0 if it is none. */
static size_t counted(const char *at, const char *end)
{
    const char *p = at + 1;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    if (p == at + 1)
        return 0;
    if (p < end && *p == ',') {
        p++;
        while (p < end && *p >= '0' && *p <= '9')
            p++;
    }
    return p < end && *p == '}' ? (size_t)(p + 1 - at) : 0;
}

static void open_group(struct rewrite *r)
{
    static const char *const kinds[] = {"?:", "?=", "?!", "?<=", "?<!"};
    put_text(r, "(");
    if (r->at == r->end || (*r->at != '?' && *r->at != '*'))
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t len = strlen(kinds[i]);
        if ((size_t)(r->end - r->at) >= len && memcmp(r->at, kinds[i], len) == 0) {
            put(r, r->at, len);
            r->at += len;
            return;
        }
    }
    if (r->end - r->at > 2 && r->at[0] == '?' && r->at[1] == '<') { /* a name */
        put_text(r, "?<");
        r->at += 2;
        return;
    }
    r->wrong = "grupo desconocido tras (";
}

static void rewrite(struct rewrite *r)
{
    bool atom = false; /* is there something to repeat? */
    while (r->at < r->end && !r->wrong) {
        char c = *r->at++;
        size_t count = c == '{' ? counted(r->at - 1, r->end) : c == '*' || c == '+' || c == '?';
        if (count) {
            if (!atom)
                r->wrong = "nada que repetir";
            put(r, r->at - 1, count);
            r->at += count - 1;
            if (r->at < r->end && *r->at == '?') {
                put_text(r, "?");
                r->at++;
            }
            atom = false;
            continue;
        }
        atom = c != '(' && c != '|' && c != '^' && c != '$';
        switch (c) {
        case '\\':
            escape(r, false);
            break;
        case '[':
            character_class(r);
            break;
        case '(':
            open_group(r);
            break;
        case '.':
            put_text(r, "[^\\n\\r\\x{2028}\\x{2029}]");
            break;
        case '{':
        case '}':
        case ']':
            put(r, (char[]){'\\', c}, 2);
            break;
        default:
            put(r, &c, 1);
            break;
        }
    }
}

struct schema_pattern *schema_pattern_new(hz_str source, char *reason, size_t size)
{
    struct schema_pattern *made = NULL;
    struct rewrite r = {
            .at = source.data, .end = source.data + source.len, .size = source.len * sizeof NOT_SPACES + 64};
    if (source.len > PATTERN_MAX || memchr(source.data, '\0', source.len)) {
        (void)snprintf(reason, size, "demasiado largo o con un carácter nulo");
        return NULL;
    }
    r.out = malloc(r.size);
    if (r.out)
        made = calloc(1, sizeof *made);
    if (!made) {
        (void)snprintf(reason, size, "sin memoria");
        free(r.out);
        return NULL;
    }
    rewrite(&r);
    int code = 0;
    PCRE2_SIZE offset = 0;
    if (!r.wrong) {
        made->code = pcre2_compile((PCRE2_SPTR)r.out, r.len,
                PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF |
                        PCRE2_NEVER_BACKSLASH_C,
                &code, &offset, NULL);
        made->limits = made->code ? pcre2_match_context_create(NULL) : NULL;
        if (!made->limits) {
            PCRE2_UCHAR text[120] = "sin memoria";
            if (!made->code)
                (void)pcre2_get_error_message(code, text, sizeof text);
            (void)snprintf(reason, size, "%s", (const char *)text);
        }
    } else {
        (void)snprintf(reason, size, "%s", r.wrong);
    }
    free(r.out);
    if (!made->limits) {
        schema_pattern_free(made);
        return NULL;
    }
    (void)pcre2_set_match_limit(made->limits, MATCH_LIMIT);
    (void)pcre2_set_heap_limit(made->limits, HEAP_LIMIT_KIB);
    return made;
}

void schema_pattern_free(struct schema_pattern *pattern)
{
    if (!pattern)
        return;
    if (pattern->limits)
        pcre2_match_context_free(pattern->limits);
    if (pattern->code)
        pcre2_code_free(pattern->code);
    free(pattern);
}

int schema_pattern_match(const struct schema_pattern *pattern, hz_str text)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data)
        return -1;
    int rc = pcre2_match(pattern->code, (PCRE2_SPTR)text.data, text.len, 0, PCRE2_NO_UTF_CHECK, data, pattern->limits);
    pcre2_match_data_free(data);
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}
