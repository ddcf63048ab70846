/*
 * validator_set.c - preparing a schema: every schema in it is visited once, identifiers are noted, references resolved
 * and patterns compiled, so that checking only follows pointers. A set is immutable once made and may be used by any
 * thread.
 */
#include "validator_internal.h"

#include <stdlib.h>

/* gcc's analyzer loses what is owned by the list or the table it was just put in. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#define WALK_DEPTH 512u

struct schema_entry {
    const void *key; /* a schema (hz_value) or the bytes of a pattern; NULL: free */
    const hz_value *target;
    struct schema_pattern *pattern;
    const char *base; /* for references inside this schema */
};
struct schema_text {
    struct schema_text *next;
    char text[];
};

struct known { /* an identifier, absolute */
    const char *uri;
    const hz_value *schema;
};
struct build {
    struct schema_set *set;
    const struct schema_set *meta;
    struct known *known; /* open addressing by text */
    size_t known_count, known_capacity;
    const hz_value **pending; /* schemas with $ref */
    size_t pending_count, pending_capacity;
    char *reason;
    size_t reason_size;
    bool failed;
};

static void fail(struct build *b, const char *what, hz_str subject)
{
    if (b->failed)
        return;
    b->failed = true;
    (void)snprintf(
            b->reason, b->reason_size, "%s%.*s", what, (int)(subject.len < 200 ? subject.len : 200), subject.data);
}

static void fail_memory(struct build *b)
{
    fail(b, "sin memoria", (hz_str){"", 0});
}

static size_t pointer_hash(const void *key)
{
    uint64_t v = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u;
    return (size_t)(v >> 20);
}

static struct schema_entry *entry_find(const struct schema_set *set, const void *key)
{
    if (!set->capacity)
        return NULL;
    for (size_t i = pointer_hash(key);; i++) {
        struct schema_entry *entry = &set->entries[i & (set->capacity - 1)];
        if (entry->key == key)
            return entry;
        if (!entry->key)
            return NULL;
    }
}

/* A new entry for a key that has none; valid until the next one is added. NULL: the build has failed. */
static struct schema_entry *entry_add(struct build *b, const void *key)
{
    struct schema_set *set = b->set;
    if (set->count * 2 >= set->capacity) {
        size_t old_capacity = set->capacity, capacity = old_capacity ? old_capacity * 2 : 64;
        struct schema_entry *old = set->entries, *grown = calloc(capacity, sizeof *grown);
        if (!grown) {
            fail_memory(b);
            return NULL;
        }
        for (size_t i = 0; i < old_capacity; i++) {
            size_t at = pointer_hash(old[i].key);
            if (!old[i].key)
                continue;
            while (grown[at & (capacity - 1)].key)
                at++;
            grown[at & (capacity - 1)] = old[i];
        }
        free(old);
        set->entries = grown;
        set->capacity = capacity;
    }
    size_t at = pointer_hash(key);
    while (set->entries[at & (set->capacity - 1)].key)
        at++;
    set->count++;
    struct schema_entry *entry = &set->entries[at & (set->capacity - 1)];
    entry->key = key;
    return entry;
}

/* A copy that lives as long as the set. */
static const char *text_keep(struct build *b, const char *text, size_t len)
{
    struct schema_text *made = malloc(sizeof *made + len + 1);
    if (!made) {
        fail_memory(b);
        return "";
    }
    made->next = b->set->texts;
    b->set->texts = made;
    memcpy(made->text, text, len);
    made->text[len] = '\0';
    return b->set->texts->text;
}

static size_t text_hash(const char *text, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32);
}

static const hz_value *known_find(const struct build *b, const char *uri, size_t len)
{
    if (!b->known_capacity)
        return NULL;
    for (size_t i = text_hash(uri, len);; i++) {
        const struct known *known = &b->known[i & (b->known_capacity - 1)];
        if (!known->uri)
            return NULL;
        if (strncmp(known->uri, uri, len) == 0 && known->uri[len] == '\0')
            return known->schema;
    }
}

/* Notes an identifier; the first one of a name counts. `uri` lives as long as the set. */
static void known_add(struct build *b, const char *uri, const hz_value *schema)
{
    if (b->failed || known_find(b, uri, strlen(uri)))
        return;
    if (b->known_count * 2 >= b->known_capacity) {
        size_t capacity = b->known_capacity ? b->known_capacity * 2 : 16;
        struct known *grown = calloc(capacity, sizeof *grown);
        if (!grown) {
            fail_memory(b);
            return;
        }
        for (size_t i = 0; i < b->known_capacity; i++) {
            if (!b->known[i].uri)
                continue;
            size_t at = text_hash(b->known[i].uri, strlen(b->known[i].uri));
            while (grown[at & (capacity - 1)].uri)
                at++;
            grown[at & (capacity - 1)] = b->known[i];
        }
        free(b->known);
        b->known = grown;
        b->known_capacity = capacity;
    }
    size_t at = text_hash(uri, strlen(uri));
    while (b->known[at & (b->known_capacity - 1)].uri)
        at++;
    b->known[at & (b->known_capacity - 1)] = (struct known){uri, schema};
    b->known_count++;
}

