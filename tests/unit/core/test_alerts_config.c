/* test_alerts_config.c - alerts.json: what it changes, and each thing that can be wrong named with file, property,
 * value, expectation. */
#include "core/alerts_config.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];
static struct hz_alerts_config config;
static struct hz_alerts_stamp stamp;

static int load(const char *text)
{
    snprintf(path, sizeof path, "alerts.json"); /* the working directory is this test's own */
    FILE *file = fopen(path, "we");
    HZ_ASSERT_TRUE(file != NULL);
    fputs(text, file);
    HZ_ASSERT_EQ(fclose(file), 0);
    HZ_ASSERT_EQ(chmod(path, 0600), 0);
    int err = hz_alerts_config_load(path, &config, &stamp);
    return err;
}

static void done(void)
{
    hz_alerts_config_fini(&config);
    unlink(path);
}

HZ_TEST(alerts_config, without_a_file_every_rule_has_its_own_settings_and_nobody_is_told)
{
    HZ_ASSERT_OK(hz_alerts_config_load("there-is-none.json", &config, &stamp));
    for (unsigned i = 0; i < HZ_ALERT_RULES; i++)
        HZ_ASSERT_EQ(
                memcmp(&config.settings[i], &hz_alert_known((enum hz_alert_rule)i)->initial, sizeof config.settings[i]),
                0);
    HZ_ASSERT_TRUE(!config.url && !config.command && !stamp.there);
    hz_alerts_config_fini(&config);
}

HZ_TEST(alerts_config, takes_what_the_file_says_and_leaves_the_rest)
{
    HZ_ASSERT_OK(load("{\"rules\": {\"disk\": {\"raise\": 70.5, \"clear\": 60, \"for\": 2, \"clearFor\": 9}, "
                      "\"memory\": {\"enabled\": false},"
                      "\"error-rate\": {\"window\": 60, \"least\": 3}, \"queue-age\": {\"raise\": 2}},"
                      "\"webhook\": {\"url\": \"http://127.0.0.1:1/x\", \"timeout\": 300}, \"command\": {\"argv\": "
                      "[\"/bin/true\", \"a b\"]}}"));
    const struct hz_alert_settings *disk = &config.settings[HZ_ALERT_DISK];
    HZ_ASSERT_TRUE(disk->raise > 70.4 && disk->raise < 70.6 && disk->clear > 59.9 && disk->for_s == 2 &&
                   disk->clear_for_s == 9 && disk->enabled);
    HZ_ASSERT_TRUE(!config.settings[HZ_ALERT_MEMORY].enabled);
    HZ_ASSERT_EQ(config.settings[HZ_ALERT_ERROR_RATE].window_s, 60);
    HZ_ASSERT_EQ(config.settings[HZ_ALERT_ERROR_RATE].least, 3);
    HZ_ASSERT_TRUE(config.settings[HZ_ALERT_QUEUE_AGE].clear < 2.1); /* never above `raise` by itself */
    HZ_ASSERT_STR_EQ(config.url, "http://127.0.0.1:1/x");
    HZ_ASSERT_EQ(config.url_timeout_ms, 300);
    HZ_ASSERT_STR_EQ(config.command[1], "a b");
    HZ_ASSERT_TRUE(config.command[2] == NULL);
    HZ_ASSERT_TRUE(!hz_alerts_config_changed(path, &stamp));
    HZ_ASSERT_EQ(truncate(path, 1), 0);
    HZ_ASSERT_TRUE(hz_alerts_config_changed(path, &stamp));
    done();
}

HZ_TEST(alerts_config, names_file_property_value_and_expectation_of_what_is_wrong)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
            {"[]", "expected an object"},
            {"{", "line 1"},
            {"{\"rule\": {}}", "\"rule\" means nothing here, expected rules, webhook or command"},
            {"{\"rules\": 1}", "rules is 1, expected an object"},
            {"{\"rules\": {\"disc\": {}}}", "rules.disc is no rule, expected worker-down"},
            {"{\"rules\": {\"disk\": true}}", "rules.disk is true, expected an object"},
            {"{\"rules\": {\"disk\": {\"raise\": 101}}}",
                    "rules.disk.raise is 101, expected a number from 0.001 to 100"},
            {"{\"rules\": {\"disk\": {\"raise\": \"9\"}}}", "rules.disk.raise is \"9\", expected a number"},
            {"{\"rules\": {\"disk\": {\"clear\": 95}}}", "rules.disk.clear is 95, expected at most raise, 90"},
            {"{\"rules\": {\"disk\": {\"for\": 1.5}}}",
                    "rules.disk.for is 1.5, expected a whole number from 0 to 604800"},
            {"{\"rules\": {\"disk\": {\"window\": 60}}}", "rules.disk.window means nothing here"},
            {"{\"rules\": {\"parked\": {\"raise\": 1}}}",
                    "rules.parked.raise means nothing here, expected enabled, for, clearFor"},
            {"{\"rules\": {\"parked\": {\"enabled\": 1}}}", "rules.parked.enabled is 1, expected true or false"},
            {"{\"rules\": {\"error-rate\": {\"window\": 5}}}",
                    "rules.error-rate.window is 5, expected a whole number from 10 to 86400"},
            {"{\"webhook\": {}}", "webhook.url is missing"},
            {"{\"webhook\": {\"url\": \"file:///etc/passwd\"}}",
                    "webhook.url is \"file:///etc/passwd\", expected a text that begins with http://"},
            {"{\"webhook\": {\"url\": \"http://a\", \"timeout\": 1}}",
                    "webhook.timeout is 1, expected a whole number from 100 to 60000"},
            {"{\"command\": {\"argv\": \"mail\"}}", "command.argv is \"mail\", expected a list of 1 to 64 texts"},
            {"{\"command\": {\"argv\": [\"mail\"]}}", "the first the absolute path of a program"},
            {"{\"command\": {\"argv\": [\"/bin/true\", 7]}}", "command.argv[1] is 7, expected a text"},
            {"{\"command\": {\"argv\": [\"/proc/version\"]}}",
                    "command.argv[0] is \"/proc/version\", expected a program that may be run"},
            {"{\"command\": {\"argv\": [\"/tmp\"]}}",
                    "command.argv[0] is \"/tmp\", expected a program that may be run"},
            {"{\"command\": {}}", "command.argv is missing"},
    };
    for (size_t i = 0; i < HZ_COUNT_OF(wrong); i++) {
        if (load(wrong[i].text) >= 0)
            HZ_FAIL("%s was taken", wrong[i].text);
        HZ_ASSERT_STR_HAS(hz_err_last(), wrong[i].says);
        HZ_ASSERT_STR_HAS(hz_err_last(), path);
        unlink(path);
    }
}

HZ_TEST(alerts_config, a_file_that_others_may_write_is_refused)
{
    HZ_ASSERT_OK(load("{}"));
    hz_alerts_config_fini(&config);
    HZ_ASSERT_EQ(chmod(path, 0622), 0);
    HZ_ASSERT_TRUE(hz_alerts_config_load(path, &config, &stamp) < 0);
    HZ_ASSERT_STR_HAS(hz_err_last(), "may be written by others");
    unlink(path);
}
