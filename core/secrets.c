/*
 * secrets.c - seals, opens, masks. The file DIR/secret.key (0600) holds one key, or two while a rotation is under way: the first seals,
 * each may open. A sealed blob is nonce, then secretbox of name, NUL, value: a blob moved to another name does not open.
 *
 * Synchronisation: `lock` serialises what reads and writes keys; opened values are the caller's own.
 */
#include "secrets.h"

#include "store.h"

#include "shm/err.h"
#include "shm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS 2
#define KEY_TEXT (2 * crypto_secretbox_KEYBYTES)
#define OVERHEAD (crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES)

struct hz_secret_pattern {
    char *text;
    size_t len;
};

struct keys {
    unsigned char key[KEYS][crypto_secretbox_KEYBYTES];
    int count;
    bool given; /* by the service manager: not ours to change */
};

static struct {
    pthread_mutex_t lock;
    char *data_dir;
} secrets = {.lock = PTHREAD_MUTEX_INITIALIZER};

int hz_secrets_init(const char *data_dir)
{
    hz_secrets_fini();
    if (sodium_init() < 0)
        return hz_err_set(HZ_EREFUSED, "libsodium does not start");
    secrets.data_dir = strdup(data_dir);
    return secrets.data_dir ? 0 : hz_err_set(HZ_ENOMEM, "secrets");
}

void hz_secrets_fini(void)
{
    hz_secrets_box_forget();
    free(secrets.data_dir);
    secrets.data_dir = NULL;
}

bool hz_secrets_valid_name(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > 64 || (name[0] >= '0' && name[0] <= '9') || strcmp(name, HZ_SECRETS_BOX_KEY) == 0)
        return false;
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

/* ---- keys ---- */

/* Keys in hexadecimal, a line each. 0, HZ_ENOTFOUND, or what is wrong. */
static int read_keys(const char *path, struct keys *keys)
{
    char text[KEYS * (KEY_TEXT + 2) + 1];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? HZ_ENOTFOUND : hz_err_set(-errno, "cannot open %s", path);
    ssize_t n = fstat(fd, &st) ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    if (n >= 0 && st.st_mode & 077 && !keys->given)
        return hz_err_set(HZ_EREFUSED, "%s may be read by others (mode %03o): chmod 600", path, (unsigned)(st.st_mode & 0777));
    text[HZ_MAX(n, 0)] = 0;
    int before = keys->count;
    for (char *line = text, *save = NULL; keys->count < KEYS && (line = strtok_r(line, "\n", &save)) != NULL; line = NULL) {
        size_t len;
        if (strlen(line) != KEY_TEXT || sodium_hex2bin(keys->key[keys->count], crypto_secretbox_KEYBYTES, line, KEY_TEXT, NULL, &len, NULL) ||
                len != crypto_secretbox_KEYBYTES)
            break;
        keys->count++;
    }
    sodium_memzero(text, sizeof text);
    return keys->count > before ? 0 : hz_err_set(HZ_EFORMAT, "%s holds no key, expected a line of %u hexadecimal digits", path, (unsigned)KEY_TEXT);
}

