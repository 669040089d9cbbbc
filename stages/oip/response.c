/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of an infer call: a head of JSON, and binary tensors behind it.
 */
#include "stages/oip/response_priv.h"

#include "daemon/base/json.h"
#include "daemon/base/text.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 255
#define RANK_MAX       8

/* An output's object, as far as it was read. */
struct tensor {
    char name[NAME_MAX_BYTES + 1];
    bool has_type;
    enum oip_datatype type;
    size_t rank;
    uint64_t shape[RANK_MAX];
    const char *data; /* where its list begins, or NULL */
    bool is_binary;
    uint64_t binary_bytes;
};

/* ---- Parts ---- */

bool
reader_text(struct oip_reader *r, struct value *v, char *out, size_t max)
{
    if (v->kind != VALUE_STRING)
        return scan_fail(&r->scan, r->scan.at, "expected a text");
    if (v->is_escaped)
        scan_unescape(&r->scan, v);
    if (v->len > max)
        return scan_fail(&r->scan, r->scan.at, "text is too long");
    memcpy(out, v->text, v->len);
    out[v->len] = '\0';
    return true;
}

bool
reader_numbers(struct oip_reader *r, float *values, size_t max, size_t *count)
{
    struct scan *s = &r->scan;
    struct scan_level level;
    struct value v;

    if (!scan_value(s, &v))
        return false;
    if (v.kind == VALUE_NUMBER || v.kind == VALUE_NULL) {
        if (*count == max)
            return scan_fail(s, s->at, "more values than there is room for");
        values[(*count)++] =
            v.kind == VALUE_NULL ? NAN : (float)value_double(&v);
        return true;
    }
    if (v.kind != VALUE_LIST)
        return scan_fail(s, s->at, "expected numbers");
    if (!scan_open(s, &level))
        return false;
    while (scan_element(s, &level)) {
        if (!reader_numbers(r, values, max, count))
            return false;
    }
    return !scan_failed(s);
}

static bool
read_count(struct scan *s, uint64_t *out)
{
    struct value v;
    int64_t count;

    if (!scan_value(s, &v))
        return false;
    if (v.kind != VALUE_NUMBER || !value_integer(&v, &count) || count < 0)
        return scan_fail(s, s->at, "expected a whole number");
    *out = (uint64_t)count;
    return true;
}

static bool
read_shape(struct scan *s, struct tensor *t)
{
    struct scan_level level;
    struct value v;

    if (!scan_value(s, &v))
        return false;
    if (v.kind != VALUE_LIST)
        return scan_fail(s, s->at, "expected a shape");
    if (!scan_open(s, &level))
        return false;
    while (scan_element(s, &level)) {
        if (t->rank == RANK_MAX)
            return scan_fail(s, s->at, "shape has too many dimensions");
        if (!read_count(s, &t->shape[t->rank++]))
            return false;
    }
    return !scan_failed(s);
}

static bool
read_parameters(struct scan *s, struct tensor *t)
{
    struct scan_level level;
    struct scan_memo *m;
    struct value v;

    if (!scan_value(s, &v))
        return false;
    if (v.kind == VALUE_NULL)
        return true;
    if (v.kind != VALUE_OBJECT)
        return scan_fail(s, s->at, "expected parameters");
    if (!scan_open(s, &level))
        return false;
    while ((m = scan_member(s, &level)) != NULL) {
        bool is_size = key_is(&m->key, "binary_data_size");

        t->is_binary = t->is_binary || is_size;
        if (!(is_size ? read_count(s, &t->binary_bytes) : scan_skip(s)))
            return false;
    }
    return !scan_failed(s);
}

static bool
read_datatype(struct oip_reader *r, struct tensor *t)
{
    char text[16];
    struct value v;

    if (!scan_value(&r->scan, &v) ||
        !reader_text(r, &v, text, sizeof(text) - 1))
        return false;
    t->has_type = oip_datatype_parse(&t->type, text, strlen(text));
    return true; /* one that is not known matters only where it is wanted */
}

