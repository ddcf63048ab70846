/* test_access.c - accounts, roles, tokens, handles and what ends them; on a store of its own, with a shard for what comes back. */
#include "core/access.h"
#include "core/access_internal.h"
#include "core/audit.h"
#include "core/shard.h"
#include "core/store.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

static char shown[4096];

static void hear(const char *line)
{
    size_t used = strlen(shown);
    snprintf(shown + used, sizeof shown - used, "%s\n", line);
}

static void open_all(void)
{
    HZ_ASSERT_OK(hz_store_open("data", 1000));
    HZ_ASSERT_OK(hz_access_init());
}

static void close_all(void)
{
    hz_access_fini();
    hz_store_close();
}

HZ_SETUP(access)
{
    hz_test_remove_tree("data");
    HZ_ASSERT_EQ(mkdir("data", 0700), 0);
    shown[0] = 0;
    urcu_memb_register_thread();
    open_all();
    HZ_ASSERT_OK(hz_access_first_start("a password", false));
    HZ_ASSERT_OK(hz_access_first_show("http://127.0.0.1:3000", hear));
}

HZ_TEARDOWN(access)
{
    close_all();
    urcu_memb_unregister_thread();
}

static struct hz_caller token_of(enum hz_role role, const char *scopes, int64_t expires_ms, const char *name)
{
    char token[HZ_ACCESS_SECRET], header[HZ_ACCESS_SECRET + 8];
    struct hz_caller caller;
    HZ_ASSERT_OK(hz_access_token_create(NULL, name, role, scopes, expires_ms, token));
    snprintf(header, sizeof header, "Bearer %s", token);
    HZ_ASSERT_TRUE(hz_access_resolve_request(header, NULL, "127.0.0.1", &caller));
    HZ_ASSERT_EQ((int)caller.kind, HZ_CALLER_TOKEN);
    return caller;
}

/* ---- roles ---- */

HZ_TEST(access, the_workers_permissions_of_the_roles_are_those_of_the_contract)
{
    static const struct {
        const char *name;
        unsigned roles; /* SuperAdmin 1, Admin 2, Manager 4, User 8, Viewer 16 */
    } wanted[] = {{"workers:list", 31}, {"workers:dashboard", 31}, {"workers:stop", 3}, {"workers:restart", 3}, {"workers:message", 7},
            {"workers:send-message", 7}, {"workers:get", 31}, {"workers:by-workflow", 31}, {"workers:stats", 31}, {"workers:logs", 31}};
    for (unsigned role = 0; role < HZ_ROLE_COUNT; role++) {
        struct hz_caller caller = token_of((enum hz_role)role, NULL, 0, hz_role_name((enum hz_role)role));
        for (size_t i = 0; i < HZ_COUNT_OF(wanted); i++)
            HZ_ASSERT_EQ(hz_access_allows(&caller, wanted[i].name), (wanted[i].roles >> role & 1) != 0);
    }
}

HZ_TEST(access, every_seeded_name_is_found_and_no_other)
{
    struct hz_caller unix_caller;
    hz_access_unix_caller(&unix_caller);
    json_t *list = hz_access_permissions_json(), *row;
    size_t i;
    HZ_ASSERT_EQ(json_array_size(list), hz_access_permission_count());
    json_array_foreach(list, i, row) {
        char name[128];
        snprintf(name, sizeof name, "%s:%s", json_string_value(json_object_get(row, "module")), json_string_value(json_object_get(row, "action")));
        HZ_ASSERT_TRUE(hz_access_known(name));
        HZ_ASSERT_TRUE(hz_access_allows(&unix_caller, name));
    }
    json_decref(list);
    static const char *const strangers[] = {"", "workers", "workers:", "workers:lis", "workers:listx", "Workers:list", "worker:anything", "auth:login"};
    for (i = 0; i < HZ_COUNT_OF(strangers); i++) {
        HZ_ASSERT_FALSE(hz_access_known(strangers[i]));
        HZ_ASSERT_FALSE(hz_access_allows(&unix_caller, strangers[i]));
    }
}

HZ_TEST(access, roles_are_named_in_any_letter_case_or_by_number)
{
    enum hz_role role;
    HZ_ASSERT_TRUE(hz_role_parse("superadmin", &role));
    HZ_ASSERT_EQ((int)role, HZ_ROLE_SUPERADMIN);
    HZ_ASSERT_TRUE(hz_role_parse("VIEWER", &role));
    HZ_ASSERT_EQ((int)role, HZ_ROLE_VIEWER);
    HZ_ASSERT_TRUE(hz_role_parse("2", &role));
    HZ_ASSERT_EQ((int)role, HZ_ROLE_MANAGER);
    HZ_ASSERT_FALSE(hz_role_parse("5", &role));
    HZ_ASSERT_FALSE(hz_role_parse("root", &role));
    HZ_ASSERT_FALSE(hz_role_parse("", &role));
}

