/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking over a request. The members of a tensor come in any order: where
 * its data comes before its name, datatype or shape, its place is remembered
 * and it is read when the rest is known.
 */
#include "stages/serve/request.h"

#include "stages/event/scan.h"
#include "stages/serve/request_priv.h"

#include "daemon/base/object.h"

#include <stdlib.h>
#include <string.h>

#define READER_MAGIC 0x52454144u
#define PEEK_BYTES   1024

enum status
request_reader_new(struct request_reader **out, const struct request_spec *spec,
                   struct error *err)
{
    struct request_reader *r = calloc(1, sizeof(*r));
    enum status st;

    assert(spec->output_count <= REQUEST_OUTPUTS_MAX);
    if (r == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a reader");
    r->magic = READER_MAGIC;
    r->outputs = spec->outputs;
    r->output_count = spec->output_count;
    st = inputs_new(&r->inputs, spec->events, err);
    if (st == STATUS_OK)
        st = scan_init(&r->scan, spec->body_bytes_max + 1, REQUEST_DEPTH_MAX,
                       err);
    if (st != STATUS_OK)
        request_reader_free(&r);
    *out = r;
    return st;
}

void
request_reader_free(struct request_reader **self)
{
    struct request_reader *r;

    if (*self == NULL)
        return;
    OBJ_TAKE(r, self, READER_MAGIC);
    inputs_free(&r->inputs);
    scan_fini(&r->scan);
    r->magic = 0;
    free(r);
}

bool
request_refuse(struct request_reader *r, enum status st)
{
    r->st = st;
    return false;
}

/* The next value, which is a string; its escapes are resolved. */
static bool
get_string(struct request_reader *r, const char *what, struct value *v)
{
    if (!scan_value(&r->scan, v))
        return false;
    if (v->kind != VALUE_STRING)
        return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                           "%s: expected a string", what));
    scan_unescape(&r->scan, v);
    return true;
}

static bool
get_flag(struct request_reader *r, const char *what, enum flag *out)
{
    struct value v;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind != VALUE_TRUE && v.kind != VALUE_FALSE)
        return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                           "%s: expected true or false", what));
    *out = v.kind == VALUE_TRUE ? FLAG_ON : FLAG_OFF;
    return true;
}

/* ---- an input ---- */

static bool
get_name(struct request_reader *r, struct tensor_head *t)
{
    struct value v;

    if (!get_string(r, "input: name", &v))
        return false;
    /* Longer than any name: it will not be found. */
    t->head.name_len = v.len < sizeof(t->name) ? v.len : sizeof(t->name) - 1;
    memcpy(t->name, v.text, t->head.name_len);
    t->name[t->head.name_len] = '\0';
    t->head.name = t->name;
    return true;
}

static bool
get_datatype(struct request_reader *r, struct tensor_head *t)
{
    struct value v;

    if (!get_string(r, "input: datatype", &v))
        return false;
    t->has_datatype = oip_datatype_parse(&t->head.datatype, v.text, v.len);
    if (t->has_datatype)
        return true;
    return request_refuse(
        r, error_set(r->err, STATUS_MALFORMED,
                     "input: datatype \"%.*s\", expected BOOL, UINT8 to "
                     "UINT64, INT8 to INT64, FP16, FP32, FP64 or BYTES",
                     (int)(v.len < 32 ? v.len : 32), v.text));
}

static bool
get_shape(struct request_reader *r, struct tensor_head *t)
{
    static const char expected[] =
        "input: shape: expected a list of 1 or 2 sizes, rows first";
    struct scan_level level;
    struct value v;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind != VALUE_LIST)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED, "%s", expected));
    if (!scan_open(&r->scan, &level))
        return false;
    t->head.rank = 0;
    while (scan_element(&r->scan, &level)) {
        int64_t size;

        if (!scan_value(&r->scan, &v))
            return false;
        if (!value_integer(&v, &size) || size < 0 || size > UINT32_MAX ||
            t->head.rank == INPUT_RANK_MAX)
            return request_refuse(
                r, error_set(r->err, STATUS_MALFORMED, "%s", expected));
        t->head.shape[t->head.rank++] = (size_t)size;
    }
    if (!scan_failed(&r->scan) && t->head.rank == 0)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED, "%s", expected));
    return !scan_failed(&r->scan);
}

/* The parameters of an input or output, of which t or out may be NULL. */
static bool
get_parameters(struct request_reader *r, struct tensor_head *t,
               struct wanted_output *out)
{
    struct scan_level level;
    struct scan_memo *m;
    struct value v;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind == VALUE_NULL)
        return true;
    if (v.kind != VALUE_OBJECT)
        return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                           "parameters: expected an object"));
    if (!scan_open(&r->scan, &level))
        return false;
    while ((m = scan_member(&r->scan, &level)) != NULL) {
        int64_t size;

        if (key_is(&m->key, "shared_memory_region") ||
            key_is(&m->key, "classification"))
            return request_refuse(
                r, error_set(r->err, STATUS_MALFORMED,
                             "parameters: the extension for %.*s is not "
                             "served, see the server's metadata",
                             (int)m->key.len, m->key.text));
        if (t != NULL && key_is(&m->key, "binary_data_size")) {
            if (!scan_value(&r->scan, &v))
                return false;
            if (!value_integer(&v, &size) || size < 0)
                return request_refuse(
                    r, error_set(r->err, STATUS_MALFORMED,
                                 "binary_data_size: expected bytes"));
            t->is_binary = true;
            t->binary_bytes = (size_t)size;
        } else if (out != NULL && key_is(&m->key, "binary_data")) {
            if (!get_flag(r, "binary_data", &out->is_binary))
                return false;
        } else if (!scan_skip(&r->scan)) {
            return false;
        }
    }
    return !scan_failed(&r->scan);
}

