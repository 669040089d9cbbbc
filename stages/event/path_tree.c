/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes in one array, children as lists of siblings while the tree grows;
 * sealing adds a small open hash table to every node with keys below it and
 * brings the targets of a node together.
 */
#include "stages/event/path_tree.h"

#include "daemon/base/hash.h"
#include "daemon/base/object.h"

#include <stdlib.h>
#include <string.h>

#define PATH_TREE_MAGIC 0x7a7e77eeu

struct node {
    enum json_step_kind kind;
    size_t index;      /* INDEX */
    size_t path;       /* KEY: whose text has the key */
    size_t step;       /* KEY: of that path */
    uint64_t hash;     /* KEY: of its text */
    uint32_t child;    /* first of a list, PATH_NONE at the end */
    uint32_t sibling;  /* next of the same parent */
    uint32_t each;     /* the child for [], or PATH_NONE */
    uint32_t elements; /* children of kind INDEX and EACH */
    uint32_t slots;    /* where its table begins */
    uint32_t slot_count;
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
    struct node *nodes;
    uint32_t node_count;
    uint32_t *slots; /* nodes, PATH_NONE where free */
};

enum status
path_tree_new(struct path_tree **out, size_t path_max, struct error *err)
{
    struct path_tree *t = calloc(1, sizeof(*t));
    size_t node_max = path_max * JSON_PATH_STEPS_MAX + 1;

    assert(out != NULL && err != NULL);
    *out = NULL;
    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for paths");
    t->magic = PATH_TREE_MAGIC;
    t->path_max = path_max;
    t->paths = calloc(path_max + 1, sizeof(*t->paths));
    t->path_nodes = calloc(path_max + 1, sizeof(*t->path_nodes));
    t->path_targets = calloc(path_max + 1, sizeof(*t->path_targets));
    t->targets = calloc(path_max + 1, sizeof(*t->targets));
    t->nodes = calloc(node_max, sizeof(*t->nodes));
    if (t->paths == NULL || t->path_nodes == NULL || t->path_targets == NULL ||
        t->targets == NULL || t->nodes == NULL) {
        path_tree_free(&t);
        return error_set(err, STATUS_NOMEM, "no memory for %zu paths",
                         path_max);
    }
    t->node_count = 1;
    *out = t;
    return STATUS_OK;
}

void
path_tree_free(struct path_tree **self)
{
    struct path_tree *t = *self;

    if (t == NULL)
        return;
    OBJ_CHECK(t, PATH_TREE_MAGIC);
    t->magic = 0;
    free(t->slots);
    free(t->nodes);
    free(t->targets);
    free(t->path_targets);
    free(t->path_nodes);
    free(t->paths);
    free(t);
    *self = NULL;
}

static const char *
node_key(const struct path_tree *t, const struct node *n)
{
    return json_path_key(&t->paths[n->path], n->step);
}

static bool
is_same_step(const struct path_tree *t, const struct node *n,
             const struct json_path *path, size_t step)
{
    if (n->kind != path->steps[step].kind)
        return false;
    switch (n->kind) {
    case JSON_STEP_KEY:
        return strcmp(node_key(t, n), json_path_key(path, step)) == 0;
    case JSON_STEP_INDEX:
        return n->index == path->steps[step].index;
    case JSON_STEP_EACH:
        break;
    }
    return true;
}

static uint32_t
add_node(struct path_tree *t, uint32_t parent, size_t path, size_t step)
{
    const struct json_path *p = &t->paths[path];
    uint32_t at = t->node_count++;
    struct node *n = &t->nodes[at];

    *n = (struct node){.kind = p->steps[step].kind,
                       .path = path,
                       .step = step,
                       .sibling = t->nodes[parent].child};
    t->nodes[parent].child = at;
    if (n->kind == JSON_STEP_KEY) {
        n->hash = hash64(node_key(t, n), strlen(node_key(t, n)));
        t->nodes[parent].slot_count++; /* children, until sealed */
        return at;
    }
    n->index = p->steps[step].index;
    t->nodes[parent].elements++;
    if (n->kind == JSON_STEP_EACH)
        t->nodes[parent].each = at;
    return at;
}

