/*
 * access.h - who may do what: accounts, roles and permissions, and the ways to prove who one is (session, token, Socket.IO handle,
 * one-time code). What it knows is held in memory behind one lock and written through the store; nothing secret is kept, only hashes.
 *
 * Questions (hz_access_allows, hz_access_resolve_*) are answered at once on any thread: a look into a table under a read lock.
 * Changes block for a commit, hash passwords, or both: they run on the helper thread of access_work.c (hz_access_login and
 * hz_access_work come back to the calling shard), or on a command's own thread while no server runs.
 */
#ifndef HZ_CORE_ACCESS_H
#define HZ_CORE_ACCESS_H

#include "shm/base.h"
#include <jansson.h>

#define HZ_ACCESS_EMAIL  256
#define HZ_ACCESS_NAME   128
#define HZ_ACCESS_SCOPES 512 /* text: permission names, separated by blanks */
#define HZ_ACCESS_SECRET 64  /* text of a token, session or code; with NUL */
#define HZ_ACCESS_ADDRESS 64 /* text of a peer's address */

enum hz_role { HZ_ROLE_SUPERADMIN, HZ_ROLE_ADMIN, HZ_ROLE_MANAGER, HZ_ROLE_USER, HZ_ROLE_VIEWER, HZ_ROLE_COUNT };
const char *hz_role_name(enum hz_role role);                                /* "SuperAdmin" ... "Viewer" */
HZ_MUST_CHECK bool hz_role_parse(const char *text, enum hz_role *ret_role); /* in any letter case, or 0..4 */

/* How somebody has proved who he is. */
enum hz_caller_kind {
    HZ_CALLER_NONE,    /* not at all */
    HZ_CALLER_UNIX,    /* the Unix socket of the data directory: may do everything */
    HZ_CALLER_TOKEN,   /* Authorization: Bearer */
    HZ_CALLER_SESSION, /* cookie */
    HZ_CALLER_HANDLE   /* auth.userId of a Socket.IO handshake, or a login on the socket */
};

/* A copy, to be kept as long as the connection lives: every question looks at the tables again, so that a role that was changed, an
 * account that was disabled and a credential that ended count from that moment on. Zeroed: nobody. */
struct hz_caller {
    enum hz_caller_kind kind;
    struct hz_uuid user;            /* account; a token of nobody: the token's own id; UNIX: the administrator's, nil before there is one */
    struct hz_uuid credential;      /* row of the session, token or handle; nil: UNIX */
    enum hz_role role;              /* as it was at the proof; hz_access_allows() uses the present one */
    char name[HZ_ACCESS_NAME];      /* for people: `Detenido por <name>`, the audit log */
    char handle[HZ_UUID_TEXT];      /* HANDLE: what this login shows as the user's id; else "" */
    char address[HZ_ACCESS_ADDRESS]; /* where from; "unix" */
};

/* ---- questions: any thread ---- */

/* permission: "module:action" as in access_table.h. False for a name nobody seeded, for NONE, and for a caller whose credential has
 * ended, whose account is not active, or whose token's scope leaves it out. Cost: two look-ups under a read lock. */
HZ_MUST_CHECK bool hz_access_allows(const struct hz_caller *caller, const char *permission);
/* Is the caller still who he was (credential not ended, account active)? Fills role and name anew, notes that he was seen. */
HZ_MUST_CHECK bool hz_access_refresh(struct hz_caller *caller);
/* The same of who only listens: that he is told something does not count as use of his session. permission NULL: is he still who he was? */
HZ_MUST_CHECK bool hz_access_holds(const struct hz_caller *caller, const char *permission);
/* fn hears each time a credential has ended or an account was changed, once that is in force: on the thread that did it, which must not wait
 * there nor ask anything of this file. What ends by its time alone is not told. Main thread, before the shards run; NULL: nobody. */
void hz_access_on_change(void (*fn)(void));
/* Does anybody know this permission's name (else: the route is unknown, not refused)? */
bool hz_access_known(const char *permission);

/*
 * hz_access_resolve_handshake - whose a Socket.IO connection is.
 *
 * auth           object of the connect packet, or NULL: {"userId": handle} or {"token": token}
 * cookie, address  headers Cookie of the request, and its peer; NULL none
 * ret_caller     kind NONE unless a living handle, token or session was shown: an account's id is worth nothing
 */
void hz_access_resolve_handshake(const json_t *auth, const char *cookie, const char *address, struct hz_caller *ret_caller);
/* The same of a request: `authorization` wins over `cookie`. False: one was shown and is not (or no longer) good. */
HZ_MUST_CHECK bool hz_access_resolve_request(const char *authorization, const char *cookie, const char *address, struct hz_caller *ret_caller);
void hz_access_unix_caller(struct hz_caller *ret_caller);

/* ---- logging in: on a shard; done on the same shard ---- */
enum hz_login_result {
    HZ_LOGIN_OK,
    HZ_LOGIN_REFUSED,   /* wrong mail, wrong password, account not active: the same answer and the same time */
    HZ_LOGIN_THROTTLED, /* retry_after_s says when */
    HZ_LOGIN_FAILED     /* of ours: too many logins at once, or the store cannot write */
};
struct hz_login {
    enum hz_login_result result;
    uint32_t retry_after_s;
    struct hz_caller caller;         /* OK: kind HANDLE or SESSION */
    char secret[HZ_ACCESS_SECRET];   /* OK and SESSION: for the cookie */
};
typedef void hz_login_fn(void *arg, const struct hz_login *login); /* login: valid during the call */
/* kind: HANDLE or SESSION. Texts are copied and wiped. */
void hz_access_login(enum hz_caller_kind kind, const char *email, const char *password, const char *address, hz_login_fn *done, void *arg);
/* Trades a one-time code for a session. */
void hz_access_login_code(const char *code, const char *address, hz_login_fn *done, void *arg);
/* The caller's own password, once he has shown the present one; ends his other sessions and handles, and this one too. Blocking, on the
 * helper thread (hz_access_work) alone. HZ_EREFUSED: wrong, or too many wrong ones; HZ_EFORMAT. */
