/*
 * validator_schema.c - the whole of a validation: the schema is itself checked, prepared, kept for the next time, and
 * the data checked against it.
 */
#include "validator_internal.h"

#include <pthread.h>

#define KEPT 8 /* prepared schemas */

/* Everything below is read and written under `lock`, but for what a set holds, which never changes. A set with users is
 * not freed; the meta set never is. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct schema_set *kept[KEPT], *meta_set;
static uint64_t use_clock;

static struct schema_set *find_kept(const hz_value *schema)
{
    for (size_t i = 0; i < KEPT; i++) {
        if (kept[i] && kept[i]->root == schema) {
            kept[i]->users++;
            kept[i]->last_used = ++use_clock;
            return kept[i];
        }
    }
    return NULL;
}

/* Puts a set in the place of the one not used for longest. */
static void keep(struct schema_set *set)
{
    size_t oldest = 0;
    for (size_t i = 1; i < KEPT; i++) {
        if (!kept[i] || (kept[oldest] && kept[i]->last_used < kept[oldest]->last_used))
            oldest = i;
        if (!kept[oldest])
            break;
    }
    struct schema_set *old = kept[oldest];
    kept[oldest] = set;
    set->users = 1;
    set->last_used = ++use_clock;
    if (!old)
        return;
    old->evicted = true;
    if (old->users == 0)
        schema_set_free(old);
}

static void give_back(struct schema_set *set)
{
    pthread_mutex_lock(&lock);
    bool last = --set->users == 0 && set->evicted;
    pthread_mutex_unlock(&lock);
    if (last)
        schema_set_free(set);
}

/* The module is unloaded: nothing of it runs any more. */
__attribute__((destructor)) static void forget_all(void)
{
    for (size_t i = 0; i < KEPT; i++)
        schema_set_free(kept[i]);
    schema_set_free(meta_set);
}

static const struct schema_set *get_meta(hz_call *call, char *reason, size_t size)
{
    pthread_mutex_lock(&lock);
    if (!meta_set) {
        hz_str error = {"", 0};
        const hz_value *root = hz_parse(call, schema_meta_text, strlen(schema_meta_text), &error);
        if (root)
            meta_set = schema_set_new(root, NULL, reason, size);
        else
            (void)snprintf(reason, size, "sin memoria");
    }
    const struct schema_set *meta = meta_set;
    pthread_mutex_unlock(&lock);
    return meta;
}

/* Newest first becomes oldest first. */
static struct schema_error *in_order(struct schema_error *error)
{
    struct schema_error *first = NULL;
    while (error) {
        struct schema_error *before = error->before;
        error->before = first;
        first = error;
        error = before;
    }
    return first;
}

/* Is the schema one? The first thing that is wrong with it is the reason. */
static bool check_schema(
        hz_call *call, const struct schema_set *meta, const hz_value *schema, char *reason, size_t size)
{
    struct schema_check check = {.call = call, .set = meta};
    struct schema_path root = {0};
    bool valid = schema_check_value(&check, meta->root, schema, &root);
    if (valid && !check.failure && !check.no_memory)
        return true;
    struct schema_error *error = in_order(check.last);
    const hz_value *message = error && !check.failure && !check.no_memory ? schema_message_of(call, error, NULL) : NULL;
    if (message) {
        hz_str text = hz_as_str(hz_get(message, "message"));
        (void)snprintf(reason, size, "%s: %.*s", error->path, (int)text.len, text.data);
    } else {
        (void)snprintf(reason, size, "%s", check.failure ? check.failure : "sin memoria");
    }
    return false;
}

static struct schema_set *get_set(hz_call *call, const hz_value *schema, char *reason, size_t size)
{
    pthread_mutex_lock(&lock);
    struct schema_set *set = find_kept(schema);
    pthread_mutex_unlock(&lock);
    if (set)
        return set;
    const struct schema_set *meta = get_meta(call, reason, size);
    if (!meta || !check_schema(call, meta, schema, reason, size))
        return NULL;
    struct schema_set *made = schema_set_new(schema, meta, reason, size);
    if (!made)
        return NULL;
    pthread_mutex_lock(&lock);
    set = find_kept(schema); /* another thread may have been faster */
    if (!set)
        keep(made);
    pthread_mutex_unlock(&lock);
    if (set)
        schema_set_free(made);
    return set ? set : made;
}

static hz_value *list_errors(hz_call *call, struct schema_error *errors, const hz_value *messages)
{
    hz_value *list = hz_array(call);
    for (struct schema_error *error = in_order(errors); list && error; error = error->before) {
        if (hz_push(list, schema_message_of(call, error, messages)) != HZ_OK)
            return NULL;
    }
    return list;
}

hz_value *schema_validate(
        hz_call *call, const hz_value *schema, const hz_value *data, const hz_value *messages, hz_str *ret_error)
{
    char reason[512] = "";
    hz_value *errors = NULL;
    if (ret_error)
        *ret_error = (hz_str){"", 0};
    struct schema_set *set = get_set(call, schema, reason, sizeof reason);
    if (set) {
        struct schema_check check = {.call = call, .set = set};
        struct schema_path root = {0};
        (void)schema_check_value(&check, schema, data, &root);
        if (check.failure)
            (void)snprintf(reason, sizeof reason, "%s", check.failure);
        else if (!check.no_memory)
            errors = list_errors(call, check.last, messages);
        give_back(set);
    }
    if (!errors && ret_error && reason[0]) {
        const hz_value *text = hz_text(call, reason);
        if (text)
            *ret_error = hz_as_str(text);
    }
    return errors;
}
