/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records to rows by way of a tree.
 */
#include "stages/event/event_time.h"

#include "daemon/base/json_path.h"
#include "daemon/base/macros.h"

#include "tests/support/oracle_priv.h"
#include "tests/support/scalar.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN_SCHEMAS "distilld."

/* What is being read. */
struct reading_row {
    const char *bytes;
    struct columns *columns;
    size_t row;
    struct event_meta *meta;
};

struct oracle {
    const struct event_spec *spec;
    struct json_limits limits;
    size_t event_bytes_max;
    struct oracle_feature *features;
    struct oracle_task *tasks;
    struct decoder_counters counters;
    struct event_meta own_meta; /* where the caller wants none */
};

static enum status
add_feature(struct oracle *o, size_t i, struct error *err)
{
    const struct event_feature *f = &o->spec->features[i];
    struct oracle_feature *slot = &o->features[i];

    slot->spec = f;
    if (f->boundary_count == 0)
        return STATUS_OK;
    slot->bucket_ids = calloc(f->boundary_count + 1, sizeof(uint64_t));
    if (slot->bucket_ids == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for an oracle");
    for (size_t k = 0; k <= f->boundary_count; k++) {
        char text[24];
        int len = snprintf(text, sizeof(text), "%zu", k);

        slot->bucket_ids[k] = oracle_id(f->name, text, (size_t)len);
    }
    return STATUS_OK;
}

enum status
oracle_new(struct oracle **out, const struct event_spec *spec,
           struct error *err)
{
    struct oracle *o = calloc(1, sizeof(*o));
    enum status st = STATUS_OK;

    *out = NULL;
    if (o == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for an oracle");
    o->spec = spec;
    o->event_bytes_max = spec->record_bytes_max > 0 ? spec->record_bytes_max
                                                    : EVENT_RECORD_BYTES_MAX;
    o->limits.bytes_max = o->event_bytes_max + EVENT_LABEL_BYTES_MAX;
    o->limits.depth_max = EVENT_DEPTH_MAX + 1;
    o->features = calloc(spec->feature_count + 1, sizeof(*o->features));
    o->tasks = calloc(spec->task_count + 1, sizeof(*o->tasks));
    if (o->features == NULL || o->tasks == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for an oracle");
    for (size_t i = 0; i < spec->feature_count && st == STATUS_OK; i++)
        st = add_feature(o, i, err);
    for (size_t i = 0; i < spec->task_count && st == STATUS_OK; i++)
        o->tasks[i].spec = &spec->tasks[i];
    if (st != STATUS_OK)
        oracle_free(&o);
    *out = o;
    return st;
}

void
oracle_free(struct oracle **self)
{
    struct oracle *o = *self;

    if (o == NULL)
        return;
    for (size_t i = 0; o->features != NULL && i < o->spec->feature_count; i++)
        free(o->features[i].bucket_ids);
    free(o->tasks);
    free(o->features);
    free(o);
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
clear_row(struct oracle *o, const struct reading_row *r)
{
    struct columns *c = r->columns;

    for (size_t i = 0; i < c->feature_count; i++) {
        clear_feature(&c->features[i], r->row);
        o->features[i].is_present = false;
        o->features[i].is_cut = false;
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
read_event_id(struct oracle *o, const struct reading_row *r,
              const struct cJSON *item)
{
    char scratch[SCALAR_TEXT_MAX];
    const char *text;
    size_t len;

    if (json_is_null(item))
        return;
    text = scalar_text(item, r->bytes, scratch, &len);
    if (text == NULL || len > FEATURE_ID_BYTES_MAX) {
        o->counters.id_bad++;
        return;
    }
    memcpy(r->meta->id, text, len);
    r->meta->id[len] = '\0';
}

static void
read_time(struct oracle *o, const struct reading_row *r,
          const struct cJSON *item)
{
    int64_t *out = &r->columns->time_ms[r->row];
    const char *text = json_string(item);
    double number;
    bool is_good = false;

    if (json_is_null(item))
        return;
    if (text != NULL)
        is_good = event_time_text(text, strlen(text), o->spec->time_unit, out);
    else if (json_number(item, &number))
        is_good = event_time_number(number, o->spec->time_unit, out);
    if (!is_good)
        o->counters.time_bad++;
}

static void
read_weight(struct oracle *o, const struct reading_row *r,
            const struct cJSON *item)
{
    double value;

    if (json_is_null(item))
        return;
    if (json_number(item, &value) && value >= 0.0 && isfinite((float)value))
        r->columns->weight[r->row] = (float)value;
    else
        o->counters.weight_bad++;
}

static void
read_sample_rate(struct oracle *o, const struct reading_row *r,
                 const struct cJSON *item)
{
    double value;

    if (json_is_null(item))
        return;
    if (json_number(item, &value) && (float)value > 0.0f && value <= 1.0)
        r->columns->sample_rate[r->row] = (float)value;
    else
        o->counters.sample_rate_bad++;
}

/* What a path leads to. */
enum place {
    PLACE_FEATURE,
    PLACE_OUTCOME,
    PLACE_TEACHER,
    PLACE_ID,
    PLACE_TIME,
    PLACE_WEIGHT,
    PLACE_SAMPLE_RATE,
};

static void
put(struct oracle *o, const struct reading_row *r, enum place place, size_t i,
    const struct cJSON *item)
{
    struct columns *c = r->columns;

    switch (place) {
    case PLACE_FEATURE:
        oracle_put_feature(&o->features[i], item, r->bytes, &c->features[i],
                           r->row);
        break;
    case PLACE_OUTCOME:
        oracle_put_outcome(&o->tasks[i], item, r->bytes, &c->tasks[i], r->row);
        break;
    case PLACE_TEACHER:
        oracle_put_teacher(&o->tasks[i], item, o->spec->tasks[i].teacher_output,
                           &c->tasks[i], r->row);
        break;
    case PLACE_ID:
        read_event_id(o, r, item);
        break;
    case PLACE_TIME:
        read_time(o, r, item);
        break;
    case PLACE_WEIGHT:
        read_weight(o, r, item);
        break;
    case PLACE_SAMPLE_RATE:
        read_sample_rate(o, r, item);
        break;
    }
}

/* Walks from item along a path, from its step on. */
static void
walk(struct oracle *o, const struct reading_row *r,
     const struct json_path *path, size_t step, enum place place, size_t i,
     const struct cJSON *item)
{
    const struct json_step *s = &path->steps[step];
    size_t index = 0;

    if (step == path->count) {
        put(o, r, place, i, item);
        return;
    }
    if (s->kind == JSON_STEP_KEY) {
        item = json_member(item, json_path_key(path, step));
        if (item != NULL)
            walk(o, r, path, step + 1, place, i, item);
        return;
    }
    if (!json_is_array(item))
        return;
    for (const struct cJSON *c = item->child; c != NULL; c = c->next) {
        if (s->kind == JSON_STEP_EACH || s->index == index++)
            walk(o, r, path, step + 1, place, i, c);
    }
}

static void
follow(struct oracle *o, const struct reading_row *r, const char *path,
       enum place place, size_t i, const struct cJSON *event)
{
    struct json_path steps;
    struct error err;
    enum status st;

    if (path == NULL)
        return;
    st = json_path_parse(&steps, path, &err);
    assert(st == STATUS_OK);
    walk(o, r, &steps, 0, place, i, event);
}

static void
read_event(struct oracle *o, const struct reading_row *r,
           const struct cJSON *event)
{
    const struct event_spec *s = o->spec;

    for (size_t i = 0; i < s->feature_count; i++)
        follow(o, r, s->features[i].path, PLACE_FEATURE, i, event);
    for (size_t i = 0; i < s->task_count; i++) {
        follow(o, r, s->tasks[i].path, PLACE_OUTCOME, i, event);
        if (!r->meta->is_label)
            follow(o, r, s->tasks[i].teacher_path, PLACE_TEACHER, i, event);
    }
    follow(o, r, s->id_path, PLACE_ID, 0, event);
    follow(o, r, s->time_path, PLACE_TIME, 0, event);
    follow(o, r, s->weight_path, PLACE_WEIGHT, 0, event);
    follow(o, r, s->sample_rate_path, PLACE_SAMPLE_RATE, 0, event);
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
read_soft_label(struct oracle *o, const struct reading_row *r,
                const struct cJSON *soft_label)
{
    for (const struct cJSON *c = soft_label->child; c != NULL; c = c->next) {
        for (size_t i = 0; i < o->spec->task_count; i++) {
            if (strcmp(c->string, o->spec->tasks[i].name) == 0)
                oracle_put_teacher(&o->tasks[i], c, TEACHER_LOGIT,
                                   &r->columns->tasks[i], r->row);
        }
    }
}

static enum status
read_label(struct oracle *o, const struct reading_row *r,
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
    read_soft_label(o, r, json_member(root, "soft_label"));
    *event = json_member(root, "event");
    return STATUS_OK;
}

/* Finds the event in the record, and reads what is around it. */
static enum status
open_record(struct oracle *o, const struct reading_row *r,
            const struct cJSON *root, size_t len,
            const struct json_facts *facts, const struct cJSON **event,
            struct error *err)
{
    const char *schema = json_string(json_member(root, "schema"));

    *event = root;
    if (!json_is_object(root))
        return error_set(err, STATUS_MALFORMED, "not an object");
    if (schema != NULL && strcmp(schema, LABEL_SCHEMA) == 0)
        return read_label(o, r, root, event, err);
    if (schema != NULL &&
        strncmp(schema, OWN_SCHEMAS, sizeof(OWN_SCHEMAS) - 1) == 0)
        return error_set(err, STATUS_MALFORMED,
                         "schema is %.60s, expected an event or %s", schema,
                         LABEL_SCHEMA);
    if (len > o->event_bytes_max)
        return error_set(err, STATUS_TOOBIG, "%zu bytes, at most %zu allowed",
                         len, o->event_bytes_max);
    if (facts->depth > EVENT_DEPTH_MAX)
        return error_set(err, STATUS_MALFORMED,
                         "nested %zu deep, at most %d allowed", facts->depth,
                         EVENT_DEPTH_MAX);
    return STATUS_OK;
}

static void
finish_row(struct oracle *o, const struct reading_row *r)
{
    for (size_t i = 0; i < o->spec->feature_count; i++) {
        struct oracle_feature *slot = &o->features[i];

        slot->counters.present += slot->is_present;
        slot->counters.missing += !slot->is_present;
        slot->counters.cut += slot->is_cut;
    }
    r->meta->time_ms = r->columns->time_ms[r->row];
    o->counters.accepted++;
    o->counters.labels += r->meta->is_label;
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
oracle_decode(struct oracle *o, const char *bytes, size_t len,
              struct columns *c, size_t row, struct event_meta *meta,
              struct error *err)
{
    struct reading_row r = {.bytes = bytes, .columns = c, .row = row};
    struct cJSON *root = NULL;
    const struct cJSON *event;
    struct json_facts facts;
    enum status st;

    assert(c != NULL && row == c->row_count && row < c->row_max);
    assert(c->feature_count == o->spec->feature_count);
    assert(c->task_count == o->spec->task_count);
    r.meta = meta != NULL ? meta : &o->own_meta;
    st = json_parse(&root, bytes, len, &o->limits, &facts, err);
    if (st != STATUS_OK)
        goto out;
    scalar_note_digits(root, bytes);
    clear_meta(r.meta);
    clear_row(o, &r);
    st = open_record(o, &r, root, len, &facts, &event, err);
    if (st != STATUS_OK)
        goto out;
    read_event(o, &r, event);
    finish_row(o, &r);

out:
    o->counters.malformed += st == STATUS_MALFORMED;
    o->counters.too_big += st == STATUS_TOOBIG;
    json_free(&root);
    return st;
}

const struct decoder_counters *
oracle_counters(const struct oracle *o)
{
    return &o->counters;
}

const struct feature_counters *
oracle_feature(const struct oracle *o, size_t i)
{
    assert(i < o->spec->feature_count);
    return &o->features[i].counters;
}

const struct task_counters *
oracle_task(const struct oracle *o, size_t i)
{
    assert(i < o->spec->task_count);
    return &o->tasks[i].counters;
}