HZ_TEST(access, ids_and_times_of_roles_and_permissions_outlive_a_restart)
{
    json_t *before = hz_access_roles_json();
    close_all();
    open_all();
    json_t *after = hz_access_roles_json();
    HZ_ASSERT_TRUE(json_equal(before, after));
    json_decref(before);
    json_decref(after);
}

/* ---- tokens ---- */

HZ_TEST(access, a_scope_narrows_a_token_and_message_grants_send_message)
{
    struct hz_caller caller = token_of(HZ_ROLE_SUPERADMIN, "workers:message, executions:*", 0, "narrow");
    HZ_ASSERT_TRUE(hz_access_allows(&caller, "workers:send-message"));
    HZ_ASSERT_TRUE(hz_access_allows(&caller, "executions:cancel"));
    HZ_ASSERT_FALSE(hz_access_allows(&caller, "workers:list"));
    char token[HZ_ACCESS_SECRET];
    HZ_ASSERT_EQ(hz_access_token_create(NULL, "bad", HZ_ROLE_USER, "workers:fly", 0, token), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "workers:fly");
    /* What a narrow token makes is no wider than it is itself. */
    HZ_ASSERT_EQ(hz_access_token_create(&caller, "wide", HZ_ROLE_VIEWER, NULL, 0, token), HZ_EREFUSED);
    HZ_ASSERT_OK(hz_access_token_create(&caller, "child", HZ_ROLE_VIEWER, "executions:list", 0, token));
}

HZ_TEST(access, a_token_ends_when_it_expires_or_is_revoked)
{
    struct hz_caller brief = token_of(HZ_ROLE_ADMIN, NULL, hz_base_wall_ms() + 150, "brief"), other = token_of(HZ_ROLE_ADMIN, NULL, 0, "other");
    HZ_ASSERT_TRUE(hz_access_allows(&brief, "workers:stop"));
    usleep(200000);
    HZ_ASSERT_FALSE(hz_access_allows(&brief, "workers:stop"));
    HZ_ASSERT_FALSE(hz_access_refresh(&brief));
    HZ_ASSERT_OK(hz_access_token_revoke(NULL, "other"));
    HZ_ASSERT_FALSE(hz_access_allows(&other, "workers:stop"));
    HZ_ASSERT_EQ(hz_access_token_revoke(NULL, "other"), HZ_ENOTFOUND);
    char token[HZ_ACCESS_SECRET];
    HZ_ASSERT_EQ(hz_access_token_create(NULL, "past", HZ_ROLE_USER, NULL, 1, token), HZ_EFORMAT);
}

HZ_TEST(access, a_token_of_nobody_is_not_the_administrator)
{
    struct hz_caller unix_caller, viewer = token_of(HZ_ROLE_VIEWER, NULL, 0, "viewer"), other = token_of(HZ_ROLE_USER, NULL, 0, "other");
    char text[HZ_UUID_TEXT];
    struct hz_uuid meant;
    hz_access_unix_caller(&unix_caller);
    HZ_ASSERT_FALSE(hz_uuid_equal(&viewer.user, &unix_caller.user));
    HZ_ASSERT_FALSE(hz_uuid_equal(&viewer.user, &other.user));
    HZ_ASSERT_TRUE(hz_access_refresh(&viewer));
    HZ_ASSERT_FALSE(hz_uuid_equal(&viewer.user, &unix_caller.user));
    json_t *tokens = hz_access_tokens_json(&viewer), *me = hz_access_user_json(&viewer);
    HZ_ASSERT_EQ(json_array_size(tokens), 1);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(tokens, 0), "name")), "viewer");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(me, "email")), "");
    HZ_ASSERT_TRUE(hz_access_meant(&viewer, json_string_value(json_object_get(me, "id")), &meant));
    json_decref(tokens);
    json_decref(me);
    hz_uuid_format(&other.user, text);
    HZ_ASSERT_FALSE(hz_access_meant(&viewer, text, &meant));
    HZ_ASSERT_EQ(hz_access_token_revoke(&viewer, "other"), HZ_ENOTFOUND);
    HZ_ASSERT_OK(hz_access_token_revoke(&viewer, "viewer"));
}