static void pending_add(struct build *b, const hz_value *schema)
{
    if (b->pending_count == b->pending_capacity) {
        size_t capacity = b->pending_capacity ? b->pending_capacity * 2 : 16;
        const hz_value **grown = realloc(b->pending, capacity * sizeof(void *));
        if (!grown) {
            fail_memory(b);
            return;
        }
        b->pending = grown;
        b->pending_capacity = capacity;
    }
    b->pending[b->pending_count++] = schema;
}

static hz_str text_of(const hz_value *object, const char *key)
{
    const hz_value *value = hz_get(object, key);
    return hz_type_of(value) == HZ_STRING ? hz_as_str(value) : (hz_str){NULL, 0};
}

/* The base inside a schema that lies where `base` holds; notes its identifier if `note`. */
static const char *base_inside(struct build *b, const hz_value *schema, const char *base, bool note)
{
    char uri[SCHEMA_MAX_URI];
    hz_str id = text_of(schema, "$id");
    if (!id.data || text_of(schema, "$ref").data) /* beside $ref nothing counts */
        return base;
    if (!schema_uri_resolve(base, id, uri, sizeof uri)) {
        fail(b, "identificador no admitido: ", id);
        return base;
    }
    const char *kept = text_keep(b, uri, strlen(uri)), *hash = strchr(kept, '#');
    if (b->failed)
        return base;
    if (note)
        known_add(b, kept, schema);
    if (!hash)
        return kept;
    return id.len && id.data[0] == '#' ? base : text_keep(b, kept, (size_t)(hash - kept));
}

static void add_pattern(struct build *b, hz_str source)
{
    char reason[160];
    if (b->failed || entry_find(b->set, source.data))
        return;
    struct schema_pattern *pattern = schema_pattern_new(source, reason, sizeof reason);
    if (!pattern) {
        char text[200];
        (void)snprintf(text, sizeof text, "expresión regular no admitida (%s): ", reason);
        fail(b, text, source);
        return;
    }
    struct schema_entry *entry = entry_add(b, source.data);
    if (entry)
        entry->pattern = pattern;
    else
        schema_pattern_free(pattern);
}

enum position { PLACE_NONE, PLACE_SCHEMA, PLACE_LIST, PLACE_MAP, PLACE_SCHEMA_OR_LIST };

static enum position position_of(hz_str key)
{
    static const struct {
        const char *name;
        enum position position;
    } places[] = {{"properties", PLACE_MAP}, {"patternProperties", PLACE_MAP}, {"definitions", PLACE_MAP},
            {"dependencies", PLACE_MAP}, {"additionalProperties", PLACE_SCHEMA}, {"additionalItems", PLACE_SCHEMA},
            {"contains", PLACE_SCHEMA}, {"not", PLACE_SCHEMA}, {"if", PLACE_SCHEMA}, {"then", PLACE_SCHEMA},
            {"else", PLACE_SCHEMA}, {"propertyNames", PLACE_SCHEMA}, {"allOf", PLACE_LIST}, {"anyOf", PLACE_LIST},
            {"oneOf", PLACE_LIST}, {"items", PLACE_SCHEMA_OR_LIST}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (strlen(places[i].name) == key.len && memcmp(places[i].name, key.data, key.len) == 0)
            return places[i].position;
    }
    return PLACE_NONE;
}

static void walk(struct build *b, const hz_value *schema, const char *base, unsigned depth);

static void walk_list(struct build *b, const hz_value *list, const char *base, unsigned depth)
{
    for (size_t i = 0, n = hz_length(list); i < n; i++)
        walk(b, hz_at(list, i), base, depth);
}

static void walk_map(struct build *b, const hz_value *map, const char *base, unsigned depth)
{
    void *cursor = NULL;
    hz_str key;
    const hz_value *value;
    while (hz_next(map, &cursor, &key, &value))
        walk(b, value, base, depth);
}

static void walk_keyword(struct build *b, hz_str key, const hz_value *value, const char *base, unsigned depth)
{
    enum position position = position_of(key);
    enum hz_type type = hz_type_of(value);
    if (position == PLACE_MAP && type == HZ_OBJECT) {
        void *cursor = NULL;
        hz_str name;
        walk_map(b, value, base, depth);
        if (key.data[0] == 'p' && key.data[1] == 'a') {
            while (!b->failed && hz_next(value, &cursor, &name, NULL))
                add_pattern(b, name);
        }
    } else if (type == HZ_ARRAY && (position == PLACE_LIST || position == PLACE_SCHEMA_OR_LIST)) {
        walk_list(b, value, base, depth);
    } else if (position == PLACE_SCHEMA || position == PLACE_SCHEMA_OR_LIST) {
        walk(b, value, base, depth);
    } else if (key.len == 7 && memcmp(key.data, "pattern", 7) == 0 && type == HZ_STRING) {
        add_pattern(b, hz_as_str(value));
    }
}

