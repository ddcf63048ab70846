/*
 * secrets.h - values that flows use and nobody reads: sealed at rest (libsodium secretbox) under a key of the data directory or of the
 * service manager, opened only for the worker whose flow names them, masked in what that worker says. Any thread; guarded inside.
 */
#ifndef HZ_CORE_SECRETS_H
#define HZ_CORE_SECRETS_H

#include "shm/base.h"
#include <jansson.h>

#define HZ_SECRET_VALUE_MIN 4u /* shorter ones could not be masked */
#define HZ_SECRET_VALUE_MAX 65536u

/* data_dir: of the open store. 0, HZ_ENOMEM. The key is made when the first secret is. */
HZ_MUST_CHECK int hz_secrets_init(const char *data_dir);
void hz_secrets_fini(void);
/* name: a letter or _, then letters, digits, _; at most 64 bytes. value: UTF-8 without NUL. HZ_EFORMAT with what was expected. */
HZ_MUST_CHECK int hz_secrets_put(const char *name, const char *value, size_t len);
HZ_MUST_CHECK int hz_secrets_remove(const char *name); /* HZ_ENOTFOUND */
json_t *hz_secrets_list(void);                         /* [{name, updatedMs}], no values; NULL: hz_err_last() */
/* Seals all of them under a new key (one of the service manager's: under its current one). A crash in between leaves both keys. */
HZ_MUST_CHECK int hz_secrets_rotate(size_t *ret_count);

/* Opened secrets of one worker. */
struct hz_secret_set {
    char **pairs; /* name, value, ..., NULL; those that exist */
    size_t count; /* pairs */
    struct hz_secret_pattern *patterns;
    size_t pattern_count;
};
/* names: NULL-terminated. A name that is not set is left out with a warning that names `who`. HZ_EFORMAT: no key opens it. */
HZ_MUST_CHECK int hz_secrets_open(char *const *names, const char *who, struct hz_secret_set **ret_set);
/* Of pairs that were opened before (count, names and values by turns, malloc'ed): taken on success, else HZ_ENOMEM. */
HZ_MUST_CHECK int hz_secrets_of(char **pairs, size_t count, struct hz_secret_set **ret_set);
void hz_secrets_close(struct hz_secret_set **set); /* wipes */
/* The text with each value, as it is or as inside JSON, replaced by ***; NULL: there is none in it. set may be NULL. Caller frees. */
char *hz_secrets_mask(const struct hz_secret_set *set, const char *text, size_t len, size_t *ret_len);
bool hz_secrets_valid_name(const char *name);

/*
 * secrets_box.c: bytes of unbounded use (checkpoints of flows with secrets) sealed under a key that is itself kept as a secret, so that a
 * rotation leaves them readable. who: what they belong to; under another name they do not open. Caller frees. NULL: hz_err_last().
 * The first of them makes the key, and waits for the store.
 */
#define HZ_SECRETS_BOX_KEY "_horizon_box" /* no flow may name it, no list shows it */
void *hz_secrets_box(const struct hz_uuid *who, const void *data, size_t len, size_t *ret_len);
void *hz_secrets_unbox(const struct hz_uuid *who, const void *sealed, size_t len, size_t *ret_len);
void hz_secrets_box_forget(void); /* the key in memory */
/* For secrets_box.c: the value of an own name; draws and keeps it if there is none. 0 or hz_err_last(). */
HZ_MUST_CHECK int hz_secrets_own_key(unsigned char ret_key[32]);

#endif