static bool
read_member(struct oip_reader *r, struct tensor *t, const struct key *key)
{
    struct scan *s = &r->scan;
    struct value v;

    if (key_is(key, "name"))
        return scan_value(s, &v) && reader_text(r, &v, t->name, NAME_MAX_BYTES);
    if (key_is(key, "datatype"))
        return read_datatype(r, t);
    if (key_is(key, "shape"))
        return read_shape(s, t);
    if (key_is(key, "parameters"))
        return read_parameters(s, t);
    if (key_is(key, "data")) {
        scan_space(s);
        t->data = s->at;
    }
    return scan_skip(s);
}

/* ---- Outputs ---- */

/* The output that wants this tensor, or NULL. */
static struct oip_output *
find_output(struct oip_response *response, const char *name)
{
    for (size_t i = 0; i < response->output_count; i++) {
        struct oip_output *o = &response->outputs[i];

        if (o->name[0] == '\0' || strcmp(o->name, name) == 0)
            return o;
    }
    return NULL;
}

/* Whether the tensor is what was asked for; *values is how many it has. */
static const char *
check_tensor(const struct tensor *t, const struct oip_response *response,
             const struct oip_output *o, size_t *values)
{
    uint64_t product = 1;

    if (o->width > 0)
        return "an output comes twice, or there are several and none is named";
    if (!t->has_type || !oip_datatype_is_number(t->type))
        return "an output is of a datatype that is no number";
    if (t->rank == 0 || t->shape[0] != response->row_count)
        return "an output's shape does not begin with the rows of the request";
    for (size_t i = 0; i < t->rank; i++) {
        if (t->shape[i] == 0 || t->shape[i] > o->max)
            return "an output has no values, or more than there is room for";
        product *= t->shape[i]; /* at most max times max */
        if (product > o->max)
            return "an output has more values than there is room for";
    }
    *values = (size_t)product;
    return NULL;
}

/* Copies a binary tensor, of which its size was checked against the body. */
static const char *
copy_binary(const struct tensor *t, const char *at, float *values, size_t count)
{
    size_t step = oip_datatype_bytes(t->type);

    if (t->binary_bytes != (uint64_t)count * step)
        return "a binary output is not as long as its shape says";
    for (size_t i = 0; i < count; i++)
        values[i] = (float)oip_number_read(t->type, at + i * step);
    return NULL;
}

static bool
take_tensor(struct oip_reader *r, struct oip_response *response,
            const struct tensor *t, const char *binary)
{
    struct oip_output *o = find_output(response, t->name);
    const char *behind = r->scan.at;
    const char *problem;
    size_t wanted = 0;
    size_t count = 0;

    if (o == NULL)
        return true;
    problem = check_tensor(t, response, o, &wanted);
    if (problem == NULL && t->is_binary == (t->data != NULL))
        problem = "an output has neither data nor a binary size, or both";
    if (problem == NULL && t->is_binary)
        problem = copy_binary(t, binary, o->values, wanted);
    if (problem != NULL)
        return scan_fail(&r->scan, r->scan.at, problem);
    o->width = wanted / response->row_count;
    if (t->is_binary)
        return true;
    r->scan.at = t->data;
    if (!reader_numbers(r, o->values, wanted, &count))
        return false;
    if (count != wanted)
        return scan_fail(&r->scan, r->scan.at,
                         "an output has fewer values than its shape says");
    r->scan.at = behind;
    return true;
}

