/*
 * secrets_box.c - seals what a flow with secrets leaves at rest and needs back unchanged: its checkpoints. Blob: nonce, then secretbox of
 * the owner's id and the bytes. Synchronisation: `lock` guards the key, read from the store once.
 */
#include "secrets.h"

#include "shm/err.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define OVERHEAD (crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES)

static struct {
    pthread_mutex_t lock;
    unsigned char key[crypto_secretbox_KEYBYTES];
    bool known;
} box = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int get_key(unsigned char ret_key[crypto_secretbox_KEYBYTES])
{
    pthread_mutex_lock(&box.lock);
    int err = box.known ? 0 : hz_secrets_own_key(box.key);
    box.known = !err;
    memcpy(ret_key, box.key, sizeof box.key);
    pthread_mutex_unlock(&box.lock);
    return err;
}

void hz_secrets_box_forget(void)
{
    pthread_mutex_lock(&box.lock);
    sodium_memzero(box.key, sizeof box.key);
    box.known = false;
    pthread_mutex_unlock(&box.lock);
}

static void wipe(unsigned char *plain, size_t len)
{
    if (plain)
        sodium_memzero(plain, len);
    free(plain);
}

void *hz_secrets_box(const struct hz_uuid *who, const void *data, size_t len, size_t *ret_len)
{
    unsigned char key[crypto_secretbox_KEYBYTES], *plain = malloc(sizeof *who + len), *sealed = malloc(OVERHEAD + sizeof *who + len);
    int err = plain && sealed ? get_key(key) : hz_err_set(HZ_ENOMEM, "sealing a checkpoint");
    if (!err) {
        memcpy(plain, who, sizeof *who);
        memcpy(plain + sizeof *who, data, len);
        randombytes_buf(sealed, crypto_secretbox_NONCEBYTES);
        crypto_secretbox_easy(sealed + crypto_secretbox_NONCEBYTES, plain, sizeof *who + len, sealed, key);
        *ret_len = OVERHEAD + sizeof *who + len;
        sodium_memzero(key, sizeof key);
    } else {
        free(sealed);
        sealed = NULL;
    }
    wipe(plain, sizeof *who + len);
    return sealed;
}

void *hz_secrets_unbox(const struct hz_uuid *who, const void *sealed, size_t len, size_t *ret_len)
{
    unsigned char key[crypto_secretbox_KEYBYTES];
    const unsigned char *bytes = sealed;
    if (len < OVERHEAD + sizeof *who) {
        (void)hz_err_set(HZ_EFORMAT, "a sealed checkpoint is too short");
        return NULL;
    }
    size_t plain_len = len - OVERHEAD;
    unsigned char *plain = malloc(plain_len);
    int err = plain ? get_key(key) : hz_err_set(HZ_ENOMEM, "opening a checkpoint");
    if (!err && (crypto_secretbox_open_easy(plain, bytes + crypto_secretbox_NONCEBYTES, len - crypto_secretbox_NONCEBYTES, bytes, key) ||
                        memcmp(plain, who, sizeof *who) != 0))
        err = hz_err_set(HZ_EFORMAT, "the key at hand does not open a sealed checkpoint");
    sodium_memzero(key, sizeof key);
    if (err) {
        wipe(plain, plain_len);
        return NULL;
    }
    *ret_len = plain_len - sizeof *who;
    memmove(plain, plain + sizeof *who, *ret_len);
    return plain;
}