HZ_TEST(access, tokens_outlive_a_restart_and_only_a_hash_is_stored)
{
    char token[HZ_ACCESS_SECRET], header[HZ_ACCESS_SECRET + 8], text[1 << 16];
    struct hz_caller caller;
    HZ_ASSERT_OK(hz_access_token_create(NULL, "kept", HZ_ROLE_MANAGER, NULL, 0, token));
    snprintf(header, sizeof header, "bearer  %s", token);
    close_all();
    FILE *file = fopen("data/horizon.db", "rb");
    HZ_ASSERT_NOT_NULL(file);
    for (size_t len; (len = fread(text, 1, sizeof text, file)) > 0;)
        HZ_ASSERT_NULL(memmem(text, len, token + 4, 20));
    fclose(file);
    open_all();
    HZ_ASSERT_TRUE(hz_access_resolve_request(header, NULL, "", &caller));
    HZ_ASSERT_EQ((int)caller.role, HZ_ROLE_MANAGER);
    header[strlen(header) - 1] ^= 1;
    HZ_ASSERT_FALSE(hz_access_resolve_request(header, NULL, "", &caller));
    HZ_ASSERT_EQ((int)caller.kind, HZ_CALLER_NONE);
    HZ_ASSERT_FALSE(hz_access_resolve_request("Basic abc", NULL, "", &caller));
    HZ_ASSERT_TRUE(hz_access_resolve_request(NULL, NULL, "", &caller)); /* nothing was shown */
    HZ_ASSERT_EQ((int)caller.kind, HZ_CALLER_NONE);
    HZ_ASSERT_FALSE(hz_access_allows(&caller, "workers:list"));
}

HZ_TEST(access, nobody_gives_more_than_he_has)
{
    struct hz_caller admin = token_of(HZ_ROLE_ADMIN, NULL, 0, "admin");
    char token[HZ_ACCESS_SECRET];
    struct hz_uuid id;
    HZ_ASSERT_EQ(hz_access_token_create(&admin, "up", HZ_ROLE_SUPERADMIN, NULL, 0, token), HZ_EREFUSED);
    HZ_ASSERT_EQ(hz_access_user_add(&admin, "x@y.z", NULL, HZ_ROLE_SUPERADMIN, "long enough", &id), HZ_EREFUSED);
    const struct hz_user_change change = {.password = "taken over", .role = -1, .active = -1};
    HZ_ASSERT_EQ(hz_access_user_change(&admin, HZ_ACCESS_ADMIN, &change), HZ_EREFUSED);
}

HZ_TEST(access, what_a_token_makes_has_neither_more_nor_longer)
{
    int64_t end = hz_base_wall_ms() + 60000;
    struct hz_caller brief = token_of(HZ_ROLE_SUPERADMIN, "tokens:create workers:list", end, "brief");
    struct hz_caller narrow = token_of(HZ_ROLE_SUPERADMIN, "users:create users:update", 0, "narrow"), wide = token_of(HZ_ROLE_SUPERADMIN, NULL, 0, "wide");
    char token[HZ_ACCESS_SECRET];
    struct hz_uuid id;
    HZ_ASSERT_EQ(hz_access_token_create(&brief, "child", HZ_ROLE_VIEWER, "workers:list", 0, token), HZ_EREFUSED);
    HZ_ASSERT_EQ(hz_access_token_create(&brief, "child", HZ_ROLE_VIEWER, "workers:list", end + 1, token), HZ_EREFUSED);
    HZ_ASSERT_STR_HAS(hz_err_last(), "outlive");
    HZ_ASSERT_OK(hz_access_token_create(&brief, "child", HZ_ROLE_VIEWER, "workers:list", end, token));
    for (int role = 0; role < (int)HZ_ROLE_COUNT; role++)
        HZ_ASSERT_EQ(hz_access_user_add(&narrow, "x@y.z", NULL, (enum hz_role)role, "long enough", &id), HZ_EREFUSED);
    HZ_ASSERT_STR_HAS(hz_err_last(), "scope");
    HZ_ASSERT_OK(hz_access_user_add(&wide, "x@y.z", NULL, HZ_ROLE_SUPERADMIN, "long enough", &id));
    struct hz_user_change change = {.password = "taken over", .role = -1, .active = -1};
    HZ_ASSERT_EQ(hz_access_user_change(&narrow, "x@y.z", &change), HZ_EREFUSED);
    change = (struct hz_user_change){.role = HZ_ROLE_VIEWER, .active = -1};
    HZ_ASSERT_EQ(hz_access_user_change(&narrow, "x@y.z", &change), HZ_EREFUSED);
    HZ_ASSERT_OK(hz_access_user_change(&wide, "x@y.z", &change));
    /* One that has ended while its request was under way makes nothing. */
    HZ_ASSERT_OK(hz_access_token_revoke(NULL, "wide"));
    HZ_ASSERT_EQ(hz_access_user_add(&wide, "w@y.z", NULL, HZ_ROLE_VIEWER, "long enough", &id), HZ_EREFUSED);
    HZ_ASSERT_EQ(hz_access_token_create(&wide, "late", HZ_ROLE_VIEWER, NULL, 0, token), HZ_EREFUSED);
}

