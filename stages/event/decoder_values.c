/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single values: what each is worth in its column. The rows of the table in
 * decoder.h that cost a value and not the record are decided here.
 */
#include "stages/event/decoder_priv.h"

#include <math.h>
#include <string.h>

#define PROBABILITY_MIN 1e-7 /* soft labels of 0 and 1 are cut to this */

enum reading {
    READ_OK,
    READ_NOTHING, /* null, "" */
    READ_WRONG_TYPE,
    READ_OUT_OF_RANGE,
    READ_TOO_LONG,
};

static void
count_reading(struct feature_slot *slot, enum reading r)
{
    switch (r) {
    case READ_OK:
        slot->is_present = true;
        return;
    case READ_NOTHING:
        return;
    case READ_WRONG_TYPE:
        slot->wrong_type++;
        break;
    case READ_OUT_OF_RANGE:
        slot->out_of_range++;
        break;
    case READ_TOO_LONG:
        slot->too_long++;
        break;
    }
    slot->has_bad = true;
}

/* Any number or boolean as a double, which may be infinite. */
static enum reading
read_double(const struct value *v, double *out)
{
    switch (v->kind) {
    case VALUE_NULL:
        return READ_NOTHING;
    case VALUE_FALSE:
    case VALUE_TRUE:
        *out = v->kind == VALUE_TRUE ? 1.0 : 0.0;
        return READ_OK;
    case VALUE_NUMBER:
        *out = value_double(v);
        return isfinite(*out) ? READ_OK : READ_OUT_OF_RANGE;
    case VALUE_STRING:
    case VALUE_OBJECT:
    case VALUE_LIST:
        break;
    }
    return READ_WRONG_TYPE;
}

static enum reading
read_in_range(const struct event_feature *f, const struct value *v, double *out)
{
    enum reading r = read_double(v, out);

    if (r == READ_OK && f->has_range &&
        (*out < f->range_min || *out > f->range_max))
        return READ_OUT_OF_RANGE;
    return r;
}

static enum reading
read_float(const struct event_feature *f, const struct value *v, float *out)
{
    double value;
    enum reading r = read_in_range(f, v, &value);

    if (r != READ_OK)
        return r;
    if (f->has_log)
        value = copysign(log1p(fabs(value)), value);
    *out = (float)value;
    return isfinite(*out) ? READ_OK : READ_OUT_OF_RANGE;
}

static enum reading
hash_text(struct feature_slot *slot, const char *text, size_t len,
          uint64_t *out)
{
    if (len == 0)
        return READ_NOTHING;
    if (len > FEATURE_ID_BYTES_MAX)
        return READ_TOO_LONG;
    *out = feature_hasher_id(&slot->hasher, text, len);
    return READ_OK;
}

static enum reading
read_id(struct feature_slot *slot, const struct value *v, uint64_t *out)
{
    char scratch[VALUE_TEXT_MAX];
    const char *text;
    size_t len;

    if (v->kind == VALUE_STRING)
        return hash_text(slot, v->text, v->len, out);
    if (v->kind == VALUE_NULL)
        return READ_NOTHING;
    text = value_text(v, scratch, &len);
    if (text == NULL)
        return READ_WRONG_TYPE;
    return hash_text(slot, text, len, out);
}

static enum reading
read_bucket(struct feature_slot *slot, const struct value *v, uint64_t *out)
{
    const struct event_feature *f = slot->spec;
    size_t low = 0;
    size_t high = f->boundary_count;
    double value;
    enum reading r = read_in_range(f, v, &value);

    if (r != READ_OK)
        return r;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (f->boundaries[middle] <= value)
            low = middle + 1;
        else
            high = middle;
    }
    *out = slot->bucket_ids[low];
    return READ_OK;
}

static void
append_id(struct feature_slot *slot, struct column *col, size_t row,
          uint64_t id)
{
    uint32_t end = col->offsets[row + 1];

    if (end - col->offsets[row] == col->ids_max) {
        slot->is_cut = true;
        return;
    }
    col->ids[end] = id;
    col->offsets[row + 1] = end + 1;
}

