/*
 * form.c - form fields to JSON, in the way of the parser upstream uses: brackets nest, repeated names collect.
 */
#include "form.h"

#include "core/http/url.h"
#include "json.h"

#include "shm/err.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NESTING = 5, ARRAY_INDEX_MAX = 20 };

/* ---- names ---- */
struct segment {
    const char *text;
    size_t len;
};

/* `a[b][]` to a, b, "". What is no such name is one segment. */
static unsigned split_name(const char *name, struct segment segments[NESTING + 1])
{
    unsigned count = 1;
    segments[0] = (struct segment){name, strcspn(name, "[")};
    const char *p = name + segments[0].len;
    if (segments[0].len == 0 || strchr(p, ']') == NULL) {
        segments[0].len = strlen(name);
        return 1;
    }
    while (*p == '[') {
        const char *end = strchr(p, ']');
        if (!end || count == NESTING + 1)
            break;
        if (count == NESTING) { /* the rest as it stands */
            segments[count++] = (struct segment){p, strlen(p)};
            break;
        }
        segments[count++] = (struct segment){p + 1, (size_t)(end - p) - 1};
        p = end + 1;
    }
    return count;
}

static bool is_index(const struct segment *segment)
{
    if (segment->len == 0)
        return true;
    unsigned value = 0;
    for (size_t i = 0; i < segment->len; i++) {
        if (!isdigit((unsigned char)segment->text[i]) || segment->len > 2)
            return false;
        value = value * 10 + (unsigned)(segment->text[i] - '0');
    }
    return value <= ARRAY_INDEX_MAX;
}

static json_t *member(json_t *holder, const struct segment *segment)
{
    if (json_is_object(holder))
        return json_object_getn(holder, segment->text, segment->len);
    return segment->len ? json_array_get(holder, strtoul(segment->text, NULL, 10)) : NULL;
}

/* Takes value. An array takes it at its end: gaps are closed. */
static int put(json_t *holder, const struct segment *segment, json_t *value)
{
    if (!value)
        return HZ_ENOMEM;
    if (json_is_array(holder)) {
        if (json_array_size(holder) > HZ_FORM_FIELDS) {
            json_decref(value);
            return 0;
        }
        return json_array_append_new(holder, value) ? HZ_ENOMEM : 0;
    }
    if (segment->len == 9 && memcmp(segment->text, "__proto__", 9) == 0) {
        json_decref(value);
        return 0;
    }
    json_t *old = json_object_getn(holder, segment->text, segment->len);
    if (!old)
        return json_object_setn_new(holder, segment->text, segment->len, value) ? HZ_ENOMEM : 0;
    if (json_is_array(old))
        return json_array_append_new(old, value) ? HZ_ENOMEM : 0;
    json_t *both = json_array();
    if (!both || json_array_append(both, old) || json_array_append_new(both, value)) {
        json_decref(both);
        return HZ_ENOMEM;
    }
    return json_object_setn_new(holder, segment->text, segment->len, both) ? HZ_ENOMEM : 0;
}

int hz_form_set(json_t *root, const char *name, json_t *value)
{
    struct segment segments[NESTING + 1];
    unsigned count = split_name(name, segments);
    json_t *holder = root;
    for (unsigned i = 0; i + 1 < count; i++) {
        json_t *inner = member(holder, &segments[i]);
        bool wants_array = is_index(&segments[i + 1]);
        if (!json_is_object(inner) && !(json_is_array(inner) && wants_array)) {
            json_t *made = wants_array ? json_array() : json_object();
            /* Something else has the name already: it is replaced by what is nested in it. */
            int err = json_is_object(holder) && made && inner
                              ? json_object_setn(holder, segments[i].text, segments[i].len, made) ? HZ_ENOMEM : 0
                              : put(holder, &segments[i], json_incref(made));
            inner = made;
            json_decref(made); /* the holder has it, or it was left out */
            if (err || (json_is_object(holder) && member(holder, &segments[i]) != inner)) {
                json_decref(value);
                return err;
            }
        }
        holder = inner;
    }
    return put(holder, &segments[count - 1], value);
}

int hz_form_decode(const char *text, size_t len, json_t **ret_root)
{
    json_t *root = json_object();
    char *name = malloc(2 * len + 2);
    int err = root && name ? 0 : HZ_ENOMEM;
    unsigned fields = 0;
    for (size_t at = 0; !err && at < len;) {
        const char *pair = text + at, *amp = memchr(pair, '&', len - at);
        size_t size = amp ? (size_t)(amp - pair) : len - at;
        const char *equals = memchr(pair, '=', size);
        size_t name_len = equals ? (size_t)(equals - pair) : size;
        char *value = name + len + 1;
        ptrdiff_t a = hz_url_decode(pair, name_len, true, name);
        size_t value_len = equals ? size - name_len - 1 : 0;
        ptrdiff_t b = hz_url_decode(equals ? equals + 1 : pair, value_len, true, value);
        if (++fields > HZ_FORM_FIELDS)
            err = HZ_ETOOBIG;
        else if (a > 0 && b >= 0) /* what is not text is left out */
            err = hz_form_set(root, name, json_stringn(value, (size_t)b));
        at += size + 1;
    }
    free(name);
    if (err) {
        json_decref(root);
        return hz_err_set(err, "reading a form");
    }
    *ret_root = root;
    return 0;
}

json_t *hz_form_base64(const void *data, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = data;
    size_t size = (len + 2) / 3 * 4;
    char *text = malloc(size + 1), *to = text;
    if (!text)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v =
                (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) | (left > 2 ? from[i + 2] : 0u);
        *to++ = letters[v >> 18];
        *to++ = letters[v >> 12 & 63];
        *to++ = left > 1 ? letters[v >> 6 & 63] : '=';
        *to++ = left > 2 ? letters[v & 63] : '=';
    }
    *to = 0;
    json_t *string = json_stringn_nocheck(text, size);
    free(text);
    return string;
}
