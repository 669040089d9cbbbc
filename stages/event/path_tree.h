/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_PATH_TREE_H
#define EVENT_PATH_TREE_H

#include "daemon/base/error.h"
#include "daemon/base/json_path.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * All configured paths as one tree, so that a record is walked once and every
 * key is looked up once, however many paths begin with it. Node 0 is the root.
 * Only the decoder uses it.
 */

#define PATH_NONE 0 /* no node: nothing leads back to the root */

enum target_kind {
    TARGET_FEATURE,
    TARGET_OUTCOME,
    TARGET_TEACHER,
    TARGET_ID,
    TARGET_TIME,
    TARGET_WEIGHT,
    TARGET_SAMPLE_RATE,
};

/* What wants the value at a node. */
struct path_target {
    enum target_kind kind;
    size_t index; /* of the feature or task */
};

struct path_tree;

/* path_tree_new gives an empty tree with room for path_max paths. */
must_check enum status path_tree_new(struct path_tree **out, size_t path_max,
                                     struct error *err);

/* path_tree_free frees *self and sets it NULL; NULL is fine. */
void path_tree_free(struct path_tree **self);

/* path_tree_add adds one path. Several targets may have the same. */
void path_tree_add(struct path_tree *t, const struct json_path *path,
                   struct path_target target);

/* path_tree_seal must come between the last path and the first lookup. */
must_check enum status path_tree_seal(struct path_tree *t, struct error *err);

/* path_tree_targets lends the targets at a node, *count of them. */
const struct path_target *path_tree_targets(const struct path_tree *t,
                                            uint32_t node, size_t *count);

/* path_tree_key gives the node below node for a key, or PATH_NONE. */
uint32_t path_tree_key(const struct path_tree *t, uint32_t node,
                       const char *key);

/* path_tree_index and path_tree_each: the same for an element, and for []. */
uint32_t path_tree_index(const struct path_tree *t, uint32_t node,
                         size_t index);
uint32_t path_tree_each(const struct path_tree *t, uint32_t node);

/* path_tree_has_keys and path_tree_has_elements: is it worth looking? */
bool path_tree_has_keys(const struct path_tree *t, uint32_t node);
bool path_tree_has_elements(const struct path_tree *t, uint32_t node);

#endif