HZ_TEST(access, an_account_has_a_bounded_number_of_tokens)
{
    char name[32], token[HZ_ACCESS_SECRET];
    struct hz_caller owner = {.kind = HZ_CALLER_SESSION, .role = HZ_ROLE_VIEWER};
    HZ_ASSERT_OK(hz_access_user_add(NULL, "many@b.c", NULL, HZ_ROLE_VIEWER, "long enough", &owner.user));
    for (unsigned i = 0; i < HZ_ACCESS_TOKENS_MOST; i++) {
        snprintf(name, sizeof name, "t%u", i);
        HZ_ASSERT_OK(hz_access_token_create(&owner, name, HZ_ROLE_VIEWER, NULL, 0, token));
    }
    HZ_ASSERT_EQ(hz_access_token_create(&owner, "more", HZ_ROLE_VIEWER, NULL, 0, token), HZ_EREFUSED);
    HZ_ASSERT_STR_HAS(hz_err_last(), "256 tokens");
    HZ_ASSERT_EQ(hz_access_token_create(&owner, "t7", HZ_ROLE_VIEWER, NULL, 0, token), HZ_EEXISTS);
    HZ_ASSERT_OK(hz_access_token_create(NULL, "more", HZ_ROLE_VIEWER, NULL, 0, token));
    HZ_ASSERT_OK(hz_access_token_revoke(&owner, "t7"));
    HZ_ASSERT_OK(hz_access_token_create(&owner, "more", HZ_ROLE_VIEWER, NULL, 0, token));
}

/* ---- accounts ---- */

HZ_TEST(access, an_account_needs_a_mail_and_a_password)
{
    struct hz_uuid id;
    HZ_ASSERT_EQ(hz_access_user_add(NULL, "no mail", NULL, HZ_ROLE_USER, "long enough", &id), HZ_EFORMAT);
    HZ_ASSERT_EQ(hz_access_user_add(NULL, "a@b.c", NULL, HZ_ROLE_USER, "short", &id), HZ_EFORMAT);
    HZ_ASSERT_OK(hz_access_user_add(NULL, "Ana@B.c", NULL, HZ_ROLE_USER, "long enough", &id));
    HZ_ASSERT_EQ(hz_access_user_add(NULL, "ana@b.C", NULL, HZ_ROLE_USER, "long enough", &id), HZ_EEXISTS);
    json_t *users = hz_access_users_json(NULL);
    HZ_ASSERT_EQ(json_array_size(users), 2);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(users, 1), "name")), "Ana");
    json_decref(users);
}

HZ_TEST(access, a_name_is_kept_whole_or_refused)
{
    char name[HZ_ACCESS_NAME + 2], token[HZ_ACCESS_SECRET];
    struct hz_uuid id;
    memset(name, 'a', sizeof name);
    memcpy(name + HZ_ACCESS_NAME - 2, "é", 3); /* its second byte would be the 128th */
    HZ_ASSERT_EQ(hz_access_user_add(NULL, "long@b.c", name, HZ_ROLE_USER, "long enough", &id), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "127 bytes");
    HZ_ASSERT_OK(hz_access_user_add(NULL, "long@b.c", name + 1, HZ_ROLE_USER, "long enough", &id));
    static const char *const wrong[] = {"na\xc3", "\xff", "two\nlines"};
    for (size_t i = 0; i <= HZ_COUNT_OF(wrong); i++) {
        struct hz_user_change change = {.name = i < HZ_COUNT_OF(wrong) ? wrong[i] : name, .role = -1, .active = -1};
        HZ_ASSERT_EQ(hz_access_user_change(NULL, "long@b.c", &change), HZ_EFORMAT);
        HZ_ASSERT_EQ(hz_access_user_add(NULL, "other@b.c", change.name, HZ_ROLE_USER, "long enough", &id), HZ_EFORMAT);
        HZ_ASSERT_EQ(hz_access_token_create(NULL, change.name, HZ_ROLE_USER, NULL, 0, token), HZ_EFORMAT);
    }
    json_t *users = hz_access_users_json(NULL);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(users, 1), "name")), name + 1);
    json_decref(users);
}

