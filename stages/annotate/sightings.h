/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_SIGHTINGS_H
#define ANNOTATE_SIGHTINGS_H

#include "daemon/base/error.h"

#include <stdint.h>

/*
 * How often ids were seen, in a fixed 8 MiB: a count-min sketch of 4 rows of
 * 2^19 counters. A count is never too low, and too high by at most 1 in 190,000
 * of all sightings for 98 of 100 ids. Thread: one at a time.
 */
struct sightings;

/* sightings_new gives an empty one; NOMEM. */
must_check enum status sightings_new(struct sightings **out, struct error *err);

/* sightings_free frees *self and sets it NULL; NULL is fine. */
void sightings_free(struct sightings **self);

/* sightings_add counts one of id and gives how many there were before. */
uint32_t sightings_add(struct sightings *s, uint64_t id);

#endif
