/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records to rows. The record becomes a tree once; the tree of the configured
 * paths is then laid over it, and what both have goes into the columns.
 */
#include "stages/event/decoder_priv.h"
#include "stages/event/event_time.h"
#include "stages/event/path_tree.h"

#include "daemon/base/object.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECODER_MAGIC   0xdec0de42u
#define OWN_SCHEMAS     "distilld."
#define RECORD_BYTES_HI (UINT32_C(1) << 30)

/* What is being read. */
struct reading_row {
    const char *bytes;
    struct columns *columns;
    size_t row;
    struct event_meta *meta;
};

struct decoder {
    unsigned magic;
    const struct event_spec *spec;
    struct json_limits limits;
    size_t event_bytes_max;
    struct path_tree *paths;
    struct feature_slot *features;
    struct task_slot *tasks;
    struct decoder_counters counters;
    struct event_meta own_meta; /* where the caller wants none */
};

static enum status
add_path(struct decoder *d, const char *what, const char *name,
         const char *text, struct path_target target, struct error *err)
{
    struct json_path path;
    enum status st;
    bool may_repeat = target.kind == TARGET_FEATURE &&
                      d->spec->features[target.index].kind == FEATURE_BAG;

    if (text == NULL)
        return STATUS_OK;
    st = spec_check_path(what, name, text, may_repeat, &path, err);
    if (st == STATUS_OK)
        path_tree_add(d->paths, &path, target);
    return st;
}

static enum status
add_feature(struct decoder *d, size_t i, struct error *err)
{
    const struct event_feature *f = &d->spec->features[i];
    struct feature_slot *slot = &d->features[i];
    enum status st = spec_check_feature(d->spec, i, err);

    if (st != STATUS_OK)
        return st;
    slot->spec = f;
    feature_hasher_init(&slot->hasher, f->name);
    if (f->boundary_count > 0) {
        slot->bucket_ids = calloc(f->boundary_count + 1, sizeof(uint64_t));
        if (slot->bucket_ids == NULL)
            return error_set(err, STATUS_NOMEM, "no memory for feature %s",
                             f->name);
    }
    for (size_t k = 0; slot->bucket_ids != NULL && k <= f->boundary_count;
         k++) {
        char text[24];
        int len = snprintf(text, sizeof(text), "%zu", k);

        slot->bucket_ids[k] =
            feature_hasher_id(&slot->hasher, text, (size_t)len);
    }
    return add_path(d, "feature", f->name, f->path,
                    (struct path_target){TARGET_FEATURE, i}, err);
}

static enum status
add_task(struct decoder *d, size_t i, struct error *err)
{
    const struct event_task *t = &d->spec->tasks[i];
    enum status st = spec_check_task(d->spec, i, err);

    d->tasks[i].spec = t;
    if (st == STATUS_OK)
        st = add_path(d, "task", t->name, t->path,
                      (struct path_target){TARGET_OUTCOME, i}, err);
    if (st == STATUS_OK)
        st = add_path(d, "teacher of task", t->name, t->teacher_path,
                      (struct path_target){TARGET_TEACHER, i}, err);
    return st;
}

static enum status
add_rest(struct decoder *d, struct error *err)
{
    const struct event_spec *s = d->spec;
    enum status st = add_path(d, "event id", "", s->id_path,
                              (struct path_target){TARGET_ID, 0}, err);

    if (st == STATUS_OK)
        st = add_path(d, "time", "", s->time_path,
                      (struct path_target){TARGET_TIME, 0}, err);
    if (st == STATUS_OK)
        st = add_path(d, "weight", "", s->weight_path,
                      (struct path_target){TARGET_WEIGHT, 0}, err);
    if (st == STATUS_OK)
        st = add_path(d, "sample rate", "", s->sample_rate_path,
                      (struct path_target){TARGET_SAMPLE_RATE, 0}, err);
    return st;
}