HZ_TEST(access, a_broken_row_breaks_no_list)
{
    const struct hz_store_user half = {.id = hz_uuid_new(), .email = "half@b.c", .name = "na\xc3", .level = HZ_ROLE_USER, .active = true};
    const struct hz_store_audit row = {.at_ms = 1, .user = "half\xc3", .kind = "unix", .action = "users:list", .target = "\xff", .status = 200};
    HZ_ASSERT_OK(hz_store_users_put(&half, 1));
    HZ_ASSERT_OK(hz_store_audit_put(&row, 1, 10, 10));
    close_all();
    open_all();
    const struct hz_audit_filter filter = {.action = "users:list", .limit = 10};
    json_t *users = hz_access_users_json(NULL), *rows = hz_audit_list(&filter);
    HZ_ASSERT_EQ(json_array_size(users), 2);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(users, 1), "name")), "na?");
    HZ_ASSERT_EQ(json_array_size(rows), 1);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(rows, 0), "target")), "?");
    json_decref(users);
    json_decref(rows);
}

HZ_TEST(access, the_audit_log_names_a_long_mail_and_a_long_token_whole)
{
    char mail[HZ_ACCESS_EMAIL] = "", name[HZ_ACCESS_NAME] = "", wanted[512], secret[HZ_ACCESS_SECRET], header[HZ_ACCESS_SECRET + 8];
    struct hz_uuid id;
    struct hz_caller owner = {.kind = HZ_CALLER_SESSION, .role = HZ_ROLE_VIEWER}, caller;
    memset(mail, 'm', 250);
    memcpy(mail + 250, "@b.c", 5);
    for (int i = 0; i < 63; i++)
        memcpy(name + 2 * i, "é", 3);
    HZ_ASSERT_OK(hz_access_user_add(NULL, mail, NULL, HZ_ROLE_VIEWER, "long enough", &id));
    owner.user = id;
    HZ_ASSERT_OK(hz_access_token_create(&owner, name, HZ_ROLE_VIEWER, NULL, 0, secret));
    snprintf(header, sizeof header, "Bearer %s", secret);
    HZ_ASSERT_TRUE(hz_access_resolve_request(header, NULL, "127.0.0.1", &caller));
    hz_audit_note(&caller, "workers:stop", NULL, 403);
    hz_audit_flush();
    snprintf(wanted, sizeof wanted, "%s, token %s", mail, name);
    const struct hz_audit_filter filter = {.limit = 10};
    json_t *rows = hz_audit_list(&filter);
    HZ_ASSERT_EQ(json_array_size(rows), 1);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(rows, 0), "user")), wanted);
    json_decref(rows);
}

HZ_TEST(access, the_last_superadmin_stays_one)
{
    struct hz_user_change change = {.role = HZ_ROLE_VIEWER, .active = -1};
    HZ_ASSERT_EQ(hz_access_user_change(NULL, HZ_ACCESS_ADMIN, &change), HZ_EREFUSED);
    change = (struct hz_user_change){.role = -1, .active = 0};
    HZ_ASSERT_EQ(hz_access_user_change(NULL, HZ_ACCESS_ADMIN, &change), HZ_EREFUSED);
    struct hz_uuid id;
    HZ_ASSERT_OK(hz_access_user_add(NULL, "second@b.c", NULL, HZ_ROLE_SUPERADMIN, "long enough", &id));
    HZ_ASSERT_OK(hz_access_user_change(NULL, HZ_ACCESS_ADMIN, &change));
}

HZ_TEST(access, a_first_start_shows_its_secrets_once)
{
    HZ_ASSERT_STR_HAS(shown, "http://127.0.0.1:3000/?code=");
    HZ_ASSERT_STR_HAS_NOT(shown, "a password");
    shown[0] = 0;
    close_all();
    open_all();
    HZ_ASSERT_OK(hz_access_first_start(NULL, false));
    HZ_ASSERT_OK(hz_access_first_show("http://x", hear));
    HZ_ASSERT_STR_EQ(shown, "");
}

HZ_TEST(access, a_drawn_password_is_shown_and_does_not_open_the_server_to_others)
{
    close_all();
    hz_test_remove_tree("data");
    HZ_ASSERT_EQ(mkdir("data", 0700), 0);
    open_all();
    shown[0] = 0;
    HZ_ASSERT_EQ(hz_access_remote(false, false), HZ_EREFUSED);
    HZ_ASSERT_OK(hz_access_remote(true, false));
    HZ_ASSERT_OK(hz_access_first_start(NULL, false));
    HZ_ASSERT_OK(hz_access_first_show(NULL, hear));
    HZ_ASSERT_STR_HAS(shown, "admin@horizon.com, password ");
    HZ_ASSERT_EQ(hz_access_remote(true, false), HZ_EREFUSED); /* it would not be used any more */
    const struct hz_user_change change = {.password = "chosen by me", .role = -1, .active = -1};
    HZ_ASSERT_OK(hz_access_user_change(NULL, HZ_ACCESS_ADMIN, &change));
    HZ_ASSERT_OK(hz_access_remote(false, false));
    HZ_ASSERT_EQ(hz_access_remote(false, true), HZ_EREFUSED);
}