static bool
read_tensor(struct oip_reader *r, struct oip_response *response)
{
    struct tensor t = {.data = NULL};
    const char *binary = r->binary;
    struct scan_level level;
    struct scan_memo *m;
    struct value v;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind != VALUE_OBJECT)
        return scan_fail(&r->scan, r->scan.at, "expected an output");
    if (!scan_open(&r->scan, &level))
        return false;
    while ((m = scan_member(&r->scan, &level)) != NULL) {
        if (!read_member(r, &t, &m->key))
            return false;
    }
    if (scan_failed(&r->scan))
        return false;
    if (t.is_binary) {
        if (t.binary_bytes > (uint64_t)(r->end - r->binary))
            return scan_fail(&r->scan, r->scan.at,
                             "a binary output ends behind the body");
        r->binary += t.binary_bytes;
    }
    return take_tensor(r, response, &t, binary);
}

static bool
read_outputs(struct oip_reader *r, struct oip_response *response)
{
    struct scan_level level;
    struct value v;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind != VALUE_LIST)
        return scan_fail(&r->scan, r->scan.at, "expected a list of outputs");
    if (!scan_open(&r->scan, &level))
        return false;
    while (scan_element(&r->scan, &level)) {
        if (!read_tensor(r, response))
            return false;
    }
    return !scan_failed(&r->scan);
}

/* ---- The head ---- */

/* A text that must be this one, where it is given. */
static bool
read_echo(struct oip_reader *r, const char *want, const char *problem)
{
    struct value v;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind == VALUE_NULL)
        return true;
    if (v.kind != VALUE_STRING)
        return scan_fail(&r->scan, r->scan.at, "expected a text");
    if (v.is_escaped)
        scan_unescape(&r->scan, &v);
    if (want[0] == '\0' || v.len == 0 ||
        (strlen(want) == v.len && memcmp(want, v.text, v.len) == 0))
        return true;
    return scan_fail(&r->scan, r->scan.at, problem);
}

static bool
read_version(struct oip_reader *r, struct oip_response *response)
{
    char scratch[VALUE_TEXT_MAX];
    struct value v;
    const char *text;
    size_t len;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind == VALUE_NULL)
        return true;
    if (v.kind == VALUE_STRING)
        return reader_text(r, &v, response->version, OIP_VERSION_MAX);
    text = value_text(&v, scratch, &len);
    if (text == NULL)
        return scan_fail(&r->scan, r->scan.at, "expected a version");
    memcpy(response->version, text, len);
    response->version[len] = '\0';
    return true;
}

static bool
read_head(struct oip_reader *r, struct oip_response *response)
{
    struct scan *s = &r->scan;
    struct scan_level level;
    struct scan_memo *m;
    bool is_fine = true;

    if (!reader_open(r, &level))
        return false;
    while (is_fine && (m = scan_member(s, &level)) != NULL) {
        if (key_is(&m->key, "id"))
            is_fine = read_echo(r, response->id, "answers another request");
        else if (key_is(&m->key, "model_name"))
            is_fine = read_echo(r, response->model, "another model answers");
        else if (key_is(&m->key, "model_version"))
            is_fine = read_version(r, response);
        else if (key_is(&m->key, "outputs"))
            is_fine = read_outputs(r, response);
        else
            is_fine = scan_skip(s);
    }
    return is_fine && reader_close(r);
}

/* ---- The reader ---- */

bool
reader_open(struct oip_reader *r, struct scan_level *level)
{
    struct value v;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind != VALUE_OBJECT) {
        (void)scan_fail(&r->scan, r->scan.at, "expected an object");
        return false;
    }
    return scan_open(&r->scan, level);
}

bool
reader_close(struct oip_reader *r)
{
    if (scan_failed(&r->scan))
        return false;
    scan_space(&r->scan);
    return r->scan.at == r->scan.end ||
           scan_fail(&r->scan, r->scan.at, "more after its end");
}

void
reader_begin(struct oip_reader *r, struct oip_response *response,
             const char *body, size_t json_bytes, size_t len)
{
    OBJ_CHECK(r, OIP_READER_MAGIC);
    assert(response->row_count > 0 && response->output_count > 0);
    response->version[0] = '\0';
    for (size_t i = 0; i < response->output_count; i++) {
        response->outputs[i].width = 0;
        assert(response->outputs[i].name[0] != '\0' ||
               response->output_count == 1);
    }
    scan_begin(&r->scan, body, json_bytes);
    r->binary = body + json_bytes;
    r->end = body + len;
}

