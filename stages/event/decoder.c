/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records to rows. The scanner walks over a record once, directed by the tree
 * of the configured paths, and what both have goes straight into the columns.
 */
#include "stages/event/decoder_priv.h"

#include "daemon/base/object.h"
#include "daemon/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECODER_MAGIC   0xdec0de42u
#define OWN_SCHEMAS     "distilld."
#define RECORD_BYTES_HI (UINT32_C(1) << 30)

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
    d->record_bytes_max = d->event_bytes_max + EVENT_LABEL_BYTES_MAX;
    d->features = calloc(spec->feature_count + 1, sizeof(*d->features));
    d->tasks = calloc(spec->task_count + 1, sizeof(*d->tasks));
    if (d->features == NULL || d->tasks == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for a decoder");
    else
        st = scan_init(&d->scan, d->record_bytes_max, EVENT_DEPTH_MAX + 1, err);
    if (st == STATUS_OK)
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
    scan_fini(&d->scan);
    free(d->tasks);
    free(d->features);
    free(d);
    *self = NULL;
}

/* Zeros, most often one. */
static inline void
clear_floats(float *values, size_t row, size_t width)
{
    if (width == 1)
        values[row] = 0.0f;
    else
        memset(&values[row * width], 0, width * sizeof(*values));
}

static void
clear_feature(struct feature_slot *slot, struct column *col, size_t row)
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
        clear_floats(col->values, row, col->width);
        col->present[row] = 0;
        break;
    }
    slot->is_present = false;
    slot->is_cut = false;
    slot->has_bad = false;
    slot->wrong_type = 0;
    slot->out_of_range = 0;
    slot->too_long = 0;
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
    meta->imagined = NULL;
    meta->imagined_bytes = 0;
}

void
decoder_clear_row(struct decoder *d)
{
    struct columns *c = d->columns;
    size_t row = d->row;

    for (size_t i = 0; i < c->feature_count; i++)
        clear_feature(&d->features[i], &c->features[i], row);
    for (size_t i = 0; i < c->task_count; i++) {
        struct outcome_column *t = &c->tasks[i];

        t->outcome[row] = 0.0f;
        t->has_outcome[row] = 0;
        t->has_teacher[row] = 0;
        clear_floats(t->teacher, row, t->width);
        d->tasks[i].outcome_bad = false;
        d->tasks[i].teacher_bad = false;
    }
    c->weight[row] = 1.0f;
    c->sample_rate[row] = 1.0f;
    c->ask_weight[row] = 1.0f;
    c->time_ms[row] = 0;
    c->teacher_id[row] = 0;
    d->id_bad = false;
    d->time_bad = false;
    d->weight_bad = false;
    d->sample_rate_bad = false;
    clear_meta(d->meta);
}

static void
finish_feature(struct feature_slot *slot)
{
    struct feature_counters *c = &slot->counters;

    c->present += slot->is_present;
    c->missing += !slot->is_present;
    c->cut += slot->is_cut;
    if (!slot->has_bad)
        return;
    c->wrong_type += slot->wrong_type;
    c->out_of_range += slot->out_of_range;
    c->too_long += slot->too_long;
}

static void
finish_task(struct task_slot *slot, const struct outcome_column *col,
            size_t row)
{
    struct task_counters *c = &slot->counters;

    c->outcomes += col->has_outcome[row];
    c->positives += col->kind == TASK_BINARY && col->outcome[row] > 0.0f;
    c->outcome_bad += slot->outcome_bad;
    c->soft_labels += col->has_teacher[row];
    c->teacher_bad += slot->teacher_bad;
}

/* The row is accepted. */
static void
finish_row(struct decoder *d)
{
    for (size_t i = 0; i < d->spec->feature_count; i++)
        finish_feature(&d->features[i]);
    for (size_t i = 0; i < d->spec->task_count; i++)
        finish_task(&d->tasks[i], &d->columns->tasks[i], d->row);
    d->counters.accepted++;
    d->counters.labels += d->meta->is_label;
    d->counters.id_bad += d->id_bad;
    d->counters.time_bad += d->time_bad;
    d->counters.weight_bad += d->weight_bad;
    d->counters.sample_rate_bad += d->sample_rate_bad;
    d->meta->time_ms = d->columns->time_ms[d->row];
    d->columns->row_count++;
}

static enum status
read_label(struct decoder *d, const char *start, struct error *err)
{
    decoder_clear_row(d);
    d->scan.at = start;
    return label_read(d, err);
}

static bool
begins_with(const struct value *v, const char *word)
{
    size_t len = strlen(word);

    return v->len >= len && memcmp(v->text, word, len) == 0;
}

/*
 * The event that a record has turned out to be: is it one that we take? The
 * schema of a label record may stand anywhere in it; then all is read again,
 * as what it is.
 */
static enum status
judge_event(struct decoder *d, const char *start, const char *schema,
            struct error *err)
{
    size_t len = (size_t)(d->scan.end - d->scan.start);
    struct value v = {.kind = VALUE_NULL};

