/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_LABEL_AGE_H
#define STAGES_LABEL_AGE_H

#include "stages/model/columns.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How old a teacher's answers are. A label record names who answered, teacher
 * and version, and says nothing of when that was made; what the stream itself
 * tells is when a version first answered. So the age of a label is
 *
 *   the stream's clock now - its clock when that version was first seen
 *
 * by the clock of event time (event_clock.h), never by a wall clock: a replay
 * weighs every label as the first time. A version that is never replaced grows
 * old, one that learns in line never does. A label that names nobody, or a
 * stream without times, has no age and counts in full.
 *
 * The clock moves an eighth of the limit a batch at most, so that a few wrong
 * client clocks make no teacher old.
 */

/* Versions that are known at a time; beyond, the one that was not seen for
 * longest is forgotten, and would be new if it came back. */
#define LABEL_AGES_MAX 32

struct label_age_rule {
    int64_t max_ms; /* an older label does not count; 0: every one does */
    bool fades;     /* a label counts 1 - age / max, instead of in full */
};

/* The state, part of a checkpoint. All 0: nothing was seen. */
struct label_ages {
    int64_t clock_ms;
    int64_t last_ms;  /* age of the last label that has one */
    uint64_t refused; /* labels that did not count */
    size_t count;
    struct label_age {
        uint64_t teacher; /* columns.teacher_id */
        int64_t first_ms; /* by the clock */
        int64_t seen_ms;
    } known[LABEL_AGES_MAX];
};

/*
 * label_ages_weigh moves the clock by a batch and says what its labels count.
 *
 * c       (B) rows in the order of the stream
 * scratch (B) overwritten
 * weights (B) written: for columns.soft_weight, 0 to 1
 *
 * Thread: any. Allocates: nothing.
 */
void label_ages_weigh(struct label_ages *a, const struct label_age_rule *rule,
                      const struct columns *c, int64_t *scratch,
                      float *weights);

/* label_ages_rewind begins anew, as the stream does: another pass. */
void label_ages_rewind(struct label_ages *a);

#endif
