/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes in one array, children as lists of siblings while the tree grows;
 * sealing adds a small open hash table to every node with keys below it and
 * brings the targets of a node together.
 */
#include "stages/event/path_tree.h"

#include "daemon/base/object.h"

#include <stdlib.h>
#include <string.h>

#define PATH_TREE_MAGIC 0x7a7e77eeu

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

static bool
is_same_step(const struct path_node *n, const struct json_path *path,
             size_t step)
{
    if (n->kind != path->steps[step].kind)
        return false;
    switch (n->kind) {
    case JSON_STEP_KEY:
        return strcmp(n->key.text, json_path_key(path, step)) == 0;
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
    struct path_node *above = &t->nodes[parent];
    struct path_node *n = &t->nodes[at];

    *n = (struct path_node){.kind = p->steps[step].kind,
                            .sibling = above->child};
    above->child = at;
    if (n->kind == JSON_STEP_KEY) {
        const char *text = json_path_key(p, step);

        key_set(&n->key, text, strlen(text));
        above->keys++;
        return at;
    }
    n->index = p->steps[step].index;
    above->elements++;
    if (n->kind == JSON_STEP_EACH)
        above->each = at;
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
               !is_same_step(&t->nodes[child], path, step))
            child = t->nodes[child].sibling;
        node = child != PATH_NONE ? child : add_node(t, node, at, step);
    }
    t->path_nodes[at] = node;
    t->path_targets[at] = target;
}

/* A power of two, at least twice the keys; 1 without any. */
static uint32_t
slots_for(uint32_t keys)
{
    uint32_t count = 1;

    while (count < 2 * keys)
        count *= 2;
    return count;
}

static void
fill_slots(struct path_tree *t, const struct path_node *n)
{
    for (uint32_t c = n->child; c != PATH_NONE; c = t->nodes[c].sibling) {
        uint32_t slot = (uint32_t)t->nodes[c].key.hash & n->mask;

        if (t->nodes[c].kind != JSON_STEP_KEY)
            continue;
        while (t->slots[n->slots + slot] != PATH_NONE)
            slot = (slot + 1) & n->mask;
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
        struct path_node *n = &t->nodes[i];

        n->slots = slot_count;
        n->mask = slots_for(n->keys) - 1;
        slot_count += n->mask + 1;
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