HZ_TEST(access, demo_accounts_come_only_when_asked_for_and_close_the_server)
{
    json_t *users = hz_access_users_json(NULL);
    HZ_ASSERT_EQ(json_array_size(users), 1);
    json_decref(users);
    HZ_ASSERT_OK(hz_access_remote(false, false));
    HZ_ASSERT_OK(hz_access_first_start(NULL, true));
    HZ_ASSERT_OK(hz_access_first_show(NULL, hear));
    users = hz_access_users_json(NULL);
    HZ_ASSERT_EQ(json_array_size(users), 4);
    json_decref(users);
    HZ_ASSERT_STR_HAS(shown, "DEMO ACCOUNT viewer@horizon.com / viewer123 (Viewer)");
    HZ_ASSERT_EQ(hz_access_remote(false, false), HZ_EREFUSED);
    HZ_ASSERT_STR_HAS(hz_err_last(), "manager@horizon.com");
}

/* ---- logging in: with a shard and the helper thread ---- */

static struct {
    struct hz_login login;
    bool there;
} answer;

static void on_login(void *arg, const struct hz_login *login)
{
    (void)arg;
    answer.login = *login;
    answer.there = true;
}

static bool has_answer(void *arg)
{
    (void)arg;
    hz_shard_run_mail(hz_shard_main());
    return answer.there;
}

static const struct hz_login *log_in(enum hz_caller_kind kind, const char *email, const char *password)
{
    answer.there = false;
    hz_access_login(kind, email, password, "192.0.2.1", on_login, NULL);
    HZ_ASSERT_TRUE(hz_test_wait(has_answer, NULL, 20000));
    return &answer.login;
}

static void begin(void)
{
    HZ_ASSERT_OK(hz_shard_init(1));
    HZ_ASSERT_OK(hz_access_begin());
}

static void end(void)
{
    hz_access_end();
    hz_shard_fini();
}

static struct hz_caller handshake(const char *user_id)
{
    struct hz_caller caller;
    json_t *auth = json_pack("{s:s}", "userId", user_id);
    hz_access_resolve_handshake(auth, NULL, "192.0.2.1", &caller);
    json_decref(auth);
    return caller;
}

HZ_TEST(access, a_handle_is_worth_its_login_and_an_account_s_id_nothing)
{
    begin();
    struct hz_caller first = log_in(HZ_CALLER_HANDLE, "ADMIN@horizon.com", "a password")->caller;
    HZ_ASSERT_EQ((int)answer.login.result, HZ_LOGIN_OK);
    struct hz_caller second = log_in(HZ_CALLER_HANDLE, HZ_ACCESS_ADMIN, "a password")->caller;
    HZ_ASSERT_TRUE(strcmp(first.handle, second.handle) != 0);
    char id[HZ_UUID_TEXT];
    hz_uuid_format(&first.user, id);
    HZ_ASSERT_TRUE(strcmp(first.handle, id) != 0);
    HZ_ASSERT_EQ((int)handshake(id).kind, HZ_CALLER_NONE);
    HZ_ASSERT_EQ((int)handshake("").kind, HZ_CALLER_NONE);
    struct hz_caller again = handshake(first.handle);
    HZ_ASSERT_EQ((int)again.kind, HZ_CALLER_HANDLE);
    HZ_ASSERT_TRUE(hz_access_allows(&again, "workers:stop"));
    /* To oneself the handle is the id, to others the account's. */
    json_t *me = hz_access_user_json(&again), *users = hz_access_users_json(&second);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(me, "id")), first.handle);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(users, 0), "id")), second.handle);
    json_decref(me);
    json_decref(users);
    struct hz_uuid meant;
    HZ_ASSERT_TRUE(hz_access_meant(&again, first.handle, &meant));
    HZ_ASSERT_FALSE(hz_access_meant(&again, second.handle, &meant));
    bool has;
    HZ_ASSERT_TRUE(hz_access_check(&again, first.handle, "workers", "stop", &has));
    HZ_ASSERT_TRUE(has);
    /* What others read does not have it. */
    char text[256], veiled[256];
    snprintf(text, sizeof text, "-{\"a\":\"%s\",\"b\":\"%s%s\",\"c\":\"hzt_abc-_9\"}%.35s", first.handle, id, second.handle, first.handle);
    snprintf(veiled, sizeof veiled, "-{\"a\":\"%s\",\"b\":\"%s%s\",\"c\":\"hzt_******\"}%.35s", id, id, id, first.handle);
    hz_access_veil(text);
    HZ_ASSERT_STR_EQ(text, veiled);
    /* A new password ends all of them. */
    const struct hz_user_change change = {.password = "another one", .role = -1, .active = -1};
    HZ_ASSERT_OK(hz_access_user_change(NULL, HZ_ACCESS_ADMIN, &change));
    HZ_ASSERT_FALSE(hz_access_allows(&again, "workers:stop"));
    HZ_ASSERT_EQ((int)handshake(first.handle).kind, HZ_CALLER_NONE);
    end();
}

