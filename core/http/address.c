/*
 * address.c - see address.h. A token bucket and a count for each address, in chains that one mutex of 64 guards each. What has no connection
 * and a full bucket again is forgotten when its chain is looked at. Addresses beyond ADDRESSES_MOST are not counted: memory comes first, and
 * the connections of a shard are bounded anyhow.
 */
#include "address.h"

#include "shm/err.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { STRIPES = 64, CHAINS = 64, ADDRESSES_MOST = 65536 };
#define SECOND_NS UINT64_C(1000000000)

struct entry {
    struct entry *next;
    uint8_t key[16];
    uint32_t connections, sessions;
    uint64_t last_ns, credit_ns; /* credit: requests times the time of one */
};
struct stripe {
    pthread_mutex_t lock;
    struct entry *chains[CHAINS];
};
static struct {
    struct stripe *stripes; /* NULL: nothing is bounded; written before the shards run */
    uint32_t connections, rate;
    bool loopback;
    uint64_t seed;
    _Atomic uint32_t count;
} table;

int hz_address_init(uint32_t connections, uint32_t rate, bool loopback)
{
    hz_address_fini();
    if (!connections && !rate)
        return 0;
    table.connections = connections;
    table.rate = rate;
    table.loopback = loopback;
    hz_base_random(&table.seed, sizeof table.seed);
    table.stripes = calloc(STRIPES, sizeof *table.stripes);
    if (!table.stripes)
        return hz_err_set(HZ_ENOMEM, "the table of addresses");
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_init(&table.stripes[i].lock, NULL);
    return 0;
}

void hz_address_fini(void)
{
    for (int i = 0; table.stripes && i < STRIPES; i++) {
        for (int k = 0; k < CHAINS; k++)
            while (table.stripes[i].chains[k]) {
                struct entry *entry = table.stripes[i].chains[k];
                table.stripes[i].chains[k] = entry->next;
                free(entry);
            }
        pthread_mutex_destroy(&table.stripes[i].lock);
    }
    free(table.stripes);
    table.stripes = NULL;
    atomic_store(&table.count, 0);
}

/* False: not counted. */
static bool key_of(const void *sockaddr, uint8_t ret_key[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const struct sockaddr *any = sockaddr;
    memset(ret_key, 0, 16);
    bool loopback;
    if (any->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = sockaddr;
        loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
        memcpy(ret_key, &v6->sin6_addr, IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? 16 : 8);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            loopback = ret_key[12] == 127;
    } else if (any->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = sockaddr;
        memcpy(ret_key, mapped, sizeof mapped);
        memcpy(ret_key + 12, &v4->sin_addr, 4);
        loopback = ret_key[12] == 127;
    } else
        return false;
    return table.loopback || !loopback;
}

/* With the stripe locked. NULL: not there and not made. */
static struct entry *find(struct stripe *stripe, size_t chain, const uint8_t key[16], uint64_t now_ns, bool make)
{
    struct entry **at = &stripe->chains[chain], *found = NULL;
    while (*at) {
        struct entry *entry = *at;
        if (memcmp(entry->key, key, 16) == 0)
            found = entry;
        else if (entry->connections == 0 && entry->sessions == 0 && now_ns - entry->last_ns > HZ_ADDRESS_BURST_S * SECOND_NS) {
            *at = entry->next;
            free(entry);
            atomic_fetch_sub(&table.count, 1);
            continue;
        }
        at = &entry->next;
    }
    if (found || !make || atomic_load(&table.count) >= ADDRESSES_MOST)
        return found;
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    memcpy(entry->key, key, 16);
    entry->last_ns = now_ns;
    entry->credit_ns = HZ_ADDRESS_BURST_S * SECOND_NS;
    entry->next = stripe->chains[chain];
    stripe->chains[chain] = entry;
    atomic_fetch_add(&table.count, 1);
    return entry;
}

/* Locks and gives the chain of a key; FNV-1a over key and seed, so that nobody chooses his chain. */
static struct stripe *lock_chain(const uint8_t key[16], size_t *ret_chain)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ table.seed;
    for (int i = 0; i < 16; i++)
        hash = (hash ^ key[i]) * UINT64_C(1099511628211);
    hash ^= hash >> 29;
    struct stripe *stripe = &table.stripes[hash % STRIPES];
    *ret_chain = hash / STRIPES % CHAINS;
    pthread_mutex_lock(&stripe->lock);
    return stripe;
}