static bool
get_data(struct request_reader *r, struct tensor_head *t)
{
    t->has_data = true;
    if (t->head.name == NULL || !t->has_datatype || t->head.rank == 0) {
        scan_space(&r->scan);
        t->data_at = r->scan.at;
        return scan_skip(&r->scan);
    }
    return tensor_open(r, t) && tensor_read_json(r, t);
}

/* What was not read on the way: data before its description, binary data. */
static bool
finish_tensor(struct request_reader *r, struct tensor_head *t)
{
    const char *at = r->scan.at;

    if (t->head.name == NULL || !t->has_datatype || t->head.rank == 0)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED,
                         "input \"%s\": expected a name, a datatype and a "
                         "shape",
                         t->name));
    if (t->has_data == t->is_binary)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED,
                         "input \"%s\": expected either data or the parameter "
                         "binary_data_size",
                         t->name));
    if (t->is_binary)
        return tensor_open(r, t) && tensor_read_binary(r, t);
    if (t->data_at == NULL)
        return true;
    if (!tensor_open(r, t))
        return false;
    r->scan.at = t->data_at;
    if (!tensor_read_json(r, t))
        return false;
    r->scan.at = at;
    return true;
}

/* The object that the scanner is at. */
static bool
get_input(struct request_reader *r)
{
    struct tensor_head t = {.name = ""};
    struct scan_level level;
    struct scan_memo *m;
    bool is_good = true;

    if (!scan_open(&r->scan, &level))
        return false;
    while (is_good && (m = scan_member(&r->scan, &level)) != NULL) {
        if (key_is(&m->key, "name"))
            is_good = get_name(r, &t);
        else if (key_is(&m->key, "datatype"))
            is_good = get_datatype(r, &t);
        else if (key_is(&m->key, "shape"))
            is_good = get_shape(r, &t);
        else if (key_is(&m->key, "parameters"))
            is_good = get_parameters(r, &t, NULL);
        else if (key_is(&m->key, "data"))
            is_good = get_data(r, &t);
        else
            is_good = scan_skip(&r->scan);
    }
    return is_good && !scan_failed(&r->scan) && finish_tensor(r, &t);
}

/* ---- an output ---- */

static bool
find_output(struct request_reader *r, const struct value *v,
            struct wanted_output *out)
{
    for (size_t i = 0; i < r->output_count; i++) {
        if (strlen(r->outputs[i]) == v->len &&
            memcmp(r->outputs[i], v->text, v->len) == 0) {
            out->index = i;
            return true;
        }
    }
    return request_refuse(
        r, error_set(r->err, STATUS_MALFORMED,
                     "unexpected inference output \"%.*s\": see the model's "
                     "metadata for those that there are",
                     (int)(v->len < 64 ? v->len : 64), v->text));
}

static bool
get_output(struct request_reader *r)
{
    struct wanted_output out = {.index = SIZE_MAX};
    struct scan_level level;
    struct scan_memo *m;
    struct value v;
    bool is_good = true;

    if (!scan_open(&r->scan, &level))
        return false;
    while (is_good && (m = scan_member(&r->scan, &level)) != NULL) {
        if (key_is(&m->key, "name"))
            is_good =
                get_string(r, "output: name", &v) && find_output(r, &v, &out);
        else if (key_is(&m->key, "parameters"))
            is_good = get_parameters(r, NULL, &out);
        else
            is_good = scan_skip(&r->scan);
    }
    if (!is_good || scan_failed(&r->scan))
        return false;
    if (out.index == SIZE_MAX)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED, "output: expected a name"));
    for (size_t i = 0; i < r->wanted_count; i++) {
        if (r->wanted[i].index == out.index)
            return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                               "output \"%s\" is asked for "
                                               "twice",
                                               r->outputs[out.index]));
    }
    r->wanted[r->wanted_count++] = out;
    return true;
}

/* ---- the request ---- */

static bool
get_list(struct request_reader *r, const char *what,
         bool (*get)(struct request_reader *r))
{
    struct scan_level level;
    struct value v;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind != VALUE_LIST)
        return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                           "%s: expected a list", what));
    if (!scan_open(&r->scan, &level))
        return false;
    while (scan_element(&r->scan, &level)) {
        if (!scan_value(&r->scan, &v))
            return false;
        if (v.kind != VALUE_OBJECT)
            return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                               "%s: expected objects", what));
        if (!get(r))
            return false;
    }
    return !scan_failed(&r->scan);
}

