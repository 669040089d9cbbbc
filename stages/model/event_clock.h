/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_EVENT_CLOCK_H
#define MODEL_EVENT_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/*
 * event_clock_advance is the time by which ids expire: the running maximum of
 * the batches' median event times, moved by at most step_max a batch, so that
 * no single wrong client clock can empty a table. The first batch that knows
 * a time sets the clock to its earliest one.
 *
 * clock_ms  what the last call returned, 0 at first
 * times_ms  (n) event times; 0 or less where unknown
 * scratch   (n) overwritten
 *
 * Returns the clock, unchanged when no time is known. Thread: any. Allocates:
 * nothing.
 */
int64_t event_clock_advance(int64_t clock_ms, const int64_t *times_ms, size_t n,
                            int64_t *scratch, int64_t step_max);

#endif
