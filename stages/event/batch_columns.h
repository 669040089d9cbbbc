/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_BATCH_COLUMNS_H
#define EVENT_BATCH_COLUMNS_H

#include "stages/event/spec.h"
#include "stages/model/columns.h"

#include "daemon/base/error.h"

/*
 * The memory of a mini-batch: everything in one block, every array aligned for
 * vector instructions.
 */

/*
 * columns_new gives empty columns for row_max > 0 rows of spec, in its order.
 * CONFIG when a bag could have more than 2^32 - 1 ids or the block would be
 * larger than the address space; NOMEM. Borrows spec until return. Thread:
 * any. Allocates: one block.
 */
must_check enum status columns_new(struct columns **out,
                                   const struct event_spec *spec,
                                   size_t row_max, struct error *err);

/* columns_free frees the block and sets *self NULL; NULL is fine. */
void columns_free(struct columns **self);

/* columns_clear makes them empty: the next row to decode is row 0. */
void columns_clear(struct columns *c);

#endif
