/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OIP_RESPONSE_H
#define OIP_RESPONSE_H

#include "stages/oip/datatype.h"

#include "daemon/base/error.h"

/*
 * What a model server answered, read strictly: whatever is not exactly an
 * answer to the request is MALFORMED, with the reason, and none of it counts.
 * One walk over the bytes; no tree is built.
 */

#define OIP_VERSION_MAX 255 /* bytes of a model_version */

/* The answer's values for one output. */
struct oip_output {
    const char *name; /* "": the only one there is */
    float *values;    /* (rows, width) row-major, of room for max; NaN and
                         infinities come as they are */
    size_t max;
    size_t width; /* values a row: written, at least 1 */
};

struct oip_response {
    const char *id;    /* that the request had; "": none */
    const char *model; /* that was asked */
    size_t row_count;  /* of the request */
    struct oip_output *outputs;
    size_t output_count;
    char version[OIP_VERSION_MAX + 1]; /* written: that answered; "": unsaid */
};

struct oip_reader;

/* oip_reader_new makes a reader of bodies of at most bytes_max bytes. NOMEM.
 * oip_reader_free sets *self NULL; NULL is fine. A reader is used by one
 * thread at a time. */
must_check enum status oip_reader_new(struct oip_reader **out, size_t bytes_max,
                                      struct error *err);
void oip_reader_free(struct oip_reader **self);

/*
 * oip_response_read reads the answer of an infer call. head_bytes is what the
 * header Inference-Header-Content-Length says: so much of the body is JSON,
 * behind it lie binary tensors; SIZE_MAX: all of it is JSON. Checked are: id
 * and model_name, where they are given; that each output is there once, is
 * numeric, begins its shape with row_count and has as many values as the shape
 * says; all sizes. JSON's null is NaN. MALFORMED. Allocates: nothing.
 */
must_check enum status oip_response_read(struct oip_reader *r,
                                         struct oip_response *response,
                                         const char *body, size_t len,
                                         size_t head_bytes, struct error *err);

/*
 * tfs_response_read reads the answer of TF Serving's :predict, of either form.
 * The bare words NaN and Infinity, which are no JSON, make it MALFORMED, and
 * *is_not_finite true. Allocates: nothing.
 */
must_check enum status tfs_response_read(struct oip_reader *r,
                                         struct oip_response *response,
                                         const char *body, size_t len,
                                         bool *is_not_finite,
                                         struct error *err);

/* oip_error_text writes what a server says about a call that failed, for a
 * person: its "error" or "detail", or how the body begins; printable ASCII
 * and UTF-8, cut at capacity - 1 bytes, with a NUL. Thread: any. */
void oip_error_text(const char *body, size_t len, char *out, size_t capacity);

#endif
