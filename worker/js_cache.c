/*
 * js_cache.c - from the text of an expression to a function the engine keeps: is it one expression, which names does it
 * use, was it compiled before. Worker process, the thread of the context.
 */
#include "js_internal.h"

#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One compiled function: a text together with the names it was bound to. Linked in its bucket and in order of use. */
struct hz_js_function {
    struct hz_js_function *in_bucket, *newer, *older;
    JSObjectRef function; /* protected */
    uint64_t hash, words; /* words: which names can be in the text at all, see cache_word_bit() */
    bool reads_match;
    size_t text_len, names_len;
    char *names, text[]; /* names point behind the text: for each `+` (a parameter) or `-` (no identifier), name, NUL */
};

static bool cache_is_word(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
           c >= 0x80;
}

/* Bit of a name in a set of 64: a quick "certainly not in the text". */
static uint64_t cache_word_bit(const char *name, size_t len)
{
    return UINT64_C(1) << (((unsigned char)name[0] * 7u + (unsigned char)name[len - 1] * 3u + len) & 63u);
}

/* The set of all words of the text, inside literals and comments too. */
static uint64_t cache_words(const char *text, size_t len)
{
    uint64_t words = 0;
    for (size_t i = 0; i < len;) {
        size_t start = i;
        while (i < len && cache_is_word((unsigned char)text[i]))
            i++;
        if (i > start)
            words |= cache_word_bit(text + start, i - start);
        else
            i++;
    }
    return words;
}

static bool cache_has_word(const char *text, size_t len, const char *word, size_t word_len)
{
    const char *end = text + len;
    for (const char *at = text; (at = memmem(at, (size_t)(end - at), word, word_len)); at++) {
        if ((at == text || !cache_is_word((unsigned char)at[-1])) &&
                (at + word_len == end || !cache_is_word((unsigned char)at[word_len])))
            return true;
    }
    return false;
}

static bool cache_refuse(struct hz_js *js, const char *reason)
{
    (void)snprintf(js->error, sizeof js->error, "SyntaxError: %s", reason);
    return false;
}

/* Does strict code of `before` text `after` parse? js->error is set when not. */
static bool cache_parses(struct hz_js *js, const char *before, const char *text, size_t len, const char *after)
{
    struct hz_buffer *to = &js->text;
    JSValueRef exception = NULL;
    to->len = 0;
    hz_buffer_add(to, "\"use strict\";", 13);
    hz_buffer_add(to, before, strlen(before));
    hz_buffer_add(to, text, len);
    hz_buffer_add(to, after, strlen(after));
    if (to->failed) {
        hz_buffer_fini(to);
        (void)snprintf(js->error, sizeof js->error, "RangeError: out of memory");
        return false;
    }
    JSStringRef script = JS(JSStringCreateWithUTF8CString)(to->data);
    bool ok = JS(JSCheckScriptSyntax)(js->context, script, NULL, 1, &exception);
    JS(JSStringRelease)(script);
    if (!ok)
        hz_js_value_error(js, exception);
    return ok;
}

/* The text with each `word` replaced, parsed again. */
static bool cache_parses_with(struct hz_js *js, const char *text, size_t len, const char *word, const char *with)
{
    struct hz_buffer changed = {0};
    const char *end = text + len, *at = text, *found;
    while ((found = memmem(at, (size_t)(end - at), word, strlen(word)))) {
        hz_buffer_add(&changed, at, (size_t)(found - at));
        hz_buffer_add(&changed, with, strlen(with));
        at = found + strlen(word);
    }
    hz_buffer_add(&changed, at, (size_t)(end - at));
    bool ok = !changed.failed && cache_parses(js, "(", changed.data, changed.len, "\n)");
    hz_buffer_fini(&changed);
    return ok;
}

/*
 * One expression: the text must parse between round brackets and between square ones. Its tokens are the same in both,
 * so a text that closed the bracket around it (`1);(2`) parses in one of them at most.
 *
 * Async functions and import() would leave jobs behind that run when the call is over, outside its time limit; with
 * Promise out of reach nothing else can. Where the word `async` makes a function asynchronous, the text does not parse
 * with another word in its place, while a name, a key or the inside of a literal does not care. `import` is looked for
 * with `enum`, which is reserved as well, allowed as a key and good for nothing else.
 */
