/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_PATH_TREE_H
#define EVENT_PATH_TREE_H

#include "stages/event/key.h"

#include "daemon/base/error.h"
#include "daemon/base/json_path.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * All configured paths as one tree, so that a record is walked once and every
 * key is looked up once, however many paths begin with it. Node 0 is the root.
 * Only the decoder uses it, for every key of every record: so the lookups are
 * here, and with them the structs.
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

struct path_node {
    struct key key;    /* KEY */
    uint32_t slots;    /* where its table begins */
    uint32_t mask;     /* of its slots, at least half of them free */
    uint32_t elements; /* children of kind INDEX and EACH */
    uint32_t each;     /* the child for [], or PATH_NONE */
    uint32_t child;    /* first of a list, PATH_NONE at the end */
    uint32_t sibling;  /* next of the same parent */
    uint32_t keys;     /* children of kind KEY */
    enum json_step_kind kind;
    size_t index;  /* INDEX */
    size_t target; /* where its targets begin */
    size_t target_count;
};

struct path_tree {
    unsigned magic;
    bool is_sealed;
    size_t path_max;
    size_t path_count;
    struct json_path *paths;          /* (path_max) */
    uint32_t *path_nodes;             /* (path_max) where a path ends */
    struct path_target *path_targets; /* (path_max) in order of adding */
    struct path_target *targets;      /* (path_max) in order of nodes */
    struct path_node *nodes;
    uint32_t node_count;
    uint32_t *slots; /* nodes, PATH_NONE where free */
};

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

/*
 * path_tree_key gives the node below node for a key, or PATH_NONE. A table has
 * free slots, and a node without keys one that is always free.
 */
static inline uint32_t
path_tree_key(const struct path_tree *t, uint32_t node, const struct key *key)
{
    const struct path_node *n = &t->nodes[node];
    const uint32_t *slots = t->slots + n->slots;

    for (uint32_t i = (uint32_t)key->hash;; i++) {
        uint32_t child = slots[i & n->mask];
        const struct key *have = &t->nodes[child].key;

        if (child == PATH_NONE)
            return PATH_NONE;
        if (have->low == key->low && have->high == key->high &&
            (key->high < KEY_LONG_MARK ||
             memcmp(have->text, key->text, key->len) == 0))
            return child;
    }
}

/* path_tree_index and path_tree_each: the same for an element, and for []. */
static inline uint32_t
path_tree_index(const struct path_tree *t, uint32_t node, size_t index)
{
    uint32_t c = t->nodes[node].child;

    while (c != PATH_NONE &&
           (t->nodes[c].kind != JSON_STEP_INDEX || t->nodes[c].index != index))
        c = t->nodes[c].sibling;
    return c;
}

static inline uint32_t
path_tree_each(const struct path_tree *t, uint32_t node)
{
    return t->nodes[node].each;
}

#endif
