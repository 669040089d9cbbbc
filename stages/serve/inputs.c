/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors into columns. The rows of a request are behind those of the requests
 * before it; until inputs_end counts them they are as if not there, so that a
 * request that is refused half-way leaves nothing behind.
 */
#include "stages/serve/inputs.h"

#include "stages/event/feature_id.h"

#include "daemon/base/digits.h"
#include "daemon/base/object.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUTS_MAGIC 0x494e5055u

struct input_slot {
    const struct event_feature *spec;
    struct feature_hasher hasher;
    uint64_t *bucket_ids; /* (boundary_count + 1), or NULL */
    size_t name_len;
    bool is_seen; /* in this request */
};

struct inputs {
    unsigned magic;
    const struct event_spec *spec;
    struct input_slot *slots; /* (feature_count) */
    size_t next;              /* slot that is looked at first */
    struct columns *columns;
    size_t rows;
};

static enum status
hash_buckets(struct input_slot *slot, struct error *err)
{
    char text[DIGITS_MAX];
    size_t count = slot->spec->boundary_count;

    slot->bucket_ids = calloc(count + 1, sizeof(*slot->bucket_ids));
    if (slot->bucket_ids == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for buckets");
    for (size_t k = 0; k <= count; k++)
        slot->bucket_ids[k] =
            feature_hasher_id(&slot->hasher, text, digits_uint(text, k));
    return STATUS_OK;
}

enum status
inputs_new(struct inputs **out, const struct event_spec *spec,
           struct error *err)
{
    struct inputs *in = calloc(1, sizeof(*in));
    enum status st = STATUS_OK;

    if (in == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for inputs");
    in->magic = INPUTS_MAGIC;
    in->spec = spec;
    in->slots = calloc(spec->feature_count + 1, sizeof(*in->slots));
    if (in->slots == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for inputs");
    for (size_t i = 0; i < spec->feature_count && st == STATUS_OK; i++) {
        struct input_slot *slot = &in->slots[i];

        slot->spec = &spec->features[i];
        slot->name_len = strlen(slot->spec->name);
        feature_hasher_init(&slot->hasher, slot->spec->name);
        if (slot->spec->boundary_count > 0)
            st = hash_buckets(slot, err);
    }
    if (st != STATUS_OK)
        inputs_free(&in);
    *out = in;
    return st;
}

void
inputs_free(struct inputs **self)
{
    struct inputs *in;

    if (*self == NULL)
        return;
    OBJ_TAKE(in, self, INPUTS_MAGIC);
    for (size_t i = 0; in->slots != NULL && i < in->spec->feature_count; i++)
        free(in->slots[i].bucket_ids);
    free(in->slots);
    in->magic = 0;
    free(in);
}

void
inputs_begin(struct inputs *in, struct columns *c, size_t rows)
{
    OBJ_CHECK(in, INPUTS_MAGIC);
    assert(c->feature_count == in->spec->feature_count);
    assert(rows > 0 && rows <= c->row_max - c->row_count);
    in->columns = c;
    in->rows = rows;
    in->next = 0;
    for (size_t i = 0; i < in->spec->feature_count; i++)
        in->slots[i].is_seen = false;
}

/* ---- opening ---- */

static bool
has_ids(const struct input_slot *slot)
{
    return event_column_kind(slot->spec) == FEATURE_CATEGORICAL ||
           slot->spec->kind == FEATURE_BAG;
}

static bool
is_called(const struct input_slot *slot, const struct input_head *head,
          bool is_id)
{
    size_t suffix = is_id ? sizeof(INPUT_ID_SUFFIX) - 1 : 0;

    return head->name_len == slot->name_len + suffix &&
           memcmp(head->name, slot->spec->name, slot->name_len) == 0 &&
           memcmp(head->name + slot->name_len, INPUT_ID_SUFFIX, suffix) == 0 &&
           (!is_id || has_ids(slot));
}

/* A feature's own name goes before another one's ids. Clients send tensors in
 * one order, so the one behind the last is likely. */
static struct input_slot *
find_slot(struct inputs *in, const struct input_head *head, bool *is_id)
{
    size_t count = in->spec->feature_count;

    for (int pass = 0; pass < 2; pass++) {
        *is_id = pass == 1;
        for (size_t i = 0; i < count; i++) {
            size_t at =
                in->next + i < count ? in->next + i : in->next + i - count;

            if (!is_called(&in->slots[at], head, *is_id))
                continue;
            in->next = at + 1;
            return &in->slots[at];
        }
    }
    return NULL;
}

static bool
takes(const struct input_slot *slot, bool is_id, enum oip_datatype t)
{
    if (is_id)
        return is_integer(t);
    if (has_ids(slot) && slot->bucket_ids == NULL)
        return is_integer(t) || t == OIP_BOOL || t == OIP_BYTES;
    return t != OIP_BYTES;
}

static const char *
what_it_takes(const struct input_slot *slot, bool is_id)
{
    if (is_id)
        return "an integer type";
    return takes(slot, is_id, OIP_BYTES) ? "BYTES, an integer type or BOOL"
                                         : "a float or integer type or BOOL";
}

static enum status
refuse_shape(const struct inputs *in, const struct input_slot *slot,
             const struct input_head *head, struct error *err)
{
    char width[32];
    char second[32] = "";

    if (head->rank == 2)
        (void)snprintf(second, sizeof(second), ",%zu", head->shape[1]);
    if (slot->spec->kind == FEATURE_BAG)
        (void)snprintf(width, sizeof(width), "K");
    else
        (void)snprintf(width, sizeof(width), "%zu",
                       slot->spec->kind == FEATURE_VECTOR ? slot->spec->width
                                                          : (size_t)1);
    return error_set(err, STATUS_MALFORMED,
                     "input \"%.*s\": shape [%zu%s], expected [%zu,%s]",
                     (int)head->name_len, head->name, head->shape[0], second,
                     in->rows, width);
}

static void
put_absence(struct column *c, size_t first, size_t rows)
{
    switch (c->kind) {
    case FEATURE_CATEGORICAL:
        memset(&c->ids[first], 0, rows * sizeof(*c->ids));
        break;
    case FEATURE_BAG:
        for (size_t row = first; row < first + rows; row++)
            c->offsets[row + 1] = c->offsets[row];
        break;
    case FEATURE_NUMBER:
    case FEATURE_VECTOR:
        memset(&c->values[first * c->width], 0,
               rows * c->width * sizeof(*c->values));
        memset(&c->present[first], 0, rows);
        break;
    }
}

static void
begin_row(struct sink *s)
{
    s->at = 0;
    s->is_broken = false;
    if (s->column->kind == FEATURE_BAG)
        s->column->offsets[s->row + 1] = s->column->offsets[s->row];
}

/* Moves to the next value's place. */
static void
go_on(struct sink *s)
{
    struct column *c = s->column;

    s->count++;
    if (++s->at < s->width)
        return;
    if (c->kind == FEATURE_VECTOR) {
        c->present[s->row] = !s->is_broken;
        if (s->is_broken)
            memset(&c->values[s->row * c->width], 0,
                   c->width * sizeof(*c->values));
    }
    s->row++;
    if (s->count < s->capacity)
        begin_row(s);
}

enum status
inputs_open(struct inputs *in, const struct input_head *head, struct sink *sink,
            struct error *err)
{
    size_t width = head->rank == 2 ? head->shape[1] : 1;
    struct input_slot *slot;
    bool is_id;

    OBJ_CHECK(in, INPUTS_MAGIC);
    assert(head->rank >= 1 && head->rank <= INPUT_RANK_MAX);
    slot = find_slot(in, head, &is_id);
    if (slot == NULL)
        return error_set(err, STATUS_MALFORMED,
                         "unexpected inference input \"%.*s\": the model has "
                         "no such feature",
                         (int)head->name_len, head->name);
    if (slot->is_seen)
        return error_set(err, STATUS_MALFORMED,
                         "input \"%.*s\": a second tensor for one feature",
                         (int)head->name_len, head->name);
    if (!takes(slot, is_id, head->datatype))
        return error_set(
            err, STATUS_MALFORMED, "input \"%.*s\": datatype %s, expected %s",
            (int)head->name_len, head->name, oip_datatype_name(head->datatype),
            what_it_takes(slot, is_id));
    slot->is_seen = true;
    *sink = (struct sink){.slot = slot,
                          .column = &in->columns->features[slot - in->slots],
                          .datatype = head->datatype,
                          .is_id = is_id,
                          .row = in->columns->row_count,
                          .width = width,
                          .capacity = width * in->rows};
    if (head->shape[0] != in->rows ||
        (slot->spec->kind != FEATURE_BAG && width != sink->column->width))
        return refuse_shape(in, slot, head, err);
    if (width == 0) /* bags without any place */
        put_absence(sink->column, sink->row, in->rows);
    else
        begin_row(sink);
    return STATUS_OK;
}

/* ---- values ---- */

static void
put_id(struct sink *s, uint64_t id)
{
    struct column *c = s->column;
    uint32_t end;

    if (c->kind == FEATURE_CATEGORICAL) {
        c->ids[s->row] = id;
        return;
    }
    end = c->offsets[s->row + 1];
    if (id == ID_MISSING || end - c->offsets[s->row] == c->ids_max)
        return;
    c->ids[end] = id;
    c->offsets[s->row + 1] = end + 1;
}

static uint64_t
hash_text(const struct sink *s, const char *text, size_t len)
{
    if (len == 0 || len > FEATURE_ID_BYTES_MAX)
        return ID_MISSING;
    return feature_hasher_id(&s->slot->hasher, text, len);
}

/* What a number is worth in the column of its feature. */
static void
put_number(struct sink *s, double value)
{
    const struct event_feature *f = s->slot->spec;
    bool is_good =
        isfinite(value) &&
        !(f->has_range && (value < f->range_min || value > f->range_max));
    struct column *c = s->column;
    float out;

    if (s->slot->bucket_ids != NULL) {
        size_t low = 0;
        size_t high = f->boundary_count;

        while (is_good && low < high) {
            size_t middle = low + (high - low) / 2;

            if (f->boundaries[middle] <= value)
                low = middle + 1;
            else
                high = middle;
        }
        c->ids[s->row] = is_good ? s->slot->bucket_ids[low] : ID_MISSING;
        return;
    }
    if (is_good && f->has_log)
        value = copysign(log1p(fabs(value)), value);
    out = is_good ? (float)value : 0.0f;
    is_good = is_good && isfinite(out);
    c->values[s->row * c->width + s->at] = is_good ? out : 0.0f;
    if (c->kind == FEATURE_NUMBER)
        c->present[s->row] = is_good;
    else
        s->is_broken = s->is_broken || !is_good;
}

void
sink_put_text(struct sink *s, const char *text, size_t len)
{
    const char *end = text + len;
    char separator = s->slot->spec->separator;

    assert(s->count < s->capacity && s->datatype == OIP_BYTES);
    while (separator != '\0') {
        const char *stop = memchr(text, separator, (size_t)(end - text));

        if (stop == NULL)
            break;
        put_id(s, hash_text(s, text, (size_t)(stop - text)));
        text = stop + 1;
    }
    put_id(s, hash_text(s, text, (size_t)(end - text)));
    go_on(s);
}

void
sink_put_float(struct sink *s, double value)
{
    assert(s->count < s->capacity && is_float(s->datatype));
    put_number(s, value);
    go_on(s);
}

void
sink_put_integer(struct sink *s, bool is_negative, uint64_t magnitude)
{
    char text[DIGITS_MAX + 1] = "-";
    size_t len;

    assert(s->count < s->capacity && is_integer(s->datatype));
    if (s->is_id) {
        put_id(s, is_negative || magnitude > FEATURE_ID_MASK ? ID_MISSING
                                                             : magnitude);
    } else if (has_ids(s->slot) && s->slot->bucket_ids == NULL) {
        len = digits_uint(text + 1, magnitude);
        put_id(s, is_negative ? hash_text(s, text, len + 1)
                              : hash_text(s, text + 1, len));
    } else {
        put_number(s, is_negative ? -(double)magnitude : (double)magnitude);
    }
    go_on(s);
}

void
sink_put_boolean(struct sink *s, bool value)
{
    assert(s->count < s->capacity && s->datatype == OIP_BOOL);
    if (has_ids(s->slot) && s->slot->bucket_ids == NULL)
        put_id(s, value ? hash_text(s, "true", 4) : hash_text(s, "false", 5));
    else
        put_number(s, value ? 1.0 : 0.0);
    go_on(s);
}

void
sink_put_missing(struct sink *s)
{
    assert(s->count < s->capacity);
    if (has_ids(s->slot))
        put_id(s, ID_MISSING);
    else
        put_number(s, (double)NAN);
    go_on(s);
}

/* ---- ending ---- */

void
inputs_end(struct inputs *in)
{
    struct columns *c = in->columns;

    OBJ_CHECK(in, INPUTS_MAGIC);
    for (size_t i = 0; i < in->spec->feature_count; i++) {
        if (!in->slots[i].is_seen)
            put_absence(&c->features[i], c->row_count, in->rows);
    }
    c->row_count += in->rows;
}
