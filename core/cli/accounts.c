/* accounts.c - see accounts.h. */
#include "accounts.h"

#include "client.h"
#include "core/access.h"
#include "core/audit.h"
#include "core/store.h"

#include "shm/err.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

int hz_accounts_fail(int err)
{
    return hz_cli_error(err == HZ_EFORMAT ? HZ_EXIT_USAGE : HZ_EXIT_FAILED, "%s", hz_err_last());
}

void hz_accounts_note(const struct hz_accounts *accounts, const char *action, const char *target)
{
    struct hz_caller caller;
    if (accounts->client)
        return;
    hz_access_unix_caller(&caller);
    hz_audit_note(&caller, action, target, 200);
}

/* Standard output may be read by a program that wants a token. */
static void say(const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static int open_here(const char *data_dir, const char *first_password, struct hz_accounts *accounts)
{
    accounts->config = calloc(1, sizeof *accounts->config);
    if (!accounts->config)
        return hz_cli_error(HZ_EXIT_FAILED, "out of memory");
    int code = hz_cli_config(accounts->config);
    if (code) {
        free(accounts->config);
        accounts->config = NULL;
        return code;
    }
    const char *password = first_password ? first_password : accounts->config->admin_password;
    int err = hz_config_open_data(accounts->config, data_dir, &accounts->lock);
    if (!err)
        err = hz_store_open(accounts->config->data_dir, accounts->config->history);
    if (!err)
        err = hz_access_init();
    if (!err)
        err = hz_access_first_start(password, false);
    if (!err)
        err = hz_access_first_show(NULL, say);
    return err ? hz_accounts_fail(err) : 0;
}

int hz_accounts_open(const char *data_dir, const char *first_password, struct hz_accounts *accounts)
{
    bool alone = false;
    *accounts = (struct hz_accounts){.lock = -1};
    accounts->client = hz_client_try(data_dir, &alone);
    if (accounts->client)
        return 0;
    int code = alone ? open_here(data_dir, first_password, accounts) : HZ_EXIT_FAILED;
    if (code)
        hz_accounts_close(accounts);
    return code;
}

void hz_accounts_close(struct hz_accounts *accounts)
{
    if (accounts->client)
        hz_client_close(&accounts->client);
    if (!accounts->config)
        return;
    hz_access_fini();
    hz_store_close();
    if (accounts->lock >= 0)
        close(accounts->lock);
    hz_config_fini(accounts->config);
    free(accounts->config);
    accounts->config = NULL;
}

int hz_accounts_password(const char *who, char ret_password[1026])
{
    struct termios before;
    bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
        struct termios silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
        fprintf(stderr, "password of %s: ", who);
    }
    char *line = fgets(ret_password, 1026, stdin);
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    if (!line)
        return hz_cli_error(HZ_EXIT_USAGE, "a password is read from standard input, and none came");
    ret_password[strcspn(ret_password, "\r\n")] = 0;
    return 0;
}
