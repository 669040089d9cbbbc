/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_REJECT_SHARE_H
#define ANNOTATE_REJECT_SHARE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * When rejected rows are poison, and when it is the teacher that fails: beyond
 * a share of the recent rows it is an outage, and nothing more is
 * dead-lettered. Thread: one at a time. Allocates: nothing.
 *
 * Recent: about the last REJECT_SHARE_ROWS rows, older ones fade. The share is
 * never taken of fewer than REJECT_SHARE_ROWS_MIN, so that the first row of
 * all may be poison. A batch of which less than that share is rejected ends an
 * outage, and what is recent begins with it.
 */
#define REJECT_SHARE_ROWS     10000
#define REJECT_SHARE_ROWS_MIN 100

struct reject_share {
    double share_max;
    double rows;
    double rejected;
    bool is_outage;
};

/* reject_share_init. share_max 1: never an outage. */
void reject_share_init(struct reject_share *r, double share_max);

/*
 * reject_share_add counts the rows of one batch when all of them have an end,
 * `rejected` of them without an answer, and says whether those may be
 * dead-lettered. False: an outage; the batch is to be tried again later and
 * counted then.
 */
bool reject_share_add(struct reject_share *r, size_t rows, size_t rejected);

#endif
