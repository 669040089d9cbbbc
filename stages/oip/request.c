/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of requests.
 */
#include "stages/oip/request.h"

#include "daemon/base/json_writer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static void
put_number(struct json_writer *w, enum oip_datatype type, const char *at)
{
    if (type == OIP_INT64)
        json_put_int(w, oip_int64_read(at));
    else if (type == OIP_UINT64)
        json_put_uint(w, (uint64_t)oip_int64_read(at));
    else if (type == OIP_BOOL)
        json_put_bool(w, oip_number_read(type, at) != 0);
    else if (type == OIP_FP64)
        json_put_double(w, oip_number_read(type, at));
    else if (type == OIP_FP32 || type == OIP_FP16)
        json_put_float(w, (float)oip_number_read(type, at));
    else
        json_put_int(w, (int64_t)oip_number_read(type, at));
}

/* The values of a row. */
static void
put_cells(struct json_writer *w, const struct oip_request *q, size_t row,
          size_t input)
{
    const struct oip_input *in = &q->inputs[input];
    size_t bytes;
    const char *at = q->cells(q->ctx, row, input, &bytes);
    const char *end = at + bytes;
    size_t step = oip_datatype_bytes(in->datatype);

    while (at < end) {
        if (in->datatype == OIP_BYTES) {
            size_t len = oip_length_read(at);

            assert((size_t)(end - at) >= OIP_LENGTH_BYTES + len);
            json_put_text(w, at + OIP_LENGTH_BYTES, len);
            at += OIP_LENGTH_BYTES + len;
        } else {
            put_number(w, in->datatype, at);
            at += step;
        }
    }
}

/* The values of a row as a list; of rank 1, the value. */
static void
put_row(struct json_writer *w, const struct oip_request *q, size_t row,
        size_t input)
{
    bool is_list = q->inputs[input].width > 0;

    if (is_list)
        json_open_array(w);
    put_cells(w, q, row, input);
    if (is_list)
        json_close_array(w);
}

/* Name, shape and datatype of an input whose object is open. */
static void
put_head(struct json_writer *w, const struct oip_request *q, size_t input)
{
    const struct oip_input *in = &q->inputs[input];

    json_put_key(w, "name");
    json_put_string(w, in->name);
    json_put_key(w, "shape");
    json_open_array(w);
    json_put_uint(w, q->row_count);
    if (in->width > 0)
        json_put_uint(w, in->width);
    json_close_array(w);
    json_put_key(w, "datatype");
    json_put_string(w, oip_datatype_name(in->datatype));
}

/* "parameters": {key: true} */
static void
put_parameter(struct json_writer *w, const char *key)
{
    json_put_key(w, "parameters");
    json_open_object(w);
    json_put_key(w, key);
    json_put_bool(w, true);
    json_close_object(w);
}

static void
put_id(struct json_writer *w, const struct oip_request *q)
{
    if (q->id[0] == '\0')
        return;
    json_put_key(w, "id");
    json_put_string(w, q->id);
}

static void
put_outputs(struct json_writer *w, const struct oip_request *q, bool is_binary)
{
    if (q->output_count == 0) {
        if (is_binary)
            put_parameter(w, "binary_data_output");
        return;
    }
    json_put_key(w, "outputs");
    json_open_array(w);
    for (size_t i = 0; i < q->output_count; i++) {
        json_open_object(w);
        json_put_key(w, "name");
        json_put_string(w, q->outputs[i]);
        if (is_binary)
            put_parameter(w, "binary_data");
        json_close_object(w);
    }
    json_close_array(w);
}

static void
begin(struct json_writer *w, const struct oip_request *q, char *out,
      size_t capacity)
{
    assert(q != NULL && q->row_count > 0 && q->input_count > 0);
    json_writer_init(w, out, capacity, 0);
    json_open_object(w);
}

static size_t
end(struct json_writer *w)
{
    json_close_object(w);
    return w->is_full ? 0 : w->len;
}

size_t
oip_request_json(const struct oip_request *q, char *out, size_t capacity)
{
    struct json_writer w;

    begin(&w, q, out, capacity);
    put_id(&w, q);
    json_put_key(&w, "inputs");
    json_open_array(&w);
    for (size_t i = 0; i < q->input_count && !w.is_full; i++) {
        json_open_object(&w);
        put_head(&w, q, i);
        json_put_key(&w, "data");
        json_open_array(&w);
        for (size_t row = 0; row < q->row_count && !w.is_full; row++)
            put_cells(&w, q, row, i);
        json_close_array(&w);
        json_close_object(&w);
    }
    json_close_array(&w);
    put_outputs(&w, q, false);
    return end(&w);
}

static size_t
tensor_bytes(const struct oip_request *q, size_t input)
{
    size_t sum = 0;

    for (size_t row = 0; row < q->row_count; row++) {
        size_t bytes;

        (void)q->cells(q->ctx, row, input, &bytes);
        sum += bytes;
    }
    return sum;
}

size_t
oip_request_binary(const struct oip_request *q, char *out, size_t capacity,
                   size_t *head_bytes)
{
    struct json_writer w;
    size_t used;

    begin(&w, q, out, capacity);
    put_id(&w, q);
    json_put_key(&w, "inputs");
    json_open_array(&w);
    for (size_t i = 0; i < q->input_count; i++) {
        json_open_object(&w);
        put_head(&w, q, i);
        json_put_key(&w, "parameters");
        json_open_object(&w);
        json_put_key(&w, "binary_data_size");
        json_put_uint(&w, tensor_bytes(q, i));
        json_close_object(&w);
        json_close_object(&w);
    }
    json_close_array(&w);
    put_outputs(&w, q, true);
    used = end(&w);
    *head_bytes = used;
    for (size_t i = 0; i < q->input_count && used > 0; i++) {
        for (size_t row = 0; row < q->row_count; row++) {
            size_t bytes;
            const char *cells = q->cells(q->ctx, row, i, &bytes);

            if (bytes > capacity - used)
                return 0;
            memcpy(out + used, cells, bytes);
            used += bytes;
        }
    }
    return used;
}

static void
put_signature(struct json_writer *w, const struct oip_request *q)
{
    if (q->signature[0] == '\0')
        return;
    json_put_key(w, "signature_name");
    json_put_string(w, q->signature);
}

size_t
tfs_request_rows(const struct oip_request *q, char *out, size_t capacity)
{
    struct json_writer w;

    begin(&w, q, out, capacity);
    put_signature(&w, q);
    json_put_key(&w, "instances");
    json_open_array(&w);
    for (size_t row = 0; row < q->row_count && !w.is_full; row++) {
        json_open_object(&w);
        for (size_t i = 0; i < q->input_count; i++) {
            json_put_key(&w, q->inputs[i].name);
            put_row(&w, q, row, i);
        }
        json_close_object(&w);
    }
    json_close_array(&w);
    return end(&w);
}

size_t
tfs_request_columns(const struct oip_request *q, char *out, size_t capacity)
{
    struct json_writer w;

    begin(&w, q, out, capacity);
    put_signature(&w, q);
    json_put_key(&w, "inputs");
    json_open_object(&w);
    for (size_t i = 0; i < q->input_count && !w.is_full; i++) {
        json_put_key(&w, q->inputs[i].name);
        json_open_array(&w);
        for (size_t row = 0; row < q->row_count && !w.is_full; row++)
            put_row(&w, q, row, i);
        json_close_array(&w);
    }
    json_close_object(&w);
    return end(&w);
}