bool hz_address_enter(const void *sockaddr, struct hz_address *ret)
{
    memset(ret, 0, sizeof *ret);
    if (!table.stripes || !key_of(sockaddr, ret->key))
        return true;
    size_t chain;
    struct stripe *stripe = lock_chain(ret->key, &chain);
    struct entry *entry = find(stripe, chain, ret->key, hz_base_now_ns(), true);
    bool room = !entry || !table.connections || entry->connections < table.connections;
    if (entry && room) {
        entry->connections++;
        ret->counted = true;
    }
    pthread_mutex_unlock(&stripe->lock);
    return room;
}

void hz_address_leave(struct hz_address *address)
{
    if (!address->counted)
        return;
    size_t chain;
    struct stripe *stripe = lock_chain(address->key, &chain);
    struct entry *entry = find(stripe, chain, address->key, hz_base_now_ns(), false);
    if (entry && entry->connections > 0)
        entry->connections--;
    pthread_mutex_unlock(&stripe->lock);
    address->counted = false;
}

void hz_address_of(const void *sockaddr, struct hz_address *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->counted = table.stripes && key_of(sockaddr, ret->key);
}

bool hz_address_open_session(const struct hz_address *address, struct hz_address *ret)
{
    memset(ret, 0, sizeof *ret);
    if (!address->counted || !table.connections)
        return true;
    *ret = *address;
    size_t chain;
    struct stripe *stripe = lock_chain(ret->key, &chain);
    struct entry *entry = find(stripe, chain, ret->key, hz_base_now_ns(), true);
    bool room = !entry || entry->sessions < table.connections;
    ret->counted = entry && room;
    if (ret->counted)
        entry->sessions++;
    pthread_mutex_unlock(&stripe->lock);
    return room;
}

void hz_address_close_session(struct hz_address *session)
{
    if (!session->counted)
        return;
    size_t chain;
    struct stripe *stripe = lock_chain(session->key, &chain);
    struct entry *entry = find(stripe, chain, session->key, hz_base_now_ns(), false);
    if (entry && entry->sessions > 0)
        entry->sessions--;
    pthread_mutex_unlock(&stripe->lock);
    session->counted = false;
}

static bool ask(const uint8_t key[16], uint64_t now_ns, bool make)
{
    size_t chain;
    uint64_t price = SECOND_NS / table.rate;
    struct stripe *stripe = lock_chain(key, &chain);
    struct entry *entry = find(stripe, chain, key, now_ns, make);
    bool room = true;
    if (entry) {
        uint64_t passed = now_ns > entry->last_ns ? now_ns - entry->last_ns : 0;
        entry->credit_ns = HZ_MIN(entry->credit_ns + passed, HZ_ADDRESS_BURST_S * SECOND_NS);
        entry->last_ns = HZ_MAX(entry->last_ns, now_ns);
        room = entry->credit_ns >= price;
        entry->credit_ns -= room ? price : 0;
    }
    pthread_mutex_unlock(&stripe->lock);
    return room;
}

bool hz_address_ask(const struct hz_address *address, uint64_t now_ns)
{
    return !address->counted || !table.rate || ask(address->key, now_ns, false);
}

bool hz_address_ask_for(const void *sockaddr, uint64_t now_ns)
{
    uint8_t key[16];
    return !table.stripes || !table.rate || !key_of(sockaddr, key) || ask(key, now_ns, true);
}