/* Takes a decoder with its arrays; all that depends on spec. */
static enum status
prepare(struct decoder *d, struct error *err)
{
    const struct event_spec *spec = d->spec;
    enum status st;

    st = path_tree_new(&d->paths,
                       spec->feature_count + 2 * spec->task_count + 4, err);
    for (size_t i = 0; i < spec->feature_count && st == STATUS_OK; i++)
        st = add_feature(d, i, err);
    for (size_t i = 0; i < spec->task_count && st == STATUS_OK; i++)
        st = add_task(d, i, err);
    if (st == STATUS_OK)
        st = add_rest(d, err);
    if (st == STATUS_OK)
        st = path_tree_seal(d->paths, err);
    return st;
}

enum status
decoder_new(struct decoder **out, const struct event_spec *spec,
            struct error *err)
{
    struct decoder *d;
    enum status st;

    assert(out != NULL && spec != NULL && err != NULL);
    *out = NULL;
    if (spec->record_bytes_max >= RECORD_BYTES_HI)
        return error_set(err, STATUS_CONFIG,
                         "a record may have at most %u bytes, not %zu",
                         RECORD_BYTES_HI - 1, spec->record_bytes_max);
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a decoder");
    d->magic = DECODER_MAGIC;
    d->spec = spec;
    d->event_bytes_max = spec->record_bytes_max > 0 ? spec->record_bytes_max
                                                    : EVENT_RECORD_BYTES_MAX;
    d->limits.bytes_max = d->event_bytes_max + EVENT_LABEL_BYTES_MAX;
    d->limits.depth_max = EVENT_DEPTH_MAX + 1;
    d->features = calloc(spec->feature_count + 1, sizeof(*d->features));
    d->tasks = calloc(spec->task_count + 1, sizeof(*d->tasks));
    if (d->features == NULL || d->tasks == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for a decoder");
    else
        st = prepare(d, err);
    if (st != STATUS_OK) {
        decoder_free(&d);
        return st;
    }
    *out = d;
    return STATUS_OK;
}

void
decoder_free(struct decoder **self)
{
    struct decoder *d = *self;

    if (d == NULL)
        return;
    OBJ_CHECK(d, DECODER_MAGIC);
    d->magic = 0;
    for (size_t i = 0; d->features != NULL && i < d->spec->feature_count; i++)
        free(d->features[i].bucket_ids);
    path_tree_free(&d->paths);
    free(d->tasks);
    free(d->features);
    free(d);
    *self = NULL;
}

static void
clear_feature(struct column *col, size_t row)
{
    switch (col->kind) {
    case FEATURE_CATEGORICAL:
        col->ids[row] = ID_MISSING;
        break;
    case FEATURE_BAG:
        col->offsets[row + 1] = col->offsets[row];
        break;
    case FEATURE_NUMBER:
    case FEATURE_VECTOR:
        memset(&col->values[row * col->width], 0,
               col->width * sizeof(*col->values));
        col->present[row] = 0;
        break;
    }
}

/* A row as if nothing at all had been in the event. */
static void
clear_row(struct decoder *d, const struct reading_row *r)
{
    struct columns *c = r->columns;

    for (size_t i = 0; i < c->feature_count; i++) {
        clear_feature(&c->features[i], r->row);
        d->features[i].is_present = false;
        d->features[i].is_cut = false;
    }
    for (size_t i = 0; i < c->task_count; i++) {
        struct outcome_column *t = &c->tasks[i];

        t->outcome[r->row] = 0.0f;
        t->has_outcome[r->row] = 0;
        t->has_teacher[r->row] = 0;
        memset(&t->teacher[r->row * t->width], 0,
               t->width * sizeof(*t->teacher));
    }
    c->weight[r->row] = 1.0f;
    c->sample_rate[r->row] = 1.0f;
    c->time_ms[r->row] = 0;
}

static void
read_event_id(struct decoder *d, const struct reading_row *r,
              const struct cJSON *item)
{
    char scratch[JSON_SCALAR_MAX];
    const char *text;
    size_t len;

    if (json_is_null(item))
        return;
    text = json_scalar_text(item, r->bytes, scratch, &len);
    if (text == NULL || len > FEATURE_ID_BYTES_MAX) {
        d->counters.id_bad++;
        return;
    }
    memcpy(r->meta->id, text, len);
    r->meta->id[len] = '\0';
}

static void
read_time(struct decoder *d, const struct reading_row *r,
          const struct cJSON *item)
{
    int64_t *out = &r->columns->time_ms[r->row];
    const char *text = json_string(item);
    double number;
    bool is_good = false;

    if (json_is_null(item))
        return;
    if (text != NULL)
        is_good = event_time_text(text, d->spec->time_unit, out);
    else if (json_number(item, &number))
        is_good = event_time_number(number, d->spec->time_unit, out);
    if (!is_good)
        d->counters.time_bad++;
}

static void
read_weight(struct decoder *d, const struct reading_row *r,
            const struct cJSON *item)
{
    double value;

    if (json_is_null(item))
        return;
    if (json_number(item, &value) && value >= 0.0 && isfinite((float)value))
        r->columns->weight[r->row] = (float)value;
    else
        d->counters.weight_bad++;
}

static void
read_sample_rate(struct decoder *d, const struct reading_row *r,
                 const struct cJSON *item)
{
    double value;

    if (json_is_null(item))
        return;
    if (json_number(item, &value) && (float)value > 0.0f && value <= 1.0)
        r->columns->sample_rate[r->row] = (float)value;
    else
        d->counters.sample_rate_bad++;
}

static void
read_target(struct decoder *d, const struct reading_row *r,
            const struct path_target *target, const struct cJSON *item)
{
    struct columns *c = r->columns;
    size_t i = target->index;

    switch (target->kind) {
    case TARGET_FEATURE:
        value_feature(&d->features[i], item, r->bytes, &c->features[i], r->row);
        break;
    case TARGET_OUTCOME:
        value_outcome(&d->tasks[i], item, r->bytes, &c->tasks[i], r->row);
        break;
    case TARGET_TEACHER:
        if (!r->meta->is_label)
            value_teacher(&d->tasks[i], item, d->spec->tasks[i].teacher_output,
                          &c->tasks[i], r->row);
        break;
    case TARGET_ID:
        read_event_id(d, r, item);
        break;
    case TARGET_TIME:
        read_time(d, r, item);
        break;
    case TARGET_WEIGHT:
        read_weight(d, r, item);
        break;
    case TARGET_SAMPLE_RATE:
        read_sample_rate(d, r, item);
        break;
    }
}

static void visit(struct decoder *d, const struct reading_row *r, uint32_t node,
                  const struct cJSON *item);

static void
visit_members(struct decoder *d, const struct reading_row *r, uint32_t node,
              const struct cJSON *object)
{
    for (const struct cJSON *c = object->child; c != NULL; c = c->next) {
        uint32_t below = path_tree_key(d->paths, node, c->string);

        if (below != PATH_NONE)
            visit(d, r, below, c);
    }
}

static void
visit_elements(struct decoder *d, const struct reading_row *r, uint32_t node,
               const struct cJSON *array)
{
    uint32_t each = path_tree_each(d->paths, node);
    size_t index = 0;

    for (const struct cJSON *c = array->child; c != NULL; c = c->next) {
        uint32_t below = path_tree_index(d->paths, node, index++);

        if (below != PATH_NONE)
            visit(d, r, below, c);
        if (each != PATH_NONE)
            visit(d, r, each, c);
    }
}

/* Never deeper than the longest path. */
static void
visit(struct decoder *d, const struct reading_row *r, uint32_t node,
      const struct cJSON *item)
{
    size_t count;
    const struct path_target *targets =
        path_tree_targets(d->paths, node, &count);

    for (size_t i = 0; i < count; i++)
        read_target(d, r, &targets[i], item);
    if (cJSON_IsObject(item) && path_tree_has_keys(d->paths, node))
        visit_members(d, r, node, item);
    else if (cJSON_IsArray(item) && path_tree_has_elements(d->paths, node))
        visit_elements(d, r, node, item);
}

/* Copies a text of a label record; what is missing is "". */
static enum status
copy_text(const struct cJSON *object, const char *key, char *out, size_t max,
          struct error *err)
{
    const struct cJSON *item = json_member(object, key);
    const char *text = json_string(item);

