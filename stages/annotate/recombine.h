/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_RECOMBINE_H
#define ANNOTATE_RECOMBINE_H

#include "stages/batch.h"

#include "daemon/base/error.h"

/*
 * Imagined events behind the real ones of a batch (teacher.recombine). Event r
 * brings up to K: its user side with the item sides of K different earlier
 * events of the batch. Earlier ones alone, so that a label tells nothing of
 * what came after its event; the first event brings none. Who meets whom
 * depends on seed, source and the batch.
 *
 * Each becomes JSON, which the decoder then reads into the columns: so the
 * teacher sees what a trainer will read out of the label record.
 */
struct recombiner;

/* recombiner_new prepares for batches of row_max real rows and K imagined ones
 * each; spec is borrowed until recombiner_free. CONFIG, NOMEM. */
must_check enum status recombiner_new(struct recombiner **out,
                                      const struct event_spec *spec,
                                      size_t row_max, size_t K, uint64_t seed,
                                      struct error *err);

/* recombiner_free frees *self and sets it NULL; NULL is fine. */
void recombiner_free(struct recombiner **self);

/*
 * recombine adds the imagined rows of those rows of b that are to be asked
 * about, and notes them in the rows. What has no room is left out. NOMEM.
 * Thread: one at a time. Allocates: the batch's bytes, until they fit.
 */
must_check enum status recombine(struct recombiner *r, struct batch *b,
                                 struct error *err);

#endif