static void with_the_store(const char *sql)
{
    sqlite3 *db;
    HZ_ASSERT_EQ(sqlite3_open("data/horizon.db", &db), SQLITE_OK);
    HZ_ASSERT_EQ(sqlite3_busy_timeout(db, 10000), SQLITE_OK);
    HZ_ASSERT_EQ(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    HZ_ASSERT_EQ(sqlite3_close(db), SQLITE_OK);
}

HZ_TEST(access, a_new_password_and_the_end_of_the_sessions_are_one_change)
{
    begin();
    struct hz_caller session = log_in(HZ_CALLER_SESSION, HZ_ACCESS_ADMIN, "a password")->caller;
    with_the_store("CREATE TRIGGER stays BEFORE DELETE ON credentials BEGIN SELECT RAISE(ABORT, 'it stays'); END");
    const struct hz_user_change change = {.password = "another one", .role = -1, .active = -1};
    HZ_ASSERT_TRUE(hz_access_user_change(NULL, HZ_ACCESS_ADMIN, &change) != 0);
    HZ_ASSERT_TRUE(hz_access_allows(&session, "workers:stop"));
    HZ_ASSERT_EQ((int)log_in(HZ_CALLER_SESSION, HZ_ACCESS_ADMIN, "another one")->result, HZ_LOGIN_REFUSED);
    with_the_store("DROP TRIGGER stays");
    HZ_ASSERT_OK(hz_access_user_change(NULL, HZ_ACCESS_ADMIN, &change));
    HZ_ASSERT_FALSE(hz_access_allows(&session, "workers:stop"));
    HZ_ASSERT_EQ((int)log_in(HZ_CALLER_SESSION, HZ_ACCESS_ADMIN, "another one")->result, HZ_LOGIN_OK);
    end();
}

HZ_TEST(access, a_role_that_changes_counts_at_the_next_question)
{
    struct hz_uuid id;
    HZ_ASSERT_OK(hz_access_user_add(NULL, "eva@b.c", "Eva", HZ_ROLE_ADMIN, "long enough", &id));
    begin();
    struct hz_caller eva = log_in(HZ_CALLER_HANDLE, "eva@b.c", "long enough")->caller;
    HZ_ASSERT_TRUE(hz_access_allows(&eva, "workers:stop"));
    struct hz_user_change change = {.role = HZ_ROLE_VIEWER, .active = -1};
    HZ_ASSERT_OK(hz_access_user_change(NULL, "eva@b.c", &change));
    HZ_ASSERT_FALSE(hz_access_allows(&eva, "workers:stop"));
    HZ_ASSERT_TRUE(hz_access_allows(&eva, "workers:list"));
    HZ_ASSERT_TRUE(hz_access_refresh(&eva));
    HZ_ASSERT_EQ((int)eva.role, HZ_ROLE_VIEWER);
    change = (struct hz_user_change){.role = -1, .active = 0};
    HZ_ASSERT_OK(hz_access_user_change(NULL, "eva@b.c", &change));
    HZ_ASSERT_FALSE(hz_access_allows(&eva, "workers:list"));
    HZ_ASSERT_EQ((int)log_in(HZ_CALLER_HANDLE, "eva@b.c", "long enough")->result, HZ_LOGIN_REFUSED);
    end();
}

HZ_TEST(access, wrong_logins_are_refused_and_then_made_to_wait)
{
    begin();
    for (int i = 0; i < 5; i++)
        HZ_ASSERT_EQ((int)log_in(HZ_CALLER_SESSION, "nobody@b.c", "whatever")->result, HZ_LOGIN_REFUSED);
    HZ_ASSERT_EQ((int)log_in(HZ_CALLER_SESSION, "nobody@b.c", "whatever")->result, HZ_LOGIN_THROTTLED);
    HZ_ASSERT_GE(answer.login.retry_after_s, 1);
    HZ_ASSERT_EQ((int)log_in(HZ_CALLER_SESSION, HZ_ACCESS_ADMIN, "a password")->result, HZ_LOGIN_OK);
    end();
}

HZ_TEST(access, a_code_is_good_once)
{
    char code[HZ_ACCESS_SECRET];
    begin();
    HZ_ASSERT_OK(hz_access_code_create(NULL, code));
    answer.there = false;
    hz_access_login_code(code, "192.0.2.1", on_login, NULL);
    HZ_ASSERT_TRUE(hz_test_wait(has_answer, NULL, 20000));
    HZ_ASSERT_EQ((int)answer.login.result, HZ_LOGIN_OK);
    char cookie[128];
    struct hz_caller caller;
    snprintf(cookie, sizeof cookie, "theme=dark; horizon_3000=%s", answer.login.secret);
    HZ_ASSERT_TRUE(hz_access_resolve_request(NULL, cookie, "", &caller));
    HZ_ASSERT_EQ((int)caller.kind, HZ_CALLER_SESSION);
    answer.there = false;
    hz_access_login_code(code, "192.0.2.1", on_login, NULL);
    HZ_ASSERT_TRUE(hz_test_wait(has_answer, NULL, 20000));
    HZ_ASSERT_EQ((int)answer.login.result, HZ_LOGIN_REFUSED);
    /* Neither a code nor a session is a token. */
    char header[128];
    snprintf(header, sizeof header, "Bearer %.60s", strchr(cookie, '=') ? strrchr(cookie, '=') + 1 : "");
    HZ_ASSERT_FALSE(hz_access_resolve_request(header, NULL, "", &caller));
    end();
}

HZ_TEST(access, what_was_done_is_in_the_audit_log)
{
    begin();
    struct hz_caller admin = log_in(HZ_CALLER_HANDLE, HZ_ACCESS_ADMIN, "a password")->caller;
    (void)log_in(HZ_CALLER_HANDLE, HZ_ACCESS_ADMIN, "wrong password");
    hz_audit_note(&admin, "workers:stop", "/api/v1/workers/ñandú", 200);
    end();
    const struct hz_audit_filter all = {.limit = 10}, stops = {.action = "workers:stop", .limit = 10};
    json_t *list = hz_audit_list(&all), *one = hz_audit_list(&stops);
    HZ_ASSERT_EQ(json_array_size(list), 3);
    const json_t *row = json_array_get(one, 0);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(row, "user")), HZ_ACCESS_ADMIN);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(row, "kind")), "socket");
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(row, "target")), "/api/v1/workers/ñandú");
    HZ_ASSERT_EQ(json_integer_value(json_object_get(json_array_get(list, 1), "status")), 401);
    char *text = json_dumps(list, 0);
    HZ_ASSERT_STR_HAS_NOT(text, "password");
    HZ_ASSERT_STR_HAS_NOT(text, admin.handle);
    free(text);
    json_decref(list);
    json_decref(one);
}

