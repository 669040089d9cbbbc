/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Strict, bounded reading of JSON. A scanner of our own first decides whether
 * the text is JSON (RFC 8259, with the limits below) and says where it is
 * not; only then cJSON builds a tree. So no leniency of cJSON is part of what
 * we accept: no trailing bytes, comments, byte order mark, raw control
 * characters, leading zeros, NaN, bad UTF-8, lone surrogates, or \u0000 (cJSON
 * strings end at NUL). No object has the same key twice. The tree is plain
 * cJSON: `struct cJSON` of <cjson/cJSON.h>.
 */

struct cJSON;

/* The longest number, in characters: what every cJSON keeps of one. */
#define JSON_NUMBER_MAX 63

/* The deepest nesting that can be asked for. */
#define JSON_DEPTH_MAX 128

/* The most members of one object: bounds the search for duplicate keys. */
#define JSON_MEMBERS_MAX 1024

/* The integers of a JSON number end here: beyond, doubles have gaps. */
#define JSON_INTEGER_MAX 9007199254740991.0

struct json_limits {
    size_t bytes_max; /* below 2^31 */
    size_t depth_max; /* [] is 1 deep, 0 is 0 deep */
};

/* What the scanner saw on its way. */
struct json_facts {
    size_t depth;
};

/*
 * json_check says whether the bytes are one JSON text within the limits.
 * MALFORMED names the byte offset and what is wrong there; TOOBIG the limit.
 * facts is written on success and may be NULL. Thread: any. Allocates:
 * nothing; recursion is bounded by depth_max.
 */
must_check enum status json_check(const char *bytes, size_t len,
                                  const struct json_limits *limits,
                                  struct json_facts *facts, struct error *err);

/*
 * json_parse checks and gives the tree, for json_free. MALFORMED and TOOBIG as
 * in json_check, and MALFORMED with its path for a key that comes twice. facts
 * may be NULL. Thread: any. Allocates: the tree, by malloc.
 */
must_check enum status json_parse(struct cJSON **out, const char *bytes,
                                  size_t len, const struct json_limits *limits,
                                  struct json_facts *facts, struct error *err);

/* json_free frees the tree and sets *self NULL; NULL is fine. */
void json_free(struct cJSON **self);

/*
 * The lookups below take NULL for "not there" and hand it on, so that they
 * can be chained: json_string(json_find(root, "a.b[2]")). Thread: any.
 */

/* json_member lends the member with this key, or NULL. Keys match exactly. */
const struct cJSON *json_member(const struct cJSON *object, const char *key);

/* json_find lends the value at a path (daemon/base/json_path.h), or NULL; a
 * path that is not well-formed or has [] finds nothing. */
const struct cJSON *json_find(const struct cJSON *root, const char *path);

/* json_first and json_next lend the elements of an array or the members of an
 * object, in the order of the text; NULL at the end. */
const struct cJSON *json_first(const struct cJSON *parent);
const struct cJSON *json_next(const struct cJSON *child);

/* json_key lends a member's key, NULL for what is not a member. */
const char *json_key(const struct cJSON *member);

/* json_count is the number of elements or members. */
size_t json_count(const struct cJSON *parent);

bool json_is_object(const struct cJSON *value);
bool json_is_array(const struct cJSON *value);
bool json_is_null(const struct cJSON *value);

/* json_string lends the text of a string, or NULL when it is none. */
const char *json_string(const struct cJSON *value);

/* json_number writes *out and says true for a finite number. */
bool json_number(const struct cJSON *value, double *out);

/* json_integer: a number that is an integer within +-JSON_INTEGER_MAX. */
bool json_integer(const struct cJSON *value, int64_t *out);

/* json_word writes the place of a string among words, which NULL ends; false
 * for any other. */
bool json_word(const struct cJSON *value, const char *const *words, int *out);

/* json_boolean: true or false. */
bool json_boolean(const struct cJSON *value, bool *out);

#endif