static int write_keys(const struct keys *keys)
{
    char *path = NULL, *fresh = NULL, text[KEYS * (KEY_TEXT + 2) + 1];
    size_t len = 0;
    int err = asprintf(&path, "%s/secret.key", secrets.data_dir) < 0 || asprintf(&fresh, "%s/secret.key.new", secrets.data_dir) < 0
            ? hz_err_set(HZ_ENOMEM, "writing the key") : 0;
    for (int i = 0; i < keys->count; i++) {
        sodium_bin2hex(text + len, KEY_TEXT + 1, keys->key[i], crypto_secretbox_KEYBYTES);
        len += KEY_TEXT;
        text[len++] = '\n';
    }
    if (!err) {
        (void)unlink(fresh);
        int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        bool written = fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
        if (!written || rename(fresh, path))
            err = hz_err_set(-errno, "cannot write %s", path);
        if (fd >= 0)
            close(fd);
        int dir = open(secrets.data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (!err && (dir < 0 || fsync(dir)))
            err = hz_err_set(-errno, "cannot write %s", secrets.data_dir);
        if (dir >= 0)
            close(dir);
    }
    sodium_memzero(text, sizeof text);
    free(path);
    free(fresh);
    return err;
}

/* $CREDENTIALS_DIRECTORY/horizon-key (and horizon-key-old) wins over DIR/secret.key. make: draw one if there is none. */
static int load_keys(struct keys *keys, bool make)
{
    const char *given = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];
    memset(keys, 0, sizeof *keys);
    if (given && (size_t)snprintf(path, sizeof path, "%s/horizon-key", given) < sizeof path && access(path, F_OK) == 0) {
        keys->given = true;
        int err = read_keys(path, keys);
        keys->count = HZ_MIN(keys->count, 1);
        snprintf(path, sizeof path, "%s/horizon-key-old", given);
        if (!err && access(path, F_OK) == 0)
            err = read_keys(path, keys);
        return err;
    }
    if (!secrets.data_dir || (size_t)snprintf(path, sizeof path, "%s/secret.key", secrets.data_dir) >= sizeof path)
        return hz_err_set(HZ_EREFUSED, "secrets are not open");
    int err = read_keys(path, keys);
    if (err != HZ_ENOTFOUND)
        return err;
    if (!make)
        return hz_err_set(HZ_ENOTFOUND, "%s is not there: without it no secret can be read", path);
    randombytes_buf(keys->key[0], sizeof keys->key[0]);
    keys->count = 1;
    return write_keys(keys);
}

/* ---- sealing ---- */

static void *seal(const struct keys *keys, const char *name, const char *value, size_t len, size_t *ret_len)
{
    size_t name_len = strlen(name) + 1, plain_len = name_len + len;
    unsigned char *plain = malloc(plain_len), *sealed = malloc(plain_len + OVERHEAD);
    if (plain && sealed) {
        memcpy(plain, name, name_len);
        memcpy(plain + name_len, value, len);
        randombytes_buf(sealed, crypto_secretbox_NONCEBYTES);
        crypto_secretbox_easy(sealed + crypto_secretbox_NONCEBYTES, plain, plain_len, sealed, keys->key[0]);
        *ret_len = plain_len + OVERHEAD;
    }
    if (plain)
        sodium_memzero(plain, plain_len);
    free(plain);
    if (plain)
        return sealed;
    free(sealed);
    return NULL;
}

/* The value, NUL-terminated; NULL: no key opens it, or it belongs to another name. */
static char *unseal(const struct keys *keys, const char *name, const unsigned char *sealed, size_t len, size_t *ret_len)
{
    size_t name_len = strlen(name) + 1;
    if (len < OVERHEAD + name_len)
        return NULL;
    size_t plain_len = len - OVERHEAD;
    unsigned char *plain = malloc(plain_len + 1);
    bool ok = false;
    for (int i = 0; plain && i < keys->count && !ok; i++)
        ok = crypto_secretbox_open_easy(plain, sealed + crypto_secretbox_NONCEBYTES, len - crypto_secretbox_NONCEBYTES, sealed, keys->key[i]) == 0 &&
                memcmp(plain, name, name_len) == 0;
    char *value = ok ? malloc(plain_len - name_len + 1) : NULL;
    if (value) {
        *ret_len = plain_len - name_len;
        memcpy(value, plain + name_len, *ret_len);
        value[*ret_len] = 0;
    }
    if (plain)
        sodium_memzero(plain, plain_len);
    free(plain);
    return value;
}

static void wipe(char *value, size_t len)
{
    if (value)
        sodium_memzero(value, len);
    free(value);
}

