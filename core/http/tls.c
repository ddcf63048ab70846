/*
 * tls.c - see tls.h. The library asks for a certificate at each handshake, so that a renewed one is used without a restart and without
 * disturbing who is connected.
 *
 * Synchronisation: `current` is published by the main thread (release) and read by handshakes (acquire). A pair that was replaced may
 * still be used by a handshake: all are kept until the end; a renewal is a rare thing.
 */
#include "tls.h"

#include "shm/err.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MOST = 16 };

struct pair {
    struct pair *older;
    gnutls_pcert_st chain[CHAIN_MOST];
    unsigned count;
    gnutls_privkey_t key;
};
static struct {
    char *cert_path, *key_path;
    struct pair *all; /* main thread */
    _Atomic(struct pair *) current;
} tls;

static int hand_out(gnutls_session_t session, const gnutls_datum_t *names, int name_count, const gnutls_pk_algorithm_t *kinds,
        int kind_count, gnutls_pcert_st **ret_chain, unsigned *ret_count, gnutls_privkey_t *ret_key)
{
    (void)session;
    (void)names;
    (void)name_count;
    (void)kinds;
    (void)kind_count;
    struct pair *pair = atomic_load_explicit(&tls.current, memory_order_acquire);
    if (!pair)
        return -1;
    *ret_chain = pair->chain;
    *ret_count = pair->count;
    *ret_key = pair->key;
    return 0;
}

/* The library takes it as a pointer to an object. */
void *hz_tls_callback(void)
{
    gnutls_certificate_retrieve_function2 *fn = hand_out;
    void *pointer;
    _Static_assert(sizeof pointer == sizeof fn, "POSIX demands it");
    memcpy(&pointer, &fn, sizeof pointer);
    return pointer;
}

static void free_pair(struct pair *pair)
{
    for (unsigned i = 0; i < pair->count; i++)
        gnutls_pcert_deinit(&pair->chain[i]);
    if (pair->key)
        gnutls_privkey_deinit(pair->key);
    free(pair);
}

static int fail(int code, const char *what)
{
    return hz_err_set(HZ_EFORMAT, "TLS: %s: %s", what, gnutls_strerror(code));
}

/* Do they belong together, and can they be read at all? */
static int check(void)
{
    gnutls_certificate_credentials_t both;
    int code = gnutls_certificate_allocate_credentials(&both);
    if (code < 0)
        return fail(code, "memory");
    code = gnutls_certificate_set_x509_key_file(both, tls.cert_path, tls.key_path, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(both);
    return code < 0 ? hz_err_set(HZ_EFORMAT, "TLS: the certificate %s with the key %s: %s", tls.cert_path, tls.key_path, gnutls_strerror(code)) : 0;
}

static int load_key(struct pair *pair)
{
    gnutls_datum_t text = {0};
    int code = gnutls_load_file(tls.key_path, &text);
    if (code >= 0)
        code = gnutls_privkey_init(&pair->key);
    if (code >= 0)
        code = gnutls_privkey_import_x509_raw(pair->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (text.data)
        gnutls_memset(text.data, 0, text.size);
    gnutls_free(text.data);
    return code < 0 ? fail(code, tls.key_path) : 0;
}

int hz_tls_reload(void)
{
    int err = check();
    if (err)
        return err;
    struct pair *pair = calloc(1, sizeof *pair);
    if (!pair)
        return hz_err_set(HZ_ENOMEM, "TLS");
    unsigned count = CHAIN_MOST;
    int code = gnutls_pcert_list_import_x509_file(pair->chain, &count, tls.cert_path, GNUTLS_X509_FMT_PEM, NULL, NULL, 0);
    if (code < 0)
        err = fail(code, tls.cert_path);
    else
        pair->count = count;
    if (!err)
        err = load_key(pair);
    if (err) {
        free_pair(pair);
        return err;
    }
    pair->older = tls.all;
    tls.all = pair;
    atomic_store_explicit(&tls.current, pair, memory_order_release);
    return 0;
}

int hz_tls_open(const char *cert, const char *key)
{
    hz_tls_close();
    tls.cert_path = strdup(cert);
    tls.key_path = strdup(key);
    return tls.cert_path && tls.key_path ? hz_tls_reload() : hz_err_set(HZ_ENOMEM, "TLS");
}

void hz_tls_close(void)
{
    atomic_store(&tls.current, NULL);
    while (tls.all) {
        struct pair *pair = tls.all;
        tls.all = pair->older;
        free_pair(pair);
    }
    free(tls.cert_path);
    free(tls.key_path);
    tls.cert_path = tls.key_path = NULL;
}
