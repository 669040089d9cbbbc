/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paths of both sides as a tree of keys. A leaf is a value that is taken
 * over as it stands.
 */
#include "stages/event/imagine.h"

#include "stages/event/scan.h"

#include "daemon/base/json_path.h"
#include "daemon/base/json_writer.h"
#include "daemon/base/object.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define IMAGINE_MAGIC 0x494d4147u
#define NODE_NONE     UINT32_MAX
#define KEY_BYTES     (JSON_PATH_BYTES_MAX * 6 + 4)

/* What a label record has around an imagined event beside what it has around
 * its own: a list and an object. */
#define DEPTH_AROUND 2

struct node {
    char *key;    /* NULL: the root */
    char *quoted; /* with quotes and colon */
    uint32_t quoted_bytes;
    uint32_t child;       /* first one, or NODE_NONE */
    uint32_t next;        /* sibling, or NODE_NONE */
    uint32_t span;        /* of a leaf */
    enum event_side side; /* of a leaf; EVENT_SIDE_NONE: it is none */
    const char *feature;  /* that made it a leaf, for complaints */
};

struct imagine {
    unsigned magic;
    struct scan scan;
    struct node *nodes; /* (node_count), node 0 is the root */
    uint32_t node_count;
    uint32_t node_max;
    uint32_t span_count;
    size_t key_bytes; /* all keys, with brackets and commas */
};

/* ---- the tree ---- */

static uint32_t
find_child(const struct imagine *m, uint32_t node, const char *key, size_t len)
{
    uint32_t at = m->nodes[node].child;

    while (at != NODE_NONE && (strncmp(m->nodes[at].key, key, len) != 0 ||
                               m->nodes[at].key[len] != '\0'))
        at = m->nodes[at].next;
    return at;
}

static enum status
add_child(struct imagine *m, uint32_t node, const char *key, uint32_t *out,
          struct error *err)
{
    char quoted[KEY_BYTES];
    struct node *n = &m->nodes[m->node_count];
    struct json_writer w;
    uint32_t *end = &m->nodes[node].child;

    assert(m->node_count < m->node_max);
    json_writer_init(&w, quoted, sizeof(quoted), 0);
    json_put_string(&w, key);
    json_put_raw(&w, ":", 1);
    assert(!w.is_full);
    *n = (struct node){.child = NODE_NONE, .next = NODE_NONE};
    n->key = strdup(key);
    n->quoted = malloc(w.len);
    if (n->key == NULL || n->quoted == NULL) {
        free(n->key);
        free(n->quoted);
        return error_set(err, STATUS_NOMEM, "no memory for imagined events");
    }
    memcpy(n->quoted, quoted, w.len);
    n->quoted_bytes = (uint32_t)w.len;
    m->key_bytes += w.len + 3;
    while (*end != NODE_NONE)
        end = &m->nodes[*end].next;
    *end = m->node_count;
    *out = m->node_count++;
    return STATUS_OK;
}

static enum status
complain(const struct node *leaf, const struct event_feature *f,
         struct error *err)
{
    return error_set(err, STATUS_CONFIG,
                     "features.%s: is not of the same side as features.%s, but "
                     "comes along with what that reads; give both one side",
                     f->name, leaf->feature);
}

/* Whether all leaves below are of that side. */
static enum status
check_below(const struct imagine *m, uint32_t node,
            const struct event_feature *f, struct error *err)
{
    enum status st = STATUS_OK;

    for (uint32_t at = m->nodes[node].child; at != NODE_NONE && st == STATUS_OK;
         at = m->nodes[at].next) {
        const struct node *n = &m->nodes[at];

        if (n->side != EVENT_SIDE_NONE && n->side != f->side)
            return complain(n, f, err);
        st = check_below(m, at, f, err);
    }
    return st;
}

/* Adds the path of a feature that has a side; of one that has none, sees that
 * it does not come along. */