    if (item == NULL)
        return STATUS_OK;
    if (text == NULL || strlen(text) > max)
        return error_set(err, STATUS_MALFORMED,
                         "label record: %s is no string of at most %zu bytes",
                         key, max);
    memcpy(out, text, strlen(text) + 1);
    return STATUS_OK;
}

static enum status
read_source(const struct cJSON *source, struct event_meta *meta,
            struct error *err)
{
    int64_t partition;
    int64_t generation;
    enum status st;

    if (!json_integer(json_member(source, "partition"), &partition) ||
        partition < 0 || partition > INT32_MAX ||
        !json_integer(json_member(source, "offset"), &meta->offset) ||
        meta->offset < 0 ||
        !json_integer(json_member(source, "generation"), &generation) ||
        generation < 0 || generation > UINT32_MAX)
        return error_set(err, STATUS_MALFORMED,
                         "label record: source without partition, offset and "
                         "generation, integers from 0");
    meta->partition = (int32_t)partition;
    meta->generation = (uint32_t)generation;
    st = copy_text(source, "topic", meta->topic, LABEL_TOPIC_MAX, err);
    if (st == STATUS_OK)
        st =
            copy_text(source, "cluster", meta->cluster, LABEL_CLUSTER_MAX, err);
    if (st == STATUS_OK)
        st = copy_text(source, "topic_id", meta->topic_id, LABEL_TOPIC_ID_MAX,
                       err);
    return st;
}

static void
read_soft_label(struct decoder *d, const struct reading_row *r,
                const struct cJSON *soft_label)
{
    for (const struct cJSON *c = soft_label->child; c != NULL; c = c->next) {
        for (size_t i = 0; i < d->spec->task_count; i++) {
            if (strcmp(c->string, d->spec->tasks[i].name) == 0)
                value_teacher(&d->tasks[i], c, TEACHER_LOGIT,
                              &r->columns->tasks[i], r->row);
        }
    }
}

static enum status
read_label(struct decoder *d, const struct reading_row *r,
           const struct cJSON *root, const struct cJSON **event,
           struct error *err)
{
    static const char *const parts[] = {"event", "source", "soft_label"};
    const struct cJSON *teacher = json_member(root, "teacher");
    struct event_meta *meta = r->meta;
    enum status st;

