/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

#include "stages/event/spec.h"
#include "stages/model/columns.h"

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The body of an inference request: JSON, and behind it the tensors of the
 * binary extension. It is walked over once, and values go straight into the
 * columns of the batch that is being filled.
 */

#define REQUEST_OUTPUTS_MAX 192 /* of CONTRACT_TASKS_MAX tasks, and more */
#define REQUEST_DEPTH_MAX   12

/* How a request wants an output. */
struct request_output {
    size_t index; /* among the outputs of the model */
    bool is_binary;
};

/* What a request is beside its rows. Texts are lent by the body. */
struct request {
    const char *id; /* as in the JSON, escapes and all; NULL: none */
    size_t id_len;
    size_t row_first; /* in the columns */
    size_t row_count;
    size_t output_count;
    struct request_output outputs[REQUEST_OUTPUTS_MAX];
};

struct request_reader;

struct request_spec {
    const struct event_spec *events;
    const char *const *outputs; /* names */
    size_t output_count;        /* at most REQUEST_OUTPUTS_MAX */
    size_t body_bytes_max;
};

/* request_reader_new keeps a borrow of events and outputs until
 * request_reader_free. NOMEM. */
must_check enum status request_reader_new(struct request_reader **out,
                                          const struct request_spec *spec,
                                          struct error *err);

/* request_reader_free frees *self and sets it NULL; NULL is fine. */
void request_reader_free(struct request_reader **self);

/*
 * request_read appends a request's rows to columns that columns_new made for
 * the same events. json_len of the body's len bytes are JSON. AGAIN: it is
 * well so far, but its rows do not fit behind those that are there. MALFORMED,
 * TOOBIG (more rows than columns can ever have): the text is for the client.
 * On all three nothing was appended. Thread: one at a time. Allocates:
 * nothing.
 */
must_check enum status request_read(struct request_reader *r, const char *body,
                                    size_t len, size_t json_len,
                                    struct columns *c, struct request *out,
                                    struct error *err);

/*
 * request_peek_rows guesses how many rows a request has, from the first shape
 * in its beginning; 1 when it finds none. Nothing but the filling of batches
 * may depend on it. Thread: any.
 */
size_t request_peek_rows(const char *body, size_t len);

#endif
