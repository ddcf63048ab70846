/*
 * json_text.h - JSON text to jansson and back, the way the whole house reads JSON: integers beyond +-2^53 as double,
 * lone surrogates as U+FFFD, a byte order mark skipped, numbers printed by the shortest text that reads back.
 */
#ifndef HZ_FLOW_JSON_TEXT_H
#define HZ_FLOW_JSON_TEXT_H

#include "shm/base.h"
#include <jansson.h>

struct hz_json_text_error {
    char message[200];
    int line, column; /* 1-based; column in characters */
};

/*
 * hz_json_text_parse - parses any value.
 *
 * unique     a key that occurs twice in one object is an error (JavaScript would take the last one)
 * max_depth  bound of nesting
 * ret_error  filled when NULL is returned
 * Cost       one pass over the text, then jansson's; a copy of the text only if a number or escape has to be rewritten
 */
json_t *hz_json_text_parse(
        const char *text, size_t len, unsigned max_depth, bool unique, struct hz_json_text_error *ret_error);

/* What hz_json_text_print() has written, here or in another process of ours; at most 1,000 levels. NULL: it is no JSON, or no memory.
 * (jansson's own reader refuses what is printed of a number of 2^63 and more.) */
json_t *hz_json_text_read(const char *text, size_t len);

/* Text of a value, NUL-terminated; caller frees; NULL: out of memory. indent 0: compact. Nesting is what the parser let
 * in, so recursion is bounded. */
char *hz_json_text_print(const json_t *value, unsigned indent, size_t *ret_len);

#endif
