/*
 * validator_uri.c - resolving references of a schema against its identifiers: RFC 3986 section 5.2 on texts. No
 * network.
 */
#include "validator_internal.h"

struct uri {
    hz_str scheme, authority, path, query, fragment; /* data NULL: absent */
};

static bool is_scheme_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!first && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'));
}

static size_t span_until(const char *text, size_t len, const char *stops)
{
    size_t n = 0;
    while (n < len && (text[n] == '\0' || !strchr(stops, text[n])))
        n++;
    return n;
}

static struct uri uri_split(hz_str text)
{
    struct uri uri = {0};
    const char *at = text.data;
    size_t left = text.len, n = 0;
    while (n < left && is_scheme_char(at[n], n == 0))
        n++;
    if (n > 0 && n < left && at[n] == ':') {
        uri.scheme = (hz_str){at, n};
        at += n + 1;
        left -= n + 1;
    }
    if (left >= 2 && at[0] == '/' && at[1] == '/') {
        n = span_until(at + 2, left - 2, "/?#");
        uri.authority = (hz_str){at + 2, n};
        at += n + 2;
        left -= n + 2;
    }
    n = span_until(at, left, "?#");
    uri.path = (hz_str){at, n};
    at += n;
    left -= n;
    if (left && *at == '?') {
        n = span_until(at + 1, left - 1, "#");
        uri.query = (hz_str){at + 1, n};
        at += n + 1;
        left -= n + 1;
    }
    if (left)
        uri.fragment = (hz_str){at + 1, left - 1};
    return uri;
}

struct text {
    char *data;
    size_t len, size;
    bool full;
};

static void add(struct text *to, const char *data, size_t len)
{
    if (to->full || len >= to->size - to->len) {
        to->full = true;
        return;
    }
    if (len)
        memcpy(to->data + to->len, data, len);
    to->len += len;
    to->data[to->len] = '\0';
}

/* Appends `path` without its `.` and `..` segments. */
static void add_without_dots(struct text *to, hz_str path)
{
    size_t start = to->len;
    const char *at = path.data, *end = path.data + path.len;
    while (at < end) {
        size_t slash = *at == '/' ? 1 : 0, n = span_until(at + slash, (size_t)(end - at) - slash, "/");
        const char *name = at + slash;
        bool last = name + n == end;
        if (n == 1 && name[0] == '.') {
            if (last)
                add(to, "/", slash);
        } else if (n == 2 && name[0] == '.' && name[1] == '.') {
            while (to->len > start && to->data[to->len - 1] != '/')
                to->len--;
            if (to->len > start)
                to->len--;
            if (last)
                add(to, "/", 1);
        } else {
            add(to, at, slash + n);
        }
        at = name + n;
    }
}

bool schema_uri_resolve(const char *base_text, hz_str reference, char *ret, size_t size)
{
    struct uri base = uri_split((hz_str){base_text, strlen(base_text)}), ref = uri_split(reference), full = ref;
    char joined[SCHEMA_MAX_URI];
    struct text to = {ret, 0, size, false}, merged = {joined, 0, sizeof joined, false};
    ret[0] = joined[0] = '\0';
    bool rooted = true;
    if (!ref.scheme.data) {
        full.scheme = base.scheme;
        if (!ref.authority.data) {
            full.authority = base.authority;
            if (ref.path.len == 0) {
                full.path = base.path;
                full.query = ref.query.data ? ref.query : base.query;
                rooted = false; /* taken as it is: an URN's path has no segments */
            } else if (ref.path.data[0] != '/') {
                size_t keep = base.path.len;
                while (keep > 0 && base.path.data[keep - 1] != '/')
                    keep--;
                if (base.authority.data && base.path.len == 0)
                    add(&merged, "/", 1);
                add(&merged, base.path.data, keep);
                add(&merged, ref.path.data, ref.path.len);
                full.path = (hz_str){joined, merged.len};
            }
        }
    }
    if (full.scheme.data) {
        add(&to, full.scheme.data, full.scheme.len);
        add(&to, ":", 1);
    }
    if (full.authority.data) {
        add(&to, "//", 2);
        add(&to, full.authority.data, full.authority.len);
    }
    if (rooted)
        add_without_dots(&to, full.path);
    else
        add(&to, full.path.data, full.path.len);
    if (full.query.data) {
        add(&to, "?", 1);
        add(&to, full.query.data, full.query.len);
    }
    if (full.fragment.len) {
        add(&to, "#", 1);
        add(&to, full.fragment.data, full.fragment.len);
    }
    return !to.full && !merged.full && !memchr(ret, '\0', to.len);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

size_t schema_uri_decode(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++) {
        if (*at != '%') {
            *to++ = *at;
            continue;
        }
        int high = hex(at[1]), low = high < 0 ? -1 : hex(at[2]);
        if (low < 0)
            return SIZE_MAX;
        *to++ = (char)(high * 16 + low);
        at += 2;
    }
    *to = '\0';
    return (size_t)(to - text);
}
