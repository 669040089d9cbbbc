/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OIP_RESPONSE_PRIV_H
#define OIP_RESPONSE_PRIV_H

#include "stages/event/scan.h"
#include "stages/oip/response.h"

#include "daemon/base/object.h"

/* What response.c and tfserving.c share. False: the problem is in r->scan. */

#define OIP_READER_MAGIC 0x4f495052u
#define OIP_DEPTH_MAX    16

struct oip_reader {
    unsigned magic;
    size_t bytes_max;
    struct scan scan;
    const char *binary; /* the next binary tensor begins here */
    const char *end;    /* of the body */
};

/* reader_begin and reader_finish: what is around a body; the latter says what
 * went wrong, or that an output is missing. */
void reader_begin(struct oip_reader *r, struct oip_response *response,
                  const char *body, size_t json_bytes, size_t len);
must_check enum status reader_finish(struct oip_reader *r,
                                     const struct oip_response *response,
                                     bool is_fine, struct error *err);

/* reader_open goes into the object that the body is, reader_close looks that
 * nothing is behind it. */
must_check bool reader_open(struct oip_reader *r, struct scan_level *level);
must_check bool reader_close(struct oip_reader *r);

/* reader_text copies a text of at most max bytes, with a NUL. */
must_check bool reader_text(struct oip_reader *r, struct value *v, char *out,
                            size_t max);

/* reader_numbers appends a number, or the numbers of a list however nested, to
 * values, of which there are *count; a null is NaN. */
must_check bool reader_numbers(struct oip_reader *r, float *values, size_t max,
                               size_t *count);

#endif