static bool
get_id(struct request_reader *r, struct request *out)
{
    struct value v;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind == VALUE_NULL)
        return true;
    if (v.kind != VALUE_STRING)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED, "id: expected a string"));
    out->id = v.text;
    out->id_len = v.len;
    return true;
}

static bool
get_request_parameters(struct request_reader *r)
{
    struct scan_level level;
    struct scan_memo *m;
    struct value v;
    bool is_good = true;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind == VALUE_NULL)
        return true;
    if (v.kind != VALUE_OBJECT)
        return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                           "parameters: expected an object"));
    if (!scan_open(&r->scan, &level))
        return false;
    while (is_good && (m = scan_member(&r->scan, &level)) != NULL)
        is_good = key_is(&m->key, "binary_data_output")
                      ? get_flag(r, "binary_data_output", &r->all_binary)
                      : scan_skip(&r->scan);
    return is_good && !scan_failed(&r->scan);
}

static bool
get_request(struct request_reader *r, struct request *out)
{
    struct scan_level level;
    struct scan_memo *m;
    struct value v;
    bool is_good = true;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind != VALUE_OBJECT)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED, "expected a JSON object"));
    if (!scan_open(&r->scan, &level))
        return false;
    while (is_good && (m = scan_member(&r->scan, &level)) != NULL) {
        if (key_is(&m->key, "inputs"))
            is_good = get_list(r, "inputs", get_input);
        else if (key_is(&m->key, "outputs"))
            is_good = get_list(r, "outputs", get_output);
        else if (key_is(&m->key, "parameters"))
            is_good = get_request_parameters(r);
        else if (key_is(&m->key, "id"))
            is_good = get_id(r, out);
        else
            is_good = scan_skip(&r->scan);
    }
    if (!is_good || scan_failed(&r->scan))
        return false;
    scan_space(&r->scan);
    if (r->scan.at != r->scan.end)
        return scan_fail(&r->scan, r->scan.at,
                         "expected the end of the JSON text");
    return true;
}

/* What the whole request has to be, once it is read. */
static bool
check_whole(struct request_reader *r)
{
    size_t left = (size_t)(r->body_end - r->binary_at);

    if (r->rows == 0)
        return request_refuse(
            r, error_set(r->err, STATUS_MALFORMED,
                         "inputs: expected at least one, its shape says how "
                         "many rows there are"));
    if (left > 0)
        return request_refuse(r, error_set(r->err, STATUS_MALFORMED,
                                           "%zu bytes behind the JSON that no "
                                           "input's binary_data_size tells of",
                                           left));
    return true;
}

static void
list_outputs(const struct request_reader *r, struct request *out)
{
    bool takes_all = r->wanted_count == 0;

    out->output_count = takes_all ? r->output_count : r->wanted_count;
    for (size_t i = 0; i < out->output_count; i++) {
        enum flag own = takes_all ? FLAG_UNSET : r->wanted[i].is_binary;

        out->outputs[i] = (struct request_output){
            .index = takes_all ? i : r->wanted[i].index,
            .is_binary = (own != FLAG_UNSET ? own : r->all_binary) == FLAG_ON,
        };
    }
}

enum status
request_read(struct request_reader *r, const char *body, size_t len,
             size_t json_len, struct columns *c, struct request *out,
             struct error *err)
{
    OBJ_CHECK(r, READER_MAGIC);
    assert(json_len <= len && c->row_max > 0);
    out->id = NULL; /* what is asked for is listed in the end, if at all */
    out->id_len = 0;
    out->row_first = c->row_count;
    out->row_count = 0;
    out->output_count = 0;
    r->st = STATUS_OK;
    if (body == NULL)
        body = ""; /* of no bytes */
    r->err = err;
    r->columns = c;
    r->rows = 0;
    r->wanted_count = 0;
    r->all_binary = FLAG_UNSET;
    r->binary_at = body + json_len;
    r->body_end = body + len;
    scan_begin(&r->scan, body, json_len);
    if (!get_request(r, out) || !check_whole(r))
        return r->st != STATUS_OK ? r->st : scan_error(&r->scan, err);
    list_outputs(r, out);
    out->row_count = r->rows;
    inputs_end(r->inputs);
    return STATUS_OK;
}

size_t
request_peek_rows(const char *body, size_t len)
{
    static const char key[] = "\"shape\"";
    const char *at;
    const char *end;
    size_t rows = 0;

    if (len == 0)
        return 1; /* body may be NULL */
    at =
        memmem(body, len < PEEK_BYTES ? len : PEEK_BYTES, key, sizeof(key) - 1);
    end = body + len;
    if (at == NULL)
        return 1;
    at += sizeof(key) - 1;
    while (at < end && (*at == ' ' || *at == ':' || *at == '['))
        at++;
    for (; at < end && *at >= '0' && *at <= '9' && rows < UINT32_MAX; at++)
        rows = rows * 10 + (size_t)(*at - '0');
    return rows > 0 ? rows : 1;
}
