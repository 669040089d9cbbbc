/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_CONTEST_H
#define MODEL_CONTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which of several models predicts a stream best, by losses that fade: what
 * was seen n rows ago counts 0.98^(n / 256). One of them is in force. Another
 * takes its place when its lead is beyond chance, all the more when it is the
 * first, the safe one, that is in force; and the first as soon as its loss is
 * lower at all. All are judged on the same rows, so what they have in common
 * cancels out: kept are the products of every two losses, from which follows
 * how sure a lead is.
 *
 * Plain data of bounded size: it is part of a checkpoint. Thread: one at a
 * time. Allocates: nothing.
 */

#define CONTEST_MODELS_MAX 8
#define CONTEST_PAIRS_MAX  (CONTEST_MODELS_MAX * (CONTEST_MODELS_MAX + 1) / 2)

struct contest {
    size_t count;      /* models; 0: there is no contest */
    size_t in_force;   /* of them */
    uint64_t switches; /* how often another one took its place */
    double weight;     /* faded sum of the rows' weights */
    double weight_2;   /* of their squares */
    double losses[CONTEST_MODELS_MAX];  /* of weight * loss */
    double products[CONTEST_PAIRS_MAX]; /* of weight * loss_i * loss_j, j <= i,
                                            at i * (i + 1) / 2 + j */
};

/* contest_pairs is how many products there are of count models' losses. */
static inline size_t
contest_pairs(size_t count)
{
    return count * (count + 1) / 2;
}

/* contest_init begins with the first of count models in force. */
void contest_init(struct contest *c, size_t count);

/* contest_add counts one row. losses (count) of the models, each predicted
 * before it learned from the row; not finite: as bad as 1e6. */
void contest_add(struct contest *c, const double *losses, double weight);

/* contest_decide puts another model in force if one has earned it; true: it
 * did. */
bool contest_decide(struct contest *c);

/* contest_loss is a model's faded mean loss; NAN before the first row. */
double contest_loss(const struct contest *c, size_t model);

/* contest_lead is by how much a model's faded mean loss is below that of the
 * other, in standard errors; 0 when nothing is known. */
double contest_lead(const struct contest *c, size_t model, size_t other);

#endif
