/*
 * validator_schema.h - JSON Schema draft-07: is this value what the schema says, and if not, everything that is wrong
 * with it, in Spanish. References lead anywhere inside the schema and to the draft's own schema, never to the network.
 */
#ifndef HZ_NODES_VALIDATOR_SCHEMA_H
#define HZ_NODES_VALIDATOR_SCHEMA_H

#include <horizon/node.h>

/*
 * Checks `data`. Returns a list of errors {message, path, keyword, params}, empty if valid: path is the JSON pointer of
 * the part that is wrong ("/" for the whole), keyword what it breaks, params the keyword's figures. At most
 * SCHEMA_MAX_ERRORS are listed. NULL: out of memory, or the schema cannot be used and *ret_error says why.
 *
 * messages: object keyword -> text that replaces the text of that keyword's errors; NULL or other types: none. A schema
 * may hold the same under `errorMessage`, or there a text for all of its keywords; the nearest wins.
 *
 * All results belong to the call. Any thread. Cost: a schema is checked and prepared once and kept while it is among
 * the last few used (by identity of the value); then about 0.1 us for each keyword applied to each part of the data,
 * more for patterns. Bounded: SCHEMA_MAX_STEPS keywords applied, nesting, and PCRE2's limits for a pattern.
 */
hz_value *schema_validate(
        hz_call *call, const hz_value *schema, const hz_value *data, const hz_value *messages, hz_str *ret_error);

#define SCHEMA_MAX_ERRORS 10000u
#define SCHEMA_MAX_STEPS  5000000u

#endif