void
path_tree_add(struct path_tree *t, const struct json_path *path,
              struct path_target target)
{
    size_t at = t->path_count++;
    uint32_t node = 0;

    OBJ_CHECK(t, PATH_TREE_MAGIC);
    assert(!t->is_sealed && at < t->path_max);
    t->paths[at] = *path;
    for (size_t step = 0; step < path->count; step++) {
        uint32_t child = t->nodes[node].child;

        while (child != PATH_NONE &&
               !is_same_step(t, &t->nodes[child], path, step))
            child = t->nodes[child].sibling;
        node = child != PATH_NONE ? child : add_node(t, node, at, step);
    }
    t->path_nodes[at] = node;
    t->path_targets[at] = target;
}

/* A power of two with at least half of the slots free. */
static uint32_t
slots_for(uint32_t keys)
{
    uint32_t count = 2;

    while (keys > 0 && count < 2 * keys)
        count *= 2;
    return keys > 0 ? count : 0;
}

static void
fill_slots(struct path_tree *t, struct node *n)
{
    for (uint32_t c = n->child; c != PATH_NONE; c = t->nodes[c].sibling) {
        uint32_t slot = (uint32_t)t->nodes[c].hash & (n->slot_count - 1);

        if (t->nodes[c].kind != JSON_STEP_KEY)
            continue;
        while (t->slots[n->slots + slot] != PATH_NONE)
            slot = (slot + 1) & (n->slot_count - 1);
        t->slots[n->slots + slot] = c;
    }
}

enum status
path_tree_seal(struct path_tree *t, struct error *err)
{
    uint32_t slot_count = 0;
    size_t target_count = 0;

    OBJ_CHECK(t, PATH_TREE_MAGIC);
    assert(!t->is_sealed);
    for (uint32_t i = 0; i < t->node_count; i++) {
        struct node *n = &t->nodes[i];

        n->slots = slot_count;
        n->slot_count = slots_for(n->slot_count);
        slot_count += n->slot_count;
        n->target = target_count;
        for (size_t p = 0; p < t->path_count; p++) {
            if (t->path_nodes[p] == i)
                t->targets[target_count++] = t->path_targets[p];
        }
        n->target_count = target_count - n->target;
    }
    t->slots = calloc((size_t)slot_count + 1, sizeof(*t->slots));
    if (t->slots == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for paths");
    for (uint32_t i = 0; i < t->node_count; i++)
        fill_slots(t, &t->nodes[i]);
    t->is_sealed = true;
    return STATUS_OK;
}

const struct path_target *
path_tree_targets(const struct path_tree *t, uint32_t node, size_t *count)
{
    OBJ_CHECK(t, PATH_TREE_MAGIC);
    assert(t->is_sealed && node < t->node_count);
    *count = t->nodes[node].target_count;
    return t->targets + t->nodes[node].target;
}

uint32_t
path_tree_key(const struct path_tree *t, uint32_t node, const char *key)
{
    const struct node *n = &t->nodes[node];
    uint64_t hash = hash64(key, strlen(key));
    uint32_t slot;

    assert(n->slot_count > 0);
    slot = (uint32_t)hash & (n->slot_count - 1);
    for (;; slot = (slot + 1) & (n->slot_count - 1)) {
        uint32_t child = t->slots[n->slots + slot];

        if (child == PATH_NONE)
            return PATH_NONE;
        if (t->nodes[child].hash == hash &&
            strcmp(node_key(t, &t->nodes[child]), key) == 0)
            return child;
    }
}

uint32_t
path_tree_index(const struct path_tree *t, uint32_t node, size_t index)
{
    uint32_t c = t->nodes[node].child;

    while (c != PATH_NONE &&
           (t->nodes[c].kind != JSON_STEP_INDEX || t->nodes[c].index != index))
        c = t->nodes[c].sibling;
    return c;
}

uint32_t
path_tree_each(const struct path_tree *t, uint32_t node)
{
    return t->nodes[node].each;
}

bool
path_tree_has_keys(const struct path_tree *t, uint32_t node)
{
    return t->nodes[node].slot_count > 0;
}

bool
path_tree_has_elements(const struct path_tree *t, uint32_t node)
{
    return t->nodes[node].elements > 0;
}