    for (size_t i = 0; i < COUNT(parts); i++) {
        if (!json_is_object(json_member(root, parts[i])))
            return error_set(err, STATUS_MALFORMED,
                             "label record: no object at %s", parts[i]);
    }
    if (teacher != NULL && !json_is_object(teacher))
        return error_set(err, STATUS_MALFORMED,
                         "label record: teacher is no object");
    st = read_source(json_member(root, "source"), meta, err);
    if (st == STATUS_OK)
        st = copy_text(teacher, "name", meta->teacher_name, LABEL_TEACHER_MAX,
                       err);
    if (st == STATUS_OK)
        st = copy_text(teacher, "version", meta->teacher_version,
                       LABEL_VERSION_MAX, err);
    if (st != STATUS_OK)
        return st;
    meta->is_label = true;
    read_soft_label(d, r, json_member(root, "soft_label"));
    *event = json_member(root, "event");
    return STATUS_OK;
}

/* Finds the event in the record, and reads what is around it. */
static enum status
open_record(struct decoder *d, const struct reading_row *r,
            const struct cJSON *root, size_t len,
            const struct json_facts *facts, const struct cJSON **event,
            struct error *err)
{
    const char *schema = json_string(json_member(root, "schema"));

    *event = root;
    if (!json_is_object(root))
        return error_set(err, STATUS_MALFORMED, "not an object");
    if (schema != NULL && strcmp(schema, LABEL_SCHEMA) == 0)
        return read_label(d, r, root, event, err);
    if (schema != NULL &&
        strncmp(schema, OWN_SCHEMAS, sizeof(OWN_SCHEMAS) - 1) == 0)
        return error_set(err, STATUS_MALFORMED,
                         "schema is %.60s, expected an event or %s", schema,
                         LABEL_SCHEMA);
    if (len > d->event_bytes_max)
        return error_set(err, STATUS_TOOBIG, "%zu bytes, at most %zu allowed",
                         len, d->event_bytes_max);
    if (facts->depth > EVENT_DEPTH_MAX)
        return error_set(err, STATUS_MALFORMED,
                         "nested %zu deep, at most %d allowed", facts->depth,
                         EVENT_DEPTH_MAX);
    return STATUS_OK;
}

static void
finish_row(struct decoder *d, const struct reading_row *r)
{
    for (size_t i = 0; i < d->spec->feature_count; i++) {
        struct feature_slot *slot = &d->features[i];

        slot->counters.present += slot->is_present;
        slot->counters.missing += !slot->is_present;
        slot->counters.cut += slot->is_cut;
    }
    r->meta->time_ms = r->columns->time_ms[r->row];
    d->counters.accepted++;
    d->counters.labels += r->meta->is_label;
    r->columns->row_count++;
}

static void
clear_meta(struct event_meta *meta)
{
    meta->id[0] = '\0';
    meta->time_ms = 0;
    meta->is_label = false;
    meta->topic[0] = '\0';
    meta->partition = 0;
    meta->offset = 0;
    meta->generation = 0;
    meta->cluster[0] = '\0';
    meta->topic_id[0] = '\0';
    meta->teacher_name[0] = '\0';
    meta->teacher_version[0] = '\0';
}

enum status
decoder_decode(struct decoder *d, const char *bytes, size_t len,
               struct columns *c, size_t row, struct event_meta *meta,
               struct error *err)
{
    struct reading_row r = {.bytes = bytes, .columns = c, .row = row};
    struct cJSON *root = NULL;
    const struct cJSON *event;
    struct json_facts facts;
    enum status st;

