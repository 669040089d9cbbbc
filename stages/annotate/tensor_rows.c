/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of events and columns, packed.
 */
#include "stages/annotate/tensor_rows.h"

#include "stages/event/pick.h"

#include "daemon/base/object.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAGIC   0x54524f57u
#define SOURCE_MAGIC 0x54535243u
#define ELEMENT_MAX  8
#define INTEGER_TEXT 20 /* the longest of 64 bits, with its sign */

struct tensor_source {
    unsigned magic;
    const struct tensor_map *map;
    struct pick *pick;          /* NULL: all inputs are columns */
    size_t inputs[TENSORS_MAX]; /* of each path */
    size_t record_bytes_max;
    char missing[TENSORS_MAX][OIP_LENGTH_BYTES + 256]; /* packed */
    size_t missing_bytes[TENSORS_MAX];
};

/* The rows of one input. */
struct cells {
    size_t *start; /* (row_max) in data; BYTES only */
    size_t *bytes; /* (row_max) */
    char *fixed;   /* (row_max, stride) */
    size_t stride;
    struct bytes text;
};

struct tensor_rows {
    unsigned magic;
    struct tensor_source *source;
    size_t row_max;
    struct cells *cells; /* (inputs) */

    /* The row that is being added. */
    size_t row;
    size_t counts[TENSORS_MAX]; /* its elements so far */
    struct error error;         /* or OK */
};

/* ---- Values ---- */

/* An integer without a rounding, also where a double would have one. */
static bool
to_int64(const struct value *v, int64_t *out)
{
    char text[INTEGER_TEXT + 1];
    char *end;

    if (v->kind == VALUE_TRUE || v->kind == VALUE_FALSE) {
        *out = v->kind == VALUE_TRUE;
        return true;
    }
    if (v->kind == VALUE_NUMBER && value_integer(v, out))
        return true;
    if ((v->kind != VALUE_NUMBER && v->kind != VALUE_STRING) || v->len == 0 ||
        v->len > INTEGER_TEXT)
        return false;
    memcpy(text, v->text, v->len);
    text[v->len] = '\0';
    if (text[strspn(text, "-0123456789")] != '\0')
        return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && end != text;
}

static bool
to_double(const struct value *v, double *out)
{
    if (v->kind == VALUE_NUMBER)
        *out = value_double(v);
    else if (v->kind == VALUE_TRUE || v->kind == VALUE_FALSE)
        *out = v->kind == VALUE_TRUE;
    else
        return false;
    return isfinite(*out);
}

/* Writes a value as an element; false: it cannot be one. */
static bool
pack_number(enum oip_datatype type, const struct value *v, char *at)
{
    double number;
    double min;
    double max;
    int64_t integer;

    if (!oip_datatype_is_integer(type, &min, &max)) {
        if (!to_double(v, &number))
            return false;
        oip_number_write(type, at, number);
        return isfinite(oip_number_read(type, at));
    }
    if (!to_int64(v, &integer))
        return false;
    if (type == OIP_INT64 || type == OIP_UINT64) {
        oip_int64_write(at, integer);
        return type == OIP_INT64 || integer >= 0;
    }
    if ((double)integer < min || (double)integer > max)
        return false;
    oip_number_write(type, at, (double)integer);
    return true;
}

/* The text of a scalar; NULL: it has none. */
static const char *
text_of(const struct value *v, size_t *len)
{
    static const char *const words[] = {
        [VALUE_FALSE] = "false", [VALUE_TRUE] = "true"};

    if (v->kind == VALUE_FALSE || v->kind == VALUE_TRUE) {
        *len = strlen(words[v->kind]);
        return words[v->kind];
    }
    *len = v->len;
    return v->kind == VALUE_STRING || v->kind == VALUE_NUMBER ? v->text : NULL;
}

/* ---- Elements of the row ---- */

static void
append_text(struct tensor_rows *t, struct cells *c, const char *bytes, size_t n)
{
    if (t->error.status == STATUS_OK &&
        bytes_append(&c->text, bytes, n, &t->error) == STATUS_OK)
        c->bytes[t->row] += n;
}

static void
add_missing(struct tensor_rows *t, size_t i)
{
    const struct tensor_source *source = t->source;
    struct cells *c = &t->cells[i];
    size_t n = source->missing_bytes[i];

    if (c->fixed != NULL)
        memcpy(c->fixed + t->row * c->stride + t->counts[i] * n,
               source->missing[i], n);
    else
        append_text(t, c, source->missing[i], n);
    t->counts[i]++;
}

