/* validator_internal.h - what the validator_*.c files share. Functions begin with schema_; nothing is exported. */
#ifndef HZ_NODES_VALIDATOR_INTERNAL_H
#define HZ_NODES_VALIDATOR_INTERNAL_H

#include "validator_schema.h"

#define SCHEMA_META_URI  "http://json-schema.org/draft-07/schema"
#define SCHEMA_MAX_DEPTH 1000u /* of schemas inside schemas while checking; about 0.5 KiB of stack each */
#define SCHEMA_MAX_URI   2048u

static inline const hz_value *schema_get(const hz_value *object, hz_str key)
{
    return hz_host_table->get(object, key.data, key.len);
}

/* ## Patterns (validator_pattern.c): ECMA 262 with the flag u, run by PCRE2 */
struct schema_pattern; /* immutable once made; any thread may match */
/* NULL: not a pattern, or one that PCRE2 does not take; reason (size bytes) says why. */
struct schema_pattern *schema_pattern_new(hz_str source, char *reason, size_t size);
void schema_pattern_free(struct schema_pattern *pattern);
/* 1 somewhere in the text, 0 not, -1 given up (a runaway pattern, memory). */
int schema_pattern_match(const struct schema_pattern *pattern, hz_str text);

/* ## Formats (validator_formats.c): true for names that are not known, as the draft wants */
bool schema_format_check(hz_str name, hz_str text);

/* ## URIs (validator_uri.c) */
/* base + reference -> absolute form (RFC 3986, 5.2) without an empty fragment. false: longer than `size`. */
bool schema_uri_resolve(const char *base, hz_str reference, char *ret, size_t size);
/* Percent-decodes in place; returns the length, or SIZE_MAX if it is malformed. */
size_t schema_uri_decode(char *text);

/* ## Sets (validator_set.c): one schema document prepared: references resolved, patterns compiled */
struct schema_set {
    const hz_value *root;         /* kept */
    struct schema_entry *entries; /* open addressing by pointer, capacity a power of two */
    size_t count, capacity;
    struct schema_text *texts; /* bases, freed with the set */
    unsigned users;            /* validator_schema.c, under its lock, as the next one */
    uint64_t last_used;
    bool evicted;
};
/* Prepares `root`; `meta`: the draft's own schema, prepared (NULL for itself). NULL: reason says why. */
struct schema_set *schema_set_new(const hz_value *root, const struct schema_set *meta, char *reason, size_t size);
void schema_set_free(struct schema_set *set);
/* What a schema with $ref refers to; NULL: not a reference. */
const hz_value *schema_set_target(const struct schema_set *set, const hz_value *schema);
/* The compiled pattern of a text of the schema (by its address). */
const struct schema_pattern *schema_set_pattern(const struct schema_set *set, hz_str source);
/* The text of the draft's own schema (validator_meta.c). */
extern const char schema_meta_text[];

/* ## Checking (validator_check.c, validator_rules.c, validator_objects.c) */
struct schema_path { /* from a part of the data up to the whole; on the stack */
    const struct schema_path *up;
    hz_str key; /* data NULL: index */
    size_t index;
};
struct schema_error {
    char *path;
    const char *keyword;
    const hz_value *schema;  /* the schema that holds the keyword; for its errorMessage */
    const hz_value *operand; /* the keyword's value */
    hz_str name, name2;      /* of a property */
    size_t i, j;
    struct schema_error *before;
};
struct schema_active { /* a reference being followed; on the stack */
    const struct schema_active *up;
    const hz_value *target, *data;
};
struct schema_check {
    hz_call *call;
    const struct schema_set *set;
    const struct schema_active *active;
    struct schema_error *last; /* newest first */
    size_t error_count, steps;
    unsigned depth, quiet; /* quiet > 0: only the verdict is wanted */
    const char *failure;   /* set: the check was given up */
    bool no_memory;
};
/* True: valid. Errors are added unless quiet. When check->failure or no_memory is set the verdict means nothing. */
bool schema_check_value(
        struct schema_check *check, const hz_value *schema, const hz_value *data, const struct schema_path *path);
/* Adds an error; returns false. The error may be NULL-checked and filled further by the caller: quiet gives NULL. */
struct schema_error *schema_check_error(struct schema_check *check, const struct schema_path *path, const char *keyword,
        const hz_value *schema, const hz_value *operand);
/* Takes the errors after `mark` (an earlier check->last) away again. */
void schema_check_forget(struct schema_check *check, struct schema_error *mark, size_t count);
/* One keyword: what it is given and where. */
struct schema_rule_input {
    struct schema_check *check;
    const hz_value *schema, *operand, *data;
    const struct schema_path *path;
    enum hz_type type; /* of data */
};
typedef bool schema_rule_fn(const struct schema_rule_input *in);
/* NULL: not a keyword that checks anything. */
schema_rule_fn *schema_rule_find(hz_str keyword);

schema_rule_fn schema_rule_type, schema_rule_enum, schema_rule_const, schema_rule_multiple, schema_rule_maximum,
        schema_rule_minimum, schema_rule_above, schema_rule_below, schema_rule_max_length, schema_rule_min_length,
        schema_rule_pattern, schema_rule_format, schema_rule_max_items, schema_rule_min_items,
        schema_rule_max_properties, schema_rule_min_properties;
schema_rule_fn schema_rule_items, schema_rule_contains, schema_rule_unique, schema_rule_properties,
        schema_rule_patterns, schema_rule_additional, schema_rule_required, schema_rule_dependencies, schema_rule_names;

/* ## Texts (validator_messages.c) */
/* The error as the node emits it; NULL: out of memory. */
hz_value *schema_message_of(hz_call *call, const struct schema_error *error, const hz_value *messages);

#endif
