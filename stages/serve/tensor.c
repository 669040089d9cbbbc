/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of a tensor, in JSON and in bytes.
 */
#include "stages/serve/request_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
tensor_open(struct request_reader *r, struct tensor_head *t)
{
    struct columns *c = r->columns;
    size_t rows = t->head.shape[0];

    if (r->rows == 0) {
        if (rows == 0)
            return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                               "input \"%s\": a batch of 0 "
                                               "rows",
                                               t->name));
        if (rows > c->row_max)
            return request_refuse(
                r, error_set(r->err, STATUS_TOOBIG,
                             "inference request batch-size must be <= %zu, "
                             "it is %zu",
                             c->row_max, rows));
        if (rows > c->row_max - c->row_count)
            return request_refuse(r, error_set(r->err, STATUS_AGAIN,
                                               "%zu rows do not fit", rows));
        r->rows = rows;
        inputs_begin(r->inputs, c, rows);
    }
    if (inputs_open(r->inputs, &t->head, &t->sink, r->err) != STATUS_OK)
        return request_refuse(r, STATUS_MALFORMED);
    return true;
}

static bool
refuse_count(struct request_reader *r, const struct tensor_head *t,
             const char *count)
{
    return request_refuse(
        r, error_set(r->err, STATUS_MALFORMED,
                     "input \"%s\": %s values, its shape has %zu", t->name,
                     count, t->sink.capacity));
}

/* ---- JSON ---- */

static const char *
expected_value(enum oip_datatype t)
{
    if (t == OIP_BYTES)
        return "a string";
    if (t == OIP_BOOL)
        return "true or false";
    return is_integer(t) ? "an integer" : "a number";
}

static bool
refuse_value(struct request_reader *r, const struct tensor_head *t)
{
    return request_refuse(
        r, error_set(r->err, STATUS_MALFORMED,
                     "input \"%s\": value %zu is not %s that fits into %s",
                     t->name, t->sink.count, expected_value(t->head.datatype),
                     oip_datatype_name(t->head.datatype)));
}

/* A number that is a whole one, in its sign and the rest; false: it is not. */
static bool
split_integer(const struct value *v, bool *is_negative, uint64_t *magnitude)
{
    int64_t integer;

    *is_negative = v->is_negative;
    if (v->is_plain && v->digits <= 19) {
        *magnitude = v->mantissa;
        return true;
    }
    if (v->is_plain && v->digits == 20 && !v->is_negative) {
        char text[21];

        memcpy(text, v->text, 20);
        text[20] = '\0';
        *magnitude = strtoull(text, NULL, 10);
        /* What saturates is not what the text says. */
        return *magnitude != UINT64_MAX ||
               memcmp(text, "18446744073709551615", 20) == 0;
    }
    if (!value_integer(v, &integer))
        return false;
    *is_negative = integer < 0;
    *magnitude = (uint64_t)(integer < 0 ? -integer : integer);
    return true;
}

static bool
fits(enum oip_datatype t, bool is_negative, uint64_t magnitude)
{
    unsigned bits = 8 * (unsigned)oip_datatype_bytes(t);

    if (t >= OIP_INT8)
        return magnitude <= (UINT64_C(1) << (bits - 1)) - !is_negative;
    return (!is_negative || magnitude == 0) &&
           magnitude <= UINT64_MAX >> (64 - bits);
}

static bool
put_number(struct request_reader *r, struct tensor_head *t,
           const struct value *v)
{
    enum oip_datatype datatype = t->head.datatype;
    uint64_t magnitude;
    bool is_negative;

    if (v->kind != VALUE_NUMBER)
        return refuse_value(r, t);
    if (is_float(datatype)) {
        double value = value_double(v);

        if (datatype == OIP_FP32)
            value = (double)(float)value;
        sink_put_float(&t->sink, value);
        return true;
    }
    if (!split_integer(v, &is_negative, &magnitude) ||
        !fits(datatype, is_negative, magnitude))
        return refuse_value(r, t);
    sink_put_integer(&t->sink, is_negative && magnitude > 0, magnitude);
    return true;
}

static bool
put_value(struct request_reader *r, struct tensor_head *t, struct value *v)
{
    if (t->sink.count == t->sink.capacity)
        return refuse_count(r, t, "more");
    if (v->kind == VALUE_NULL) {
        sink_put_missing(&t->sink);
        return true;
    }
    if (t->head.datatype == OIP_BYTES) {
        if (v->kind != VALUE_STRING)
            return refuse_value(r, t);
        scan_unescape(&r->scan, v);
        sink_put_text(&t->sink, v->text, v->len);
        return true;
    }
    if (t->head.datatype == OIP_BOOL) {
        if (v->kind != VALUE_TRUE && v->kind != VALUE_FALSE)
            return refuse_value(r, t);
        sink_put_boolean(&t->sink, v->kind == VALUE_TRUE);
        return true;
    }
    return put_number(r, t, v);
}

