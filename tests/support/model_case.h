/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_MODEL_CASE_H
#define SUPPORT_MODEL_CASE_H

#include "stages/model/model.h"

/*
 * What the tests of the model engine share: a batch in columns of its own
 * memory, specifications to vary, a model's tensors by name, and random
 * numbers with a seed. Every failure to allocate aborts the test.
 */

/* case_random steps *state and gives a number in [-1, 1). */
float case_random(uint64_t *state);

/* case_optimizer is an optimizer with that rate and usual constants. */
struct optimizer case_optimizer(enum optimizer_kind kind, float rate);

/* case_objective is hard plus soft cross-entropy at temperature 1. */
struct objective case_objective(float hard, float soft);

/* case_small_spec is of one feature, "user", 3 wide, and one task, "click",
 * with a table that learns at rate 0.1 and dense parameters that do not. */
struct model_spec case_small_spec(enum optimizer_kind tables);

/* case_columns makes the columns that a specification reads, row_max long,
 * all rows present, weight and rate 1, no outcome and no teacher. */
struct columns *case_columns(const struct model_spec *spec, size_t row_max);
void case_columns_free(struct columns **self);

/*
 * case_fill gives n rows: ids 1..ids (bags of 0 to ids_max), numbers in
 * [-1, 1), outcomes and teacher's logits that fit the tasks.
 */
void case_fill(struct columns *c, size_t n, uint64_t ids, uint64_t *state);

/* A copy of all of a model's tensors, data in memory of their own. */
struct tensors {
    struct tensor *list;
    size_t count;
};

/* case_take copies a model's tensors through a snapshot with pieces of at
 * most capacity bytes. */
struct tensors case_take(struct model *m, size_t capacity);
void case_drop(struct tensors *t);

/* case_find lends the data of the tensor with that name, NULL without one;
 * count (may be NULL) gets its elements. */
void *case_find(const struct tensors *t, const char *name, size_t *count);

/* case_is_equal says whether two copies are the same, bit by bit. */
bool case_is_equal(const struct tensors *a, const struct tensors *b);

/* case_model is model_new that aborts when it fails. */
struct model *case_model(const struct model_spec *spec);

/* case_restore is model_restore that prints and aborts when it fails. */
void case_restore(struct model *m, const struct tensors *t,
                  enum restore_mode mode);

#endif
