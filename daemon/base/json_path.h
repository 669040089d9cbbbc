/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JSON_PATH_H
#define BASE_JSON_PATH_H

#include "daemon/base/error.h"

#include <stddef.h>

/*
 * Where a value is inside a JSON text: `user.id`, `items[0].price`,
 * `ctx."odd.key \"x\""`, `[3]`, `items[].id` (of every element). A key is
 * any run of characters but . [ ] " and space, or anything in quotes, where \"
 * and \\ stand for the two.
 */

#define JSON_PATH_BYTES_MAX 256
#define JSON_PATH_STEPS_MAX 16

enum json_step_kind {
    JSON_STEP_KEY,
    JSON_STEP_INDEX,
    JSON_STEP_EACH, /* [] */
};

struct json_step {
    enum json_step_kind kind;
    size_t index; /* INDEX: the element; KEY: where its key is in keys */
};

struct json_path {
    size_t count;
    struct json_step steps[JSON_PATH_STEPS_MAX];
    char keys[JSON_PATH_BYTES_MAX + 1]; /* unquoted, each NUL-terminated */
};

/*
 * json_path_parse reads a path. CONFIG names the character that is wrong.
 * Thread: any. Allocates: nothing.
 */
must_check enum status json_path_parse(struct json_path *out, const char *text,
                                       struct error *err);

/* json_path_key lends the key of step i, which is a KEY. */
const char *json_path_key(const struct json_path *path, size_t i);

#endif
