/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_HELPERS_H
#define MODEL_HELPERS_H

#include "daemon/base/error.h"

#include <stddef.h>

/*
 * A fixed team of threads for one owner: the caller is number 0, n - 1 helpers
 * are beside it. Who does which part is fixed by number, so that sums have one
 * order. Between two pieces of work a helper spins briefly, then sleeps.
 */

struct helpers;

/* What each of the team does; number in [0, n). */
typedef void (*helper_fn)(void *ctx, size_t number);

/* helpers_new starts n - 1 threads with all signals blocked; n >= 1. */
must_check enum status helpers_new(struct helpers **out, size_t n,
                                   struct error *err);

/* helpers_free ends and joins them, and sets *self NULL; NULL is fine. */
void helpers_free(struct helpers **self);

/*
 * helpers_run calls fn once with every number, the caller's own thread with 0,
 * and returns when all are done; what they wrote is seen by the caller and by
 * the next run. Thread: the owner. Allocates: nothing.
 */
void helpers_run(struct helpers *h, helper_fn fn, void *ctx);

#endif
