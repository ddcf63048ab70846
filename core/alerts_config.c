/* alerts_config.c - see alerts_config.h. Who may write the file chooses a program that runs as the server's user: so it
 * is looked at. */
#include "alerts_config.h"

#include "shm/err.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1u << 20)
#define SECONDS_MOST   604800.0
#define ARGUMENTS_MOST 64u

static const char *shown(const json_t *value, char text[96])
{
    char *dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    snprintf(text, 96, "%.90s", dump ? dump : "?");
    free(dump);
    return text;
}

static int read_number(
        const char *where, const char *key, const json_t *value, bool whole, double least, double most, double *ret)
{
    char text[96];
    double number = json_number_value(value);
    if (!(whole ? json_is_integer(value) : json_is_number(value)) || !(number >= least && number <= most))
        return hz_err_set(HZ_EFORMAT, "%s.%s is %s, expected a %snumber from %g to %.0f", where, key,
                shown(value, text), whole ? "whole " : "", least, most);
    *ret = number;
    return 0;
}

static int read_whole(const char *where, const char *key, const json_t *value, double least, double most, uint32_t *ret)
{
    double number = 0;
    int err = read_number(where, key, value, true, least, most, &number);
    if (!err)
        *ret = (uint32_t)number;
    return err;
}

static int read_rule(const char *where, enum hz_alert_rule rule, json_t *object, struct hz_alert_settings *s)
{
    const struct hz_alert_known *known = hz_alert_known(rule);
    const char *key;
    json_t *value;
    char text[96];
    if (!json_is_object(object))
        return hz_err_set(HZ_EFORMAT, "%s is %s, expected an object", where, shown(object, text));
    int err = 0;
    json_object_foreach(object, key, value)
    {
        if (strcmp(key, "enabled") == 0 && json_is_boolean(value))
            s->enabled = json_is_true(value);
        else if (strcmp(key, "enabled") == 0)
            err = hz_err_set(HZ_EFORMAT, "%s.enabled is %s, expected true or false", where, shown(value, text));
        else if (strcmp(key, "for") == 0)
            err = read_whole(where, key, value, 0, SECONDS_MOST, &s->for_s);
        else if (strcmp(key, "clearFor") == 0)
            err = read_whole(where, key, value, 0, SECONDS_MOST, &s->clear_for_s);
        else if (known->unit && strcmp(key, "raise") == 0)
            err = read_number(where, key, value, false, 0.001, known->most, &s->raise);
        else if (known->unit && strcmp(key, "clear") == 0)
            err = read_number(where, key, value, false, 0.001, known->most, &s->clear);
        else if (known->initial.window_s && strcmp(key, "window") == 0)
            err = read_whole(where, key, value, 10, 86400, &s->window_s);
        else if (known->initial.window_s && strcmp(key, "least") == 0)
            err = read_whole(where, key, value, 1, 1e9, &s->least);
        else
            err = hz_err_set(HZ_EFORMAT, "%s.%.80s means nothing here, expected enabled, for, clearFor%s%s", where, key,
                    known->unit ? ", raise, clear" : "", known->initial.window_s ? ", window, least" : "");
        if (err)
            return err;
    }
    if (!json_object_get(object, "clear") && s->clear > s->raise)
        s->clear = s->raise;
    if (s->clear > s->raise)
        return hz_err_set(HZ_EFORMAT, "%s.clear is %g, expected at most raise, %g", where, s->clear, s->raise);
    return 0;
}

static int read_rules(json_t *rules, struct hz_alerts_config *config)
{
    const char *key;
    json_t *value;
    char text[96], where[96];
    if (!json_is_object(rules))
        return hz_err_set(HZ_EFORMAT, "rules is %s, expected an object of rules", shown(rules, text));
    json_object_foreach(rules, key, value)
    {
        enum hz_alert_rule rule = hz_alert_by_name(key);
        if (rule == HZ_ALERT_RULES)
            return hz_err_set(HZ_EFORMAT,
                    "rules.%.80s is no rule, expected worker-down, parked, memory, queue-age, error-rate, disk, "
                    "store-lag,"
                    " store-degraded or recovery",
                    key);
        snprintf(where, sizeof where, "rules.%s", key);
        int err = read_rule(where, rule, value, &config->settings[rule]);
        if (err)
            return err;
    }
    return 0;
}

static int read_webhook(json_t *object, struct hz_alerts_config *config)
{
    const char *key;
    json_t *value;
    char text[96];
    int err = json_is_object(object) ? 0
                                     : hz_err_set(HZ_EFORMAT, "webhook is %s, expected an object", shown(object, text));
    json_object_foreach(object, key, value)
    {
        const char *url = json_string_value(value);
        if (!err && strcmp(key, "timeout") == 0)
            err = read_whole("webhook", key, value, 100, 60000, &config->url_timeout_ms);
        else if (!err && strcmp(key, "url") != 0)
            err = hz_err_set(HZ_EFORMAT, "webhook.%.80s means nothing here, expected url, timeout", key);
        else if (!err &&
                 (!url || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) || strlen(url) > 2000))
            err = hz_err_set(HZ_EFORMAT, "webhook.url is %s, expected a text that begins with http:// or https://",
                    shown(value, text));
        else if (!err && !(config->url = strdup(url)))
            err = hz_err_set(HZ_ENOMEM, "webhook.url");
    }
    if (!err && !config->url)
        err = hz_err_set(HZ_EFORMAT, "webhook.url is missing, expected a text that begins with http:// or https://");
    return err;
}

