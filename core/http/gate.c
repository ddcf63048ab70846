/*
 * gate.c - keeps web pages of strangers away from a server on loopback: the Host list stops DNS rebinding, the Origin
 * list stops requests that a browser sends for another site. It knows no users and no passwords.
 */
#include "gate.h"

#include "shm/err.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char **split(const char *text)
{
    size_t count = 1;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    char **list = calloc(count + 1, sizeof *list);
    size_t used = 0;
    while (list && *text) {
        size_t len = strcspn(text, ",");
        const char *from = text, *to = text + len;
        while (from < to && isspace((unsigned char)*from))
            from++;
        while (to > from && (isspace((unsigned char)to[-1]) || to[-1] == '/'))
            to--;
        if (to > from) {
            list[used] = strndup(from, (size_t)(to - from));
            if (!list[used]) {
                for (size_t i = 0; i < used; i++)
                    free(list[i]);
                free(list);
                return NULL;
            }
            used++;
        }
        text += len + (text[len] == ',');
    }
    return list;
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

int hz_gate_init(struct hz_gate *gate, const char *hosts, const char *origins)
{
    gate->hosts = split(hosts ? hosts : "");
    gate->origins = split(origins ? origins : "");
    if (gate->hosts && gate->origins)
        return 0;
    hz_gate_fini(gate);
    return hz_err_set(HZ_ENOMEM, "reading the lists of hosts and origins");
}

void hz_gate_fini(struct hz_gate *gate)
{
    free_list(gate->hosts);
    free_list(gate->origins);
    gate->hosts = gate->origins = NULL;
}

/* Length of the name in `name[:port]`, 0 if it is none. A dot at the end is the same name (the DNS root). */
static size_t name_length(const char *host)
{
    size_t len;
    if (host[0] == '[') {
        const char *end = strchr(host, ']');
        if (!end)
            return 0;
        len = (size_t)(end - host) + 1;
    } else
        len = strcspn(host, ":");
    const char *port = host + len;
    if (*port == ':')
        for (port++; isdigit((unsigned char)*port);)
            port++;
    if (*port)
        return 0;
    return len > 1 && host[len - 1] == '.' ? len - 1 : len;
}

static bool is_name(const char *host, size_t len, const char *name)
{
    return strlen(name) == len && strncasecmp(host, name, len) == 0;
}

/* 127.a.b.c in full dotted form. */
static bool is_loopback_v4(const char *host, size_t len)
{
    if (len < 9 || strncmp(host, "127.", 4) != 0)
        return false;
    unsigned dots = 0, digits = 0, value = 0;
    for (size_t i = 0; i < len; i++) {
        if (host[i] == '.') {
            if (digits == 0 || value > 255)
                return false;
            dots++;
            digits = value = 0;
        } else if (isdigit((unsigned char)host[i]) && digits < 3) {
            value = value * 10 + (unsigned)(host[i] - '0');
            digits++;
        } else
            return false;
    }
    return dots == 3 && digits > 0 && value <= 255;
}

bool hz_gate_host(const struct hz_gate *gate, const char *host, bool wide)
{
    size_t len = host ? name_length(host) : 0;
    if (len == 0)
        return false;
    if (is_name(host, len, "127.0.0.1") || is_name(host, len, "[::1]") || is_name(host, len, "localhost"))
        return true;
    for (size_t i = 0; gate->hosts && gate->hosts[i]; i++)
        if (is_name(host, len, gate->hosts[i]))
            return true;
    static const char below[] = ".localhost";
    return wide && (is_loopback_v4(host, len) || (len > sizeof below - 1 && strncasecmp(host + len - (sizeof below - 1),
                                                                                    below, sizeof below - 1) == 0));
}

enum hz_gate_origin hz_gate_origin(const struct hz_gate *gate, const char *origin, const char *host)
{
    if (!origin)
        return HZ_ORIGIN_NONE;
    const char *authority = strstr(origin, "://");
    if (!authority) /* also `null`: sandboxed frames and files send it */
        return HZ_ORIGIN_REFUSED;
    if (host && (strncasecmp(origin, "http://", 7) == 0 || strncasecmp(origin, "https://", 8) == 0) &&
            strcasecmp(authority + 3, host) == 0)
        return HZ_ORIGIN_OWN;
    const char *colon = strrchr(origin, ':'); /* a page that came from another of our names is ours as well */
    if (strncasecmp(origin, "http://", 7) == 0 && gate->port && colon && strtoul(colon + 1, NULL, 10) == gate->port &&
            hz_gate_host(gate, authority + 3, false))
        return HZ_ORIGIN_OWN;
    for (size_t i = 0; gate->origins && gate->origins[i]; i++)
        if (strcasecmp(origin, gate->origins[i]) == 0)
            return HZ_ORIGIN_OWN;
    return HZ_ORIGIN_REFUSED;
}
