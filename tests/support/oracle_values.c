/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single values: what each is worth in its column. The rows of the table in
 * decoder.h that cost a value and not the record are decided here once more,
 * on the tree of cJSON.
 */
#include "daemon/base/hash.h"

#include "tests/support/oracle_priv.h"
#include "tests/support/scalar.h"

#include <assert.h>
#include <cjson/cJSON.h>
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
count_reading(struct oracle_feature *slot, enum reading r)
{
    switch (r) {
    case READ_OK:
        slot->is_present = true;
        break;
    case READ_NOTHING:
        break;
    case READ_WRONG_TYPE:
        slot->counters.wrong_type++;
        break;
    case READ_OUT_OF_RANGE:
        slot->counters.out_of_range++;
        break;
    case READ_TOO_LONG:
        slot->counters.too_long++;
        break;
    }
}

/* Any number or boolean as a double, which may be infinite. */
static enum reading
read_double(const struct cJSON *item, double *out)
{
    bool flag;

    if (json_is_null(item))
        return READ_NOTHING;
    if (json_boolean(item, &flag)) {
        *out = flag ? 1.0 : 0.0;
        return READ_OK;
    }
    if (!cJSON_IsNumber(item))
        return READ_WRONG_TYPE;
    *out = item->valuedouble;
    return isfinite(*out) ? READ_OK : READ_OUT_OF_RANGE;
}

static enum reading
read_in_range(const struct event_feature *f, const struct cJSON *item,
              double *out)
{
    enum reading r = read_double(item, out);

    if (r == READ_OK && f->has_range &&
        (*out < f->range_min || *out > f->range_max))
        return READ_OUT_OF_RANGE;
    return r;
}

static enum reading
read_float(const struct event_feature *f, const struct cJSON *item, float *out)
{
    double value;
    enum reading r = read_in_range(f, item, &value);

    if (r != READ_OK)
        return r;
    if (f->has_log)
        value = copysign(log1p(fabs(value)), value);
    *out = (float)value;
    return isfinite(*out) ? READ_OK : READ_OUT_OF_RANGE;
}

/* The rule of feature_id.h, by the library. */
uint64_t
oracle_id(const char *name, const char *text, size_t len)
{
    char buf[EVENT_NAME_MAX + 1 + FEATURE_ID_BYTES_MAX];
    size_t name_bytes = strlen(name);
    uint64_t id;

    assert(name_bytes <= EVENT_NAME_MAX && len <= FEATURE_ID_BYTES_MAX);
    memcpy(buf, name, name_bytes);
    buf[name_bytes] = 0x1F;
    memcpy(buf + name_bytes + 1, text, len);
    id = hash64(buf, name_bytes + 1 + len) & FEATURE_ID_MASK;
    return id != ID_MISSING ? id : 1;
}

static enum reading
hash_text(struct oracle_feature *slot, const char *text, size_t len,
          uint64_t *out)
{
    if (len == 0)
        return READ_NOTHING;
    if (len > FEATURE_ID_BYTES_MAX)
        return READ_TOO_LONG;
    *out = oracle_id(slot->spec->name, text, len);
    return READ_OK;
}

static enum reading
read_id(struct oracle_feature *slot, const struct cJSON *item,
        const char *bytes, uint64_t *out)
{
    char scratch[SCALAR_TEXT_MAX];
    const char *text;
    size_t len;

    if (json_is_null(item))
        return READ_NOTHING;
    text = scalar_text(item, bytes, scratch, &len);
    if (text == NULL)
        return READ_WRONG_TYPE;
    return hash_text(slot, text, len, out);
}

