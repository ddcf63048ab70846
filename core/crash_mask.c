/* crash_mask.c - takes secrets out of what goes into a crash report: by the names of keys, and by the values the flow was given. */
#include "crash.h"

#include "core/flow/json_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 100
#define PARSE_MOST ((size_t)4 << 20) /* longer texts are cut first and masked as text */
#define VALUE_LEAST 8u               /* shorter values occur by chance */

static bool sounds_secret(const char *key)
{
    static const char *const words[] = {"passw", "secret", "token", "authorization", "cookie", "apikey", "api_key", "api-key", "credential",
            "private", "contrase", "clave", "bearer", "session"};
    char lower[128];
    size_t n = 0;
    for (; key[n] && n < sizeof lower - 1; n++)
        lower[n] = (char)tolower((unsigned char)key[n]);
    lower[n] = 0;
    for (size_t i = 0; i < HZ_COUNT_OF(words); i++)
        if (strstr(lower, words[i]))
            return true;
    return false;
}

static void mask_keys(json_t *value, unsigned depth)
{
    const char *key;
    json_t *item;
    size_t i;
    void *next;
    if (depth > DEPTH)
        return;
    if (json_is_object(value)) {
        json_object_foreach_safe(value, next, key, item) {
            if (sounds_secret(key) && !json_is_null(item))
                (void)json_object_set_new(value, key, json_string("***"));
            else
                mask_keys(item, depth + 1);
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item)
            mask_keys(item, depth + 1);
    }
}

/* Each occurrence of each value; what follows moves up. */
static void mask_values(char *text, char *const *env)
{
    for (size_t i = 0; env && env[i] && env[i + 1]; i += 2) {
        const char *secret = env[i + 1];
        size_t len = strlen(secret);
        if (len < VALUE_LEAST)
            continue;
        for (char *at = text; (at = strstr(at, secret)) != NULL; at += 3) {
            memcpy(at, "***", 3);
            memmove(at + 3, at + len, strlen(at + len) + 1);
        }
    }
}

char *hz_crash_mask(const char *text, size_t len, size_t most, char *const *env, bool *ret_cut)
{
    struct hz_json_text_error error;
    char *copy = NULL;
    *ret_cut = false;
    if (!text)
        return strdup("");
    json_t *value = len > 0 && len <= PARSE_MOST ? hz_json_text_parse(text, len, DEPTH, false, &error) : NULL;
    if (value) {
        mask_keys(value, 0);
        copy = hz_json_text_print(value, 0, NULL);
        json_decref(value);
    } else {
        size_t kept = HZ_MIN(len, 4 * most); /* a value across the cut below is still found */
        *ret_cut = kept < len;
        copy = strndup(text, kept);
    }
    if (!copy)
        return NULL;
    mask_values(copy, env);
    size_t end = strlen(copy);
    if (end > most) {
        end = most;
        while (end > 0 && (copy[end] & 0xc0) == 0x80)
            end--; /* not through a character */
        copy[end] = 0;
        *ret_cut = true;
    }
    return copy;
}