    OBJ_CHECK(d, DECODER_MAGIC);
    assert(c != NULL && row == c->row_count && row < c->row_max);
    assert(c->feature_count == d->spec->feature_count);
    assert(c->task_count == d->spec->task_count);
    r.meta = meta != NULL ? meta : &d->own_meta;
    st = json_parse(&root, bytes, len, &d->limits, &facts, err);
    if (st != STATUS_OK)
        goto out;
    clear_meta(r.meta);
    clear_row(d, &r);
    st = open_record(d, &r, root, len, &facts, &event, err);
    if (st != STATUS_OK)
        goto out;
    visit(d, &r, 0, event);
    finish_row(d, &r);

out:
    d->counters.malformed += st == STATUS_MALFORMED;
    d->counters.too_big += st == STATUS_TOOBIG;
    json_free(&root);
    return st;
}

const struct decoder_counters *
decoder_counters(const struct decoder *d)
{
    OBJ_CHECK(d, DECODER_MAGIC);
    return &d->counters;
}

const struct feature_counters *
decoder_feature(const struct decoder *d, size_t i)
{
    OBJ_CHECK(d, DECODER_MAGIC);
    assert(i < d->spec->feature_count);
    return &d->features[i].counters;
}

const struct task_counters *
decoder_task(const struct decoder *d, size_t i)
{
    OBJ_CHECK(d, DECODER_MAGIC);
    assert(i < d->spec->task_count);
    return &d->tasks[i].counters;
}
