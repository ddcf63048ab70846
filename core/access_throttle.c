/*
 * access_throttle.c - failed logins make the next try wait: for one address after 20 failures, for one mail (known or not) after 5, twice
 * as long after each further one, up to five minutes and half a minute. So nobody can be kept out for long by others, and guessing is slow from
 * one place and on one account. Forgotten a quarter of an hour after the last failure. The helper thread's.
 *
 * Entries stand in sets of eight chosen by a keyed hash (SipHash), so that nobody can aim at one; the one least failed makes room.
 */
#include "access_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 512, WAYS = 8, ADDRESS_FREE = 20, MAIL_FREE = 5, ADDRESS_MOST_S = 300, MAIL_MOST_S = 30 };
#define FORGET_MS INT64_C(900000)

struct entry {
    uint64_t key; /* 0: free */
    uint32_t failures;
    int64_t last_ms;
};
struct hz_throttle {
    unsigned char secret[crypto_shorthash_KEYBYTES];
    struct entry sets[SETS][WAYS];
};

struct hz_throttle *hz_throttle_new(void)
{
    struct hz_throttle *throttle = calloc(1, sizeof *throttle);
    if (throttle)
        crypto_shorthash_keygen(throttle->secret);
    return throttle;
}

void hz_throttle_free(struct hz_throttle **throttle)
{
    free(*throttle);
    *throttle = NULL;
}

/* 0: not counted (the Unix socket). An IPv6 host has 64 bits of addresses of its own: they count as one. */
static uint64_t key_of(const struct hz_throttle *throttle, char kind, const char *text)
{
    unsigned char in[1 + HZ_ACCESS_EMAIL] = {(unsigned char)kind}, hash[crypto_shorthash_BYTES];
    struct in6_addr v6;
    size_t len = 0;
    uint64_t key;
    if (kind == 'a' && strcmp(text, "unix") == 0)
        return 0;
    if (kind == 'a' && inet_pton(AF_INET6, text, &v6) == 1) {
        memcpy(in + 1, &v6, 8);
        len = 8;
    } else
        for (; len < HZ_ACCESS_EMAIL && text[len]; len++)
            in[1 + len] = (unsigned char)tolower((unsigned char)text[len]);
    crypto_shorthash(hash, in, 1 + len, throttle->secret);
    memcpy(&key, hash, sizeof key);
    return key ? key : 1;
}

static struct entry *find(struct hz_throttle *throttle, uint64_t key)
{
    struct entry *set = throttle->sets[key % SETS];
    for (int i = 0; i < WAYS; i++)
        if (key && set[i].key == key)
            return &set[i];
    return NULL;
}

static uint32_t wait_of(const struct hz_throttle *throttle, uint64_t key, uint32_t free_tries, uint32_t most_s, int64_t now_ms)
{
    const struct entry *set = throttle->sets[key % SETS];
    for (int i = 0; i < WAYS; i++) {
        if (!key || set[i].key != key || set[i].failures < free_tries || now_ms - set[i].last_ms > FORGET_MS)
            continue;
        uint32_t doubled = HZ_MIN(set[i].failures - free_tries, 16u);
        int64_t until = set[i].last_ms + INT64_C(1000) * HZ_MIN(UINT32_C(1) << doubled, most_s);
        return until > now_ms ? (uint32_t)((until - now_ms + 999) / 1000) : 0;
    }
    return 0;
}

uint32_t hz_throttle_wait(const struct hz_throttle *throttle, const char *address, const char *email, int64_t now_ms)
{
    uint32_t a = wait_of(throttle, key_of(throttle, 'a', address), ADDRESS_FREE, ADDRESS_MOST_S, now_ms);
    uint32_t b = wait_of(throttle, key_of(throttle, 'm', email), MAIL_FREE, MAIL_MOST_S, now_ms);
    return HZ_MAX(a, b);
}

static void count(struct hz_throttle *throttle, uint64_t key, int64_t now_ms)
{
    struct entry *e = find(throttle, key), *set = throttle->sets[key % SETS];
    if (!key)
        return;
    if (!e) {
        e = set;
        for (int i = 1; i < WAYS; i++) {
            bool old = now_ms - set[i].last_ms > FORGET_MS, chosen_old = now_ms - e->last_ms > FORGET_MS;
            if (old != chosen_old ? old : set[i].failures < e->failures)
                e = &set[i];
        }
        *e = (struct entry){.key = key};
    }
    if (now_ms - e->last_ms > FORGET_MS)
        e->failures = 0;
    e->failures++;
    e->last_ms = now_ms;
}

void hz_throttle_failed(struct hz_throttle *throttle, const char *address, const char *email, int64_t now_ms)
{
    count(throttle, key_of(throttle, 'a', address), now_ms);
    count(throttle, key_of(throttle, 'm', email), now_ms);
}

/* The address stays counted: whoever has one account of his own could wipe its slate otherwise. */
void hz_throttle_passed(struct hz_throttle *throttle, const char *email)
{
    struct entry *e = find(throttle, key_of(throttle, 'm', email));
    if (e)
        memset(e, 0, sizeof *e);
}
