/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over an event, directed by the tree of the configured paths: what
 * no path leads to is only checked.
 */
#include "stages/event/decoder_priv.h"
#include "stages/event/event_time.h"

#include <math.h>
#include <string.h>

static void
read_event_id(struct decoder *d, const struct value *v)
{
    char scratch[VALUE_TEXT_MAX];
    const char *text;
    size_t len;

    if (v->kind == VALUE_NULL)
        return;
    text = value_text(v, scratch, &len);
    if (text == NULL || len > FEATURE_ID_BYTES_MAX) {
        d->id_bad = true;
        return;
    }
    memcpy(d->meta->id, text, len);
    d->meta->id[len] = '\0';
}

static void
read_time(struct decoder *d, const struct value *v)
{
    int64_t *out = &d->columns->time_ms[d->row];
    enum time_unit unit = d->spec->time_unit;

    if (v->kind == VALUE_NULL)
        return;
    if (v->kind == VALUE_STRING)
        d->time_bad = !event_time_text(v->text, v->len, unit, out);
    else
        d->time_bad = v->kind != VALUE_NUMBER ||
                      !event_time_number(value_double(v), unit, out);
}

static void
read_weight(struct decoder *d, const struct value *v)
{
    double weight;

    if (v->kind == VALUE_NULL)
        return;
    weight = v->kind == VALUE_NUMBER ? value_double(v) : -1.0;
    if (weight >= 0.0 && isfinite((float)weight))
        d->columns->weight[d->row] = (float)weight;
    else
        d->weight_bad = true;
}

static void
read_sample_rate(struct decoder *d, const struct value *v)
{
    double rate;

    if (v->kind == VALUE_NULL)
        return;
    rate = v->kind == VALUE_NUMBER ? value_double(v) : 0.0;
    if ((float)rate > 0.0f && rate <= 1.0)
        d->columns->sample_rate[d->row] = (float)rate;
    else
        d->sample_rate_bad = true;
}

/* A scalar; or a list or an object that the target cannot look into. */
static void
read_target(struct decoder *d, const struct path_target *target,
            const struct value *v)
{
    size_t i = target->index;

    switch (target->kind) {
    case TARGET_FEATURE:
        value_feature(d, i, v);
        break;
    case TARGET_OUTCOME:
        value_outcome(d, i, v);
        break;
    case TARGET_TEACHER:
        if (!d->meta->is_label)
            value_teacher(d, i, d->spec->tasks[i].teacher_output, v);
        break;
    case TARGET_ID:
        read_event_id(d, v);
        break;
    case TARGET_TIME:
        read_time(d, v);
        break;
    case TARGET_WEIGHT:
        read_weight(d, v);
        break;
    case TARGET_SAMPLE_RATE:
        read_sample_rate(d, v);
        break;
    }
}

/* Reads the list at `at` for a target that wants its elements, which takes the
 * scanner to the list's end; *is_read says so. */
static bool
read_list(struct decoder *d, const struct path_target *target,
          const struct value *v, bool *is_read)
{
    size_t i = target->index;

    *is_read = true;
    if (target->kind == TARGET_FEATURE) {
        enum feature_kind kind = d->columns->features[i].kind;

        if (kind == FEATURE_BAG)
            return value_bag(d, i);
        if (kind == FEATURE_VECTOR)
            return value_vector(d, i);
    }
    if (target->kind == TARGET_TEACHER && !d->meta->is_label)
        return value_teacher_list(d, i, d->spec->tasks[i].teacher_output);
    *is_read = false;
    read_target(d, target, v);
    return true;
}

/* Where a key leads from a node; the scanner remembers it with the key. */
static inline uint32_t
find_below(struct decoder *d, uint32_t node, struct scan_memo *m)
{
    if (m->parent != node) {
        m->parent = node;
        m->child = path_tree_key(d->paths, node, &m->key);
    }
    return m->child;
}

static bool visit(struct decoder *d, uint32_t node);

static bool
visit_members(struct decoder *d, uint32_t node)
{
    struct scan *s = &d->scan;
    struct scan_level level;
    struct scan_memo *m;

    if (!scan_open(s, &level))
        return false;
    while ((m = scan_member(s, &level)) != NULL) {
        uint32_t below = find_below(d, node, m);

        if (!(below != PATH_NONE ? visit(d, below) : scan_skip(s)))
            return false;
    }
    return !scan_failed(s);
}

/* An element that two paths lead to, [2] and [], is walked over twice. */
static bool
visit_elements(struct decoder *d, uint32_t node)
{
    struct scan *s = &d->scan;
    uint32_t each = path_tree_each(d->paths, node);
    struct scan_level level;

    if (!scan_open(s, &level))
        return false;
    while (scan_element(s, &level)) {
        uint32_t below = path_tree_index(d->paths, node, level.count - 1);
        const char *start = s->at;

        if (below != PATH_NONE && !visit(d, below))
            return false;
        if (below != PATH_NONE && each != PATH_NONE)
            s->at = start;
        if (each != PATH_NONE && !visit(d, each))
            return false;
        if (below == PATH_NONE && each == PATH_NONE && !scan_skip(s))
            return false;
    }
    return !scan_failed(s);
}

/* A list or an object, at its bracket: every target that looks into it walks
 * over it from its start, the paths that go on as well. */
__attribute__((noinline)) static bool
visit_nested(struct decoder *d, uint32_t node, const struct value *v)
{
    const struct path_node *n = &d->paths->nodes[node];
    const char *start = d->scan.at;
    bool is_over = false; /* at the end of it */

    for (size_t i = 0; i < n->target_count; i++) {
        const struct path_target *target = &d->paths->targets[n->target + i];
        bool is_read = false;

        if (v->kind == VALUE_OBJECT) {
            read_target(d, target, v);
            continue;
        }
        d->scan.at = start;
        if (!read_list(d, target, v, &is_read))
            return false;
        is_over = is_read;
    }
    if (v->kind == VALUE_OBJECT && n->keys > 0)
        return visit_members(d, node);
    if (v->kind == VALUE_LIST && n->elements > 0) {
        d->scan.at = start;
        return visit_elements(d, node);
    }
    return is_over || scan_skip(&d->scan);
}

/* Never deeper than the longest path. */
static bool
visit(struct decoder *d, uint32_t node)
{
    const struct path_node *n = &d->paths->nodes[node];
    const struct path_target *target = d->paths->targets + n->target;
    const struct path_target *end = target + n->target_count;
    struct value v;

    if (!scan_value(&d->scan, &v))
        return false;
    if (v.kind >= VALUE_OBJECT)
        return visit_nested(d, node, &v);
    if (v.kind == VALUE_STRING && v.is_escaped)
        scan_unescape(&d->scan, &v);
    for (; target < end; target++)
        read_target(d, target, &v);
    return true;
}

bool
visit_event(struct decoder *d, const char **schema)
{
    struct scan *s = &d->scan;
    struct scan_level level;
    struct scan_memo *m;

    *schema = NULL;
    if (!scan_open(s, &level))
        return false;
    while ((m = scan_member(s, &level)) != NULL) {
        uint32_t below = find_below(d, 0, m);

        if (key_is(&m->key, "schema"))
            *schema = s->at;
        if (!(below != PATH_NONE ? visit(d, below) : scan_skip(s)))
            return false;
    }
    return !scan_failed(s);
}
