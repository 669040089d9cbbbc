/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_INPUTS_H
#define SERVE_INPUTS_H

#include "stages/event/spec.h"
#include "stages/model/columns.h"
#include "stages/oip/datatype.h"

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From the tensors of requests to the columns that a model reads. Every
 * feature of the contract is an input with its name, of what the event has:
 *
 *   categorical   BYTES, an integer type or BOOL   [B] or [B, 1], hashed
 *   of buckets    a float or integer type or BOOL  [B] or [B, 1]
 *   bag           as categorical                   [B] or [B, K]
 *   number        a float or integer type or BOOL  [B] or [B, 1]
 *   vector        the same                         [B, width]
 *
 * and for those with ids there is an input NAME:id, of an integer type, for
 * ids that the client has computed by the contract's rule.
 *
 * Values mean what they mean in an event (stages/event/decoder.h): "", id 0
 * and NaN are missing, in a bag they fill up a row that has fewer than K, and
 * what is out of range or too long is missing, too.
 */

#define INPUT_ID_SUFFIX ":id"
#define INPUT_NAME_MAX  (EVENT_NAME_MAX + sizeof(INPUT_ID_SUFFIX))
#define INPUT_RANK_MAX  2

struct inputs;

/* inputs_new prepares to read by spec, which is borrowed until inputs_free.
 * NOMEM. */
must_check enum status inputs_new(struct inputs **out,
                                  const struct event_spec *spec,
                                  struct error *err);

/* inputs_free frees *self and sets it NULL; NULL is fine. */
void inputs_free(struct inputs **self);

/* A tensor on its way into a column. Its members are inputs.c's. */
struct sink {
    const struct input_slot *slot;
    struct column *column;
    enum oip_datatype datatype;
    bool is_id;
    size_t row;      /* of the columns; where the next value goes */
    size_t at;       /* in that row */
    size_t width;    /* values a row */
    size_t capacity; /* values in all */
    size_t count;    /* of them that have come */
    bool is_broken;  /* VECTOR: this row has a value that is missing */
};

static inline bool
is_integer(enum oip_datatype t)
{
    return t >= OIP_UINT8 && t <= OIP_INT64;
}

static inline bool
is_float(enum oip_datatype t)
{
    return t >= OIP_FP16 && t <= OIP_FP64;
}

/* What a request says of a tensor before its values. */
struct input_head {
    const char *name;
    size_t name_len;
    enum oip_datatype datatype;
    size_t rank; /* 1 or 2 */
    size_t shape[INPUT_RANK_MAX];
};

/* inputs_begin starts a request of `rows` rows, which go into columns from
 * their row_count on. */
void inputs_begin(struct inputs *in, struct columns *c, size_t rows);

/*
 * inputs_open makes ready to take a tensor's values, which are row-major:
 * exactly shape[0] * shape[1] of them have to come. MALFORMED says what was
 * expected: no such input, two of one feature, or not this datatype or shape.
 * Allocates: nothing, like all below.
 */
must_check enum status inputs_open(struct inputs *in,
                                   const struct input_head *head,
                                   struct sink *sink, struct error *err);

/* Values of the kinds that the sink's datatype has: the other ones are the
 * caller's to refuse, and more than sink->capacity. */
void sink_put_text(struct sink *s, const char *text, size_t len); /* BYTES */
void sink_put_float(struct sink *s, double value);
void sink_put_integer(struct sink *s, bool is_negative, uint64_t magnitude);
void sink_put_boolean(struct sink *s, bool value);
void sink_put_missing(struct sink *s); /* of any datatype */

/* inputs_end makes the features that no tensor came for missing, and counts
 * the request's rows into the columns. */
void inputs_end(struct inputs *in);

#endif
