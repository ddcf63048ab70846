/*
 * accounts.h - what `horizon user`, `token`, `login` and `audit` share: the accounts of a data directory, through the server that serves it
 * or opened here while none does. One thread.
 */
#ifndef HZ_CORE_CLI_ACCOUNTS_H
#define HZ_CORE_CLI_ACCOUNTS_H

#include "command.h"

struct hz_client;
struct hz_accounts {
    struct hz_client *client; /* NULL: opened here */
    struct hz_config *config;
    int lock;
};
/* 0, or an exit code after a sentence on standard error. Opened here, the first administrator is made if there is none, and his password
 * is shown on standard error; first_password: his instead of a random one, NULL. */
HZ_MUST_CHECK int hz_accounts_open(const char *data_dir, const char *first_password, struct hz_accounts *ret_accounts);
void hz_accounts_close(struct hz_accounts *accounts);
/* A password from standard input (one line; without echo where a terminal is). 0 or an exit code. */
HZ_MUST_CHECK int hz_accounts_password(const char *who, char ret_password[1026]);
/* Notes what was done here; where a server runs it has done so. */
void hz_accounts_note(const struct hz_accounts *accounts, const char *action, const char *target);
int hz_accounts_fail(int err); /* hz_err_last() on standard error; its exit code */

#endif