static enum status
add_feature(struct imagine *m, const struct event_feature *f, struct error *err)
{
    struct json_path path;
    uint32_t node = 0;
    enum status st = json_path_parse(&path, f->path, err);

    for (size_t i = 0; i < path.count && st == STATUS_OK; i++) {
        const struct node *n = &m->nodes[node];
        const char *key;
        uint32_t below;

        if (n->side != EVENT_SIDE_NONE || path.steps[i].kind != JSON_STEP_KEY)
            break;
        key = json_path_key(&path, i);
        below = find_child(m, node, key, strlen(key));
        if (below == NODE_NONE && f->side == EVENT_SIDE_NONE)
            return STATUS_OK;
        if (below == NODE_NONE)
            st = add_child(m, node, key, &below, err);
        node = below;
    }
    if (st != STATUS_OK || node == 0)
        return st;
    if (m->nodes[node].side != EVENT_SIDE_NONE)
        return m->nodes[node].side == f->side
                   ? STATUS_OK
                   : complain(&m->nodes[node], f, err);
    if (f->side == EVENT_SIDE_NONE)
        return STATUS_OK;
    st = check_below(m, node, f, err);
    m->nodes[node].child = NODE_NONE; /* comes along */
    m->nodes[node].side = f->side;
    m->nodes[node].feature = f->name;
    m->nodes[node].span = m->span_count++;
    return st;
}

static enum status
add_features(struct imagine *m, const struct event_spec *spec,
             struct error *err)
{
    static const char *const names[] = {
        [EVENT_SIDE_USER] = "user", [EVENT_SIDE_ITEM] = "item"};
    size_t counts[EVENT_SIDES] = {0};
    enum status st = STATUS_OK;

    /* Those without a side come last: what comes along is known by then. */
    for (size_t i = 0; i < spec->feature_count && st == STATUS_OK; i++) {
        counts[spec->features[i].side]++;
        if (spec->features[i].side != EVENT_SIDE_NONE)
            st = add_feature(m, &spec->features[i], err);
    }
    for (size_t i = 0; i < spec->feature_count && st == STATUS_OK; i++) {
        if (spec->features[i].side == EVENT_SIDE_NONE)
            st = add_feature(m, &spec->features[i], err);
    }
    for (size_t side = EVENT_SIDE_USER; side < EVENT_SIDES && st == STATUS_OK;
         side++) {
        if (counts[side] == 0)
            st = error_set(err, STATUS_CONFIG,
                           "features: none has side: %s, expected one at least "
                           "for teacher.recombine",
                           names[side]);
    }
    return st;
}

