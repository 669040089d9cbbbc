/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over an event by a tree of paths, as the decoder's, for targets
 * that all want the same: the value.
 */
#include "stages/event/pick.h"

#include "stages/event/path_tree.h"
#include "stages/event/spec.h"

#include "daemon/base/object.h"

#include <stdlib.h>

#define PICK_MAGIC 0x5049434bu

struct pick {
    unsigned magic;
    struct path_tree *paths;
    struct scan scan;
    pick_fn found;
    void *ctx;
};

enum status
pick_new(struct pick **out, const char *const *paths, size_t count,
         size_t bytes_max, struct error *err)
{
    struct pick *p = calloc(1, sizeof(*p));
    enum status st;

    if (p == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for paths");
    p->magic = PICK_MAGIC;
    st = path_tree_new(&p->paths, count > 0 ? count : 1, err);
    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        struct json_path path;

        st = json_path_parse(&path, paths[i], err);
        if (st == STATUS_OK)
            path_tree_add(p->paths, &path,
                          (struct path_target){TARGET_FEATURE, i});
    }
    if (st == STATUS_OK)
        st = path_tree_seal(p->paths, err);
    if (st == STATUS_OK)
        st = scan_init(&p->scan, bytes_max, EVENT_DEPTH_MAX, err);
    if (st != STATUS_OK)
        pick_free(&p);
    *out = p;
    return st;
}

void
pick_free(struct pick **self)
{
    if (*self == NULL)
        return;
    OBJ_CHECK(*self, PICK_MAGIC);
    path_tree_free(&(*self)->paths);
    scan_fini(&(*self)->scan);
    (*self)->magic = 0;
    free(*self);
    *self = NULL;
}

static void
tell(struct pick *p, const struct path_node *n, struct value *v)
{
    if (v->kind == VALUE_STRING && v->is_escaped && n->target_count > 0)
        scan_unescape(&p->scan, v);
    for (size_t i = 0; i < n->target_count; i++)
        p->found(p->ctx, p->paths->targets[n->target + i].index, v);
}

/* Every scalar of the list at `at`, and of lists in it. Recursion is bounded
 * by the scanner's depth. */
static bool
tell_list(struct pick *p, const struct path_node *n)
{
    struct scan *s = &p->scan;
    struct scan_level level;
    struct value v;

    if (!scan_open(s, &level))
        return false;
    while (scan_element(s, &level)) {
        if (!scan_value(s, &v))
            return false;
        if (v.kind < VALUE_OBJECT)
            tell(p, n, &v);
        else if (!(v.kind == VALUE_LIST ? tell_list(p, n) : scan_skip(s)))
            return false;
    }
    return !scan_failed(s);
}

static bool visit(struct pick *p, uint32_t node);

static bool
visit_members(struct pick *p, uint32_t node)
{
    struct scan *s = &p->scan;
    struct scan_level level;
    struct scan_memo *m;

    if (!scan_open(s, &level))
        return false;
    while ((m = scan_member(s, &level)) != NULL) {
        if (m->parent != node) {
            m->parent = node;
            m->child = path_tree_key(p->paths, node, &m->key);
        }
        if (!(m->child != PATH_NONE ? visit(p, m->child) : scan_skip(s)))
            return false;
    }
    return !scan_failed(s);
}

/* An element that two paths lead to, [2] and [], is walked over twice. */
static bool
visit_elements(struct pick *p, uint32_t node)
{
    struct scan *s = &p->scan;
    uint32_t each = path_tree_each(p->paths, node);
    struct scan_level level;

    if (!scan_open(s, &level))
        return false;
    while (scan_element(s, &level)) {
        uint32_t below = path_tree_index(p->paths, node, level.count - 1);
        const char *start = s->at;

        if (below != PATH_NONE && !visit(p, below))
            return false;
        if (below != PATH_NONE && each != PATH_NONE)
            s->at = start;
        if (each != PATH_NONE && !visit(p, each))
            return false;
        if (below == PATH_NONE && each == PATH_NONE && !scan_skip(s))
            return false;
    }
    return !scan_failed(s);
}

/* Never deeper than the longest path. */
static bool
visit(struct pick *p, uint32_t node)
{
    const struct path_node *n = &p->paths->nodes[node];
    struct scan *s = &p->scan;
    struct value v;
    const char *start;

    if (!scan_value(s, &v))
        return false;
    if (v.kind < VALUE_OBJECT) {
        tell(p, n, &v);
        return true;
    }
    start = s->at;
    if (v.kind == VALUE_OBJECT)
        return n->keys > 0 ? visit_members(p, node) : scan_skip(s);
    if (n->target_count > 0 && !tell_list(p, n))
        return false;
    if (n->elements == 0)
        return n->target_count > 0 || scan_skip(s);
    s->at = start;
    return visit_elements(p, node);
}

enum status
pick_read(struct pick *p, const char *bytes, size_t len, pick_fn found,
          void *ctx, struct error *err)
{
    OBJ_CHECK(p, PICK_MAGIC);
    p->found = found;
    p->ctx = ctx;
    scan_begin(&p->scan, bytes, len);
    if (!visit(p, 0))
        return scan_error(&p->scan, err);
    return STATUS_OK;
}
