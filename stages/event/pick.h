/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_PICK_H
#define EVENT_PICK_H

#include "stages/event/scan.h"

#include "daemon/base/error.h"

/*
 * Values of an event at any paths, for who wants them as they are, also where
 * no feature comes from there. One walk over the bytes.
 */
struct pick;

/*
 * pick_new prepares for the paths, which [] may be in, and for events of at
 * most bytes_max bytes. CONFIG names the path that makes no sense; NOMEM.
 * Borrows paths until return. Thread: any; then one at a time.
 */
must_check enum status pick_new(struct pick **out, const char *const *paths,
                                size_t count, size_t bytes_max,
                                struct error *err);

/* pick_free frees *self and sets it NULL; NULL is fine. */
void pick_free(struct pick **self);

/*
 * A scalar was found at path i, its escapes resolved; of a list at a path each
 * element, of lists in it theirs, in order. An object there is passed over.
 * v is lent until return.
 */
typedef void (*pick_fn)(void *ctx, size_t i, const struct value *v);

/*
 * pick_read walks over an event. MALFORMED is only possible for bytes that no
 * decoder has accepted. Allocates: nothing.
 */
must_check enum status pick_read(struct pick *p, const char *bytes, size_t len,
                                 pick_fn found, void *ctx, struct error *err);

#endif