enum status
imagine_new(struct imagine **out, const struct event_spec *spec,
            size_t bytes_max, struct error *err)
{
    struct imagine *m = calloc(1, sizeof(*m));
    enum status st;

    assert(out != NULL && spec != NULL && err != NULL);
    *out = NULL;
    if (m == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for imagined events");
    m->magic = IMAGINE_MAGIC;
    m->node_max = (uint32_t)(1 + spec->feature_count * JSON_PATH_STEPS_MAX);
    m->nodes = calloc(m->node_max, sizeof(*m->nodes));
    if (m->nodes == NULL) {
        st = error_set(err, STATUS_NOMEM, "no memory for imagined events");
    } else {
        m->nodes[0] = (struct node){.child = NODE_NONE, .next = NODE_NONE};
        m->node_count = 1;
        st = scan_init(&m->scan, bytes_max, EVENT_DEPTH_MAX + 1, err);
    }
    if (st == STATUS_OK)
        st = add_features(m, spec, err);
    if (st != STATUS_OK) {
        imagine_free(&m);
        return st;
    }
    *out = m;
    return STATUS_OK;
}

void
imagine_free(struct imagine **self)
{
    struct imagine *m;

    if (*self == NULL)
        return;
    OBJ_TAKE(m, self, IMAGINE_MAGIC);
    for (uint32_t i = 1; i < m->node_count; i++) {
        free(m->nodes[i].key);
        free(m->nodes[i].quoted);
    }
    free(m->nodes);
    scan_fini(&m->scan);
    m->magic = 0;
    free(m);
}

size_t
imagine_span_count(const struct imagine *m)
{
    OBJ_CHECK(m, IMAGINE_MAGIC);
    return m->span_count;
}

/* ---- reading ---- */

/* Reads the value of a key that leads to a node. */
static bool find_below(struct imagine *m, uint32_t node,
                       struct imagine_span *spans);

static bool
find_members(struct imagine *m, uint32_t node, struct imagine_span *spans)
{
    struct scan *s = &m->scan;
    struct scan_level level;
    const struct scan_memo *member;

    if (!scan_open(s, &level))
        return false;
    while ((member = scan_member(s, &level)) != NULL) {
        uint32_t below = find_child(m, node, member->key.text, member->key.len);

        if (!(below != NODE_NONE ? find_below(m, below, spans) : scan_skip(s)))
            return false;
    }
    return !scan_failed(s);
}

static bool
find_below(struct imagine *m, uint32_t node, struct imagine_span *spans)
{
    const struct node *n = &m->nodes[node];
    struct scan *s = &m->scan;
    struct value v;

    scan_space(s);
    if (n->side != EVENT_SIDE_NONE) {
        struct imagine_span *span = &spans[n->span];

        span->start = (uint32_t)scan_place(s);
        if (!scan_skip(s))
            return false;
        span->bytes = (uint32_t)scan_place(s) - span->start;
        return true;
    }
    if (*s->at != '{')
        return scan_skip(s);
    return scan_value(s, &v) && find_members(m, node, spans);
}

bool
imagine_find(struct imagine *m, const char *bytes, size_t len,
             struct imagine_span *spans)
{
    OBJ_CHECK(m, IMAGINE_MAGIC);
    memset(spans, 0, m->span_count * sizeof(*spans));
    scan_begin(&m->scan, bytes, len);
    scan_space(&m->scan);
    return m->scan.at < m->scan.end && *m->scan.at == '{' &&
           find_members(m, 0, spans) &&
           m->scan.deepest + DEPTH_AROUND <= EVENT_DEPTH_MAX;
}

/* ---- writing ---- */

size_t
imagine_bytes_max(const struct imagine *m, size_t user_bytes, size_t item_bytes)
{
    OBJ_CHECK(m, IMAGINE_MAGIC);
    return m->key_bytes + user_bytes + item_bytes + 2;
}

static char *
put(char *out, const char *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

/* A value as it stands, but in one line: line breaks stand between values. */
static char *
put_value(char *out, const char *bytes, size_t len)
{
    char *end = put(out, bytes, len);

    for (; out < end; out++) {
        if (*out == '\n' || *out == '\r')
            *out = ' ';
    }
    return end;
}

/* What is there of a node's children, with commas; out when there is none. */
static char *
put_members(const struct imagine *m, uint32_t node,
            const struct imagine_part *parts[EVENT_SIDES], char *out)
{
    bool is_first = true;

    for (uint32_t at = m->nodes[node].child; at != NODE_NONE;
         at = m->nodes[at].next) {
        const struct node *n = &m->nodes[at];
        const struct imagine_part *part = parts[n->side];
        char *start = out;
        char *value;

        if (!is_first)
            *out++ = ',';
        out = put(out, n->quoted, n->quoted_bytes);
        value = out;
        if (part != NULL) {
            const struct imagine_span *span = &part->spans[n->span];

            out = put_value(out, part->bytes + span->start, span->bytes);
        } else {
            *out++ = '{';
            value = out;
            out = put_members(m, at, parts, out);
        }
        if (out == value) { /* nothing is there */
            out = start;
            continue;
        }
        if (part == NULL)
            *out++ = '}';
        is_first = false;
    }
    return out;
}

size_t
imagine_write(const struct imagine *m, const struct imagine_part *user,
              const struct imagine_part *item, char *out)
{
    const struct imagine_part *parts[EVENT_SIDES] = {
        [EVENT_SIDE_USER] = user, [EVENT_SIDE_ITEM] = item};
    char *at = out;

    OBJ_CHECK(m, IMAGINE_MAGIC);
    *at++ = '{';
    at = put_members(m, 0, parts, at);
    *at++ = '}';
    return (size_t)(at - out);
}