int hz_secrets_put(const char *name, const char *value, size_t len)
{
    if (!hz_secrets_valid_name(name))
        return hz_err_set(HZ_EFORMAT, "a secret's name is a letter or _, then letters, digits and _, at most 64 bytes");
    json_t *text = len >= HZ_SECRET_VALUE_MIN && len <= HZ_SECRET_VALUE_MAX && !memchr(value, 0, len) ? json_stringn(value, len) : NULL;
    if (!text)
        return hz_err_set(HZ_EFORMAT, "a secret is UTF-8 text of %u to %u bytes without NUL", HZ_SECRET_VALUE_MIN, HZ_SECRET_VALUE_MAX);
    json_decref(text);
    struct keys keys;
    pthread_mutex_lock(&secrets.lock);
    int err = load_keys(&keys, true);
    size_t sealed_len = 0;
    void *sealed = err ? NULL : seal(&keys, name, value, len, &sealed_len);
    if (!err)
        err = sealed ? hz_store_secret_put(name, sealed, sealed_len) : hz_err_set(HZ_ENOMEM, "secret %s", name);
    free(sealed);
    sodium_memzero(&keys, sizeof keys);
    pthread_mutex_unlock(&secrets.lock);
    return err;
}

int hz_secrets_remove(const char *name)
{
    pthread_mutex_lock(&secrets.lock); /* a rotation would bring it back */
    int err = hz_secrets_valid_name(name) ? hz_store_secret_delete(name) : HZ_ENOTFOUND;
    pthread_mutex_unlock(&secrets.lock);
    return err == HZ_ENOTFOUND ? hz_err_set(err, "there is no secret %.64s", name) : err;
}

json_t *hz_secrets_list(void)
{
    json_t *list = hz_store_secret_list();
    for (size_t i = json_array_size(list); i-- > 0;) {
        const char *name = json_string_value(json_object_get(json_array_get(list, i), "name"));
        if (name && strcmp(name, HZ_SECRETS_BOX_KEY) == 0)
            (void)json_array_remove(list, i);
    }
    return list;
}

static int fetch(const struct keys *keys, const char *name, char **ret_value, size_t *ret_len)
{
    void *sealed = NULL;
    size_t len = 0;
    int err = hz_store_secret_get(name, &sealed, &len);
    if (err)
        return err;
    *ret_value = unseal(keys, name, sealed, len, ret_len);
    free(sealed);
    return *ret_value ? 0 : hz_err_set(HZ_EFORMAT, "secret %s: the key at hand does not open it", name);
}

int hz_secrets_own_key(unsigned char ret_key[32])
{
    struct keys keys;
    char *text = NULL;
    size_t len = 0, sealed_len = 0;
    pthread_mutex_lock(&secrets.lock);
    int err = load_keys(&keys, true);
    if (!err)
        err = fetch(&keys, HZ_SECRETS_BOX_KEY, &text, &len);
    if (err == HZ_ENOTFOUND && keys.count > 0) {
        char fresh[65];
        randombytes_buf(ret_key, 32);
        sodium_bin2hex(fresh, sizeof fresh, ret_key, 32);
        void *sealed = seal(&keys, HZ_SECRETS_BOX_KEY, fresh, 64, &sealed_len);
        err = sealed ? hz_store_secret_put(HZ_SECRETS_BOX_KEY, sealed, sealed_len) : hz_err_set(HZ_ENOMEM, "a key for checkpoints");
        sodium_memzero(fresh, sizeof fresh);
        free(sealed);
    } else if (!err && (sodium_hex2bin(ret_key, 32, text, len, NULL, &sealed_len, NULL) || sealed_len != 32)) {
        err = hz_err_set(HZ_EFORMAT, "the key of the checkpoints is damaged");
    }
    wipe(text, len);
    sodium_memzero(&keys, sizeof keys);
    pthread_mutex_unlock(&secrets.lock);
    return err;
}