HZ_TEST(access, refusals_do_not_push_out_what_was_done)
{
    enum { ROWS = 1500 };
    const struct hz_store_audit done = {.at_ms = 1, .user = "eva", .kind = "unix", .action = "users:create", .status = 201};
    struct hz_store_audit *refused = calloc(ROWS, sizeof *refused);
    HZ_ASSERT_NOT_NULL(refused);
    for (size_t i = 0; i < ROWS; i++)
        refused[i] = (struct hz_store_audit){.at_ms = 1, .user = "x", .kind = "token", .action = "workers:stop", .status = 403};
    HZ_ASSERT_OK(hz_store_audit_put(&done, 1, 10, 100));
    for (int turn = 0; turn < 3; turn++)
        HZ_ASSERT_OK(hz_store_audit_put(refused, ROWS, 10, 100));
    const struct hz_audit_filter made = {.action = "users:create", .limit = 100}, stops = {.action = "workers:stop", .limit = 5 * ROWS};
    json_t *kept = hz_audit_list(&made), *rest = hz_audit_list(&stops);
    HZ_ASSERT_EQ(json_array_size(kept), 1);
    HZ_ASSERT_LE(json_array_size(rest), ROWS + 100);
    HZ_ASSERT_GE(json_array_size(rest), 100);
    json_decref(kept);
    json_decref(rest);
    /* While they wait, too: what was done finds room behind a flood of refusals. */
    struct hz_caller caller = token_of(HZ_ROLE_VIEWER, NULL, 0, "flood");
    for (size_t i = 0; i < 5000; i++)
        hz_audit_note(&caller, "workers:restart", "x", 403);
    hz_audit_note(&caller, "settings:update", NULL, 200);
    hz_audit_flush();
    const struct hz_audit_filter last = {.action = "settings:update", .limit = 10};
    kept = hz_audit_list(&last);
    HZ_ASSERT_EQ(json_array_size(kept), 1);
    json_decref(kept);
    free(refused);
}