/* A row of its own, in nested data. */
static bool
read_row(struct request_reader *r, struct tensor_head *t)
{
    struct scan_level level;
    struct value v;

    if (t->head.rank < 2 || t->sink.at != 0)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED,
                         "input \"%s\": data is nested otherwise than its "
                         "shape",
                         t->name));
    if (!scan_open(&r->scan, &level))
        return false;
    while (scan_element(&r->scan, &level)) {
        if (!scan_value(&r->scan, &v) || !put_value(r, t, &v))
            return false;
    }
    if (scan_failed(&r->scan))
        return false;
    if (level.count != t->sink.width)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED,
                         "input \"%s\": a row of %zu values, expected %zu",
                         t->name, level.count, t->sink.width));
    return true;
}

bool
tensor_read_json(struct request_reader *r, struct tensor_head *t)
{
    struct scan_level level;
    struct value v;
    char count[24];

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind != VALUE_LIST)
        return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                           "input \"%s\": data: expected a "
                                           "list",
                                           t->name));
    if (!scan_open(&r->scan, &level))
        return false;
    while (scan_element(&r->scan, &level)) {
        if (!scan_value(&r->scan, &v))
            return false;
        if (v.kind == VALUE_LIST ? !read_row(r, t) : !put_value(r, t, &v))
            return false;
    }
    if (scan_failed(&r->scan))
        return false;
    if (t->sink.count == t->sink.capacity)
        return true;
    (void)snprintf(count, sizeof(count), "%zu", t->sink.count);
    return refuse_count(r, t, count);
}

/* ---- bytes ---- */

static bool
refuse_bytes(struct request_reader *r, const struct tensor_head *t,
             size_t expected)
{
    return request_refuse(
        r, error_set(r->err, STATUS_MALFORMED,
                     "input \"%s\": binary_data_size %zu, its shape and "
                     "datatype need %zu",
                     t->name, t->binary_bytes, expected));
}

static bool
read_texts(struct request_reader *r, struct tensor_head *t, const char *at,
           const char *end)
{
    for (size_t i = 0; i < t->sink.capacity; i++) {
        size_t left = (size_t)(end - at);
        size_t len = left >= OIP_LENGTH_BYTES ? oip_length_read(at) : 0;

        if (left < OIP_LENGTH_BYTES || left - OIP_LENGTH_BYTES < len)
            return request_refuse(
                r, error_set(r->err, STATUS_MALFORMED,
                             "input \"%s\": value %zu ends beyond "
                             "binary_data_size",
                             t->name, i));
        sink_put_text(&t->sink, at + OIP_LENGTH_BYTES, len);
        at += OIP_LENGTH_BYTES + len;
    }
    if (at != end)
        return refuse_bytes(r, t, t->binary_bytes - (size_t)(end - at));
    return true;
}

static void
read_integers(struct tensor_head *t, const char *at)
{
    enum oip_datatype datatype = t->head.datatype;
    size_t bytes = oip_datatype_bytes(datatype);

    for (size_t i = 0; i < t->sink.capacity; i++, at += bytes) {
        if (bytes < sizeof(uint64_t)) {
            int64_t value = (int64_t)oip_number_read(datatype, at);

            sink_put_integer(&t->sink, value < 0,
                             (uint64_t)(value < 0 ? -value : value));
        } else {
            uint64_t bits = (uint64_t)oip_int64_read(at);
            bool is_negative = datatype == OIP_INT64 && bits >> 63 != 0;

            sink_put_integer(&t->sink, is_negative,
                             is_negative ? 0 - bits : bits);
        }
    }
}

bool
tensor_read_binary(struct request_reader *r, struct tensor_head *t)
{
    enum oip_datatype datatype = t->head.datatype;
    size_t bytes = oip_datatype_bytes(datatype);
    const char *at = r->binary_at;

    if ((size_t)(r->body_end - at) < t->binary_bytes)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED,
                         "input \"%s\": binary_data_size %zu, only %zu bytes "
                         "follow",
                         t->name, t->binary_bytes, (size_t)(r->body_end - at)));
    r->binary_at = at + t->binary_bytes;
    if (datatype == OIP_BYTES)
        return read_texts(r, t, at, r->binary_at);
    if (t->binary_bytes != t->sink.capacity * bytes)
        return refuse_bytes(r, t, t->sink.capacity * bytes);
    if (is_integer(datatype)) {
        read_integers(t, at);
        return true;
    }
    for (size_t i = 0; i < t->sink.capacity; i++, at += bytes) {
        double value = oip_number_read(datatype, at);

        if (datatype == OIP_BOOL)
            sink_put_boolean(&t->sink, value != 0);
        else
            sink_put_float(&t->sink, value);
    }
    return true;
}
