/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing answers. Room for the longest form of all values is made once, so
 * that values are written without looking.
 */
#include "stages/serve/response.h"

#include "stages/oip/datatype.h"

#include "daemon/base/digits.h"
#include "daemon/base/json_writer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define VALUE_BYTES  (DIGITS_MAX + 1) /* in JSON, with its comma */
#define OUTPUT_BYTES 256              /* around the values */
#define LOGIT_LIMIT  88.0             /* beyond, a probability is 0 or 1 */
#define FLOAT_BYTES  4

static float
sigmoid(float logit)
{
    return (float)(1.0 / (1.0 + exp(-fmin(fmax((double)logit, -LOGIT_LIMIT),
                                          LOGIT_LIMIT))));
}

/* The natural logarithm of the sum of exponentials. */
static double
log_sum(const float *logits, size_t width)
{
    double top = (double)logits[0];
    double sum;

    for (size_t i = 1; i < width; i++)
        top = fmax(top, (double)logits[i]);
    sum = exp((double)logits[0] - top);
    for (size_t i = 1; i < width; i++)
        sum += exp((double)logits[i] - top);
    return top + log(sum);
}

/* Calls put for every value of an output, row by row; false: one is not
 * finite. */
static bool
each_value(const struct version *v, const struct version_output *o,
           const struct request *request, char **at,
           char *(*put)(char *at, float value))
{
    const float *logits =
        v->logits + request->row_first * v->logit_count + o->at;
    bool is_finite = true;

    for (size_t row = 0; row < request->row_count; row++) {
        double total = 0;

        if (o->kind == OUTPUT_PROBABILITY && o->task == TASK_CLASS)
            total = log_sum(logits, o->width);
        for (size_t i = 0; i < o->width; i++) {
            float value = logits[i];

            if (o->kind == OUTPUT_PROBABILITY)
                value = o->task == TASK_CLASS
                            ? (float)exp((double)logits[i] - total)
                            : sigmoid(value);
            is_finite = is_finite && isfinite(logits[i]) && isfinite(value);
            *at = put(*at, isfinite(value) ? value : 0.0f);
        }
        logits += v->logit_count;
    }
    return is_finite;
}

static char *
put_digits(char *at, float value)
{
    at += digits_float(at, value);
    *at++ = ',';
    return at;
}

static char *
put_bytes(char *at, float value)
{
    oip_number_write(OIP_FP32, at, (double)value);
    return at + FLOAT_BYTES;
}

/* The members of an output but for its values. */
static void
put_head(struct json_writer *w, const struct version_output *o, size_t rows)
{
    json_put_key(w, "name");
    json_put_string(w, o->name);
    json_put_key(w, "datatype");
    json_put_string(w, oip_datatype_name(OIP_FP32));
    json_put_key(w, "shape");
    json_open_array(w);
    json_put_uint(w, rows);
    json_put_uint(w, o->width);
    json_close_array(w);
}

static bool
put_output(struct json_writer *w, const struct version *v,
           const struct request *request, const struct request_output *wanted)
{
    const struct version_output *o = &v->outputs[wanted->index];
    bool is_finite = true;
    char *end;

    json_open_object(w);
    put_head(w, o, request->row_count);
    if (wanted->is_binary) {
        json_put_key(w, "parameters");
        json_open_object(w);
        json_put_key(w, "binary_data_size");
        json_put_uint(w, request->row_count * o->width * FLOAT_BYTES);
        json_close_object(w);
    } else {
        json_put_key(w, "data");
        json_put_raw(w, "[", 1);
        end = w->buf + w->len;
        is_finite = each_value(v, o, request, &end, put_digits);
        end[-1] = ']'; /* in place of the last comma: there is a row */
        w->len = (size_t)(end - w->buf);
    }
    json_close_object(w);
    return is_finite;
}

static size_t
longest(const char *model, const struct version *v,
        const struct request *request)
{
    size_t bytes = 512 + 6 * strlen(model) + request->id_len;

    for (size_t i = 0; i < request->output_count; i++) {
        const struct version_output *o = &v->outputs[request->outputs[i].index];

        bytes += OUTPUT_BYTES + 6 * strlen(o->name) +
                 request->row_count * o->width * VALUE_BYTES;
    }
    return bytes;
}

enum status
response_write(struct bytes *out, size_t *json_len, const char *model,
               const struct version *v, const struct request *request,
               struct error *err)
{
    bool is_finite = true;
    struct json_writer w;
    enum status st = bytes_reserve(out, longest(model, v, request), err);
    char *at;

    if (st != STATUS_OK)
        return st;
    json_writer_init(&w, out->data + out->used, out->capacity - out->used, 0);
    json_open_object(&w);
    json_put_key(&w, "model_name");
    json_put_string(&w, model);
    json_put_key(&w, "model_version");
    json_put_string(&w, v->number_text);
    if (request->id != NULL) {
        json_put_key(&w, "id");
        /* With its quotes: as it came, it is JSON already. */
        json_put_raw(&w, request->id - 1, request->id_len + 2);
    }
    json_put_key(&w, "outputs");
    json_open_array(&w);
    for (size_t i = 0; i < request->output_count; i++)
        is_finite =
            put_output(&w, v, request, &request->outputs[i]) && is_finite;
    json_close_array(&w);
    json_close_object(&w);
    assert(!w.is_full);
    *json_len = w.len;
    at = w.buf + w.len;
    for (size_t i = 0; i < request->output_count; i++) {
        if (request->outputs[i].is_binary)
            is_finite = each_value(v, &v->outputs[request->outputs[i].index],
                                   request, &at, put_bytes) &&
                        is_finite;
    }
    out->used = (size_t)(at - out->data);
    assert(out->used <= out->capacity);
    if (!is_finite)
        return error_set(err, STATUS_INTERNAL,
                         "the model's answer is not finite");
    return STATUS_OK;
}

enum status
response_write_error(struct bytes *out, const char *text, struct error *err)
{
    enum status st = bytes_reserve(out, 6 * strlen(text) + 16, err);
    struct json_writer w;

    if (st != STATUS_OK)
        return st;
    json_writer_init(&w, out->data + out->used, out->capacity - out->used, 0);
    json_open_object(&w);
    json_put_key(&w, "error");
    json_put_string(&w, text);
    json_close_object(&w);
    assert(!w.is_full);
    out->used += w.len;
    return STATUS_OK;
}