static enum reading
read_bucket(struct oracle_feature *slot, const struct cJSON *item,
            uint64_t *out)
{
    const struct event_feature *f = slot->spec;
    size_t low = 0;
    size_t high = f->boundary_count;
    double value;
    enum reading r = read_in_range(f, item, &value);

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
append_id(struct oracle_feature *slot, struct column *col, size_t row,
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
append_pieces(struct oracle_feature *slot, const char *text, struct column *col,
              size_t row)
{
    const char *end;
    uint64_t id;

    for (;; text = end + 1) {
        enum reading r;

        end = strchr(text, slot->spec->separator);
        if (end == NULL)
            end = text + strlen(text);
        r = hash_text(slot, text, (size_t)(end - text), &id);
        count_reading(slot, r);
        if (r == READ_OK)
            append_id(slot, col, row, id);
        if (*end == '\0')
            return;
    }
}

static void
append_scalar(struct oracle_feature *slot, const struct cJSON *item,
              const char *bytes, struct column *col, size_t row)
{
    uint64_t id;
    enum reading r;

    if (slot->spec->separator != '\0' && cJSON_IsString(item)) {
        append_pieces(slot, item->valuestring, col, row);
        return;
    }
    r = read_id(slot, item, bytes, &id);
    count_reading(slot, r);
    if (r == READ_OK)
        append_id(slot, col, row, id);
}

static void
fill_bag(struct oracle_feature *slot, const struct cJSON *item,
         const char *bytes, struct column *col, size_t row)
{
    if (!json_is_array(item)) {
        append_scalar(slot, item, bytes, col, row);
        return;
    }
    slot->is_present = slot->is_present || item->child == NULL;
    for (const struct cJSON *c = item->child; c != NULL; c = c->next)
        append_scalar(slot, c, bytes, col, row);
}

static enum reading
read_vector(const struct event_feature *f, const struct cJSON *item, float *out)
{
    size_t k = 0;

    if (json_is_null(item))
        return READ_NOTHING;
    if (!json_is_array(item))
        return READ_WRONG_TYPE;
    for (const struct cJSON *c = item->child; c != NULL; c = c->next) {
        enum reading r;

        if (k == f->width)
            return READ_WRONG_TYPE;
        r = read_float(f, c, &out[k++]);
        if (r != READ_OK)
            return r == READ_NOTHING ? READ_WRONG_TYPE : r;
    }
    return k == f->width ? READ_OK : READ_WRONG_TYPE;
}

void
oracle_put_feature(struct oracle_feature *slot, const struct cJSON *item,
                   const char *bytes, struct column *col, size_t row)
{
    enum reading r = READ_NOTHING;

    switch (col->kind) {
    case FEATURE_CATEGORICAL:
        r = slot->bucket_ids != NULL
                ? read_bucket(slot, item, &col->ids[row])
                : read_id(slot, item, bytes, &col->ids[row]);
        break;
    case FEATURE_BAG:
        fill_bag(slot, item, bytes, col, row);
        return;
    case FEATURE_NUMBER:
        r = read_float(slot->spec, item, &col->values[row]);
        if (r != READ_OK)
            col->values[row] = 0.0f;
        col->present[row] = r == READ_OK;
        break;
    case FEATURE_VECTOR:
        r = read_vector(slot->spec, item, &col->values[row * col->width]);
        if (r != READ_OK)
            memset(&col->values[row * col->width], 0,
                   col->width * sizeof(*col->values));
        col->present[row] = r == READ_OK;
        break;
    }
    count_reading(slot, r);
}

static bool
read_binary(const struct event_task *t, const struct cJSON *item, float *out)
{
    double value;

    if (read_double(item, &value) != READ_OK)
        return false;
    if (t->has_threshold) {
        *out = value >= t->threshold ? 1.0f : 0.0f;
        return !cJSON_IsBool(item);
    }
    *out = (float)value;
    return value == 0.0 || value == 1.0;
}

static bool
read_class(const struct event_task *t, const struct cJSON *item,
           const char *bytes, float *out)
{
    char scratch[SCALAR_TEXT_MAX];
    const char *text;
    size_t len;
    int64_t class;

    if (t->class_names == NULL) {
        if (!json_integer(item, &class) || class < 0 ||
            (uint64_t) class >= t->classes)
            return false;
        *out = (float)class;
        return true;
    }
    text = scalar_text(item, bytes, scratch, &len);
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
read_outcome(const struct event_task *t, const struct cJSON *item,
             const char *bytes, float *out)
{
    double value;

    switch (t->kind) {
    case TASK_BINARY:
        return read_binary(t, item, out);
    case TASK_CLASS:
        return read_class(t, item, bytes, out);
    case TASK_REGRESSION:
        if (read_double(item, &value) != READ_OK)
            return false;
        *out = (float)value;
        return isfinite(*out);
    }
    return false;
}

void
oracle_put_outcome(struct oracle_task *slot, const struct cJSON *item,
                   const char *bytes, struct outcome_column *col, size_t row)
{
    if (json_is_null(item))
        return;
    if (!read_outcome(slot->spec, item, bytes, &col->outcome[row])) {
        col->outcome[row] = 0.0f;
        slot->counters.outcome_bad++;
        return;
    }
    col->has_outcome[row] = 1;
    slot->counters.outcomes++;
    if (col->kind == TASK_BINARY && col->outcome[row] > 0.0f)
        slot->counters.positives++;
}

static bool
read_logit(const struct cJSON *item, enum task_kind kind,
           enum teacher_output output, float *out)
{
    double value;

    if (!json_number(item, &value))
        return false;
    if (output == TEACHER_PROBABILITY) {
        if (value < 0.0 || value > 1.0)
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

static bool
read_logits(const struct cJSON *item, enum teacher_output output,
            const struct outcome_column *col, float *out)
{
    size_t k = 0;

    if (!json_is_array(item))
        return col->width == 1 && read_logit(item, col->kind, output, out);
    for (const struct cJSON *c = item->child; c != NULL; c = c->next) {
        if (k == col->width || !read_logit(c, col->kind, output, &out[k++]))
            return false;
    }
    return k == col->width;
}

void
oracle_put_teacher(struct oracle_task *slot, const struct cJSON *item,
                   enum teacher_output output, struct outcome_column *col,
                   size_t row)
{
    float *logits = &col->teacher[row * col->width];

    if (json_is_null(item))
        return;
    if (!read_logits(item, output, col, logits)) {
        memset(logits, 0, col->width * sizeof(*logits));
        slot->counters.teacher_bad++;
        return;
    }
    col->has_teacher[row] = 1;
    slot->counters.soft_labels++;
}
