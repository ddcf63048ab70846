/* form.h - what a browser sends, as JSON: nested form names, base64 of files, and whether a text is JSON at all. Pure
 * functions. */
#ifndef HZ_CORE_API_FORM_H
#define HZ_CORE_API_FORM_H

#include "shm/base.h"
#include <jansson.h>

#define HZ_FORM_FIELDS 1000u /* more are refused */

/*
 * hz_form_set - puts a field into the object `root`; `a[b][c]` nests, `a[]` and a name that comes twice make arrays.
 *
 * value   reference is taken, also on failure
 * Returns 0; HZ_ENOMEM. Deeper than five levels the rest of the name is one key; `__proto__` is left out.
 */
HZ_MUST_CHECK int hz_form_set(json_t *root, const char *name, json_t *value);
/* application/x-www-form-urlencoded or a query string to a new object. HZ_ETOOBIG: more than HZ_FORM_FIELDS; HZ_ENOMEM.
 */
HZ_MUST_CHECK int hz_form_decode(const char *text, size_t len, json_t **ret_root);
/* A new string of `len` bytes in base64 (RFC 4648), or NULL: out of memory. */
json_t *hz_form_base64(const void *data, size_t len);
/* Is it exactly one JSON value, nested at most 512 deep? One pass, no memory. */
bool hz_form_is_json(const char *text, size_t len);

#endif
