/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_BLEND_H
#define ANNOTATE_BLEND_H

#include "stages/annotate/ask.h"

/*
 * What several teachers' answers about a batch make together: of each row and
 * task the weighted mean of the logits. Of one answer that is the answer, to
 * the bit. Thread: loop.
 */
struct blend {
    struct batch *batch;
    size_t row_max;
    size_t task_max;
    size_t width;       /* logits a row */
    float *logits;      /* (rows, width) running means */
    float *weights;     /* (rows, tasks) that are in them; 0: no answer */
    uint8_t *by;        /* (rows) as batch->answered_by */
    size_t version_max; /* bytes of one version where several make a label */
    struct joint {
        uint8_t before; /* number of those that answered already */
        uint8_t number; /* of the answer that comes on top */
        uint8_t both;
    } joint; /* the last two that were joined */
};

/* blend_init makes room. member_max: how many teachers may answer for one
 * row. NOMEM; blend_fini frees it, also after that. */
must_check enum status blend_init(struct blend *v, size_t row_max,
                                  size_t task_max, size_t width,
                                  size_t member_max, struct error *err);
void blend_fini(struct blend *v);

/* blend_begin begins with no answer for any row of b, which keeps the names
 * and versions of those that answer. */
void blend_begin(struct blend *v, struct batch *b);

/*
 * blend_add adds what one teacher answered. weights (tasks), NULL: each 1.
 * *unplaced rises by the rows whose answer is left out, since ANSWERERS_MAX
 * others have answered. Allocates: nothing.
 */
void blend_add(struct blend *v, const struct ask *ask, const char *name,
               const double *weights, uint64_t *unplaced);

/* blend_write writes what came out into the batch's columns and
 * answered_by. */
void blend_write(const struct blend *v);

#endif