    if (schema != NULL) {
        d->scan.at = schema;
        if (!scan_value(&d->scan, &v))
            return scan_error(&d->scan, err);
    }
    if (v.kind == VALUE_STRING) {
        scan_unescape(&d->scan, &v);
        if (v.len == sizeof(LABEL_SCHEMA) - 1 && begins_with(&v, LABEL_SCHEMA))
            return read_label(d, start, err);
        if (begins_with(&v, OWN_SCHEMAS))
            return error_set(
                err, STATUS_MALFORMED,
                "byte %zu: schema is %.*s, expected an event or %s",
                (size_t)(schema - d->scan.start),
                (int)text_utf8_prefix(v.text, v.len < 60 ? v.len : 60), v.text,
                LABEL_SCHEMA);
    }
    if (len > d->event_bytes_max)
        return error_set(err, STATUS_TOOBIG, "%zu bytes, at most %zu allowed",
                         len, d->event_bytes_max);
    if (d->scan.deepest > EVENT_DEPTH_MAX)
        return error_set(err, STATUS_MALFORMED,
                         "nested %u deep, at most %d allowed", d->scan.deepest,
                         EVENT_DEPTH_MAX);
    return STATUS_OK;
}

/* Nothing but space may be behind the record. */
static enum status
read_end(struct scan *s, struct error *err)
{
    scan_space(s);
    if (s->at == s->end)
        return STATUS_OK;
    (void)scan_fail(s, s->at, "more after the end of the record");
    return scan_error(s, err);
}

/* Records that begin as label_write begins them are read as labels at once,
 * all others as events first. */
static enum status
read_object(struct decoder *d, struct error *err)
{
    static const char head[] = "{\"schema\":\"" LABEL_SCHEMA "\"";
    struct scan *s = &d->scan;
    const char *start = s->at;
    const char *schema;
    enum status st;

    if ((size_t)(s->end - start) >= sizeof(head) &&
        memcmp(start, head, sizeof(head) - 1) == 0) {
        st = read_label(d, start, err);
        return st == STATUS_OK ? read_end(s, err) : st;
    }
    decoder_clear_row(d);
    if (!visit_event(d, &schema))
        return scan_error(s, err);
    st = read_end(s, err);
    return st == STATUS_OK ? judge_event(d, start, schema, err) : st;
}

static enum status
read_record(struct decoder *d, const char *bytes, size_t len, struct error *err)
{
    struct scan *s = &d->scan;

    if (len > d->record_bytes_max)
        return error_set(err, STATUS_TOOBIG, "%zu bytes, at most %zu allowed",
                         len, d->record_bytes_max);
    scan_begin(s, bytes, len);
    scan_space(s);
    if (s->at == s->end)
        return error_set(err, STATUS_MALFORMED,
                         "empty record, expected an object");
    if (*s->at == '{')
        return read_object(d, err);
    if (len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
        return error_set(err, STATUS_MALFORMED,
                         "byte 0: byte order mark, expected {");
    return error_set(err, STATUS_MALFORMED,
                     "byte %zu: not an object, expected {", scan_place(s));
}

enum status
decoder_decode(struct decoder *d, const char *bytes, size_t len,
               struct columns *c, size_t row, struct event_meta *meta,
               struct error *err)
{
    enum status st;

    OBJ_CHECK(d, DECODER_MAGIC);
    assert(c != NULL && row == c->row_count && row < c->row_max);
    assert(c->feature_count == d->spec->feature_count);
    assert(c->task_count == d->spec->task_count);
    assert(bytes != NULL || len == 0);
    d->columns = c;
    d->row = row;
    d->meta = meta != NULL ? meta : &d->own_meta;
    st = read_record(d, bytes, len, err);
    if (st == STATUS_OK)
        finish_row(d);
    d->counters.malformed += st == STATUS_MALFORMED;
    d->counters.too_big += st == STATUS_TOOBIG;
    return st;
}

size_t
decoder_imagine(struct decoder *d, const char *list, size_t len,
                struct columns *c, size_t most, const struct columns *from,
                size_t like)
{
    size_t before = c->row_count;

    OBJ_CHECK(d, DECODER_MAGIC);
    assert(c->feature_count == d->spec->feature_count);
    assert(c->task_count == d->spec->task_count && like < from->row_count);
    if (most > c->row_max - before)
        most = c->row_max - before;
    d->columns = c;
    d->meta = &d->own_meta;
    scan_begin(&d->scan, list, len);
    label_read_imagined(d, most);
    for (size_t row = before; row < c->row_count; row++) {
        c->weight[row] = from->weight[like];
        c->ask_weight[row] = from->ask_weight[like];
        c->time_ms[row] = from->time_ms[like];
        c->teacher_id[row] = from->teacher_id[like];
        c->sample_rate[row] = 1.0f;
        for (size_t t = 0; t < c->task_count; t++)
            c->tasks[t].has_outcome[row] = 0;
    }
    return c->row_count - before;
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
