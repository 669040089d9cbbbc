/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_LOSS_H
#define MODEL_LOSS_H

#include "stages/model/model.h"

/*
 * The losses of one row: hard ones against the outcome, soft ones against the
 * teacher's raw logits. Double inside, so that large logits stay exact.
 *
 * Both functions return the row's loss and add scale * d loss / d z to dz
 * (K), unless dz is NULL. Arguments out of their range are the decoder's to
 * refuse; logits that are not finite give a loss that is not finite. Thread:
 * any. Allocates: nothing.
 */

/*
 * loss_hard is, by task: BINARY the cross-entropy with logits, CLASS that of
 * the softmax, REGRESSION the squared difference.
 *
 * z       (K) logits
 * outcome     as in struct outcome_column
 * rate        BINARY: negatives were kept with this rate, so the loss is of
 *             z - log rate while z itself stays the calibrated logit to serve
 */
double loss_hard(enum task_kind kind, const float *z, size_t K, float outcome,
                 float rate, double scale, float *dz);

/* How a row's soft loss is made. */
struct soft_loss {
    enum task_kind kind;
    enum distill_kind distill;
    double temperature; /* T of CROSS_ENTROPY and KL, with the factor T^2 */
    double label_scale; /* BINARY: the label is min(label_scale p_t, 1); 1 for
                           a shared head */
    double shift;       /* BINARY: added to both logits first, so that they
                           are compared as the outcomes were sampled: -log of
                           the rate at which negatives were kept */
};

/*
 * loss_soft compares the logits z (K) with the teacher's (K). Sums over the K
 * for LOGIT_MSE and PROBABILITY_MSE. REGRESSION: the squared difference to
 * the teacher's value, whatever the kind of distillation.
 *
 * shift is Rec-Distill's cross-debias: the teacher's raw logit seen through the
 * student's sampling, 1 / (1 + r e^-z_t) for negatives kept at rate r, against
 * the student's own, which is what loss_hard sees of it. Where r is small the
 * logits to serve are far below 0 and their probabilities next to 0, so
 * without it the soft gradient all but vanishes beside the hard one.
 */
double loss_soft(const struct soft_loss *l, const float *z,
                 const float *teacher, size_t K, double scale, float *dz);

#endif
