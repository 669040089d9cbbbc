/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OIP_REQUEST_H
#define OIP_REQUEST_H

#include "stages/oip/datatype.h"

/*
 * Requests to a model server, written into a caller's buffer: Open Inference
 * Protocol with JSON or with binary tensors, and TF Serving's two forms. Where
 * a row's values lie, the caller says: packed as the binary form has them.
 */

/* One tensor of a request. */
struct oip_input {
    const char *name;
    enum oip_datatype datatype;
    size_t width; /* values a row; 0: one, in a tensor of rank 1 */
};

struct oip_request {
    const char *id; /* "": none; TF Serving has none */
    const struct oip_input *inputs;
    size_t input_count;
    const char *const *outputs; /* that are wanted; none: all there are */
    size_t output_count;
    const char *signature; /* of TF Serving; "": the server's default */
    size_t row_count;

    /* Lends the packed elements of a row for one input, as many as its width
     * says, of *bytes bytes. Text is UTF-8. */
    const char *(*cells)(const void *ctx, size_t row, size_t input,
                         size_t *bytes);
    const void *ctx;
};

/*
 * They write the body of a request to out, which has room for capacity bytes,
 * and give its length; 0: it does not fit. The binary form puts the length of
 * its head, all of it JSON, into *head_bytes: what the header
 * Inference-Header-Content-Length says. Thread: any. Allocate: nothing.
 */
size_t oip_request_json(const struct oip_request *q, char *out,
                        size_t capacity);
size_t oip_request_binary(const struct oip_request *q, char *out,
                          size_t capacity, size_t *head_bytes);

/* TF Serving's :predict, with one object a row, or one list an input. */
size_t tfs_request_rows(const struct oip_request *q, char *out,
                        size_t capacity);
size_t tfs_request_columns(const struct oip_request *q, char *out,
                           size_t capacity);

#endif