bool hz_js_cache_check(struct hz_js *js, const char *text, size_t len)
{
    if (memchr(text, '\0', len) || hz_utf8_prefix(text, len) != len)
        return cache_refuse(js, "the expression holds bytes that are not text");
    if (!cache_parses(js, "(", text, len, "\n)"))
        return false;
    if (!cache_parses(js, "[", text, len, "\n]"))
        return cache_refuse(js, "not one expression");
    if (memmem(text, len, "async", 5) && !cache_parses_with(js, text, len, "async", "asynk"))
        return cache_refuse(js, "asynchronous functions are not available in expressions");
    if (memmem(text, len, "import", 6) && !cache_parses_with(js, text, len, "import", "enum"))
        return cache_refuse(js, "import is not available in expressions");
    return true;
}

static bool cache_is_name(struct hz_js *js, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!cache_is_word((unsigned char)name[i]))
            return false;
    }
    return len && (name[0] < '0' || name[0] > '9') && cache_parses(js, "((", name, len, ")=>0)");
}

static JSObjectRef cache_compile(struct hz_js *js, const char *text, size_t len, const char *names, size_t names_len)
{
    static const char before[] = "(function(){\"use strict\";return((", middle[] = ")=>(", after[] = "\n))})()";
    struct hz_buffer *to = &js->text;
    bool first = true;
    to->len = 0;
    hz_buffer_add(to, before, sizeof before - 1);
    for (const char *at = names; at < names + names_len; at += strlen(at) + 1) {
        if (*at == '-')
            continue;
        if (!first)
            hz_buffer_add(to, ",", 1);
        hz_buffer_add(to, at + 1, strlen(at + 1));
        first = false;
    }
    hz_buffer_add(to, middle, sizeof middle - 1);
    hz_buffer_add(to, text, len);
    hz_buffer_add(to, after, sizeof after - 1);
    if (to->failed) {
        hz_buffer_fini(to);
        (void)snprintf(js->error, sizeof js->error, "RangeError: out of memory");
        return NULL;
    }
    JSValueRef exception = NULL;
    JSStringRef script = JS(JSStringCreateWithUTF8CString)(to->data);
    JSValueRef made = JS(JSEvaluateScript)(js->context, script, NULL, NULL, 1, &exception);
    JS(JSStringRelease)(script);
    JSObjectRef function = made ? JS(JSValueToObject)(js->context, made, &exception) : NULL;
    if (!function)
        hz_js_value_error(js, exception);
    return function;
}

static void cache_unlink(struct hz_js_cache *cache, struct hz_js_function *f)
{
    *(f->newer ? &f->newer->older : &cache->newest) = f->older;
    *(f->older ? &f->older->newer : &cache->oldest) = f->newer;
}

static void cache_link(struct hz_js_cache *cache, struct hz_js_function *f)
{
    f->newer = NULL;
    f->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = f;
    cache->newest = f;
}

static void cache_drop_oldest(struct hz_js *js)
{
    struct hz_js_cache *cache = &js->cache;
    struct hz_js_function *f = cache->oldest, **at = &cache->buckets[f->hash % HZ_JS_BUCKETS];
    while (*at != f)
        at = &(*at)->in_bucket;
    *at = f->in_bucket;
    cache_unlink(cache, f);
    cache->count--;
    cache->bytes -= f->text_len + f->names_len;
    JS(JSValueUnprotect)(js->context, f->function);
    free(f);
}

void hz_js_cache_fini(struct hz_js *js)
{
    while (js->cache.oldest)
        cache_drop_oldest(js);
}