/* Visits a schema and all inside it; what is no object has nothing inside. */
static void walk(struct build *b, const hz_value *schema, const char *base, unsigned depth)
{
    if (b->failed || hz_type_of(schema) != HZ_OBJECT || entry_find(b->set, schema))
        return;
    if (depth >= WALK_DEPTH) {
        fail(b, "esquema anidado a demasiados niveles", (hz_str){"", 0});
        return;
    }
    const char *inside = base_inside(b, schema, base, true);
    struct schema_entry *entry = entry_add(b, schema);
    if (!entry)
        return;
    entry->base = inside;
    if (text_of(schema, "$ref").data)
        pending_add(b, schema);
    void *cursor = NULL;
    hz_str key;
    const hz_value *value;
    while (!b->failed && hz_next(schema, &cursor, &key, &value))
        walk_keyword(b, key, value, inside, depth + 1);
}

/* One step of a JSON pointer; token is NUL-terminated and changed. */
static const hz_value *pointer_step(const hz_value *at, char *token, size_t len)
{
    char *to = token;
    for (const char *from = token; from < token + len; from++) {
        bool escaped = *from == '~' && from + 1 < token + len && (from[1] == '0' || from[1] == '1');
        *to++ = escaped ? (from[1] == '0' ? '~' : '/') : *from;
        from += escaped;
    }
    len = (size_t)(to - token);
    if (hz_type_of(at) == HZ_OBJECT)
        return schema_get(at, (hz_str){token, len});
    if (hz_type_of(at) != HZ_ARRAY || len == 0 || len > 9 || (token[0] == '0' && len > 1))
        return NULL;
    size_t index = 0;
    for (size_t i = 0; i < len; i++) {
        if (token[i] < '0' || token[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(token[i] - '0');
    }
    return hz_at(at, index);
}

/* Follows `/a/b` from a document, keeping the base up to date; the target is visited, for it may lie outside all places
 * where schemas are known to be. */
static const hz_value *pointer_follow(struct build *b, const hz_value *at, const char *base, char *pointer, size_t len)
{
    char *end = pointer + len;
    while (at && pointer < end) {
        const struct schema_entry *entry = entry_find(b->set, at);
        base = entry ? entry->base : hz_type_of(at) == HZ_OBJECT ? base_inside(b, at, base, false) : base;
        char *token = pointer + 1, *slash = memchr(token, '/', (size_t)(end - token));
        pointer = slash ? slash : end;
        at = pointer_step(at, token, (size_t)(pointer - token));
    }
    if (at)
        walk(b, at, base, 0);
    return at;
}

static const hz_value *resolve(struct build *b, const char *base, hz_str reference)
{
    char uri[SCHEMA_MAX_URI];
    if (!schema_uri_resolve(base, reference, uri, sizeof uri))
        return NULL;
    size_t document = strcspn(uri, "#");
    char *fragment = uri[document] ? uri + document + 1 : uri + document;
    const hz_value *found = known_find(b, uri, document);
    if (!found && b->meta && document == strlen(SCHEMA_META_URI) && memcmp(uri, SCHEMA_META_URI, document) == 0)
        found = b->meta->root;
    if (*fragment && *fragment != '/')
        return known_find(b, uri, strlen(uri));
    uri[document] = '\0';
    size_t len = schema_uri_decode(fragment);
    return found && len != SIZE_MAX ? pointer_follow(b, found, text_keep(b, uri, document), fragment, len) : NULL;
}

struct schema_set *schema_set_new(const hz_value *root, const struct schema_set *meta, char *reason, size_t size)
{
    struct build b = {.meta = meta, .reason = reason, .reason_size = size};
    b.set = calloc(1, sizeof *b.set);
    if (!b.set) {
        (void)snprintf(reason, size, "sin memoria");
        return NULL;
    }
    b.set->root = hz_keep(root);
    walk(&b, root, "", 0);
    known_add(&b, "", root);
    if (!meta)
        known_add(&b, SCHEMA_META_URI, root);
    for (size_t i = 0; i < b.pending_count && !b.failed; i++) {
        const hz_value *schema = b.pending[i];
        hz_str reference = text_of(schema, "$ref");
        struct schema_entry *entry = entry_find(b.set, schema);
        const hz_value *target = entry ? resolve(&b, entry->base, reference) : NULL;
        entry = entry_find(b.set, schema); /* resolving may have moved the table */
        if (entry && target)
            entry->target = target;
        else
            fail(&b, "no se puede resolver la referencia ", reference);
    }
    free(b.known);
    free(b.pending);
    if (b.failed) {
        schema_set_free(b.set);
        return NULL;
    }
    return b.set;
}

void schema_set_free(struct schema_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->capacity; i++)
        schema_pattern_free(set->entries[i].pattern);
    free(set->entries);
    while (set->texts) {
        struct schema_text *next = set->texts->next;
        free(set->texts);
        set->texts = next;
    }
    hz_drop(set->root);
    free(set);
}

const hz_value *schema_set_target(const struct schema_set *set, const hz_value *schema)
{
    const struct schema_entry *entry = entry_find(set, schema);
    return entry ? entry->target : NULL;
}

const struct schema_pattern *schema_set_pattern(const struct schema_set *set, hz_str source)
{
    const struct schema_entry *entry = entry_find(set, source.data);
    return entry ? entry->pattern : NULL;
}
