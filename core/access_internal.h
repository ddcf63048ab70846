/*
 * access_internal.h - what the files of access share: the book of accounts and credentials, and its locks. Private to access*.c,
 * audit.c and their tests.
 *
 * Synchronisation: `access.lock` guards every field of the book; questions hold it for reading. `access.changing` is held by whoever
 * changes anything, from his first look to the end of the commit: he alone takes the lock for writing, and may read without it. The one field
 * written under the read lock is `seen_ms` of a credential, an atomic that several threads may set to the present time.
 * Accounts are never freed while the book lives, so a pointer to one stays good; credentials are freed under the write lock.
 */
#ifndef HZ_CORE_ACCESS_INTERNAL_H
#define HZ_CORE_ACCESS_INTERNAL_H

#include "access.h"
#include "store_access.h"

#include <pthread.h>
#include <stdatomic.h>

#define HZ_ACCESS_IDLE_MS     INT64_C(43200000)  /* a session or handle nobody used for 12 h is over */
#define HZ_ACCESS_SESSION_MS  INT64_C(604800000) /* ... and in any case after 7 days */
#define HZ_ACCESS_CODE_MS     INT64_C(600000)
#define HZ_ACCESS_SEEN_MS     INT64_C(300000)    /* the store learns of a later use so much later at most */
#define HZ_ACCESS_LOGINS_MOST 4096u              /* sessions and handles of one account; the one seen longest ago goes */
#define HZ_ACCESS_TOKENS_MOST 256u               /* living tokens of one account */
#define HZ_ACCESS_NOBODYS_MOST 4096u             /* ... and of nobody */
#define HZ_ACCESS_BUCKETS     1024u
#define HZ_ACCESS_PASSWORD_MIN 8u
#define HZ_ACCESS_PASSWORD_MAX 1024u
#define HZ_ACCESS_BITS        4u /* words of 32 permissions */

struct hz_account {
    struct hz_store_user row;
    struct hz_account *next; /* in the order they were made */
};
struct hz_credential {
    struct hz_store_credential row;
    _Atomic int64_t seen_ms; /* the row has what the store knows */
    struct hz_account *account; /* NULL: nobody's */
    uint32_t scope[HZ_ACCESS_BITS];
    struct hz_credential *by_id, *by_hash; /* next of the same bucket */
};
extern struct hz_access {
    pthread_rwlock_t lock;
    pthread_mutex_t changing;
    struct hz_account *accounts;
    struct hz_credential *by_id[HZ_ACCESS_BUCKETS], *by_hash[HZ_ACCESS_BUCKETS];
    struct hz_store_role roles[HZ_ROLE_COUNT];
    struct hz_store_permission *permissions; /* in the order of access_table.h */
    bool open;
} hz_access;

/* ---- access_seed.c ---- */
size_t hz_access_permission_count(void);
/* Place of a permission in the table, -1: nobody seeded it. */
int hz_access_permission_index(const char *name);
uint32_t hz_access_permission_roles(size_t index); /* bits 1 << level */
/* Permissions of a text of scopes as bits. "" is all. HZ_EFORMAT: names one that does not exist. */
HZ_MUST_CHECK int hz_access_scope(const char *text, uint32_t ret_bits[HZ_ACCESS_BITS]);
void hz_access_seed_reset(void);
HZ_MUST_CHECK int hz_access_seed(void); /* rows of what is new; fills the book's roles and permissions */
void hz_access_seed_seen(const struct hz_store_role *role);
void hz_access_seed_permission(const struct hz_store_permission *permission);
json_t *hz_access_role_json(enum hz_role role, bool with_permissions);

/* ---- access.c: the book; the caller holds the lock or `changing` ---- */
struct hz_account *hz_access_account(const struct hz_uuid *id);
struct hz_account *hz_access_account_by_mail(const char *email);
struct hz_account *hz_access_account_meant(const char *id_or_mail); /* NULL: administrator */
struct hz_account *hz_access_administrator(void);                   /* the first active SuperAdmin, NULL */
struct hz_credential *hz_access_credential(const struct hz_uuid *id);
struct hz_credential *hz_access_credential_shown(const char *secret);
bool hz_access_living(const struct hz_credential *credential, int64_t now_ms);
/* Puts a stored row into the book; takes the lock itself. NULL: no memory. */
struct hz_account *hz_access_keep_account(const struct hz_store_user *row);
struct hz_credential *hz_access_keep_credential(const struct hz_store_credential *row);
void hz_access_forget_credential(struct hz_credential *credential); /* frees it */
void hz_access_changed(void); /* a credential ended, or an account is another one: tells who wants to hear */
void hz_access_hash(const char *secret, uint8_t ret_hash[32]);
void hz_access_caller_of(const struct hz_credential *credential, const char *address, struct hz_caller *ret_caller);
/* The text by which an audit row names him: a mail, or what he used. */
void hz_access_who(const struct hz_caller *caller, char *ret, size_t size);

/* ---- access_sessions.c: with `changing` held ---- */
/* A new credential, stored and in the book. secret: what its owner is to show. */
HZ_MUST_CHECK int hz_access_credential_make(int kind, const struct hz_account *account, int level, const char *name, const char *scopes,
        int64_t expires_ms, char ret_secret[HZ_ACCESS_SECRET], struct hz_uuid *ret_id);
/* Ends those for which `which` says true, in the store and in the book. */
HZ_MUST_CHECK int hz_access_credentials_end(bool (*which)(const struct hz_credential *credential, const void *arg), const void *arg);
/* The same in one commit with the account's row as it shall be (NULL: that alone). */
HZ_MUST_CHECK int hz_access_account_end(
        const struct hz_store_user *row, bool (*which)(const struct hz_credential *credential, const void *arg), const void *arg);
void hz_access_tend(void); /* helper thread, now and then: forgets what is over, tells the store who was seen */

/* ---- access_users.c ---- */
HZ_MUST_CHECK int hz_access_password_check(const char *password);
HZ_MUST_CHECK int hz_access_mail_check(const char *email);
HZ_MUST_CHECK int hz_access_name_check(const char *name); /* of an account or a token */
void hz_access_password_draw(char ret_password[32]);
/* The account with this row in the store and in the book; with `changing` held. */
HZ_MUST_CHECK int hz_access_account_put(const struct hz_store_user *row);
/* Argon2id (libsodium's interactive cost); about 0.1 s and 64 MiB. */
HZ_MUST_CHECK int hz_access_password_hash(const char *password, char ret_hash[128]);

/* ---- access_work.c ---- */
bool hz_access_working(void); /* the helper thread runs */
void hz_access_wake(void);    /* audit rows wait */

/* ---- audit.c: helper thread, or the end ---- */
void hz_audit_flush(void);

/* ---- access_throttle.c: how long an address or a mail has to wait. One thread: the helper's ---- */
struct hz_throttle;
struct hz_throttle *hz_throttle_new(void);
void hz_throttle_free(struct hz_throttle **throttle);
/* Seconds until the next try is looked at, 0: now. */
uint32_t hz_throttle_wait(const struct hz_throttle *throttle, const char *address, const char *email, int64_t now_ms);
void hz_throttle_failed(struct hz_throttle *throttle, const char *address, const char *email, int64_t now_ms);
void hz_throttle_passed(struct hz_throttle *throttle, const char *email); /* forgets the mail's failures */

#endif
