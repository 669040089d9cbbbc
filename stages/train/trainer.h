/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include "stages/batch.h"
#include "stages/pipeline.h"

#include <stdbool.h>

/*
 * The student and its untaught shadow, the baseline: predict, measure, learn,
 * batch by batch in log order, and a checkpoint every so many examples. Opened
 * and freed on the loop; everything between is the trainer thread's.
 */
struct trainer;

/*
 * trainer_open makes the models or restores them from the newest checkpoint,
 * and tells the pipeline where to read on. due is the version that should have
 * been published before the process ended, or 0.
 */
must_check enum status trainer_open(struct trainer **out, struct pipeline *p,
                                    uint64_t *due, struct error *err);
void trainer_free(struct trainer **self);

/* trainer_batch learns from a batch. b->error says what went wrong;
 * b->due_version names a version that became durable and is to be
 * published. */
void trainer_batch(struct trainer *t, struct batch *b);

/* What the loop asks of the trainer between two batches. */
struct trainer_order {
    bool wants_checkpoint; /* begin one now; while one is being written, with
                              the first order after it */
    struct train_report report; /* written */
    uint64_t due_version;       /* written: as in trainer_batch */
    struct error error;         /* written: OK, or what went wrong */
};

/* trainer_obey does what an order says. */
void trainer_obey(struct trainer *t, struct trainer_order *o);

/* trainer_idle writes on at a checkpoint; true: there is more to write. */
bool trainer_idle(struct trainer *t);

/*
 * trainer_finish writes the last checkpoint and waits until it is durable;
 * is_end says that the input ended here. due is a version to be published, or
 * 0. *err is OK when all went well.
 */
void trainer_finish(struct trainer *t, bool is_end, uint64_t *due,
                    struct error *err);

#endif
