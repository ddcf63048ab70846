/* proxy.c - see proxy.h. */
#include "proxy.h"

#include "shm/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { NETWORKS_MOST = 64, TEXT_MOST = 64 };

struct network {
    uint8_t address[16]; /* IPv4: mapped */
    unsigned bits;
};
static struct {
    struct network list[NETWORKS_MOST];
    unsigned count;
} trusted; /* written before the shards run */

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool bytes_of(const void *sockaddr, uint8_t ret[16])
{
    const struct sockaddr *any = sockaddr;
    if (any->sa_family == AF_INET6) {
        memcpy(ret, &((const struct sockaddr_in6 *)sockaddr)->sin6_addr, 16);
    } else if (any->sa_family == AF_INET) {
        memcpy(ret, mapped, sizeof mapped);
        memcpy(ret + 12, &((const struct sockaddr_in *)sockaddr)->sin_addr, 4);
    } else {
        return false;
    }
    return true;
}

static bool is_trusted(const uint8_t address[16])
{
    for (unsigned i = 0; i < trusted.count; i++) {
        const struct network *n = &trusted.list[i];
        unsigned whole = n->bits / 8, rest = n->bits % 8;
        uint8_t mask = (uint8_t)(0xff00u >> rest);
        if (memcmp(address, n->address, whole) == 0 && (rest == 0 || ((address[whole] ^ n->address[whole]) & mask) == 0))
            return true;
    }
    return false;
}

/* "192.0.2.1", "::1", and with_port "192.0.2.1:80", "[::1]:80" as some proxies write. */
static bool parse(const char *text, size_t len, bool with_port, struct sockaddr_storage *ret)
{
    char copy[TEXT_MOST];
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret;
    if (len == 0 || len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    char *address = copy, *colon = strchr(copy, ':');
    if (with_port && copy[0] == '[') {
        char *end = strchr(copy, ']');
        if (!end || (end[1] && end[1] != ':'))
            return false;
        *end = 0;
        address++;
    } else if (with_port && colon && !strchr(colon + 1, ':')) {
        *colon = 0;
    }
    memset(ret, 0, sizeof *ret);
    ret->ss_family = strchr(address, ':') ? AF_INET6 : AF_INET;
    return (ret->ss_family == AF_INET6 ? inet_pton(AF_INET6, address, &v6->sin6_addr) : inet_pton(AF_INET, address, &v4->sin_addr)) == 1;
}

static bool parse_network(const char *text, size_t len, struct network *ret)
{
    const char *slash = memchr(text, '/', len);
    size_t name = slash ? (size_t)(slash - text) : len;
    struct sockaddr_storage address;
    if (!parse(text, name, false, &address) || !bytes_of(&address, ret->address))
        return false;
    unsigned most = address.ss_family == AF_INET ? 32 : 128, bits = most;
    if (slash) {
        char *end;
        unsigned long value = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || end != text + len || value > most)
            return false;
        bits = (unsigned)value;
    }
    ret->bits = bits + (most == 32 ? 96 : 0);
    return true;
}

int hz_proxy_trust(const char *list)
{
    struct network made[NETWORKS_MOST];
    unsigned count = 0;
    for (const char *at = list ? list : ""; *at;) {
        size_t size = strcspn(at, ","), from = strspn(at, " "), len = size;
        while (len > from && at[len - 1] == ' ')
            len--;
        if (len > from && count == NETWORKS_MOST)
            return hz_err_set(HZ_EFORMAT, "trusted proxies: at most %d are taken", NETWORKS_MOST);
        if (len > from && !parse_network(at + from, len - from, &made[count++]))
            return hz_err_set(HZ_EFORMAT, "trusted proxies: \"%.*s\" is no address or network such as 127.0.0.1, 10.0.0.0/8 or ::1",
                    (int)HZ_MIN(len - from, (size_t)100), at + from);
        at += size + (at[size] == ',');
    }
    memcpy(trusted.list, made, count * sizeof *made);
    trusted.count = count;
    return 0;
}

bool hz_proxy_trusted(const void *sockaddr)
{
    uint8_t address[16];
    return trusted.count > 0 && bytes_of(sockaddr, address) && is_trusted(address);
}

bool hz_proxy_client(const char *forwarded, struct sockaddr_storage *ret)
{
    bool found = false;
    for (size_t end = strlen(forwarded);;) {
        size_t from = end;
        while (from > 0 && forwarded[from - 1] != ',')
            from--;
        const char *text = forwarded + from;
        size_t len = end - from;
        while (len > 0 && (*text == ' ' || *text == '\t')) {
            text++;
            len--;
        }
        while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
            len--;
        struct sockaddr_storage one;
        if (!parse(text, len, true, &one))
            return found;
        *ret = one;
        found = true;
        if (from == 0 || !hz_proxy_trusted(&one))
            return true;
        end = from - 1;
    }
}