static int reseal(const struct keys *keys, const json_t *list, size_t *ret_count)
{
    size_t count = json_array_size(list), done = 0;
    const char **names = calloc(count + 1, sizeof *names);
    void **sealed = calloc(count + 1, sizeof *sealed);
    size_t *lens = calloc(count + 1, sizeof *lens);
    int err = names && sealed && lens ? 0 : hz_err_set(HZ_ENOMEM, "rotating the key");
    for (; done < count && !err; done++) {
        char *value = NULL;
        size_t len = 0;
        names[done] = json_string_value(json_object_get(json_array_get(list, done), "name"));
        err = fetch(keys, names[done], &value, &len);
        if (!err && !(sealed[done] = seal(keys, names[done], value, len, &lens[done])))
            err = hz_err_set(HZ_ENOMEM, "rotating the key");
        wipe(value, len);
    }
    if (!err && count > 0)
        err = hz_store_secret_replace(names, (const void *const *)sealed, lens, count);
    for (size_t i = 0; sealed && i < count; i++)
        free(sealed[i]);
    free(names);
    free(sealed);
    free(lens);
    *ret_count = 0;
    for (size_t i = 0; i < count; i++) /* those that people know of */
        *ret_count += hz_secrets_valid_name(json_string_value(json_object_get(json_array_get(list, i), "name")));
    return err;
}

int hz_secrets_rotate(size_t *ret_count)
{
    struct keys keys = {0};
    pthread_mutex_lock(&secrets.lock); /* what is set from here on is sealed under the new key */
    json_t *list = hz_store_secret_list();
    int err = list ? load_keys(&keys, true) : HZ_EFORMAT;
    if (!err && !keys.given) { /* the newest first; a rotation that was cut off left two, and all may still be under the second */
        if (keys.count == KEYS) {
            err = reseal(&keys, list, ret_count);
            keys.count = 1;
        }
        memcpy(keys.key[1], keys.key[0], sizeof keys.key[1]);
        randombytes_buf(keys.key[0], sizeof keys.key[0]);
        keys.count = KEYS;
        if (!err)
            err = write_keys(&keys);
    }
    if (!err)
        err = reseal(&keys, list, ret_count);
    if (!err && !keys.given) {
        keys.count = 1;
        err = write_keys(&keys);
    }
    sodium_memzero(&keys, sizeof keys);
    pthread_mutex_unlock(&secrets.lock);
    json_decref(list);
    return err;
}

/* ---- for one worker ---- */

static void add_pattern(struct hz_secret_set *set, const char *text, size_t len)
{
    if (len < HZ_SECRET_VALUE_MIN)
        return;
    for (size_t i = 0; i < set->pattern_count; i++)
        if (set->patterns[i].len == len && memcmp(set->patterns[i].text, text, len) == 0)
            return;
    struct hz_secret_pattern *grown = realloc(set->patterns, (set->pattern_count + 1) * sizeof *grown);
    if (!grown)
        return;
    set->patterns = grown;
    char *copy = malloc(len);
    if (!copy)
        return;
    memcpy(copy, text, len);
    size_t at = set->pattern_count++;
    for (; at > 0 && grown[at - 1].len < len; at--) /* the longest first: one may hold another */
        grown[at] = grown[at - 1];
    grown[at] = (struct hz_secret_pattern){copy, len};
}

/* The value, the value as it stands inside JSON, and if it is a JSON object the same for each text in it. */
static void add_patterns(struct hz_secret_set *set, const char *value, size_t len)
{
    json_t *text = json_stringn(value, len), *object = json_loadb(value, len, 0, NULL), *member;
    const char *key;
    char *escaped = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    add_pattern(set, value, len);
    if (escaped && strlen(escaped) > 2)
        add_pattern(set, escaped + 1, strlen(escaped) - 2);
    json_object_foreach(object, key, member)
        if (json_is_string(member))
            add_patterns(set, json_string_value(member), json_string_length(member));
    free(escaped);
    json_decref(text);
    json_decref(object);
}

