/*
 * store_access.h - accounts and the audit log in the store. Part of the store's front door, for access*.c and audit.c alone. Changes are
 * committed (FULL) on return; any thread that may wait but the writer's.
 */
#ifndef HZ_CORE_STORE_ACCESS_H
#define HZ_CORE_STORE_ACCESS_H

#include "shm/base.h"
#include <jansson.h>

struct hz_store_role {
    int level;
    struct hz_uuid id;
    const char *name, *description; /* not read */
    int64_t created_ms;
};
struct hz_store_permission {
    struct hz_uuid id;
    char module[32], action[64];
    uint32_t roles;          /* bit 1 << level */
    const char *description; /* not read */
    int64_t created_ms;
};
enum hz_store_origin { HZ_ORIGIN_DRAWN, HZ_ORIGIN_CHOSEN, HZ_ORIGIN_DEMO };
struct hz_store_user {
    struct hz_uuid id;
    char email[256], name[128], avatar[256]; /* avatar: "" none */
    char password[128];                      /* Argon2id in its text form; "" none yet */
    int origin, level;
    bool active;
    int64_t created_ms, updated_ms, last_login_ms; /* 0: never */
};
enum { HZ_CREDENTIAL_TOKEN = 1, HZ_CREDENTIAL_SESSION, HZ_CREDENTIAL_HANDLE, HZ_CREDENTIAL_CODE };
struct hz_store_credential {
    struct hz_uuid id, user; /* user: nil nobody's */
    uint8_t hash[32];
    int kind, level;
    char name[128], scopes[512];
    int64_t created_ms, expires_ms, seen_ms;
};

/* All rows; false of a visitor ends it with HZ_ENOMEM. */
struct hz_store_access_visitor {
    bool (*role)(void *arg, const struct hz_store_role *role);
    bool (*permission)(void *arg, const struct hz_store_permission *permission);
    bool (*user)(void *arg, const struct hz_store_user *user);
    bool (*credential)(void *arg, const struct hz_store_credential *credential);
    void *arg;
};
HZ_MUST_CHECK int hz_store_access_load(const struct hz_store_access_visitor *visitor);
/* New ones get these ids, known ones keep theirs. One commit. */
HZ_MUST_CHECK int hz_store_access_seed(const struct hz_store_role *roles, size_t role_count, const struct hz_store_permission *permissions,
        size_t permission_count);
HZ_MUST_CHECK int hz_store_users_put(const struct hz_store_user *users, size_t count); /* by id; mails are unique */
HZ_MUST_CHECK int hz_store_credential_put(const struct hz_store_credential *credential);
struct hz_store_seen {
    struct hz_uuid id;
    int64_t seen_ms; /* 0: the row goes */
};
HZ_MUST_CHECK int hz_store_credentials_seen(const struct hz_store_seen *seen, size_t count);
/* An account's row and what ends with its change, in one commit; nothing of it when one part fails. */
HZ_MUST_CHECK int hz_store_user_change(const struct hz_store_user *user, const struct hz_store_seen *ended, size_t count);

struct hz_store_audit {
    int64_t at_ms;
    char user[400], kind[16], address[64], action[96], target[256];
    uint32_t status;
};
/* In this order; of what was done (status below 400) the newest `keep_done` rows stay, of what was refused the newest `keep_refused`. They are
 * looked at once in HZ_STORE_AUDIT_EVERY rows: 10 ms where 100,000 are kept. */
#define HZ_STORE_AUDIT_EVERY 1024
HZ_MUST_CHECK int hz_store_audit_put(const struct hz_store_audit *rows, size_t count, int64_t keep_done, int64_t keep_refused);
json_t *hz_store_audit_list(const char *user, const char *action, int64_t from_ms, int64_t before_sequence, size_t limit); /* audit.h */

#endif
