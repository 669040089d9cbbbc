/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include "daemon/base/error.h"

#include <stddef.h>

/*
 * A bounded ring of owned pointers between two threads: one puts, one takes.
 * It is the only memory that threads share. No lock; waking the other side is
 * the business of whoever uses it (io/worker.h).
 */
struct ring;

/* ring_new gives a ring for up to slots pointers. NOMEM. Allocates: once. */
must_check enum status ring_new(struct ring **out, size_t slots,
                                struct error *err);

/* ring_free frees *self and sets it NULL; NULL is fine. The ring is empty by
 * then: it owns its pointers but knows not how to free them. */
void ring_free(struct ring **self);

/* ring_put takes *item, or returns AGAIN when full. Thread: the putter. */
must_check enum status ring_put(struct ring *r, void **item);

/* ring_take gives the oldest pointer, or NULL. Thread: the taker. */
void *ring_take(struct ring *r);

#endif