int hz_secrets_open(char *const *names, const char *who, struct hz_secret_set **ret_set)
{
    size_t wanted = 0;
    while (names && names[wanted])
        wanted++;
    *ret_set = NULL;
    if (wanted == 0)
        return 0;
    struct hz_secret_set *set = calloc(1, sizeof *set);
    struct keys keys;
    if (set)
        set->pairs = calloc(2 * wanted + 1, sizeof *set->pairs);
    if (!set || !set->pairs) {
        free(set);
        return hz_err_set(HZ_ENOMEM, "secrets of %s", who);
    }
    pthread_mutex_lock(&secrets.lock);
    int err = 0, key_err = load_keys(&keys, false);
    for (size_t i = 0; i < wanted && !err; i++) {
        size_t len = 0;
        char *value = NULL;
        err = key_err && key_err != HZ_ENOTFOUND ? key_err : key_err ? HZ_ENOTFOUND : fetch(&keys, names[i], &value, &len);
        if (err == HZ_ENOTFOUND) {
            HZ_LOG(WARN, "%s names the secret %s, which is not set (horizon secret set %s)", who, names[i], names[i]);
            err = 0;
            continue;
        }
        if (err)
            break;
        add_patterns(set, value, len);
        set->pairs[2 * set->count + 1] = value;
        set->pairs[2 * set->count] = strdup(names[i]);
        err = set->pairs[2 * set->count++] ? 0 : hz_err_set(HZ_ENOMEM, "secrets of %s", who);
    }
    sodium_memzero(&keys, sizeof keys);
    pthread_mutex_unlock(&secrets.lock);
    if (err)
        hz_secrets_close(&set);
    *ret_set = set;
    return err;
}

int hz_secrets_of(char **pairs, size_t count, struct hz_secret_set **ret_set)
{
    struct hz_secret_set *set = calloc(1, sizeof *set);
    if (!set)
        return hz_err_set(HZ_ENOMEM, "secrets");
    set->pairs = pairs;
    set->count = count;
    for (size_t i = 0; i < count; i++)
        add_patterns(set, pairs[2 * i + 1], strlen(pairs[2 * i + 1]));
    *ret_set = set;
    return 0;
}

void hz_secrets_close(struct hz_secret_set **ref)
{
    struct hz_secret_set *set = *ref;
    *ref = NULL;
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++) {
        free(set->pairs[2 * i]);
        wipe(set->pairs[2 * i + 1], strlen(set->pairs[2 * i + 1]));
    }
    for (size_t i = 0; i < set->pattern_count; i++)
        wipe(set->patterns[i].text, set->patterns[i].len);
    free(set->patterns);
    free(set->pairs);
    free(set);
}

char *hz_secrets_mask(const struct hz_secret_set *set, const char *text, size_t len, size_t *ret_len)
{
    char *masked = NULL;
    for (size_t i = 0; set && len > 0 && i < set->pattern_count; i++) {
        const struct hz_secret_pattern *p = &set->patterns[i];
        for (size_t from = 0; from < len;) {
            const char *now = masked ? masked : text;
            const char *hit = memmem(now + from, len - from, p->text, p->len);
            if (!hit)
                break;
            size_t at = (size_t)(hit - now);
            if (!masked) {
                masked = malloc(len + 1);
                if (!masked) { /* better nothing than the secret */
                    *ret_len = 0;
                    return strdup("");
                }
                memcpy(masked, text, len);
            }
            memset(masked + at, '*', 3); /* never longer than what it replaces */
            memmove(masked + at + 3, masked + at + p->len, len - at - p->len);
            len -= p->len - 3;
            from = at + 3;
        }
    }
    if (masked) {
        masked[len] = 0;
        *ret_len = len;
    }
    return masked;
}