HZ_MUST_CHECK int hz_access_own_password(const struct hz_caller *caller, const char *present, const char *fresh);
/* Ends the caller's session or handle (a token goes on). done (may be NULL) hears when it is in force. */
void hz_access_logout(const struct hz_caller *caller, void (*done)(void *arg, int result), void *arg);

/* ---- as JSON, contract's fields; NULL: out of memory ---- */
/* {id, email, name, avatar, role: {..., permissions}, permissions}; id: the handle of this login, else the account's. `settings` is
 * not in it. */
json_t *hz_access_user_json(const struct hz_caller *caller);
json_t *hz_access_users_json(const struct hz_caller *caller); /* all, without passwords; one's own under the handle */
json_t *hz_access_roles_json(void);
json_t *hz_access_permissions_json(void);
/* What this caller shows as the id of `user`: his handle for himself. */
void hz_access_shown_id(const struct hz_caller *caller, const struct hz_uuid *user, char ret_text[HZ_UUID_TEXT]);
/* The account a client means by `text`: his own handle or id, or an account's id. False: neither. */
HZ_MUST_CHECK bool hz_access_meant(const struct hz_caller *caller, const char *text, struct hz_uuid *ret_user);
/* For what others read (audit log, tracking): each living handle in `text` becomes its account's id, each token stars. In place, as long as
 * before; one hash for what looks like an id. */
void hz_access_veil(char *text);
/* auth:check-permission: does that user's role own it? About others only for those with users:list. False also: no such user. */
HZ_MUST_CHECK bool hz_access_check(const struct hz_caller *caller, const char *user, const char *module, const char *action, bool *ret_has);

/* ---- changes: blocking, any thread that may wait; 0 or hz_err_last() ---- */
/* by: who does it (NULL: a command with the data directory to itself); nobody gives a role above his own, no token more than its scope has. */
HZ_MUST_CHECK int hz_access_user_add(const struct hz_caller *by, const char *email, const char *name, enum hz_role role, const char *password,
        struct hz_uuid *ret_id);
struct hz_user_change {
    const char *password, *name; /* NULL: stays */
    int role, active;            /* -1: stays */
};
/* who: an account's id or mail. A new password, or active 0, ends its sessions, handles and tokens (a password: not the tokens). HZ_EREFUSED: the last
 * active SuperAdmin stays one. */
HZ_MUST_CHECK int hz_access_user_change(const struct hz_caller *by, const char *who, const struct hz_user_change *change);
/* scopes: permissions separated by blanks or commas, at least one, "module:*"; NULL: all of the role. expires_ms: wall clock, 0 never; of what
 * a token makes not after its own. */
HZ_MUST_CHECK int hz_access_token_create(const struct hz_caller *by, const char *name, enum hz_role role, const char *scopes, int64_t expires_ms,
        char ret_token[HZ_ACCESS_SECRET]);
HZ_MUST_CHECK int hz_access_token_revoke(const struct hz_caller *by, const char *id_or_name); /* HZ_ENOTFOUND */
/* [{id, name, role, scopes, userId, createdAt, expiresAt, lastSeenAt}]; those of others only for tokens:list of SuperAdmin and Admin. */
json_t *hz_access_tokens_json(const struct hz_caller *by);
/* A one-time code for the account (NULL: the administrator), good for ten minutes. */
HZ_MUST_CHECK int hz_access_code_create(const char *who, char ret_code[HZ_ACCESS_SECRET]);

/* ---- the helper thread ---- */
/* Runs work(arg) there and done(arg, its result) on the calling shard afterwards. HZ_EBUSY: too much waits (neither is called). */
HZ_MUST_CHECK int hz_access_work(int (*work)(void *arg), void (*done)(void *arg, int result), void *arg);

/* ---- life ---- */
/* Reads the tables and seeds what is missing. The store is open. Main thread, before the shards run. */
HZ_MUST_CHECK int hz_access_init(void);
/* No administrator yet: reserves admin@horizon.com with `password` (NULL: a random one). demo: also the contract's demo accounts, with the
 * passwords everybody knows. */
HZ_MUST_CHECK int hz_access_first_start(const char *password, bool demo);
/* Then hashes the passwords, on the helper thread if it runs, and say(line) hears there what is shown once: the random password, and a login
 * URL. url: the server's, without slash at the end; NULL: none is to be had. Nothing at any later start. */
HZ_MUST_CHECK int hz_access_first_show(const char *url, void (*say)(const char *line));
/* May another address than loopback be served: has an administrator set a password (or is one given for the first start), and are no
 * demo accounts active? HZ_EREFUSED with the sentence what to do. */
HZ_MUST_CHECK int hz_access_remote(bool password_given, bool demo);
HZ_MUST_CHECK int hz_access_begin(void); /* starts the helper thread */
void hz_access_rest(void);               /* before this process executes itself anew: what waits for the store is handed over */
void hz_access_end(void);                /* ends it after what waits; what it answers is mail of the shards */
void hz_access_fini(void);               /* the same, then forgets everything; before the store is closed */
#define HZ_ACCESS_ADMIN "admin@horizon.com"

#endif