static size_t
values_a_row(const struct tensor_input *in)
{
    return in->tensor.width > 0 ? in->tensor.width : 1;
}

static void
add_value(struct tensor_rows *t, size_t i, const struct value *v)
{
    const struct tensor_input *in = &t->source->map->inputs[i];
    struct cells *c = &t->cells[i];
    char element[ELEMENT_MAX];
    const char *text;
    size_t len;

    if (t->counts[i] == values_a_row(in))
        return;
    if (c->fixed != NULL) {
        size_t n = t->source->missing_bytes[i];

        if (!pack_number(in->tensor.datatype, v, element)) {
            add_missing(t, i);
            return;
        }
        memcpy(c->fixed + t->row * c->stride + t->counts[i] * n, element, n);
    } else {
        text = text_of(v, &len);
        if (text == NULL) {
            add_missing(t, i);
            return;
        }
        oip_length_write(element, len);
        append_text(t, c, element, OIP_LENGTH_BYTES);
        append_text(t, c, text, len);
    }
    t->counts[i]++;
}

static void
on_found(void *ctx, size_t path, const struct value *v)
{
    struct tensor_rows *t = ctx;

    add_value(t, t->source->inputs[path], v);
}

/* ---- Columns ---- */

static void
add_column(struct tensor_rows *t, size_t i, const struct columns *columns)
{
    const struct tensor_input *in = &t->source->map->inputs[i];
    const struct column *f = &columns->features[in->feature];
    char *at = t->cells[i].fixed + t->row * t->cells[i].stride;
    size_t n = oip_datatype_bytes(in->tensor.datatype);
    size_t room = values_a_row(in);
    size_t from = f->kind == FEATURE_BAG ? f->offsets[t->row] : t->row;
    size_t to = f->kind == FEATURE_BAG ? f->offsets[t->row + 1] : t->row + 1;

    if (f->kind == FEATURE_NUMBER || f->kind == FEATURE_VECTOR) {
        if (!f->present[t->row])
            return;
        for (size_t k = 0; k < f->width && t->counts[i] < room; k++)
            oip_number_write(in->tensor.datatype, at + n * t->counts[i]++,
                             (double)f->values[t->row * f->width + k]);
        return;
    }
    for (size_t k = from; k < to && t->counts[i] < room; k++)
        oip_int64_write(at + n * t->counts[i]++, (long long)f->ids[k]);
}

/* ---- The row ---- */

enum status
tensor_rows_add(struct tensor_rows *t, const struct batch *b, size_t row,
                struct error *err)
{
    const struct tensor_map *map;
    enum status st = STATUS_OK;

    OBJ_CHECK(t, ROWS_MAGIC);
    assert(row < t->row_max && row < b->columns->row_count);
    map = t->source->map;
    t->row = row;
    error_clear(&t->error);
    for (size_t i = 0; i < map->input_count; i++) {
        struct cells *c = &t->cells[i];

        t->counts[i] = 0;
        if (c->fixed == NULL) {
            c->start[row] = c->text.used;
            c->bytes[row] = 0;
        } else if (map->inputs[i].feature != NO_FEATURE) {
            add_column(t, i, b->columns);
        }
    }
    if (t->source->pick != NULL)
        st = pick_read(t->source->pick, b->raw.data + b->rows[row].start,
                       b->rows[row].bytes, on_found, t, err);
    for (size_t i = 0; i < map->input_count && st == STATUS_OK; i++) {
        while (t->counts[i] < values_a_row(&map->inputs[i]))
            add_missing(t, i);
    }
    if (st == STATUS_OK && t->error.status != STATUS_OK)
        *err = t->error;
    return st == STATUS_OK ? t->error.status : st;
}

const char *
tensor_rows_cells(const struct tensor_rows *t, size_t row, size_t input,
                  size_t *bytes)
{
    const struct cells *c = &t->cells[input];

    assert(row < t->row_max);
    if (c->fixed != NULL) {
        *bytes = c->stride;
        return c->fixed + row * c->stride;
    }
    *bytes = c->bytes[row];
    return c->text.data + c->start[row];
}

void
tensor_rows_clear(struct tensor_rows *t)
{
    OBJ_CHECK(t, ROWS_MAGIC);
    for (size_t i = 0; i < t->source->map->input_count; i++)
        bytes_clear(&t->cells[i].text);
}

/* ---- Life ---- */