/* FNV-1a over words of 8 bytes: not for strangers' keys, texts come from the flow. */
static uint64_t cache_hash(const char *text, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u ^ len, word;
    for (; len >= 8; len -= 8, text += 8) {
        memcpy(&word, text, 8);
        hash = (hash ^ word) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    for (; len; len--, text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

/* The bindings whose names are words of the text: the first of a name counts. false: too many. */
static bool cache_choose(struct hz_js *js, const char *text, size_t len, uint64_t words,
        const struct hz_js_binding *bindings, size_t count, struct hz_js_ready *ret)
{
    ret->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct hz_js_binding *b = &bindings[i];
        if (b->len == 0 || !(words & cache_word_bit(b->name, b->len)) || !cache_has_word(text, len, b->name, b->len))
            continue;
        bool twice = false;
        for (size_t k = 0; k < ret->count && !twice; k++) {
            const struct hz_js_binding *other = &bindings[ret->bindings[k]];
            twice = other->len == b->len && memcmp(other->name, b->name, b->len) == 0;
        }
        if (twice)
            continue;
        if (ret->count == HZ_JS_NAMES) {
            (void)snprintf(
                    js->error, sizeof js->error, "RangeError: more than %d names in one expression", HZ_JS_NAMES);
            return false;
        }
        ret->bindings[ret->count++] = i;
    }
    return true;
}

/* Was it compiled for the chosen bindings? Then those that are no parameters are taken out of them. */
static bool cache_matches(
        const struct hz_js_function *f, const struct hz_js_binding *bindings, struct hz_js_ready *chosen)
{
    const char *at = f->names, *end = f->names + f->names_len;
    for (size_t i = 0; i < chosen->count; i++) {
        const struct hz_js_binding *b = &bindings[chosen->bindings[i]];
        if ((size_t)(end - at) < b->len + 2 || memcmp(at + 1, b->name, b->len) != 0 || at[b->len + 1] != '\0')
            return false;
        at += b->len + 2;
    }
    if (at != end)
        return false;
    size_t kept = 0;
    at = f->names;
    for (size_t i = 0; i < chosen->count; i++) {
        size_t len = bindings[chosen->bindings[i]].len;
        if (*at == '+')
            chosen->bindings[kept++] = chosen->bindings[i];
        at += len + 2;
    }
    chosen->count = kept;
    return true;
}

static void cache_give(struct hz_js_cache *cache, struct hz_js_function *f, struct hz_js_ready *ret)
{
    if (cache->newest != f) {
        cache_unlink(cache, f);
        cache_link(cache, f);
    }
    ret->function = f->function;
    ret->reads_match = f->reads_match;
}

static void cache_keep(struct hz_js *js, struct hz_js_function *f)
{
    struct hz_js_cache *cache = &js->cache;
    size_t bytes = f->text_len + f->names_len;
    while (cache->oldest && (cache->count >= HZ_JS_FUNCTIONS || cache->bytes + bytes > HZ_JS_TEXT))
        cache_drop_oldest(js);
    f->in_bucket = cache->buckets[f->hash % HZ_JS_BUCKETS];
    cache->buckets[f->hash % HZ_JS_BUCKETS] = f;
    cache->count++;
    cache->bytes += bytes;
    cache_link(cache, f);
    JS(JSValueProtect)(js->context, f->function);
}

/* NULL: js->error says why. */
static struct hz_js_function *cache_make(struct hz_js *js, const char *text, size_t len,
        const struct hz_js_binding *bindings, const struct hz_js_ready *chosen)
{
    size_t names_len = 0;
    if (!hz_js_cache_check(js, text, len))
        return NULL;
    for (size_t i = 0; i < chosen->count; i++)
        names_len += bindings[chosen->bindings[i]].len + 2;
    struct hz_js_function *f = malloc(sizeof *f + len + names_len);
    if (!f) {
        (void)snprintf(js->error, sizeof js->error, "RangeError: out of memory");
        return NULL;
    }
    *f = (struct hz_js_function){.text_len = len, .names_len = names_len, .names = f->text + len};
    memcpy(f->text, text, len);
    char *to = f->names;
    for (size_t i = 0; i < chosen->count; i++) {
        const struct hz_js_binding *b = &bindings[chosen->bindings[i]];
        *to++ = cache_is_name(js, b->name, b->len) ? '+' : '-';
        to = (char *)mempcpy(to, b->name, b->len);
        *to++ = '\0';
    }
    f->function = cache_compile(js, text, len, f->names, names_len);
    if (!f->function) {
        free(f);
        return NULL;
    }
    f->reads_match = memmem(text, len, "RegExp", 6) || memmem(text, len, "constructor", 11);
    return f;
}

static bool cache_same_text(const struct hz_js_function *f, uint64_t hash, const char *text, size_t len)
{
    return f->hash == hash && f->text_len == len && memcmp(f->text, text, len) == 0;
}

bool hz_js_cache_get(struct hz_js *js, const char *text, size_t len, const struct hz_js_binding *bindings, size_t count,
        struct hz_js_ready *ret)
{
    uint64_t hash = cache_hash(text, len);
    struct hz_js_function *first = js->cache.buckets[hash % HZ_JS_BUCKETS];
    while (first && !cache_same_text(first, hash, text, len))
        first = first->in_bucket;
    uint64_t words = first ? first->words : cache_words(text, len);
    if (!cache_choose(js, text, len, words, bindings, count, ret))
        return false;
    for (struct hz_js_function *f = first; f; f = f->in_bucket) {
        if (cache_same_text(f, hash, text, len) && cache_matches(f, bindings, ret)) {
            cache_give(&js->cache, f, ret);
            return true;
        }
    }
    struct hz_js_function *made = cache_make(js, text, len, bindings, ret);
    if (!made)
        return false;
    made->hash = hash;
    made->words = words;
    cache_keep(js, made);
    bool matches = cache_matches(made, bindings, ret);
    HZ_ASSERT(matches);
    cache_give(&js->cache, made, ret);
    return true;
}
