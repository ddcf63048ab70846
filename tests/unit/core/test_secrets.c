/* test_secrets.c - masking, and that a sealed value opens under its own name and key only. */
#include "core/secrets.h"
#include "core/store.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

HZ_SETUP(secrets)
{
    (void)mkdir("data", 0700);
    HZ_ASSERT_OK(hz_store_open("data", 1000));
    HZ_ASSERT_OK(hz_secrets_init("data"));
}

HZ_TEARDOWN(secrets)
{
    hz_secrets_fini();
    hz_store_close();
    (void)unlink("data/horizon.db");
    (void)unlink("data/horizon.db-wal");
    (void)unlink("data/horizon.db-shm");
    (void)unlink("data/secret.key");
}

static struct hz_secret_set *open_one(const char *name)
{
    char *names[] = {(char *)(uintptr_t)name, NULL};
    struct hz_secret_set *set = NULL;
    HZ_ASSERT_OK(hz_secrets_open(names, "the test", &set));
    HZ_ASSERT_NOT_NULL(set);
    return set;
}

static void expect_masked(const struct hz_secret_set *set, const char *text, const char *wanted)
{
    size_t len = 0;
    char *masked = hz_secrets_mask(set, text, strlen(text), &len);
    if (strcmp(text, wanted) == 0)
        HZ_ASSERT_NULL(masked);
    else {
        HZ_ASSERT_STR_EQ(masked, wanted);
        HZ_ASSERT_EQ(len, strlen(wanted));
    }
    free(masked);
}

HZ_TEST(secrets, each_occurrence_is_masked_as_text_and_as_json)
{
    HZ_ASSERT_OK(hz_secrets_put("A", "pa\"ss\nword", 10));
    struct hz_secret_set *set = open_one("A");
    expect_masked(set, "pa\"ss\nword", "***");
    expect_masked(set, "xpa\"ss\nwordypa\"ss\nwordz", "x***y***z");
    expect_masked(set, "{\"a\":\"pa\\\"ss\\nword\"}", "{\"a\":\"***\"}");
    expect_masked(set, "password", "password");
    expect_masked(set, "", "");
    hz_secrets_close(&set);
    HZ_ASSERT_NULL(set);
}

HZ_TEST(secrets, the_texts_of_a_json_secret_are_masked_one_by_one)
{
    static const char value[] = "{\"user\":\"maria\",\"password\":\"mariachi\",\"port\":1234}";
    HZ_ASSERT_OK(hz_secrets_put("DB", value, sizeof value - 1));
    struct hz_secret_set *set = open_one("DB");
    expect_masked(set, "mariachi knows maria on 1234", "*** knows *** on 1234");
    hz_secrets_close(&set);
}

HZ_TEST(secrets, a_sealed_value_moved_to_another_name_does_not_open)
{
    void *sealed;
    size_t len;
    char *names[] = {(char *)(uintptr_t)"B", NULL};
    struct hz_secret_set *set = NULL;
    HZ_ASSERT_OK(hz_secrets_put("A", "value of a", 10));
    HZ_ASSERT_OK(hz_store_secret_get("A", &sealed, &len));
    HZ_ASSERT_NULL(memmem(sealed, len, "value", 5));
    HZ_ASSERT_OK(hz_store_secret_put("B", sealed, len));
    HZ_ASSERT_EQ(hz_secrets_open(names, "the test", &set), HZ_EFORMAT);
    ((char *)sealed)[len - 1] ^= 1;
    HZ_ASSERT_OK(hz_store_secret_put("A", sealed, len));
    names[0] = (char *)(uintptr_t)"A";
    HZ_ASSERT_EQ(hz_secrets_open(names, "the test", &set), HZ_EFORMAT);
    HZ_ASSERT_NULL(set);
    free(sealed);
}

HZ_TEST(secrets, a_rotation_that_was_cut_off_is_finished_by_the_next_one)
{
    size_t count = 0;
    char old[128], both[256], fresh[80];
    HZ_ASSERT_OK(hz_secrets_put("A", "value of a", 10));
    FILE *file = fopen("data/secret.key", "r");
    HZ_ASSERT_NOT_NULL(file);
    HZ_ASSERT_NOT_NULL(fgets(old, sizeof old, file));
    fclose(file);
    memset(fresh, 'a', 64);
    fresh[64] = 0;
    snprintf(both, sizeof both, "%s\n%s", fresh, old); /* the new key was written, nothing sealed under it yet */
    file = fopen("data/secret.key", "w");
    HZ_ASSERT_NOT_NULL(file);
    fputs(both, file);
    fclose(file);
    struct hz_secret_set *set = open_one("A");
    HZ_ASSERT_STR_EQ(set->pairs[1], "value of a");
    hz_secrets_close(&set);
    HZ_ASSERT_OK(hz_secrets_rotate(&count));
    HZ_ASSERT_EQ(count, 1);
    set = open_one("A");
    HZ_ASSERT_STR_EQ(set->pairs[1], "value of a");
    hz_secrets_close(&set);
    struct stat st;
    HZ_ASSERT_OK(stat("data/secret.key", &st));
    HZ_ASSERT_EQ(st.st_size, 65);
}

HZ_TEST(secrets, a_key_that_others_may_read_is_refused)
{
    HZ_ASSERT_OK(hz_secrets_put("A", "value of a", 10));
    HZ_ASSERT_OK(chmod("data/secret.key", 0644));
    HZ_ASSERT_LT(hz_secrets_put("A", "value of a", 10), 0);
    HZ_ASSERT_STR_HAS(hz_err_last(), "chmod 600");
}
