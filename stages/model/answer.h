/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_ANSWER_H
#define MODEL_ANSWER_H

#include "stages/model/columns.h"
#include "stages/model/quality.h"

/*
 * What one model said about one row, measured. Of row, a class task uses
 * outcome (1 where the likeliest class is the right one) and loss
 * (cross-entropy); a regression task outcome, probability (the predicted
 * value) and loss (the squared error).
 */
struct answer {
    struct quality_row row;
    double distance; /* to the teacher's: |p - p_t|; class: half of its sum
                        over classes; regression: of the values */
};

/*
 * answer_look measures an answer. Logits that are not finite are cleaned as
 * quality_add does.
 *
 * logits  (width)
 * outcome of its kind, see enum task_kind
 * teacher (width) the teacher's logits, or NULL: distance is 0
 *
 * Thread: any. Allocates: nothing.
 */
struct answer answer_look(enum task_kind kind, size_t width,
                          const float *logits, float outcome,
                          const float *teacher);

#endif