static void
pack_missing(struct tensor_source *s, size_t i)
{
    const struct tensor_input *in = &s->map->inputs[i];
    enum oip_datatype type = in->tensor.datatype;
    char *at = s->missing[i];

    if (type == OIP_BYTES) {
        size_t len = strlen(in->missing);

        oip_length_write(at, len);
        memcpy(at + OIP_LENGTH_BYTES, in->missing, len);
        s->missing_bytes[i] = OIP_LENGTH_BYTES + len;
        return;
    }
    s->missing_bytes[i] = oip_datatype_bytes(type);
    if (type == OIP_INT64 || type == OIP_UINT64)
        oip_int64_write(at, strtoll(in->missing, NULL, 10));
    else if (type == OIP_BOOL)
        at[0] = strcmp(in->missing, "true") == 0 ? 1 : 0;
    else
        oip_number_write(type, at, strtod(in->missing, NULL));
}

enum status
tensor_source_new(struct tensor_source **out, const struct tensor_map *map,
                  size_t record_bytes_max, struct error *err)
{
    struct tensor_source *s = calloc(1, sizeof(*s));
    const char *paths[TENSORS_MAX];
    size_t count = 0;
    enum status st = STATUS_OK;

    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for tensors");
    s->magic = SOURCE_MAGIC;
    s->map = map;
    s->record_bytes_max = record_bytes_max;
    for (size_t i = 0; i < map->input_count; i++) {
        pack_missing(s, i);
        if (map->inputs[i].feature != NO_FEATURE)
            continue;
        s->inputs[count] = i;
        paths[count++] = map->inputs[i].path;
    }
    if (count > 0)
        st = pick_new(&s->pick, paths, count, record_bytes_max, err);
    if (st != STATUS_OK)
        tensor_source_free(&s);
    *out = s;
    return st;
}

void
tensor_source_free(struct tensor_source **self)
{
    if (*self == NULL)
        return;
    OBJ_CHECK(*self, SOURCE_MAGIC);
    pick_free(&(*self)->pick);
    (*self)->magic = 0;
    free(*self);
    *self = NULL;
}

static enum status
make_cells(struct tensor_rows *t, size_t i, struct error *err)
{
    const struct tensor_input *in = &t->source->map->inputs[i];
    struct cells *c = &t->cells[i];
    size_t values = values_a_row(in);
    size_t room =
        t->source->record_bytes_max + values * sizeof(t->source->missing[0]);

    bytes_init(&c->text, t->row_max * room);
    if (in->tensor.datatype != OIP_BYTES) {
        c->stride = values * oip_datatype_bytes(in->tensor.datatype);
        c->fixed = calloc(t->row_max, c->stride);
    } else {
        c->start = calloc(t->row_max, sizeof(*c->start));
        c->bytes = calloc(t->row_max, sizeof(*c->bytes));
    }
    if (c->fixed == NULL && (c->start == NULL || c->bytes == NULL))
        return error_set(err, STATUS_NOMEM, "no memory for %zu rows",
                         t->row_max);
    return STATUS_OK;
}

enum status
tensor_rows_new(struct tensor_rows **out, struct tensor_source *source,
                size_t row_max, struct error *err)
{
    struct tensor_rows *t = calloc(1, sizeof(*t));
    enum status st = STATUS_OK;

    OBJ_CHECK(source, SOURCE_MAGIC);
    if (t != NULL)
        t->cells = calloc(source->map->input_count, sizeof(*t->cells));
    if (t == NULL || t->cells == NULL) {
        free(t);
        return error_set(err, STATUS_NOMEM, "no memory for %zu rows", row_max);
    }
    t->magic = ROWS_MAGIC;
    t->source = source;
    t->row_max = row_max;
    for (size_t i = 0; i < source->map->input_count && st == STATUS_OK; i++)
        st = make_cells(t, i, err);
    if (st != STATUS_OK)
        tensor_rows_free(&t);
    *out = t;
    return st;
}

void
tensor_rows_free(struct tensor_rows **self)
{
    struct tensor_rows *t = *self;

    if (t == NULL)
        return;
    OBJ_CHECK(t, ROWS_MAGIC);
    for (size_t i = 0; i < t->source->map->input_count; i++) {
        free(t->cells[i].start);
        free(t->cells[i].bytes);
        free(t->cells[i].fixed);
        bytes_fini(&t->cells[i].text);
    }
    free(t->cells);
    t->magic = 0;
    free(t);
    *self = NULL;
}
