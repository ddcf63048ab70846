/*
 * validator_formats.c - `format`: whether a text is a date, an address, an identifier, by the standards the draft
 * names. Pure functions on bytes (UTF-8).
 */
#include "validator_internal.h"

struct text {
    const char *at, *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool take(struct text *t, char c)
{
    if (t->at == t->end || *t->at != c)
        return false;
    t->at++;
    return true;
}

/* Exactly n digits. */
static bool number(struct text *t, int n, int *ret)
{
    *ret = 0;
    for (int i = 0; i < n; i++) {
        if (t->at == t->end || !is_digit(*t->at))
            return false;
        *ret = *ret * 10 + (*t->at++ - '0');
    }
    return true;
}

/* RFC 3339 full-date */
static bool date(struct text *t)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y, m, d;
    if (!number(t, 4, &y) || !take(t, '-') || !number(t, 2, &m) || !take(t, '-') || !number(t, 2, &d))
        return false;
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    return m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] + (m == 2 && leap);
}

/* RFC 3339 full-time; second 60 only where a leap second can be: 23:59 UTC */
static bool time_of_day(struct text *t)
{
    int h, m, s, zone_h = 0, zone_m = 0, sign = 0;
    if (!number(t, 2, &h) || !take(t, ':') || !number(t, 2, &m) || !take(t, ':') || !number(t, 2, &s))
        return false;
    if (take(t, '.')) {
        if (t->at == t->end || !is_digit(*t->at))
            return false;
        while (t->at < t->end && is_digit(*t->at))
            t->at++;
    }
    if (!take(t, 'Z') && !take(t, 'z')) {
        sign = take(t, '+') ? 1 : take(t, '-') ? -1 : 0;
        if (!sign || !number(t, 2, &zone_h) || !take(t, ':') || !number(t, 2, &zone_m) || zone_h > 23 || zone_m > 59)
            return false;
    }
    if (h > 23 || m > 59 || s > 60)
        return false;
    int utc = (h * 60 + m - sign * (zone_h * 60 + zone_m) + 2 * 1440) % 1440;
    return s < 60 || utc == 1439;
}

static bool format_date(struct text t)
{
    return date(&t) && t.at == t.end;
}

static bool format_time(struct text t)
{
    return time_of_day(&t) && t.at == t.end;
}

static bool format_date_time(struct text t)
{
    return date(&t) && (take(&t, 'T') || take(&t, 't')) && time_of_day(&t) && t.at == t.end;
}

static bool format_ipv4(struct text t)
{
    for (int part = 0; part < 4; part++) {
        int v = 0, digits = 0;
        if (part && !take(&t, '.'))
            return false;
        for (; t.at < t.end && is_digit(*t.at) && digits < 4; digits++)
            v = v * 10 + (*t.at++ - '0');
        if (digits == 0 || digits > 3 || v > 255 || (digits > 1 && t.at[-digits] == '0'))
            return false;
    }
    return t.at == t.end;
}

