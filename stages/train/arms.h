/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_ARMS_H
#define TRAIN_ARMS_H

#include "stages/checkpoint/checkpoint.h"
#include "stages/model/contest.h"
#include "stages/model/model.h"
#include "stages/settings.h"
#include "stages/train_report.h"

#include "daemon/base/error.h"

#include <stdbool.h>

/*
 * The models that the trainer trains on the same batches, from the same seed;
 * only what they minimize differs. With a fixed soft weight: the student and,
 * beside it, the untaught baseline. With soft_weight auto: the baseline and
 * students that listen to the teacher more or less, one of which is in force:
 * it is what counts as the student, and what is published.
 *
 * Each model is named by the prefix of its tensors in checkpoints. Thread: the
 * trainer's, but for arms_new and arms_free.
 */
struct arms;

/* arms_is_contest says whether the settings let the stream choose the weight:
 * soft_weight is auto and there is a teacher to listen to. */
bool arms_is_contest(const struct settings *s, bool has_teacher);

/*
 * arms_new prepares room for the models, which keeper_restore makes; spec
 * is the student's; how many threads each uses, and whether its answers are
 * calibrated, is filled in. Borrows the settings. NOMEM.
 */
must_check enum status arms_new(struct arms **out, const struct settings *s,
                                bool has_teacher, struct model_spec *spec,
                                struct error *err);

/* arms_free frees the models too, and sets *self NULL; NULL is fine. */
void arms_free(struct arms **self);

/* What keeper_restore fills and reads: models lends them for writing,
 * prefixes the names by which they are known. */
size_t arms_count(const struct arms *a);
struct model **arms_models(struct arms *a);
const char *const *arms_prefixes(const struct arms *a);

/*
 * arms_begin readies what the models answer into. contest is that of the
 * checkpoint, or zeroed; where it does not fit these arms it begins anew.
 * Keeps a borrow of it until arms_free. NOMEM.
 */
must_check enum status arms_begin(struct arms *a, struct contest *contest,
                                  struct error *err);

/* arms_replace takes over models that were restored, and frees those there
 * were. models (arms_count) is left NULL. */
void arms_replace(struct arms *a, struct model **models);

/* What goes into a checkpoint: the model in force first, without a prefix;
 * the one that it otherwise has is alias, NULL when it has none. */
struct arms_order {
    struct model *models[CHECKPOINT_MODELS_MAX];
    const char *prefixes[CHECKPOINT_MODELS_MAX];
    const char *alias;
};

void arms_order(const struct arms *a, struct arms_order *out);

/* What learning from a batch came to, of the model in force. */
struct arms_step {
    struct step step;
    struct task_loss losses[TASKS_MAX];
    bool was_skipped;      /* by one of the models */
    const float *student;  /* (B, logits) of the model that was in force before
                              the batch; lent until the next */
    const float *baseline; /* likewise; NULL: there is none */
};

/*
 * arms_learn lets each model predict, then learn. is_judged: the answers
 * count in the contest, since no model has seen the rows before.
 */
void arms_learn(struct arms *a, const struct columns *c, bool is_judged,
                struct arms_step *out);

/* arms_in_force is the student of now. */
struct model *arms_in_force(const struct arms *a);

/* arms_report says how they stand. */
void arms_report(const struct arms *a, struct arms_report *out);

/*
 * arms_tell says how the arms of these settings stand in a contest, such as
 * that of a checkpoint. Nothing, count 0, where the weight is fixed or the
 * contest is of other arms. Thread: any. Allocates: nothing.
 */
void arms_tell(const struct settings *s, const struct contest *c,
               struct arms_report *out);

#endif