enum status
reader_finish(struct oip_reader *r, const struct oip_response *response,
              bool is_fine, struct error *err)
{
    if (!is_fine) {
        if (scan_error(&r->scan, err) != STATUS_OK)
            return err->status;
    }
    for (size_t i = 0; i < response->output_count; i++) {
        const struct oip_output *o = &response->outputs[i];

        if (o->width == 0)
            return error_set(err, STATUS_MALFORMED,
                             o->name[0] == '\0' ? "there is no output%s"
                                                : "there is no output '%.100s'",
                             o->name);
    }
    return STATUS_OK;
}

enum status
oip_reader_new(struct oip_reader **out, size_t bytes_max, struct error *err)
{
    struct oip_reader *r = calloc(1, sizeof(*r));
    enum status st;

    if (r == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a reader");
    r->magic = OIP_READER_MAGIC;
    r->bytes_max = bytes_max;
    st = scan_init(&r->scan, bytes_max, OIP_DEPTH_MAX, err);
    if (st != STATUS_OK)
        oip_reader_free(&r);
    *out = r;
    return st;
}

void
oip_reader_free(struct oip_reader **self)
{
    if (*self == NULL)
        return;
    OBJ_CHECK(*self, OIP_READER_MAGIC);
    scan_fini(&(*self)->scan);
    (*self)->magic = 0;
    free(*self);
    *self = NULL;
}

enum status
oip_response_read(struct oip_reader *r, struct oip_response *response,
                  const char *body, size_t len, size_t head_bytes,
                  struct error *err)
{
    bool is_fine;
    enum status st;

    OBJ_CHECK(r, OIP_READER_MAGIC);
    if (len > r->bytes_max)
        return error_set(err, STATUS_TOOBIG, "longer than %zu bytes",
                         r->bytes_max);
    if (head_bytes != SIZE_MAX && head_bytes > len)
        return error_set(err, STATUS_MALFORMED,
                         "its head is said to have %zu bytes of %zu",
                         head_bytes, len);
    reader_begin(r, response, body, head_bytes == SIZE_MAX ? len : head_bytes,
                 len);
    is_fine = read_head(r, response);
    st = reader_finish(r, response, is_fine, err);
    if (st == STATUS_OK && r->binary != r->end)
        return error_set(err, STATUS_MALFORMED, "%zu bytes behind its outputs",
                         (size_t)(r->end - r->binary));
    return st;
}

/* ---- Errors ---- */

/* Copies what a person can read. */
static void
copy_text(const char *text, size_t len, char *out, size_t capacity)
{
    size_t used = 0;

    for (size_t i = 0; i < len && used + 5 < capacity;) {
        size_t step = text_utf8_step(text + i, len - i);

        if (step == 0 || (unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            out[used++] = step == 0 ? '?' : ' ';
            i++;
            continue;
        }
        memcpy(out + used, text + i, step);
        used += step;
        i += step;
    }
    out[used] = '\0';
}

void
oip_error_text(const char *body, size_t len, char *out, size_t capacity)
{
    static const struct json_limits limits = {.bytes_max = 65536,
                                              .depth_max = OIP_DEPTH_MAX};
    struct cJSON *root = NULL;
    struct error ignored;
    const char *text = NULL;

    assert(out != NULL && capacity > 8);
    if (json_parse(&root, body, len, &limits, NULL, &ignored) == STATUS_OK) {
        text = json_string(json_member(root, "error"));
        if (text == NULL)
            text = json_string(json_member(root, "detail"));
        if (text == NULL)
            text = json_string(json_find(root, "detail[0].msg"));
    }
    if (text != NULL)
        copy_text(text, strlen(text), out, capacity);
    else
        copy_text(body, len, out, capacity);
    json_free(&root);
}
