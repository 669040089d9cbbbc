/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of TF Serving's :predict.
 *
 *   {"predictions": [0.1, 0.2]}             a value or list a row
 *   {"predictions": [{"a": 0.1}, ...]}      an object a row, with each output
 *   {"outputs": [[0.1], [0.2]]}             the only output, a list a row
 *   {"outputs": {"a": [0.1, 0.2], ...}}     each output
 */
#include "stages/oip/response_priv.h"

#include <string.h>

/* Adds the values of one more row to an output. */
static bool
read_row(struct oip_reader *r, struct oip_output *o, size_t row)
{
    size_t before = row * o->width;
    size_t count = before;

    if (!reader_numbers(r, o->values, o->max, &count))
        return false;
    if (row == 0)
        o->width = count;
    if (o->width == 0 || count - before != o->width)
        return scan_fail(&r->scan, r->scan.at,
                         "rows of an output have different widths, or none");
    return true;
}

static struct oip_output *
find_output(struct oip_response *response, const struct key *key)
{
    for (size_t i = 0; i < response->output_count; i++) {
        struct oip_output *o = &response->outputs[i];

        if (o->name[0] == '\0' || key_is(key, o->name))
            return o;
    }
    return NULL;
}

static struct oip_output *
only_output(struct oip_reader *r, struct oip_response *response)
{
    if (response->output_count == 1)
        return &response->outputs[0];
    (void)scan_fail(&r->scan, r->scan.at, "expected outputs with their names");
    return NULL;
}

/* An object with each output of a row. */
static bool
read_named_row(struct oip_reader *r, struct oip_response *response, size_t row)
{
    struct scan_level level;
    struct scan_memo *m;
    size_t found = 0;

    if (!scan_open(&r->scan, &level))
        return false;
    while ((m = scan_member(&r->scan, &level)) != NULL) {
        struct oip_output *o = find_output(response, &m->key);

        if (o != NULL && o->name[0] == '\0' && found > 0)
            return scan_fail(&r->scan, r->scan.at, "expected a single output");
        found += o != NULL;
        if (!(o != NULL ? read_row(r, o, row) : scan_skip(&r->scan)))
            return false;
    }
    if (scan_failed(&r->scan))
        return false;
    return found == response->output_count ||
           scan_fail(&r->scan, r->scan.at, "a row lacks an output");
}

static bool
read_prediction(struct oip_reader *r, struct oip_response *response, size_t row)
{
    struct oip_output *o;
    struct value v;
    const char *start;

    scan_space(&r->scan);
    start = r->scan.at;
    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind == VALUE_OBJECT)
        return read_named_row(r, response, row);
    r->scan.at = start;
    o = only_output(r, response);
    return o != NULL && read_row(r, o, row);
}

/* A list with an element a row: of one output, or NULL: of all. */
static bool
read_rows(struct oip_reader *r, struct oip_response *response,
          struct oip_output *o)
{
    struct scan_level level;
    struct value v;
    size_t row = 0;

    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind != VALUE_LIST)
        return scan_fail(&r->scan, r->scan.at, "expected a list of rows");
    if (!scan_open(&r->scan, &level))
        return false;
    while (scan_element(&r->scan, &level)) {
        if (row == response->row_count)
            break;
        if (!(o != NULL ? read_row(r, o, row)
                        : read_prediction(r, response, row)))
            return false;
        row++;
    }
    if (scan_failed(&r->scan))
        return false;
    if (row != response->row_count || level.count != row)
        return scan_fail(&r->scan, r->scan.at,
                         "not as many rows as the request has");
    return true;
}

static bool
read_named_columns(struct oip_reader *r, struct oip_response *response)
{
    struct scan_level level;
    struct scan_memo *m;

    if (!scan_open(&r->scan, &level))
        return false;
    while ((m = scan_member(&r->scan, &level)) != NULL) {
        struct oip_output *o = find_output(response, &m->key);

        if (o != NULL && o->width > 0)
            return scan_fail(&r->scan, r->scan.at, "expected a single output");
        if (!(o != NULL ? read_rows(r, response, o) : scan_skip(&r->scan)))
            return false;
    }
    return !scan_failed(&r->scan);
}

static bool
read_columns(struct oip_reader *r, struct oip_response *response)
{
    struct oip_output *o;
    struct value v;
    const char *start;

    scan_space(&r->scan);
    start = r->scan.at;
    if (!scan_value(&r->scan, &v))
        return false;
    if (v.kind == VALUE_OBJECT)
        return read_named_columns(r, response);
    r->scan.at = start;
    o = only_output(r, response);
    return o != NULL && read_rows(r, response, o);
}

static bool
read_body(struct oip_reader *r, struct oip_response *response)
{
    struct scan_level level;
    struct scan_memo *m;
    size_t found = 0;
    bool is_fine = true;

    if (!reader_open(r, &level))
        return false;
    while (is_fine && (m = scan_member(&r->scan, &level)) != NULL) {
        bool is_rows = key_is(&m->key, "predictions");
        bool is_columns = key_is(&m->key, "outputs");

        found += is_rows || is_columns;
        if (found > 1)
            return scan_fail(&r->scan, r->scan.at, "both forms at once");
        if (is_rows)
            is_fine = read_rows(r, response, NULL);
        else if (is_columns)
            is_fine = read_columns(r, response);
        else
            is_fine = scan_skip(&r->scan);
    }
    return is_fine && reader_close(r);
}

enum status
tfs_response_read(struct oip_reader *r, struct oip_response *response,
                  const char *body, size_t len, bool *is_not_finite,
                  struct error *err)
{
    bool is_fine;

    OBJ_CHECK(r, OIP_READER_MAGIC);
    *is_not_finite = false;
    if (len > r->bytes_max)
        return error_set(err, STATUS_TOOBIG, "longer than %zu bytes",
                         r->bytes_max);
    reader_begin(r, response, body, len, len);
    is_fine = read_body(r, response);
    if (!is_fine && r->scan.at < r->scan.end) {
        const char *at = r->scan.at;
        size_t left = (size_t)(r->scan.end - at);

        at += *at == '-' && left > 1;
        *is_not_finite = *at == 'N' || *at == 'I';
    }
    return reader_finish(r, response, is_fine, err);
}