static int read_vector(const json_t *list, struct hz_alerts_config *config)
{
    char text[96];
    size_t count = json_array_size(list);
    const char *program = json_string_value(json_array_get(list, 0));
    if (count == 0 || count > ARGUMENTS_MOST || !program || program[0] != '/')
        return hz_err_set(HZ_EFORMAT,
                "command.argv is %s, expected a list of 1 to %u texts, the first the absolute path of a program",
                shown(list, text), ARGUMENTS_MOST);
    struct stat st;
    if (access(program, X_OK) || stat(program, &st) || !S_ISREG(st.st_mode))
        return hz_err_set(HZ_EFORMAT, "command.argv[0] is \"%.200s\", expected a program that may be run", program);
    config->command = calloc(count + 1, sizeof(char *));
    for (size_t i = 0; i < count && config->command; i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (!word)
            return hz_err_set(
                    HZ_EFORMAT, "command.argv[%zu] is %s, expected a text", i, shown(json_array_get(list, i), text));
        config->command[i] = strdup(word);
        if (!config->command[i])
            return hz_err_set(HZ_ENOMEM, "command.argv");
    }
    return config->command ? 0 : hz_err_set(HZ_ENOMEM, "command.argv");
}

static int read_command(json_t *object, struct hz_alerts_config *config)
{
    const char *key;
    json_t *value;
    char text[96];
    int err = json_is_object(object) ? 0
                                     : hz_err_set(HZ_EFORMAT, "command is %s, expected an object", shown(object, text));
    json_object_foreach(object, key, value)
    {
        if (!err && strcmp(key, "timeout") == 0)
            err = read_whole("command", key, value, 100, 60000, &config->command_timeout_ms);
        else if (!err && strcmp(key, "argv") == 0)
            err = read_vector(value, config);
        else if (!err)
            err = hz_err_set(HZ_EFORMAT, "command.%.80s means nothing here, expected argv, timeout", key);
    }
    if (!err && !config->command)
        err = hz_err_set(HZ_EFORMAT,
                "command.argv is missing, expected a list of texts, the first the absolute path of a program");
    return err;
}

static int read_root(json_t *root, struct hz_alerts_config *config)
{
    const char *key;
    json_t *value;
    int err = json_is_object(root) ? 0 : hz_err_set(HZ_EFORMAT, "expected an object");
    json_object_foreach(root, key, value)
    {
        if (!err && strcmp(key, "rules") == 0)
            err = read_rules(value, config);
        else if (!err && strcmp(key, "webhook") == 0)
            err = read_webhook(value, config);
        else if (!err && strcmp(key, "command") == 0)
            err = read_command(value, config);
        else if (!err)
            err = hz_err_set(HZ_EFORMAT, "\"%.80s\" means nothing here, expected rules, webhook or command", key);
    }
    return err;
}

static int check_owner(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return hz_err_set(HZ_EREFUSED, "is no file");
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return hz_err_set(
                HZ_EREFUSED, "belongs to user %u, expected the one the server runs as, or root", (unsigned)st->st_uid);
    if (st->st_mode & 022)
        return hz_err_set(
                HZ_EREFUSED, "may be written by others (mode %03o): chmod go-w", (unsigned)(st->st_mode & 0777));
    return st->st_size > (off_t)FILE_BYTES_MAX ? hz_err_set(HZ_ETOOBIG, "has more than %u bytes", FILE_BYTES_MAX) : 0;
}

static void stamp_of(const struct stat *st, struct hz_alerts_stamp *ret_stamp)
{
    *ret_stamp =
            (struct hz_alerts_stamp){.changed = st->st_mtim, .size = st->st_size, .inode = st->st_ino, .there = true};
}

static int read_file(int fd, struct hz_alerts_config *config, struct hz_alerts_stamp *ret_stamp)
{
    struct stat st;
    json_error_t error;
    if (fstat(fd, &st))
        return hz_err_set(-errno, "cannot be looked at");
    stamp_of(&st, ret_stamp);
    int err = check_owner(&st);
    if (err)
        return err;
    json_t *root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return hz_err_set(HZ_EFORMAT, "line %d: %s", error.line, error.text);
    err = read_root(root, config);
    json_decref(root);
    return err;
}

int hz_alerts_config_load(const char *path, struct hz_alerts_config *ret_config, struct hz_alerts_stamp *ret_stamp)
{
    struct hz_alerts_config config = {.url_timeout_ms = 5000, .command_timeout_ms = 10000};
    for (unsigned rule = 0; rule < HZ_ALERT_RULES; rule++)
        config.settings[rule] = hz_alert_known((enum hz_alert_rule)rule)->initial;
    *ret_stamp = (struct hz_alerts_stamp){.there = false};
    int err = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0) {
        err = read_file(fd, &config, ret_stamp);
        close(fd);
    } else if (errno != ENOENT) {
        err = hz_err_set(-errno, "cannot be opened");
    }
    if (err) {
        hz_alerts_config_fini(&config);
        return hz_err_prefix(err, "alerts %s", path);
    }
    *ret_config = config;
    return 0;
}

void hz_alerts_config_fini(struct hz_alerts_config *config)
{
    free(config->url);
    for (size_t i = 0; config->command && config->command[i]; i++)
        free(config->command[i]);
    free(config->command);
    config->url = NULL;
    config->command = NULL;
}

bool hz_alerts_config_changed(const char *path, const struct hz_alerts_stamp *stamp)
{
    struct stat st;
    struct hz_alerts_stamp now = {.there = false};
    if (stat(path, &st) == 0)
        stamp_of(&st, &now);
    return now.there != stamp->there || now.size != stamp->size || now.inode != stamp->inode ||
           now.changed.tv_sec != stamp->changed.tv_sec || now.changed.tv_nsec != stamp->changed.tv_nsec;
}