/* A string whose separators cut it into ids. */
static void
append_pieces(struct feature_slot *slot, const struct value *v,
              struct column *col, size_t row)
{
    const char *text = v->text;
    const char *end = text + v->len;
    const char *stop;
    uint64_t id;

    do {
        enum reading r;

        stop = memchr(text, slot->spec->separator, (size_t)(end - text));
        if (stop == NULL)
            stop = end;
        r = hash_text(slot, text, (size_t)(stop - text), &id);
        count_reading(slot, r);
        if (r == READ_OK)
            append_id(slot, col, row, id);
        text = stop + 1;
    } while (stop != end);
}

static void
append_scalar(struct feature_slot *slot, const struct value *v,
              struct column *col, size_t row)
{
    uint64_t id;
    enum reading r;

    if (slot->spec->separator != '\0' && v->kind == VALUE_STRING) {
        append_pieces(slot, v, col, row);
        return;
    }
    r = read_id(slot, v, &id);
    count_reading(slot, r);
    if (r == READ_OK)
        append_id(slot, col, row, id);
}

/* Reads the element at `at`; of a list or an object no more than that it is
 * one. */
static bool
read_element(struct decoder *d, struct value *v)
{
    if (!scan_value(&d->scan, v))
        return false;
    if (v->kind == VALUE_STRING && v->is_escaped)
        scan_unescape(&d->scan, v);
    return v->kind < VALUE_OBJECT || scan_skip(&d->scan);
}

bool
value_bag(struct decoder *d, size_t feature)
{
    struct feature_slot *slot = &d->features[feature];
    struct column *col = &d->columns->features[feature];
    struct scan_level level;
    struct value v;

    if (!scan_open(&d->scan, &level))
        return false;
    while (scan_element(&d->scan, &level)) {
        if (!read_element(d, &v))
            return false;
        append_scalar(slot, &v, col, d->row);
    }
    slot->is_present = slot->is_present || level.count == 0;
    return !scan_failed(&d->scan);
}

bool
value_vector(struct decoder *d, size_t feature)
{
    struct feature_slot *slot = &d->features[feature];
    struct column *col = &d->columns->features[feature];
    float *out = &col->values[d->row * col->width];
    enum reading all = READ_OK;
    struct scan_level level;
    struct value v;
    size_t k = 0;

    if (!scan_open(&d->scan, &level))
        return false;
    for (; scan_element(&d->scan, &level); k++) {
        if (!read_element(d, &v))
            return false;
        if (all == READ_OK)
            all = k < col->width ? read_float(slot->spec, &v, &out[k])
                                 : READ_WRONG_TYPE;
        if (all == READ_NOTHING)
            all = READ_WRONG_TYPE;
    }
    if (all == READ_OK && k < col->width)
        all = READ_WRONG_TYPE;
    if (all != READ_OK)
        memset(out, 0, col->width * sizeof(*out));
    col->present[d->row] = all == READ_OK;
    count_reading(slot, all);
    return !scan_failed(&d->scan);
}

void
value_feature(struct decoder *d, size_t feature, const struct value *v)
{
    struct feature_slot *slot = &d->features[feature];
    struct column *col = &d->columns->features[feature];
    size_t row = d->row;
    enum reading r = READ_NOTHING;

    switch (col->kind) {
    case FEATURE_CATEGORICAL:
        r = slot->bucket_ids != NULL ? read_bucket(slot, v, &col->ids[row])
                                     : read_id(slot, v, &col->ids[row]);
        break;
    case FEATURE_BAG:
        append_scalar(slot, v, col, row);
        return;
    case FEATURE_NUMBER:
        r = read_float(slot->spec, v, &col->values[row]);
        if (r != READ_OK)
            col->values[row] = 0.0f;
        col->present[row] = r == READ_OK;
        break;
    case FEATURE_VECTOR:
        r = v->kind == VALUE_NULL ? READ_NOTHING : READ_WRONG_TYPE;
        break;
    }
    count_reading(slot, r);
}