/* RFC 4291: eight groups, one run of zeros left out, the last two as an IPv4 address; no zone. */
static bool format_ipv6(struct text t)
{
    int groups = 0;
    bool gap = false;
    if (t.end - t.at >= 2 && t.at[0] == ':' && t.at[1] == ':') {
        gap = true;
        t.at += 2;
    }
    while (t.at < t.end) {
        const char *start = t.at;
        while (t.at < t.end && is_hex(*t.at))
            t.at++;
        if (t.at < t.end && *t.at == '.') {
            t.at = start;
            groups += 2;
            return format_ipv4(t) && (gap ? groups < 8 : groups == 8);
        }
        if (t.at == start || t.at - start > 4 || ++groups > 8)
            return false;
        if (t.at == t.end)
            break;
        if (!take(&t, ':') || t.at == t.end)
            return false;
        if (*t.at == ':') {
            if (gap)
                return false;
            gap = true;
            t.at++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

/* RFC 1123: labels of letters, digits and inner hyphens, 63 bytes each, 253 together. */
static bool format_hostname(struct text t)
{
    if (t.at == t.end || t.end - t.at > 253)
        return false;
    for (;;) {
        const char *start = t.at;
        while (t.at < t.end && (is_alpha(*t.at) || is_digit(*t.at) || *t.at == '-'))
            t.at++;
        if (t.at == start || t.at - start > 63 || *start == '-' || t.at[-1] == '-')
            return false;
        if (t.at - start >= 4 && start[2] == '-' && start[3] == '-' && (start[0] | 0x20) != 'x')
            return false; /* reserved for encodings; the one in use is xn-- */
        if (t.at == t.end)
            return true;
        if (!take(&t, '.'))
            return false;
    }
}

static bool email_domain(struct text t)
{
    if (t.end - t.at > 2 && *t.at == '[' && t.end[-1] == ']') {
        struct text inside = {t.at + 1, t.end - 1};
        if (inside.end - inside.at > 5 && memcmp(inside.at, "IPv6:", 5) == 0) {
            inside.at += 5;
            return format_ipv6(inside);
        }
        return format_ipv4(inside);
    }
    return format_hostname(t);
}

static bool email(struct text t, bool international)
{
    const char *split = NULL;
    for (const char *p = t.end; p > t.at && !split; p--) {
        if (p[-1] == '@')
            split = p - 1;
    }
    if (!split || split == t.at || split - t.at > 64)
        return false;
    struct text local = {t.at, split};
    if (*local.at == '"') {
        if (local.end - local.at < 2 || local.end[-1] != '"')
            return false;
        for (const char *p = local.at + 1; p < local.end - 1; p++) {
            if (*p == '\\' && ++p == local.end - 1)
                return false;
            if (p[0] == '"' && p[-1] != '\\')
                return false;
        }
    } else {
        for (const char *p = local.at; p < local.end; p++) {
            bool atom = is_alpha(*p) || is_digit(*p) || is_one_of(*p, "!#$%&'*+-/=?^_`{|}~") ||
                        (international && (unsigned char)*p >= 0x80);
            if (!atom && !(*p == '.' && p > local.at && p + 1 < local.end && p[-1] != '.'))
                return false;
        }
    }
    struct text domain = {split + 1, t.end};
    if (international) { /* labels in other scripts: only their shape */
        for (const char *p = domain.at; p < domain.end; p++) {
            if ((unsigned char)*p >= 0x80)
                return *domain.at != '.' && domain.end[-1] != '.';
        }
    }
    return email_domain(domain);
}

static bool format_email(struct text t)
{
    return email(t, false);
}

static bool format_idn_email(struct text t)
{
    return email(t, true);
}

/* ## RFC 3986; `wide`: RFC 3987, any character beyond ASCII counts as unreserved */

static bool uri_chars(struct text t, const char *more, bool wide)
{
    for (; t.at < t.end; t.at++) {
        char c = *t.at;
        if (c == '%') {
            if (t.end - t.at < 3 || !is_hex(t.at[1]) || !is_hex(t.at[2]))
                return false;
            t.at += 2;
        } else if (!is_alpha(c) && !is_digit(c) && !is_one_of(c, "-._~!$&'()*+,;=") && !is_one_of(c, more) &&
                   !(wide && (unsigned char)c >= 0x80)) {
            return false;
        }
    }
    return true;
}

static const char *find(struct text t, const char *set)
{
    while (t.at < t.end && !is_one_of(*t.at, set))
        t.at++;
    return t.at;
}

static bool uri_authority(struct text t, bool wide)
{
    const char *host = t.at;
    for (const char *p = t.at; p < t.end; p++) {
        if (*p == '@')
            host = p + 1;
    }
    if (host > t.at && !uri_chars((struct text){t.at, host - 1}, ":", wide))
        return false;
    const char *port;
    if (host < t.end && *host == '[') {
        const char *close = find((struct text){host, t.end}, "]");
        if (close == t.end)
            return false;
        struct text inside = {host + 1, close};
        if (inside.at < inside.end && (*inside.at | 0x20) == 'v') { /* a future version: v1.anything */
            inside.at++;
            const char *dot = find(inside, ".");
            if (dot == inside.at || dot == inside.end || !uri_chars((struct text){dot + 1, close}, ":", false))
                return false;
        } else if (!format_ipv6(inside)) {
            return false;
        }
        port = close + 1;
    } else {
        port = find((struct text){host, t.end}, ":");
        if (!uri_chars((struct text){host, port}, "", wide))
            return false;
    }
    if (port == t.end)
        return true;
    if (*port != ':')
        return false;
    for (port++; port < t.end; port++) {
        if (!is_digit(*port))
            return false;
    }
    return true;
}

static bool uri(struct text t, bool relative, bool wide)
{
    const char *colon = find(t, ":/?#");
    bool scheme = colon < t.end && *colon == ':' && colon > t.at && is_alpha(*t.at);
    for (const char *p = t.at; scheme && p < colon; p++)
        scheme = is_alpha(*p) || is_digit(*p) || is_one_of(*p, "+-.");
    if (scheme)
        t.at = colon + 1;
    else if (!relative || (colon < t.end && *colon == ':')) /* a first segment must not look like a scheme */
        return false;
    if (t.end - t.at >= 2 && t.at[0] == '/' && t.at[1] == '/') {
        struct text authority = {t.at + 2, find((struct text){t.at + 2, t.end}, "/?#")};
        if (!uri_authority(authority, wide))
            return false;
        t.at = authority.end;
    }
    struct text path = {t.at, find(t, "?#")};
    struct text query = {
            path.end, path.end < t.end && *path.end == '?' ? find((struct text){path.end, t.end}, "#") : path.end};
    struct text fragment = {query.end, t.end};
    if (query.at < query.end)
        query.at++;
    if (fragment.at < fragment.end)
        fragment.at++;
    return uri_chars(path, "/:@", wide) && uri_chars(query, "/?:@", wide) && uri_chars(fragment, "/?:@", wide);
}

static bool format_uri(struct text t)
{
    return uri(t, false, false);
}

static bool format_uri_reference(struct text t)
{
    return uri(t, true, false);
}

static bool format_iri(struct text t)
{
    return uri(t, false, true);
}

static bool format_iri_reference(struct text t)
{
    return uri(t, true, true);
}

/* RFC 6570: text with {expressions}. */
static bool format_uri_template(struct text t)
{
    while (t.at < t.end) {
        unsigned char c = (unsigned char)*t.at++;
        if (c == '}' || c <= ' ' || is_one_of((char)c, "\"<>\\^`|") || c == 0x7f)
            return false;
        if (c == '%' && (t.end - t.at < 2 || !is_hex(t.at[0]) || !is_hex(t.at[1])))
            return false;
        if (c != '{')
            continue;
        if (t.at < t.end && is_one_of(*t.at, "+#./;?&=,!@|"))
            t.at++;
        do {
            const char *start = t.at;
            while (t.at < t.end && (is_alpha(*t.at) || is_digit(*t.at) || is_one_of(*t.at, "_%") ||
                                           (*t.at == '.' && t.at > start && t.at[-1] != '.')))
                t.at++;
            if (t.at == start || t.at[-1] == '.')
                return false;
            if (take(&t, ':')) { /* a prefix of 1 to 9999 */
                const char *prefix = t.at;
                while (t.at < t.end && is_digit(*t.at))
                    t.at++;
                if (t.at == prefix || t.at - prefix > 4 || *prefix == '0')
                    return false;
            } else {
                (void)take(&t, '*');
            }
        } while (take(&t, ','));
        if (!take(&t, '}'))
            return false;
    }
    return true;
}

static bool format_uuid(struct text t)
{
    if (t.end - t.at != 36)
        return false;
    for (int i = 0; i < 36; i++) {
        bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (hyphen ? t.at[i] != '-' : !is_hex(t.at[i]))
            return false;
    }
    return true;
}

static bool format_json_pointer(struct text t)
{
    if (t.at < t.end && *t.at != '/')
        return false;
    for (; t.at < t.end; t.at++) {
        if (*t.at == '~' && (t.at + 1 == t.end || (t.at[1] != '0' && t.at[1] != '1')))
            return false;
    }
    return true;
}

static bool format_relative_json_pointer(struct text t)
{
    const char *start = t.at;
    while (t.at < t.end && is_digit(*t.at))
        t.at++;
    if (t.at == start || (*start == '0' && t.at - start > 1))
        return false;
    return (t.end - t.at == 1 && *t.at == '#') || format_json_pointer(t);
}

static bool format_regex(struct text t)
{
    char reason[160];
    struct schema_pattern *pattern = schema_pattern_new((hz_str){t.at, (size_t)(t.end - t.at)}, reason, sizeof reason);
    schema_pattern_free(pattern);
    return pattern != NULL;
}

bool schema_format_check(hz_str name, hz_str text)
{
    static const struct {
        const char *name;
        bool (*check)(struct text t);
    } formats[] = {{"date-time", format_date_time}, {"date", format_date}, {"time", format_time},
            {"email", format_email}, {"idn-email", format_idn_email}, {"hostname", format_hostname},
            {"ipv4", format_ipv4}, {"ipv6", format_ipv6}, {"uri", format_uri}, {"url", format_uri},
            {"uri-reference", format_uri_reference}, {"iri", format_iri}, {"iri-reference", format_iri_reference},
            {"uri-template", format_uri_template}, {"uuid", format_uuid}, {"json-pointer", format_json_pointer},
            {"relative-json-pointer", format_relative_json_pointer}, {"regex", format_regex}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strlen(formats[i].name) == name.len && memcmp(formats[i].name, name.data, name.len) == 0)
            return formats[i].check((struct text){text.data, text.data + text.len});
    }
    return true;
}