static bool
read_binary(const struct event_task *t, const struct value *v, float *out)
{
    double value;

    if (read_double(v, &value) != READ_OK)
        return false;
    if (t->has_threshold) {
        *out = value >= t->threshold ? 1.0f : 0.0f;
        return v->kind == VALUE_NUMBER;
    }
    *out = (float)value;
    return value == 0.0 || value == 1.0;
}

static bool
read_class(const struct event_task *t, const struct value *v, float *out)
{
    char scratch[VALUE_TEXT_MAX];
    const char *text;
    size_t len;
    int64_t class;

    if (t->class_names == NULL) {
        if (!value_integer(v, &class) || class < 0 ||
            (uint64_t) class >= t->classes)
            return false;
        *out = (float)class;
        return true;
    }
    text = value_text(v, scratch, &len);
    for (size_t k = 0; text != NULL && k < t->classes; k++) {
        if (strlen(t->class_names[k]) == len &&
            memcmp(t->class_names[k], text, len) == 0) {
            *out = (float)k;
            return true;
        }
    }
    return false;
}

static bool
read_outcome(const struct event_task *t, const struct value *v, float *out)
{
    double value;

    switch (t->kind) {
    case TASK_BINARY:
        return read_binary(t, v, out);
    case TASK_CLASS:
        return read_class(t, v, out);
    case TASK_REGRESSION:
        if (read_double(v, &value) != READ_OK)
            return false;
        *out = (float)value;
        return isfinite(*out);
    }
    return false;
}

void
value_outcome(struct decoder *d, size_t task, const struct value *v)
{
    struct task_slot *slot = &d->tasks[task];
    struct outcome_column *col = &d->columns->tasks[task];

    if (v->kind == VALUE_NULL)
        return;
    if (!read_outcome(slot->spec, v, &col->outcome[d->row])) {
        col->outcome[d->row] = 0.0f;
        slot->outcome_bad = true;
        return;
    }
    col->has_outcome[d->row] = 1;
}

static bool
read_logit(const struct value *v, enum task_kind kind,
           enum teacher_output output, float *out)
{
    double value;

    if (v->kind != VALUE_NUMBER)
        return false;
    value = value_double(v);
    if (output == TEACHER_PROBABILITY) {
        if (!(value >= 0.0 && value <= 1.0))
            return false;
        value = fmax(value, PROBABILITY_MIN);
        if (kind == TASK_CLASS)
            value = log(value);
        else {
            value = fmin(value, 1.0 - PROBABILITY_MIN);
            value = log(value / (1.0 - value));
        }
    }
    *out = (float)value;
    return isfinite(*out);
}

static void
finish_teacher(struct decoder *d, size_t task, bool is_good)
{
    struct outcome_column *col = &d->columns->tasks[task];

    if (!is_good)
        memset(&col->teacher[d->row * col->width], 0,
               col->width * sizeof(*col->teacher));
    col->has_teacher[d->row] = is_good;
    d->tasks[task].teacher_bad = !is_good;
}

void
value_teacher(struct decoder *d, size_t task, enum teacher_output output,
              const struct value *v)
{
    struct outcome_column *col = &d->columns->tasks[task];
    float *out = &col->teacher[d->row * col->width];

    if (v->kind == VALUE_NULL)
        return;
    finish_teacher(d, task,
                   col->width == 1 && read_logit(v, col->kind, output, out));
}

bool
value_teacher_list(struct decoder *d, size_t task, enum teacher_output output)
{
    struct outcome_column *col = &d->columns->tasks[task];
    float *out = &col->teacher[d->row * col->width];
    bool is_good = true;
    struct scan_level level;
    struct value v;
    size_t k = 0;

    if (!scan_open(&d->scan, &level))
        return false;
    for (; scan_element(&d->scan, &level); k++) {
        if (!read_element(d, &v))
            return false;
        is_good = is_good && k < col->width &&
                  read_logit(&v, col->kind, output, &out[k]);
    }
    finish_teacher(d, task, is_good && k == col->width);
    return !scan_failed(&d->scan);
}
